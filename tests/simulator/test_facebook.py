"""Facebook as its documentation describes it."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from simulator import World
from simulator.vendors.facebook import Facebook, escaped, signature
from simulator.vendors.facebook.data import Page
from tests.simulator.helpers import Call, examples, missing_keys, receiving

EXAMPLES = examples("facebook")


@pytest.fixture
def vendors() -> list[str]:
    return ["facebook"]


POST_FIELDS = (
    "id,message,created_time,updated_time,permalink_url,status_type,is_published,shares,"
    "reactions.summary(total_count).limit(0),comments.summary(total_count).limit(0)"
)


@pytest.fixture
def facebook(world: World) -> Facebook:
    vendor = world["facebook"]
    assert isinstance(vendor, Facebook)
    return vendor


@pytest.fixture
def page(facebook: Facebook) -> Page:
    return facebook.account().pages[0]


class Api:
    def __init__(self, http: httpx.AsyncClient, token: str) -> None:
        self._http, self._token = http, token

    async def answer(self, path: str, **args: Any) -> httpx.Response:
        return await self._http.get(f"/facebook/v25.0/{path}", params={"access_token": self._token, **args})

    async def __call__(self, path: str, **args: Any) -> Any:
        return (await self.answer(path, **args)).json()


@pytest.fixture
def user(http: httpx.AsyncClient, facebook: Facebook) -> Api:
    return Api(http, facebook.connect().access_token)


@pytest.fixture
def api(http: httpx.AsyncClient, facebook: Facebook) -> Api:
    """With the first Page's own token."""
    return Api(http, facebook.connect().facts["pages"][0]["access_token"])


async def test_answers_have_the_keys_of_the_documented_examples(page: Page, api: Api, user: Api) -> None:
    posts = await api(f"{page.id}/published_posts", fields=POST_FIELDS, limit=10)
    assert missing_keys(posts, EXAMPLES["posts"]) == []
    talked = next(post["id"] for post in posts["data"] if post["comments"]["summary"]["total_count"])
    fields = "id,message,created_time,from,like_count,comment_count,is_hidden,permalink_url"
    assert missing_keys(await api(f"{talked}/comments", fields=fields, summary="true"), EXAMPLES["comments"]) == []
    fields = "id,updated_time,message_count,unread_count,participants"
    talks = await api(f"{page.id}/conversations", platform="messenger", fields=fields)
    assert missing_keys(talks, EXAMPLES["talks"]) == []
    fields = "id,created_time,from,to,message"
    assert missing_keys(await api(f"{talks['data'][0]['id']}/messages", fields=fields), EXAMPLES["messages"]) == []
    assert (
        missing_keys(await api(f"{page.id}/insights", metric="page_media_view", period="day"), EXAMPLES["page_days"])
        == []
    )
    assert page.link
    totals = {"metric": "reach", "metric_type": "total_value", "breakdown": "media_product_type,follow_type"}
    assert missing_keys(await user(f"{page.link.id}/insights", **totals), EXAMPLES["ig_total"]) == []
    fields = "campaign_id,ad_id,impressions,clicks,spend,reach,frequency,ctr,actions"
    ads = await user(f"{await _act(user)}/insights", level="ad", time_increment=1, fields=fields, limit=5)
    assert missing_keys(ads, EXAMPLES["ads"]) == []


async def _act(user: Api) -> str:
    return str((await user("me/adaccounts", fields="id,currency"))["data"][0]["id"])


async def test_following_next_brings_every_post_while_more_are_written(
    facebook: Facebook, page: Page, api: Api, http: httpx.AsyncClient
) -> None:
    before = [record["id"] for record in page.posts.records()][::-1]
    answer = await api(f"{page.id}/published_posts", fields="id", limit=6)
    seen = [post["id"] for post in answer["data"]]
    facebook.post(facebook.account())
    while "next" in answer["paging"]:
        answer = (await http.get(answer["paging"]["next"])).json()
        seen += [post["id"] for post in answer["data"]]
    assert seen == before
    since = int(page.posts.slice(4).last / 1_000_000)
    newer = await api(f"{page.id}/published_posts", fields="id", since=since)
    assert len(newer["data"]) == 4
    feed = await api(f"{page.id}/feed", limit=3)
    assert "__paging_token" in feed["paging"]["next"]
    assert (await http.get(feed["paging"]["next"])).json()["data"][0]["id"] == before[2]


async def test_comments_at_the_top_and_in_full(facebook: Facebook, page: Page, api: Api, user: Api) -> None:
    owner = facebook.account()
    post = facebook.post(owner, text="hello")
    top = facebook.comment(owner, post=post, text="first")
    reply = facebook.comment(owner, post=post, text="second", parent=top)
    shown = await api(f"{post}/comments", fields="id,from,parent{id},comment_count")
    assert [(c["id"], c["comment_count"]) for c in shown["data"]] == [(top, 1)]
    stream = await api(f"{post}/comments", filter="stream", order="reverse_chronological", fields="id,parent{id},from")
    assert [c["id"] for c in stream["data"]] == [reply, top]
    assert stream["data"][0]["parent"] == {"id": top}
    assert (await api(reply, fields="message"))["message"] == "second"
    assert "from" in stream["data"][0]
    assert "from" not in (await user(f"{post}/comments", fields="id,from"))["data"][0]
    counted = await api(post, fields="comments.summary(total_count).limit(1){message}")
    assert counted["comments"]["summary"]["total_count"] == 2
    assert counted["comments"]["data"][0]["message"] == "first"


async def test_instagram_media_and_comments(facebook: Facebook, page: Page, user: Api) -> None:
    place = page.link
    assert place
    media = facebook.post(facebook.account(), page=place.id, text="look")
    comment = facebook.comment(facebook.account(), post=media, text="nice")
    assert (await user(f"{place.id}/media", fields="id,caption", limit=1))["data"] == [{"id": media, "caption": "look"}]
    assert (await user(f"{media}/comments", fields="text,username"))["data"][0]["text"] == "nice"
    assert (await user(comment, fields="text"))["text"] == "nice"
    assert (await user(f"{media}/insights", metric="views,reach"))["data"][1]["name"] == "reach"


async def test_only_the_twenty_newest_messages_can_be_read(facebook: Facebook, page: Page, api: Api) -> None:
    talk = next(iter(page.conversations.values()))
    for _ in range(22):
        facebook.message(facebook.account(), conversation=talk.id)
    shown = (await api(f"{talk.id}/messages", fields="id,message", limit=100))["data"]
    assert ["message" in message for message in shown] == [True] * 20 + [False] * (len(shown) - 20)


async def test_login_and_the_exchange_for_sixty_days(world: World, facebook: Facebook, http: httpx.AsyncClient) -> None:
    app = facebook.app
    args = {
        "client_id": app.client_id,
        "redirect_uri": "https://us/cb",
        "state": "s",
        "scope": "pages_show_list,ads_read",
    }
    back = (await http.get("/facebook/v25.0/dialog/oauth", params=args)).headers["location"]
    client = {"client_id": app.client_id, "client_secret": app.client_secret}
    code = {"code": parse_qs(urlsplit(back).query)["code"][0], "redirect_uri": "https://us/cb"}
    short = (await http.get("/facebook/v25.0/oauth/access_token", params={**client, **code})).json()
    assert short["expires_in"] < 7200
    exchange = {"grant_type": "fb_exchange_token", "fb_exchange_token": short["access_token"]}
    long = (await http.get("/facebook/v25.0/oauth/access_token", params={**client, **exchange})).json()
    assert long == {"access_token": long["access_token"], "token_type": "bearer", "expires_in": 5_184_000}
    world.clock.advance(7200)
    assert (await Api(http, short["access_token"])("me/accounts"))["error"]["error_subcode"] == 463
    pages = (await Api(http, long["access_token"])("me/accounts", fields="id,name,access_token"))["data"]
    world.clock.advance(5_184_000)
    debug = await Api(http, f"{app.client_id}|{app.client_secret}")("debug_token", input_token=pages[0]["access_token"])
    assert (debug["data"]["type"], debug["data"]["expires_at"], debug["data"]["is_valid"]) == ("PAGE", 0, True)


async def test_errors_have_the_codes_clients_decide_by(facebook: Facebook, page: Page, http: httpx.AsyncClient) -> None:
    connection = facebook.connect(scopes=["pages_show_list", "pages_read_engagement"])
    api = Api(http, connection.access_token)

    async def code(path: str, **args: Any) -> tuple[int, int, int | None]:
        answer = await api.answer(path, **args)
        error = answer.json()["error"]
        return answer.status_code, error["code"], error.get("error_subcode")

    assert await code(f"{page.id}/insights", metric="page_media_view") == (403, 10, None)
    assert await code("me/adaccounts") == (403, 200, None)
    assert await code("123_456") == (400, 100, 33)
    assert await code(f"{page.id}/nothing") == (400, 100, None)
    api = Api(http, facebook.connect().access_token)
    assert await code(f"{page.id}/insights", metric="page_impressions") == (400, 100, None)
    facebook.revoke(reason="password")
    assert await code("me/accounts") == (401, 190, 460)
    api = Api(http, "EAAnonsense")
    assert await code("me/accounts") == (401, 190, None)


async def test_limits_tell_percent_and_answer_400(facebook: Facebook, page: Page, api: Api) -> None:
    facebook.limits.change("pages", max=4)
    answers = [await api.answer(f"{page.id}/published_posts") for _ in range(5)]
    used = [json.loads(answer.headers["x-business-use-case-usage"])[page.id][0] for answer in answers]
    assert [entry["call_count"] for entry in used] == [25, 50, 75, 100, 100]
    assert (answers[4].status_code, answers[4].json()["error"]["code"]) == (400, 80001)
    assert used[4]["estimated_time_to_regain_access"] == 1440
    assert used[4]["type"] == "pages"


async def test_ads_insights_at_once_and_as_a_report(facebook: Facebook, user: Api, http: httpx.AsyncClient) -> None:
    account = await _act(user)
    query = {
        "level": "ad",
        "time_increment": "1",
        "time_range": '{"since":"2025-11-10","until":"2025-11-12"}',
        "fields": "ad_id,spend,impressions",
    }
    rows = (await user(f"{account}/insights", **query, limit=100))["data"]
    assert {row["date_start"] for row in rows} == {"2025-11-10", "2025-11-11", "2025-11-12"}
    assert all(row["spend"].partition(".")[2].isdigit() and len(row["spend"].partition(".")[2]) == 2 for row in rows)
    token = {"access_token": facebook.connect().access_token}
    run = (await http.post(f"/facebook/v25.0/{account}/insights", data={**query, **token})).json()["report_run_id"]
    states = [(await user(run))["async_status"] for _ in range(2)]
    assert states == ["Job Running", "Job Completed"]
    assert (await user(f"{run}/insights", limit=100))["data"] == rows


async def test_a_failed_report_says_so(world: World, facebook: Facebook, user: Api, http: httpx.AsyncClient) -> None:
    world.faults.add("report_fail", count=1)
    account, token = await _act(user), facebook.connect().access_token
    started = await http.post(f"/facebook/v25.0/{account}/insights", data={"access_token": token})
    run = started.json()["report_run_id"]
    assert [(await user(run)).get("error_code") for _ in range(2)] == [None, 2]


async def test_recent_days_are_restated_and_old_ones_are_final(world: World, user: Api) -> None:
    account = await _act(user)
    query = {"level": "account", "time_increment": "1", "fields": "impressions", "limit": 50}
    query["time_range"] = '{"since":"2025-11-10","until":"2025-11-23"}'
    before = {row["date_start"]: row["impressions"] for row in (await user(f"{account}/insights", **query))["data"]}
    world.clock.advance(86_400)
    after = {row["date_start"]: row["impressions"] for row in (await user(f"{account}/insights", **query))["data"]}
    assert before["2025-11-12"] == after["2025-11-12"]
    assert int(before["2025-11-23"]) < int(after["2025-11-23"])


async def test_batches_and_ids(facebook: Facebook, page: Page, user: Api, http: httpx.AsyncClient) -> None:
    both = await user("", ids=f"{page.id},{facebook.account().id}", fields="name")
    assert both[page.id]["name"] == page.name
    calls = json.dumps([{"method": "GET", "relative_url": f"{page.id}?fields=name"}, {"relative_url": "nothing/x"}])
    form = {"access_token": facebook.connect().access_token, "batch": calls}
    answers = (await http.post("/facebook/v25.0/", data=form)).json()
    assert [answer["code"] for answer in answers] == [200, 400]
    assert json.loads(answers[0]["body"])["name"] == page.name


def _verify(call: Call) -> tuple[int, bytes]:
    query = parse_qs(urlsplit(call.target).query)
    return 200, query.get("hub.challenge", [""])[0].encode()


async def test_webhooks(facebook: Facebook, http: httpx.AsyncClient) -> None:
    owner, app = facebook.account(), facebook.app
    async with receiving(_verify) as receiver:
        form = {
            "object": "page",
            "callback_url": receiver.url,
            "fields": "feed,messages,comments",
            "verify_token": "ours",
            "access_token": f"{app.client_id}|{app.client_secret}",
        }
        answer = await http.post(f"/facebook/v25.0/{app.client_id}/subscriptions", data=form)
        assert answer.json() == {"success": True}
        post = facebook.post(owner, text="Café 😀 a/b")
        facebook.comment(owner, post=post)
        facebook.message(owner)
        await facebook.hooks.drain()
    assert "hub.verify_token=ours" in receiver.calls[0].target
    first, second, third = receiver.calls[1:]
    assert b"Caf\\u00e9 \\ud83d\\ude00 a\\/b" in first.body
    assert first.headers["x-hub-signature-256"] == signature(app.client_secret, first.body)["x-hub-signature-256"]
    assert missing_keys(second.json, EXAMPLES["comment_hook"]) == []
    assert missing_keys(third.json, EXAMPLES["message_hook"]) == []


def test_signature_of_the_documented_example() -> None:
    body = escaped({"object": "page", "entry": []})
    expected = "sha256=5da47c9c7409e70d7a1851f0cfd9bc27786bd99587a9bf1dd5b51e23a2de03cf"
    assert signature("test_app_secret", body)["x-hub-signature-256"] == expected
