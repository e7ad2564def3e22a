"""What every request gets, whatever its route: an id, headers, limits, and problem documents for errors."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import AsyncIterator
from typing import Annotated

import httpx
import pytest
from fastapi import APIRouter, FastAPI, Query

from sync.api.auth import Admin, InstallAdmin, TokenVerifier
from sync.api.problems import KINDS, MEDIA_TYPE, not_found
from sync.api.schemas import Body
from sync.base.errors import Permanent, Transient
from sync.base.settings import AuthSettings
from sync.store.engine import Conflict
from tests.fakes.tokens import SECRET, bearer
from tests.unit.api.conftest import MAX_BODY


class Thing(Body):
    name: str
    run_at: int = 0


@pytest.fixture(autouse=True)
def routes(app: FastAPI) -> None:
    router = APIRouter()

    @router.post("/things")
    async def add(thing: Thing, limit: Annotated[int, Query(le=5)] = 1) -> Thing:
        return thing

    @router.get("/fail/{how}")
    async def fail(how: str) -> None:
        raise {
            "bug": RuntimeError("password=hunter2"),
            "transient": Transient("no connection to 10.0.0.5", retry_after_s=7),
            "permanent": Permanent("Feature X needs Y."),
            "conflict": Conflict("duplicate key"),
            "missing": not_found("thing", 5),
        }[how]

    @router.get("/admin")
    async def admin(principal: Admin) -> str:
        return principal.subject

    @router.get("/platform")
    async def platform(principal: InstallAdmin) -> str:
        return principal.subject

    app.include_router(router)


def problem_of(response: httpx.Response, status: int, code: str) -> dict[str, object]:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == MEDIA_TYPE
    body: dict[str, object] = response.json()
    assert (body["type"], body["status"]) == (f"/problems/{code}", status)
    assert body["requestId"] == response.headers["x-request-id"]
    assert body["title"] and body["detail"] and body["instance"] == response.request.url.path
    return body


async def test_request_id_comes_back_or_is_made(client: httpx.AsyncClient) -> None:
    assert (await client.get("/docs", headers={"X-Request-Id": "order-17"})).headers["x-request-id"] == "order-17"
    for hostile in ("a b", "x" * 200, 'evil"}', ""):
        made = (await client.get("/docs", headers={"X-Request-Id": hostile})).headers["x-request-id"]
        assert re.fullmatch(r"[0-9a-f]{32}", made)


async def test_security_headers_on_every_answer(client: httpx.AsyncClient) -> None:
    for path in ("/docs", "/nowhere", "/fail/bug", "/openapi.json"):
        headers = (await client.get(path)).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert headers["cache-control"] == "no-store"
        assert "default-src 'none'" in headers["content-security-policy"]


async def test_a_bug_says_nothing_of_its_cause(client: httpx.AsyncClient) -> None:
    response = await client.get("/fail/bug")
    problem_of(response, 500, "internal")
    assert "hunter2" not in response.text and "RuntimeError" not in response.text


async def test_errors_of_lower_layers(client: httpx.AsyncClient) -> None:
    gone = await client.get("/fail/transient")
    problem_of(gone, 503, "unavailable")
    assert gone.headers["retry-after"] == "7" and "10.0.0.5" not in gone.text
    assert problem_of(await client.get("/fail/permanent"), 422, "refused")["detail"] == "Feature X needs Y."
    problem_of(await client.get("/fail/conflict"), 409, "conflict")
    problem_of(await client.get("/fail/missing"), 404, "not-found")


async def test_unknown_address_and_method(client: httpx.AsyncClient) -> None:
    assert "/docs" in str(problem_of(await client.get("/nowhere"), 404, "not-found")["detail"])
    response = await client.delete("/things")
    assert "POST" in str(problem_of(response, 405, "method-not-allowed")["detail"])
    assert response.headers["allow"] == "POST"


async def test_wrong_fields_are_named(client: httpx.AsyncClient) -> None:
    body = problem_of(await client.post("/things?limit=9", json={"runAt": "soon", "nmae": "x"}), 422, "validation")
    assert {entry["pointer"] for entry in body["errors"]} == {"/name", "/runAt", "/nmae", "query:limit"}  # type: ignore[attr-defined]


async def test_bodies_that_are_not_json(client: httpx.AsyncClient) -> None:
    body = problem_of(
        await client.post("/things", content=b'{"name": ', headers={"Content-Type": "application/json"}),
        400,
        "malformed-json",
    )
    assert "character" in str(body["detail"])
    problem_of(await client.post("/things", data={"name": "x"}), 415, "not-json")
    problem_of(await client.post("/things", content=b'{"name": "x"}'), 415, "not-json")


async def test_large_bodies_are_refused_by_length_and_by_count(client: httpx.AsyncClient) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b'{"name": "'
        for _ in range(20):
            yield b"x" * (MAX_BODY // 10)

    json_type = {"Content-Type": "application/json"}
    problem_of(await client.post("/things", json={"name": "x" * MAX_BODY}), 413, "body-too-large")
    problem_of(await client.post("/things", content=chunks(), headers=json_type), 413, "body-too-large")
    fits = json.dumps({"name": "x" * (MAX_BODY - 12)}).encode()
    assert len(fits) == MAX_BODY
    assert (await client.post("/things", content=fits, headers=json_type)).status_code == 200


async def test_no_token_and_too_small_a_role(client: httpx.AsyncClient) -> None:
    response = await client.get("/admin")
    problem_of(response, 401, "token-required")
    assert response.headers["www-authenticate"] == 'Bearer realm="sync"'
    for header in ("Basic YTpi", "Bearer", "Bearer nonsense"):
        refused = await client.get("/admin", headers={"Authorization": header})
        assert refused.status_code == 401 and refused.headers["www-authenticate"].startswith("Bearer")
    response = await client.get("/admin", headers=bearer(role="viewer"))
    assert "admin" in str(problem_of(response, 403, "forbidden")["detail"])
    assert "insufficient_scope" in response.headers["www-authenticate"]
    assert (await client.get("/admin", headers=bearer())).json() == "ada"


async def test_whole_queues_need_a_platform_token_where_that_is_set(app: FastAPI, client: httpx.AsyncClient) -> None:
    assert (await client.get("/platform", headers=bearer())).status_code == 200
    app.state.verifier = TokenVerifier(AuthSettings(secret=SECRET, require_platform=True))
    refused = problem_of(await client.get("/platform", headers=bearer()), 403, "forbidden")
    assert "--platform" in str(refused["detail"])
    assert (await client.get("/platform", headers=bearer(platform=True))).status_code == 200


async def test_every_problem_type_can_be_looked_up(client: httpx.AsyncClient) -> None:
    for code, kind in KINDS.items():
        answer = (await client.get(f"/problems/{code}")).json()
        assert answer["status"] == kind.status and answer["help"]
    problem_of(await client.get("/problems/nonsense"), 404, "not-found")


async def test_the_docs_page_needs_nothing_from_elsewhere(client: httpx.AsyncClient) -> None:
    response = await client.get("/docs")
    assert not re.search(r"(src|href)\s*=\s*[\"']?(https?:)?//", response.text)
    script = re.search(r"<script>(.*?)</script>", response.text, re.DOTALL)
    assert script is not None
    digest = base64.b64encode(hashlib.sha256(script[1].encode()).digest()).decode()
    assert f"'sha256-{digest}'" in response.headers["content-security-policy"]
