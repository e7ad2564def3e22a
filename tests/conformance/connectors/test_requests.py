"""Every request that is sent is valid by the vendor's own description of its API."""

from __future__ import annotations

from typing import Any

from tests.conformance.connectors.desk import Desk
from tests.conformance.connectors.official import FILES, Call, bases, official

ONLY = FILES


async def test_requests_are_valid_by_the_official_file(desk: Desk) -> None:
    spec = official(desk.slug)
    await desk.connect(desk.slug)
    await desk.pull_all()
    await desk.pull_all()
    checked, seen, wrong = 0, set(), []
    for exchange in desk.record.exchanges:
        request = exchange.reply.request
        base = bases(desk.connector)[request.host]
        if request.path.startswith("http") or not spec.covers(base):
            continue
        call = Call(exchange, base)
        key: Any = (call.method, request.kind, call.path.count("/"), frozenset(call.names), call.body)
        if key in seen:
            continue
        seen.add(key)
        if (complaints := spec.complaints(call)) is None:
            continue
        checked += 1
        wrong += [
            f"{call.method.upper()} {call.path}?{exchange.outgoing.url.query.decode()}: {it}" for it in complaints
        ]
    assert not wrong, "\n".join(dict.fromkeys(wrong))
    assert checked
