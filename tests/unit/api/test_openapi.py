"""The document that clients read: complete, with examples that our own models accept."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from fastapi.routing import APIRoute
from pydantic import TypeAdapter

from sync.api.routes import ROUTERS

DOOR = "/social-activity/webhook"
"""Answers vendors in their own ways."""
SPECIFIED = {
    ("POST", "/social-activity/webhook"),
    ("GET", "/sync"),
    ("GET", "/sync/info"),
    ("GET", "/sync/status"),
    ("GET", "/sync/purge"),
    ("GET", "/sync/pause/{name}"),
    ("GET", "/sync/resume/{name}"),
    ("GET", "/sync/platforms"),
    ("POST", "/sync/queue"),
    ("POST", "/sync/trigger"),
    ("POST", "/sync/trigger/{platform}"),
    ("POST", "/sync/trigger/{platform}/{sync_type}"),
}


@pytest.fixture
async def document(client: httpx.AsyncClient) -> dict[str, Any]:
    response = await client.get("/openapi.json")
    assert response.status_code == 200
    return response.json()  # type: ignore[no-any-return]


def operations(document: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (method.upper(), path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]


async def test_the_specified_routes_are_there(document: dict[str, Any]) -> None:
    assert {(method, path) for method, path, _ in operations(document)} >= SPECIFIED


async def test_every_operation_is_described_with_examples_and_problems(document: dict[str, Any]) -> None:
    ids = set()
    for method, path, operation in operations(document):
        where = f"{method} {path}"
        assert operation.get("summary") and operation.get("description"), where
        assert operation.get("tags"), where
        ids.add(operation["operationId"])
        if path.startswith(DOOR):
            continue
        problems = {s: r for s, r in operation["responses"].items() if s >= "400"}
        assert {"500", "503"} <= problems.keys(), where
        assert path == "/healthz" or {"401", "403"} <= problems.keys(), where
        for response in problems.values():
            assert response["content"]["application/problem+json"]["example"]["detail"], where
        for status, response in operation["responses"].items():
            if status.startswith("2") and status != "204":
                assert response["content"]["application/json"].get("example") is not None, where
        if "requestBody" in operation:
            media = operation["requestBody"]["content"]["application/json"]
            assert media.get("example") or media.get("examples"), where
            assert {"400", "413", "415", "422"} <= problems.keys(), where
        if path != "/healthz":
            assert operation["security"], where
    assert len(ids) == len(operations(document)), "operation ids must be unique"


async def test_examples_are_what_the_models_accept(document: dict[str, Any]) -> None:
    checked = 0
    for route in _routes():
        if route.path.startswith(DOOR):
            continue
        for method in route.methods or set():
            operation = document["paths"][route.path_format][method.lower()]
            for status, response in operation["responses"].items():
                if status.startswith("2") and status != "204":
                    TypeAdapter(route.response_model).validate_python(
                        response["content"]["application/json"]["example"]
                    )
                    checked += 1
            if route.body_field is not None:
                media = operation["requestBody"]["content"]["application/json"]
                named = [entry["value"] for entry in media.get("examples", {}).values()]
                for example in named or [media["example"]]:
                    TypeAdapter(route.body_field.field_info.annotation).validate_python(example)
                    checked += 1
    assert checked > 50


def _routes() -> list[APIRoute]:
    found = [route for router in ROUTERS for route in router.routes if isinstance(route, APIRoute)]
    return [route for route in found if route.include_in_schema]
