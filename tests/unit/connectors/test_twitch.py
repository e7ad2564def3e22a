"""Twitch: its verdict table, its records, how clips are walked, its signatures."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from connectors.base import Account, Credentials, Installation
from connectors.http import CodeGrant, Context, Hook, OAuth2, Partition
from connectors.http.budgets import LocalBudgets
from connectors.http.request import Reply, Request
from connectors.http.verdicts import judge
from connectors.twitch import parse
from connectors.twitch.answers import OPTIONAL, refused
from connectors.twitch.connector import TWITCH
from connectors.twitch.webhook import events, handshake, verify
from tests.fakes.vendor import NOW, Script, Shelf, collect

EXAMPLES: dict[str, Any] = json.loads(
    (Path(__file__).parents[2] / "simulator" / "examples" / "twitch.json").read_text("utf-8")
)
ME = "141981764"
FACTS = {"user_id": ME, "login": "twitchdev", "asked_at": int(NOW.timestamp())}


def context(key: str = "", **details: Any) -> Context:
    return Context(Account("acme", ME, {}, Credentials({})), FACTS, NOW, Partition(key, details))


def verdict(
    status: int, body: Any, headers: dict[str, str] | None = None, endpoint: str = "videos", rules: Any = ()
) -> tuple[str, float | None]:
    answer = httpx.Response(status, headers=headers, **({"json": body} if isinstance(body, dict) else {"text": body}))
    reply = Reply(Request("GET", "/x", endpoint=endpoint), status, answer.headers, answer.content)
    found = judge(reply, TWITCH.problem, (*rules, *TWITCH.verdicts))
    return found.verdict.value, found.after_s


def said(status: int, message: str, endpoint: str = "videos", rules: Any = ()) -> str:
    return verdict(status, {"error": "X", "status": status, "message": message}, endpoint=endpoint, rules=rules)[0]


NOT_OURS = "The ID in broadcaster_id must match the user ID found in the request's OAuth token."


@pytest.mark.parametrize(
    ("status", "message", "expected"),
    [
        (400, 'Missing required parameter "user_id"', "bug"),
        (400, "The ID in broadcaster_id must be a number", "bug"),
        (400, "The cursor specified in the before or after query parameter is not valid.", "reset_cursor"),
        (401, "Invalid OAuth token", "refresh"),
        (401, "Token expired", "refresh"),
        (401, "OAuth token is missing", "config"),
        (401, "Missing Client ID or OAuth token", "config"),
        (401, "Client ID and OAuth token do not match", "config"),
        (401, "Missing scope: moderator:read:followers", "scope_missing"),
        (401, "Missing required scope: bits:read", "scope_missing"),
        (401, NOT_OURS, "scope_missing"),
        (401, "The ID in moderator_id must match the user or be a moderator", "scope_missing"),
        (403, "The user is not a moderator.", "scope_missing"),
        (404, "segments were not found", "gone"),
        (409, "subscription already exists", "ok"),
        (410, "The API is deprecated.", "bug"),
        (422, "The message is too large.", "bug"),
        *[(status, "x", "throttled") for status in (425, 429)],
        *[(status, "x", "retry") for status in (500, 502, 503, 504)],
    ],
)
def test_every_error_of_the_sheet_has_its_verdict(status: int, message: str, expected: str) -> None:
    assert said(status, message) == expected


def test_parts_that_not_everybody_grants_are_left_out() -> None:
    assert said(401, "Missing scope: channel:read:goals", rules=OPTIONAL) == "gone"
    assert said(401, NOT_OURS, rules=OPTIONAL) == "gone"
    assert said(403, "Not a partner", rules=OPTIONAL) == "gone"
    assert said(401, "Invalid OAuth token", rules=OPTIONAL) == "refresh"


def test_limits_tell_when_the_bucket_is_full_again() -> None:
    body = {"error": "Too Many Requests", "status": 429, "message": "Request limit exceeded"}
    full = str(int(time.time()) + 40)
    kind, after = verdict(429, body, {"ratelimit-remaining": "0", "ratelimit-reset": full})
    assert kind == "throttled" and after is not None and 35 < after <= 40
    assert verdict(429, body, {"ratelimit-remaining": "700", "ratelimit-reset": full}) == ("throttled", None)
    assert verdict(503, "<html>")[0] == "retry"


def test_an_account_that_nobody_knows_is_gone() -> None:
    assert verdict(200, {"data": []}, endpoint="users")[0] == "auth_dead"
    assert verdict(200, {"data": []}, endpoint="videos")[0] == "ok"
    assert verdict(200, EXAMPLES["users"], endpoint="users")[0] == "ok"
    assert verdict(401, {"status": 401, "message": "invalid access token"}, endpoint="validate")[0] == "refresh"


@pytest.mark.parametrize(
    ("status", "message", "final"),
    [
        (400, "Invalid refresh token", True),
        (401, "Invalid refresh token", True),
        (400, "invalid client", False),
        (403, "invalid client secret", False),
        (503, "Invalid refresh token", False),
    ],
)
def test_only_a_refused_refresh_token_ends_the_account(status: int, message: str, final: bool) -> None:
    answer = httpx.Response(status, json={"error": "Bad Request", "status": status, "message": message})
    assert refused(Reply(Request("POST", "/t"), status, answer.headers, answer.content)) is final


def test_tokens_of_the_documentation() -> None:
    auth = TWITCH.auth
    assert isinstance(auth, OAuth2)
    answer = httpx.Response(200, json=EXAMPLES["tokens"])
    read = auth.read(Reply(Request("POST", "/t"), 200, answer.headers, answer.content), 1000)
    assert read["scope"] == "channel:moderate chat:edit chat:read"
    assert (read["expires_at"], read["refresh_token"][:6]) == ("15124", "5b93ch")
    answer = httpx.Response(200, json=EXAMPLES["refresh"])
    read = auth.read(Reply(Request("POST", "/t"), 200, answer.headers, answer.content), 1000)
    assert "expires_at" not in read and read["refresh_token"].endswith("%asdfasdf=")
    asked = auth.code_request(CodeGrant("c0de", "https://us/cb"), Installation("app", "s3cret"))
    assert (asked.host, asked.form) == (
        "id",
        {
            **{"grant_type": "authorization_code", "code": "c0de", "redirect_uri": "https://us/cb"},
            **{"client_id": "app", "client_secret": "s3cret"},
        },
    )


# --- records


def test_videos_of_the_documentation() -> None:
    upload, archive = (parse.video(item, context()) for item in EXAMPLES["videos"]["data"])
    assert (upload.kind, upload.vendor_id, upload.title) == ("post", "335921245", "Twitch Developers 101")
    assert upload.occurred_at == datetime(2018, 11, 14, 21, 30, 18, tzinfo=UTC)
    assert upload.counters == {"views": 1863062, "seconds": 201}
    assert "640x360" in (upload.attachments[0].url or "") and "{" not in (upload.attachments[0].url or "")
    assert archive.counters == {"views": 12, "seconds": 3723}
    assert archive.data == {"what": "archive", "stream": "40952121085", "language": "en"}
    assert archive.attachments == ()


def test_clips_of_the_documentation() -> None:
    clip = parse.clip(EXAMPLES["clips"]["data"][0], context())
    assert (clip.vendor_id, clip.title, clip.counters, clip.parent_id) == (
        "RandomClip1",
        "random1",
        {"views": 10},
        None,
    )
    assert clip.author is not None and (clip.author.id, clip.author.name) == ("123456", "MrMarshall")
    assert (clip.direction, clip.data) == (
        "in",
        {"what": "clip", "game": "33103", "language": "en", "seconds": "12.9", "featured": True},
    )
    cut = parse.clip({**EXAMPLES["clips"]["data"][0], "video_id": "335921245"}, context())
    assert cut.parent_id == "335921245"


def test_people_of_the_documentation() -> None:
    user = parse.user(EXAMPLES["users"]["data"][0], context())
    assert (user.vendor_id, user.title, user.counters) == (ME, "TwitchDev", None)
    follower = parse.follower(EXAMPLES["followers"]["data"][0], context())
    assert follower.vendor_id == "follower:11111"
    assert follower.occurred_at == datetime(2026, 5, 24, 22, 22, 8, tzinfo=UTC)
    item = {"broadcaster_id": ME, "user_id": "5", "user_name": "Five", "user_login": "five", "tier": "2000"}
    subscriber = parse.subscriber({**item, "gifter_id": ""}, context())
    assert subscriber is not None and subscriber.data == {"what": "subscriber", "tier": "2000", "gift_of": None}
    assert parse.subscriber({**item, "user_id": ME}, context()) is None
    channel = parse.channel({"broadcaster_id": ME, "title": "Live!", "game_name": "Chess", "tags": ["a"]}, context())
    assert (channel.vendor_id, channel.title) == (f"channel:{ME}", "Live!")


def test_figures_of_the_documentation() -> None:
    stream = parse.viewers(EXAMPLES["streams"]["data"][0], context())
    assert (stream.entity, stream.value, stream.is_final) == ("123456789", 78365, True)
    assert (stream.end - stream.start).total_seconds() == 60
    total = parse.total("followers")(EXAMPLES["followers_unscoped"], context())
    assert (total.entity, total.metric, total.value) == (ME, "followers", 2)
    points = [*parse.subscribers({"total": 3, "points": 8, "data": []}, context())]
    assert [(p.metric, p.value) for p in points] == [("subscribers", 3), ("subscriber_points", 8)]
    choices = [{"id": "c", "title": "Chess", "votes": 4}]
    item = {"id": "p", "started_at": "2026-11-01T10:00:00Z", "status": "COMPLETED", "choices": choices}
    (votes,) = parse.poll(item, context())
    assert (votes.value, votes.dimensions, votes.is_final) == (4, {"choice": "Chess"}, True)
    goal = [*parse.goal({"id": "g", "type": "follower", "current_amount": 7, "target_amount": 9}, context())]
    assert [(p.metric, p.value) for p in goal] == [("current_amount", 7), ("target_amount", 9)]


def test_a_channel_is_live_or_it_is_not() -> None:
    live = parse.presence(EXAMPLES["streams"]["data"][0], context())
    assert live.data is not None and live.data["live"] and live.counters == {"viewers": 78365}
    assert parse.presence({}, context()).data == {"live": False}


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("1h2m3s", 3723), ("3m21s", 201), ("45s", 45), ("2h", 7200), ("", None), (None, None), ("x", None)],
)
def test_durations_are_read(text: str | None, seconds: int | None) -> None:
    assert parse.length(text) == seconds


def test_times_have_up_to_nine_digits() -> None:
    assert parse.when("2019-11-16T10:11:12.634234626Z") == datetime(2019, 11, 16, 10, 11, 12, 634234, tzinfo=UTC)
    assert parse.when("2020-07-15T18:16:11.17106713Z") == datetime(2020, 7, 15, 18, 16, 11, 171067, tzinfo=UTC)
    assert parse.when("2020-10-11T10:11:12.123Z") == datetime(2020, 10, 11, 10, 11, 12, 123000, tzinfo=UTC)


# --- walks


class Stored:
    """What our store knows."""

    def __init__(self, *ids: str) -> None:
        self.ids = list(ids)

    async def recent(self, kinds: Sequence[str], since: datetime) -> AsyncIterator[list[str]]:
        yield self.ids

    async def living(self, kind: str, prefix: str, data: Mapping[str, str]) -> AsyncIterator[list[str]]:
        yield [found for found in self.ids if found.startswith(prefix)]


def owner(script: Script, *ids: str) -> Account:
    secrets = {"access_token": "t0k3n", "refresh_token": "r"}
    return Account(
        "acme",
        ME,
        {},
        Credentials(secrets),
        installation=Installation("app", "s3cret"),
        budgets=LocalBudgets(lambda: script.time.timestamp()),
        known=Stored(*ids),
        facts=FACTS,
    )


async def test_clips_are_asked_for_by_the_day_and_a_busy_one_in_parts() -> None:
    """Twitch gives a thousand and then the same again under new cursors."""
    clip, day = EXAMPLES["clips"]["data"][0], datetime(2026, 11, 1, tzinfo=UTC)
    made = {f"C{n}": day + timedelta(seconds=72 * n) for n in range(1200)}  # all on the first day
    script = Script()

    def answer(request: httpx.Request) -> Any:
        params = request.url.params
        if request.url.path == "/helix/videos":
            return {"data": [], "pagination": {}}
        starts, ends = (datetime.fromisoformat(params[name]) for name in ("started_at", "ended_at"))
        there = [name for name, at in made.items() if starts <= at < ends]
        place = int(params.get("after", 0))
        page = [there[(place + n) % 1000] for n in range(100)] if len(there) > 1000 else there[place : place + 100]
        more = len(there) > 1000 or place + 100 < len(there)
        found = [{**clip, "id": name, "created_at": made[name].isoformat()} for name in page]
        return {"data": found, "pagination": {"cursor": str(place + 100)} if more else {}}

    script.handler = answer
    days = {"start": date(2026, 11, 1), "end": date(2026, 11, 2), "run": 1}
    found = await collect(TWITCH, "posts", script, owner=owner(script), **days)
    assert {record.vendor_id for record in found} == set(made)
    asked = [params for params in script.params if "started_at" in params]
    assert list(dict.fromkeys((params["started_at"], params["ended_at"]) for params in asked)) == [
        ("2026-11-01T00:00:00Z", "2026-11-02T00:00:00Z"),
        ("2026-11-01T00:00:00Z", "2026-11-01T12:00:00Z"),
        ("2026-11-01T12:00:00Z", "2026-11-02T00:00:00Z"),
        ("2026-11-02T00:00:00Z", "2026-11-03T00:00:00Z"),
    ]
    assert script.requests[0].headers["client-id"] == "app"
    assert script.requests[0].headers["authorization"] == "Bearer t0k3n"


async def test_videos_are_walked_until_what_is_known() -> None:
    def video(number: int, day: int) -> dict[str, Any]:
        return {**EXAMPLES["videos"]["data"][0], "id": str(number), "created_at": f"2026-11-{day:02d}T10:00:00Z"}

    script, shelf = Script(), Shelf()
    pages = {"": ([video(9, 23), video(8, 20)], "c1"), "c1": ([video(7, 10)], None)}

    def answer(request: httpx.Request) -> Any:
        if request.url.path == "/helix/clips":
            return {"data": [], "pagination": {}}
        found, cursor = pages[request.url.params.get("after", "")]
        return {"data": found, "pagination": {"cursor": cursor} if cursor else {}}

    script.handler = answer
    found = await collect(TWITCH, "posts", script, shelf, owner=owner(script), run=1)
    assert [record.vendor_id for record in found] == ["9", "8", "7"]
    pages[""] = ([video(10, 24), video(9, 23), video(8, 20)], "c1")
    pages["c1"] = ([video(7, 10)], "c2")
    found = await collect(TWITCH, "posts", script, shelf, owner=owner(script), run=2)
    assert [record.vendor_id for record in found] == ["10", "9", "8", "7"]  # the page beyond the overlap is the last


async def test_known_posts_are_looked_at_again_and_lost_ones_marked() -> None:
    video = EXAMPLES["videos"]["data"][0]
    script = Script()

    def answer(request: httpx.Request) -> Any:
        if request.url.path == "/helix/videos":
            return {"data": [video], "pagination": {}}
        if request.url.path == "/helix/clips":
            return {"data": [], "pagination": {}}
        return httpx.Response(401, json={"error": "Unauthorized", "status": 401, "message": "Missing scope: x"})

    script.handler = answer
    ids = [video["id"], "1", "Clip-Slug"]
    found: list[Any] = []
    with pytest.raises(Exception, match="permission"):  # the first part that everybody must have granted
        await collect(TWITCH, "engagement-metrics", script, owner=owner(script, *ids), into=found)
    gone = {record.vendor_id for record in found if getattr(record, "deleted", False)}
    assert gone == {"1", "Clip-Slug"}
    assert [(p.entity, p.value) for p in found if hasattr(p, "metric")] == [(video["id"], 1863062)]


async def test_a_hundred_videos_of_which_none_is_left() -> None:
    script = Script()

    def answer(request: httpx.Request) -> Any:
        if request.url.path == "/helix/videos":
            return httpx.Response(404, json={"error": "Not Found", "status": 404, "message": "not found"})
        return {"data": [], "total": 0, "points": 0, "pagination": {}}

    script.handler = answer
    found = await collect(TWITCH, "engagement-metrics", script, owner=owner(script, "1", "2"))
    assert {record.vendor_id for record in found if getattr(record, "deleted", False)} == {"1", "2"}


# --- EventSub

SECRET = "s3cre7-twitch-test"
SENT_AT = "2019-11-16T10:11:12.634234626Z"
MESSAGE = "e76c6bd4-55c9-4987-8304-da1588d8988b"
CHALLENGE = (
    '{"challenge":"pogchamp-kappa-360noscope-vohiyo","subscription":{"id":"f1c2a387-161a-49f9-a165-0f21d7a4e1c4",'
    '"status":"webhook_callback_verification_pending","type":"channel.follow","version":"2","cost":1,"condition":'
    '{"broadcaster_user_id":"12826","moderator_user_id":"12826"},"transport":{"method":"webhook","callback":'
    '"https://example.com/webhooks/callback"},"created_at":"2019-11-16T10:11:12.634234626Z"}}'
)
SIGNED = "sha256=1b300472d15325bfc65ae7727505e78f6c8bb1dcba6ec6cdba26f4023b48664d"


def hook(body: Any, kind: str = "notification", signature: str = "", *, late: float = 0, number: str = MESSAGE) -> Hook:
    headers = {
        "twitch-eventsub-message-id": number,
        "twitch-eventsub-message-timestamp": SENT_AT,
        "twitch-eventsub-message-type": kind,
        "twitch-eventsub-message-signature": signature,
    }
    text = body if isinstance(body, str) else json.dumps(body)
    at = datetime(2019, 11, 16, 10, 11, 12, tzinfo=UTC).timestamp() + late
    return Hook("POST", headers, {}, text.encode(), at, {"eventsub_secret": SECRET})


def test_signatures_as_documented() -> None:
    kind = "webhook_callback_verification"
    assert verify(hook(CHALLENGE, kind, SIGNED))
    assert not verify(hook(CHALLENGE + " ", kind, SIGNED))
    assert not verify(hook(CHALLENGE, kind, SIGNED, late=602))
    assert not verify(hook(CHALLENGE, kind, SIGNED, number="other"))
    assert not verify(hook(CHALLENGE, kind, SIGNED.upper()))
    answer = handshake(hook(CHALLENGE, kind, SIGNED))
    assert answer is not None
    assert (answer.status, answer.body, answer.content_type) == (200, "pogchamp-kappa-360noscope-vohiyo", "text/plain")
    assert handshake(hook(CHALLENGE)) is None


def test_a_follow_is_a_follower() -> None:
    (event,) = events(hook(EXAMPLES["follow"]))
    assert (event.account, event.key) == ("1337", "follow:1234:2020-07-15T18:16:11.17106713Z")
    (record,) = event.records
    pulled = parse.follower(
        {"user_id": "1234", "user_login": "cool_user", "user_name": "Cool_User", "followed_at": "2020-07-15T18:16:11Z"},
        context(),
    )
    assert record == pulled  # so that the next pull changes nothing


def test_chat_is_told_once() -> None:
    (event,) = events(hook(EXAMPLES["chat_message"]))
    assert (event.account, event.key) == ("1971641", "chat:cc106a89-1814-919d-454c-f4f2f970aae7")
    (record,) = event.records
    assert (record.kind, record.text, record.direction) == ("message", "Hi chat", "in")
    assert record.occurred_at == datetime(2019, 11, 16, 10, 11, 12, 634234, tzinfo=UTC)
    (again,) = events(hook(EXAMPLES["chat_message"], number="another id"))
    assert again.key == event.key
    told = json.loads(json.dumps(EXAMPLES["chat_message"]))
    told["event"] |= {"source_broadcaster_user_id": "999", "source_message_id": "m"}
    assert next(iter(events(hook(told)))).records == ()


def test_mentions_replies_and_deletions_in_chat() -> None:
    told = json.loads(json.dumps(EXAMPLES["chat_message"]))
    mention = {"type": "mention", "text": "@streamer", "mention": {"user_id": "1971641"}}
    told["event"]["message"]["fragments"].insert(0, mention)
    told["event"]["reply"] = {"parent_message_id": "p", "thread_message_id": "t"}
    records = next(iter(events(hook(told)))).records
    assert [(r.kind, r.parent_id, r.thread_id) for r in records] == [("message", "p", "t"), ("mention", "p", "t")]
    told["event"]["chatter_user_id"] = "1971641"
    (ours,) = next(iter(events(hook(told)))).records
    assert ours.direction == "out"
    gone = {"type": "channel.chat.message_delete", "condition": {"broadcaster_user_id": "7", "user_id": "7"}}
    (event,) = events(hook({"subscription": gone, "event": {"message_id": "m"}}))
    assert {(r.kind, r.vendor_id, r.deleted) for r in event.records} == {("message", "m", True), ("mention", "m", True)}


def test_whispers_cheers_and_hints() -> None:
    def told(kind: str, condition: dict[str, str], event: dict[str, Any]) -> Any:
        return next(iter(events(hook({"subscription": {"type": kind, "condition": condition}, "event": event}))))

    whisper = told(
        "user.whisper.message",
        {"user_id": ME},
        {"from_user_id": "5", "from_user_name": "Five", "whisper_id": "w", "whisper": {"text": "a secret"}},
    )
    assert (whisper.account, whisper.records[0].text, whisper.records[0].thread_id) == (ME, "a secret", "whisper:5")
    nobody = {"is_anonymous": True, "user_id": None, "broadcaster_user_id": ME, "message": "pogchamp", "bits": 1000}
    cheer = told("channel.cheer", {"broadcaster_user_id": ME}, nobody)
    assert (cheer.records[0].kind, cheer.records[0].data) == ("reaction", {"bits": 1000})
    assert told("stream.online", {"broadcaster_user_id": ME}, {}).dirty == ("presence", "posts")
    assert told("channel.raid", {"to_broadcaster_user_id": ME}, {}).account == ME


def test_the_end_of_an_account_is_told_in_three_ways() -> None:
    (event,) = events(hook(EXAMPLES["revocation"], "revocation"))
    assert event.account == "12826" and "disconnected" in event.revoked
    removed = json.loads(json.dumps(EXAMPLES["revocation"]))
    removed["subscription"]["status"] = "user_removed"
    assert "does not exist" in next(iter(events(hook(removed, "revocation")))).revoked
    removed["subscription"]["status"] = "notification_failures_exceeded"
    assert [*events(hook(removed, "revocation"))] == []
    ended = {"type": "user.authorization.revoke", "condition": {"client_id": "app"}}
    (event,) = events(hook({"subscription": ended, "event": {"user_id": "1337", "user_login": None}}))
    assert (event.account, bool(event.revoked)) == ("1337", True)
