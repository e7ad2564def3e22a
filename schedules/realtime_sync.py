"""Looks for due syncs every ten seconds, for those that cannot wait a minute: messages, mentions, mail."""

from datetime import timedelta

from schedules.spec import Schedule

SCHEDULE = Schedule(name="realtime-sync", kind="sync.enqueue_due", every=timedelta(seconds=10), catch_up="once")
