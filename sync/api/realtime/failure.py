"""What becomes of a connection whose way into the stream meets a bug."""

from __future__ import annotations

import asyncio

from sync.base.logs import get_logger
from sync.realtime import Listener
from sync.realtime.protocol import failed

log = get_logger(__name__)


def end_on_failure(task: asyncio.Task[None], listener: Listener) -> None:
    """For `add_done_callback`: a client must not wait for ever for events that nobody will send."""
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("realtime.bug", exc_info=error)
        listener.close(failed())
