"""Trouble at the vendor: what passes leaves no trace, and every refusal means something."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx

from connectors.http import HttpConnector, OAuth2, Renewal, Reply, get
from connectors.http.verdicts import Verdict, judge
from tests.conformance.connectors.conftest import Outcome
from tests.conformance.connectors.desk import HTTP, Desk, Exchange, assert_same

PASSING: list[tuple[Any, dict[str, Any]]] = [
    ("error", {"status": 503}),
    ("error", {"status": 502, "html": True}),
    ("cut", {}),
    ("truncate", {}),
    ("garbage", {}),
]
AUTH = {Verdict.REFRESH, Verdict.AUTH_DEAD}
REFUSALS: dict[str, tuple[Any, dict[str, Any], set[Verdict]]] = {
    "server error": ("error", {"status": 503}, {Verdict.RETRY, Verdict.THROTTLED}),
    "error page of a proxy": ("error", {"status": 502, "html": True}, {Verdict.RETRY}),
    "garbage": ("garbage", {}, {Verdict.RETRY}),
    "half an answer": ("truncate", {}, {Verdict.RETRY}),
    "over the limit": ("limited", {}, {Verdict.THROTTLED}),
    "token revoked": ("revoked_token", {}, AUTH),
    "token expired": ("expired_token", {}, AUTH),
    "scope missing": ("missing_scope", {}, {Verdict.SCOPE_MISSING, Verdict.GONE}),
    "page token expired": ("expired_page", {}, {Verdict.RESET_CURSOR}),
}


async def test_trouble_that_passes_changes_nothing(desk: Desk, whole: Outcome) -> None:
    await desk.connect(desk.slug)
    for sync_type in desk.sync_types:
        for place, (kind, params) in enumerate(PASSING * 2):
            desk.world.faults.add(kind, vendor=desk.slug, after=2 * place + 1, count=1, **params)
        await desk.pull(sync_type)
        desk.world.faults.clear(vendor=desk.slug)
    assert_same(await desk.outcome(), whole)


async def test_fields_that_nobody_knows_change_nothing(desk: Desk, whole: Outcome) -> None:
    await desk.connect(desk.slug)
    desk.world.faults.add("extra_fields", vendor=desk.slug)
    await desk.pull_all()
    assert_same(await desk.outcome(), whole)


async def test_every_refusal_has_its_verdict_at_every_endpoint(desk: Desk) -> None:
    """Each kind of call is made again under each fault; what comes back is judged by the connector's tables."""
    await desk.connect(desk.slug)
    await desk.pull_all()
    calls = list(desk.record.exchanges)
    wrong, judged = [], set()
    async with httpx.AsyncClient(trust_env=False) as client:
        for name, (kind, params, allowed) in REFUSALS.items():
            for exchange in _to_try(calls, paged=kind == "expired_page"):
                desk.world.faults.add(kind, vendor=desk.slug, count=1, **params)
                reply = await _again(client, exchange)
                hit = not desk.world.faults.active
                desk.world.faults.clear(vendor=desk.slug)
                if not hit:
                    continue
                judged.add(name)
                found = judge(reply, exchange.read, exchange.rules)
                if found.verdict not in _fitting(name, allowed, desk.connector, reply) and not _unread(reply, name):
                    wrong.append(
                        f"{name} at {reply.request.kind}: {found.verdict} {found.problem} "
                        f"(HTTP {reply.status} {reply.text[:200]})"
                    )
    assert not wrong, "\n".join(wrong)
    assert judged >= {"server error", "garbage", "over the limit", "token revoked"}


def _to_try(calls: list[Exchange], *, paged: bool) -> Iterator[Exchange]:
    """One of each kind of call; of paged ones all that differ, because only some carry a page token."""
    seen: set[Any] = set()
    for exchange in calls:
        names = frozenset(exchange.reply.request.params) if paged else ""
        key = (exchange.outgoing.method, exchange.reply.request.kind, names)
        if key not in seen and exchange.judgement.verdict is Verdict.OK:
            seen.add(key)
            yield exchange


async def _again(client: httpx.AsyncClient, exchange: Exchange) -> Reply:
    asked = exchange.outgoing
    answer = await client.send(httpx.Request(asked.method, asked.url, headers=asked.headers, content=asked.content))
    return Reply(exchange.reply.request, answer.status_code, answer.headers, answer.content)


def _fitting(name: str, allowed: set[Verdict], connector: HttpConnector, reply: Reply) -> set[Verdict]:
    """A token that ran out is renewed where it can be: that is no reason to bother anybody.

    Calls that are signed with other keys than the account's token end their own sync type, not the account.
    """
    if not reply.request.signed and allowed == AUTH:
        return {*allowed, Verdict.SCOPE_MISSING}
    auth = connector.auth
    if name == "token expired" and isinstance(auth, OAuth2) and auth.kind is not Renewal.EXTEND:
        return {Verdict.REFRESH}
    return allowed


def _unread(reply: Reply, name: str) -> bool:
    """Files are not JSON: whether one is whole is seen when its lines are read."""
    return reply.request.raw and reply.status < 400 and name in ("garbage", "half an answer")


def test_an_error_page_without_json_is_never_taken_for_an_answer(slug: str) -> None:
    connector = HTTP[slug]
    for status in (400, 401, 403, 404, 410, 429, 500, 503, 504):
        reply = Reply(get("/x"), status, {}, b"<html><body>Sorry</body></html>")
        found = judge(reply, connector.problem, connector.verdicts)
        assert found.verdict is not Verdict.OK, status
        if status >= 500:
            assert found.verdict is Verdict.RETRY
        if status == 429:
            assert found.verdict is Verdict.THROTTLED
