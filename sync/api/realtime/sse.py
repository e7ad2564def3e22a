"""The same events as text/event-stream."""

from __future__ import annotations

import asyncio

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from sync.api.realtime.failure import end_on_failure
from sync.realtime import Hub, Listener
from sync.realtime.protocol import message, slow_consumer
from sync.realtime.topics import Selection

_HEAD = b"retry: 2000\n\n"


class EventStream(Response):
    """Streams to a listener that has entered already, and lets it leave at the end."""

    media_type = "text/event-stream"

    def __init__(self, hub: Hub, listener: Listener, selection: Selection, cursor: str | None) -> None:
        super().__init__(headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._hub = hub
        self._listener = listener
        self._selection = selection
        self._cursor = cursor

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        listener = self._listener
        tasks = [
            asyncio.create_task(self._write(send)),
            asyncio.create_task(_until_gone(receive)),
        ]
        joining = asyncio.create_task(self._hub.join(listener, self._selection, self._cursor))
        joining.add_done_callback(lambda task: end_on_failure(task, listener))
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (*tasks, joining):
                task.cancel()
            await asyncio.gather(*tasks, joining, return_exceptions=True)
            self._hub.leave(listener)
            self._hub.dismiss()

    async def _write(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": _HEAD, "more_body": True})
        listener = self._listener
        while frames := await listener.take():
            body = b"".join(frame.as_sse() for frame in frames)
            try:
                async with asyncio.timeout(self._hub.settings.send_timeout_s):
                    await send({"type": "http.response.body", "body": body, "more_body": True})
            except TimeoutError:
                listener.close(slow_consumer())
        why = listener.closed
        assert why is not None
        last = message("closing", code=why.code, reason=why.reason, detail=why.detail)
        await send({"type": "http.response.body", "body": last.as_sse(), "more_body": False})


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
