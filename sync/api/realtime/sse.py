"""The same events as text/event-stream."""

from __future__ import annotations

import asyncio

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from sync.api.auth import Principal
from sync.api.problems import problem, render
from sync.api.realtime.failure import end_on_failure
from sync.realtime import Hub, Listener, Refused
from sync.realtime.protocol import message, slow_consumer
from sync.realtime.topics import Selection

_HEAD = b"retry: 2000\n\n"


class EventStream(Response):
    """Enters the hub when it is sent, so that whatever becomes of the request, the place is given back."""

    media_type = "text/event-stream"

    def __init__(self, hub: Hub, principal: Principal, selection: Selection, cursor: str | None) -> None:
        super().__init__(headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._hub = hub
        self._principal = principal
        self._selection = selection
        self._cursor = cursor

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        who = self._principal
        try:
            with self._hub.admitted():
                listener = self._hub.enter(who.org_id, who.subject, who.expires_at)
                try:
                    await self._stream(listener, receive, send)
                finally:
                    self._hub.leave(listener)
        except Refused as refused:
            code = "too-many-connections" if refused.close.code == 4429 else "unavailable"
            await render(problem(code, refused.close.detail), scope)(scope, receive, send)

    async def _stream(self, listener: Listener, receive: Receive, send: Send) -> None:
        joining = asyncio.create_task(self._hub.join(listener, self._selection, self._cursor))
        joining.add_done_callback(lambda task: end_on_failure(task, listener))
        ends = [asyncio.create_task(self._write(listener, send)), asyncio.create_task(_until_gone(receive))]
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (joining, *ends):
                task.cancel()
            await asyncio.gather(joining, *ends, return_exceptions=True)

    async def _write(self, listener: Listener, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": _HEAD, "more_body": True})
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
