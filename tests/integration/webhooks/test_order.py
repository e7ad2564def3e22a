"""Whatever the order and however often: the same state in the end, and what a poll brings in between is harmless."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connectors.http.streams import Record
from connectors.records import ActivityRecord
from connectors.registry import PLATFORMS
from connectors.telegram import parse as telegram
from connectors.twitter import parse as twitter
from sync.base.settings import Settings
from sync.events import append_events
from sync.signals import LocalTransport, Signals
from sync.sink import Source
from sync.social.sink import SocialSink
from sync.store.engine import Database
from sync.webhooks.apply import Applier
from tests.fakes.hooks import BOT, CONNECTORS
from tests.integration.webhooks.test_apply import dm, said

USER = "111"
_STATE = """
SELECT kind, vendor_id, text, version, deleted_at IS NOT NULL AS deleted, author_id, thread_id, direction
FROM activity ORDER BY kind, vendor_id"""


@dataclass(frozen=True)
class Hooked:
    """A payload of the vendor's, and the address it comes to."""

    platform: str
    payload: Any


@dataclass(frozen=True)
class Polled:
    """A page of a poll, as the connector would hand it over, read before or after anything else."""

    platform: str
    records: tuple[Record, ...]


Step = Hooked | Polled


def deleted_post(post: str) -> Hooked:
    data = {"event_uuid": f"gone-{post}", "filter": {"user_id": USER}, "event_type": "post.delete"}
    return Hooked("twitter", {"data": {**data, "payload": {"id": post, "author_id": USER}}})


def post(number: str) -> ActivityRecord:
    record = ActivityRecord(kind="post", vendor_id=number, occurred_at=None, text="a post", version=int(number))
    return msgspec.structs.replace(record, occurred_at=twitter.time_of(number))


def telegram_page(*updates: dict[str, Any]) -> Polled:
    return Polled("telegram", tuple(r for update in updates for r in telegram.records(update, BOT, "shopbot")))


def chat(kind: str, number: str) -> Hooked:
    """A message in the chat of a channel, or its deletion."""
    event = {
        "broadcaster_user_id": CHANNEL,
        "broadcaster_user_login": "s",
        "chatter_user_id": "4",
        "chatter_user_login": "v",
        "chatter_user_name": "V",
        "message_id": number,
        "message": {"text": "Hi chat", "fragments": []},
    }
    condition = {"broadcaster_user_id": CHANNEL, "user_id": CHANNEL}
    return Hooked("twitch", {"subscription": {"type": kind, "condition": condition}, "event": event})


CHANNEL = "1337"
POST = "2080761269309813134"
STEPS: tuple[Step, ...] = (
    Hooked("telegram", said(1, "one")),
    Hooked("telegram", said(1, "one, edited", edited=1763626900)),
    Hooked("telegram", said(1, "one, edited again", edited=1763627000)),
    Hooked("telegram", said(2, "two")),
    telegram_page(said(1, "one"), said(2, "two")),
    telegram_page(said(1, "one, edited", edited=1763626900)),
    Hooked("twitter", dm(7)),
    Hooked("twitter", dm(8)),
    Polled("twitter", (post(POST),)),
    deleted_post(POST),
    chat("channel.chat.message", "m1"),
    chat("channel.chat.message_delete", "m1"),
    chat("channel.chat.message", "m2"),
)
EXPECTED = {
    ("message", "7", "hello", False),
    ("message", "8", "hello", False),
    ("message", "-100:1", "one, edited again", False),
    ("message", "-100:2", "two", False),
    ("post", POST, "a post", True),
    ("message", "m1", "Hi chat", True),
    ("message", "m2", "Hi chat", False),
}


class World:
    def __init__(self, database: Database, signals: Signals) -> None:
        self.database = database
        self.applier = Applier(database, signals, Settings(connectors=CONNECTORS), PLATFORMS)
        self._number = 0

    async def begin(self) -> None:
        for table in ("webhook_event", "webhook_delivery", "activity", "event", "sync_run", "integration"):
            await self.database.execute(f"DELETE FROM {table}")
        self.ids = {
            platform: await self.database.fetch_value(
                """INSERT INTO integration (org_id, platform, account, facts)
                   VALUES ('acme', %s, %s, jsonb_build_object('account', %s::text)) RETURNING id""",
                (platform, account, account),
            )
            for platform, account in (("telegram", BOT), ("twitter", USER), ("twitch", CHANNEL))
        }

    async def hooks(self, steps: Sequence[Hooked]) -> None:
        """Deliveries that come together; the doors' deduplication is left out on purpose."""
        for step in steps:
            self._number += 1
            query = {"account": BOT, "username": "shopbot"} if step.platform == "telegram" else {}
            await self.database.execute(
                """INSERT INTO webhook_delivery (dedup_key, platform, headers, query, body)
                   VALUES (%s, %s, '{}', %s, %s)""",
                (
                    str(self._number).encode(),
                    step.platform,
                    msgspec.json.encode(query).decode(),
                    msgspec.json.encode(step.payload),
                ),
            )
        await self.applier.run()

    async def poll(self, page: Polled) -> None:
        sink = SocialSink()
        source = Source("acme", page.platform, self.ids[page.platform], "account", "messages")
        async with self.database.transaction() as tx:
            applied = await sink.apply(tx, source, sink.prepare(page.records), force=False)
            await append_events(tx, applied.events)

    async def settle(self) -> None:
        """What came too early is tried again."""
        await self.database.execute("UPDATE webhook_delivery SET next_at = now() WHERE state = 'stored'")
        await self.applier.run()


@pytest.fixture
async def world(db: Database) -> World:
    return World(db, Signals(LocalTransport()))


def batches(order: Sequence[Step], sizes: Sequence[int]) -> list[list[Step]]:
    """The steps in groups that come together; a poll stands alone."""
    found: list[list[Step]] = []
    room = 0
    turn = iter([*sizes, *[1] * len(order)])
    for step in order:
        if isinstance(step, Polled) or room == 0 or (found and isinstance(found[-1][-1], Polled)):
            found.append([step])
            room = next(turn) - 1
        else:
            found[-1].append(step)
            room -= 1
    return found


async def test_any_order_of_hooks_and_polls_with_repetitions_ends_in_the_same_state(world: World) -> None:
    loop = asyncio.get_running_loop()

    async def play(order: Sequence[Step], sizes: Sequence[int]) -> None:
        await world.begin()
        for batch in batches(order, sizes):
            if isinstance(batch[0], Polled):
                await world.poll(batch[0])
            else:
                await world.hooks([step for step in batch if isinstance(step, Hooked)])
        await world.settle()
        rows = await world.database.fetch_all(_STATE)
        state = {(row["kind"], row["vendor_id"], row["text"], row["deleted"]) for row in rows}
        assert state == EXPECTED
        open_ones = await world.database.fetch_value("SELECT count(*) FROM webhook_delivery WHERE state <> 'applied'")
        assert open_ones == 0
        added = await world.database.fetch_value("SELECT count(*) FROM event WHERE type = 'activity.added'")
        assert added == len(EXPECTED), "every record was announced once"

    @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(
        st.lists(st.sampled_from(STEPS), max_size=8).flatmap(lambda more: st.permutations([*STEPS, *more])),
        st.lists(st.integers(1, 6), max_size=12),
    )
    def orders(order: Sequence[Step], sizes: Sequence[int]) -> None:
        asyncio.run_coroutine_threadsafe(play(order, sizes), loop).result(120)

    await asyncio.to_thread(orders)
