"""Discord as its documentation describes it."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from simulator import World
from simulator.vendors.discord import Discord, signature
from simulator.vendors.discord.records import FORUM, NEWS, TEXT, VOICE, instant, snowflake
from tests.simulator.helpers import Call, examples, missing_keys, receiving

EXAMPLES = examples("discord")
AGENT = "DiscordBot (https://example.com, 1.0)"


@pytest.fixture
def vendors() -> list[str]:
    return ["discord"]


@pytest.fixture
def discord(world: World) -> Discord:
    vendor = world["discord"]
    assert isinstance(vendor, Discord)
    return vendor


class Api:
    def __init__(self, http: httpx.AsyncClient, token: str, scheme: str = "Bot", agent: str = AGENT) -> None:
        self._http, self._headers = http, {"authorization": f"{scheme} {token}", "user-agent": agent}

    async def ask(self, path: str, method: str = "GET", json: Any = None, **args: Any) -> httpx.Response:
        url = f"/discord/api/v10{path}"
        return await self._http.request(method, url, params=args, json=json, headers=self._headers)

    async def __call__(self, path: str, **args: Any) -> Any:
        return (await self.ask(path, **args)).json()


@pytest.fixture
def api(http: httpx.AsyncClient, discord: Discord) -> Api:
    discord.limits.change("messages", max=1000)
    return Api(http, discord.connect().access_token)


def _channel(discord: Discord, kind: int, name: str | None = None) -> str:
    channels = discord.account().channels.values()
    return str(next(c.id for c in channels if c.type == kind and (name is None or c.name == name)))


async def test_answers_have_the_keys_of_the_documented_examples(discord: Discord, api: Api) -> None:
    guild = discord.account()
    general = _channel(discord, TEXT)
    messages = await api(f"/channels/{general}/messages", limit=100)
    assert missing_keys(messages, [EXAMPLES["reply"]]) == []
    assert missing_keys(messages, [EXAMPLES["reacted"]]) == []
    files = [file for message in messages for file in message["attachments"]]
    assert missing_keys(files, [EXAMPLES["attachment"]]) == []
    assert all("?ex=" in file["url"] and "&hm=" in file["url"] for file in files)
    assert missing_keys(await api(f"/guilds/{guild.id}/channels"), EXAMPLES["channels"]) == []
    forum = _channel(discord, FORUM)
    discord.thread(guild, channel=forum, name="Which kettle?")
    assert missing_keys(await api(f"/guilds/{guild.id}/threads/active"), EXAMPLES["active_threads"]) == []
    assert missing_keys(await api(f"/guilds/{guild.id}", with_counts="true"), EXAMPLES["guild"]) == []
    assert missing_keys(await api(f"/guilds/{guild.id}/members", limit=5), EXAMPLES["members"]) == []
    assert len(await api(f"/guilds/{guild.id}/members")) == 1
    assert (await api("/users/@me"))["id"] == discord.bot["id"]


async def test_history_is_newest_first_whichever_way_one_walks(discord: Discord, api: Api) -> None:
    general = discord.account().channels[int(_channel(discord, TEXT))]
    truth = [record["id"] for record in general.feed.records()]
    path = f"/channels/{general.id}/messages"
    assert len(await api(path)) == min(50, len(truth))
    back: list[str] = []
    while page := await api(path, limit=7, **({"before": back[-1]} if back else {})):
        back += [message["id"] for message in page]
    assert back == truth[::-1]
    forth: list[str] = []
    while page := await api(path, limit=7, after=forth[-1] if forth else "0"):
        assert page == sorted(page, key=lambda message: -int(message["id"]))
        forth += [message["id"] for message in page][::-1]
    assert forth == truth
    middle = await api(path, limit=4, around=truth[10])
    assert truth[10] in [message["id"] for message in middle]
    assert (await api(path, before=truth[5], after=truth[1]))["code"] == 50035
    stamped = await api(f"{path}/{truth[3]}")
    assert stamped["timestamp"].startswith("2025-11-") and instant(int(truth[3])) < 1_764_000_000


async def test_edits_keep_their_id_and_deletes_leave_no_trace(discord: Discord, api: Api) -> None:
    guild, general = discord.account(), _channel(discord, TEXT)
    asked = discord.post(guild, channel=general, text="How much?")
    answer = discord.post(guild, channel=general, text="5", reply_to=asked)
    discord.edit(guild, channel=general, message=asked, text="How many?")
    discord.react(guild, channel=general, message=answer, by=3)
    newest, older = await api(f"/channels/{general}/messages", limit=2)
    assert (newest["type"], newest["referenced_message"]["content"]) == (19, "How many?")
    assert older["edited_timestamp"] == "2025-11-24T16:00:00.000000+00:00"
    assert (newest["reactions"][0]["count"], newest["reactions"][0]["count_details"]["normal"]) == (3, 3)
    people = await api(f"/channels/{general}/messages/{answer}/reactions/🔥", limit=2)
    assert len(people) == 2 and people[0]["id"] < people[1]["id"]
    discord.delete(guild, channel=general, message=asked, by=guild.people[0]["id"])
    (newest,) = await api(f"/channels/{general}/messages", limit=1)
    assert newest["referenced_message"] is None
    assert (await api(f"/channels/{general}/messages/{asked}"))["code"] == 10008
    (entry,) = (await api(f"/guilds/{guild.id}/audit-logs", action_type=72))["audit_log_entries"]
    assert entry["options"] == {"channel_id": general, "count": "1"}


async def test_polls_are_counted_and_named(discord: Discord, api: Api) -> None:
    guild, general = discord.account(), _channel(discord, TEXT)
    message = discord.poll(guild, channel=general, question="Tea?", answers=["Yes", "No"], votes=[3, 1])
    shown = await api(f"/channels/{general}/messages/{message}")
    assert [count["count"] for count in shown["poll"]["results"]["answer_counts"]] == [3, 1]
    assert len((await api(f"/channels/{general}/polls/{message}/answers/1"))["users"]) == 3


async def test_threads_move_between_the_active_list_and_the_archives(world: World, discord: Discord, api: Api) -> None:
    guild = discord.account()
    forum = _channel(discord, FORUM)
    post = discord.thread(guild, channel=forum, name="Broken lamp", text="It is dark")
    discord.post(guild, channel=post, text="Send it back")
    active = {thread["id"]: thread for thread in (await api(f"/guilds/{guild.id}/threads/active"))["threads"]}
    assert (active[post]["message_count"], active[post]["total_message_sent"]) == (1, 1)
    starter = (await api(f"/channels/{post}/messages", after="0", limit=1))[0]
    assert (starter["id"], starter["content"]) == (post, "It is dark")
    path = f"/channels/{forum}/threads/archived/public"
    seen: list[str] = []
    before: dict[str, str] = {}
    while True:
        page = await api(path, limit=2, **before)
        seen += [thread["id"] for thread in page["threads"]]
        if not page["has_more"]:
            break
        before = {"before": page["threads"][-1]["thread_metadata"]["archive_timestamp"]}
    archived = [t for t in guild.threads_of(guild.channels[int(forum)]) if t.archived_at(discord.now()) is not None]
    assert sorted(seen) == sorted(str(thread.id) for thread in archived) and post not in seen
    world.clock.advance(2 * 86_400)
    assert post in [thread["id"] for thread in (await api(path, limit=2))["threads"]]
    discord.post(guild, channel=post, text="Back again")
    assert post in [thread["id"] for thread in (await api(f"/guilds/{guild.id}/threads/active"))["threads"]]


async def test_private_archives_need_a_permission_and_a_text_thread_starts_with_a_pointer(
    discord: Discord, api: Api, http: httpx.AsyncClient
) -> None:
    guild, general = discord.account(), _channel(discord, TEXT)
    private = (await api(f"/channels/{general}/threads/archived/private"))["threads"]
    assert private and {thread["type"] for thread in private} == {12}
    oldest = (await api(f"/channels/{private[0]['id']}/messages", after="0", limit=1))[0]
    assert (oldest["type"], oldest["content"]) == (21, "")
    assert oldest["message_reference"]["message_id"] == private[0]["id"]
    root = await api(f"/channels/{general}/messages/{private[0]['id']}")
    assert root["thread"]["id"] == root["id"] and root["flags"] & 1 << 5
    discord.auth.revoke_account(guild)
    narrow = Api(http, discord.connect(scopes=["bot", "VIEW_CHANNEL"]).access_token)
    assert (await narrow(f"/channels/{general}/threads/archived/private"))["code"] == 50013
    assert await narrow(f"/channels/{general}/messages") == []  # no permission for history: no error either


async def test_search_is_not_ready_at_first_and_gives_lists_of_one(discord: Discord, api: Api) -> None:
    guild, general = discord.account(), _channel(discord, TEXT)
    path, bot = f"/guilds/{guild.id}/messages/search", discord.bot["id"]
    refused = await api.ask(path, mentions=bot)
    assert (refused.status_code, refused.json()["code"]) == (202, 110000)
    assert missing_keys(refused.json(), EXAMPLES["not_indexed"]) == []
    posted = discord.post(guild, channel=general, text=f"<@{bot}> help")
    found = await api(path, mentions=bot)
    assert missing_keys(found, EXAMPLES["search"]) == []
    assert found["messages"][0][0]["id"] == posted
    older = await api(path, mentions=bot, max_id=posted)
    assert older["total_results"] == found["total_results"] - 1
    discord.intents(guild, on=[])
    assert (await api(path, mentions=bot))["code"] == 50001


async def test_without_the_message_content_intent_texts_are_empty(discord: Discord, api: Api) -> None:
    guild, general = discord.account(), _channel(discord, TEXT)
    discord.post(guild, channel=general, text=f"<@{discord.bot['id']}> for you")
    discord.post(guild, channel=general, text="not for you")
    discord.intents(guild, on=[])
    newest, older = await api(f"/channels/{general}/messages", limit=2)
    assert (newest["content"], older["content"]) == ("", f"<@{discord.bot['id']}> for you")
    assert (await api(f"/guilds/{guild.id}/members"))["code"] == 50001


async def test_errors_in_discords_words(discord: Discord, api: Api, http: httpx.AsyncClient) -> None:
    guild = discord.account()
    token = discord.app.secrets["bot_token"]
    staff = _channel(discord, TEXT, "staff")
    assert await api(f"/channels/{staff}/messages") == EXAMPLES["missing_access"]
    assert (await api("/channels/1/messages"))["code"] == 10003
    assert (await api("/channels/x/messages"))["code"] == 50035
    assert (await api("/guilds/1"))["code"] == 10004
    assert (await api(f"/channels/{_channel(discord, FORUM)}/messages"))["code"] == 50024
    assert (await api(f"/channels/{_channel(discord, VOICE)}/messages", limit=101))["code"] == 50035
    wrong = await Api(http, token, "Bearer").ask("/users/@me")
    assert (wrong.status_code, wrong.json()) == (401, EXAMPLES["unauthorized"])
    assert (await Api(http, token, agent="python")("/users/@me"))["code"] == 40333
    assert (await http.get("/discord/api/v4/users/@me")).json()["code"] == 50041
    assert (await http.get(f"/discord/api/v10/guilds/{guild.id}/widget.json")).json()["presence_count"] > 0
    guild.widget = False
    assert (await http.get(f"/discord/api/v10/guilds/{guild.id}/widget.json")).json()["code"] == 50004


async def test_kicked_deleted_and_reset(discord: Discord, api: Api, http: httpx.AsyncClient) -> None:
    first, second = discord.ordinary_accounts()
    discord.connect(second)
    assert [guild["id"] for guild in await api("/users/@me/guilds")] == [first.id, second.id]
    discord.revoke(first)
    assert (await api(f"/guilds/{first.id}"))["code"] == 50001
    assert [guild["id"] for guild in await api("/users/@me/guilds")] == [second.id]
    discord.revoke(second, "deleted")
    assert (await api(f"/guilds/{second.id}"))["code"] == 10004
    discord.revoke(second, "token")
    assert (await api.ask("/users/@me")).status_code == 401
    fresh = Api(http, discord.connect(first).access_token)
    assert (await fresh(f"/guilds/{first.id}"))["id"] == first.id


async def test_limits_are_per_route_and_channel_and_tell_when_to_come_back(
    world: World, discord: Discord, http: httpx.AsyncClient
) -> None:
    api = Api(http, discord.connect().access_token)
    one, two = _channel(discord, TEXT), _channel(discord, NEWS)
    for left in (4, 3, 2, 1, 0):
        answer = await api.ask(f"/channels/{one}/messages")
        assert answer.headers["x-ratelimit-remaining"] == str(left)
    assert answer.headers["x-ratelimit-reset-after"] == "1.000"
    refused = await api.ask(f"/channels/{one}/messages")
    assert (refused.status_code, refused.headers["x-ratelimit-scope"]) == (429, "user")
    assert missing_keys(refused.json(), EXAMPLES["limited"]) == []
    assert (await api.ask(f"/channels/{two}/messages")).status_code == 200
    world.clock.advance(1)
    assert (await api.ask(f"/channels/{one}/messages")).status_code == 200
    world.faults.add("limited", rule="global", count=1, retry_after=2.5)
    everywhere = await api.ask("/users/@me")
    assert (everywhere.headers["x-ratelimit-global"], everywhere.json()["retry_after"]) == ("true", 2.5)
    world.faults.add("limited", rule="shared", count=1, retry_after=1336.57)
    shared = await api.ask("/users/@me")
    assert (shared.headers["x-ratelimit-scope"], shared.headers["retry-after"]) == ("shared", "1337")


async def test_too_many_refusals_end_in_a_ban_by_the_front(world: World, discord: Discord, api: Api) -> None:
    discord.limits.change("trouble", max=3)
    staff = _channel(discord, TEXT, "staff")
    for _ in range(3):
        assert (await api.ask(f"/channels/{staff}/messages")).status_code == 403
    banned = await api.ask("/users/@me")
    assert (banned.status_code, banned.headers["content-type"], banned.headers["retry-after"]) == (
        429,
        "text/html",
        "600",
    )
    assert "x-ratelimit-limit" not in banned.headers
    world.clock.advance(600)
    assert (await api.ask("/users/@me")).status_code == 200


async def test_consent_names_the_guild_and_refresh_tokens_are_good_once(
    discord: Discord, http: httpx.AsyncClient
) -> None:
    guild, app = discord.account(), discord.app
    args = {
        "client_id": app.client_id,
        "scope": "bot identify",
        "permissions": "66560",
        "redirect_uri": "https://us/cb",
    }
    answer = await http.get("/discord/oauth2/authorize", params={**args, "response_type": "code", "state": "s"})
    back = parse_qs(urlsplit(answer.headers["location"]).query)
    basic = (app.client_id, app.client_secret)
    form = {"grant_type": "authorization_code", "code": back["code"][0], "redirect_uri": "https://us/cb"}
    assert (await http.post("/discord/api/oauth2/token", json=form, auth=basic)).status_code == 400
    first = (await http.post("/discord/api/oauth2/token", data=form, auth=basic)).json()
    assert missing_keys(first, EXAMPLES["tokens"]) == []
    assert (first["guild"]["id"], first["expires_in"], first["scope"]) == (guild.id, 604_800, "bot identify")
    about = await Api(http, first["access_token"], "Bearer")("/oauth2/@me")
    assert about["scopes"] == ["bot", "identify"] and about["user"]["id"] == guild.people[0]["id"]
    refresh = {"grant_type": "refresh_token", "refresh_token": first["refresh_token"]}
    second = (await http.post("/discord/api/oauth2/token", data=refresh, auth=basic)).json()
    assert second["refresh_token"] != first["refresh_token"]
    again = await http.post("/discord/api/oauth2/token", data=refresh, auth=basic)
    assert (again.status_code, again.json()["error"]) == (400, "invalid_grant")
    wrong = await http.post("/discord/api/oauth2/token", data=refresh, auth=(app.client_id, "no"))
    assert (wrong.status_code, wrong.json()) == (401, {"error": "invalid_client"})
    await http.post("/discord/api/oauth2/token/revoke", data={"token": second["refresh_token"]}, auth=basic)
    assert (await Api(http, second["access_token"], "Bearer").ask("/users/@me")).status_code == 401


def _answers(call: Call) -> tuple[int, bytes]:
    return (401, b"") if call.headers["x-signature-ed25519"].startswith("0000") else (204, b"")


async def test_events_begin_with_a_right_and_a_wrong_ping_and_are_signed(
    discord: Discord, http: httpx.AsyncClient
) -> None:
    guild = discord.account()
    discord.connect(guild, scopes=["identify"])
    async with receiving(_answers, content_type="text/plain") as receiver:
        assert (await http.post("/_control/discord/webhooks", json={"url": receiver.url})).json() == {"ok": True}
        discord.deauthorize(guild)
        discord.command(guild)  # nobody listens to interactions
        await discord.hooks.drain()
    wrong, ping, event = receiver.calls
    assert ping.json == {"version": 1, "application_id": discord.app.id, "type": 0} and wrong.body == ping.body
    for call in (ping, event):
        right = signature(discord.key, 1_764_000_000, call.body)
        assert {name: call.headers[name] for name in right} == right
    assert missing_keys(event.json, EXAMPLES["deauthorized"]) == []
    assert event.json["event"]["timestamp"] == "2025-11-24T16:00:00.000000"


async def test_a_receiver_that_believes_everything_is_not_registered(
    discord: Discord, api: Api, http: httpx.AsyncClient
) -> None:
    async with receiving(lambda _call: (204, b""), content_type="text/plain") as receiver:
        assert (await http.post("/_control/discord/webhooks", json={"url": receiver.url})).json() == {"ok": False}
    async with receiving(lambda call: (401, b"") if _answers(call)[0] == 401 else (200, b'{"type":1}')) as receiver:
        wanted = {"interactions_endpoint_url": receiver.url}
        assert (await api.ask("/applications/@me", "PATCH", json=wanted)).status_code == 400  # no content type
        receiver.content_type = "application/json"
        assert (await api.ask("/applications/@me", "PATCH", json=wanted)).status_code == 200
        discord.command(discord.account())
        await discord.hooks.drain()
    assert missing_keys(receiver.calls[-1].json, EXAMPLES["interaction"]) == [".member.roles[]"]  # nobody has a role


async def test_a_bot_can_answer(discord: Discord, api: Api) -> None:
    general = _channel(discord, TEXT)
    sent = await api.ask(f"/channels/{general}/messages", "POST", json={"content": "Hello"})
    assert sent.json()["author"]["id"] == discord.bot["id"]
    assert (await api(f"/channels/{general}/messages", limit=1))[0]["content"] == "Hello"


@pytest.mark.parametrize(
    ("at", "body", "expected"),
    [
        (
            1_763_924_400,
            b'{"version":1,"application_id":"1234560123453231555","type":0}',
            "d7b7f9f6940252e917acb3b109d3fa226dc58a17f13a8d7cd276d5acc0c04946"
            "dd64499e9a67c531ade7f24bfec746b948ed472e206689d4a2d2ad3425828b01",
        ),
        (
            1_764_000_000,
            b'{"type":1}',
            "47a1034af06f3cc1884487ce87c225ea40b720a2ef0e203951e830dcc79962bc"
            "0e8efb03ed0e25b9fceee3d04c02b68c8b976553a2952663677ee7f192f49e04",
        ),
    ],
)
def test_signature_vectors(at: int, body: bytes, expected: str) -> None:
    key = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    assert signature(key, at, body)["x-signature-ed25519"] == expected


def test_snowflakes_hold_their_time() -> None:
    assert snowflake(1_480_001_420.155) == (1_480_001_420_155 - 1_420_070_400_000) << 22
    assert instant(snowflake(1_764_000_000.123)) == 1_764_000_000.123
