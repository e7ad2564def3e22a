"""Looks for due syncs once a minute: ordinary cadences go on even while `realtime-sync` is paused."""

from datetime import timedelta

from schedules.spec import Schedule

SCHEDULE = Schedule(name="frequent-sync", kind="sync.enqueue_due", every=timedelta(minutes=1), catch_up="once")
