"""Real sockets: who may listen, what arrives, and how it ends."""

from __future__ import annotations

from sync.store.engine import Database
from tests.fakes.live_client import dial, listening
from tests.integration.realtime.conftest import happen


async def test_what_is_committed_arrives(port: int, db: Database) -> None:
    async with listening(port, ["runs"]) as client:
        await happen(db, 1, 2)
        first, second = await client.events(2)
        assert (first["payload"]["number"], second["payload"]["number"]) == (1, 2)
        assert first["type"] == "sync.completed" and first["subject"] == "thing:1" and first["at"]
        assert client.cursor == str(second["id"])


async def test_a_client_goes_on_where_it_stopped(port: int, db: Database) -> None:
    async with listening(port, ["runs"]) as client:
        await happen(db, 1)
        await client.event()
        cursor = client.cursor
    await happen(db, 2, 3)
    async with listening(port, ["runs"], cursor=cursor) as client:
        await happen(db, 4)
        assert [event["payload"]["number"] for event in await client.events(3)] == [2, 3, 4]


async def test_without_a_token_it_is_closed(port: int) -> None:
    async with dial(port, headers={"Authorization": "Bearer nonsense"}) as client:
        code, reason, last = await client.ended()
    assert (code, reason) == (4401, "token-invalid") and last["detail"]
