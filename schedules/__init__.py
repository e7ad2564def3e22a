"""The cadence of everything that happens by itself: one module, one SCHEDULE, all of them listed here."""

from schedules import frequent_sync, purge, realtime_sync
from schedules.spec import Schedule

SCHEDULES: tuple[Schedule, ...] = (purge.SCHEDULE, frequent_sync.SCHEDULE, realtime_sync.SCHEDULE)
