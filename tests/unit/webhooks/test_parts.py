"""Small pure parts: caps, keys, recognition, decisions."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from connectors.http import HookEvent
from connectors.registry import PLATFORMS
from sync.api.hooks import PREFIX, _address, _source
from sync.base.settings import Settings
from sync.webhooks import caps
from sync.webhooks.caps import SourceCaps
from sync.webhooks.model import Holder, Stored, dedup_key
from sync.webhooks.plan import Told, decide
from sync.webhooks.platforms import HookedPlatforms
from sync.webhooks.rows import state_of, stored_key
from tests.fakes.hooks import CONNECTORS, SIGNERS, harmless, send


def test_a_source_may_burst_then_has_to_wait_and_harms_no_other() -> None:
    limits = SourceCaps(10)
    taken = [limits.take("a", 0.0) for _ in range(30)]
    assert taken == [True] * 20 + [False] * 10
    assert limits.take("b", 0.0)
    assert limits.take("a", 0.2) and limits.take("a", 0.2) and not limits.take("a", 0.2)
    assert sum(limits.take("a", 1000.0) for _ in range(30)) == 20


def test_sources_are_forgotten_before_memory_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caps, "_SOURCES", 3)
    limits = SourceCaps(1)
    for source in "abcd":
        assert limits.take(source, 0.0)
    assert limits.take("a", 0.0), "the one quiet for the longest begins anew"
    assert len(limits._buckets) == 3


def test_keys_of_deliveries_tell_apart_what_differs() -> None:
    base = ("slack", {"a": "1"}, "id", b"body")
    others: list[tuple[Any, ...]] = [
        ("slac", {"a": "1"}, "kid", b"body"),
        ("slack", {"a": "2"}, "id", b"body"),
        ("slack", {"a": "1", "b": ""}, "id", b"body"),
        ("slack", {}, "id", b"body"),
        ("slack", {"a": "1"}, "", b"body"),
        ("slack", {"a": "1"}, "id", b"body "),
    ]
    keys = {dedup_key(*base), *(dedup_key(*other) for other in others)}
    assert len(keys) == len(others) + 1
    assert dedup_key("slack", {"b": "2", "a": "1"}, "", b"") == dedup_key("slack", {"a": "1", "b": "2"}, "", b"")
    assert len(stored_key("k" * 5000)) <= 200 and stored_key("a\x00b") == "ab" and stored_key("\ud800")


@pytest.mark.parametrize("platform", SIGNERS)
def test_a_vendor_is_recognised_by_what_only_it_sends(platform: str) -> None:
    platforms = HookedPlatforms(Settings(connectors=CONNECTORS), PLATFORMS)
    sent = send(platform, harmless(platform))
    found = platforms.find("", sent.headers, sent.query)
    assert found is not None and found.platform == platform
    assert platforms.find("", {"host": "a"}, {"platform": platform}) is None
    assert platforms.find("email", sent.headers, sent.query) is None


@pytest.mark.parametrize(
    ("path", "parts"),
    [
        (PREFIX, ()),
        (PREFIX + "/", ()),
        (PREFIX + "/slack", ("slack",)),
        (PREFIX + "/slack/", ("slack",)),
        (PREFIX + "/telegram/17", ("telegram", "17")),
        (PREFIX + "s", None),
        ("/sync", None),
    ],
)
def test_addresses(path: str, parts: tuple[str, ...] | None) -> None:
    assert _address(path) == parts


def test_who_calls() -> None:
    assert _source({"client": ("203.0.113.7", 1)}, {"x-forwarded-for": "10.0.0.1"}) == "203.0.113.7"
    assert _source({"client": ("127.0.0.1", 1)}, {"x-forwarded-for": "spoofed, 203.0.113.9"}) == "203.0.113.9"
    assert _source({"client": ("127.0.0.1", 1)}, {}) == "127.0.0.1"
    assert _source({"client": None}, {}) == ""


def stored(number: int) -> Stored:
    return Stored(number, "slack", None, datetime(2026, 1, 1, tzinfo=UTC), {}, {}, b"", 0)


def holder(number: int, state: str = "active") -> Holder:
    return Holder(number, "acme", "slack", "T1", state, 1, frozenset({"T1"}))


def test_decisions() -> None:
    event = HookEvent("T1", "key")
    one, again = Told(stored(1), 0, event), Told(stored(2), 0, event)
    holders = {("slack", "T1"): [holder(7), holder(8, "expired")]}
    steps = decide([one, again], holders, {})
    assert [(step.holder and step.holder.id, step.outcome) for step in steps] == [
        (7, "applied"),
        (8, "inactive"),
        (7, "duplicate"),
        (8, "inactive"),
    ]
    assert state_of(steps[:2]) == "partial" and state_of([]) == "ignored" and state_of(steps[1:2]) == "unmatched"
    known = {(7, "key"): (1, 0)}
    (mine, _) = decide([one], holders, known)
    assert mine.kept and mine.outcome == "applied", "an earlier attempt of the same delivery did it"
    (other, _) = decide([again], holders, known)
    assert other.outcome == "duplicate"
    (nobody,) = decide([Told(stored(3), 0, HookEvent("T2", "key"))], holders, {})
    assert nobody.outcome == "unknown"
    keyless = HookEvent("T1", "")
    repeated = decide([Told(stored(1), 0, keyless), Told(stored(2), 0, keyless)], {("slack", "T1"): [holder(7)]}, {})
    assert [step.outcome for step in repeated] == ["applied", "applied"]
