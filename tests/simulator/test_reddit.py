"""Reddit as recorded traffic shows it."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from simulator import World
from simulator.vendors.reddit import Reddit
from tests.simulator.helpers import examples, missing_keys

EXAMPLES = examples("reddit")
AGENT = "web:com.example.sync:v1.0 (by /u/example)"


@pytest.fixture
def vendors() -> list[str]:
    return ["reddit"]


@pytest.fixture
def reddit(world: World) -> Reddit:
    vendor = world["reddit"]
    assert isinstance(vendor, Reddit)
    return vendor


class Api:
    def __init__(self, http: httpx.AsyncClient, token: str) -> None:
        self._http, self._headers = http, {"authorization": f"Bearer {token}", "user-agent": AGENT}

    async def answer(self, path: str, **args: Any) -> httpx.Response:
        params = {"raw_json": 1, **args}
        return await self._http.get(f"/reddit/{path}", params=params, headers=self._headers)

    async def __call__(self, path: str, **args: Any) -> Any:
        return (await self.answer(path, **args)).json()

    async def post(self, path: str, **form: Any) -> Any:
        return (await self._http.post(f"/reddit/{path}", data=form, headers=self._headers)).json()

    async def names(self, path: str, **args: Any) -> list[str]:
        return [child["data"]["name"] for child in (await self(path, **args))["data"]["children"]]


@pytest.fixture
def api(http: httpx.AsyncClient, reddit: Reddit) -> Api:
    return Api(http, reddit.connect().access_token)


@pytest.fixture
def sub(reddit: Reddit) -> str:
    return reddit.account().subs[0].name


async def test_answers_have_the_keys_of_the_documented_examples(reddit: Reddit, api: Api, sub: str) -> None:
    me = reddit.account()
    assert missing_keys(await api(f"r/{sub}/new", limit=10), EXAMPLES["new"]) == []
    post = reddit.post(me, text="hello")
    reddit.comment(me, thing=reddit.comment(me, thing=post))
    assert missing_keys(await api(f"comments/{post[3:]}"), EXAMPLES["tree"]) == []
    assert missing_keys(await api("message/mentions", limit=1), EXAMPLES["mentions"]) == []
    messages = (await api("message/messages", limit=100))["data"]["children"]
    assert missing_keys(messages[0], EXAMPLES["message"]) == []
    modmail = await api("api/mod/conversations", entity=sub)
    talk = modmail["conversations"][modmail["conversationIds"][0]]
    assert missing_keys(talk, EXAMPLES["modmail"]) == []
    whole = await api(f"api/mod/conversations/{talk['id']}")
    assert len(whole["messages"]) == talk["numMessages"] > 1
    assert missing_keys(next(iter(whole["messages"].values())), EXAMPLES["modmail_message"]) == []
    traffic = await api(f"r/{sub}/about/traffic")
    assert [len(traffic[name][0]) for name in ("day", "hour", "month")] == [4, 3, 3]
    assert traffic["day"][0][0] == 1_763_942_400
    assert (await api("api/v1/me"))["name"] == me.name
    assert [
        child["data"]["display_name"] for child in (await api("subreddits/mine/moderator"))["data"]["children"]
    ] == [found.name for found in me.subs]


async def test_walking_after_brings_every_post_while_more_come(reddit: Reddit, api: Api, sub: str) -> None:
    place = reddit.account().subs[0]
    before = [record["name"] for record in place.posts.records()][::-1]
    page = (await api(f"r/{sub}/new", limit=6))["data"]
    seen = [child["data"]["name"] for child in page["children"]]
    new = reddit.post(reddit.account(), sub=sub)
    while page["after"]:
        page = (await api(f"r/{sub}/new", limit=6, after=page["after"]))["data"]
        seen += [child["data"]["name"] for child in page["children"]]
    assert seen == before
    assert await api.names(f"r/{sub}/new", before=seen[0]) == [new]
    assert await api.names(f"r/{sub}/new", before=seen[8], limit=3) == seen[5:8]
    reddit.delete(reddit.account(), thing=seen[0])
    assert await api.names(f"r/{sub}/new", before=seen[0]) == []
    both = await api.names(f"r/{sub}+{reddit.account().subs[1].name}/new", limit=100)
    assert len(both) == len(before) + len(reddit.account().subs[1].posts)


async def test_a_listing_is_a_thousand_deep(reddit: Reddit, api: Api, sub: str) -> None:
    for _ in range(1005):
        reddit.post(reddit.account(), sub=sub)
    seen, after = 0, None
    while True:
        page = (await api(f"r/{sub}/new", limit=100, after=after))["data"]
        seen, after = seen + page["dist"], page["after"]
        if after is None:
            break
    assert seen == 1000


async def test_deleted_and_removed_things_are_shells(world: World, reddit: Reddit, api: Api, sub: str) -> None:
    me = reddit.account()
    post, other = reddit.post(me, text="one"), reddit.post(me, text="two")
    top = reddit.comment(me, thing=post, text="first")
    answer = reddit.comment(me, thing=top, text="second")
    reddit.edit(me, thing=post, text="changed & more")
    reddit.delete(me, thing=top)
    reddit.remove(me, thing=other)
    found = {
        c["data"]["name"]: c["data"]
        for c in (await api("api/info", id=f"{post},{other},{top},t3_zz"))["data"]["children"]
    }
    assert set(found) == {post, other, top}
    assert (found[post]["selftext"], found[post]["edited"]) == ("changed & more", 1_764_000_000.0)
    assert (found[top]["author"], found[top]["body"]) == ("[deleted]", "[deleted]")
    assert "author_fullname" not in found[top]
    assert (found[other]["selftext"], found[other]["removed_by_category"]) == ("[removed]", "moderator")
    listed = await api.names(f"r/{sub}/new")
    assert (post in listed, other in listed) == (True, False)
    assert top not in await api.names(f"r/{sub}/comments")
    tree = (await api(f"comments/{post[3:]}"))[1]["data"]["children"]
    assert tree[0]["data"]["author"] == "[deleted]"
    assert tree[0]["data"]["replies"]["data"]["children"][0]["data"]["name"] == answer
    reddit.approve(me, thing=other)
    assert other in await api.names(f"r/{sub}/new")
    assert "&amp; more" in (await api("api/info", id=post, raw_json=0))["data"]["children"][0]["data"]["selftext"]


async def test_a_post_and_a_comment_of_one_millisecond_are_two_shells(reddit: Reddit, api: Api) -> None:
    me = reddit.account()
    post = reddit.post(me, text="one")
    comment = reddit.comment(me, thing=post, text="first")
    assert post.removeprefix("t3_") == comment.removeprefix("t1_"), "the clock stands"
    for thing in (post, comment):
        reddit.delete(me, thing=thing)
    assert await api.names("api/info", id=f"{post},{comment}") == [post, comment]


async def test_a_big_tree_ends_in_stubs(reddit: Reddit, api: Api) -> None:
    me = reddit.account()
    post = reddit.post(me)
    tops = [reddit.comment(me, thing=post) for _ in range(12)]
    reddit.comment(me, thing=tops[0])
    listing = (await api(f"comments/{post[3:]}", limit=5, sort="new"))[1]["data"]["children"]
    assert [child["kind"] for child in listing] == ["t1"] * 5 + ["more"]
    assert missing_keys(listing[-1], EXAMPLES["more"]) == []
    stub = listing[-1]["data"]
    assert (stub["count"], stub["children"]) == (8, [name[3:] for name in tops[6::-1]])
    more = await api.post("api/morechildren", api_type="json", link_id=post, children=",".join(stub["children"]))
    assert len(more["json"]["data"]["things"]) == 8


async def test_the_inbox(reddit: Reddit, api: Api) -> None:
    me = reddit.account()
    mine = reddit.post(me, author=me.name)
    answer = reddit.comment(me, thing=mine, text="nice")
    said = reddit.comment(me, thing=mine, author=me.name)
    back = reddit.comment(me, thing=said, text="and you")
    called = reddit.mention(me)
    mail = reddit.message(me, text="hi")
    assert (await api.names("message/selfreply"))[0] == answer
    assert (await api.names("message/comments"))[0] == back
    assert (await api.names("message/mentions"))[0] == called
    assert (await api.names("message/messages"))[0] == mail
    inbox = (await api("message/inbox", limit=4))["data"]["children"]
    assert {child["kind"] for child in inbox} == {"t1", "t4"}
    assert {answer, back, called, mail} == {child["data"]["name"] for child in inbox}
    await api.post("api/read_message", id=mail)
    assert mail not in await api.names("message/unread", limit=100)


async def test_modmail_comes_newest_activity_first(world: World, reddit: Reddit, api: Api, sub: str) -> None:
    me = reddit.account()
    before = (await api("api/mod/conversations", limit=2))["conversationIds"]
    world.clock.advance(10)
    reddit.modmail(me, conversation=before[1], text="again")
    world.clock.advance(1)
    new = reddit.modmail(me, text="hello")
    found = await api("api/mod/conversations", limit=2)
    assert found["conversationIds"] == [new, before[1]]
    following = await api("api/mod/conversations", limit=2, after=found["conversationIds"][-1])
    assert following["conversationIds"][0] == before[0]
    assert found["conversations"][new]["lastUpdated"].startswith("2025-11-24T16:00:11")


async def test_a_refresh_token_needs_permanent_consent(reddit: Reddit, http: httpx.AsyncClient) -> None:
    basic, headers = (reddit.app.client_id, reddit.app.client_secret), {"user-agent": AGENT}

    async def consent(**more: str) -> dict[str, Any]:
        args = {
            "client_id": basic[0],
            "response_type": "code",
            "redirect_uri": "https://us/cb",
            "scope": "identity,read",
        }
        back = (await http.get("/reddit/api/v1/authorize", params={**args, **more})).headers["location"]
        assert back.endswith("#_")
        code = parse_qs(urlsplit(back).query)["code"][0]
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": "https://us/cb"}
        return dict((await http.post("/reddit/api/v1/access_token", data=form, auth=basic, headers=headers)).json())

    assert "refresh_token" not in await consent()
    first = await consent(duration="permanent")
    assert missing_keys(first, EXAMPLES["tokens"]) == []
    form = {"grant_type": "refresh_token", "refresh_token": first["refresh_token"]}
    second = (await http.post("/reddit/api/v1/access_token", data=form, auth=basic, headers=headers)).json()
    assert (second["refresh_token"], second["access_token"] != first["access_token"]) == (first["refresh_token"], True)
    assert (await http.post("/reddit/api/v1/access_token", data=form, headers=headers)).status_code == 401
    assert (await http.post("/reddit/api/v1/access_token", data=form, auth=basic)).status_code == 403
    bad = {"grant_type": "authorization_code", "code": "x", "redirect_uri": "https://us/cb"}
    answer = await http.post("/reddit/api/v1/access_token", data=bad, auth=basic, headers=headers)
    assert (answer.status_code, answer.json()) == (200, {"error": "invalid_grant"})
    reddit.revoke()
    answer = await http.post("/reddit/api/v1/access_token", data=form, auth=basic, headers=headers)
    assert answer.status_code == 400
    gone = await http.post("/reddit/api/v1/revoke_token", data={"token": "unknown"}, auth=basic, headers=headers)
    assert (gone.status_code, gone.content) == (200, b"")


async def test_errors_in_all_their_shapes(reddit: Reddit, http: httpx.AsyncClient, api: Api, sub: str) -> None:
    async def said(answer: httpx.Response) -> tuple[int, str]:
        return answer.status_code, answer.headers.get("www-authenticate", "").partition("error=")[2].strip('"')

    assert await said(await Api(http, "wrong").answer("api/v1/me")) == (401, "invalid_token")
    narrow = Api(http, reddit.connect(scopes=["identity"]).access_token)
    assert await said(await narrow.answer(f"r/{sub}/new")) == (403, "insufficient_scope")
    private = await api.answer("r/secret_garden/new")
    assert (private.status_code, private.json()["reason"]) == (403, "private")
    assert (await api.answer("r/banned_club/new")).json()["reason"] == "banned"
    unknown = await api.answer("r/nobody_knows/new")
    assert (unknown.status_code, unknown.headers["location"]) == (302, "/subreddits/search?q=nobody_knows")
    theirs = list(reddit.accounts.values())[1].subs[0].name
    assert await said(await api.answer(f"r/{theirs}/about/traffic")) == (403, "")
    assert (await api.answer("user/nobody/about")).status_code == 404
    blocked = await http.get("/reddit/api/v1/me", headers={"authorization": "Bearer x"})
    assert (blocked.status_code, blocked.headers["content-type"][:9]) == (403, "text/html")
    assert (await api.post("api/comment", api_type="json", thing_id="t3_zz", text="x"))["json"]["errors"][0][
        0
    ] == "DELETED_COMMENT"
    post = reddit.post(reddit.account())
    made = await api.post("api/comment", api_type="json", thing_id=post, text="x")
    assert made["json"]["data"]["things"][0]["data"]["author"] == reddit.account().name
    reddit.limits.change("writing", max=1)
    assert (await api.post("api/comment", api_type="json", thing_id=post, text="x"))["json"]["errors"][0][
        0
    ] == "RATELIMIT"


async def test_all_accounts_of_an_app_share_one_limit(world: World, reddit: Reddit, http: httpx.AsyncClient) -> None:
    reddit.limits.change("client", max=4)
    one, two = (Api(http, reddit.connect(account).access_token) for account in reddit.ordinary_accounts())
    answers = [await api.answer("api/v1/me") for api in (one, two) * 3]
    assert [answer.status_code for answer in answers] == [200] * 4 + [429] * 2
    assert [answer.headers["x-ratelimit-remaining"] for answer in answers[:4]] == ["3.0", "2.0", "1.0", "0.0"]
    assert answers[3].headers["x-ratelimit-reset"] == "600"
    assert answers[4].json()["error"] == 429
    assert answers[5].headers["retry-after"] == "600"
    world.clock.advance(600)
    assert (await one.answer("api/v1/me")).status_code == 200
