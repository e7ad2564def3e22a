"""Live events: `/ws`, and `/sse` for programs behind proxies that know no WebSocket. See docs/realtime.md."""

from __future__ import annotations

from typing import Annotated

import msgspec
from fastapi import APIRouter, Header, Query, Request, WebSocket

from sync.api.auth import Reader
from sync.api.problems import problem
from sync.api.realtime.identity import check_address
from sync.api.realtime.sse import EventStream
from sync.api.realtime.websocket import Session, farewell
from sync.api.services import Services, Use
from sync.realtime import Refused
from sync.realtime.protocol import unavailable
from sync.realtime.topics import TOPICS, Filter, Selection

router = APIRouter(tags=["realtime"])

Cursor = Annotated[str | None, Query(max_length=64)]
LastEventId = Annotated[str | None, Header(max_length=64)]
Texts = Annotated[list[str] | None, Query(max_length=50)]
Numbers = Annotated[list[int] | None, Query(max_length=50)]


@router.websocket("/ws")
async def websocket_events(websocket: WebSocket) -> None:
    services: Services | None = getattr(websocket.app.state, "services", None)
    if services is None:
        await websocket.accept()
        return await farewell(websocket, unavailable("PostgreSQL has not answered since this process started."))
    await Session(websocket, services.realtime, websocket.app.state.verifier).run()


@router.get("/sse", include_in_schema=False)  # a document of requests and answers has no words for a stream
async def sse_events(
    request: Request,
    principal: Reader,
    services: Use,
    topics: Annotated[str, Query(max_length=200)] = ",".join(TOPICS),
    platform: Texts = None,
    integration_id: Numbers = None,
    conversation_id: Numbers = None,
    topic: Texts = None,
    cursor: Cursor = None,
    last_event_id: LastEventId = None,
) -> EventStream:
    """Filters apply to every topic that is named."""
    fields = {
        "platform": platform,
        "integration_id": integration_id,
        "conversation_id": conversation_id,
        "topic": topic,
    }
    try:
        wanted = msgspec.convert({name: value for name, value in fields.items() if value}, Filter)
        selection = Selection(dict.fromkeys(filter(None, topics.split(",")), wanted))
    except ValueError as error:
        raise problem("validation", str(error)) from error
    try:
        check_address(request.query_params)
    except Refused as refused:
        raise problem("bad-request", refused.close.detail) from refused
    return EventStream(services.realtime, principal, selection, last_event_id or cursor)
