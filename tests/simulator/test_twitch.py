"""Twitch as its documentation describes it."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from simulator import World
from simulator.vendors.twitch import Twitch, signature
from simulator.vendors.twitch.data import go_duration
from tests.simulator.helpers import Call, examples, missing_keys, receiving

EXAMPLES = examples("twitch")
SECRET = "s3cRe7-10-to-100-ascii"


@pytest.fixture
def vendors() -> list[str]:
    return ["twitch"]


@pytest.fixture
def twitch(world: World) -> Twitch:
    vendor = world["twitch"]
    assert isinstance(vendor, Twitch)
    return vendor


class Api:
    def __init__(self, http: httpx.AsyncClient, token: str, client: str) -> None:
        self._http, self._headers = http, {"authorization": f"Bearer {token}", "client-id": client}

    async def ask(self, path: str, method: str = "GET", json: Any = None, **args: Any) -> httpx.Response:
        return await self._http.request(method, f"/twitch/helix/{path}", params=args, json=json, headers=self._headers)

    async def __call__(self, path: str, **args: Any) -> Any:
        return (await self.ask(path, **args)).json()


@pytest.fixture
def api(http: httpx.AsyncClient, twitch: Twitch) -> Api:
    return Api(http, twitch.connect().access_token, twitch.app.client_id)


@pytest.fixture
async def ours(http: httpx.AsyncClient, twitch: Twitch) -> Api:
    """With an app token."""
    form = {"client_id": twitch.app.client_id, "client_secret": twitch.app.client_secret}
    answer = await http.post("/twitch/oauth2/token", data={**form, "grant_type": "client_credentials"})
    return Api(http, answer.json()["access_token"], twitch.app.client_id)


async def walk(api: Api, path: str, limit: int = 500, **args: Any) -> list[Any]:
    found: list[Any] = []
    cursor: dict[str, str] = {}
    while len(found) < limit:
        page = await api(path, **args, **cursor)
        found += page["data"]
        if not page["pagination"].get("cursor"):
            break
        cursor = {"after": page["pagination"]["cursor"]}
    return found


async def test_answers_have_the_keys_of_the_documented_examples(twitch: Twitch, api: Api) -> None:
    one, two = twitch.ordinary_accounts()
    assert missing_keys(await api("streams", user_id=one.id), EXAMPLES["streams"]) == [".pagination.cursor"]
    assert await api("streams", user_id=two.id) == EXAMPLES["offline"]
    assert missing_keys(await api("videos", user_id=one.id, first=5), EXAMPLES["videos"]) == []
    window = {"started_at": "2025-11-20T00:00:00Z", "ended_at": "2025-11-24T00:00:00Z"}
    assert missing_keys(await api("clips", broadcaster_id=one.id, first=1, **window), EXAMPLES["clips"]) == []
    shown = await api("channels/followers", broadcaster_id=one.id, first=1)
    assert missing_keys(shown, EXAMPLES["followers"]) == []
    assert missing_keys(await api("users", id=one.id), EXAMPLES["users"]) == []
    assert (await api("users"))["data"][0]["id"] == one.id
    assert (await api("channels", broadcaster_id=[one.id, two.id]))["data"][1]["broadcaster_login"] == two.login
    assert (await api("polls", broadcaster_id=one.id))["data"][0]["choices"][0]["votes"] >= 0
    assert (await api("goals", broadcaster_id=one.id))["data"][0]["type"] == "follower"
    assert (await api("channels/ads", broadcaster_id=one.id))["data"][0]["next_ad_at"].endswith("+00:00")
    assert (await api("schedule", broadcaster_id=one.id))["data"]["segments"]
    assert (await api.ask("schedule", broadcaster_id=two.id)).status_code == 404


async def test_lists_page_by_opaque_cursors_that_belong_to_a_question(twitch: Twitch, api: Api) -> None:
    one = twitch.account()
    videos = await walk(api, "videos", user_id=one.id, first=3)
    assert [video["id"] for video in videos] == [record["id"] for record in one.videos.records()][::-1]
    people = await walk(api, "channels/followers", broadcaster_id=one.id, first=20)
    assert [who["followed_at"] for who in people] == [r["followed_at"] for r in one.followers.records()][::-1]
    cursor = (await api("videos", user_id=one.id, first=3))["pagination"]["cursor"]
    refused = await api("videos", user_id=one.id, type="upload", first=3, after=cursor)
    assert refused["message"].startswith("The cursor specified")
    uploads = await walk(api, "videos", user_id=one.id, type="upload", first=3)
    assert {video["type"] for video in uploads} == {"upload"}
    assert (await api("videos", user_id=one.id, first=101))["status"] == 400


async def test_clips_come_by_views_and_never_end_beyond_a_thousand(world: World, twitch: Twitch, api: Api) -> None:
    one = twitch.account()
    window = {"started_at": "2025-11-17T00:00:00Z", "ended_at": "2025-11-25T00:00:00Z"}
    found = await walk(api, "clips", broadcaster_id=one.id, first=20, **window)
    views = [clip["view_count"] for clip in found]
    assert views == sorted(views, reverse=True) and len(found) > 20
    assert [clip["created_at"] for clip in found] != sorted((c["created_at"] for c in found), reverse=True)
    wide = await walk(api, "clips", broadcaster_id=one.id, first=20)
    narrow = await walk(
        api, "clips", broadcaster_id=one.id, started_at="2025-11-10T00:00:00Z", ended_at="2025-11-25T00:00:00Z"
    )
    assert len(wide) < len(narrow) == len(one.clips)
    refused = await api("clips", broadcaster_id=one.id, before="x", **window)
    assert refused["message"].startswith("The cursor specified")
    for n in range(1100):
        twitch.clip(one, title=f"clip {n}")
        world.clock.advance(0.1)
    day = {"started_at": "2025-11-24T15:59:00Z", "ended_at": "2025-11-24T16:10:00Z"}
    endless = await walk(api, "clips", limit=2000, broadcaster_id=one.id, first=100, **day)
    assert len(endless) == 2000 and len({clip["id"] for clip in endless}) == 1000
    clip = twitch.clip(one)
    assert (await api("clips", id=clip))["data"][0]["id"] == clip


async def test_numbers_grow_and_a_running_streams_video_too(world: World, twitch: Twitch, api: Api) -> None:
    one = twitch.account()
    before = (await api("videos", user_id=one.id, first=2))["data"]
    world.clock.advance(3723)
    after = (await api("videos", user_id=one.id, first=2))["data"]
    stream = (await api("streams", user_id=one.id))["data"][0]
    assert after[0]["stream_id"] == stream["id"] and after[0]["duration"] == "1h2m3s"
    assert after[1]["view_count"] > before[1]["view_count"]
    twitch.offline(one)
    assert (await api("streams", user_id=one.id))["data"] == []
    ended = (await api("videos", user_id=one.id, first=1))["data"][0]
    world.clock.advance(100)
    assert (await api("videos", user_id=one.id, first=1))["data"][0]["duration"] == ended["duration"] == "1h2m3s"
    twitch.remove_video(one, video=ended["id"])
    assert (await api("videos", id=ended["id"]))["status"] == 404


async def test_follows_and_subscriptions(twitch: Twitch, api: Api, http: httpx.AsyncClient) -> None:
    one = twitch.account()
    before = (await api("channels/followers", broadcaster_id=one.id))["total"]
    who = twitch.follow(one)
    answer = await api("channels/followers", broadcaster_id=one.id)
    assert (answer["total"], answer["data"][0]["user_id"]) == (before + 1, who)
    assert twitch.unfollow(one, user=who)
    assert (await api("channels/followers", broadcaster_id=one.id))["total"] == before
    total = (await api("subscriptions", broadcaster_id=one.id))["total"]
    twitch.subscribe(one, tier="3000")
    answer = await api("subscriptions", broadcaster_id=one.id)
    assert answer["total"] == total + 1 and answer["points"] > total
    narrow = Api(http, twitch.connect(scopes=[]).access_token, twitch.app.client_id)
    unscoped = await narrow("channels/followers", broadcaster_id=one.id)
    assert {**unscoped, "total": 2} == EXAMPLES["followers_unscoped"]
    refused = await narrow.ask("subscriptions", broadcaster_id=one.id)
    assert (refused.status_code, refused.json()["message"]) == (401, "Missing scope: channel:read:subscriptions")
    other = twitch.ordinary_accounts()[1]
    assert "must match the user ID" in (await api("subscriptions", broadcaster_id=other.id))["message"]


async def test_errors_tell_causes_by_their_message_alone(twitch: Twitch, api: Api, http: httpx.AsyncClient) -> None:
    one = twitch.account()
    token, client = twitch.connect().access_token, twitch.app.client_id
    assert await Api(http, "wrong", client)("users") == EXAMPLES["unauthorized"]
    assert (await http.get("/twitch/helix/users")).json()["message"] == "OAuth token is missing"
    bare = await http.get("/twitch/helix/users", headers={"authorization": f"Bearer {token}"})
    assert (bare.status_code, bare.json()["message"]) == (401, "Client ID is missing")
    wrong = await Api(http, token, "other")("users")
    assert wrong["message"] == "Client ID and OAuth token do not match"
    assert (await api("videos"))["message"] == 'Missing required parameter "user_id"'
    assert (await http.get("/twitch/kraken/streams")).json()["status"] == 410
    twitch.suspend(one)
    fresh = Api(http, twitch.connect().access_token, client)
    assert (await fresh("users", id=one.id))["data"] == []


async def test_a_full_bucket_refills_while_one_waits(world: World, twitch: Twitch, api: Api) -> None:
    twitch.limits.change("points", max=4)
    left = [(await api.ask("users")).headers["ratelimit-remaining"] for _ in range(4)]
    assert left == ["3", "2", "1", "0"]
    refused = await api.ask("users")
    assert (refused.status_code, refused.json()["error"]) == (429, "Too Many Requests")
    assert "retry-after" not in refused.headers
    assert int(refused.headers["ratelimit-reset"]) > world.clock.now()
    world.clock.advance(15)
    assert (await api.ask("users")).status_code == 200
    assert (await api.ask("users")).status_code == 429


async def test_consent_refresh_and_the_end_of_consent(world: World, twitch: Twitch, http: httpx.AsyncClient) -> None:
    app = {"client_id": twitch.app.client_id, "client_secret": twitch.app.client_secret}
    args = {"client_id": app["client_id"], "redirect_uri": "https://us/cb", "response_type": "code", "state": "s"}
    answer = await http.get("/twitch/oauth2/authorize", params={**args, "scope": "user:read:chat bits:read"})
    back = parse_qs(urlsplit(answer.headers["location"]).query)
    form = {"grant_type": "authorization_code", "code": back["code"][0], "redirect_uri": "https://us/cb"}
    first = (await http.post("/twitch/oauth2/token", data={**app, **form})).json()
    assert missing_keys(first, EXAMPLES["tokens"]) == []
    assert (first["scope"], first["expires_in"]) == (["bits:read", "user:read:chat"], 14_124)
    headers = {"authorization": f"OAuth {first['access_token']}"}
    checked = (await http.get("/twitch/oauth2/validate", headers=headers)).json()
    assert missing_keys(checked, EXAMPLES["validate"]) == [] and checked["user_id"] == twitch.account().id
    world.clock.advance(14_124)
    api = Api(http, first["access_token"], app["client_id"])
    assert (await api("users"))["message"] == "Invalid OAuth token"
    assert (await http.get("/twitch/oauth2/validate", headers=headers)).json() == {
        "status": 401,
        "message": "invalid access token",
    }
    assert "%" in first["refresh_token"]
    again = {"grant_type": "refresh_token", "refresh_token": first["refresh_token"]}
    for _ in range(2):
        second = (await http.post("/twitch/oauth2/token", data={**app, **again})).json()
        assert second["refresh_token"] == first["refresh_token"] and missing_keys(second, EXAMPLES["refresh"]) == []
    twitch.revoke()
    refused = await http.post("/twitch/oauth2/token", data={**app, **again})
    assert (refused.status_code, refused.json()["message"]) == (400, "Invalid refresh token")
    wrong = await http.post("/twitch/oauth2/token", data={**app, **again, "client_secret": "no"})
    assert (wrong.status_code, wrong.json()) == (403, {"status": 403, "message": "invalid client secret"})


def _echo(call: Call) -> tuple[int, bytes]:
    return 200, call.json.get("challenge", "").encode()


def _wanted(kind: str, url: str, channel: str) -> dict[str, Any]:
    versions = {"channel.follow": "2"}
    condition = {"broadcaster_user_id": channel, "moderator_user_id": channel}
    if kind == "channel.chat.message":
        condition = {"broadcaster_user_id": channel, "user_id": channel}
    transport = {"method": "webhook", "callback": url, "secret": SECRET}
    return {"type": kind, "version": versions.get(kind, "1"), "condition": condition, "transport": transport}


async def _enabled(ours: Api, status: str = "enabled") -> list[Any]:
    while True:
        found: list[Any] = (await ours("eventsub/subscriptions"))["data"]
        if all(one["status"] == status for one in found):
            return found
        await asyncio.sleep(0.005)


async def test_subscriptions_shake_hands_and_events_are_signed(twitch: Twitch, api: Api, ours: Api) -> None:
    one = twitch.account()
    twitch.connect(one)
    async with receiving(_echo) as receiver:
        for kind in ("channel.follow", "channel.chat.message"):
            made = await ours.ask("eventsub/subscriptions", "POST", json=_wanted(kind, receiver.url, one.id))
            assert made.status_code == 202
            lacking = missing_keys(made.json(), EXAMPLES["subscription"])
            assert [key for key in lacking if "condition" not in key] == []
        again = await ours.ask("eventsub/subscriptions", "POST", json=_wanted(kind, receiver.url, one.id))
        assert (again.status_code, again.json()["message"]) == (409, "subscription already exists")
        assert len(await _enabled(ours)) == 2
        twitch.follow(one)
        parent = twitch.chat(one, text="Hi chat")
        twitch.chat(one, text="me too", reply_to=parent)
        twitch.cheer(one)  # not subscribed to
        await twitch.hooks.drain()
        twitch.revoke(one)
        await twitch.hooks.drain()
    for call in receiver.calls:
        number, at = call.headers["twitch-eventsub-message-id"], call.headers["twitch-eventsub-message-timestamp"]
        right = signature(SECRET, number, at, call.body)["twitch-eventsub-message-signature"]
        assert call.headers["twitch-eventsub-message-signature"] == right
    kinds = [call.headers["twitch-eventsub-message-type"] for call in receiver.calls]
    assert sorted(kinds) == ["notification"] * 3 + ["revocation"] * 2 + ["webhook_callback_verification"] * 2
    sent = [call.json for call in receiver.calls if call.headers["twitch-eventsub-message-type"] == "notification"]
    by_kind = {event["subscription"]["type"]: event for event in sent}
    assert missing_keys(by_kind["channel.follow"], EXAMPLES["follow"]) == []
    assert missing_keys(by_kind["channel.chat.message"], EXAMPLES["chat_message"]) == []
    ended = next(call.json for call in receiver.calls if "revocation" in call.headers.values())
    assert missing_keys(ended, EXAMPLES["revocation"]) == [] and "event" not in ended
    assert ended["subscription"]["status"] == "authorization_revoked"


async def test_subscriptions_that_twitch_refuses(twitch: Twitch, api: Api, ours: Api) -> None:
    one = twitch.account()
    wanted = _wanted("channel.follow", "http://127.0.0.1:9/x", one.id)
    refused = await api.ask("eventsub/subscriptions", "POST", json=wanted)
    assert refused.json()["message"] == "invalid transport and auth combination"
    other = _wanted("channel.follow", "http://127.0.0.1:9/x", twitch.ordinary_accounts()[1].id)
    assert (await ours.ask("eventsub/subscriptions", "POST", json=other)).status_code == 403
    open_ = _wanted("channel.follow", "http://example.com/x", one.id)
    assert (await ours.ask("eventsub/subscriptions", "POST", json=open_)).status_code == 400
    for port in (1, 2, 3):
        wanted = _wanted("channel.follow", f"http://127.0.0.1:{port}/x", one.id)
        assert (await ours.ask("eventsub/subscriptions", "POST", json=wanted)).status_code == 202
    wanted = _wanted("channel.follow", "http://127.0.0.1:4/x", one.id)
    assert (await ours.ask("eventsub/subscriptions", "POST", json=wanted)).status_code == 429
    failed = await _enabled(ours, "webhook_callback_verification_failed")
    assert (await ours.ask("eventsub/subscriptions", "DELETE", id=failed[0]["id"])).status_code == 204
    assert (await ours("eventsub/subscriptions"))["total"] == 2
    assert (await ours("eventsub/subscriptions", status="enabled", type="x"))["status"] == 400


async def test_a_receiver_of_everything_gets_everything(twitch: Twitch, http: httpx.AsyncClient) -> None:
    one = twitch.account()
    async with receiving(_echo) as receiver:
        assert (await http.post("/_control/twitch/webhooks", json={"url": receiver.url})).json() == {"ok": True}
        for deed in (twitch.offline, twitch.online, twitch.subscribe, twitch.cheer, twitch.raid, twitch.whisper):
            deed(one)
        twitch.unchat(one, message=twitch.chat(one, mention=True))
        twitch.update(one, title="New game")
        twitch.suspend(one)
        await twitch.hooks.drain()
    kinds = [call.headers["twitch-eventsub-subscription-type"] for call in receiver.calls[1:]]
    assert sorted(kinds) == sorted(
        [
            *("stream.offline", "stream.online", "channel.subscribe", "channel.cheer", "channel.raid"),
            *("user.whisper.message", "channel.chat.message", "channel.chat.message_delete", "channel.update"),
            "user.authorization.revoke",
        ]
    )
    secret = twitch.app.secrets["eventsub_secret"]
    last = receiver.calls[-1]
    at = last.headers["twitch-eventsub-message-timestamp"]
    right = signature(secret, last.headers["twitch-eventsub-message-id"], at, last.body)
    assert last.headers["twitch-eventsub-message-signature"] == right["twitch-eventsub-message-signature"]


async def test_chat_is_sent_with_a_200_even_when_it_is_dropped(twitch: Twitch, api: Api) -> None:
    one = twitch.account()
    body = {"broadcaster_id": one.id, "sender_id": one.id, "message": "Hello"}
    assert (await api.ask("chat/messages", "POST", json=body)).json()["data"][0]["is_sent"]
    dropped = await api.ask("chat/messages", "POST", json={**body, "message": ""})
    assert (dropped.status_code, dropped.json()["data"][0]["drop_reason"]["code"]) == (200, "msg_empty")
    assert (await api.ask("chat/messages", "POST", json={**body, "message": "x" * 501})).status_code == 422


BODY = (
    b'{"challenge":"pogchamp-kappa-360noscope-vohiyo","subscription":{"id":"f1c2a387-161a-49f9-a165-0f21d7a4e1c4",'
    b'"status":"webhook_callback_verification_pending","type":"channel.follow","version":"2","cost":1,"condition":'
    b'{"broadcaster_user_id":"12826","moderator_user_id":"12826"},"transport":{"method":"webhook","callback":'
    b'"https://example.com/webhooks/callback"},"created_at":"2019-11-16T10:11:12.634234626Z"}}'
)
MESSAGE = "e76c6bd4-55c9-4987-8304-da1588d8988b"


@pytest.mark.parametrize(
    ("secret", "at", "expected"),
    [
        (
            "s3cre7-twitch-test",
            "2019-11-16T10:11:12.634234626Z",
            "sha256=1b300472d15325bfc65ae7727505e78f6c8bb1dcba6ec6cdba26f4023b48664d",
        ),
        (
            "s3cRe7s3cRe7",
            "2026-11-23T19:00:00.123456789Z",
            "sha256=1384017ad658bf5d2c284be303af6fd2920f4d580a7b61a6382bf22559596293",
        ),
    ],
)
def test_signature_vectors(secret: str, at: str, expected: str) -> None:
    assert signature(secret, MESSAGE, at, BODY)["twitch-eventsub-message-signature"] == expected


@pytest.mark.parametrize(("seconds", "shown"), [(3723, "1h2m3s"), (201, "3m21s"), (45, "45s"), (3600, "1h0m0s")])
def test_durations_are_written_as_go_does(seconds: int, shown: str) -> None:
    assert go_duration(seconds) == shown
