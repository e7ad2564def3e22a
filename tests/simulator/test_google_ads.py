"""Google Ads as its documentation describes it."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from simulator import World
from simulator.vendors.google_ads import GoogleAds
from simulator.vendors.google_ads.data import Login
from simulator.vendors.google_ads.gaql import BadQuery, parse
from tests.simulator.helpers import examples, missing_keys

EXAMPLES = examples("google_ads")
METRICS = """SELECT campaign.id, campaign.name, campaign.status, segments.date, metrics.impressions, metrics.clicks,
 metrics.cost_micros, metrics.ctr, metrics.average_cpc, metrics.conversions, metrics.conversions_value,
 metrics.all_conversions, metrics.view_through_conversions, customer.currency_code, customer.time_zone FROM campaign
 WHERE segments.date BETWEEN '2025-11-10' AND '2025-11-23' ORDER BY segments.date, campaign.id"""
CAMPAIGNS = """SELECT campaign.id, campaign.name, campaign.status, campaign.advertising_channel_type,
 campaign.start_date_time, campaign_budget.amount_micros FROM campaign ORDER BY campaign.id"""
CHANGES = """SELECT change_status.resource_name, change_status.last_change_date_time, change_status.resource_type,
 change_status.resource_status, change_status.campaign FROM change_status
 WHERE change_status.last_change_date_time >= '2025-11-20' AND change_status.last_change_date_time <= '2025-11-30'
 ORDER BY change_status.last_change_date_time DESC LIMIT 100"""


@pytest.fixture
def vendors() -> list[str]:
    return ["google_ads"]


@pytest.fixture
def google(world: World) -> GoogleAds:
    vendor = world["google_ads"]
    assert isinstance(vendor, GoogleAds)
    return vendor


@pytest.fixture
def login(google: GoogleAds) -> Login:
    return google.account()


class Api:
    def __init__(self, http: httpx.AsyncClient, token: str) -> None:
        self._http, self.token = http, token

    async def ask(
        self, customer: str, query: str, *, through: str | None = None, how: str = "search", **body: Any
    ) -> httpx.Response:
        headers = {"authorization": f"Bearer {self.token}"} | ({"login-customer-id": through} if through else {})
        path = f"/google_ads/v26/customers/{customer}/googleAds:{how}"
        return await self._http.post(path, headers=headers, json={"query": query, **body})

    async def __call__(self, customer: str, query: str, **more: Any) -> Any:
        return (await self.ask(customer, query, **more)).json()

    async def accessible(self, version: str = "v26") -> httpx.Response:
        headers = {"authorization": f"Bearer {self.token}"}
        return await self._http.get(f"/google_ads/{version}/customers:listAccessibleCustomers", headers=headers)


@pytest.fixture
def api(http: httpx.AsyncClient, google: GoogleAds) -> Api:
    return Api(http, google.connect().access_token)


def code(answer: httpx.Response) -> str:
    body = answer.json()
    error = (body[0] if isinstance(body, list) else body)["error"]
    (found,) = error["details"][0]["errors"][0]["errorCode"].values()
    return str(found)


async def test_answers_have_the_keys_of_the_documented_examples(google: GoogleAds, login: Login, api: Api) -> None:
    own = login.direct[0].id
    assert missing_keys((await api.accessible()).json(), EXAMPLES["accounts"]) == []
    assert missing_keys(await api(own, METRICS, how="searchStream"), EXAMPLES["stream"]) == []
    google.page_rows = 2
    assert missing_keys(await api(own, CAMPAIGNS), EXAMPLES["page"]) == []
    google.change_delay_s = 0
    google.rename(login, thing=(await api(own, CAMPAIGNS))["results"][0]["campaign"]["id"], name="x")
    assert missing_keys(await api(own, CHANGES), EXAMPLES["changes"]) == []
    refused = await api.ask(login.serving()[1].id, CAMPAIGNS)
    assert (refused.status_code, missing_keys(refused.json(), EXAMPLES["failure"])) == (403, [])


async def test_pages_bring_what_a_stream_brings(google: GoogleAds, login: Login, api: Api) -> None:
    own = login.direct[0].id
    streamed = [row for batch in await api(own, METRICS, how="searchStream") for row in batch["results"]]
    google.page_rows = 7
    answer = await api(own, METRICS)
    seen = answer["results"]
    used = google.limits.totals()["accepted"]
    while token := answer.get("nextPageToken"):
        answer = await api(own, METRICS, pageToken=token)
        seen += answer["results"]
    assert seen == streamed
    assert all(isinstance(row["metrics"]["costMicros"], str) for row in seen)
    operations = [m for (rule, _), m in google.limits.meters.items() if rule == "operations"]
    assert [m.used for m in operations] == [2], "following pages are free"
    assert google.limits.totals()["accepted"] > used
    assert code(await api.ask(own, CAMPAIGNS, pageToken="bm9uc2Vuc2U=")) == "INVALID_PAGE_TOKEN"
    assert code(await api.ask(own, CAMPAIGNS, pageSize=5)) == "PAGE_SIZE_NOT_SUPPORTED"


async def test_page_tokens_run_out(world: World, google: GoogleAds, login: Login, api: Api) -> None:
    google.page_rows = 1
    own = login.direct[0].id
    token = (await api(own, CAMPAIGNS))["nextPageToken"]
    google.auth.expire_account(login, google.now() + 9_000)
    world.clock.advance(7_300)
    assert code(await api.ask(own, CAMPAIGNS, pageToken=token)) == "EXPIRED_PAGE_TOKEN"


async def test_clients_are_reached_through_their_manager(login: Login, api: Api) -> None:
    own, manager = login.direct
    client, closed = login.serving()[1], login.customers[-1]
    query = "SELECT customer_client.id, customer_client.manager, customer_client.status FROM customer_client"
    found = (await api(manager.id, f"{query} WHERE customer_client.manager = FALSE"))["results"]
    assert {row["customerClient"]["id"] for row in found} == {c.id for c in login.customers if c.parent is manager}
    assert (await api.ask(client.id, CAMPAIGNS, through=manager.id)).status_code == 200
    assert code(await api.ask(client.id, CAMPAIGNS)) == "USER_PERMISSION_DENIED"
    wrong = "INVALID_LOGIN_CUSTOMER_ID_SERVING_CUSTOMER_ID_COMBINATION"
    assert code(await api.ask(own.id, CAMPAIGNS, through=manager.id)) == wrong
    assert code(await api.ask(client.id, CAMPAIGNS, through="111-222-3333")) == "INVALID_LOGIN_CUSTOMER_ID"
    assert code(await api.ask(closed.id, CAMPAIGNS, through=manager.id)) == "CUSTOMER_NOT_ENABLED"
    assert code(await api.ask("1999999999", CAMPAIGNS)) == "CUSTOMER_NOT_FOUND"
    assert code(await api.ask(manager.id, METRICS)) == "REQUESTED_METRICS_FOR_MANAGER"


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("SELECT campaign.nope FROM campaign", "UNRECOGNIZED_FIELD"),
        ("SELECT campaign.start_date FROM campaign", "UNRECOGNIZED_FIELD"),
        ("SELECT campaign.id FROM nowhere", "BAD_RESOURCE_TYPE_IN_FROM_CLAUSE"),
        ("SELECT campaign.id, segments.date FROM campaign", "EXPECTED_FILTERS_ON_DATE_RANGE"),
        (
            "SELECT segments.conversion_action, metrics.clicks FROM campaign WHERE segments.date DURING TODAY",
            "PROHIBITED_METRIC_IN_SELECT_OR_WHERE_CLAUSE",
        ),
        (
            "SELECT segments.date FROM campaign WHERE segments.date BETWEEN '2019-01-01' AND '2019-01-02'",
            "REQUESTED_DATE_GRANULARITY_NOT_SUPPORTED",
        ),
        ("SELECT change_status.resource_name FROM change_status LIMIT 5", "CHANGE_DATE_RANGE_INFINITE"),
        (CHANGES.replace(" LIMIT 100", ""), "LIMIT_NOT_SPECIFIED"),
        (CHANGES.replace("100", "20000"), "INVALID_LIMIT_CLAUSE"),
        (CHANGES.replace("2025-11-20", "2025-01-20"), "START_DATE_TOO_OLD"),
    ],
)
async def test_bad_queries(login: Login, api: Api, query: str, expected: str) -> None:
    for how in ("search", "searchStream"):
        answer = await api.ask(login.direct[0].id, query, how=how)
        assert (answer.status_code, code(answer)) == (400, expected)


def test_the_language() -> None:
    query = parse(r"SELECT a.b, c.d FROM a WHERE a.b IN ('x', 'it\'s') AND c.d != 3 ORDER BY c.d DESC, a.b LIMIT 9")
    assert query.conditions[0].values == ("x", "it's")
    assert query.order == (("c.d", True), ("a.b", False))
    assert (query.limit, query.conditions[1].holds(3), query.conditions[1].holds(4)) == (9, False, True)
    for text in ("FROM a", "SELECT a.b FROM a WHERE", "SELECT a.b FROM a LIMIT x", "SELECT a.b FROM a; DROP"):
        with pytest.raises(BadQuery):
            parse(text)


async def test_changes_show_late_and_removed_things_stay(
    world: World, google: GoogleAds, login: Login, api: Api
) -> None:
    own = login.direct[0]
    thing = (await api(own.id, CAMPAIGNS))["results"][0]["campaign"]["id"]
    google.remove(login, thing=thing)
    assert "results" not in await api(own.id, CHANGES)
    world.clock.advance(181)
    (change,) = (await api(own.id, CHANGES))["results"]
    assert change["changeStatus"]["resourceStatus"] == "REMOVED"
    assert change["changeStatus"]["campaign"] == f"customers/{own.id}/campaigns/{thing}"
    assert change["changeStatus"]["lastChangeDateTime"] == own.local(google.now() - 181)
    statuses = {row["campaign"]["id"]: row["campaign"]["status"] for row in (await api(own.id, CAMPAIGNS))["results"]}
    assert statuses[thing] == "REMOVED"


async def test_days_are_restated_for_a_month(
    world: World, login: Login, google: GoogleAds, http: httpx.AsyncClient
) -> None:
    query = METRICS.replace("2025-11-10", "2025-10-01")
    own = login.direct[0].id

    async def totals() -> dict[str, tuple[int, float]]:
        found: dict[str, tuple[int, float]] = {}
        for row in (await Api(http, google.connect().access_token)(own, query))["results"]:
            shown, converted = found.get(row["segments"]["date"], (0, 0.0))
            metrics = row["metrics"]
            found[row["segments"]["date"]] = (
                shown + int(metrics["impressions"]),
                converted + metrics["conversions"],
            )
        return found

    before = await totals()
    world.clock.advance(86_400)
    after = await totals()
    assert before["2025-10-02"] == after["2025-10-02"]
    assert before["2025-11-10"][0] == after["2025-11-10"][0]
    assert before["2025-11-10"][1] < after["2025-11-10"][1]
    assert before["2025-11-23"][0] < after["2025-11-23"][0]


async def test_consent_gives_a_refresh_token_once(google: GoogleAds, http: httpx.AsyncClient) -> None:
    app = google.app
    client = {"client_id": app.client_id, "client_secret": app.client_secret}
    args = {"client_id": app.client_id, "redirect_uri": "https://us/cb", "response_type": "code", "state": "s"}
    args |= {"scope": google.scopes[0], "access_type": "offline"}

    async def consent(**more: str) -> Any:
        back = (await http.get("/google_ads/o/oauth2/v2/auth", params=args | more)).headers["location"]
        form = {"grant_type": "authorization_code", "redirect_uri": "https://us/cb", **client}
        form["code"] = parse_qs(urlsplit(back).query)["code"][0]
        return (await http.post("/google_ads/token", data=form)).json()

    first, second, third = await consent(), await consent(), await consent(prompt="consent")
    assert ["refresh_token" in answer for answer in (first, second, third)] == [True, False, True]
    form = {"grant_type": "refresh_token", "refresh_token": first["refresh_token"], **client}
    renewed = (await http.post("/google_ads/token", data=form)).json()
    assert missing_keys(renewed, EXAMPLES["token"]) == []
    assert (renewed["expires_in"], "refresh_token" in renewed) == (3599, False)
    assert (await Api(http, renewed["access_token"]).accessible()).status_code == 200
    await http.post("/google_ads/revoke", data={"token": first["refresh_token"]})
    refused = await http.post("/google_ads/token", data=form)
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_grant")
    wrong = await http.post("/google_ads/token", data={**form, "client_id": "x"})
    assert (wrong.status_code, wrong.json()["error"]) == (401, "invalid_client")


async def test_refusals(world: World, google: GoogleAds, login: Login, api: Api, http: httpx.AsyncClient) -> None:
    own = login.direct[0].id
    assert code(await Api(http, "x").accessible()) == "OAUTH_TOKEN_INVALID"
    assert code(await api.accessible("v22")) == "UNSUPPORTED_VERSION"
    assert "<html" in (await api.accessible("v15")).text
    blind = Api(http, google.connect(scopes=()).access_token)
    assert (await blind.accessible()).json()["error"]["details"][0]["reason"] == "ACCESS_TOKEN_SCOPE_INSUFFICIENT"
    google.limits.change("requests", max=1)
    answers = [await api.ask(own, CAMPAIGNS) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 429]
    assert missing_keys(answers[1].json(), EXAMPLES["quota"]) == []
    google.limits.change("operations", max=2)
    world.clock.advance(60)
    daily = (await api.ask(own, CAMPAIGNS)).json()["error"]["details"][0]["errors"][0]
    assert daily["errorCode"] == {"quotaError": "RESOURCE_EXHAUSTED"}
    assert daily["details"]["quotaErrorDetails"]["rateScope"] == "DEVELOPER"
    assert int(daily["details"]["quotaErrorDetails"]["retryDelay"].rstrip("s")) > 80_000
    google.revoke(login)
    assert code(await api.accessible()) == "OAUTH_TOKEN_REVOKED"
