"""The Bot API's methods. Arguments come in the query, a form or JSON; lists in the former two are JSON texts."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import msgspec

from simulator.dice import mix
from simulator.feed import Record
from simulator.http import Request, Response, Routes
from simulator.vendors.telegram import data
from simulator.vendors.telegram.data import DAY, Bot, Chat, sent_at
from simulator.webhooks import Target

if TYPE_CHECKING:
    from simulator.vendors.telegram import Telegram

routes = Routes()
LONGEST_S = 50
WEBHOOK_ACTIVE = (
    "Conflict: can't use getUpdates method while webhook is active; use deleteWebhook to delete the webhook first"
)
OTHER = "Conflict: terminated by other getUpdates request; make sure that only one bot instance is running"

Method = Callable[["Telegram", Request, Bot, dict[str, Any]], Any]
_methods: dict[str, Method] = {}


def method(handler: Method) -> Method:
    """Registered by its name in Telegram's spelling, found in any."""
    _methods[handler.__name__.replace("_", "")] = handler
    return handler


@routes.add("GET POST", "/bot{token}/{method}")
async def call(telegram: Telegram, request: Request) -> Response | dict[str, Any]:
    found = _methods.get(request.params["method"].lower())
    if found is None:
        raise fail(telegram, 404, "Not Found: method not found")
    bot = telegram.bot(request)
    if bot.logged_out:
        raise fail(telegram, 400, "Logged out")
    result = found(telegram, request, bot, request.args())
    if isinstance(result, Awaitable):
        result = await result
    return result if isinstance(result, Response) else {"ok": True, "result": result}


@routes.get("/file/bot{token}/{folder}/{name}")
def file(_telegram: Telegram, request: Request) -> Response:
    return Response(b"\x89PNG\r\n" + request.params["name"].encode(), type="application/octet-stream")


def fail(telegram: Telegram, status: int, description: str, **parameters: Any) -> Exception:
    from simulator.http import Refusal
    from simulator.vendors.telegram import failed

    return Refusal(failed(status, description, parameters or None))


def listed(telegram: Telegram, value: Any, name: str) -> list[str] | None:
    """A list that may come as JSON text."""
    if value is None:
        return None
    if isinstance(value, str):
        try:
            value = msgspec.json.decode(value) if value else []
        except msgspec.DecodeError:
            value = None
    if not isinstance(value, list):
        raise fail(telegram, 400, f"Bad Request: can't parse {name.replace('_', ' ')} JSON object")
    return [str(item) for item in value]


def number(args: dict[str, Any], name: str, default: int) -> int:
    try:
        return int(args.get(name, default))
    except (TypeError, ValueError):
        return default


# --- updates


@method
async def get_updates(telegram: Telegram, request: Request, bot: Bot, args: dict[str, Any]) -> list[Any]:
    """What waits from `offset` on. Everything before it is confirmed by that and never comes again."""
    if active_hook(telegram, bot) is not None:
        raise fail(telegram, 409, WEBHOOK_ACTIVE)
    bot.wake("other")
    if (wanted := listed(telegram, args.get("allowed_updates"), "allowed_updates")) is not None:
        bot.allowed = frozenset(wanted) or None
    offset, limit = number(args, "offset", 0), number(args, "limit", 100)
    timeout = min(max(number(args, "timeout", 0), 0), LONGEST_S)
    limit = limit if 1 <= limit <= 100 else 100
    before, asked_at = bot.asked
    if offset == before and timeout < 3 and request.now < asked_at + 3 and not telegram.world.clock.driven:
        timeout = 3  # asking the same again and again is slowed down
    if offset == before and offset and request.now < asked_at + 0.5 and not telegram.world.clock.driven:
        limit = 1
    bot.asked = (offset, request.now)
    _confirm(bot, offset)
    found = waiting(bot, request.now, limit)
    if found or not timeout:
        return found
    if await _wait(telegram, bot, timeout) == "other":
        raise fail(telegram, 409, OTHER)
    return waiting(bot, telegram.now(), limit)


def _confirm(bot: Bot, offset: int) -> None:
    if offset > 0:
        bot.confirmed = max(bot.confirmed, min(offset, bot.next_update))
    elif offset < 0:
        last = bot.updates.slice(-offset, above=bot.confirmed - 1).keys
        bot.confirmed = last[-1] if last else bot.next_update


def waiting(bot: Bot, now: float, limit: int) -> list[Any]:
    """Unconfirmed updates, oldest first; what is older than a day is gone."""
    _forget_old(bot, now)
    found: list[Any] = []
    last = bot.confirmed - 1
    while len(found) < limit:
        part = bot.updates.slice(limit, above=last, newest_first=False)
        found += [raw for key, raw in zip(part.keys, part.items, strict=True) if key not in bot.delivered]
        if not part.more:
            break
        last = part.last
    return found[:limit]


def _forget_old(bot: Bot, now: float) -> None:
    while oldest := bot.updates.slice(1, above=bot.confirmed - 1, newest_first=False).keys:
        at = sent_at(bot.updates.get(oldest[0]) or {})
        if at is None or at > now - DAY:
            break
        bot.confirmed = oldest[0] + 1


async def _wait(telegram: Telegram, bot: Bot, timeout: float) -> str:
    """Until something comes, another call takes over, or time is up."""
    loop = asyncio.get_running_loop()
    woken: asyncio.Future[str] = loop.create_future()
    bot.waiting = (loop, woken)
    sleeper = asyncio.ensure_future(telegram.world.clock.sleep(timeout))
    both: set[asyncio.Future[Any]] = {woken, sleeper}
    try:
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
    finally:
        sleeper.cancel()
        if bot.waiting is not None and bot.waiting[1] is woken:
            bot.waiting = None
    return woken.result() if woken.done() else "time"


# --- webhooks


def active_hook(telegram: Telegram, bot: Bot) -> Target | None:
    return next((t for t in telegram.hooks.targets if t.active and t.account is bot), None)


@method
def set_webhook(telegram: Telegram, request: Request, bot: Bot, args: dict[str, Any]) -> Response:
    url = str(args.get("url", ""))
    if not url:
        return delete_webhook(telegram, request, bot, args)  # type: ignore[no-any-return]
    parts = urlsplit(url)
    here = parts.hostname in ("127.0.0.1", "localhost")  # so that the simulator can be used at all
    if parts.scheme != "https" and not here:
        raise fail(telegram, 400, "Bad Request: bad webhook: An HTTPS URL must be provided for webhook")
    if not here and (parts.port or 443) not in (443, 80, 88, 8443):
        raise fail(telegram, 400, "Bad Request: bad webhook: Webhook can be set up only on ports 80, 88, 443 or 8443")
    secret = str(args.get("secret_token", ""))
    if not secret.replace("_", "").replace("-", "").isalnum() and secret:
        raise fail(telegram, 400, "Bad Request: secret token contains unallowed characters")
    if (wanted := listed(telegram, args.get("allowed_updates"), "allowed_updates")) is not None:
        bot.allowed = frozenset(wanted) or None
    known = active_hook(telegram, bot)
    if known is not None and (known.url, known.secret) == (url, secret):
        return Response({"ok": True, "result": True, "description": "Webhook is already set"})
    if args.get("drop_pending_updates") in (True, "true", "True", "1"):
        bot.confirmed = bot.next_update
    telegram.hooks.targets = [t for t in telegram.hooks.targets if t.account is not bot]
    telegram.hooks.add(Target(url, bot, secret))
    bot.webhook = {"max_connections": number(args, "max_connections", 40)}
    bot.wake("other")
    for raw in waiting(bot, request.now, 100_000):
        telegram.push(bot, msgspec.json.decode(raw)["update_id"])
    return Response({"ok": True, "result": True, "description": "Webhook was set"})


@method
def delete_webhook(telegram: Telegram, _request: Request, bot: Bot, args: dict[str, Any]) -> Response:
    known = active_hook(telegram, bot)
    if args.get("drop_pending_updates") in (True, "true", "True", "1"):
        bot.confirmed = bot.next_update
    telegram.hooks.targets = [t for t in telegram.hooks.targets if t.account is not bot]
    if known is not None:
        known.active = False
    text = "Webhook was deleted" if known else "Webhook is already deleted"
    return Response({"ok": True, "result": True, "description": text})


@method
def get_webhook_info(telegram: Telegram, request: Request, bot: Bot, _args: dict[str, Any]) -> Record:
    known = active_hook(telegram, bot)
    pending = len(waiting(bot, request.now, 100_000))
    shown: Record = {
        "url": known.url if known else "",
        "has_custom_certificate": False,
        "pending_update_count": pending,
    }
    if known is not None:
        shown |= {"ip_address": "203.0.113.7", **bot.webhook}
    return shown | ({"allowed_updates": sorted(bot.allowed)} if bot.allowed is not None else {})


# --- the bot and its chats


@method
def get_me(_telegram: Telegram, _request: Request, bot: Bot, _args: dict[str, Any]) -> Record:
    return {
        **bot.user,
        "can_join_groups": True,
        "can_read_all_group_messages": True,
        "supports_inline_queries": False,
        "can_connect_to_business": True,
        "has_main_web_app": False,
    }


@method
def log_out(_telegram: Telegram, _request: Request, bot: Bot, _args: dict[str, Any]) -> bool:
    bot.logged_out = True
    return True


def chat_arg(telegram: Telegram, bot: Bot, args: dict[str, Any]) -> Chat:
    """The chat a call is about, if the bot may speak there."""
    chat = bot.place(args.get("chat_id"))
    if chat is None:
        raise fail(telegram, 400, "Bad Request: chat not found")
    if chat.migrated_to is not None:
        text = "Bad Request: group chat was upgraded to a supergroup chat"
        raise fail(telegram, 400, text, migrate_to_chat_id=chat.migrated_to)
    if chat.deleted:
        raise fail(telegram, 403, "Forbidden: the group chat was deleted")
    if not chat.there:
        if chat.type == "private":
            raise fail(telegram, 403, "Forbidden: bot was blocked by the user")
        kind = f"{chat.type} chat"
        why = f"bot was kicked from the {kind}" if chat.status == "kicked" else f"bot is not a member of the {kind}"
        raise fail(telegram, 403, f"Forbidden: {why}")
    return chat


@method
def get_chat(telegram: Telegram, _request: Request, bot: Bot, args: dict[str, Any]) -> Record:
    chat = chat_arg(telegram, bot, args)
    gifts = ("unlimited_gifts", "limited_gifts", "unique_gifts", "premium_subscription")
    shown: Record = {
        **chat.json(),
        "accent_color_id": 3,
        "max_reaction_count": 11,
        "accepted_gift_types": dict.fromkeys(gifts, False),
    }
    if chat.username:
        shown["active_usernames"] = [chat.username]
    if chat.type != "private":
        shown["description"] = f"About {chat.title}"
        sizes = {"small_file_id": "small", "big_file_id": "big"}
        photo = {name: f"AQAD{size}{chat.id}" for name, size in sizes.items()}
        shown["photo"] = photo | {f"{name[:-3]}_unique_id": f"AQADu{chat.id}" for name in sizes}
    return shown | ({"linked_chat_id": chat.linked} if chat.linked else {})


@method
def get_chat_member_count(telegram: Telegram, _request: Request, bot: Bot, args: dict[str, Any]) -> int:
    return chat_arg(telegram, bot, args).members


@method
def get_chat_administrators(telegram: Telegram, _request: Request, bot: Bot, args: dict[str, Any]) -> list[Record]:
    chat = chat_arg(telegram, bot, args)
    if chat.type == "private":
        raise fail(telegram, 400, "Bad Request: there are no administrators in the private chat")
    owner = {"user": bot.people[0], "status": "creator", "is_anonymous": False}
    ours = {"user": bot.user, "status": "administrator", "can_be_edited": False, "can_manage_chat": True}
    return [owner, ours] if chat.status == "administrator" else [owner]


@method
def get_chat_member(telegram: Telegram, _request: Request, bot: Bot, args: dict[str, Any]) -> Record:
    chat = chat_arg(telegram, bot, args)
    who = number(args, "user_id", 0)
    if who == bot.user["id"]:
        return {"user": bot.user, "status": chat.status}
    found = next((person for person in bot.people if person["id"] == who), None)
    if found is None:
        raise fail(telegram, 400, "Bad Request: user not found")
    return {"user": found, "status": "member"}


@method
def get_file(telegram: Telegram, _request: Request, _bot: Bot, args: dict[str, Any]) -> Record:
    file_id = str(args.get("file_id", ""))
    if not file_id.startswith("AgAC"):
        raise fail(telegram, 400, "Bad Request: wrong file_id or the file is temporarily unavailable")
    place = mix("path", file_id) % 1000
    unique = f"AQAD{file_id[-10:]}"
    return {
        "file_id": file_id,
        "file_unique_id": unique,
        "file_size": 98_765,
        "file_path": f"photos/file_{place}.jpg",
    }


@method
def get_user_profile_photos(_telegram: Telegram, _request: Request, _bot: Bot, args: dict[str, Any]) -> Record:
    return {"total_count": 1, "photos": [data.photo("profile", str(args.get("user_id")))]}


@method
def send_message(telegram: Telegram, request: Request, bot: Bot, args: dict[str, Any]) -> Record:
    chat = chat_arg(telegram, bot, args)
    text = str(args.get("text", ""))
    if not text:
        raise fail(telegram, 400, "Bad Request: message text is empty")
    if len(text) > 4096:
        raise fail(telegram, 400, "Bad Request: message is too long")
    reply = args.get("reply_parameters")
    reply = msgspec.json.decode(reply) if isinstance(reply, str) else reply or {}
    reply_to = reply.get("message_id")
    if reply_to is not None and reply_to not in chat.messages:
        raise fail(telegram, 400, "Bad Request: message to be replied not found")
    if chat.type == "channel":
        return chat.messages[telegram.post(bot, text=text, chat=chat.id)]
    thread = args.get("message_thread_id")
    made = telegram.message(
        bot,
        chat=chat.id,
        text=text,
        user=bot.user["id"],
        reply_to=reply_to,
        thread=int(thread) if thread is not None else None,
    )
    return chat.messages[made]
