"""Schedules: definitions (`schedules/`) become due ticks, and ticks become jobs, each exactly once.

next_due_at <= now()  ->  one transaction: lock the row, insert the tick, enqueue its job, move next_due_at on
                          the tick exists already: nothing is enqueued, the due time moves on all the same

what happens               what follows
two leaders at once        one waits for nothing (SKIP LOCKED); the tick's primary key stops the second job
killed before the commit   the tick is still due and the next leader fires it
killed after the commit    the job is in the queue, the due time has moved on
nobody ran for a while     the schedule's `catch_up` decides: skip, once, all
the clock steps back       due times are pulled back (`Firing.review`); ticks already fired do not fire again
the clock steps forward    like a while in which nobody ran
one schedule is broken     its tick is recorded as failed, and its neighbours never notice
"""

from sync.scheduling.model import StoredSchedule, Tick
from sync.scheduling.repository import ScheduleDetail, SchedulePage, Schedules
from sync.scheduling.run_at import RunAt, resolve_run_at
from sync.scheduling.runner import Scheduler, SchedulerInfo, StepResult

__all__ = [
    "RunAt",
    "ScheduleDetail",
    "SchedulePage",
    "Scheduler",
    "SchedulerInfo",
    "Schedules",
    "StepResult",
    "StoredSchedule",
    "Tick",
    "resolve_run_at",
]
