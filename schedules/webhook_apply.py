"""A look every minute at webhooks whose wake-up got lost; usually each is applied as soon as it came."""

from datetime import timedelta

from schedules.spec import Schedule

SCHEDULE = Schedule(name="webhook-apply", kind="webhook.apply", every=timedelta(minutes=1), catch_up="once")
