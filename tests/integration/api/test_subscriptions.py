"""Subscriptions by HTTP: made, changed, tried, replayed; what is wrong is said where it is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from sync.base.settings import OutboundSettings
from sync.events import Event, append_events
from sync.subscriptions.consumer import DatatypeConsumer, open_outlets
from tests.fakes.http_receiver import HttpReceiver, Reply, http_receiver
from tests.integration.api.conftest import Api, serving, settings_for

PATH = "/sync/subscriptions"
JOB = {"type": "job", "kind": "test.greet", "args": {"name": "ada"}, "eventAs": None}


@pytest.fixture
async def receiver() -> AsyncIterator[HttpReceiver]:
    async with http_receiver() as running:
        yield running


@pytest.fixture
async def open_api(pg_url: str) -> AsyncIterator[Api]:
    """May call this machine."""
    async with serving(settings_for(pg_url, outbound=OutboundSettings(allow="127.0.0.1/32"))) as api:
        yield api


def new(target: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"name": "one", "patterns": ["thing.*"], "target": target, **more}


async def write(api: Api, count: int) -> None:
    async with api.runtime.database.transaction() as tx:
        await append_events(tx, [Event("acme", "thing.happened", f"thing:{n}", {"n": n}) for n in range(count)])


async def test_a_life(open_api: Api, receiver: HttpReceiver) -> None:
    api = open_api
    made = await api.post(PATH, new({"type": "webhook", "url": receiver.url}, filter={"n": [0, 1]}), status=201)
    assert made["secret"].startswith("whsec_") and made["target"]["timeoutS"] == 15.0
    path = f"{PATH}/{made['id']}"
    shown = await api.get(path)
    assert "secret" not in shown and shown["lag"]["behind"] == 0
    await write(api, 3)
    assert (await api.get(path))["lag"]["behind"] == 3
    outlets = open_outlets(api.runtime)
    consumer = DatatypeConsumer(api.runtime, [], outlets=outlets)
    await consumer.start()
    try:
        async with asyncio.timeout(60):
            while len(receiver.received) < 2 or (await api.get(path))["lag"]["waiting"]:
                await asyncio.sleep(0.02)
    finally:
        await consumer.drain(20)
        await outlets.postman.close()
    assert (await api.get(path))["lastSuccessAt"] is not None
    assert (await api.post(f"{path}/pause", {"reason": "a while"}))["state"] == "paused"
    assert (await api.post(f"{path}/resume"))["state"] == "active"
    changed = await api.call("PATCH", path, json={"patterns": ["*"], "name": "two"})
    assert (changed["patterns"], changed["name"], changed["filter"]) == (["*"], "two", {"n": [0, 1]})
    assert (await api.post(f"{path}/replay", {"afterId": 0}, status=202))["afterId"] == 0
    assert (await api.get(path))["lag"]["behind"] >= 3
    await api.call("DELETE", path, status=204)
    await api.get(path, status=404)


async def test_the_test_button_calls_and_tells(open_api: Api, receiver: HttpReceiver) -> None:
    api = open_api
    made = await api.post(PATH, new({"type": "webhook", "url": receiver.url}))
    path = f"{PATH}/{made['id']}"
    answer = await api.post(f"{path}/test")
    assert answer["ok"] and answer["status"] == 200
    assert receiver.received[0].headers["webhook-signature"].startswith("v1,")
    receiver.script(Reply(500, body=b"oh no"))
    answer = await api.post(f"{path}/test")
    assert not answer["ok"] and "oh no" in answer["error"]
    assert (await api.get(path))["lastFailureAt"] is None
    rotated = await api.post(f"{path}/secret")
    assert rotated["secret"] != made["secret"]
    await api.post(f"{path}/test")
    assert len(receiver.received[-1].headers["webhook-signature"].split()) == 2
    await api.post(f"{path}/secret/drop-previous", status=204)


async def test_secret_sounding_headers_are_masked(api: Api) -> None:
    target = {"type": "webhook", "url": "https://example.com", "headers": {"Authorization": "hunter2", "X-Shop": "17"}}
    made = await api.post(PATH, new(target))
    shown = await api.get(f"{PATH}/{made['id']}")
    assert "hunter2" not in str(made) + str(shown) + str(await api.get(PATH))
    assert shown["target"]["headers"]["X-Shop"] == "17"


async def test_a_job_target_is_tried_by_a_job(api: Api) -> None:
    made = await api.post(PATH, new(JOB))
    assert made["secret"] is None
    assert (await api.post(f"{PATH}/{made['id']}/test"))["ok"]
    assert await api.value("SELECT count(*) FROM job WHERE org_id = 'acme'") == 1
    await api.post(f"{PATH}/{made['id']}/secret", status=409)


async def test_the_backlog_is_shown_retried_and_given_up(api: Api) -> None:
    made = await api.post(PATH, new(JOB))
    path = f"{PATH}/{made['id']}"
    reader = await api.value("SELECT reader_id FROM subscription")
    await api.runtime.database.execute(
        "INSERT INTO event_lane (reader_id, org_id, subject, state, attempts, error)"
        " SELECT %s, 'acme', 'thing:' || n, 'parked', 8, 'ValueError' FROM generate_series(1, 3) n",
        (reader,),
    )
    await api.runtime.database.execute(
        "INSERT INTO event_backlog (reader_id, org_id, subject, event_id, type, payload, version, created_at)"
        " SELECT %s, 'acme', 'thing:' || n, n, 'thing.happened', '{}', 1, now() FROM generate_series(1, 3) n",
        (reader,),
    )
    first = await api.get(f"{path}/backlog?limit=2&state=parked")
    assert [lane["subject"] for lane in first["items"]] == ["thing:1", "thing:2"]
    rest = await api.get(f"{path}/backlog?limit=2&cursor={first['nextCursor']}")
    assert [(lane["subject"], lane["events"]) for lane in rest["items"]] == [("thing:3", 1)]
    assert (await api.get(path))["lag"]["parked"] == 3
    await api.post(f"{path}/backlog/discard", {"subject": "thing:2"}, status=204)
    await api.post(f"{path}/backlog/discard", {"subject": "thing:2"}, status=404)
    assert (await api.post(f"{path}/backlog/retry"))["subjects"] == 2
    assert await api.value("SELECT count(*) FROM audit WHERE action LIKE 'subscription.%%'") == 3


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        (new({"type": "job", "kind": "no.such"}), 422, "/target/kind"),
        (new({"type": "job", "kind": "test.sweep", "eventAs": None}), 403, "whole install"),
        (new({"type": "job", "kind": "test.greet", "eventAs": None}), 422, "name"),
        (new({"type": "webhook", "url": "http://10.0.0.1/"}), 422, "private"),
        (new({"type": "webhook", "url": "ftp://a.test/"}), 422, "http"),
        (new({"type": "webhook", "url": "http://u:p@a.test/"}), 422, "password"),
        (new({"type": "webhook", "url": "http://a.test:22/"}), 422, "Port 22"),
        (new({"type": "carrier-pigeon"}), 422, "pigeon"),
        (new(JOB, patterns=["A"]), 422, "pattern"),
        (new(JOB, patterns=[]), 422, "patterns"),
        (new(JOB, filter={"a": {}}), 422, "compared"),
        (new(JOB, nonsense=1), 422, "nonsense"),
    ],
)
async def test_what_is_wrong_is_said(api: Api, body: dict[str, Any], status: int, says: str) -> None:
    if body["target"].get("kind") == "test.sweep":
        body["target"]["eventAs"] = None
        from sync.api.auth import TokenVerifier
        from sync.base.settings import AuthSettings
        from tests.fakes.tokens import SECRET

        api.app.state.verifier = TokenVerifier(AuthSettings(secret=SECRET, require_platform=True))
    answer = await api.post(PATH, body, status=status)
    assert says in answer["detail"]
    assert await api.value("SELECT count(*) FROM subscription") == 0


async def test_info_shows_how_far_the_consumer_is_behind(api: Api) -> None:
    async def consumer(org: str, scope: str = "org") -> dict[str, Any]:
        info = await api.get(f"/sync/info?scope={scope}", org=org)
        return next(one for one in info["consumers"] if one["name"] == "consumer.datatype")

    made = await api.post(PATH, new(JOB))
    assert (await consumer("acme"))["depth"] == 0
    await write(api, 3)
    assert (await consumer("acme"))["depth"] == 3 and (await consumer("acme"))["lagSeconds"] >= 0
    assert (await consumer("globex"))["depth"] == 0
    assert (await consumer("globex", "all"))["depth"] == 3
    await api.post(f"{PATH}/{made['id']}/pause")
    assert (await consumer("acme"))["depth"] == 0
    await api.runtime.database.execute("INSERT INTO event_reader (name, position) VALUES ('mine', 1)")
    assert (await consumer("acme"))["depth"] == (await consumer("acme", "all"))["depth"] == 2
    await api.runtime.database.execute(
        "INSERT INTO event_lane (reader_id, org_id, subject, state) SELECT id, 'acme', 'x', 'parked' FROM event_reader"
        " WHERE name = 'mine'"
    )
    assert (await consumer("acme"))["dead"] == 1 and (await consumer("globex"))["dead"] == 0


async def test_the_log_is_listed_and_its_types_are_described(api: Api) -> None:
    await write(api, 3)
    page = await api.get("/sync/events?limit=2&type=thing.happened")
    assert [event["data"]["n"] for event in page["items"]] == [2, 1]
    rest = await api.get(f"/sync/events?limit=2&cursor={page['nextCursor']}")
    assert [event["subject"] for event in rest["items"]] == ["thing:0"]
    assert (await api.get("/sync/events", org="globex"))["items"] == []
    types = (await api.get("/sync/events/types"))["items"]
    assert "activity.added" in {one["type"] for one in types}


async def test_who_may(api: Api) -> None:
    await api.post(PATH, new(JOB), role="operator", status=403)
    made = await api.post(PATH, new(JOB))
    await api.get(PATH, role="viewer")
    await api.post(f"{PATH}/{made['id']}/pause", role="service", status=403)
    await api.post(f"{PATH}/{made['id']}/pause", role="operator")
    await api.call("PATCH", f"{PATH}/{made['id']}", json={"name": "x"}, role="operator", status=403)
    await api.post(PATH, new(JOB), status=409)


async def test_a_webhook_stays_one(api: Api) -> None:
    made = await api.post(PATH, new(JOB))
    change = {"target": {"type": "webhook", "url": "https://example.com"}}
    answer = await api.call("PATCH", f"{PATH}/{made['id']}", json=change, status=422)
    assert "another subscription" in answer["detail"]


async def test_a_replay_names_one_beginning(api: Api) -> None:
    made = await api.post(PATH, new(JOB))
    for body in ({}, {"since": "2026-01-01T00:00:00Z", "afterId": 1}):
        await api.post(f"{PATH}/{made['id']}/replay", body, status=422)
    await api.post(f"{PATH}/{made['id']}/replay", {"since": "2026-01-01T00:00:00Z"}, status=202)
