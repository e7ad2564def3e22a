"""Integrations, triggers and runs through the API."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.integration.api.conftest import Api

CONNECT = {
    "platform": "email",
    "account": "a@acme.test",
    "config": {"host": "imap.acme.test"},
    "credentials": {"password": "hunter2"},
}


async def connect(api: Api, account: str = "a@acme.test", **more: Any) -> int:
    answer = await api.post("/sync/integrations", {**CONNECT, "account": account}, **{"status": 201, **more})
    integration_id: int = answer["id"]
    return integration_id


async def settled(api: Api) -> None:
    """Until everything that answers did not wait for has happened."""
    await api.app.state.services.units.close()


async def test_a_trigger_is_a_row_and_a_nudge(api: Api) -> None:
    integration = await connect(api)
    await settled(api)
    api.control.nudged.clear()
    answer = await api.post("/sync/trigger", {"platform": "email"}, role="service", status=202)
    (run,) = answer["runs"]
    assert run == {
        "runId": run["runId"],
        "integrationId": integration,
        "platform": "email",
        "syncType": "messages",
        "created": True,
    }
    await settled(api)
    assert api.control.nudged == [("acme", "email")]
    shown = await api.get(f"/sync/runs/{run['runId']}")
    assert (shown["state"], shown["trigger"], shown["requestedBy"], shown["errors"]) == ("queued", "manual", "ada", [])


async def test_two_triggers_at_once_are_one_run(api: Api) -> None:
    await connect(api)
    answers = await asyncio.gather(*(api.post("/sync/trigger/email/messages") for _ in range(8)))
    assert len({answer["runs"][0]["runId"] for answer in answers}) == 1
    assert sum(answer["runs"][0]["created"] for answer in answers) == 1
    assert await api.value("SELECT count(*) FROM sync_run") == 1


@pytest.mark.parametrize("path", ["/sync/trigger/email", "/sync/trigger/email/messages"])
async def test_the_forms_with_a_path_take_options_or_nothing(api: Api, path: str) -> None:
    await connect(api)
    live = (await api.post(path, status=202))["runs"][0]["runId"]
    backfill = (await api.post(path, {"startDate": "2027-01-01", "endDate": "2027-02-01"}, status=202))["runs"][0]
    assert backfill["created"] and backfill["runId"] != live
    shown = await api.get(f"/sync/runs/{backfill['runId']}")
    assert (shown["trigger"], shown["options"]) == ("backfill", {"startDate": "2027-01-01", "endDate": "2027-02-01"})


async def test_one_account_by_name_or_id(api: Api) -> None:
    first, second = await connect(api), await connect(api, "b@acme.test")
    by_name = await api.post("/sync/trigger/email", {"account": "b@acme.test"})
    by_id = await api.post("/sync/trigger", {"integrationId": first})
    assert [run["integrationId"] for run in by_name["runs"] + by_id["runs"]] == [second, first]
    await api.post("/sync/trigger", {"integrationId": first, "account": "b@acme.test"}, status=422)
    await api.post("/sync/trigger", {"integrationId": first, "platform": "slack"}, status=404)
    assert len((await api.post("/sync/trigger", {}))["runs"]) == 2


async def test_what_cannot_be_triggered_says_why(api: Api) -> None:
    assert "connect" in (await api.post("/sync/trigger/email", status=404))["detail"]
    integration = await connect(api)
    assert "email" in (await api.post("/sync/trigger/myspace", status=404))["detail"]
    assert "messages" in (await api.post("/sync/trigger/email/likes", status=404))["detail"]
    await api.post("/sync/trigger/email", {"startDate": "yesterday"}, status=422)
    await api.post("/sync/trigger/email", {"startDate": "2027-02-01", "endDate": "2027-01-01"}, status=422)
    await api.post("/sync/trigger/email", {"account": "nobody@acme.test"}, status=404)
    await api.post("/sync/trigger/email", {"acount": "a@acme.test"}, status=422)
    await api.post("/sync/trigger/email", role="viewer", status=403)
    await api.post(f"/sync/integrations/{integration}/pause")
    assert "paused" in (await api.post("/sync/trigger/email", status=409))["detail"]


async def test_a_dead_cluster_changes_no_answer(api: Api) -> None:
    await connect(api)
    api.control.broken = True
    assert (await api.post("/sync/trigger/email", status=202))["runs"][0]["created"]
    await settled(api)


async def test_a_slow_cluster_delays_no_answer(api: Api) -> None:
    await connect(api)
    await settled(api)
    release, given_up = asyncio.Event(), asyncio.Event()

    async def hang(_org_id: str, _platform: str) -> None:
        try:
            await release.wait()
        except asyncio.CancelledError:
            given_up.set()
            raise

    api.control.nudge_sync = hang  # type: ignore[method-assign]
    await api.post("/sync/trigger/email", status=202)
    assert not given_up.is_set(), "nobody waits until a nudge is given up"
    release.set()


async def test_cancel_and_retry_a_run(api: Api) -> None:
    await connect(api)
    run = (await api.post("/sync/trigger/email"))["runs"][0]["runId"]
    await api.post(f"/sync/runs/{run}/retry", status=409)
    assert (await api.post(f"/sync/runs/{run}/cancel", role="operator"))["state"] == "cancelled"
    await api.post(f"/sync/runs/{run}/cancel", status=409)
    again = await api.post(f"/sync/runs/{run}/retry", status=202)
    assert again["created"] and again["runId"] != run
    await api.post("/sync/runs/99999/retry", status=404)


async def test_runs_are_listed_by_state_and_page(api: Api) -> None:
    await connect(api)
    runs = []
    for _ in range(3):
        runs.append((await api.post("/sync/trigger/email"))["runs"][0]["runId"])
        await api.post(f"/sync/runs/{runs[-1]}/cancel")
    runs.append((await api.post("/sync/trigger/email"))["runs"][0]["runId"])
    first = await api.get("/sync/runs?limit=3")
    rest = await api.get(f"/sync/runs?limit=3&cursor={first['nextCursor']}")
    assert [run["id"] for run in first["items"] + rest["items"]] == runs[::-1]
    assert rest["nextCursor"] is None
    queued = await api.get("/sync/runs?state=queued&platform=email")
    assert [run["id"] for run in queued["items"]] == [runs[-1]]
    await api.get("/sync/runs?state=asleep", status=422)


async def test_an_integrations_life(api: Api) -> None:
    integration = await connect(api)
    path = f"/sync/integrations/{integration}"
    shown = await api.get(path)
    assert (shown["state"], shown["config"]["host"]) == ("active", "imap.acme.test")
    assert shown["streams"][0]["syncType"] == "messages"
    assert "hunter2" not in str(shown) and "credentials" not in shown
    paused = await api.post(f"{path}/pause", {"reason": "moving"}, role="operator")
    assert (paused["state"], paused["reason"], paused["streams"][0]["nextDueAt"]) == ("paused", "moving", None)
    await api.post(f"{path}/pause", status=409)
    assert (await api.post(f"{path}/resume"))["state"] == "active"
    again = await api.post(f"{path}/reconnect", {"credentials": {"password": "new"}})
    assert (again["id"], again["state"]) == (integration, "active")
    assert [item["id"] for item in (await api.get("/sync/integrations?platform=email"))["items"]] == [integration]
    await api.call("DELETE", path, role="operator", status=403)
    await api.call("DELETE", path, status=204)
    assert (await api.get("/sync/integrations"))["items"] == []
    await api.post("/sync/integrations/9999/reconnect", {"credentials": {}}, status=404)


async def test_a_wrong_connection_names_every_problem(api: Api) -> None:
    problem = await api.post("/sync/integrations", {**CONNECT, "config": {"port": "x"}}, status=422)
    assert "host is needed" in problem["detail"] and "port must be integer" in problem["detail"]
    await api.post("/sync/integrations", {**CONNECT, "platform": "myspace"}, status=422)
    await api.post("/sync/integrations", CONNECT, role="operator", status=403)


async def test_an_account_has_a_cadence_of_its_own_and_goes_back_to_the_usual_one(api: Api) -> None:
    integration = await connect(api)
    place = f"/sync/integrations/{integration}/cadence/messages"
    (email,) = [p for p in (await api.get("/sync/platforms"))["items"] if p["platform"] == "email"]
    (messages,) = email["syncTypes"]
    assert (messages["everySeconds"], messages["fastestSeconds"]) == (60.0, 10.0)
    await api.value("UPDATE sync_stream SET next_due_at = now() + interval '1 hour' RETURNING true")

    (stream,) = (await api.call("PUT", place, json={"everySeconds": 30}, role="operator"))["streams"]
    assert (stream["everySeconds"], stream["ownCadence"]) == (30.0, True)
    assert await api.value("SELECT next_due_at <= now() + interval '31 seconds' FROM sync_stream"), "not in an hour"
    answer = await api.post(f"/sync/integrations/{integration}/reconnect", {"credentials": {"password": "new"}})
    assert answer["streams"][0]["everySeconds"] == 30.0

    (stream,) = (await api.call("DELETE", place, role="operator"))["streams"]
    assert (stream["everySeconds"], stream["ownCadence"]) == (60.0, False)
    said = "SELECT array_agg(detail -> 'every_seconds' ORDER BY id) FROM audit WHERE action = 'integration.cadence_set'"
    assert await api.value(said) == [30.0, None]


async def test_a_cadence_keeps_to_what_the_platform_allows(api: Api) -> None:
    integration = await connect(api)
    place = f"/sync/integrations/{integration}/cadence"
    refused = await api.call("PUT", f"{place}/messages", json={"everySeconds": 9}, status=422)
    assert "10 seconds" in refused["detail"]
    await api.call("PUT", f"{place}/messages", json={"everySeconds": 8 * 86_400}, status=422)
    await api.call("PUT", f"{place}/messages", json={"everySeconds": 0}, status=422)
    assert "messages" in (await api.call("PUT", f"{place}/likes", json={"everySeconds": 60}, status=404))["detail"]
    await api.call("PUT", f"{place}/messages", json={"everySeconds": 60}, role="service", status=403)
    await api.post(f"/sync/integrations/{integration}/pause")
    await api.call("PUT", f"{place}/messages", json={"everySeconds": 60})
    assert await api.value("SELECT next_due_at IS NULL FROM sync_stream"), "a paused account stays unscheduled"
    await api.call("DELETE", f"/sync/integrations/{integration}", status=204)
    await api.call("PUT", f"{place}/messages", json={"everySeconds": 60}, status=409)
