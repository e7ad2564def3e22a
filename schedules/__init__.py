"""The cadence of everything that happens by itself: one module, one SCHEDULE, all of them listed here."""

from schedules import frequent_sync, purge, realtime_sync, webhook_apply, webhook_register
from schedules.spec import Schedule

SCHEDULES: tuple[Schedule, ...] = (
    purge.SCHEDULE,
    frequent_sync.SCHEDULE,
    realtime_sync.SCHEDULE,
    webhook_apply.SCHEDULE,
    webhook_register.SCHEDULE,
)
