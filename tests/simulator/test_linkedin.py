"""LinkedIn as its documentation describes it."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import httpx
import pytest

from simulator import World
from simulator.vendors.linkedin import LinkedIn, challenge_response, signature
from simulator.vendors.linkedin.data import Org
from simulator.vendors.linkedin.restli import decode
from tests.simulator.helpers import Call, examples, missing_keys, receiving

EXAMPLES = examples("linkedin")
VERSION = {"linkedin-version": "202607", "x-restli-protocol-version": "2.0.0"}


@pytest.fixture
def vendors() -> list[str]:
    return ["linkedin"]


@pytest.fixture
def linkedin(world: World) -> LinkedIn:
    vendor = world["linkedin"]
    assert isinstance(vendor, LinkedIn)
    return vendor


@pytest.fixture
def org(linkedin: LinkedIn) -> Org:
    return linkedin.account().orgs[0]


def enc(urn: str) -> str:
    return quote(urn, safe="")


class Api:
    def __init__(self, http: httpx.AsyncClient, token: str, headers: dict[str, str] | None = None) -> None:
        self._http = http
        self._headers = {"authorization": f"Bearer {token}", **(VERSION if headers is None else headers)}

    async def answer(self, path: str) -> httpx.Response:
        """The path goes out as it is written."""
        return await self._http.get(f"/linkedin{path}", headers=self._headers)

    async def __call__(self, path: str) -> Any:
        return (await self.answer(path)).json()

    async def walk(self, path: str) -> list[Any]:
        found: list[Any] = []
        while True:
            page = await self(path)
            found += page["elements"]
            links = {link["rel"]: link["href"] for link in page["paging"]["links"]}
            if "next" not in links:
                return found
            path = links["next"]


@pytest.fixture
def api(http: httpx.AsyncClient, linkedin: LinkedIn) -> Api:
    return Api(http, linkedin.connect().access_token)


def posts_of(org: Org, **args: object) -> str:
    more = "".join(f"&{name}={value}" for name, value in args.items())
    return f"/rest/posts?q=author&author={enc(org.urn)}{more}"


DAYS = "timeIntervals=(timeRange:(start:1763424000000,end:1763856000000),timeGranularityType:DAY)"


async def test_answers_have_the_keys_of_the_documented_examples(linkedin: LinkedIn, org: Org, api: Api) -> None:
    acls = await api("/rest/organizationAcls?q=roleAssignee&role=ADMINISTRATOR&state=APPROVED&count=100")
    assert missing_keys(acls, EXAMPLES["acls"]) == []
    assert missing_keys(await api(posts_of(org, sortBy="LAST_MODIFIED", count=10)), EXAMPLES["posts"]) == []
    post = linkedin.post(linkedin.account())
    top = linkedin.comment(linkedin.account(), post=post)
    linkedin.comment(linkedin.account(), post=post, parent=top)
    comments = await api(f"/rest/socialActions/{enc(post)}/comments?start=0&count=100")
    assert missing_keys(comments, EXAMPLES["comments"]) == []
    owner = f"q=organizationalEntity&organizationalEntity={enc(org.urn)}"
    days = await api(f"/rest/organizationalEntityShareStatistics?{owner}&{DAYS}")
    assert missing_keys(days, EXAMPLES["share_days"]) == []
    fields = ",".join(name for name in EXAMPLES["analytics"]["elements"][0])
    ads = await api(analytics(linkedin, fields))
    assert missing_keys(ads, EXAMPLES["analytics"]) == []
    assert (await api("/v2/userinfo"))["sub"] == linkedin.account().id


def analytics(linkedin: LinkedIn, fields: str, *, first: int = 10, last: int = 12, pivot: str = "CAMPAIGN") -> str:
    account = linkedin.account().ad_accounts[0]
    span = f"(start:(year:2025,month:11,day:{first}),end:(year:2025,month:11,day:{last}))"
    asked = f"pivot={pivot}&timeGranularity=DAILY&dateRange={span}&accounts=List({enc(account.urn)})"
    return f"/rest/adAnalytics?q=analytics&{asked}&fields={fields}"


async def test_following_links_brings_every_post_though_pages_are_short(org: Org, api: Api) -> None:
    first = await api(posts_of(org, count=8))
    assert first["paging"]["total"] >= len(org.posts)
    seen = [post["id"] for post in await api.walk(posts_of(org, count=8))]
    assert seen == [record["id"] for record in org.posts.records()][::-1]


async def test_an_edit_moves_a_post_to_the_top_of_the_last_modified(
    world: World, linkedin: LinkedIn, org: Org, api: Api
) -> None:
    oldest = next(org.posts.records())["id"]
    world.clock.advance(60)
    linkedin.edit(linkedin.account(), post=oldest, text="now <with> #tags")
    changed = (await api(posts_of(org, sortBy="LAST_MODIFIED", count=1)))["elements"][0]
    assert (changed["id"], changed["commentary"]) == (oldest, r"now \<with\> \#tags")
    assert changed["lastModifiedAt"] > changed["createdAt"]
    assert changed["lifecycleStateInfo"] == {"isEditedByAuthor": True}
    assert (await api(posts_of(org, sortBy="CREATED", count=1)))["elements"][0]["id"] != oldest


async def test_a_deleted_post_is_not_found_one_by_one_nor_in_a_batch(linkedin: LinkedIn, org: Org, api: Api) -> None:
    kept, gone = (record["id"] for record in list(org.posts.records())[:2])
    linkedin.delete(linkedin.account(), post=gone)
    assert (await api.answer(f"/rest/posts/{enc(gone)}")).status_code == 404
    assert (await api(f"/rest/posts/{enc(kept)}"))["id"] == kept
    both = await api(f"/rest/posts?ids=List({enc(kept)},{enc(gone)})")
    assert (list(both["results"]), both["statuses"][gone], both["errors"][gone]["status"]) == ([kept], 404, 404)


async def test_comments_replies_reactions_and_their_totals(linkedin: LinkedIn, org: Org, api: Api) -> None:
    who = linkedin.account()
    post = linkedin.post(who, text="hello")
    top = linkedin.comment(who, post=post, text="first")
    reply = linkedin.comment(who, post=post, text="second", parent=top, ours=True)
    linkedin.react(who, post=post, count=12)
    listed = (await api(f"/rest/socialActions/{enc(post)}/comments"))["elements"]
    assert [comment["commentUrn"] for comment in listed] == [top]
    activity = listed[0]["object"]
    assert (await api(f"/rest/socialActions/{enc(activity)}/comments"))["elements"] == listed
    replies = (await api(f"/rest/socialActions/{enc(top)}/comments"))["elements"]
    assert [(c["commentUrn"], c["actor"], c["parentComment"]) for c in replies] == [(reply, org.urn, top)]
    totals = await api(f"/rest/socialMetadata?ids=List({enc(post)})")
    assert totals["results"][post]["commentSummary"] == {"count": 2, "topLevelCount": 1}
    assert sum(kind["count"] for kind in totals["results"][post]["reactionSummaries"].values()) == 12
    fans = await api.walk(f"/rest/reactions/(entity:{enc(post)})?q=entity&sort=(value:REVERSE_CHRONOLOGICAL)&count=5")
    assert len({fan["id"] for fan in fans}) == 12
    linkedin.delete_comment(who, comment=top)
    assert (await api(f"/rest/socialActions/{enc(post)}/comments"))["elements"] == []


async def test_the_query_language_is_taken_literally(org: Org, api: Api, http: httpx.AsyncClient) -> None:
    urn = next(org.posts.records())["id"]
    for path in (
        f"/rest/posts?ids=List%28{enc(urn)}%29",
        f"/rest/posts?ids=List({urn})",
        f"/rest/posts/{urn}",
        f"/rest/posts?q=author&author={org.urn}",
        f"/rest/posts?ids=List({enc(urn)}",
    ):
        answer = await api.answer(path)
        assert (answer.status_code, answer.json()["code"]) == (400, "ILLEGAL_ARGUMENT"), path
    token = {"authorization": api._headers["authorization"]}
    plain = {**token, "linkedin-version": "202607"}
    assert (await http.get(f"/linkedin/rest/posts/{enc(urn)}", headers=plain)).status_code == 400
    assert decode("(a:List(urn%3Ali%3A1,(b:x%2Cy)),c:)") == {"a": ["urn:li:1", {"b": "x,y"}], "c": ""}


async def test_a_long_query_goes_through_a_tunnel(org: Org, api: Api, http: httpx.AsyncClient) -> None:
    urn = next(org.posts.records())["id"]
    query = f"ids=List({','.join([enc(urn)] * 200)})"
    assert (await api.answer(f"/rest/posts?{query}")).status_code == 414
    headers = {
        **api._headers,
        "x-http-method-override": "GET",
        "content-type": "application/x-www-form-urlencoded",
    }
    answer = await http.post("/linkedin/rest/posts", content=query, headers=headers)
    assert list(answer.json()["results"]) == [urn]


async def test_versions_must_be_named_and_are_sunset(linkedin: LinkedIn, http: httpx.AsyncClient) -> None:
    token = linkedin.connect().access_token
    path = "/rest/organizationAcls?q=roleAssignee"
    answer = await Api(http, token, {}).answer(path)
    assert (answer.status_code, answer.json()["code"]) == (400, "VERSION_MISSING")
    linkedin.sunset(linkedin.account(), version="202607")
    answer = await Api(http, token).answer(path)
    assert (answer.status_code, answer.json()["code"]) == (426, "NONEXISTENT_VERSION")
    assert (await Api(http, token, {}).answer("/v2/userinfo")).status_code == 200


async def test_statistics_of_posts_and_days(world: World, linkedin: LinkedIn, org: Org, api: Api) -> None:
    owner = f"/rest/organizationalEntityShareStatistics?q=organizationalEntity&organizationalEntity={enc(org.urn)}"
    ids = [record["id"] for record in org.posts.records()]
    shares, ugc = [i for i in ids if ":share:" in i], [i for i in ids if ":ugcPost:" in i]
    assert shares and ugc
    query = f"{owner}&shares=List({','.join(map(enc, shares))})&ugcPosts=List({','.join(map(enc, ugc))})"
    told = (await api(query))["elements"]
    named = {element.get("share") or element.get("ugcPost") for element in told}
    assert named < set(ids)
    assert named, "some have activity"
    assert (await api.answer(f"{owner}&shares=List({enc(ugc[0])})")).status_code == 400
    before = {day["timeRange"]["start"]: day for day in (await api(f"{owner}&{DAYS}"))["elements"]}
    assert len(before) <= 5
    world.clock.advance(86_400)
    after = {day["timeRange"]["start"]: day for day in (await api(f"{owner}&{DAYS}"))["elements"]}
    assert before[min(before)] == after[min(before)]
    ancient = DAYS.replace("1763424000000", "1700000000000")
    assert (await api.answer(f"{owner}&{ancient}")).status_code == 400
    gains = f"/rest/organizationalEntityFollowerStatistics?q=organizationalEntity&organizationalEntity={enc(org.urn)}"
    assert (await api(f"{gains}&{DAYS}"))["elements"][0]["followerGains"]["organicFollowerGain"] >= 0
    views = await api(f"/rest/organizationPageStatistics?q=organization&organization={enc(org.urn)}&{DAYS}")
    assert views["elements"][0]["totalPageStatistics"]["views"]["allPageViews"]["pageViews"] > 0
    assert (await api(f"/rest/networkSizes/{enc(org.urn)}?edgeType=COMPANY_FOLLOWED_BY_MEMBER"))["firstDegreeSize"] > 0
    assert (await api(f"/rest/organizations/{org.id}"))["localizedName"] == org.name


async def test_ads_have_exact_money_late_conversions_and_limits(world: World, linkedin: LinkedIn, api: Api) -> None:
    account = linkedin.account().ad_accounts[0]
    found = await api("/rest/adAccounts?q=search&search=(status:(values:List(ACTIVE)))&pageSize=100")
    assert [(a["id"], a["currency"]) for a in found["elements"]] == [(account.id, account.currency)]
    first = await api(f"/rest/adAccounts/{account.id}/adCampaigns?q=search&pageSize=3")
    token = first["metadata"]["nextPageToken"]
    rest = await api(f"/rest/adAccounts/{account.id}/adCampaigns?q=search&pageSize=3&pageToken={enc(token)}")
    assert (len(first["elements"]), len(rest["elements"]), rest["metadata"]) == (3, 1, {})
    fields = "dateRange,pivotValues,costInLocalCurrency,externalWebsiteConversions"
    before = (await api(analytics(linkedin, fields)))["elements"]
    assert all(isinstance(row["costInLocalCurrency"], str) for row in before)
    world.clock.advance(20 * 86_400)
    after = (await api(analytics(linkedin, fields)))["elements"]
    costs = [[row["costInLocalCurrency"] for row in rows] for rows in (before, after)]
    assert costs[0] == costs[1]
    late = [sum(row["externalWebsiteConversions"] for row in rows) for rows in (before, after)]
    assert late[0] < late[1]
    default = (await api(analytics(linkedin, "")))["elements"][0]
    assert set(default) == {"impressions", "clicks"}
    assert (await api.answer(analytics(linkedin, ",".join(["clicks"] * 21)))).status_code == 400
    linkedin.blind(linkedin.account())
    assert (await api(analytics(linkedin, fields)))["elements"] == []
    linkedin.limits.change("metric_values", max=0)
    assert (await api.answer(analytics(linkedin, fields))).status_code == 429


async def test_a_lost_role_looks_like_a_missing_scope(linkedin: LinkedIn, org: Org, http: httpx.AsyncClient) -> None:
    narrow = Api(http, linkedin.connect(scopes=["r_organization_social"]).access_token)
    owner = f"/rest/organizationalEntityShareStatistics?q=organizationalEntity&organizationalEntity={enc(org.urn)}"
    by_scope = await narrow.answer(owner)
    linkedin.demote(linkedin.account(), role="CONTENT_ADMIN")
    api = Api(http, linkedin.connect().access_token)
    by_role = await api.answer(owner)
    for answer in (by_scope, by_role):
        assert (answer.status_code, answer.json()["code"], answer.json()["serviceErrorCode"]) == (
            403,
            "ACCESS_DENIED",
            100,
        )
    assert (await api.answer(posts_of(org))).status_code == 200
    linkedin.demote(linkedin.account())
    assert (await api.answer(posts_of(org))).status_code == 403


async def test_daily_limits_have_no_headers_and_end_at_midnight(
    world: World, linkedin: LinkedIn, org: Org, api: Api
) -> None:
    linkedin.limits.change("application_day", max=2)
    answers = [await api.answer(posts_of(org)) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert missing_keys(answers[2].json(), EXAMPLES["throttled"]) == []
    assert answers[2].json()["message"] == EXAMPLES["throttled"]["message"]
    assert "retry-after" not in answers[2].headers
    assert (await api.answer("/rest/organizationAcls?q=roleAssignee")).status_code == 200
    world.clock.advance(8 * 3600 - 1)
    assert (await api.answer(posts_of(org))).status_code == 429
    world.clock.advance(1)
    assert (await api.answer(posts_of(org))).status_code == 200


async def test_a_refresh_token_lives_a_year_from_the_first_consent(
    world: World, linkedin: LinkedIn, http: httpx.AsyncClient
) -> None:
    app = linkedin.app
    client = {"client_id": app.client_id, "client_secret": app.client_secret}
    ask = {"response_type": "code", "client_id": app.client_id, "redirect_uri": "https://us/cb", "state": "s"}
    back = (await http.get("/linkedin/oauth/v2/authorization", params={**ask, "scope": "openid profile"})).headers
    code = parse_qs(urlsplit(back["location"]).query)["code"][0]

    async def token(**form: str) -> httpx.Response:
        return await http.post("/linkedin/oauth/v2/accessToken", data={**client, **form})

    first = (await token(grant_type="authorization_code", code=code, redirect_uri="https://us/cb")).json()
    assert missing_keys(first, EXAMPLES["token"]) == []
    assert (first["expires_in"], first["scope"]) == (5_184_000, "openid,profile")
    world.clock.advance(60 * 86_400)
    assert (await Api(http, first["access_token"]).answer("/v2/userinfo")).json()["serviceErrorCode"] == 65602
    again = (await token(grant_type="refresh_token", refresh_token=first["refresh_token"])).json()
    assert again["refresh_token"] == first["refresh_token"]
    assert again["refresh_token_expires_in"] == 305 * 86_400
    introspected = await http.post(
        "/linkedin/oauth/v2/introspectToken", data={**client, "token": again["access_token"]}
    )
    assert missing_keys(introspected.json(), EXAMPLES["introspect"]) == []
    world.clock.advance(305 * 86_400)
    dead = await token(grant_type="refresh_token", refresh_token=first["refresh_token"])
    assert (dead.status_code, dead.json()["error"]) == (400, "invalid_grant")
    wrong = await http.post("/linkedin/oauth/v2/accessToken", data={**client, "client_secret": "x"})
    assert (wrong.status_code, wrong.json()["error"]) == (401, "invalid_client")


async def test_dead_tokens_say_why(linkedin: LinkedIn, http: httpx.AsyncClient) -> None:
    connection = linkedin.connect()
    api = Api(http, connection.access_token)
    linkedin.revoke()
    assert (await api("/v2/userinfo")) == EXAMPLES["revoked"]
    assert (await Api(http, "nonsense")("/v2/userinfo"))["code"] == "INVALID_ACCESS_TOKEN"
    assert (await http.get("/linkedin/v2/userinfo")).json()["code"] == "EMPTY_ACCESS_TOKEN"


async def test_a_renewed_token_may_need_a_moment(world: World, linkedin: LinkedIn, http: httpx.AsyncClient) -> None:
    linkedin.slow_tokens(linkedin.account(), seconds=20)
    connection = linkedin.connect()
    world.clock.advance(1)
    form = {
        "grant_type": "refresh_token",
        "refresh_token": connection.refresh_token,
        "client_id": connection.client_id,
        "client_secret": connection.client_secret,
    }
    renewed = (await http.post("/linkedin/oauth/v2/accessToken", data=form)).json()["access_token"]
    assert (await Api(http, renewed)("/v2/userinfo"))["code"] == "INVALID_ACCESS_TOKEN"
    assert (await Api(http, connection.access_token).answer("/v2/userinfo")).status_code == 200
    world.clock.advance(20)
    assert (await Api(http, renewed).answer("/v2/userinfo")).status_code == 200


async def test_notifications_tell_what_happened_in_sixty_days(linkedin: LinkedIn, org: Org, api: Api) -> None:
    who = linkedin.account()
    post = linkedin.post(who)
    comment = linkedin.comment(who, post=post, text="a")
    linkedin.edit_comment(who, comment=comment, text="b")
    linkedin.delete_comment(who, comment=comment)
    query = f"/rest/organizationalEntityNotifications?q=criteria&organizationalEntity={enc(org.urn)}"
    listed = await api(f"{query}&actions=List(COMMENT,COMMENT_EDIT,COMMENT_DELETE)&count=3")
    told = [(notice["action"], notice["generatedActivity"]) for notice in listed["elements"]]
    assert told == [("COMMENT_DELETE", comment), ("COMMENT_EDIT", comment), ("COMMENT", comment)]
    mentions = await api.walk(f"{query}&actions=List(SHARE_MENTION)&timeRange=(start:0,end:1764000000000)")
    assert len(mentions) == 3
    assert len({notice["notificationId"] for notice in org.notices.records()}) == len(org.notices)


def _prove(secret: str) -> Any:
    def answer(call: Call) -> tuple[int, bytes]:
        challenge = parse_qs(urlsplit(call.target).query).get("challengeCode", [""])[0]
        told = {"challengeCode": challenge, "challengeResponse": challenge_response(secret, challenge)}
        return 200, json.dumps(told).encode()

    return answer


async def test_webhooks(linkedin: LinkedIn, org: Org, http: httpx.AsyncClient) -> None:
    who, app = linkedin.account(), linkedin.app
    parts = {
        "developerApplication": f"urn:li:developerApplication:{app.id}",
        "user": who.urn,
        "entity": org.urn,
        "eventType": "ORGANIZATION_SOCIAL_ACTION_NOTIFICATIONS",
    }
    path = "/linkedin/rest/eventSubscriptions/(" + ",".join(f"{n}:{enc(v)}" for n, v in parts.items()) + ")"
    headers = {"authorization": f"Bearer {linkedin.connect().access_token}", **VERSION}
    async with receiving(_prove("wrong")) as receiver:
        assert (await http.put(path, json={"webhook": receiver.url}, headers=headers)).status_code == 400
    async with receiving(_prove(app.client_secret)) as receiver:
        assert (await http.put(path, json={"webhook": receiver.url}, headers=headers)).status_code == 204
        assert (await http.get(path, headers=headers)).json()["expiresAt"] > 1_764_000_000_000
        post = linkedin.post(who, org=org.urn)
        linkedin.comment(who, post=post, text="Zoë 👀")
        linkedin.mention(who, org=org.urn)
        linkedin.react(who, post=post, count=12)
        linkedin.mention(who, org=who.orgs[1].urn)
        await linkedin.hooks.drain()
    comment, mention, ten, two = receiver.calls[1:]
    assert missing_keys(comment.json, EXAMPLES["comment_hook"]) == []
    assert missing_keys(mention.json, EXAMPLES["mention_hook"]) == []
    assert [len(call.json["notifications"]) for call in (ten, two)] == [10, 2]
    assert comment.headers["x-li-signature"] == signature(app.client_secret, comment.body)["x-li-signature"]
    for _ in range(3):
        await linkedin.revalidate(who)
    assert linkedin.hooks.targets[0].active is False


def test_signatures_of_the_documented_examples() -> None:
    challenge = "890e4665-4dfe-4ab1-b689-ed553bceeed0"
    expected = "2f02d4233a0396d6b4632fc7be62fd3ab68183421f688efcda0c1fcb2615273e"
    assert challenge_response("test_client_secret", challenge) == expected
    body = b'{"type":"ORGANIZATION_SOCIAL_ACTION_NOTIFICATIONS"}'
    expected = "4539db4185c5d2e23cc7fe6b5334de283e2688d808c1bbf82fb94860f0595ba7"
    assert signature("test_client_secret", body)["x-li-signature"] == expected
