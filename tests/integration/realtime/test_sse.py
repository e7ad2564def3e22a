"""The twin: server-sent events over real sockets."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from sync.store.engine import Database
from tests.fakes.jobs import eventually
from tests.fakes.live_client import SseClient, streaming
from tests.fakes.tokens import bearer, token
from tests.integration.realtime.conftest import Replica, busy, happen, live_settings, replica


async def events(client: SseClient, count: int) -> list[int]:
    found: list[int] = []
    while len(found) < count:
        message = await client.next()
        assert message["type"] in {"event", "subscribed"}, message
        if message["type"] == "event":
            assert client.last_event_id == message["cursor"] == str(message["event"]["id"])
            found.append(message["event"]["payload"]["number"])
    return found


async def subscribed(client: SseClient) -> dict[str, Any]:
    message = await client.next()
    assert message["type"] == "subscribed"
    return message


async def test_what_is_committed_arrives(one: Replica, db: Database) -> None:
    async with streaming(one.port) as client:
        assert client.response.headers["content-type"].startswith("text/event-stream")
        assert "runs" in (await subscribed(client))["topics"]
        await happen(db, 1, 2)
        assert await events(client, 2) == [1, 2]


async def test_a_client_goes_on_by_its_last_event_id(one: Replica, db: Database) -> None:
    async with streaming(one.port, "?topics=runs") as client:
        await subscribed(client)
        await happen(db, 1)
        assert await events(client, 1) == [1]
        last = client.last_event_id or ""
    await happen(db, 2, 3)
    async with streaming(one.port, "?topics=runs", last_event_id=last) as client:
        await happen(db, 4)
        assert await events(client, 3) == [2, 3, 4]
    async with streaming(one.port, f"?topics=runs&cursor={last}") as client:
        assert await events(client, 3) == [2, 3, 4]


async def test_filters(one: Replica, db: Database) -> None:
    query = "?topics=activities,alerts&platform=slack&platform=reddit&integration_id=7"
    async with streaming(one.port, query) as client:
        assert (await subscribed(client))["topics"] == ["activities", "alerts"]
        for number, (platform, integration) in enumerate([("slack", 8), ("discord", 7), ("reddit", 7)]):
            await happen(db, number, type="activity.added", platform=platform, integration_id=integration)
        assert await events(client, 1) == [2]


async def test_a_heartbeat_is_a_comment_that_moves_the_last_event_id(pg_url: str, db: Database) -> None:
    async with replica(live_settings(pg_url, poll_s=0.2, heartbeat_s=0.1)) as one:
        async with streaming(one.port, "?topics=alerts") as client:
            before = (await subscribed(client))["cursor"]
            await happen(db, 1)
            async for line in client.lines:
                if line.startswith("id: ") and line != f"id: {before}":
                    break
            async for line in client.lines:
                assert line == ": ping"
                break


async def test_events_of_other_orgs_never_arrive(one: Replica, db: Database) -> None:
    async with streaming(one.port) as acme, streaming(one.port, org="globex") as globex:
        await subscribed(acme)
        await subscribed(globex)
        for number in range(10):
            await happen(db, number, org=["acme", "globex"][number % 2])
        assert await events(acme, 5) == [0, 2, 4, 6, 8]
        assert await events(globex, 5) == [1, 3, 5, 7, 9]


async def test_a_cursor_of_another_log_is_reset(one: Replica, db: Database) -> None:
    async with streaming(one.port, last_event_id="999999") as client:
        message = await client.next()
        assert (message["type"], message["reason"]) == ("reset", "cursor-unknown")
        await happen(db, 1)
        assert await events(client, 1) == [1]


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("?topics=weather", 422, "validation"),
        ("?topics=runs&platform=", 422, "validation"),
        ("?integration_id=x", 422, "validation"),
        (f"?token={token()}", 400, "bad-request"),
    ],
)
async def test_a_wrong_request_is_refused_with_a_problem(one: Replica, query: str, status: int, code: str) -> None:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{one.port}") as client:
        response = await client.get(f"/sse{query}", headers=bearer())
    assert response.status_code == status and response.json()["type"] == f"/problems/{code}"
    assert one.hub.connections == 0


async def test_without_a_token_there_is_no_stream(one: Replica) -> None:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{one.port}") as client:
        assert (await client.get("/sse")).status_code == 401
        assert (await client.get(f"/sse?cursor=1&access_token={token()}")).status_code == 401
    assert one.hub.connections == 0


async def test_streams_count_as_connections_and_are_let_go(pg_url: str) -> None:
    async with replica(live_settings(pg_url, max_per_org=1)) as one:
        async with streaming(one.port) as client:
            await subscribed(client)
            async with httpx.AsyncClient() as other:
                response = await other.get(f"http://127.0.0.1:{one.port}/sse", headers=bearer())
            assert response.status_code == 429 and response.json()["type"] == "/problems/too-many-connections"
            assert one.hub.connections == 1
        await eventually(lambda: one.hub.connections == 0 and not busy())
        async with streaming(one.port) as client:
            await subscribed(client)


async def test_the_end_is_told(one: Replica) -> None:
    async with streaming(one.port) as client:
        await subscribed(client)
        await one.hub.close()
        message = await client.next()
        assert (message["type"], message["code"], message["reason"]) == ("closing", 1012, "restart")
        with pytest.raises(StopAsyncIteration):
            await client.next()
