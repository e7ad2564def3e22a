"""Telegram's Bot API as its documentation and its server's source describe it."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from simulator import World
from simulator.vendors.telegram import Telegram
from simulator.vendors.telegram.data import Bot, entities
from tests.simulator.helpers import examples, missing_keys, receiving

EXAMPLES = examples("telegram")


@pytest.fixture
def vendors() -> list[str]:
    return ["telegram"]


@pytest.fixture
def telegram(world: World) -> Telegram:
    vendor = world["telegram"]
    assert isinstance(vendor, Telegram)
    return vendor


@pytest.fixture
def bot(telegram: Telegram) -> Bot:
    return telegram.account()


class Api:
    def __init__(self, http: httpx.AsyncClient, token: str) -> None:
        self._http, self.token = http, token

    async def ask(self, method: str, **args: Any) -> httpx.Response:
        return await self._http.get(f"/telegram/bot{self.token}/{method}", params=args)

    async def __call__(self, method: str, **args: Any) -> Any:
        return (await self.ask(method, **args)).json()

    async def updates(self, **args: Any) -> list[Any]:
        found: list[Any] = (await self("getUpdates", **args))["result"]
        return found


@pytest.fixture
def api(http: httpx.AsyncClient, telegram: Telegram) -> Api:
    return Api(http, telegram.connect().access_token)


async def drained(api: Api, limit: int = 100) -> list[Any]:
    """Everything that waits."""
    found: list[Any] = []
    while page := await api.updates(limit=limit, offset=found[-1]["update_id"] + 1 if found else 0):
        found += page
    return found


def of_kind(updates: list[Any], kind: str) -> list[Any]:
    return [update for update in updates if kind in update]


async def test_answers_have_the_keys_of_the_documented_examples(telegram: Telegram, bot: Bot, api: Api) -> None:
    await drained(api)
    post = telegram.post(bot, text="Spring drop 🌷 https://example.com")
    telegram.comment(bot, post=post, text="Where?")
    telegram.count(bot, message=post, by=14)
    telegram.react(bot, chat=bot.first("supergroup").id, message=1)
    private = bot.first("private", business="")
    telegram.message(bot, chat=private.id, text="/order 1042", photo=True)
    business = next(chat for chat in bot.chats.values() if chat.business)
    telegram.delete(bot, chat=business.id, message=telegram.message(bot, chat=business.id))
    telegram.kick(bot)
    updates = await api.updates()
    for name, kind in (
        ("comment", "message"),
        ("reaction_count", "message_reaction_count"),
        ("reaction", "message_reaction"),
        ("my_chat_member", "my_chat_member"),
        ("deleted", "deleted_business_messages"),
    ):
        lacking = missing_keys(of_kind(updates, kind), [EXAMPLES[name]])
        assert [key for key in lacking if "old_chat_member" not in key] == [], name
    assert missing_keys(updates, [{**EXAMPLES["updates"]["result"][1]}]) == []
    lacking = missing_keys(of_kind(updates, "channel_post"), [EXAMPLES["channel_post"]])
    assert lacking == ["[].channel_post.author_signature"]  # only where signatures are on
    lacking = missing_keys(of_kind(updates, "message"), [EXAMPLES["automatic_forward"]])
    assert lacking == ["[].message.forward_origin.author_signature"]
    assert missing_keys(await api("getMe"), EXAMPLES["me"]) == []
    help_chat = bot.first("supergroup")
    shown = await api("getChat", chat_id=help_chat.id)
    assert missing_keys(shown, EXAMPLES["chat"]) == [".result.username", ".result.active_usernames"]
    assert (await api("getChatMemberCount", chat_id=help_chat.id))["result"] == 411
    assert missing_keys(await api("getFile", file_id="AgACx"), EXAMPLES["file"]) == []


async def test_reading_confirms_what_came_before(telegram: Telegram, bot: Bot, api: Api) -> None:
    first = await api.updates(limit=3)
    assert [update["update_id"] for update in first] == list(range(first[0]["update_id"], first[0]["update_id"] + 3))
    assert await api.updates(limit=3) == first
    second = await api.updates(limit=3, offset=first[-1]["update_id"] + 1)
    assert second[0]["update_id"] == first[-1]["update_id"] + 1
    assert (await api.updates(limit=3, offset=first[0]["update_id"])) == second  # gone for good
    rest = await drained(api)
    assert [update["update_id"] for update in second + rest][-1] == bot.next_update - 1
    assert await api.updates(offset=bot.next_update) == []
    telegram.jump(bot, by=50)
    telegram.post(bot, text="after a gap")
    assert len(await api.updates()) == 2  # the post and its copy
    telegram.post(bot, text="more")
    assert [update["update_id"] for update in await api.updates(offset=-1)] == [bot.next_update - 1]
    assert len(await api.updates()) == 1


async def test_updates_live_for_a_day(world: World, telegram: Telegram, bot: Bot, api: Api) -> None:
    assert len(await api.updates()) > 20
    world.clock.advance(23.9 * 3600)
    telegram.message(bot, chat=bot.first("group").id, text="still here")
    left = await api.updates()
    assert [update["message"]["text"] for update in left] == ["still here"]


async def test_allowed_updates_are_remembered_and_given_as_json(telegram: Telegram, http: httpx.AsyncClient) -> None:
    bot = telegram.ordinary_accounts()[1]
    api = Api(http, telegram.connect(bot).access_token)
    waiting = await drained(api)
    assert not of_kind(waiting, "message_reaction_count")
    post = telegram.post(bot, text="x")
    telegram.count(bot, message=post)
    assert not of_kind(await api.updates(), "message_reaction_count")
    await api.updates(allowed_updates='["message_reaction_count","channel_post"]')
    telegram.count(bot, message=post)
    telegram.message(bot, chat=bot.first("group").id)
    assert [list(update)[1] for update in (await api.updates())[2:]] == ["message_reaction_count"]
    assert (await api("getWebhookInfo"))["result"]["allowed_updates"] == ["channel_post", "message_reaction_count"]
    wrong = await api("getUpdates", allowed_updates="channel_post")
    assert (wrong["error_code"], wrong["description"]) == (400, "Bad Request: can't parse allowed updates JSON object")


async def test_a_long_poll_ends_with_an_update_with_time_or_with_another_reader(
    world: World, telegram: Telegram, bot: Bot, api: Api
) -> None:
    await drained(api)
    offset = bot.next_update

    async def begun() -> asyncio.Task[httpx.Response]:
        task = asyncio.create_task(api.ask("getUpdates", offset=offset, timeout=500))
        while bot.waiting is None:
            await asyncio.sleep(0.005)
        return task

    poll = await begun()
    telegram.message(bot, chat=bot.first("group").id, text="now")
    assert [update["message"]["text"] for update in (await poll).json()["result"]] == ["now"]
    offset = bot.next_update
    poll = await begun()
    world.clock.advance(50)
    assert (await poll).json()["result"] == []
    poll = await begun()
    assert await api.updates(offset=offset) == []
    refused = (await poll).json()
    assert refused["error_code"] == 409 and "terminated by other getUpdates" in refused["description"]


async def test_edits_are_updates_and_deletions_are_not(telegram: Telegram, bot: Bot, api: Api) -> None:
    await drained(api)
    group = bot.first("group")
    number = telegram.message(bot, chat=group.id, text="How much?")
    telegram.edit(bot, chat=group.id, message=number, text="How many? 🌷 @" + bot.user["username"])
    telegram.delete(bot, chat=group.id, message=number)
    sent, edited = await api.updates(offset=0)
    assert edited["edited_message"]["message_id"] == sent["message"]["message_id"]
    assert edited["edited_message"]["edit_date"] == 1_764_000_000
    (mention,) = edited["edited_message"]["entities"]
    assert (mention["type"], mention["offset"]) == ("mention", 13)


async def test_an_album_is_several_messages(telegram: Telegram, bot: Bot, api: Api) -> None:
    await drained(api)
    telegram.album(bot, text="Three")
    posts = [update["channel_post"] for update in of_kind(await api.updates(), "channel_post")]
    assert len({post["media_group_id"] for post in posts}) == 1
    assert [post.get("caption") for post in posts] == ["Three", None, None]


async def test_a_chat_that_is_lost_says_so(telegram: Telegram, bot: Bot, api: Api) -> None:
    new = telegram.migrate(bot)
    old = bot.first("group")
    refused = await api("getChat", chat_id=old.id)
    assert refused["parameters"] == {"migrate_to_chat_id": new}
    assert missing_keys(refused, EXAMPLES["upgraded"]) == []
    talk = bot.first("supergroup")
    telegram.kick(bot, chat=talk.id)
    assert await api("getChat", chat_id=talk.id) == EXAMPLES["kicked"]
    person = bot.first("private")
    telegram.kick(bot, chat=person.id)
    assert (await api("sendMessage", chat_id=person.id, text="x"))["description"] == (
        "Forbidden: bot was blocked by the user"
    )
    assert (await api("getChat", chat_id=1))["description"] == "Bad Request: chat not found"
    assert (await api("getChat", chat_id="@" + bot.first("channel").username))["ok"]


async def test_tokens_live_until_revoked(telegram: Telegram, bot: Bot, api: Api, http: httpx.AsyncClient) -> None:
    assert telegram.connect().access_token == api.token
    assert (await Api(http, "nonsense")("getMe")) == {"ok": False, "error_code": 404, "description": "Not Found"}
    assert (await api("getNothing"))["description"] == "Not Found: method not found"
    assert (await api("GETME"))["ok"]
    telegram.revoke(bot)
    refused = await api.ask("getMe")
    assert (refused.status_code, refused.json()["description"]) == (401, "Unauthorized")
    fresh = telegram.connect().access_token
    assert fresh != api.token and fresh.partition(":")[0] == bot.id
    again = Api(http, fresh)
    assert (await again("getMe"))["ok"]
    await again("logOut")
    assert (await again("getMe"))["description"] == "Logged out"


async def test_tokens_are_not_in_the_log_of_requests(api: Api, http: httpx.AsyncClient) -> None:
    await api("getMe")
    (entry,) = (await http.get("/_control/requests")).json()["requests"]
    assert entry["path"] == "/bot***/getMe" and api.token not in str(entry)


async def test_floods_are_refused(world: World, bot: Bot, api: Api) -> None:
    group = bot.first("group")
    for _ in range(20):
        assert (await api("sendMessage", chat_id=group.id, text="x"))["ok"]
    refused = await api.ask("sendMessage", chat_id=group.id, text="x")
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "60")
    assert missing_keys(refused.json(), EXAMPLES["limited"]) == []
    assert (await api("getMe"))["ok"]
    world.clock.advance(60)
    assert (await api("sendMessage", chat_id=group.id, text="x"))["ok"]


async def test_a_webhook_takes_the_queue_and_shuts_reading(telegram: Telegram, bot: Bot, api: Api) -> None:
    waiting = len(await api.updates())
    async with receiving() as receiver:
        answer = await api("setWebhook", url=receiver.url, secret_token="s3cret-1", allowed_updates='["message"]')
        assert answer == {"ok": True, "result": True, "description": "Webhook was set"}
        assert (await api("setWebhook", url=receiver.url, secret_token="s3cret-1"))["description"] == (
            "Webhook is already set"
        )
        conflict = await api("getUpdates")
        assert conflict["error_code"] == 409 and "webhook is active" in conflict["description"]
        telegram.message(bot, chat=bot.first("group").id, text="pushed")
        telegram.post(bot)  # only its copy is a message
        await telegram.hooks.drain()
        assert {call.headers["x-telegram-bot-api-secret-token"] for call in receiver.calls} == {"s3cret-1"}
        assert len(receiver.calls) == waiting + 2
        assert "pushed" in [call.json.get("message", {}).get("text") for call in receiver.calls]
        assert (await api("getWebhookInfo"))["result"]["pending_update_count"] == 0
        assert (await api("deleteWebhook"))["description"] == "Webhook was deleted"
    assert (await api("deleteWebhook"))["description"] == "Webhook is already deleted"
    assert await api.updates() == []


async def test_a_failing_webhook_keeps_its_updates(world: World, telegram: Telegram, bot: Bot, api: Api) -> None:
    await api.updates(offset=bot.next_update)
    async with receiving(lambda _call: (500, b"")) as receiver:
        await api("setWebhook", url=receiver.url)
        telegram.message(bot, chat=bot.first("group").id, text="kept")
        while not receiver.calls:
            await asyncio.sleep(0.005)
        info = (await api("getWebhookInfo"))["result"]
        while "last_error_message" not in info:
            info = (await api("getWebhookInfo"))["result"]
        assert info["last_error_message"].startswith("Wrong response from the webhook: 500")
        lacking = missing_keys({"result": info}, {"result": EXAMPLES["webhook_info"]["result"]})
        assert lacking == [".result.last_synchronization_error_date"]
        await api("deleteWebhook")
    assert [update["message"]["text"] for update in await api.updates()] == ["kept"]


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ({"url": "http://example.com/x"}, "bad webhook: An HTTPS URL must be provided for webhook"),
        ({"url": "https://example.com:9000/x"}, "Webhook can be set up only on ports 80, 88, 443 or 8443"),
        ({"url": "https://example.com/x", "secret_token": "a b"}, "secret token contains unallowed characters"),
    ],
)
async def test_webhooks_that_telegram_refuses(api: Api, args: dict[str, str], said: str) -> None:
    refused = await api("setWebhook", **args)
    assert refused["error_code"] == 400 and said in refused["description"]


async def test_files_are_fetched_by_their_path(api: Api, http: httpx.AsyncClient) -> None:
    path = (await api("getFile", file_id="AgACx"))["result"]["file_path"]
    answer = await http.get(f"/telegram/file/bot{api.token}/{path}")
    assert answer.status_code == 200 and answer.content


def test_entities_are_counted_in_utf16_units() -> None:
    assert entities("Spring drop 🌷 https://example.com") == [{"offset": 15, "length": 19, "type": "url"}]
    assert entities("/order 1042") == [{"offset": 0, "length": 6, "type": "bot_command"}]
