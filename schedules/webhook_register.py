"""Tells vendors where to send webhooks of accounts that are new, or were told a day ago."""

from datetime import timedelta

from schedules.spec import Schedule

SCHEDULE = Schedule(name="webhook-register", kind="webhook.register", every=timedelta(minutes=1), catch_up="once")
