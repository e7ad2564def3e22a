"""The parts every vendor is built from, without a server."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from simulator import World, numbers
from simulator.auth import App, AuthServer, OAuthError, Refresh, TokenError, TokenRules
from simulator.clock import Clock
from simulator.faults import Faults
from simulator.feed import Feed, Past
from simulator.limits import Limiter, Rule
from simulator.vendor import Account

NOW = 1_764_000_000.0


def _feed(count: int = 1000) -> Feed:
    return Feed(Past(count, 0, count * 10, lambda key, index: {"id": key, "n": index}, 5))


def _walk(feed: Feed, limit: int, **options: Any) -> list[int]:
    keys: list[int] = []
    position = None
    newest_first = options.get("newest_first", True)
    while True:
        edge: dict[str, int] = {} if position is None else {"below" if newest_first else "above": position}
        part = feed.slice(limit, **{**options, **edge})
        keys += part.keys
        if not part.more:
            return keys
        position = part.last


def test_a_walk_over_a_growing_feed_meets_every_record_once() -> None:
    feed = _feed(250)
    before = list(feed)
    part = feed.slice(100)
    feed.append(feed.free_key(5), {"id": "new"})
    rest = _walk(feed, 100, below=part.last)
    assert sorted(part.keys + rest) == before == sorted(before)
    assert _walk(feed, 7) == list(feed)[::-1]
    assert _walk(feed, 7, newest_first=False) == list(feed)


def test_bounds_are_exclusive_and_hit_keys_exactly() -> None:
    feed = _feed(50)
    keys = list(feed)
    assert feed.slice(100, above=keys[9], below=keys[20], newest_first=False).keys == keys[10:20]
    assert feed.slice(100, above=keys[9] - 1, below=keys[20] + 1, newest_first=False).keys == keys[9:21]


def test_edits_and_deletes_show_at_the_next_reading() -> None:
    feed = _feed(10)
    key = list(feed)[3]
    assert b'"n":3' in bytes(feed.slice(10, newest_first=False).items[3])
    feed.edit(key, n=99)
    assert b'"n":99' in bytes(feed.slice(10, newest_first=False).items[3])
    assert feed.delete(key)
    assert key not in feed
    assert len(feed) == 9 == len(feed.slice(100).items)


def test_the_same_seed_makes_the_same_world() -> None:
    one, two = World(seed=7, at=NOW), World(seed=7, at=NOW)
    done = [one.grow(1)[0] for _ in range(30)]
    assert done == two.grow(30)
    assert {deed.partition(".")[0] for deed in done} == set(one.vendors)
    for slug in one.vendors:
        assert one[slug].truth() == two[slug].truth()
        assert one[slug].connect() == two[slug].connect()
    assert World(seed=8, at=NOW)["slack"].truth() != one["slack"].truth()


def _server(rules: TokenRules) -> tuple[AuthServer, App, Account]:
    server = AuthServer(1, "x", rules)
    return server, server.add_app(App("id", "secret")), Account(id="a", name="A")


def test_a_rotating_refresh_token_works_once() -> None:
    server, app, account = _server(TokenRules(3600, Refresh.ROTATING, reuse_revokes=True))
    first = server.pair(server.consent(app, account, ["read"], NOW), NOW)
    assert first.refresh
    second = server.refresh(app, first.refresh.value, NOW + 1)
    assert second.refresh is not None
    assert second.refresh.value != first.refresh.value
    assert server.check(second.access.value, NOW + 2).scopes == {"read"}
    with pytest.raises(OAuthError) as caught:
        server.refresh(app, first.refresh.value, NOW + 3)
    assert caught.value.reason == "spent"
    assert server.counters == {"refreshes": 2, "refresh_reused": 1}
    with pytest.raises(TokenError, match="revoked"):
        server.check(second.access.value, NOW + 4)


def test_a_reusable_refresh_token_keeps_its_expiry() -> None:
    server, app, account = _server(TokenRules(60, Refresh.REUSABLE, refresh_ttl=1000))
    pair = server.pair(server.consent(app, account, [], NOW), NOW)
    assert pair.refresh
    again = server.refresh(app, pair.refresh.value, NOW + 100)
    assert again.refresh is pair.refresh
    with pytest.raises(TokenError, match="expired"):
        server.check(pair.access.value, NOW + 60)
    with pytest.raises(OAuthError, match="expired"):
        server.refresh(app, pair.refresh.value, NOW + 1000)


def test_a_code_needs_its_redirect_address_and_verifier_and_works_once() -> None:
    server, app, account = _server(TokenRules(60, pkce=True))
    challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"  # RFC 7636, appendix B
    verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
    code = server.code(server.consent(app, account, [], NOW), NOW, "https://a/cb", challenge)
    for redirect, proof, reason in (("https://b/cb", verifier, "redirect_uri"), ("https://a/cb", "no", "pkce")):
        with pytest.raises(OAuthError, match=reason):
            server.exchange(app, code, redirect, proof, NOW)
    assert server.exchange(app, code, "https://a/cb", verifier, NOW).access
    with pytest.raises(OAuthError, match="spent"):
        server.exchange(app, code, "https://a/cb", verifier, NOW)


@pytest.mark.parametrize("kind", ["window", "aligned", "sliding", "bucket"])
def test_limits_refuse_what_is_over_and_count_who_did_not_wait(kind: Any) -> None:
    limiter = Limiter([Rule("r", 5, 60, kind)])
    claims = [("r", "a")]
    assert [limiter.spend(claims, NOW)[0].over for _ in range(6)] == [False] * 5 + [True]
    refused = limiter.spend(claims, NOW)[0]
    assert limiter.totals() == {"accepted": 5, "over_limit": 2, "early": 1}
    assert 0 < refused.retry_after <= 60
    assert not limiter.spend(claims, NOW + refused.retry_after)[0].over
    assert not limiter.spend([("r", "b")], NOW)[0].over


def test_a_fault_hits_where_and_as_often_as_it_was_told() -> None:
    faults = Faults(1)
    faults.add("error", vendor="slack", endpoint="*history", count=2, after=1)
    hits = [faults.strike("error", "slack", "T1", "/api/conversations.history") is not None for _ in range(5)]
    assert hits == [False, True, True, False, False]
    assert faults.strike("error", "slack", "T1", "/api/users.list") is None
    with pytest.raises(ValueError, match="No fault 'fire'"):
        faults.add("fire")  # type: ignore[arg-type]


def test_figures_grow_through_the_day_and_settle() -> None:
    day = date(2025, 11, 20)
    start = 1_763_596_800  # its midnight, UTC
    readings = [numbers.daily(start + hours * 3600, day, 1000, "x") for hours in range(0, 24 * 6, 3)]
    assert readings == sorted(readings)
    assert readings[0] == 0 < readings[7] < readings[24] < readings[-1] == numbers.settled(day, 1000, "x")
    assert numbers.money(5513) == "55.13"
    assert numbers.money(7, 2) == "0.07"
    assert numbers.money(5513, 0) == "5513"


async def test_sleepers_wake_when_a_driven_clock_passes_them() -> None:
    import asyncio

    clock = Clock(at=NOW)
    sleeper = asyncio.create_task(clock.sleep(60))
    await asyncio.sleep(0)
    clock.advance(59)
    await asyncio.sleep(0)
    assert not sleeper.done()
    clock.advance(1)
    await sleeper


def test_a_limiter_that_is_off_counts_and_tells_of_room() -> None:
    limiter = Limiter([Rule("calls", 2, 60)], enabled=False)
    for _ in range(5):
        (usage,) = limiter.spend([("calls", "a")], 0.0)
        assert (usage.over, usage.remaining, usage.percent) == (False, 2, 0.0)
    assert limiter.totals()["accepted"] == 5
