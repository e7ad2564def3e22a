from __future__ import annotations

import pytest

from actors import names
from sync.base.errors import Permanent
from sync.supervision.model import Member, Pair, Seat
from sync.supervision.pools import POOLS


@pytest.mark.parametrize(
    ("who", "name"),
    [
        (Member("consumer.one-off", 0), "consumer.one-off.0"),
        (Member("processor.billing", 12), "processor.billing.12"),
        (Seat("b"), "scheduler.b"),
        (Pair("acme", "email"), "sync:acme:email"),
        (Pair("a.b-c_d", "google_ads"), "sync:a.b-c_d:google_ads"),
        (Pair("_system", "email"), "sync:_system:email"),
    ],
)
def test_a_name_and_its_parts_are_two_ways_of_the_same(who: names.Who, name: str) -> None:
    assert names.name_of(who) == name
    assert names.parse(name) == who


def test_every_pool_has_members_with_names() -> None:
    assert [names.parse(names.pool_member(pool, 3)) for pool in POOLS] == [Member(pool, 3) for pool in POOLS]


@pytest.mark.parametrize(
    "name",
    ["", "supervisor", "scheduler.c", "scheduler.", "consumer.one-off", "consumer.one-off.01", "consumer.nothing.0",
     "sync:acme", "sync:acme:email:x", "sync::email", "sync:acme:Email", "SERVE_CONTROLLER_ACTOR", "sync:a/b:email"],
)  # fmt: skip
def test_foreign_names_are_nobody(name: str) -> None:
    assert names.parse(name) is None


@pytest.mark.parametrize(("org_id", "platform"), [("a:b", "email"), ("", "email"), ("acme", "e:mail"), ("acme", "E")])
def test_parts_that_could_forge_another_name_are_refused(org_id: str, platform: str) -> None:
    with pytest.raises(Permanent):
        names.sync_actor(org_id, platform)


def test_unknown_pools_seats_and_indexes_are_refused_with_the_known_ones() -> None:
    with pytest.raises(Permanent, match=r"consumer\.one-off"):
        names.pool_member("consumer.two-off", 0)
    with pytest.raises(Permanent, match="a and b"):
        names.scheduler("c")
    with pytest.raises(Permanent, match="9999"):
        names.pool_member("consumer.one-off", -1)
