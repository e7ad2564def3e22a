"""TikTok's API for Business as its documentation describes it."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from simulator import World
from simulator.vendors.tiktok import TikTok, signature
from simulator.vendors.tiktok.data import Creator
from tests.simulator.helpers import examples, missing_keys, receiving

EXAMPLES = examples("tiktok")
V = "/tiktok/open_api/v1.3"


@pytest.fixture
def vendors() -> list[str]:
    return ["tiktok"]


@pytest.fixture
def tiktok(world: World) -> TikTok:
    vendor = world["tiktok"]
    assert isinstance(vendor, TikTok)
    return vendor


@pytest.fixture
def me(tiktok: TikTok) -> Creator:
    return tiktok.account()


class Api:
    def __init__(self, http: httpx.AsyncClient, token: str, **always: str) -> None:
        self._http, self._headers, self._always = http, {"access-token": token}, always

    async def answer(self, path: str, **args: Any) -> httpx.Response:
        """Lists and objects go out as JSON texts."""
        texts = {k: json.dumps(v) if isinstance(v, list | dict) else v for k, v in {**self._always, **args}.items()}
        return await self._http.get(f"{V}{path}", params=texts, headers=self._headers)

    async def __call__(self, path: str, **args: Any) -> Any:
        return (await self.answer(path, **args)).json()

    async def data(self, path: str, **args: Any) -> Any:
        body = await self(path, **args)
        assert body["code"] == 0, body
        return body["data"]


@pytest.fixture
def api(http: httpx.AsyncClient, tiktok: TikTok, me: Creator) -> Api:
    tiktok.limits.enabled = False
    return Api(http, tiktok.connect().access_token, business_id=me.id)


@pytest.fixture
def ads(http: httpx.AsyncClient, tiktok: TikTok, me: Creator) -> Api:
    tiktok.limits.enabled = False
    return Api(http, tiktok.connect().facts["ads_token"], advertiser_id=me.advertisers[0].id)


async def test_comments_have_the_keys_of_the_documented_example(tiktok: TikTok, me: Creator, api: Api) -> None:
    video = tiktok.post(me)
    top = tiktok.comment(me, video=video, text="Where can I buy this? 😍")
    tiktok.comment(me, video=video, parent=top, ours=True)
    listed = await api("/business/comment/list/", video_id=video, include_replies="true", sort_field="create_time")
    assert missing_keys(listed, EXAMPLES["comments"]) == []


async def test_walking_videos_by_time_brings_every_one_though_pages_are_short(me: Creator, api: Api) -> None:
    seen: list[str] = []
    sizes: list[int] = []
    args: dict[str, Any] = {"fields": ["item_id", "create_time", "caption"], "max_count": 3}
    while True:
        page = await api.data("/business/video/list/", **args)
        seen += [video["item_id"] for video in page["videos"]]
        sizes.append(len(page["videos"]))
        if not page["has_more"]:
            break
        args["cursor"] = page["cursor"]
    assert seen == [record["item_id"] for record in me.videos.records()][::-1]
    assert 2 in sizes[:-1], "a page may be short though more follow"
    middle = me.videos.get(int(seen[5])) or {}
    older = await api.data("/business/video/list/", fields=["item_id"], cursor=int(middle["create_time"]) * 1000)
    assert set(v["item_id"] for v in older["videos"]) <= set(seen[5:])
    named = await api.data("/business/video/list/", fields=["item_id"], filters={"video_ids": [seen[3], "1"]})
    assert [video["item_id"] for video in named["videos"]] == [seen[3]]


async def test_insights_come_a_day_late_and_need_their_scope(
    world: World, tiktok: TikTok, me: Creator, api: Api, http: httpx.AsyncClient
) -> None:
    video = tiktok.post(me)
    tiktok.like(me, video=video, count=7)
    fields = ["item_id", "likes", "video_views", "average_time_watched", "impression_sources"]
    first = (await api.data("/business/video/list/", fields=fields, max_count=1))["videos"][0]
    assert (first["likes"], first["video_views"]) == (0, 0)
    world.clock.advance(2.5 * 86_400)
    refreshed = Api(http, tiktok.connect().access_token, business_id=me.id)
    later = (await refreshed.data("/business/video/list/", fields=fields, max_count=1))["videos"][0]
    assert later["likes"] == 7
    assert later["video_views"] > 0
    narrow = Api(http, tiktok.connect(scopes=["video.list"]).access_token, business_id=me.id)
    assert (await narrow("/business/video/list/", fields=["item_id"]))["code"] == 0
    assert (await narrow("/business/video/list/", fields=fields))["code"] == 40125
    assert (await narrow("/business/comment/list/", video_id=video))["code"] == 40125


async def test_the_account_and_its_days(me: Creator, api: Api) -> None:
    fields = ["username", "display_name", "followers_count", "video_views", "daily_new_followers", "audience_activity"]
    found = await api.data("/business/get/", fields=fields, start_date="2025-11-20", end_date="2025-11-24")
    assert (found["username"], found["display_name"]) == (me.username, me.name)
    assert [day["date"] for day in found["metrics"]] == ["2025-11-20", "2025-11-21", "2025-11-22", "2025-11-23"]
    assert {"video_views", "followers_count", "audience_activity"} <= set(found["metrics"][0])
    assert set(await api.data("/business/get/")) == {"display_name", "profile_image"}
    assert (await api("/business/get/", fields=fields, start_date="2025-09-01"))["code"] == 40002


async def test_comments_by_time_and_in_no_order(tiktok: TikTok, me: Creator, api: Api) -> None:
    video = tiktok.post(me)
    ids = [tiktok.comment(me, video=video) for _ in range(45)]
    newest = {"video_id": video, "sort_field": "create_time", "sort_order": "desc", "max_count": 30}
    first = await api.data("/business/comment/list/", **newest)
    rest = await api.data("/business/comment/list/", **newest, cursor=first["cursor"])
    assert [c["comment_id"] for c in first["comments"] + rest["comments"]] == ids[::-1]
    assert (first["has_more"], rest["has_more"]) == (True, False)
    smart = await api.data("/business/comment/list/", video_id=video, max_count=30)
    assert [c["comment_id"] for c in smart["comments"]] != ids[::-1][:30]
    tiktok.hide(me, video=video, comment=ids[0])
    named = await api.data("/business/comment/list/", video_id=video, comment_ids=[ids[0], ids[1]])
    assert {c["comment_id"]: c["status"] for c in named["comments"]} == {ids[0]: "HIDDEN", ids[1]: "PUBLIC"}
    public = await api.data("/business/comment/list/", video_id=video, comment_ids=[ids[1]], status="PUBLIC")
    assert len(public["comments"]) == 1
    reply = tiktok.comment(me, video=video, parent=ids[2])
    replies = await api.data("/business/comment/reply/list/", video_id=video, comment_id=ids[2])
    assert [(c["comment_id"], c["parent_comment_id"]) for c in replies["comments"]] == [(reply, ids[2])]
    assert (await api("/business/comment/list/", video_id=video, max_count=31))["code"] == 40002


async def test_beyond_five_hundred_comments_some_come_twice(tiktok: TikTok, me: Creator, api: Api) -> None:
    video = tiktok.post(me)
    ids = {tiktok.comment(me, video=video, text="x") for _ in range(540)}
    seen: list[str] = []
    cursor = 0
    while True:
        args = {"sort_field": "create_time", "sort_order": "desc", "max_count": 30, "cursor": cursor}
        page = await api.data("/business/comment/list/", video_id=video, **args)
        seen += [comment["comment_id"] for comment in page["comments"]]
        cursor = page["cursor"]
        if not page["has_more"]:
            break
    assert set(seen) == ids
    assert len(seen) > len(ids)


async def test_conversations_of_both_kinds_and_twenty_messages(tiktok: TikTok, me: Creator, api: Api) -> None:
    single = await api.data("/business/message/conversation/list/", conversation_type="SINGLE")
    stranger = await api.data("/business/message/conversation/list/", conversation_type="STRANGER")
    named = {c["conversation_id"] for found in (single, stranger) for c in found["conversations"]}
    assert named == set(me.talks)
    talk = stranger["conversations"][0]["conversation_id"]
    sent = [tiktok.message(me, conversation=talk, text=f"number {n}") for n in range(25)]
    shown = await api.data("/business/message/content/list/", conversation_id=talk)
    assert [message["message_id"] for message in shown["messages"]] == sent[:-21:-1]
    assert shown["messages"][0]["text"] == {"body": "number 24"}
    assert shown["messages"][0]["from_user"]["role"] == "PERSONAL_ACCOUNT"
    tiktok.message(me, conversation=talk, ours=True)
    after = await api.data("/business/message/conversation/list/", conversation_type="SINGLE")
    assert after["conversations"][0]["conversation_id"] == talk, "answered, so it is no stranger's any more"
    bad = await api("/business/message/content/list/", conversation_id=talk.replace("+", " "))
    assert bad["code"] == 40002


async def test_mentions_are_hours_late(world: World, tiktok: TikTok, me: Creator, api: Api) -> None:
    before = await api.data("/business/mention/video/list/", number_of_days=60, max_count=2)
    assert (len(before["videos"]), before["has_more"]) == (2, True)
    key = tiktok.mention(me, text="look")
    newest = await api.data("/business/mention/video/list/", sort_field="CREATE_TIME", sort_type="DESC")
    assert newest["videos"][0]["item_id"] != key
    world.clock.advance(2 * 3600)
    newest = await api.data("/business/mention/video/list/", sort_field="CREATE_TIME", sort_type="DESC")
    assert (newest["videos"][0]["item_id"], newest["videos"][0]["caption"]) == (key, f"look @{me.username}")
    said = await api.data("/business/mention/comment/list/", number_of_days=60, fields=["comment_id", "comment_text"])
    assert set(said["comments"][0]) == {"comment_id", "comment_text"}


REPORT = {"report_type": "BASIC", "data_level": "AUCTION_CAMPAIGN", "dimensions": ["campaign_id", "stat_time_day"]}
METRICS = ["spend", "impressions", "clicks", "ctr", "cpc", "conversion", "cost_per_conversion", "reach"]
DAYS = {"start_date": "2025-11-10", "end_date": "2025-11-12"}
ALL = [{"field_name": "campaign_status", "filter_type": "IN", "filter_value": '["STATUS_ALL"]'}]


async def test_reports_at_once(world: World, tiktok: TikTok, me: Creator, ads: Api) -> None:
    advertiser = me.advertisers[0]
    listed = await ads("/report/integrated/get/", **REPORT, metrics=METRICS, **DAYS, page_size=1000)
    assert missing_keys(listed, EXAMPLES["report"]) == []
    rows = listed["data"]["list"]
    assert all(isinstance(value, str) for row in rows for value in row["metrics"].values())
    assert "-" in {row["metrics"]["reach"] for row in rows}
    two = await ads.data("/report/integrated/get/", **REPORT, metrics=METRICS, **DAYS, page_size=2, page=2)
    assert two["list"] == rows[2:4]
    assert two["page_info"]["total_page"] == -(-len(rows) // 2)
    everything = await ads.data(
        "/report/integrated/get/", **REPORT, metrics=METRICS, **DAYS, filtering=ALL, page_size=99
    )
    hidden = {row["dimensions"]["campaign_id"] for row in everything["list"]}
    assert hidden - {row["dimensions"]["campaign_id"] for row in rows} == {advertiser.campaigns[2]["campaign_id"]}
    long = {"start_date": "2025-10-01", "end_date": "2025-11-12"}
    assert (await ads("/report/integrated/get/", **REPORT, metrics=METRICS, **long))["code"] == 40002
    raw = await ads.answer("/report/integrated/get/", **{**REPORT, "dimensions": "campaign_id"}, **DAYS)
    assert (raw.status_code, raw.json()["code"]) == (200, 40002)
    world.clock.advance(20 * 86_400)
    later = await ads.data("/report/integrated/get/", **REPORT, metrics=METRICS, **DAYS, page_size=1000)
    assert [row["metrics"]["spend"] for row in later["list"]] == [row["metrics"]["spend"] for row in rows]
    late = [sum(int(row["metrics"]["conversion"]) for row in found) for found in (rows, later["list"])]
    assert late[0] < late[1]


async def test_reports_as_a_task(world: World, me: Creator, ads: Api, http: httpx.AsyncClient) -> None:
    body = {**REPORT, **DAYS, "metrics": METRICS, "advertiser_id": me.advertisers[0].id}
    made = await http.post(
        f"{V}/report/task/create/", json={**body, "output_format": "CSV_DOWNLOAD"}, headers=ads._headers
    )
    assert missing_keys(made.json(), EXAMPLES["task"]) == []
    task = {"task_id": made.json()["data"]["task_id"]}
    assert (await ads("/report/task/download/", **task))["code"] == 40201
    assert [(await ads.data("/report/task/check/", **task))["status"] for _ in range(2)] == ["PROCESSING", "SUCCESS"]
    ready = await ads("/report/task/download/", **task)
    assert missing_keys(ready, EXAMPLES["download"]) == []
    file = await http.get(ready["data"]["download_url"])
    rows = await ads.data("/report/integrated/get/", **REPORT, metrics=METRICS, **DAYS, page_size=1000)
    lines = file.text.split()
    assert lines[0].startswith("campaign_id,stat_time_day,spend,")
    assert len(file.text.strip().splitlines()) == len(rows["list"]) + 1
    world.clock.advance(3_600)
    assert (await http.get(ready["data"]["download_url"])).status_code == 403
    assert (await ads("/report/task/check/", task_id="1"))["code"] == 40007


async def test_advertisers_and_what_is_in_them(tiktok: TikTok, me: Creator, ads: Api) -> None:
    advertiser = me.advertisers[0]
    info = await ads.data("/advertiser/info/", advertiser_ids=[advertiser.id], fields=["currency", "display_timezone"])
    assert info["list"] == [{"currency": advertiser.currency, "display_timezone": advertiser.zone}]
    campaigns = await ads.data("/campaign/get/", page_size=1000)
    assert len(campaigns["list"]) == 2
    assert len((await ads.data("/adgroup/get/", page_size=1000))["list"]) == 4
    assert (await ads.data("/ad/get/", page_size=3))["page_info"]["total_page"] == 3
    group = advertiser.adgroups[0]["adgroup_id"]
    said = tiktok.ad_comment(me, adgroup=group, text="under the ad")
    span = {"start_time": "2025-11-01", "end_time": "2025-11-24"}
    search = {"search_field": "ADGROUP_ID", "search_value": group}
    listed = await ads.data("/comment/list/", **search, **span)
    assert listed["comments"][0]["comment_id"] == said
    assert (await ads("/campaign/get/", advertiser_id="7"))["code"] == 40001


async def test_every_refusal_is_a_code_in_a_200(tiktok: TikTok, me: Creator, api: Api, http: httpx.AsyncClient) -> None:
    assert missing_keys((await http.get(f"{V}/business/get/")).json(), EXAMPLES["no_token"]) == []
    assert (await http.get(f"{V}/business/get/")).json()["message"] == EXAMPLES["no_token"]["message"]
    assert (await Api(http, "act.nonsense")("/business/get/"))["code"] == 40105
    assert (await http.get(f"{V}/business/get", headers=api._headers)).status_code == 404
    assert (await api("/business/comment/list/", video_id="1"))["code"] == 40007
    assert (await api("/business/video/list/", fields=["caption"]))["code"] == 40002
    assert (await api("/advertiser/info/", advertiser_ids=["1"]))["code"] == 40105, "an account's token is none to ads"
    other = tiktok.ordinary_accounts()[1]
    assert (await api("/business/get/", business_id=other.id))["code"] == 40001
    tiktok.turn_personal(me)
    assert (await api("/business/get/"))["code"] == 40001
    tiktok.revoke()
    assert (await api("/business/get/"))["code"] == 40105


async def test_limits_are_told_by_code_alone(world: World, tiktok: TikTok, api: Api) -> None:
    tiktok.limits.enabled = True
    answers = [await api.answer("/business/get/") for _ in range(11)]
    assert [answer.json()["code"] for answer in answers] == [0] * 10 + [40100]
    assert (answers[10].status_code, answers[10].json()["message"]) == (200, EXAMPLES["throttled"]["message"])
    assert not {name for name in answers[10].headers if "limit" in name or "retry" in name}
    world.clock.advance(1)
    assert (await api("/business/get/"))["code"] == 0
    tiktok.limits.change("qpm", max=12)
    assert [(await api("/business/get/"))["code"] for _ in range(2)] == [0, 40100]
    world.clock.advance(61)
    assert (await api("/business/get/"))["code"] == 40100, "five minutes, counted anew from the last call"
    world.clock.advance(300)
    assert (await api("/business/get/"))["code"] == 0


async def test_account_tokens_last_a_day_and_rotate(
    world: World, tiktok: TikTok, me: Creator, http: httpx.AsyncClient
) -> None:
    app = tiktok.app
    ask = {"client_key": app.client_id, "scope": "user.info.basic,video.list", "redirect_uri": "https://us/cb"}
    back = await http.get("/tiktok/v2/auth/authorize/", params={**ask, "response_type": "code", "state": "s"})
    code = parse_qs(urlsplit(back.headers["location"]).query)["code"][0]
    client = {"client_id": app.client_id, "client_secret": app.client_secret}

    async def call(path: str, **body: str) -> Any:
        return (await http.post(f"{V}/tt_user/oauth2/{path}/", json={**client, **body})).json()

    exchange = {"grant_type": "authorization_code", "auth_code": code, "redirect_uri": "https://us/cb"}
    first = await call("token", **exchange)
    assert missing_keys(first, EXAMPLES["token"]) == []
    assert (first["data"]["open_id"], first["data"]["expires_in"]) == (me.id, 86_400)
    assert (await call("token", **exchange))["code"] == 40110
    first = (await call("token", **{**exchange, "auth_code": await _code(http, ask)}))["data"]
    world.clock.advance(86_400)
    assert (await Api(http, first["access_token"], business_id=me.id)("/business/get/"))["code"] == 40102
    second = (await call("refresh_token", grant_type="refresh_token", refresh_token=first["refresh_token"]))["data"]
    assert second["refresh_token"] != first["refresh_token"]
    again = await call("refresh_token", grant_type="refresh_token", refresh_token=first["refresh_token"])
    assert again["code"] == 40107
    world.clock.advance(365 * 86_400)
    late = await call("refresh_token", grant_type="refresh_token", refresh_token=second["refresh_token"])
    assert late["code"] == 40103


async def _code(http: httpx.AsyncClient, ask: dict[str, str]) -> str:
    back = await http.get("/tiktok/v2/auth/authorize", params=ask)
    return parse_qs(urlsplit(back.headers["location"]).query)["code"][0]


async def test_an_advertisers_token_does_not_run_out(
    world: World, tiktok: TikTok, me: Creator, http: httpx.AsyncClient
) -> None:
    app = tiktok.app
    ask = {"app_id": app.client_id, "redirect_uri": "https://us/cb", "state": "s"}
    back = parse_qs(urlsplit((await http.get("/tiktok/portal/auth", params=ask)).headers["location"]).query)
    body = {"app_id": app.client_id, "secret": app.client_secret, "auth_code": back["auth_code"][0]}
    given = (await http.post(f"{V}/oauth2/access_token/", json=body)).json()
    assert missing_keys(given, EXAMPLES["ads_token"]) == []
    ids = [advertiser.id for advertiser in me.advertisers]
    assert given["data"]["advertiser_ids"] == ids
    world.clock.advance(1000 * 86_400)
    ads = Api(http, given["data"]["access_token"])
    reachable = await ads.data("/oauth2/advertiser/get/", app_id=app.client_id, secret=app.client_secret)
    assert [advertiser["advertiser_id"] for advertiser in reachable["list"]] == ids


async def test_webhooks(tiktok: TikTok, me: Creator, http: httpx.AsyncClient) -> None:
    app = tiktok.app
    client = {"app_id": app.client_id, "secret": app.client_secret}
    video = tiktok.post(me)
    async with receiving() as receiver:
        for family in ("COMMENT", "DIRECT_MESSAGE", "BRAND_MENTION"):
            body = {**client, "event_type": family, "callback_url": receiver.url}
            assert (await http.post(f"{V}/business/webhook/update/", json=body)).json()["code"] == 0
        listed = (await http.get(f"{V}/business/webhook/list/", params={**client, "event_type": "COMMENT"})).json()
        assert listed["data"]["callback_url"] == receiver.url
        comment = tiktok.comment(me, video=video, text="hello 😀")
        tiktok.message(me, text="Is the blue one in stock? 😀")
        tiktok.message(me, text="bonjour", eu=True)
        tiktok.mention(me)
        tiktok.post(me)
        tiktok.revoke()
        await tiktok.hooks.drain()
    events = [call.json for call in receiver.calls]
    kinds = ["comment.update", "im_receive_msg", "im_receive_msg_eu", "brand.mention.event"]
    assert [event["event"] for event in events] == [*kinds, *["authorization.removed"] * 3]
    assert missing_keys(events[0], EXAMPLES["comment_hook"]) == []
    contents = [json.loads(event["content"]) for event in events]
    for content, name in zip(contents, ("comment", "message", "", "mention"), strict=False):
        assert not name or missing_keys(content, EXAMPLES[f"{name}_content"]) == [], name
    assert contents[0]["comment_id"] == int(comment) > 2**53
    assert set(contents[2]) == {"to", "to_user", "timestamp"}
    assert contents[4] == {"reason": 1}
    head = receiver.calls[1].headers
    assert (
        head["tiktok-signature"]
        == signature(app.client_secret, 1_764_000_000, receiver.calls[1].body)["tiktok-signature"]
    )
    assert head["webhook-schema-version"] == "1.0"


async def test_a_comment_subscription_may_be_for_some_videos(
    tiktok: TikTok, me: Creator, http: httpx.AsyncClient
) -> None:
    wanted, other = tiktok.post(me), tiktok.post(me)
    body = {"app_id": tiktok.app.client_id, "secret": tiktok.app.client_secret, "event_type": "COMMENT"}
    async with receiving() as receiver:
        body |= {"callback_url": receiver.url, "item_list": [wanted]}  # type: ignore[dict-item]
        await http.post(f"{V}/business/webhook/update/", json=body)
        tiktok.comment(me, video=other)
        tiktok.comment(me, video=wanted)
        await tiktok.hooks.drain()
    assert [json.loads(call.json["content"])["video_id"] for call in receiver.calls] == [int(wanted)]


def test_signature_of_the_documented_example() -> None:
    body = b'{"client_key":"bwo2m45353a6k85","event":"comment.update"}'
    digest = "ea394e65a2a17fb25c06b53d180bf527e1584d7d0eb7f908304a021717e84b25"
    expected = f"t=1633174587,s={digest}"
    assert signature("test_client_secret", 1_633_174_587, body) == {"tiktok-signature": expected}
