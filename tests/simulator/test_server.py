"""A call's way through the server: faults, log, control."""

from __future__ import annotations

import json

import httpx
import pytest

from simulator import World, served
from simulator.vendors.slack import Slack
from tests.simulator.helpers import receiving


@pytest.fixture
def vendors() -> list[str]:
    return ["slack", "facebook"]


@pytest.fixture
def token(world: World) -> dict[str, str]:
    return {"authorization": f"Bearer {world['slack'].connect().access_token}"}


URL = "/slack/api/users.list"


async def test_faults_of_the_answer(world: World, http: httpx.AsyncClient, token: dict[str, str]) -> None:
    whole = (await http.get(URL, headers=token)).content
    world.faults.add("truncate", count=1, at=0.5)
    assert (await http.get(URL, headers=token)).content == whole[: len(whole) // 2]
    world.faults.add("garbage", count=1)
    with pytest.raises(UnicodeDecodeError):
        (await http.get(URL, headers=token)).json()
    world.faults.add("cut", count=1)
    with pytest.raises(httpx.RemoteProtocolError):
        await http.get(URL, headers=token)
    world.faults.add("extra_fields", count=1)
    assert "x_new_field" in (await http.get(URL, headers=token)).json()["members"][0]["profile"]
    assert (await http.get(URL, headers=token)).content == whole


async def test_faults_before_the_answer(world: World, http: httpx.AsyncClient, token: dict[str, str]) -> None:
    account = world["slack"].account().id
    world.faults.add("error", vendor="slack", account=account, count=1, status=502)
    answer = await http.get(URL, headers=token)
    assert (answer.status_code, answer.json()["error"]) == (502, "internal_error")
    world.faults.add("error", count=1, html=True)
    assert (await http.get(URL, headers=token)).headers["content-type"] == "text/html"
    world.faults.add("limited", count=1, retry_after=7)
    answer = await http.get(URL, headers=token)
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "7")
    world.faults.add("missing_scope", count=1)
    assert (await http.get(URL, headers=token)).json()["error"] == "missing_scope"
    world.faults.add("clock_skew", seconds=3600)
    assert (await http.get(URL, headers=token)).headers["date"] == "Mon, 24 Nov 2025 17:00:00 GMT"
    world.faults.clear()
    world.faults.add("revoked_token", count=1)
    assert (await http.get(URL, headers=token)).json()["error"] == "token_revoked"
    assert (await http.get(URL, headers=token)).json()["ok"]


async def test_the_log_has_every_request_and_no_secret(
    world: World, http: httpx.AsyncClient, token: dict[str, str]
) -> None:
    secret = token["authorization"].split()[1]
    await http.get(URL, headers=token, params={"limit": "2", "token": "hidden"})
    await http.post("/slack/api/oauth.v2.access", data={"client_secret": "hidden", "code": "hidden"})
    logged = (await http.get("/_control/requests")).json()["requests"]
    assert [(entry["method"], entry["path"]) for entry in logged] == [
        ("GET", "/api/users.list"),
        ("POST", "/api/oauth.v2.access"),
    ]
    assert logged[0]["args"]["limit"] == "2"
    assert logged[0]["account"] == world["slack"].account().id
    assert "hidden" not in json.dumps(logged)
    assert secret not in json.dumps(logged)
    counters = (await http.get("/_control/counters")).json()["slack"]
    assert counters["tokens"]["token_requests"] == 1
    assert counters["requests"]["calls"] == 2


async def test_control_drives_the_world(world: World, http: httpx.AsyncClient) -> None:
    index = (await http.get("/_control")).json()
    assert set(index["vendors"]) == set(world.vendors)
    assert (await http.post("/_control/clock", json={"advance": 60})).json()["now"] == index["now"] + 60
    connection = (await http.post("/_control/slack/connect", json={"scopes": ["users:read"]})).json()
    headers = {"authorization": f"Bearer {connection['access_token']}"}
    assert (await http.get(URL, headers=headers)).json()["ok"]
    fault = (await http.post("/_control/faults", json={"kind": "error", "vendor": "slack", "status": 500})).json()
    assert (await http.get(URL, headers=headers)).status_code == 500
    await http.delete(f"/_control/faults/{fault['id']}")
    await http.post("/_control/slack/revoke", json={"account": connection["account_id"]})
    assert (await http.get(URL, headers=headers)).json()["error"] == "token_revoked"
    assert (await http.post("/_control/faults", json={"kind": "fire"})).status_code == 400
    assert (await http.get("/_control/nothing")).status_code == 404


async def test_webhooks_are_repeated_reordered_and_dropped_on_demand(world: World, http: httpx.AsyncClient) -> None:
    slack = world["slack"]
    assert isinstance(slack, Slack)
    channel = slack.account().bots_channels()[0].id
    async with receiving() as receiver:
        await http.post("/_control/slack/webhooks", json={"url": receiver.url, "handshake": False})
        world.faults.add("webhook_duplicate", count=1)
        slack.post(slack.account(), channel=channel, text="one")
        await slack.hooks.drain()
        assert [call.json["event"]["text"] for call in receiver.calls] == ["one", "one"]
        assert receiver.calls[0].json["event_id"] == receiver.calls[1].json["event_id"]
        receiver.calls.clear()
        world.faults.add("webhook_reorder", count=1)
        world.faults.add("webhook_drop", count=1, after=2)
        for text in ("two", "three", "four"):
            slack.post(slack.account(), channel=channel, text=text)
        await slack.hooks.drain()
        assert [call.json["event"]["text"] for call in receiver.calls] == ["three", "two"]


def test_a_thread_of_its_own_serves_code_that_is_not_async() -> None:
    world = World(vendors=["slack"])
    with served(world) as base_url:
        assert httpx.get(f"{base_url}/_control", trust_env=False).json()["seed"] == 7
        world.clock.advance(1)
