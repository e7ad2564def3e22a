"""Starts the syncs of ordinary cadence that have come due."""

from datetime import timedelta

from schedules.spec import Schedule

SCHEDULE = Schedule(name="frequent-sync", kind="sync.enqueue_due", every=timedelta(minutes=1), catch_up="once")
