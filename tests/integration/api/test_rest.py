"""Schedules, secrets, alerts and health through the API."""

from __future__ import annotations

from typing import Any

from sync.base.settings import StoreSettings
from tests.integration.api.conftest import Api, serving, settings_for
from tests.services import PostgresServer

REPORT = {
    "name": "report",
    "kind": "test.greet",
    "args": {"name": "x", "password": "hunter2"},
    "cron": "0 9 * * 1",
    "zone": "Europe/Berlin",
}


async def test_a_schedules_life(api: Api) -> None:
    created = await api.post("/sync/schedules", REPORT, role="operator", status=201)
    assert (created["state"], created["cron"], created["zone"]) == ("active", "0 9 * * 1", "Europe/Berlin")
    assert created["args"]["password"] == "[masked]"
    await api.post("/sync/schedules", REPORT, status=409)
    shown = await api.get("/sync/schedules/report")
    assert len(shown["upcoming"]) == 5 and shown["ticks"] == []
    assert (await api.post("/sync/schedules/report/pause", {"reason": "holiday"}))["pausedReason"] == "holiday"
    job = (await api.post("/sync/schedules/report/run", status=202))["jobId"]
    assert (await api.get(f"/sync/jobs/{job}"))["kind"] == "test.greet"
    assert (await api.get("/sync/schedules/report"))["ticks"][0]["outcome"] == "manual"
    assert (await api.post("/sync/schedules/report/resume"))["state"] == "active"
    assert [item["name"] for item in (await api.get("/sync/schedules"))["items"]] == ["report"]
    await api.call("DELETE", "/sync/schedules/report", status=204)
    await api.get("/sync/schedules/report", status=404)


async def test_schedules_that_cannot_work(api: Api) -> None:
    def without(name: str, **more: Any) -> dict[str, Any]:
        return {**{key: value for key, value in REPORT.items() if key != name}, **more}

    wrong = await api.post("/sync/schedules", without("args", args={"name": 1}), status=422)
    assert wrong["errors"][0]["pointer"] == "/args/name"
    for body in (
        without("cron"),
        {**REPORT, "everySeconds": 60},
        {**REPORT, "cron": "every monday"},
        {**REPORT, "zone": "Mars/Olympus"},
        {**REPORT, "kind": "no.such"},
        {**REPORT, "name": "with space"},
        without("cron", everySeconds=1),
    ):
        assert (await api.post("/sync/schedules", body, status=422))["detail"]
    await api.post("/sync/schedules", {**REPORT, "kind": "test.sweep"}, role="operator", status=403)
    await api.post("/sync/schedules", REPORT, role="service", status=403)


async def test_schedules_page(api: Api) -> None:
    for number in range(5):
        await api.post("/sync/schedules", {**REPORT, "name": f"s{number}"})
    first = await api.get("/sync/schedules?limit=3")
    rest = await api.get(f"/sync/schedules?limit=3&cursor={first['nextCursor']}")
    assert [item["name"] for item in first["items"] + rest["items"]] == [f"s{number}" for number in range(5)]
    assert rest["nextCursor"] is None


async def test_a_secret_is_shown_once(api: Api) -> None:
    made = await api.call("PUT", "/sync/secrets/hook", json={})
    assert made["value"].startswith("whsec_")
    brought = await api.call("PUT", "/sync/secrets/api", json={"value": "s3cret-value"})
    assert brought["value"] is None
    listed = await api.get("/sync/secrets", role="operator")
    assert [item["name"] for item in listed["items"]] == ["api", "hook"]
    assert made["value"] not in str(listed) and "s3cret-value" not in str(listed)
    await api.call("PUT", "/sync/secrets/hook", json={})
    await api.post("/sync/secrets/hook/drop-previous", status=204)
    await api.call("DELETE", "/sync/secrets/hook", status=204)
    await api.call("DELETE", "/sync/secrets/hook", status=404)
    await api.call("PUT", "/sync/secrets/api", json={}, role="operator", status=403)
    await api.call("PUT", "/sync/secrets/UPPER", json={}, status=422)


async def test_alerts_are_listed_and_resolved(api: Api) -> None:
    insert = "INSERT INTO alert (org_id, key, severity, title) VALUES ('acme', %s, 'error', 'Look') RETURNING id"
    ids = [await api.value(insert, f"k{number}") for number in range(3)]
    first = await api.get("/sync/alerts?limit=2")
    rest = await api.get(f"/sync/alerts?limit=2&cursor={first['nextCursor']}")
    assert [item["id"] for item in first["items"] + rest["items"]] == ids[::-1]
    resolved = await api.post(f"/sync/alerts/{ids[0]}/resolve", role="operator")
    assert resolved["resolvedAt"] is not None
    assert [item["id"] for item in (await api.get("/sync/alerts?state=resolved"))["items"]] == [ids[0]]
    assert len((await api.get("/sync/alerts?state=all"))["items"]) == 3
    assert await api.value("SELECT actor FROM audit WHERE action = 'alert.resolved'") == "ada"
    await api.post("/sync/alerts/99999/resolve", status=404)


async def test_home_names_every_part(api: Api) -> None:
    home = await api.get("/sync", role="viewer")
    assert (home["org"], home["role"]) == ("acme", "viewer")
    for name in ("info", "status", "platforms", "runs", "jobs", "schedules", "integrations", "alerts"):
        await api.get(home["links"][name])
    for name in ("docs", "openapi", "health"):
        assert (await api.http.get(home["links"][name])).status_code == 200


async def test_answers_leave_out_nothing_that_the_schema_promises(api: Api) -> None:
    schemas = (await api.http.get("/openapi.json")).json()["components"]["schemas"]
    assert set(schemas["Status"]["properties"]) == set(await api.get("/sync/status"))
    assert set(schemas["Home"]["properties"]) == set(await api.get("/sync"))


async def test_health_follows_postgres(postgres: PostgresServer) -> None:
    url = postgres.create()
    store = StoreSettings(url=url, pool_size=2, connect_timeout_s=1, listen=False)
    async with serving(settings_for(url).model_copy(update={"store": store})) as api:
        healthy = await api.http.get("/healthz")
        assert (healthy.status_code, healthy.json()["status"]) == (200, "ok")
        postgres.drop(url)
        sick = await api.http.get("/healthz")
        assert sick.status_code == 503 and "PostgreSQL" in sick.json()["detail"]
        assert int(sick.headers["retry-after"]) > 0
        assert (await api.get("/sync/info", status=503))["type"] == "/problems/unavailable"
