"""Jobs through the API: list, look, retry, cancel, discard, purge, pause."""

from __future__ import annotations

import json
from typing import Any

from tests.integration.api.conftest import Api
from tests.integration.api.world import kill_job

GREET = {"kind": "test.greet", "args": {"name": "x"}}


async def greet(api: Api, **more: Any) -> int:
    job_id: int = (await api.post("/sync/queue", {**GREET, **more}))["jobId"]
    return job_id


async def audit(api: Api) -> list[tuple[str, str | None, str, str]]:
    rows = await api.runtime.database.fetch_all("SELECT action, target, actor, org_id FROM audit ORDER BY id")
    return [(row["action"], row["target"], row["actor"], row["org_id"]) for row in rows]


async def test_lists_page_by_cursor_without_repeating(api: Api) -> None:
    ids = [await greet(api) for _ in range(7)]
    seen: list[int] = []
    cursor = ""
    while True:
        page = await api.get(f"/sync/jobs?limit=3{cursor}")
        seen += [job["id"] for job in page["items"]]
        await greet(api)  # newer rows do not shift the older ones
        if page["nextCursor"] is None:
            break
        cursor = f"&cursor={page['nextCursor']}"
    assert seen == ids[::-1]
    for cursor in ("garbage", "e30", "WzFd"):
        problem = await api.get(f"/sync/jobs?cursor={cursor}", status=422)
        assert problem["errors"][0]["pointer"] == "query:cursor"
    await api.get("/sync/jobs?limit=201", status=422)


async def test_filters(api: Api) -> None:
    waiting = await greet(api)
    later = await greet(api, runAt="2090-01-01T00:00Z")
    timed = (await api.post("/sync/queue", {"kind": "test.timed"}))["jobId"]
    dead = await kill_job(api, await greet(api))

    async def found(query: str) -> set[int]:
        return {job["id"] for job in (await api.get(f"/sync/jobs?{query}"))["items"]}

    assert await found("state=waiting") == {waiting, timed}
    assert await found("state=scheduled&state=dead") == {later, dead}
    assert await found("kind=test.timed") == {timed}
    assert await found("queue=one-off") == {waiting, later, dead}
    await api.get("/sync/jobs?state=asleep", status=422)


async def test_a_job_with_its_attempts_and_masked_arguments(api: Api) -> None:
    job_id = await greet(api, args={"name": "x", "password": "hunter2"})
    await kill_job(api, job_id)
    job = await api.get(f"/sync/jobs/{job_id}")
    assert (job["state"], job["args"]["password"]) == ("dead", "[masked]")
    assert [(row["attempt"], row["outcome"]) for row in job["attempts"]] == [(20, "dead")]
    await api.get("/sync/jobs/999999", status=404)
    await api.get("/sync/jobs/none", status=422)


async def test_stacks_are_for_whoever_runs_the_install(api: Api) -> None:
    job_id = await kill_job(api, await greet(api))
    error = {"class": "KeyError", "message": "postgresql://u:hunter2@db/x", "trace": "File x.py"}
    await api.runtime.database.execute("UPDATE job_run SET error = %s", (json.dumps(error),))
    await api.runtime.database.execute("UPDATE job_dead SET meta = %s", (json.dumps({"errors": [error]}),))
    for role, shown in (("viewer", False), ("admin", True)):
        job = await api.get(f"/sync/jobs/{job_id}", role=role)
        assert ("trace" in job["attempts"][0]["error"]) is shown
        assert "trace" not in job["error"] and "hunter2" not in str(job)
    assert "trace" not in str((await api.get("/sync/jobs"))["items"])


async def test_retry_cancel_and_discard_one(api: Api) -> None:
    dead, given_up = await kill_job(api, await greet(api)), await kill_job(api, await greet(api))
    waiting = await greet(api)
    assert (await api.post(f"/sync/jobs/{dead}/retry", status=202))["result"] == "retried"
    assert (await api.get(f"/sync/jobs/{dead}"))["state"] == "waiting"
    assert (await api.post(f"/sync/jobs/{waiting}/cancel"))["result"] == "cancelled"
    assert (await api.get(f"/sync/jobs/{waiting}"))["state"] == "cancelled"
    assert (await api.post(f"/sync/jobs/{given_up}/discard"))["result"] == "discarded"
    problem = await api.post(f"/sync/jobs/{waiting}/retry", status=409)
    assert "cancelled" in problem["detail"]
    await api.post(f"/sync/jobs/{dead}/discard", status=409)
    await api.post("/sync/jobs/999999/cancel", status=404)
    assert await audit(api) == [
        ("job.retried", f"job:{dead}", "ada", "acme"),
        ("job.cancelled", f"job:{waiting}", "ada", "acme"),
        ("job.discarded", f"job:{given_up}", "ada", "acme"),
    ]


async def test_many_by_filter_with_a_preview(api: Api) -> None:
    for error in ("Transient", "Transient", "Permanent"):
        await kill_job(api, await greet(api), error)
    await greet(api)
    chosen = {"errorClass": "Transient"}
    preview = await api.post("/sync/jobs/retry", {**chosen, "dryRun": True})
    assert preview == {"matched": 2, "changed": 0, "more": False, "dryRun": True}
    assert await api.value("SELECT count(*) FROM job_dead") == 3
    assert (await api.post("/sync/jobs/retry", chosen))["changed"] == 2
    assert await api.value("SELECT count(*) FROM job_dead") == 1
    assert (await api.post("/sync/jobs/discard", {"all": True}))["changed"] == 1
    assert (await api.post("/sync/jobs/cancel", {"kind": "test.greet"}))["changed"] == 3
    assert [row[:2] for row in await audit(api)] == [
        ("job.retried", "jobs"),
        ("job.discarded", "jobs"),
        ("job.cancelled", "jobs"),
    ]


async def test_an_operation_on_everything_must_be_meant(api: Api) -> None:
    dead = await kill_job(api, await greet(api))
    for body in ({}, {"states": ["dead"]}, {"dryRun": True}):
        problem = await api.post("/sync/jobs/retry", body, status=422)
        assert problem["errors"][0]["pointer"] == "/all"
    assert (await api.post("/sync/jobs/retry", {"ids": [dead], "all": True}, status=422))["errors"][0][
        "pointer"
    ] == "/ids"
    wrong = await api.post("/sync/jobs/discard", {"states": ["waiting"], "all": True}, status=422)
    assert wrong["errors"][0]["pointer"] == "/states"
    assert await api.value("SELECT count(*) FROM job_dead") == 1


async def test_purge_takes_what_is_finished_and_says_how_many(api: Api) -> None:
    waiting = await greet(api)
    await kill_job(api, await greet(api))
    cancelled = await greet(api)
    await api.post(f"/sync/jobs/{cancelled}/cancel")
    foreign = (await api.post("/sync/queue", GREET, org="globex"))["jobId"]
    await kill_job(api, foreign)
    answer = await api.get("/sync/purge")
    assert answer["purged"] == 2 and answer["states"] == {"done": 0, "cancelled": 1, "dead": 1, "discarded": 0}
    assert (await api.get(f"/sync/jobs/{waiting}"))["state"] == "waiting"
    assert (await api.get(f"/sync/jobs/{foreign}", org="globex"))["state"] == "dead"
    assert (await api.get("/sync/purge?states=waiting,dead"))["states"] == {"waiting": 1, "dead": 0}
    assert (await api.post("/sync/purge", {"scope": "all"}))["states"]["dead"] == 1
    await api.get("/sync/purge?states=running", status=422)
    await api.get("/sync/purge?states=asleep", status=422)
    await api.get("/sync/purge", role="operator", status=403)
    assert ("queue.purged", "org", "ada", "acme") in await audit(api)
    detail = await api.value("SELECT detail->'removed'->>'dead' FROM audit WHERE action = 'queue.purged' ORDER BY id")
    assert detail == "1"


async def test_pause_and_resume_by_any_of_its_names(api: Api) -> None:
    for name in ("consumer.one-off", "one-off"):
        answer = await api.get(f"/sync/pause/{name}?reason=migration")
        assert answer["state"] == "paused" and "one-off" in answer["queues"]
        info = await api.get("/sync/info?scope=all")
        consumer = next(row for row in info["consumers"] if row["name"] == "consumer.one-off")
        assert consumer["state"] == "paused"
        assert (consumer["queues"][0]["pausedBy"], consumer["queues"][0]["pausedReason"]) == ("ada", "migration")
        assert (await api.get(f"/sync/resume/{name}"))["state"] == "active"
    assert (await api.post("/sync/pause/one-off/test.single", {"reason": "x"}))["queues"] == ["one-off/test.single"]
    info = await api.get("/sync/info")
    assert {row["state"] for row in info["consumers"] if row["name"] == "consumer.one-off"} == {"partly paused"}
    await api.post("/sync/resume/one-off/test.single")
    problem = await api.get("/sync/pause/nothing", status=404)
    assert "consumer.one-off" in problem["detail"]
    await api.get("/sync/pause/one-off", role="operator", status=403)
    assert [row[:2] for row in await audit(api)][:2] == [
        ("queue.paused", "consumer.one-off"),
        ("queue.resumed", "consumer.one-off"),
    ]
    listed = await api.get("/sync/audit?action=queue.paused&limit=2")
    assert [entry["target"] for entry in listed["items"]] == ["one-off/test.single", "one-off"]
    assert listed["nextCursor"] and listed["items"][0]["actor"] == "ada"
    assert (await api.get("/sync/audit", org="globex"))["items"] == []
    await api.get("/sync/audit", role="service", status=403)
