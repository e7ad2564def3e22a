"""X as its documentation describes it."""

from __future__ import annotations

import gzip
import json
from base64 import urlsafe_b64encode
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from simulator import World
from simulator.vendors.twitter import Twitter, signature
from simulator.vendors.twitter.data import snowflake
from simulator.vendors.twitter.oauth import sign
from tests.simulator.helpers import Call, examples, missing_keys, receiving

EXAMPLES = examples("twitter")
POST_FIELDS = "created_at,public_metrics,conversation_id,author_id,referenced_tweets,in_reply_to_user_id"


@pytest.fixture
def vendors() -> list[str]:
    return ["twitter"]


@pytest.fixture
def twitter(world: World) -> Twitter:
    vendor = world["twitter"]
    assert isinstance(vendor, Twitter)
    return vendor


class Api:
    def __init__(self, http: httpx.AsyncClient, token: str) -> None:
        self._http, self._headers = http, {"authorization": f"Bearer {token}"}

    async def answer(self, path: str, **args: Any) -> httpx.Response:
        params = {name.replace("__", "."): value for name, value in args.items()}
        return await self._http.get(f"/twitter/2/{path}", params=params, headers=self._headers)

    async def __call__(self, path: str, **args: Any) -> Any:
        return (await self.answer(path, **args)).json()


@pytest.fixture
def api(http: httpx.AsyncClient, twitter: Twitter) -> Api:
    return Api(http, twitter.connect().access_token)


async def test_answers_have_the_keys_of_the_documented_examples(twitter: Twitter, api: Api) -> None:
    me = twitter.account()
    expansions = {"expansions": "attachments.media_keys", "media__fields": "url"}
    answer = await api(
        f"users/{me.id}/tweets", max_results=20, tweet__fields=f"{POST_FIELDS},attachments", **expansions
    )
    assert missing_keys(answer, EXAMPLES["timeline"]) == []
    dms = await api(
        "dm_events", dm_event__fields="created_at,sender_id,dm_conversation_id,participant_ids", max_results=9
    )
    assert missing_keys(dms, EXAMPLES["dms"]) == []
    joins = await api("dm_events", dm_event__fields="created_at,sender_id,dm_conversation_id,participant_ids")
    (joined,) = [event for event in joins["data"] if event["event_type"] == "ParticipantsJoin"]
    assert missing_keys(joined, EXAMPLES["joined"]) == []
    assert "text" not in joined
    ids = ",".join(post["id"] for post in answer["data"] if post["author_id"] == me.id)
    window = {"start_time": "2025-11-20T00:00:00Z", "end_time": "2025-11-24T00:00:00Z", "granularity": "daily"}
    analytics = await api("tweets/analytics", ids=ids, **window)
    assert missing_keys(analytics, EXAMPLES["analytics"]) == []
    assert missing_keys(await api("tweets", ids=f"{ids},456"), EXAMPLES["partial"]) == []
    assert (await api("users/me", user__fields="public_metrics"))["data"]["public_metrics"]["followers_count"] > 0
    assert set((await api("users/me"))["data"]) == {"id", "name", "username"}
    assert (await api(f"users/by/username/{me.username.upper()}"))["data"]["id"] == me.id


async def test_walking_a_timeline_newest_first_while_it_grows(twitter: Twitter, api: Api) -> None:
    me = twitter.account()
    before = [record["id"] for record in me.posts.records()][::-1]
    answer = await api(f"users/{me.id}/tweets", max_results=7)
    seen = [post["id"] for post in answer["data"]]
    new = twitter.post(me, text="R & D <3")
    while "next_token" in answer["meta"]:
        token = answer["meta"]["next_token"]
        answer = await api(f"users/{me.id}/tweets", max_results=7, pagination_token=token)
        seen += [post["id"] for post in answer["data"]]
    assert seen == before
    newer = await api(f"users/{me.id}/tweets", since_id=seen[4])
    assert [post["id"] for post in newer["data"]] == [new, *seen[:4]]
    assert newer["data"][0]["text"] == "R &amp; D &lt;3"
    assert await api(f"users/{me.id}/tweets", since_id=new) == {"meta": {"result_count": 0}}
    only = await api(
        f"users/{me.id}/tweets", max_results=100, exclude="replies,retweets", tweet__fields="referenced_tweets"
    )
    assert not [post for post in only["data"] if "referenced_tweets" in post]
    assert only["meta"]["result_count"] == len(only["data"]) < len(before)


async def test_an_edit_is_a_new_post_that_knows_its_versions(world: World, twitter: Twitter, api: Api) -> None:
    me = twitter.account()
    first = twitter.post(me, text="one")
    world.clock.advance(60)
    second = twitter.edit(me, post=first, text="two")
    newest = (await api(f"users/{me.id}/tweets", max_results=5))["data"][0]
    assert newest == {"id": second, "text": "two", "edit_history_tweet_ids": [first, second]}
    old = (await api(f"tweets/{first}"))["data"]
    assert (old["text"], old["edit_history_tweet_ids"]) == ("one", [first, second])
    twitter.delete(me, post=second)
    for post in (first, second):
        gone = await api("tweets", ids=post)
        assert [error["resource_id"] for error in gone["errors"]] == [post]


async def test_replies_are_found_by_their_conversation(twitter: Twitter, api: Api) -> None:
    me = twitter.account()
    root = twitter.post(me, text="hello")
    top = twitter.reply(me, post=root, text="hi")
    ours = twitter.reply(me, post=top, text="you too", ours=True)
    query = {"query": f"conversation_id:{root}", "tweet__fields": POST_FIELDS}
    found = (await api("tweets/search/recent", **query))["data"]
    assert [post["id"] for post in found] == [ours, top, root]
    assert [post.get("in_reply_to_user_id") for post in found[1:]] == [me.id, None]
    assert [post["public_metrics"]["reply_count"] for post in found] == [0, 1, 1]
    named = await api(f"users/{me.id}/mentions")
    assert named["data"][0]["id"] == top
    direct = await api("tweets/search/recent", query=f"to:{me.username} is:reply -from:{me.username}")
    assert direct["data"][0]["id"] == top
    assert (await api(f"users/{me.id}/tweets"))["data"][0]["id"] == ours
    answer = await api.answer("tweets/search/recent", query="conversation_id:1", start_time="2025-11-01T00:00:00Z")
    assert answer.status_code == 400
    assert missing_keys(answer.json(), EXAMPLES["invalid"]) == []
    old = await api.answer("tweets/search/recent", query="conversation_id:1", since_id=str(snowflake(1_763_000_000)))
    assert old.status_code == 400


async def test_private_metrics_are_for_ones_own_young_posts(world: World, twitter: Twitter, api: Api) -> None:
    me = twitter.account()
    fields = {"tweet__fields": "non_public_metrics,organic_metrics,public_metrics"}
    shown = (await api(f"users/{me.id}/tweets", **fields))["data"][0]
    assert set(shown["non_public_metrics"]) == {
        "impression_count",
        "url_link_clicks",
        "user_profile_clicks",
        "engagements",
    }
    world.clock.advance(31 * 86_400)
    api = Api(api._http, twitter.connect().access_token)
    page = await api(f"users/{me.id}/tweets", max_results=5, **fields)
    assert page["meta"]["result_count"] == 0
    assert "next_token" in page["meta"]
    alone = await api("tweets", ids=shown["id"], **fields)
    assert {error["field"] for error in alone["errors"]} == {"non_public_metrics", "organic_metrics"}
    assert alone["data"][0]["public_metrics"]["like_count"] >= shown["public_metrics"]["like_count"]


async def test_consent_with_pkce_and_single_use_refresh_tokens(
    world: World, twitter: Twitter, http: httpx.AsyncClient
) -> None:
    verifier = "v" * 50
    challenge = urlsafe_b64encode(sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    args = {
        "response_type": "code",
        "client_id": twitter.app.client_id,
        "redirect_uri": "https://us/cb",
        "scope": "tweet.read users.read offline.access",
        "state": "s",
        "code_challenge": challenge,
        "code_challenge_method": "S256",
    }
    back = parse_qs(urlsplit((await http.get("/twitter/i/oauth2/authorize", params=args)).headers["location"]).query)
    basic = (twitter.app.client_id, twitter.app.client_secret)
    form = {
        "grant_type": "authorization_code",
        "code": back["code"][0],
        "redirect_uri": "https://us/cb",
        "code_verifier": verifier,
    }
    first = (await http.post("/twitter/2/oauth2/token", data=form, auth=basic)).json()
    assert missing_keys(first, EXAMPLES["tokens"]) == []
    refresh = {"grant_type": "refresh_token", "refresh_token": first["refresh_token"]}
    assert (await http.post("/twitter/2/oauth2/token", data=refresh)).status_code == 401
    second = (await http.post("/twitter/2/oauth2/token", data=refresh, auth=basic)).json()
    assert second["refresh_token"] != first["refresh_token"]
    again = await http.post("/twitter/2/oauth2/token", data=refresh, auth=basic)
    assert (again.status_code, again.json()["error"]) == (400, "invalid_request")
    world.clock.advance(7200)
    assert (await Api(http, second["access_token"]).answer("users/me")).status_code == 401
    without = twitter.connect(scopes=["tweet.read", "users.read"])
    assert without.refresh_token is None


async def test_errors_have_what_clients_decide_by(twitter: Twitter, http: httpx.AsyncClient, api: Api) -> None:
    async def kind(answer: httpx.Response) -> tuple[int, str]:
        return answer.status_code, answer.json()["type"].rpartition("/")[2]

    me = twitter.account()
    assert await kind(await api.answer(f"users/{me.id}/tweets", max_results=3)) == (400, "invalid-request")
    assert await kind(await Api(http, "nonsense").answer("users/me")) == (401, "about:blank")
    narrow = Api(http, twitter.connect(scopes=["tweet.read", "users.read"]).access_token)
    assert (await narrow.answer("dm_events")).status_code == 403
    pair = (twitter.app.secrets["consumer_key"], twitter.app.secrets["consumer_secret"])
    bearer = await http.post("/twitter/oauth2/token", data={"grant_type": "client_credentials"}, auth=pair)
    app = Api(http, bearer.json()["access_token"])
    assert await kind(await app.answer("users/me")) == (403, "unsupported-authentication")
    assert (await app(f"users/{me.id}/tweets"))["meta"]["result_count"] == 10
    states = {"depleted": (402, "credits"), "capped": (429, "usage-capped"), "unenrolled": (403, "client-forbidden")}
    for state, expected in states.items():
        twitter.set_bill(me, state=state)
        assert await kind(await api.answer("users/me")) == expected
    twitter.set_bill(me)
    assert (await app("usage/tweets"))["data"]["project_usage"] == "10"
    twitter.revoke(me)
    assert await kind(await api.answer("users/me")) == (401, "about:blank")


async def test_limits_are_told_and_kept(world: World, twitter: Twitter, api: Api) -> None:
    answers = [await api.answer("dm_events") for _ in range(16)]
    left = [int(answer.headers["x-rate-limit-remaining"]) for answer in answers]
    assert left == [*range(14, -1, -1), 0]
    assert answers[15].status_code == 429
    assert answers[15].headers["x-rate-limit-reset"] == str(1_764_000_000 + 900)
    assert (await api.answer("users/me")).status_code == 200
    world.clock.advance(900)
    assert (await api.answer("dm_events")).status_code == 200


class Ads:
    """Calls signed with OAuth 1.0a."""

    def __init__(self, http: httpx.AsyncClient, twitter: Twitter) -> None:
        facts = twitter.connect().facts
        self.http, self.app, self.token, self.secret = http, twitter.app, facts["ads_token"], facts["ads_token_secret"]
        self.account = facts["ad_accounts"][0]["id"]

    async def __call__(self, method: str, path: str, **args: str) -> httpx.Response:
        url = f"{str(self.http.base_url).rstrip(chr(47))}/twitter/12/{path}"
        oauth = {
            "oauth_consumer_key": self.app.secrets["consumer_key"],
            "oauth_token": self.token,
            "oauth_nonce": "n",
            "oauth_timestamp": "1764000000",
            "oauth_signature_method": "HMAC-SHA1",
            "oauth_version": "1.0",
        }
        oauth["oauth_signature"] = sign(
            method, url, [*oauth.items(), *args.items()], self.app.secrets["consumer_secret"], self.secret
        )
        header = ", ".join(
            f'{name}="{httpx.QueryParams({name: value})}"'.replace(f'"{name}=', '"') for name, value in oauth.items()
        )
        return await self.http.request(method, url, params=args, headers={"authorization": f"OAuth {header}"})


@pytest.fixture
def ads(http: httpx.AsyncClient, twitter: Twitter) -> Ads:
    return Ads(http, twitter)


STATS = {
    "entity": "LINE_ITEM",
    "granularity": "DAY",
    "placement": "ALL_ON_TWITTER",
    "metric_groups": "ENGAGEMENT,BILLING",
    "start_time": "2025-11-16T23:00:00Z",
    "end_time": "2025-11-23T23:00:00Z",
}


def test_signature_of_the_documented_example() -> None:
    params = {
        "status": "Hello Ladies + Gentlemen, a signed OAuth request!",
        "include_entities": "true",
        "oauth_consumer_key": "xvz1evFS4wEEPTGEFPHBog",
        "oauth_nonce": "kYjzVBB8Y0ZFabxSWbWovY3uYSQ2pTgmZeNu2VS4cg",
        "oauth_signature_method": "HMAC-SHA1",
        "oauth_timestamp": "1318622958",
        "oauth_token": "370773112-GmHxMAgYyLbNEtIKZeRNFsMKPR9EyMZeS9weJAEb",
        "oauth_version": "1.0",
    }
    secrets = ("kAcSOqF21Fu85e7zjz7ZN2U4ZRhfV3WpwPAoE3Z7kBw", "LswwdoUaIvS8ltyTt5jkRh4J50vUPVVHtR2YPi5kE")
    url = "https://api.twitter.com/1.1/statuses/update.json"
    assert sign("POST", url, list(params.items()), *secrets) == "hCtSmYh+iHYCEqBWrE7C7hYmtUk="


async def test_ads_stats_at_once(twitter: Twitter, ads: Ads) -> None:
    found = (await ads("GET", "accounts")).json()["data"]
    assert [(account["id"], account["timezone"]) for account in found] == [(ads.account, "Europe/Berlin")]
    items = (await ads("GET", f"accounts/{ads.account}/line_items", count="4")).json()
    more = (await ads("GET", f"accounts/{ads.account}/line_items", count="4", cursor=items["next_cursor"])).json()
    ids = [item["id"] for item in items["data"] + more["data"]]
    assert (len(ids), more["next_cursor"]) == (6, None)
    stats = (await ads("GET", f"stats/accounts/{ads.account}", entity_ids=",".join(ids), **STATS)).json()
    assert stats["time_series_length"] == 7
    metrics = stats["data"][0]["id_data"][0]["metrics"]
    assert len(metrics["billed_charge_local_micro"]) == 7
    trend = await ads("GET", f"stats/accounts/{ads.account}", entity_ids=ids[0], **{**STATS, "placement": "TREND"})
    assert trend.json()["data"][0]["id_data"][0]["metrics"]["impressions"] is None
    bad = await ads(
        "GET", f"stats/accounts/{ads.account}", entity_ids=ids[0], **{**STATS, "start_time": "2025-11-16T22:00:00Z"}
    )
    assert (bad.status_code, bad.json()["errors"][0]["code"]) == (400, "INVALID_TIME_WINDOW")
    long = await ads(
        "GET", f"stats/accounts/{ads.account}", entity_ids=ids[0], **{**STATS, "start_time": "2025-11-10T23:00:00Z"}
    )
    assert long.json()["errors"][0]["code"] == "INVALID_TIME_WINDOW"
    assert (await ads("GET", "accounts/zzz/campaigns")).json()["errors"][0]["code"] == "ACCOUNT_NOT_FOUND"


async def test_spend_is_an_estimate_that_goes_down(world: World, twitter: Twitter, ads: Ads) -> None:
    async def figures() -> tuple[list[int], list[int]]:
        item = twitter.account().ad_accounts[0].entities["LINE_ITEM"][0]["id"]
        answer = (await ads("GET", f"stats/accounts/{ads.account}", entity_ids=item, **STATS)).json()
        metrics = answer["data"][0]["id_data"][0]["metrics"]
        return metrics["impressions"], metrics["billed_charge_local_micro"]

    first, estimated = await figures()
    world.clock.advance(15 * 86_400)
    second, settled = await figures()
    assert first[:5] == second[:5]
    assert all(a >= b for a, b in zip(estimated[:5], settled[:5], strict=True) if a is not None)
    assert estimated != settled


async def test_ads_stats_as_a_job(twitter: Twitter, ads: Ads, http: httpx.AsyncClient) -> None:
    ids = [item["id"] for item in twitter.account().ad_accounts[0].entities["LINE_ITEM"]]
    asked = {**STATS, "entity_ids": ",".join(ids), "start_time": "2025-10-23T22:00:00Z"}
    made = (await ads("POST", f"stats/jobs/accounts/{ads.account}", **asked)).json()["data"]
    assert (made["status"], made["url"]) == ("QUEUED", None)
    polls = [(await ads("GET", f"stats/jobs/accounts/{ads.account}", job_ids=made["id_str"])).json() for _ in range(2)]
    assert [poll["data"][0]["status"] for poll in polls] == ["PROCESSING", "SUCCESS"]
    assert missing_keys(polls[1], {**EXAMPLES["job"], "request": {"params": {}}}) == []
    file = await http.get(polls[1]["data"][0]["url"])
    assert (file.headers["content-type"], file.content[:2]) == ("application/gzip", b"\x1f\x8b")
    assert missing_keys(json.loads(gzip.decompress(file.content)), EXAMPLES["job_file"]) == []


async def test_ads_limits_and_refusals(twitter: Twitter, ads: Ads, http: httpx.AsyncClient) -> None:
    answers = [await ads("GET", "accounts") for _ in range(6)]
    assert [answer.status_code for answer in answers] == [200] * 5 + [429]
    assert answers[5].json()["errors"][0]["code"] == "TOO_MANY_REQUESTS"
    entities = await ads("GET", f"accounts/{ads.account}/campaigns")
    assert entities.headers["x-account-rate-limit-remaining"] == "9999"
    wrong = await http.get(
        "/twitter/12/accounts", headers={"authorization": f"Bearer {twitter.connect().access_token}"}
    )
    assert (wrong.status_code, wrong.json()["errors"][0]["code"]) == (401, "UNAUTHORIZED_ACCESS")
    right, ads.secret = ads.secret, "wrong"
    assert (await ads("GET", f"accounts/{ads.account}/campaigns")).status_code == 401
    ads.secret = right
    twitter.revoke()
    assert (await ads("GET", f"accounts/{ads.account}/campaigns")).status_code == 401


SECRET = "test_consumer_secret"


def test_signatures_of_the_documented_vectors() -> None:
    assert signature(SECRET, b"challenge_string") == "sha256=583uAmerwtjpykYEAEm+CEIRm6dOywK4QKRr0ha/Pd4="
    body = b'{"for_user_id":"2244994945"}'
    assert signature(SECRET, body) == "sha256=cm3R69SKb70cFabzYc+Y9gzwkVVco27A/ZMW7/wWKTg="


async def test_webhooks_are_registered_subscribed_to_and_signed(twitter: Twitter, http: httpx.AsyncClient) -> None:
    secret = twitter.app.secrets["consumer_secret"]

    def answer(call: Call) -> tuple[int, bytes]:
        challenge = parse_qs(urlsplit(call.target).query).get("crc_token", [""])[0]
        return 200, json.dumps({"response_token": signature(secret, challenge.encode())}).encode()

    me = twitter.account()
    pair = (twitter.app.secrets["consumer_key"], secret)
    bearer = (await http.post("/twitter/oauth2/token", data={"grant_type": "client_credentials"}, auth=pair)).json()
    app = {"authorization": f"Bearer {bearer['access_token']}"}
    user = {"authorization": f"Bearer {twitter.connect().access_token}"}
    async with receiving(answer) as receiver:
        made = (await http.post("/twitter/2/webhooks", json={"url": receiver.url}, headers=app)).json()["data"]
        assert made["valid"]
        again = await http.post("/twitter/2/webhooks", json={"url": receiver.url}, headers=app)
        assert "DuplicateUrlFailed" in again.text
        for kind in ("post.reply.create", "dm.received", "oauth.revoke"):
            asked = {"event_type": kind, "filter": {"user_id": me.id}, "tag": "t", "webhook_id": made["id"]}
            assert (await http.post("/twitter/2/activity/subscriptions", json=asked, headers=user)).status_code == 200
        refused = await http.post(
            "/twitter/2/activity/subscriptions", json={**asked, "event_type": "dm.sent"}, headers=app
        )
        assert refused.status_code == 403
        twitter.reply(me, post=twitter.post(me), text="hi")
        twitter.message(me, text="hello")
        twitter.like(me, post=twitter.post(me))
        twitter.revoke(me)
        await twitter.hooks.drain()
        sent = len(receiver.calls)
        replay = {"webhook_id": made["id"], "from_date": "202511241500", "to_date": "202511241700"}
        assert (await http.post("/twitter/2/webhooks/replay", json=replay, headers=app)).status_code == 200
        await twitter.hooks.drain()
    events = [call.json["data"] for call in receiver.calls[1:]]
    assert [event["event_type"] for event in events[:3]] == ["post.reply.create", "dm.received", "oauth.revoke"]
    for event, name in zip(events, ("reply_event", "dm_event", "revoke_event"), strict=False):
        assert missing_keys({"data": event}, EXAMPLES[name]) == []
    assert sorted(e["event_uuid"] for e in events[:3]) == sorted(e["event_uuid"] for e in events[sent - 1 :])
    for call in receiver.calls[1:]:
        assert call.headers["x-twitter-webhooks-signature"] == signature(secret, call.body)


async def test_a_receiver_that_fails_the_challenge_is_not_registered(twitter: Twitter, http: httpx.AsyncClient) -> None:
    async with receiving(lambda _call: (200, b'{"response_token":"sha256=no"}')) as receiver:
        assert (await http.post("/_control/twitter/webhooks", json={"url": receiver.url})).json() == {"ok": False}
    assert twitter.hooks.targets == []
