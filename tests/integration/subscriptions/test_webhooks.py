"""Events that leave by network: signed, in order per subject, again until they were taken."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest

from sync.base.outbound_http import Answer
from sync.consumers.signing import signature_headers
from sync.subscriptions.rows import Subscription
from tests.fakes.http_receiver import HttpReceiver, Received, Reply, http_receiver
from tests.fakes.jobs import eventually
from tests.integration.subscriptions.conftest import World, happened


@pytest.fixture
async def receiver() -> AsyncIterator[HttpReceiver]:
    async with http_receiver() as running:
        yield running


def hook(receiver: HttpReceiver, **more: object) -> dict[str, object]:
    return {"type": "webhook", "url": receiver.url, **more}


def bodies(receiver: HttpReceiver) -> list[dict[str, object]]:
    return [json.loads(call.body) for call in receiver.received]


def numbers(receiver: HttpReceiver, subject: str) -> list[object]:
    return [body["data"]["n"] for body in bodies(receiver) if body["subject"] == subject]  # type: ignore[index]


async def got(receiver: HttpReceiver, count: int) -> bool:
    return len(receiver.received) >= count


async def emptied(world: World) -> bool:
    return await world.db.fetch_value("SELECT count(*) FROM event_lane") == 0


async def state(world: World) -> str:
    return str(await world.db.fetch_value("SELECT state FROM subscription"))


def signed_with(call: Received, *keys: str) -> bool:
    expected = signature_headers(
        call.headers["webhook-id"], int(call.headers["webhook-timestamp"]), call.body, list(keys)
    )
    return call.headers["webhook-signature"] == expected["webhook-signature"]


async def test_events_arrive_signed_and_in_order(world: World, receiver: HttpReceiver) -> None:
    row = await world.subscribe(hook(receiver, headers={"X-Shop": "17"}), "thing.*")
    async with world.consumer():
        await world.write(*(happened(f"thing:{n % 3}", n=n) for n in range(12)))
        await eventually(lambda: got(receiver, 12))
        await eventually(lambda: emptied(world))
    for one in range(3):
        assert numbers(receiver, f"thing:{one}") == [n for n in range(12) if n % 3 == one]
    call = receiver.received[0]
    assert call.method == "POST" and call.headers["x-shop"] == "17"
    assert call.headers["content-type"] == "application/json"
    assert call.headers["webhook-id"] == f"msg_{row.id}_{bodies(receiver)[0]['id']}"
    assert signed_with(call, str(world.secret))
    assert len({call.headers["webhook-id"] for call in receiver.received}) == 12
    [shown] = await world.subscriptions.list("acme")
    assert shown.last_success_at is not None and shown.failing_since is None


async def test_a_failing_subject_is_retried_in_order(world: World, receiver: HttpReceiver) -> None:
    await world.subscribe(hook(receiver))
    receiver.script(Reply(500), Reply(302), Reply(404), Reply(429))
    async with world.consumer():
        await world.write(*(happened("thing:1", n=n) for n in range(3)))
        await eventually(lambda: emptied_after(world, receiver, 7))
    assert numbers(receiver, "thing:1") == [0, 0, 0, 0, 0, 1, 2]
    assert len({call.headers["webhook-id"] for call in receiver.received[:5]}) == 1
    [shown] = await world.subscriptions.list("acme")
    assert shown.failing_since is None and shown.last_error is not None and "429" in shown.last_error


async def emptied_after(world: World, receiver: HttpReceiver, count: int) -> bool:
    return await got(receiver, count) and await emptied(world)


async def test_a_slow_endpoint_delays_only_itself(world: World, receiver: HttpReceiver) -> None:
    async with http_receiver() as slow:
        slow.script(*(Reply(hang=True) for _ in range(50)))
        await world.subscribe(hook(slow), name="slow")
        await world.subscribe(hook(receiver), name="quick")
        async with world.consumer():
            await world.write(*(happened(f"thing:{n}", n=n) for n in range(50)))
            await eventually(lambda: got(receiver, 50))
            assert len(slow.received) <= 2 * world.settings.events.per_webhook


async def test_a_rotated_key_signs_beside_the_old_one_until_that_is_dropped(
    world: World, receiver: HttpReceiver
) -> None:
    row = await world.subscribe(hook(receiver))
    old = str(world.secret)
    async with world.db.transaction() as tx:
        new = await world.subscriptions.rotate(tx, "acme", row.id)
    async with world.consumer():
        await world.write(happened(n=1))
        await eventually(lambda: got(receiver, 1))
        assert signed_with(receiver.received[0], new, old)
        async with world.db.transaction() as tx:
            await world.subscriptions.drop_previous(tx, "acme", row.id)
        await world.write(happened(n=2))
        await eventually(lambda: got(receiver, 2))
    assert signed_with(receiver.received[1], new)
    stored = await world.db.fetch_value("SELECT secret FROM subscription")
    assert new.encode() not in bytes(stored)


async def test_after_a_day_without_success_it_is_disabled_and_nothing_is_lost(
    world: World, receiver: HttpReceiver
) -> None:
    row = await world.subscribe(hook(receiver))
    receiver.script(*(Reply(503) for _ in range(100_000)))
    async with world.consumer():
        await world.write(happened("thing:1", n=1), happened("thing:2", n=2))
        await eventually(lambda: got(receiver, 4))
        assert await state(world) == "active"
        await world.db.execute("UPDATE event_lane SET failing_since = failing_since - interval '1 day'")
        await world.db.execute("UPDATE subscription SET failing_since = failing_since - interval '1 day'")

        async def disabled() -> bool:
            return await state(world) == "disabled"

        await eventually(disabled)
        assert await world.db.fetch_value("SELECT count(*) FROM alert WHERE resolved_at IS NULL") == 1
        events = await world.db.fetch_all("SELECT type FROM event WHERE type LIKE 'subscription.%%'")
        assert [event["type"] for event in events] == ["subscription.disabled"]
        receiver.replies.clear()
        async with world.db.transaction() as tx:
            await world.subscriptions.resume(tx, "acme", row.id)
        await eventually(lambda: emptied(world))
        await eventually(lambda: got_numbers(receiver))
    assert await world.db.fetch_value("SELECT count(*) FROM alert WHERE resolved_at IS NULL") == 0


async def got_numbers(receiver: HttpReceiver) -> bool:
    return numbers(receiver, "thing:1")[-1:] == [1] and numbers(receiver, "thing:2")[-1:] == [2]


async def test_a_subject_that_fails_alone_is_parked_alone(world: World, receiver: HttpReceiver) -> None:
    await world.subscribe(hook(receiver))
    async with world.consumer() as consumer:
        receiver.script(*(Reply(400) for _ in range(100_000)))
        await world.write(happened("thing:1", n=1))
        await eventually(lambda: got(receiver, 2))
        await consumer.drain(10)
    await world.db.execute("UPDATE event_lane SET failing_since = now() - interval '2 days', next_at = now()")
    await world.db.execute("UPDATE subscription SET failing_since = now() - interval '1 hour'")
    receiver.replies.clear()
    receiver.script(Reply(400))
    async with world.consumer():

        async def parked() -> bool:
            return await world.db.fetch_value("SELECT count(*) FROM event_lane WHERE state = 'parked'") == 1

        await eventually(parked)
        await world.write(happened("thing:1", n=2), happened("thing:2", n=3))

        async def other() -> bool:
            return numbers(receiver, "thing:2") == [3]

        await eventually(other)
    assert await state(world) == "active"
    assert 2 not in numbers(receiver, "thing:1")


async def test_gone_means_gone(world: World, receiver: HttpReceiver) -> None:
    await world.subscribe(hook(receiver))
    receiver.script(Reply(410))
    async with world.consumer():
        await world.write(happened(n=1))

        async def disabled() -> bool:
            return await state(world) == "disabled"

        await eventually(disabled)
    assert len(receiver.received) == 1 and not await emptied(world)


async def test_private_addresses_are_not_called(world: World) -> None:
    await world.subscribe({"type": "webhook", "url": "http://10.1.2.3/hook"})
    async with world.consumer():
        await world.write(happened())

        async def refused() -> bool:
            [row] = await world.subscriptions.list("acme")
            return "private" in (row.last_error or "")

        await eventually(refused)


async def test_an_answer_that_comes_after_the_lease_changes_nothing(world: World, receiver: HttpReceiver) -> None:
    """Whoever sends for so long that another has taken over must not remove what that one sends."""
    from sync.subscriptions.sending import Postman, Sender

    row: Subscription = await world.subscribe(hook(receiver))

    class Slow:
        async def send(self, *_: object, **__: object) -> Answer:
            await world.db.execute("UPDATE event_lane SET epoch = epoch + 1")
            return Answer(200, {}, b"", False, 0.1)

    async with world.consumer() as consumer:
        receiver.script(*(Reply(500) for _ in range(100_000)))
        await world.write(happened(n=1))
        await eventually(lambda: got(receiver, 1))
        await consumer.drain(10)
    await world.db.execute("UPDATE event_lane SET next_at = now(), leased = false")
    postman = Postman(world.db, world.sealer, world.settings.outbound, client=Slow())
    sender = Sender(world.db, postman, world.settings.events, wake=lambda: None)
    assert await sender.step() == 1
    await sender.drained()
    assert not await emptied(world)
    [shown] = await world.subscriptions.list("acme")
    assert shown.id == row.id and shown.last_success_at is None


async def test_what_a_dead_sender_had_under_way_is_sent_again_under_the_same_id(
    world: World, receiver: HttpReceiver
) -> None:
    await world.subscribe(hook(receiver))
    receiver.script(Reply(hang=True))
    async with world.consumer():
        await world.write(happened(n=1), happened(n=2))
        await eventually(lambda: got(receiver, 1))  # and now it ends, without a word
    assert await world.db.fetch_value("SELECT leased AND next_at > now() FROM event_lane")
    await world.db.execute("UPDATE event_lane SET next_at = now()")
    async with world.consumer():
        await eventually(lambda: emptied_after(world, receiver, 3))
    assert numbers(receiver, "thing:1") == [1, 1, 2]
    assert receiver.received[0].headers["webhook-id"] == receiver.received[1].headers["webhook-id"]


async def test_rows_that_nobody_can_read_stop_no_others(world: World, receiver: HttpReceiver) -> None:
    alert = {"type": "notification", "title": "Look"}
    hooks = [await world.subscribe(hook(receiver), "thing.*", name=name) for name in ("bad", "good")]
    alerts = [await world.subscribe(alert, "thing.*", name=f"{name} alert") for name in ("bad", "good")]
    await world.db.execute(
        "UPDATE subscription SET target = target || '{\"later\": 1}' WHERE id = ANY(%s)", ([hooks[0].id, alerts[0].id],)
    )
    for row in (*hooks, *alerts):
        await world.db.execute(
            "INSERT INTO event_lane (reader_id, org_id, subject) VALUES (%s, 'acme', 'thing:1')", (row.reader_id,)
        )
        await world.db.execute(
            "INSERT INTO event_backlog (reader_id, org_id, subject, event_id, type, payload, version, created_at)"
            " VALUES (%s, 'acme', 'thing:1', 1, 'thing.happened', '{}', 1, now())",
            (row.reader_id,),
        )
    async with world.consumer():
        await eventually(lambda: got(receiver, 1))

        async def raised() -> bool:
            return await world.db.fetch_value("SELECT count(*) FROM alert") == 1

        await eventually(raised)
