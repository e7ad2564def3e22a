"""Every reply that is sent is valid by the vendor's own description of its API."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import httpx
import pytest

from connectors.http import HttpConnector
from connectors.http.replies import Outgoing
from connectors.registry import PLATFORMS
from tests.conformance.connectors.official import Call, bases, official

TOKEN = "0123456789abcdef" * 2
SAID = (
    ("slack", "message", "C024BE91L:1700000000.000100", "C024BE91L:1700000000.000100"),
    ("discord", "message", "290926798999357250:334385199974967042", "290926798999357250:334385199974967042"),
    ("twitter", "comment", "1346889436626259968", "1346889436626259900"),
    ("twitter", "message", "1346889436626259968", "1234567890-2244994945"),
)


@pytest.mark.parametrize(("platform", "kind", "target", "thread"), SAID)
async def test_replies_are_valid_by_the_official_file(platform: str, kind: Any, target: str, thread: str) -> None:
    spec = official(platform)
    connector = PLATFORMS[platform]
    assert isinstance(connector, HttpConnector) and connector.replies is not None
    outgoing = Outgoing(kind=kind, text="Hello", token=TOKEN, target_id=target, thread_id=thread)
    request = await connector.replies.request(cast(Any, SimpleNamespace(facts={})), outgoing)
    base = bases(connector)[request.host]
    assert spec.covers(base)
    sent = httpx.Request(
        request.method,
        base + request.path,
        json=request.json,
        data=dict(request.form) if request.form is not None else None,
        headers={"authorization": "Bearer token"},
    )
    sent.read()
    exchange: Any = SimpleNamespace(outgoing=sent, reply=SimpleNamespace(request=request))
    complaints = spec.complaints(Call(exchange, base))
    assert complaints is not None and list(complaints) == []
