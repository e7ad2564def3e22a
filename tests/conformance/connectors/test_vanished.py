"""Lists that hold all there are: what they lack is marked as deleted, but never for a list that was half read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import count
from typing import Any

from connectors.http import Stream, Watermark
from simulator.vendors.twitch.data import subscriber
from tests.conformance.connectors.conftest import OpenDesk
from tests.conformance.connectors.desk import HTTP, Desk


@dataclass(frozen=True)
class Case:
    slug: str
    part: str
    endpoint: str
    """Of the simulator: where the list is."""
    leave: Callable[[Any, str], object]
    """Whoever has this vendor_id is not listed any more."""
    back: Callable[[Any, str], object]


def _member_leaves(desk: Desk, who: str) -> None:
    desk.vendor.actions["leave"](desk.vendor.account(), member=who)


def _member_returns(desk: Desk, who: str) -> None:
    desk.vendor.account().left.discard(who)


def _follower_leaves(desk: Desk, who: str) -> None:
    desk.vendor.actions["unfollow"](desk.vendor.account(), user=who.partition(":")[2])


def _follower_returns(desk: Desk, who: str) -> None:
    followers, user = desk.vendor.account().followers, who.partition(":")[2]
    for key in list(followers._deleted):
        followers.restore(key)
        assert followers.get(key)["user_id"] == user


def _subscriber_leaves(desk: Desk, who: str) -> None:
    desk.vendor.actions["unsubscribe"](desk.vendor.account(), user=who.partition(":")[2])


def _subscriber_returns(desk: Desk, who: str) -> None:
    channel, user = desk.vendor.account(), who.partition(":")[2]
    made = (subscriber(channel, number) for number in count())
    channel.subscribers.append(next(found for found in made if found["user_id"] == user))


CASES = (
    Case("discord", "members", "*/members", _member_leaves, _member_returns),
    Case("twitch", "followers", "*/channels/followers", _follower_leaves, _follower_returns),
    Case("twitch", "subscribers", "*/subscriptions", _subscriber_leaves, _subscriber_returns),
)


def test_every_such_list_is_here() -> None:
    declared = {(slug, stream.part) for slug, made in HTTP.items() for stream in made.streams if stream.listed}
    assert declared == {(case.slug, case.part) for case in CASES}


async def _prepared(open_desk: OpenDesk, case: Case) -> tuple[Desk, str, str]:
    """A desk that has pulled everything, the sync type of the list, and somebody on it."""
    desk = await open_desk()

    def to_the_end(stream: Stream) -> Stream:
        """A walk back that goes to the end now and then does so always: time stands still here."""
        if not isinstance(stream.cursor, Watermark) or stream.cursor.reread is None:
            return stream
        return replace(stream, cursor=replace(stream.cursor, reread_every=timedelta(0)))

    streams = tuple(to_the_end(stream) for stream in desk.connector.streams)
    desk.connectors[case.slug] = replace(desk.connector, streams=streams)
    await desk.connect(case.slug)
    await desk.pull_all()
    stream = next(found for found in streams if found.part == case.part and found.listed)
    assert stream.listed is not None
    wanted = [
        vendor_id
        for vendor_id, data in await desk.rows(
            "SELECT vendor_id, data FROM activity WHERE kind = %s", stream.listed.kind
        )
        if vendor_id.startswith(stream.listed.prefix) and stream.listed.data.items() <= (data or {}).items()
    ]
    assert len(wanted) > 3
    return desk, stream.name, sorted(wanted)[1]


async def _is_deleted(desk: Desk, who: str) -> bool:
    return bool(await desk.value("SELECT deleted_at IS NOT NULL FROM activity WHERE vendor_id = %s", who))


async def test_what_is_missing_twice_is_marked_and_comes_back(open_desk: OpenDesk, case: Case) -> None:
    desk, sync_type, who = await _prepared(open_desk, case)
    case.leave(desk, who)
    await desk.pull(sync_type)
    assert not await _is_deleted(desk, who)
    await desk.pull(sync_type)
    assert await _is_deleted(desk, who)
    assert await desk.events("activity.deleted") == 1
    await desk.pull(sync_type)
    assert await desk.events("activity.deleted") == 1
    case.back(desk, who)
    await desk.pull(sync_type)
    assert not await _is_deleted(desk, who)


async def test_a_list_that_was_interrupted_says_nothing(open_desk: OpenDesk, case: Case) -> None:
    desk, sync_type, who = await _prepared(open_desk, case)
    case.leave(desk, who)
    await desk.pull(sync_type)
    desk.world.faults.add("limited", vendor=case.slug, endpoint=case.endpoint, after=1, count=1, retry_after=60)
    await desk.pull(sync_type)
    assert not desk.world.faults.active, "it was interrupted on the way"
    assert not await _is_deleted(desk, who)
    await desk.pull(sync_type)
    assert await _is_deleted(desk, who)


async def test_a_death_on_the_way_marks_nobody_twice(open_desk: OpenDesk, case: Case) -> None:
    desk, sync_type, who = await _prepared(open_desk, case)
    case.leave(desk, who)
    await desk.pull(sync_type)
    await desk.killed_after_every_page(sync_type, 12)
    await desk.pull(sync_type)
    await desk.pull(sync_type)
    assert await _is_deleted(desk, who)
    deleted = await desk.rows("SELECT vendor_id FROM activity WHERE deleted_at IS NOT NULL")
    assert deleted == [(who,)]
    assert await desk.events("activity.deleted") == 1
