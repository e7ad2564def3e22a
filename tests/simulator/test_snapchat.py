"""Snapchat as its documentation describes it."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from simulator import World
from simulator.vendors.snapchat import Snapchat
from simulator.vendors.snapchat.data import AdAccount, Person
from tests.simulator.helpers import examples, missing_keys

EXAMPLES = examples("snapchat")
FIELDS = "impressions,swipes,spend,conversion_purchases,conversion_purchases_value"


@pytest.fixture
def vendors() -> list[str]:
    return ["snapchat"]


@pytest.fixture
def snapchat(world: World) -> Snapchat:
    vendor = world["snapchat"]
    assert isinstance(vendor, Snapchat)
    return vendor


@pytest.fixture
def person(snapchat: Snapchat) -> Person:
    return snapchat.account()


@pytest.fixture
def american(person: Person) -> AdAccount:
    return next(ads for ads in person.ad_accounts() if ads.zone == "America/Los_Angeles")


class Api:
    def __init__(self, http: httpx.AsyncClient, token: str) -> None:
        self._http, self._headers = http, {"authorization": f"Bearer {token}"}

    async def answer(self, path: str, **args: Any) -> httpx.Response:
        url = path if path.startswith("http") else f"/snapchat/v1/{path}"
        return await self._http.get(url, params=args or None, headers=self._headers)

    async def __call__(self, path: str, **args: Any) -> Any:
        return (await self.answer(path, **args)).json()


@pytest.fixture
def api(http: httpx.AsyncClient, snapchat: Snapchat) -> Api:
    return Api(http, snapchat.connect().access_token)


def days(first: str, last: str, offset: str = "-08:00", **more: Any) -> dict[str, Any]:
    start, end = (f"{day}T00:00:00.000{offset}" for day in (first, last))
    return {"granularity": "DAY", "start_time": start, "end_time": end, "fields": FIELDS, **more}


async def test_answers_have_the_keys_of_the_documented_examples(
    snapchat: Snapchat, person: Person, american: AdAccount, api: Api
) -> None:
    found = await api("me/organizations", with_ad_accounts="true")
    assert missing_keys(found, EXAMPLES["organizations"]) == []
    for _ in range(60):
        snapchat.campaign(person, ad_account=american.id)
    campaigns = await api(f"adaccounts/{american.id}/campaigns", limit=50)
    assert missing_keys(campaigns, EXAMPLES["campaigns"]) == []
    campaign = campaigns["campaigns"][0]["campaign"]["id"]
    shown = await api(f"campaigns/{campaign}/stats", **days("2025-11-19", "2025-11-21"))
    assert missing_keys(shown, EXAMPLES["days"]) == []
    total = days("2025-11-19", "2025-11-21", breakdown="campaign") | {"granularity": "TOTAL"}
    assert missing_keys(await api(f"adaccounts/{american.id}/stats", **total), EXAMPLES["totals"]) == []
    org = person.organizations[0].id
    assert missing_keys(await api(f"organizations/{org}/public_profiles"), EXAMPLES["profiles"]) == []
    assert (await api("me"))["me"]["id"] == person.id
    assert (await api(f"campaigns/{campaign}"))["campaigns"][0]["campaign"]["id"] == campaign


async def test_pages_follow_creation_and_hide_what_is_deleted(
    snapchat: Snapchat, person: Person, american: AdAccount, api: Api
) -> None:
    for _ in range(120):
        snapchat.campaign(person, ad_account=american.id)
    gone = snapchat.delete(person, kind="campaign", thing=next(american.campaigns.records())["id"])
    path, seen, marked = f"adaccounts/{american.id}/campaigns", [], []
    answer = await api(path, limit=50)
    while True:
        seen += [element["campaign"]["id"] for element in answer["campaigns"]]
        if "paging" not in answer:
            break
        answer = await api(answer["paging"]["next_link"])
    assert seen == [record["id"] for record in american.campaigns.records() if record["id"] != gone]
    every = await api(path, limit=1000, read_deleted_entities="true")
    marked = [e["campaign"]["id"] for e in every["campaigns"] if e["campaign"].get("deleted")]
    assert marked == [gone]
    assert (await api.answer(path, limit=10)).status_code == 400
    assert (await api.answer(f"campaigns/{gone}")).json()["error_code"] == "E3003"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"start_time": "2025-11-19T05:00:00.000-08:00"}, "E1008"),
        ({"start_time": "2025-11-19T00:00:00.000+01:00"}, "E1008"),
        ({"start_time": "2025-09-19T00:00:00.000-07:00"}, "E1008"),
        ({"granularity": "HOUR", "start_time": "2025-11-10T00:00:00.000-08:00"}, "E1008"),
        ({"breakdown": "ad_squad"}, "E1004"),
        ({"breakdown": ""}, "E1004"),
        ({"fields": "impressions,uniques"}, "E1004"),
        ({"fields": "nonsense"}, "E1004"),
    ],
)
async def test_windows_and_fields_are_checked(american: AdAccount, api: Api, change: dict[str, str], code: str) -> None:
    query = days("2025-11-19", "2025-11-21", breakdown="campaign") | change
    answer = await api.answer(f"adaccounts/{american.id}/stats", **query)
    assert (answer.status_code, answer.json()["error_code"]) == (400, code)
    assert missing_keys(answer.json(), EXAMPLES["failure"]) == []


async def test_a_breakdown_adds_up_and_days_follow_the_clock_change(american: AdAccount, api: Api) -> None:
    path = f"adaccounts/{american.id}/stats"
    query = days("2025-11-01", "2025-11-04") | {"start_time": "2025-11-01T00:00:00.000-07:00"}
    parts = (await api(path, **query, breakdown="campaign"))["timeseries_stats"][0]["timeseries_stat"]
    rows = parts["breakdown_stats"]["campaign"][0]["timeseries"]
    assert [row["end_time"][-6:] for row in rows] == ["-07:00", "-08:00", "-08:00"]
    spent = sum(row["stats"]["spend"] for part in parts["breakdown_stats"]["campaign"] for row in part["timeseries"])
    whole = await api(path, **query | {"fields": "spend"})
    assert sum(r["stats"]["spend"] for r in whole["timeseries_stats"][0]["timeseries_stat"]["timeseries"]) == spent
    squads = await api(path, **query, breakdown="adsquad")
    assert len(squads["timeseries_stats"][0]["timeseries_stat"]["breakdown_stats"]["adsquad"]) == 6


async def test_recent_days_move_and_say_so(world: World, snapchat: Snapchat, american: AdAccount, http: Any) -> None:
    async def days_now() -> Any:
        api = Api(http, snapchat.connect().access_token)
        query = days("2025-11-01", "2025-11-24") | {"start_time": "2025-11-01T00:00:00.000-07:00"}
        answer = await api(f"adaccounts/{american.id}/stats", **query, breakdown="campaign")
        stat = answer["timeseries_stats"][0]["timeseries_stat"]
        found = {row["start_time"][:10]: row["stats"] for row in stat["breakdown_stats"]["campaign"][0]["timeseries"]}
        return stat["finalized_data_end_time"], found

    final, before = await days_now()
    world.clock.advance(86_400)
    later, after = await days_now()
    assert final[:10] == "2025-11-21"
    assert later > final
    assert all(before[day]["spend"] == after[day]["spend"] for day in before if day < "2025-11-21")
    assert any(before[day]["spend"] < after[day]["spend"] for day in before if day > "2025-11-21")


async def test_a_report_is_a_file(snapchat: Snapchat, american: AdAccount, api: Api, http: httpx.AsyncClient) -> None:
    query = days("2025-11-19", "2025-11-21", breakdown="campaign", **{"async": "true", "async_format": "csv"})
    submitted = await api(f"adaccounts/{american.id}/stats", **query)
    assert missing_keys(submitted, EXAMPLES["submitted"]) == []
    run = submitted["async_stats_reports"][0]["async_stats_report"]["report_run_id"]
    states = []
    for _ in range(2):
        polled = await api(f"adaccounts/{american.id}/stats_report", report_run_id=run)
        states.append(polled["async_stats_reports"][0]["async_stats_report"])
    assert [state["async_status"] for state in states] == ["RUNNING", "COMPLETED"]
    assert (await api.answer(states[1]["result"])).status_code == 403, "not with our token"
    lines = (await http.get(states[1]["result"])).text.splitlines()
    assert lines[0] == f"start_time,end_time,id,{FIELDS}"
    assert len(lines) == 1 + 3 * 2


async def test_profiles_and_their_content(snapchat: Snapchat, person: Person, api: Api, world: World) -> None:
    profile = next(person.profiles())
    new = snapchat.post(person, text="look")
    spotlights = (await api(f"public_profiles/{profile.id}/spotlights", limit=50))["spotlights"]
    assert spotlights[0]["spotlight"]["id"] == new
    assert spotlights[0]["spotlight"]["description"] == "look"
    stories = (await api(f"public_profiles/{profile.id}/stories"))["stories"]
    assert len(stories) == len(profile.stories)
    shown = await api(
        f"public_profiles/{profile.id}/stats",
        start_time="2025-11-20T00:00:00.000Z",
        end_time="2025-11-22T00:00:00.000Z",
    )
    assert len(shown["timeseries_stats"][0]["timeseries_stat"]["timeseries"]) == 2
    assert (await api("public_profiles/my_profile"))["public_profiles"][0]["public_profile"]["id"] == profile.id
    assert (await api.answer(f"public_profiles/{profile.id}/organic/stories")).status_code == 415
    world.clock.advance(1_700)
    snapchat.auth.expire_account(person, world.clock.now() + 200_000)
    world.clock.advance(86_400)
    assert (await api(f"public_profiles/{profile.id}/stories"))["stories"] == []


async def test_consent_and_renewal(world: World, snapchat: Snapchat, http: httpx.AsyncClient) -> None:
    app = snapchat.app
    client = {"client_id": app.client_id, "client_secret": app.client_secret}
    args = {"client_id": app.client_id, "redirect_uri": "https://us/cb", "response_type": "code"}
    back = (await http.get("/snapchat/login/oauth2/authorize", params=args)).headers["location"]
    form = {"grant_type": "authorization_code", "redirect_uri": "https://us/cb", **client}
    form["code"] = parse_qs(urlsplit(back).query)["code"][0]
    path = "/snapchat/login/oauth2/access_token"
    given = (await http.post(path, data=form)).json()
    assert missing_keys(given, EXAMPLES["token"]) == []
    assert given["expires_in"] == 1_800
    world.clock.advance(1_800)
    refresh = {"grant_type": "refresh_token", "refresh_token": given["refresh_token"], **client}
    renewed = (await http.post(path, data=refresh)).json()
    assert "refresh_token" not in renewed
    snapchat.returns_refresh = True
    assert (await http.post(path, data=refresh)).json()["refresh_token"] == given["refresh_token"]
    assert (await http.post(path, data={**refresh, "client_secret": "x"})).status_code == 401
    again = await http.post(path, data=form)
    assert (again.status_code, again.json()["error"]) == (400, "invalid_grant")


async def test_refusals(world: World, snapchat: Snapchat, person: Person, api: Api, http: httpx.AsyncClient) -> None:
    assert (await Api(http, "x").answer("me")).status_code == 401
    ads_only = Api(http, snapchat.connect(scopes=["snapchat-marketing-api"]).access_token)
    assert (await ads_only.answer("public_profiles/my_profile")).status_code == 403
    assert (await ads_only.answer("me")).status_code == 200
    snapchat.limits.change("token", max=2)
    snapchat.limit_headers = True
    answers = [await api.answer("me") for _ in range(3)]
    assert [(a.status_code, a.headers["x-rate-limit-remaining"]) for a in answers][1:] == [(200, "0"), (429, "0")]
    world.clock.advance(5)
    ads = next(person.ad_accounts())
    ads.status = "PENDING"
    assert (await api(f"adaccounts/{ads.id}/campaigns"))["error_code"] == "E0001"
    snapchat.lose_roles(person)
    world.clock.advance(5)
    assert (await api.answer(f"adaccounts/{ads.id}/campaigns")).status_code == 404
    assert (await api("me/organizations"))["organizations"] == []
    snapchat.revoke(person)
    assert (await api.answer("me")).status_code == 401
