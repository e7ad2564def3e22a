"""The event log: what happened, written in the transaction that made it happen, read in order by whoever cares."""

from sync.events.log import EventLog, LoggedEvent, Position
from sync.events.outbox import Event, append_events

__all__ = ["Event", "EventLog", "LoggedEvent", "Position", "append_events"]
