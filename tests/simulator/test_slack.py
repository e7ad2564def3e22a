"""Slack as its documentation describes it."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from simulator import World
from simulator.vendors.slack import Slack, signature
from tests.simulator.helpers import Call, examples, missing_keys, receiving

EXAMPLES = examples("slack")


@pytest.fixture
def vendors() -> list[str]:
    return ["slack"]


@pytest.fixture
def slack(world: World) -> Slack:
    vendor = world["slack"]
    assert isinstance(vendor, Slack)
    return vendor


class Api:
    def __init__(self, http: httpx.AsyncClient, token: str) -> None:
        self._http, self._headers = http, {"authorization": f"Bearer {token}"}

    async def __call__(self, method: str, **args: Any) -> Any:
        return (await self._http.get(f"/slack/api/{method}", params=args, headers=self._headers)).json()


@pytest.fixture
def api(http: httpx.AsyncClient, slack: Slack) -> Api:
    return Api(http, slack.connect().access_token)


async def test_answers_have_the_keys_of_the_documented_examples(slack: Slack, api: Api) -> None:
    team = slack.account()
    general = team.bots_channels()[0]
    assert missing_keys(await api("conversations.list", limit=1), EXAMPLES["channels"]) == []
    assert missing_keys(await api("conversations.list", types="im"), EXAMPLES["im"]) == []
    assert missing_keys(await api("conversations.history", channel=general.id, limit=20), EXAMPLES["history"]) == []
    parent, _ = next(general.all_threads())
    from simulator.vendors.slack.data import ts

    assert (
        missing_keys(await api("conversations.replies", channel=general.id, ts=ts(parent)), EXAMPLES["replies"]) == []
    )
    assert missing_keys(await api("users.info", user=team.people()[0]), EXAMPLES["user"]) == []
    assert (await api("users.getPresence", user=team.people()[0]))["presence"] in ("active", "away")
    assert (await api("auth.test"))["team_id"] == team.id


async def test_walking_history_brings_every_message_newest_first(slack: Slack, api: Api) -> None:
    channel = slack.account().bots_channels()[0]
    seen: list[str] = []
    args: dict[str, Any] = {"channel": channel.id, "limit": 7}
    while True:
        page = await api("conversations.history", **args)
        seen += [message["ts"] for message in page["messages"]]
        if not page["has_more"]:
            break
        args["cursor"] = page["response_metadata"]["next_cursor"]
    assert seen == [record["ts"] for record in channel.feed.records()][::-1]
    middle = seen[10]
    newer = await api("conversations.history", channel=channel.id, oldest=middle)
    assert [message["ts"] for message in newer["messages"]] == seen[:10]
    same = await api(
        "conversations.history", channel=channel.id, oldest=middle, latest=middle, inclusive="true", limit=1
    )
    assert [message["ts"] for message in same["messages"]] == [middle]


async def test_replies_are_in_their_thread_and_show_on_their_parent(slack: Slack, api: Api) -> None:
    team = slack.account()
    channel = team.bots_channels()[0].id
    parent = slack.post(team, channel=channel, text="a <b> & c")
    reply = slack.post(team, channel=channel, text="yes", thread=parent)
    newest = (await api("conversations.history", channel=channel, limit=1))["messages"][0]
    assert (newest["ts"], newest["reply_count"], newest["latest_reply"]) == (parent, 1, reply)
    assert newest["text"] == "a &lt;b&gt; &amp; c"
    thread = (await api("conversations.replies", channel=channel, ts=parent))["messages"]
    assert [message["ts"] for message in thread] == [parent, reply]
    slack.edit(team, channel=channel, ts=reply, text="no")
    slack.delete(team, channel=channel, ts=parent)
    thread = (await api("conversations.replies", channel=channel, ts=parent))["messages"]
    assert [message.get("subtype") for message in thread] == ["tombstone", None]
    assert (thread[1]["text"], thread[1]["edited"]["ts"]) == ("no", "1764000000.000000")


async def test_errors_are_in_the_body_of_a_200(slack: Slack, api: Api, http: httpx.AsyncClient) -> None:
    team = slack.account()
    outside = next(channel for channel in team.channels.values() if not channel.joined)
    assert (await api("conversations.history", channel=outside.id))["error"] == "not_in_channel"
    assert (await api("conversations.history", channel="C0"))["error"] == "channel_not_found"
    assert (await api("conversations.history", channel=outside.id, oldest="x"))["error"] == "not_in_channel"
    assert (await api("conversations.nothing"))["error"] == "unknown_method"
    assert (await Api(http, "xoxb-wrong")("auth.test"))["error"] == "invalid_auth"
    assert (await http.get("/slack/api/auth.test")).json()["error"] == "not_authed"
    narrow = Api(http, slack.connect(scopes=["channels:read"]).access_token)
    refused = await narrow("conversations.history", channel=team.bots_channels()[0].id)
    assert refused == {"ok": False, "error": "missing_scope", "needed": "channels:history", "provided": "channels:read"}


async def test_consent_code_and_rotation(world: World, slack: Slack, http: httpx.AsyncClient) -> None:
    args = {
        "client_id": slack.app.client_id,
        "scope": "channels:read,users:read",
        "redirect_uri": "https://us/cb",
        "state": "s1",
    }
    answer = await http.get("/slack/oauth/v2/authorize", params=args)
    back = parse_qs(urlsplit(answer.headers["location"]).query)
    assert back["state"] == ["s1"]
    basic = (slack.app.client_id, slack.app.client_secret)
    form = {"code": back["code"][0], "redirect_uri": "https://us/cb"}
    first = (await http.post("/slack/api/oauth.v2.access", data=form, auth=basic)).json()
    assert missing_keys(first, EXAMPLES["tokens"]) == []
    assert first["scope"] == "channels:read,users:read"
    world.clock.advance(43_200)
    assert (await Api(http, first["access_token"])("auth.test"))["error"] == "token_expired"
    refresh = {"grant_type": "refresh_token", "refresh_token": first["refresh_token"]}
    second = (await http.post("/slack/api/oauth.v2.access", data=refresh, auth=basic)).json()
    assert second["refresh_token"] != first["refresh_token"]
    assert (await Api(http, second["access_token"])("auth.test"))["ok"]
    again = (await http.post("/slack/api/oauth.v2.access", data=refresh, auth=basic)).json()
    assert again == {"ok": False, "error": "invalid_refresh_token"}
    assert slack.auth.counters["refresh_reused"] == 1


async def test_limits_are_per_method_and_workspace(
    world: World, slack: Slack, http: httpx.AsyncClient, api: Api
) -> None:
    for _ in range(20):
        assert (await api("conversations.list"))["ok"]
    headers = {"authorization": f"Bearer {slack.connect().access_token}"}
    refused = await http.get("/slack/api/conversations.list", headers=headers)
    assert (refused.status_code, refused.json()["error"]) == (429, "ratelimited")
    assert (await api("users.list"))["ok"]
    world.clock.advance(float(refused.headers["retry-after"]))
    assert (await api("conversations.list"))["ok"]
    assert slack.limits.totals() == {"accepted": 22, "over_limit": 1, "early": 0}


async def test_an_app_outside_the_marketplace_gets_15_messages_a_minute(slack: Slack, http: httpx.AsyncClient) -> None:
    app = next(app for app in slack.auth.apps.values() if app.options["limited"])
    api = Api(http, slack.connect(app=app).access_token)
    channel = slack.account().bots_channels()[0].id
    assert len((await api("conversations.history", channel=channel, limit=999))["messages"]) == 15
    assert (await api("conversations.history", channel=channel))["error"] == "ratelimited"


async def test_paging_traps(world: World, slack: Slack, api: Api) -> None:
    channel = slack.account().bots_channels()[0].id
    plain = await api("conversations.history", channel=channel, limit=5)
    world.faults.add("empty_page", count=1)
    empty = await api("conversations.history", channel=channel, limit=5)
    assert (empty["messages"], empty["has_more"]) == ([], True)
    after = await api(
        "conversations.history", channel=channel, limit=5, cursor=empty["response_metadata"]["next_cursor"]
    )
    assert after == plain
    world.faults.add("repeat_page", count=1)
    repeated = await api("conversations.history", channel=channel, limit=5)
    again = await api(
        "conversations.history", channel=channel, limit=5, cursor=repeated["response_metadata"]["next_cursor"]
    )
    assert again == plain
    world.faults.add("expired_page", count=1)
    cursor = plain["response_metadata"]["next_cursor"]
    assert (await api("conversations.history", channel=channel, cursor=cursor))["error"] == "invalid_cursor"


def _echo(call: Call) -> tuple[int, bytes]:
    return 200, call.json.get("challenge", "").encode()


async def test_events_are_signed_and_begin_with_a_challenge(slack: Slack, http: httpx.AsyncClient) -> None:
    team = slack.account()
    channel = team.bots_channels()[0].id
    async with receiving(_echo) as receiver:
        assert (await http.post("/_control/slack/webhooks", json={"url": receiver.url})).json() == {"ok": True}
        stamp = slack.post(team, channel=channel, text=f"<@{team.bot_user}> hi")
        slack.delete(team, channel=channel, ts=stamp)
        slack.revoke(team)
        await slack.hooks.drain()
    assert receiver.calls[0].json["type"] == "url_verification"
    for call in receiver.calls:
        expected = signature(slack.app.secrets["signing_secret"], 1_764_000_000, call.body)
        assert {name: call.headers[name] for name in expected} == expected
    events = {call.json["event"]["type"]: call.json for call in receiver.calls[1:]}
    assert set(events) == {"message", "app_mention", "tokens_revoked", "app_uninstalled"}
    assert missing_keys(events["app_mention"], EXAMPLES["event"]) == []


async def test_a_failing_receiver_is_tried_again_by_the_clock(
    world: World, slack: Slack, http: httpx.AsyncClient
) -> None:
    import asyncio

    team = slack.account()
    async with receiving(lambda _call: (500, b"")) as receiver:
        await http.post("/_control/slack/webhooks", json={"url": receiver.url, "handshake": False})
        slack.post(team, channel=team.bots_channels()[0].id, text="hello")
        drained = asyncio.create_task(slack.hooks.drain())
        while not drained.done():
            world.clock.advance(61)
            await asyncio.sleep(0.005)
    assert [call.headers.get("x-slack-retry-num") for call in receiver.calls] == [None, "1", "2", "3"]
    assert {call.headers.get("x-slack-retry-reason") for call in receiver.calls[1:]} == {"http_error"}
    assert slack.hooks.deliveries[-1].state == "failed"


def test_signature_of_the_documented_example() -> None:
    body = (
        b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar"
        b"&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com"
        b"%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d"
        b"10d2c447fce8b6703c"
    )
    expected = "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503"
    assert signature("8f742231b10e8888abcd99yyyzzz85a5", 1531420618, body)["x-slack-signature"] == expected
