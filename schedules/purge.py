"""Retention: old history, ended sync runs, expired keys."""

from schedules.spec import Schedule

SCHEDULE = Schedule(name="purge", kind="maintenance.purge", cron="17 3 * * *", catch_up="once", overlap="skip")
