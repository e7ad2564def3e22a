"""Real sockets: who may listen, what arrives, and how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from sync.base.settings import AuthSettings
from sync.store.engine import Database
from tests.fakes.jobs import eventually
from tests.fakes.live_client import LiveClient, dial, listening
from tests.fakes.tokens import SECRET, token
from tests.integration.realtime.conftest import Replica, busy, happen, live_settings, numbers, replica

# -- what arrives


async def test_what_is_committed_arrives(one: Replica, db: Database) -> None:
    async with listening(one.port, ["runs"]) as client:
        await happen(db, 1, 2)
        first, second = await client.events(2)
        assert numbers([first, second]) == [1, 2]
        assert first["type"] == "sync.completed" and first["subject"] == "thing:1" and first["at"]
        assert client.cursor == str(second["id"])


async def test_only_topics_that_were_asked_for(one: Replica, db: Database) -> None:
    async with listening(one.port, ["alerts", "conversations"]) as client:
        for number, type in enumerate(["sync.failed", "alert.raised", "row.changed", "conversation.opened"]):
            await happen(db, number, type=type)
        assert numbers(await client.events(2)) == [1, 3]


async def test_filters_hold_live_and_for_what_is_read_later(one: Replica, db: Database) -> None:
    wanted = {"activities": {"platform": ["slack", "reddit"], "integration_id": 7}}

    async def various(base: int) -> None:
        for step, (platform, integration) in enumerate([("slack", 7), ("slack", 8), ("discord", 7), ("reddit", 7)]):
            await happen(db, base + step, type="activity.added", platform=platform, integration_id=integration)

    async with listening(one.port, wanted) as client:
        await various(0)
        assert numbers(await client.events(2)) == [0, 3]
        cursor = client.cursor
    await various(10)
    async with listening(one.port, wanted, cursor=cursor) as client:
        assert numbers(await client.events(2)) == [10, 13]


async def test_a_later_subscription_replaces_the_first(one: Replica, db: Database) -> None:
    async with listening(one.port, ["runs"]) as client:
        await happen(db, 1)
        await client.event()
        answer = await client.subscribe(["alerts"])
        assert answer["topics"] == ["alerts"] and answer["cursor"] == client.cursor
        await happen(db, 2)
        await happen(db, 3, type="alert.raised")
        assert numbers([await client.event()]) == [3]


async def test_a_client_goes_on_where_it_stopped(one: Replica, db: Database) -> None:
    async with listening(one.port, ["runs"]) as client:
        await happen(db, 1)
        await client.event()
        cursor = client.cursor
    await happen(db, 2, 3)
    async with listening(one.port, ["runs"], cursor=cursor) as client:
        await happen(db, 4)
        assert numbers(await client.events(3)) == [2, 3, 4]


async def test_many_missed_events_come_at_the_pace_of_the_client(pg_url: str, db: Database) -> None:
    async with replica(live_settings(pg_url, poll_s=0.2, buffer_messages=16)) as one:
        async with listening(one.port, ["runs"]) as client:
            cursor = client.cursor or (await client.expect("ping"))["cursor"]
        for base in range(0, 1500, 100):
            await happen(db, *range(base, base + 100), text="x" * 500)
        async with listening(one.port, ["runs"], cursor=cursor) as client:
            await happen(db, 1500)
            assert numbers(await client.events(1501)) == list(range(1501))


async def test_the_heartbeat_carries_a_cursor_that_is_good_to_go_on_from(pg_url: str, db: Database) -> None:
    async with replica(live_settings(pg_url, poll_s=0.2, heartbeat_s=0.1)) as one:
        async with listening(one.port, ["alerts"]) as client:
            await happen(db, 1)
            before = client.cursor
            async with asyncio.timeout(60):
                while client.cursor == before:  # nothing for this client happened, and yet its cursor moves
                    await client.expect("ping")
            cursor = client.cursor
        await happen(db, 2, type="alert.raised")
        async with listening(one.port, ["alerts", "runs"], cursor=cursor) as client:
            assert numbers([await client.event()]) == [2]


async def test_a_ping_is_answered(one: Replica) -> None:
    async with dial(one.port) as client:
        await client.expect("ready")
        await client.send(op="ping")
        await client.expect("pong")


# -- what never arrives


async def test_events_of_other_orgs_never_arrive(one: Replica, db: Database) -> None:
    topics = ["activities", "conversations", "runs", "integrations", "notifications", "alerts"]
    types = ["activity.added", "conversation.opened", "sync.failed", "integration.expired", "alert.raised"]
    async with listening(one.port, topics) as acme, listening(one.port, topics, org="globex") as globex:
        cursor = acme.cursor
        for number, type in enumerate(types * 4):
            await happen(db, number, type=type, org=["acme", "globex"][number % 2])
        assert numbers(await acme.events(10)) == list(range(0, 20, 2))
        assert numbers(await globex.events(10)) == list(range(1, 20, 2))
    async with listening(one.port, topics, org="initech", cursor=cursor) as other:  # a cursor opens nothing
        await happen(db, 99, org="initech")
        assert numbers([await other.event()]) == [99]


async def test_notifications_arrive_at_their_user_alone(one: Replica, db: Database) -> None:
    async with listening(one.port, ["notifications"], sub="ada") as ada:
        async with listening(one.port, ["notifications"], sub="bob") as bob:
            for number, user in enumerate(["ada", "bob", "ada", "bob"]):
                await happen(db, number, type="notification.created", user=user)
            assert numbers(await ada.events(2)) == [0, 2]
            assert numbers(await bob.events(2)) == [1, 3]


# -- who may listen


async def test_a_browser_sends_the_token_as_a_subprotocol(one: Replica) -> None:
    async with dial(one.port, headers={}, subprotocols=["bearer", token(role="viewer")]) as client:
        assert client.connection.subprotocol == "bearer"
        ready = await client.expect("ready")
        assert (ready["org"], ready["user"]) == ("acme", "ada") and ready["expires"] > time.time()


async def test_or_in_a_first_message(one: Replica, db: Database) -> None:
    async with dial(one.port, headers={}) as client:
        await client.send(op="auth", token=token(org="globex"))
        assert (await client.expect("ready"))["org"] == "globex"
        await client.subscribe(["runs"])
        await happen(db, 1, org="globex")
        await client.event()


REFUSALS: list[tuple[dict[str, Any], dict[str, Any] | None, tuple[int, str]]] = [
    ({"headers": {"Authorization": "Bearer nonsense"}}, None, (4401, "token-invalid")),
    ({"headers": {"Authorization": "Basic YTpi"}}, None, (4401, "token-invalid")),
    ({"headers": {"Authorization": f"Bearer {token(exp=1)}"}}, None, (4401, "token-invalid")),
    ({"headers": {}, "path": f"/ws?token={token()}"}, None, (4400, "bad-message")),
    ({"headers": {}}, {"op": "subscribe", "topics": ["runs"]}, (4400, "bad-message")),
    ({"headers": {}}, {"op": "auth", "token": "nonsense"}, (4401, "token-invalid")),
    ({}, {"op": "subscribe", "topics": ["weather"]}, (4400, "bad-message")),
    ({}, {"op": "shout"}, (4400, "bad-message")),
    ({}, {"op": "auth", "token": "x" * 20_000}, (4400, "bad-message")),
    ({}, {"op": "auth", "token": token(sub="bob")}, (4403, "forbidden")),
    ({}, {"op": "auth", "token": token(org="globex")}, (4403, "forbidden")),
    ({}, {"op": "auth", "token": "nonsense"}, (4401, "token-invalid")),
]


@pytest.mark.parametrize(("options", "first", "end"), REFUSALS)
async def test_who_is_refused_is_told_why(
    one: Replica, options: dict[str, Any], first: dict[str, Any] | None, end: tuple[int, str]
) -> None:
    async with dial(one.port, **options) as client:
        if first is not None:
            await client.send(**first)
        code, reason, last = await client.ended()
    assert (code, reason) == end
    assert last["type"] == "closing" and last["code"] == code and last["detail"]
    assert "eyJ" not in last["detail"], "a token must not come back"
    await eventually(lambda: one.hub.connections == 0)


async def test_who_says_nothing_is_sent_away(pg_url: str) -> None:
    async with replica(live_settings(pg_url, auth_timeout_s=0.1)) as one, dial(one.port, headers={}) as client:
        assert (await client.ended())[:2] == (4408, "token-required")


async def test_a_second_cursor_is_a_mistake(one: Replica) -> None:
    async with listening(one.port, ["runs"]) as client:
        await client.send(op="subscribe", topics=["runs"], cursor="0")
        assert (await client.ended())[:2] == (4400, "bad-message")


async def test_the_end_of_the_token_is_the_end_of_the_connection(pg_url: str) -> None:
    settings = live_settings(pg_url)
    settings = settings.model_copy(update={"auth": AuthSettings(secret=SECRET, leeway_s=0)})
    soon = {"Authorization": f"Bearer {token(exp=int(time.time()) + 8)}"}
    async with replica(settings) as one, dial(one.port, headers=soon) as client:
        async with dial(one.port, headers=soon) as renewed:
            await renewed.expect("ready")
            later = int(time.time()) + 600
            await renewed.send(op="auth", token=token(exp=later))
            assert (await renewed.expect("authenticated"))["expires"] == later
            assert (await client.ended())[:2] == (4419, "token-expired")
            await renewed.send(op="ping")
            await renewed.expect("pong")


# -- limits


async def test_an_org_has_its_share_of_connections(pg_url: str) -> None:
    async with replica(live_settings(pg_url, max_per_org=2, max_connections=3)) as one:
        async with dial(one.port) as first, dial(one.port) as second:
            await first.expect("ready")
            await second.expect("ready")
            async with dial(one.port) as third:
                assert (await third.ended())[:2] == (4429, "too-many-connections")
            await eventually(lambda: one.hub.connections == 2)
            async with dial(one.port, org="globex") as other:
                await other.expect("ready")
                async with dial(one.port, org="initech") as last:
                    assert (await last.ended())[:2] == (4429, "too-many-connections")
        await eventually(lambda: one.hub.connections == 0)
        async with dial(one.port) as again:
            await again.expect("ready")


async def test_strangers_do_not_use_up_the_places(pg_url: str) -> None:
    settings = live_settings(pg_url, max_connections=20, auth_timeout_s=60)
    async with replica(settings) as one, contextlib.AsyncExitStack() as strangers:
        hub = one.hub
        for _ in range(16):
            await strangers.enter_async_context(dial(one.port, headers={}))
        await eventually(lambda: hub.connections == 16)
        async with dial(one.port, headers={}) as client:
            assert (await client.ended())[:2] == (4429, "too-many-connections")
        await strangers.aclose()
        await eventually(lambda: hub.connections == 0)
        async with dial(one.port) as client:
            await client.expect("ready")


async def test_a_client_that_says_too_much_is_cut_off(pg_url: str) -> None:
    async with replica(live_settings(pg_url, messages_per_minute=5)) as one, dial(one.port) as client:
        for _ in range(6):
            await client.send(op="ping")
        assert (await client.ended())[:2] == (4428, "too-many-messages")


async def test_a_burst_is_not_slowness(pg_url: str, db: Database) -> None:
    """More in one transaction than the buffer holds, by number and by size: it comes, once and in order."""
    async with replica(live_settings(pg_url, poll_s=0.2, buffer_messages=16, buffer_bytes=65_536)) as one:
        async with listening(one.port, ["runs"]) as client, listening(one.port, ["runs"]) as other:
            for base in range(0, 1200, 400):
                await happen(db, *range(base, base + 400), text="x" * 1000)
            assert numbers(await client.events(1200)) == list(range(1200))
            assert numbers(await other.events(1200)) == list(range(1200))
            await happen(db, 1200)
            assert numbers([await client.event(), await other.event()]) == [1200, 1200]


async def test_a_slow_client_is_dropped_and_the_others_go_on(pg_url: str, db: Database) -> None:
    small = {"buffer_messages": 50, "buffer_bytes": 200_000, "send_timeout_s": 3.0}
    async with replica(live_settings(pg_url, poll_s=0.2, **small)) as one:
        options = {"compression": None, "max_queue": 1}
        async with listening(one.port, ["runs"]) as quick, listening(one.port, ["runs"], **options) as slow:
            cursor, sent = slow.cursor, 0
            async with asyncio.timeout(100):
                while one.hub.connections == 2:  # until the buffers of both kernels are full, too
                    await happen(db, *range(sent, sent + 20), text="x" * 20_000)
                    assert numbers(await quick.events(20)) == list(range(sent, sent + 20))
                    sent += 20
            await happen(db, sent)
            assert numbers([await quick.event()]) == [sent]
            with pytest.raises(ConnectionClosed):
                while True:
                    await slow.next()
            # It goes on from the last message that it has read.
            assert slow.cursor != cursor and int(slow.cursor or 0) < int(quick.cursor or 0)
            async with listening(one.port, ["runs"], cursor=slow.cursor) as again:
                while numbers([await again.event()]) != [sent]:
                    pass


async def test_a_client_that_stays_behind_is_dropped(pg_url: str, db: Database) -> None:
    small = {"buffer_messages": 16, "buffer_bytes": 65_536, "replay_limit": 50}
    async with replica(live_settings(pg_url, poll_s=0.2, **small)) as one:
        async with listening(one.port, ["runs"]) as client:
            await happen(db, *range(600), text="x" * 1000)
            assert (await client.ended())[:2] == (4420, "slow-consumer")


# -- cursors that are no good any more


async def expect_reset(client: LiveClient, cursor: str, reason: str) -> None:
    await client.expect("ready")
    await client.send(op="subscribe", topics=["runs"], cursor=cursor)
    reset = await client.expect("reset")
    assert reset["reason"] == reason and "Read anew" in reset["detail"]


async def test_a_cursor_from_before_the_oldest_event_is_reset(one: Replica, db: Database) -> None:
    async with listening(one.port, ["runs"]) as client:
        await happen(db, 1)
        await client.event()
        old, cursor = "0", client.cursor or ""
    await eventually(lambda: not busy())
    await happen(db, 2, 3, 4)
    await db.execute("DELETE FROM event WHERE payload->>'number' IN ('1', '2')")
    for expired in (old, cursor):
        async with dial(one.port) as client:
            await expect_reset(client, expired, "cursor-expired")
            await happen(db, 5)
            assert numbers([await client.event()]) == [5]
    async with listening(one.port, ["runs"], cursor=str(int(cursor) + 1)) as client:  # the next one is still there
        assert numbers(await client.events(2)) == [3, 4]
    await eventually(lambda: not busy())
    await db.execute("DELETE FROM event")
    async with dial(one.port) as client:
        await expect_reset(client, cursor, "cursor-expired")


@pytest.mark.parametrize("cursor", ["999999999", "nonsense", "-1", "0.0.0"])
async def test_a_cursor_of_another_log_is_reset(one: Replica, db: Database, cursor: str) -> None:
    await happen(db, 1)
    async with dial(one.port) as client:
        await expect_reset(client, cursor, "cursor-unknown")
        await happen(db, 2)
        assert numbers([await client.event()]) == [2]


async def test_a_client_that_is_too_far_behind_is_reset(pg_url: str, db: Database) -> None:
    async with replica(live_settings(pg_url, poll_s=0.2, replay_limit=100)) as one:
        async with listening(one.port, ["runs"]) as client:
            await happen(db, 1)
            await client.event()
            cursor = client.cursor or ""
        await eventually(lambda: not busy())
        await happen(db, *range(2, 200))
        async with dial(one.port) as client:
            await client.expect("ready")
            await client.subscribe(["runs"], cursor)
            await expect_reset_after_events(client)
            await happen(db, 200)
            assert numbers([await client.event()]) == [200]


async def expect_reset_after_events(client: LiveClient) -> None:
    while (message := await client.next())["type"] in {"event", "ping"}:
        pass
    assert (message["type"], message["reason"]) == ("reset", "too-far-behind")


# -- the end


async def test_a_server_that_stops_says_so(pg_url: str, db: Database) -> None:
    async with replica(live_settings(pg_url)) as one, listening(one.port, ["runs"]) as client:
        one.server.should_exit = True
        with pytest.raises(ConnectionClosed) as closed:
            await client.next()
        assert closed.value.rcvd is not None and closed.value.rcvd.code == 1012


async def test_the_hub_itself_sends_everybody_elsewhere(one: Replica) -> None:
    async with listening(one.port, ["runs"]) as client, dial(one.port) as idle:
        await idle.expect("ready")
        await one.hub.close()
        assert (await client.ended())[:2] == (1012, "restart")
        assert (await idle.ended())[:2] == (1012, "restart")
        async with dial(one.port) as late:
            assert (await late.ended())[:2] == (1012, "restart")


async def test_nothing_runs_while_nobody_listens(one: Replica) -> None:
    for _ in range(3):
        assert not busy()
        async with listening(one.port, ["runs"]):
            assert busy() == {"realtime.tail", "realtime.sweep"}
        await eventually(lambda: not busy())
    assert one.hub.connections == 0
