"""Pinterest as its documentation describes it."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from simulator import World
from simulator.vendors.pinterest import Pinterest
from tests.simulator.helpers import examples, missing_keys

EXAMPLES = examples("pinterest")
METRICS = "IMPRESSION,PIN_CLICK,OUTBOUND_CLICK,SAVE,TOTAL_COMMENTS,TOTAL_REACTIONS"
DAYS = {"start_date": "2025-11-19", "end_date": "2025-11-24"}


@pytest.fixture
def vendors() -> list[str]:
    return ["pinterest"]


@pytest.fixture
def pinterest(world: World) -> Pinterest:
    vendor = world["pinterest"]
    assert isinstance(vendor, Pinterest)
    return vendor


class Api:
    def __init__(self, http: httpx.AsyncClient, token: str) -> None:
        self.http, self.headers = http, {"authorization": f"Bearer {token}"}

    async def answer(self, path: str, **args: Any) -> httpx.Response:
        return await self.http.get(f"/pinterest/v5/{path}", params=args, headers=self.headers)

    async def __call__(self, path: str, **args: Any) -> Any:
        return (await self.answer(path, **args)).json()

    async def report(self, account: str, **body: Any) -> httpx.Response:
        return await self.http.post(f"/pinterest/v5/ad_accounts/{account}/reports", json=body, headers=self.headers)


@pytest.fixture
def api(http: httpx.AsyncClient, pinterest: Pinterest) -> Api:
    return Api(http, pinterest.connect().access_token)


@pytest.fixture
def act(pinterest: Pinterest) -> str:
    return pinterest.account().ad_accounts[0].id


async def test_answers_have_the_keys_of_the_documented_examples(pinterest: Pinterest, api: Api, act: str) -> None:
    pins = await api("pins", page_size=20, pin_metrics="true")
    assert missing_keys(pins, EXAMPLES["pins"]) == []
    video = next(pin["media"] for pin in (await api("pins", page_size=250))["items"] if pin["creative_type"] == "VIDEO")
    assert missing_keys(video, EXAMPLES["video"]) == []
    pin = pins["items"][-1]["id"]
    analytics = await api(f"pins/{pin}/analytics", metric_types=METRICS, **DAYS)
    assert missing_keys(analytics, EXAMPLES["pin_analytics"]) == []
    assert missing_keys(await api("ad_accounts"), EXAMPLES["ad_accounts"]) == []
    assert (await api("user_account"))["account_type"] == "BUSINESS"
    boards = (await api("boards"))["items"]
    of_board = (await api(f"boards/{boards[0]['id']}/pins", page_size=250))["items"]
    assert {found["board_id"] for found in of_board} == {boards[0]["id"]}
    assert sum(board["pin_count"] for board in boards) == len(pinterest.account().pins)
    account = await api("user_account/analytics", **DAYS)
    assert account["all"]["daily_metrics"][0]["metrics"].keys() >= {"IMPRESSION", "SAVE_RATE", "ENGAGEMENT"}


async def test_only_the_bookmark_ends_a_walk(world: World, pinterest: Pinterest, api: Api) -> None:
    me = pinterest.account()
    before = [record["id"] for record in me.pins.records()][::-1]
    world.faults.add("empty_page", count=1, after=1)
    page = await api("pins", page_size=7)
    seen, pages = [pin["id"] for pin in page["items"]], 1
    new = pinterest.pin(me)
    while page["bookmark"]:
        page = await api("pins", page_size=7, bookmark=page["bookmark"])
        seen, pages = seen + [pin["id"] for pin in page["items"]], pages + 1
    assert seen == before
    assert pages == -(-len(before) // 7) + 1
    assert (await api("pins"))["items"][0]["id"] == new
    fewer = await api("pins", page_size=7, pin_filter="exclude_repins")
    assert all(pin["parent_pin_id"] is None for pin in fewer["items"])
    pinterest.edit(me, pin=new, text="Winter")
    assert (await api(f"pins/{new}"))["title"] == "Winter"
    pinterest.delete(me, pin=new)
    assert (await api.answer(f"pins/{new}")).json() == {"code": 50, "message": "Pin not found."}


async def test_figures_of_pins_say_how_final_they_are(world: World, pinterest: Pinterest, api: Api) -> None:
    me = pinterest.account()
    pin = str(next(iter(me.pins)))
    rows = (await api(f"pins/{pin}/analytics", metric_types=METRICS, **DAYS))["all"]
    assert [row["data_status"] for row in rows["daily_metrics"]] == ["READY"] * 3 + ["ESTIMATE"] * 2 + ["PROCESSING"]
    assert rows["daily_metrics"][-1]["metrics"] == {}
    assert "TOTAL_COMMENTS" not in rows["summary_metrics"]
    world.clock.advance(5 * 86_400)
    later = (await api(f"pins/{pin}/analytics", metric_types=METRICS, **DAYS))["all"]["daily_metrics"]
    assert later[:3] == rows["daily_metrics"][:3]
    assert later[4]["metrics"]["IMPRESSION"] > rows["daily_metrics"][4]["metrics"]["IMPRESSION"]
    new = pinterest.pin(me)
    young = (await api(f"pins/{new}/analytics", metric_types="IMPRESSION", **DAYS))["all"]["daily_metrics"]
    assert young[0]["data_status"] == "BEFORE_PIN_CREATED"
    before = (await api(f"pins/{pin}", pin_metrics="true"))["pin_metrics"]["lifetime_metrics"]
    pinterest.react(me, pin=pin, likes=3, comments=1)
    after = (await api(f"pins/{pin}", pin_metrics="true"))["pin_metrics"]["lifetime_metrics"]
    assert (after["reaction"] - before["reaction"], after["comment"] - before["comment"]) == (3, 1)


async def test_many_pins_at_once_is_a_restricted_feature(pinterest: Pinterest, api: Api) -> None:
    ids = ",".join(str(key) for key in list(pinterest.account().pins)[:3])
    refused = await api.answer("pins/analytics", pin_ids=ids, metric_types="SAVE", **DAYS)
    assert (refused.status_code, refused.json()["code"]) == (401, 3)
    pinterest.grant_beta(pinterest.account())
    assert set(await api("pins/analytics", pin_ids=ids, metric_types="SAVE", **DAYS)) == set(ids.split(","))
    refused = await api.answer("pins/analytics", pin_ids=f"{ids},123", metric_types="SAVE", **DAYS)
    assert (refused.status_code, refused.json()["code"]) == (401, 7)


async def test_ads_entities_and_their_figures(pinterest: Pinterest, api: Api, act: str) -> None:
    shown = (await api(f"ad_accounts/{act}/campaigns"))["items"]
    every = (await api(f"ad_accounts/{act}/campaigns", entity_statuses="ACTIVE,PAUSED,ARCHIVED", order="DESCENDING"))[
        "items"
    ]
    assert (len(shown), len(every)) == (2, 3)
    assert [int(c["id"]) for c in every] == sorted((int(c["id"]) for c in every), reverse=True)
    group = (await api(f"ad_accounts/{act}/ad_groups", campaign_ids=shown[0]["id"]))["items"]
    assert {found["campaign_id"] for found in group} == {shown[0]["id"]}
    assert (await api.answer(f"ad_accounts/{act}/ads", campaign_ids="1", ad_ids="2")).status_code == 400
    columns = "SPEND_IN_MICRO_DOLLAR,PAID_IMPRESSION,TOTAL_CLICKTHROUGH,TOTAL_CONVERSIONS"
    ids = ",".join(campaign["id"] for campaign in every)
    rows = await api(
        f"ad_accounts/{act}/campaigns/analytics", campaign_ids=ids, columns=columns, granularity="DAY", **DAYS
    )
    assert missing_keys(rows, EXAMPLES["campaigns"]) == []
    assert {row["DATE"] for row in rows} <= {f"2025-11-{day}" for day in range(19, 25)}
    total = await api(f"ad_accounts/{act}/analytics", columns=columns, granularity="TOTAL", **DAYS)
    assert total[0]["SPEND_IN_MICRO_DOLLAR"] == pytest.approx(
        sum(row["SPEND_IN_MICRO_DOLLAR"] for row in rows), rel=0.01
    )
    assert "DATE" not in total[0]
    old = {"start_date": "2025-08-01", "end_date": "2025-08-02"}
    assert (
        await api.answer(f"ad_accounts/{act}/analytics", columns=columns, granularity="DAY", **old)
    ).status_code == 400
    ready = await api("resources/metrics_ready_state", date="2025-11-20")
    assert ready == {"conversion_metrics_ready": False, "non_conversion_metrics_ready": True}
    assert (await api.answer("ad_accounts/999/campaigns")).json() == {"code": 2, "message": "AdAccount not found."}


REPORT: dict[str, Any] = {
    "start_date": "2025-06-01",
    "end_date": "2025-11-20",
    "granularity": "DAY",
    "level": "CAMPAIGN",
    "columns": ["CAMPAIGN_ID", "CAMPAIGN_NAME", "SPEND_IN_MICRO_DOLLAR", "IMPRESSION_1", "CLICKTHROUGH_1"],
}


async def test_a_report_its_link_and_its_end(world: World, api: Api, act: str, http: httpx.AsyncClient) -> None:
    made = (await api.report(act, **REPORT)).json()
    assert missing_keys(made, EXAMPLES["created"]) == []
    polls = [await api(f"ad_accounts/{act}/reports", token=made["token"]) for _ in range(2)]
    assert [poll["report_status"] for poll in polls] == ["IN_PROGRESS", "FINISHED"]
    assert missing_keys(polls[1], EXAMPLES["finished"]) == []
    file = (await http.get(polls[1]["url"])).json()
    assert missing_keys(next(iter(file.values()))[0], EXAMPLES["file_row"]) == []
    assert (await http.get(polls[1]["url"], headers=api.headers)).status_code == 400
    world.clock.advance(301)
    assert (await http.get(polls[1]["url"])).status_code == 403
    fresh = await api(f"ad_accounts/{act}/reports", token=made["token"])
    assert (await http.get(fresh["url"])).json() == file
    world.clock.advance(3600)
    assert (await api(f"ad_accounts/{act}/reports", token=made["token"]))["report_status"] == "EXPIRED"
    assert (await api(f"ad_accounts/{act}/reports", token="x"))["report_status"] == "DOES_NOT_EXIST"
    world.faults.add("report_fail", count=1)
    made = (await api.report(act, **REPORT)).json()
    states = [(await api(f"ad_accounts/{act}/reports", token=made["token"]))["report_status"] for _ in range(2)]
    assert states == ["IN_PROGRESS", "FAILED"]


async def test_reports_refuse_what_they_cannot_do(api: Api, act: str) -> None:
    assert (await api.report(act, **{**REPORT, "start_date": "2025-01-01"})).status_code == 400
    seven = ["RUNNING", "PAUSED", "NOT_STARTED", "COMPLETED", "ADVERTISER_DISABLED", "ARCHIVED", "DRAFT"]
    assert (await api.report(act, **{**REPORT, "campaign_statuses": seven})).status_code == 400
    assert (await api.report(act, **{**REPORT, "campaign_statuses": seven[:6]})).status_code == 200
    bare = await api.http.post(f"/pinterest/v5/ad_accounts/{act}/reports", params=REPORT, headers=api.headers)
    assert bare.status_code == 400


async def test_consent_and_continuous_refresh(world: World, pinterest: Pinterest, http: httpx.AsyncClient) -> None:
    args = {
        "client_id": pinterest.app.client_id,
        "redirect_uri": "https://us/cb",
        "response_type": "code",
        "state": "s",
    }
    back = (await http.get("/pinterest/oauth/", params={**args, "scope": "boards:read,pins:read"})).headers["location"]
    basic = (pinterest.app.client_id, pinterest.app.client_secret)
    form = {
        "grant_type": "authorization_code",
        "code": parse_qs(urlsplit(back).query)["code"][0],
        "redirect_uri": "https://us/cb",
    }
    assert (await http.post("/pinterest/v5/oauth/token", data={**form, "client_id": basic[0]})).status_code == 401
    first = (await http.post("/pinterest/v5/oauth/token", data=form, auth=basic)).json()
    assert missing_keys(first, EXAMPLES["tokens"]) == []
    assert (first["access_token"][:5], first["scope"]) == ("pina_", "boards:read pins:read")
    world.clock.advance(59 * 86_400)
    refresh = {"grant_type": "refresh_token", "refresh_token": first["refresh_token"]}
    second = (await http.post("/pinterest/v5/oauth/token", data=refresh, auth=basic)).json()
    assert second["refresh_token_expires_at"] == int(world.clock.now()) + 5_184_000
    assert (await http.post("/pinterest/v5/oauth/token", data=refresh, auth=basic)).status_code == 401
    world.clock.advance(61 * 86_400)
    dead = {"grant_type": "refresh_token", "refresh_token": second["refresh_token"]}
    assert (await http.post("/pinterest/v5/oauth/token", data=dead, auth=basic)).json()["code"] == 2


async def test_errors_have_codes_of_their_own(pinterest: Pinterest, http: httpx.AsyncClient, api: Api) -> None:
    async def code(answer: httpx.Response) -> tuple[int, int]:
        return answer.status_code, answer.json()["code"]

    assert await code(await Api(http, "pina_no").answer("pins")) == (401, 2)
    narrow = Api(http, pinterest.connect(scopes=["pins:read"]).access_token)
    assert await code(await narrow.answer("pins")) == (403, 29)
    wrong = await api.answer("pins", page_size="3e")
    assert wrong.json()["message"] == "Parameter 'page_size' was not numeric (was 3e)"
    assert await code(await api.answer("pins", ad_account_id="1")) == (403, 29)
    pinterest.set_kind(pinterest.account(), kind="PINNER")
    assert await code(await api.answer("user_account/analytics", **DAYS)) == (403, 29)
    pinterest.revoke()
    assert await code(await api.answer("pins")) == (401, 2)


async def test_limits_in_structured_headers(world: World, pinterest: Pinterest, api: Api, act: str) -> None:
    pinterest.limits.change("org_analytics", max=2)
    pin = str(next(iter(pinterest.account().pins)))
    answers = [await api.answer(f"pins/{pin}/analytics", metric_types="SAVE", **DAYS) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert answers[0].headers["x-ratelimit-limit"].startswith('2, 100;w=1;name="safety_net')
    assert [answer.headers["x-ratelimit-remaining"] for answer in answers] == ["1", "0", "0"]
    assert (answers[2].json()["code"], answers[2].headers["x-ratelimit-reset"]) == (8, "60")
    pinterest.limits.change("ads_analytics", max=0)
    said = await api.answer(f"ad_accounts/{act}/analytics", columns="CTR", granularity="DAY", **DAYS)
    assert said.status_code == 400
    assert "Retry after 60 seconds" in said.json()["message"]
    assert (await api.answer("user_account")).status_code == 200


async def test_a_trial_app_has_one_daily_budget(pinterest: Pinterest, http: httpx.AsyncClient) -> None:
    pinterest.limits.change("trial", max=3)
    trial = next(app for app in pinterest.auth.apps.values() if app.options["name"] == "trial")
    apis = [Api(http, pinterest.connect(a, app=trial).access_token) for a in pinterest.ordinary_accounts()]
    answers = [await api.answer(path) for path in ("user_account", "ad_accounts") for api in apis]
    assert [answer.status_code for answer in answers] == [200] * 3 + [429]
    assert int(answers[3].headers["x-ratelimit-reset"]) == 86_400
