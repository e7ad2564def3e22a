"""Whatever is sent to whatever route: an answer that blames the request, never a bug of ours."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import httpx

from tests.fakes.tokens import bearer
from tests.integration.api.conftest import Api

NASTY: tuple[Any, ...] = (
    2**70,
    -1,
    1.5,
    "\x00",
    "\ud800",
    "x" * 3000,
    "'; DROP TABLE job; --",
    None,
    True,
    [[]],
    {"a": {"b": "\x00"}},
)


def variants(value: Any) -> Iterator[Any]:
    """The document with each of its parts replaced by something nasty, one at a time."""
    yield from NASTY
    if isinstance(value, dict):
        for name, part in value.items():
            for variant in variants(part):
                yield {**value, name: variant}
    elif isinstance(value, list):
        for index, part in enumerate(value):
            for variant in variants(part):
                yield [*value[:index], variant, *value[index + 1 :]]


def bodies(operation: dict[str, Any]) -> list[Any]:
    media = operation.get("requestBody", {}).get("content", {}).get("application/json")
    if media is None:
        return []
    named = [entry["value"] for entry in media.get("examples", {}).values()]
    return named or [media["example"]]


def fine(response: httpx.Response) -> bool:
    if response.status_code >= 400:
        assert response.headers["content-type"] == "application/problem+json"
        assert response.json()["detail"]
    return response.status_code < 500


async def test_nothing_that_is_sent_is_our_bug(api: Api) -> None:
    document = (await api.http.get("/openapi.json")).json()
    sent = 0
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            address = path.replace("{sync_type}", "messages").replace("{platform}", "email").replace("{name}", "x")
            plain = address.replace("{job_id}", "1").replace("{run_id}", "1").replace("{integration_id}", "1")
            plain = (
                plain.replace("{alert_id}", "1")
                .replace("{activity_id}", "1")
                .replace("{mail_id}", "1")
                .replace("{delivery_id}", "1")
            )
            requests: list[tuple[str, bytes | None]] = [
                (plain, json.dumps(variant).encode()) for body in bodies(operation) for variant in variants(body)
            ]
            text = [quote(str(value).encode("utf-8", "surrogatepass")) for value in NASTY]
            if "{" in path:
                template = path[: path.index("{")]
                requests += [(f"{template}{value}{path[path.rindex('}') + 1 :]}", None) for value in text]
            for parameter in operation.get("parameters", []):
                if parameter["in"] == "query":
                    requests += [(f"{plain}?{parameter['name']}={value}", None) for value in text]
            for target, content in requests:
                headers = bearer() | {"Content-Type": "application/json"}
                response = await api.http.request(method, target, content=content, headers=headers)
                assert fine(response), f"{method} {target} {content!r}: {response.text}"
                sent += 1
    assert sent > 1000
