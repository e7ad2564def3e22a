"""POST /sync/queue."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.fakes.tokens import bearer
from tests.integration.api.conftest import Api


def pointers(problem: dict[str, Any]) -> set[str]:
    return {entry["pointer"] for entry in problem["errors"]}


async def test_a_job_is_durable_under_the_tokens_org_with_its_trace(api: Api) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    answer = await api.post(
        "/sync/queue",
        {"kind": "test.greet", "args": {"name": "Ada"}, "priority": 0},
        role="service",
        status=202,
        headers={"X-Request-Id": "req-1", "traceparent": trace},
    )
    assert answer == {
        "jobId": answer["jobId"],
        "created": True,
        "kind": "test.greet",
        "queue": "one-off",
        "runAt": None,
    }
    row = await api.runtime.database.fetch_one("SELECT seq, org_id, lane, args, meta FROM job")
    assert row == {
        "seq": answer["jobId"],
        "org_id": "acme",
        "lane": 0,
        "args": {"name": "Ada", "times": 1, "tags": [], "password": None},
        "meta": {"correlation_id": "req-1", "traceparent": trace},
    }


@pytest.mark.parametrize(
    ("args", "pointer"),
    [
        ({}, "/args/name"),
        ({"name": 5}, "/args/name"),
        ({"name": ""}, "/args/name"),
        ({"name": "x", "times": "two"}, "/args/times"),
        ({"name": "x", "tags": ["a", 7]}, "/args/tags/1"),
        ({"name": "x", "colour": "red"}, "/args/colour"),
    ],
)
async def test_wrong_arguments_are_named(api: Api, args: dict[str, Any], pointer: str) -> None:
    problem = await api.post("/sync/queue", {"kind": "test.greet", "args": args}, status=422)
    assert pointers(problem) == {pointer}
    assert await api.value("SELECT count(*) FROM job") == 0


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"kind": "no.such"}, "/kind"),
        ({}, "/kind"),
        ({"kind": "test.timed", "priority": 4}, "/priority"),
        ({"kind": "test.timed", "runat": "x"}, "/runat"),
        ({"kind": "test.timed", "runAt": "soon"}, "/runAt"),
        ({"kind": "test.timed", "runAt": "2027-05-01T09:00"}, "/runAt"),
        ({"kind": "test.timed", "runAt": "2027-05-01T09:00", "timeZone": "Mars/Olympus"}, "/timeZone"),
        ({"kind": "test.timed", "timeZone": "Europe/Berlin"}, "/timeZone"),
        ({"kind": "test.timed", "queue": "datatype"}, "/queue"),
        ({"kind": "test.timed", "uniqueKey": ""}, "/uniqueKey"),
        ({"jobs": []}, "/jobs"),
        ({"jobs": [{"kind": "test.timed"}] * 1001}, "/jobs"),
        ({"jobs": [{"kind": "test.timed"}, {"kind": "test.greet", "args": {"name": 1}}]}, "/jobs/1/args/name"),
    ],
)
async def test_wrong_requests_are_named(api: Api, body: dict[str, Any], pointer: str) -> None:
    assert pointers(await api.post("/sync/queue", body, status=422)) == {pointer}
    assert await api.value("SELECT count(*) FROM job") == 0


async def test_the_consumer_may_be_named(api: Api) -> None:
    for queue in ("one-off", "consumer.one-off"):
        await api.post("/sync/queue", {"kind": "test.greet", "args": {"name": "x"}, "queue": queue})
    await api.post("/sync/queue", {"kind": "test.single", "queue": "one-off"})
    await api.post("/sync/queue", {"kind": "test.single", "queue": "schedule", "runAt": "2090-05-01T00:00Z"})


async def test_a_job_for_later_in_a_time_zone(api: Api) -> None:
    body = {"kind": "test.timed", "runAt": "2090-07-01T09:00", "timeZone": "Europe/Berlin"}
    answer = await api.post("/sync/queue", body)
    assert answer["runAt"] == "2090-07-01T07:00:00Z"
    assert await api.value("SELECT to_char(run_at, 'YYYY-MM-DD HH24:MI') FROM job_scheduled") == "2090-07-01 07:00"


async def test_the_same_request_twice_is_one_job(api: Api) -> None:
    body = {"kind": "test.greet", "args": {"name": "Ada"}}
    first = await api.post("/sync/queue", body, headers={"Idempotency-Key": "order-17"})
    again = await api.post("/sync/queue", {**body, "idempotencyKey": "order-17"})
    other_org = await api.post("/sync/queue", body, headers={"Idempotency-Key": "order-17"}, org="globex")
    assert (first["created"], again["created"]) == (True, False)
    assert again["jobId"] == first["jobId"] != other_org["jobId"]
    mismatch = await api.post(
        "/sync/queue", {**body, "idempotencyKey": "a"}, headers={"Idempotency-Key": "b"}, status=422
    )
    assert pointers(mismatch) == {"/idempotencyKey"}


async def test_unique_jobs_wait_once(api: Api) -> None:
    body = {"kind": "test.greet", "args": {"name": "Ada"}, "uniqueKey": "ada"}
    first, second = await api.post("/sync/queue", body), await api.post("/sync/queue", body)
    assert second["jobId"] == first["jobId"] and not second["created"]


async def test_many_jobs_are_enqueued_in_order_or_not_at_all(api: Api) -> None:
    jobs = [{"kind": "test.greet", "args": {"name": str(number)}} for number in range(40)]
    ids = (await api.post("/sync/queue", {"jobs": jobs}))["jobIds"]
    rows = await api.runtime.database.fetch_all("SELECT seq, args->>'name' AS name FROM job ORDER BY seq")
    assert [row["name"] for row in rows] == [str(number) for number in range(40)]
    assert ids == [row["seq"] for row in rows]
    refused = await api.post("/sync/queue", {"jobs": jobs}, headers={"Idempotency-Key": "x"}, status=422)
    assert pointers(refused) == {"header:Idempotency-Key"}


async def test_a_full_queue_refuses_with_a_time_to_come_back(api: Api) -> None:
    one = {"kind": "test.greet", "args": {"name": "x"}}
    await api.post("/sync/queue", {"jobs": [one] * 50})
    response = await api.http.post("/sync/queue", json=one, headers=bearer())
    assert response.status_code == 429
    assert int(response.headers["retry-after"]) > 0
    assert response.json()["type"] == "/problems/queue-full"
    await api.post("/sync/queue", {"kind": "test.timed"})
    assert await api.value("SELECT count(*) FROM job") == 51


async def test_kinds_of_the_whole_install_need_a_platform_token(api: Api) -> None:
    await api.post("/sync/queue", {"kind": "test.sweep"}, role="service", status=403)
    await api.post("/sync/queue", {"kind": "test.sweep"}, role="admin")


async def test_a_client_that_leaves_does_not_tear_the_write(api: Api) -> None:
    """Serve cancels the handler; the job must be there in full all the same."""
    async with api.runtime.database.transaction() as tx:
        await tx.execute("LOCK TABLE job IN SHARE MODE")  # lets reads pass and holds the insert
        request = asyncio.create_task(api.post("/sync/queue", {"kind": "test.greet", "args": {"name": "x"}}))
        while not await tx.fetch_value("SELECT count(*) FROM pg_locks WHERE NOT granted"):
            await asyncio.sleep(0.01)
        request.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request
    await api.app.state.services.units.close()
    assert await api.value("SELECT count(*) FROM job") == 1


async def test_a_kind_that_is_not_for_tenants_is_neither_taken_nor_named(api: Api) -> None:
    """Whatever its queue is."""
    await api.post("/sync/queue", {"kind": "test.inner"}, role="service", status=403)
    unknown = await api.post("/sync/queue", {"kind": "test.nothing"}, role="service", status=422)
    assert "test.greet" in str(unknown) and "test.inner" not in str(unknown)
