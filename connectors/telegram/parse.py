"""Telegram's updates to our records. Pure.

Ids: a message is (chat, message_id), so `vendor_id` is `-1001234567890:512`; in chats of a business connection the
connection comes first. A post's automatic copy in its discussion group is left out: comments answer the post, and their
thread is named for the copy. Positions in texts count UTF-16 units.
Source: Telegram Bot API 10.1 (core.telegram.org/bots/api), Update and Message.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from connectors.http import Context
from connectors.http.times import epoch
from connectors.records import ActivityKind, ActivityRecord, Attachment, Author, MetricRecord

Raw = dict[str, Any]
Record = ActivityRecord | MetricRecord

SAID = ("message", "edited_message", "business_message", "edited_business_message")
POSTED = ("channel_post", "edited_channel_post")
UPDATES = (
    *SAID,
    *POSTED,
    "deleted_business_messages",
    "message_reaction",
    "message_reaction_count",
    "poll",
    "my_chat_member",
)
"""What we ask for; everything else is not sent to us."""
MEDIA = ("animation", "audio", "document", "sticker", "video", "video_note", "voice")
FOR_EVER = 2**62
"""Version of what does not come back."""
_KINDS = {"animation": "video", "video_note": "video", "voice": "audio", "document": "file", "sticker": "image"}


def update_id(update: Raw) -> int:
    return int(update["update_id"])


def update(item: Raw, ctx: Context) -> Iterator[Record]:
    """Whatever one update tells."""
    us = str(ctx.facts.get("user_id") or ctx.account.account), str(ctx.facts.get("username") or "")
    yield from records(item, *us)


def records(item: Raw, bot: str, username: str) -> Iterator[Record]:
    for name in SAID:
        if name in item:
            yield from _message(item[name], bot, username)
    for name in POSTED:
        if name in item:
            yield _said(item[name], "post", bot)
    if (gone := item.get("deleted_business_messages")) is not None:
        yield from _deleted(gone)
    if (found := item.get("message_reaction")) is not None:
        yield _reaction(found)
    if (found := item.get("message_reaction_count")) is not None:
        yield from _reactions(found)
    if (found := item.get("poll")) is not None:
        yield from _votes(found)
    if (found := item.get("my_chat_member")) is not None:
        yield _membership(found)


def albums(updates: list[Raw]) -> list[Raw]:
    """Messages that belong to one album as one: the first, with the others' pictures, under the last update's id."""
    found: list[Raw] = []
    open_albums: dict[tuple[str, Any, str], Raw] = {}
    for one in updates:
        kind = next((name for name in (*SAID, *POSTED) if name in one), "")
        group = one[kind].get("media_group_id") if kind else None
        if not group or kind.startswith("edited"):
            found.append(one)
            continue
        key = (kind, one[kind]["chat"]["id"], str(group))
        if (first := open_albums.get(key)) is None:
            open_albums[key] = first = {"update_id": one["update_id"], kind: {**one[kind], "album": []}}
            found.append(first)
        else:
            first["update_id"] = one["update_id"]
            first[kind]["album"].append(one[kind])
            for name in ("caption", "caption_entities"):
                if name in one[kind]:
                    first[kind].setdefault(name, one[kind][name])
    return sorted(found, key=update_id)


# --- messages


def _message(item: Raw, bot: str, username: str) -> Iterator[ActivityRecord]:
    if item.get("is_automatic_forward") or not _content(item):
        return  # copies of posts; somebody joined, something was pinned
    yield _said(item, "comment" if _is_comment(item) else "message", bot)
    if _mentions(item, bot, username):
        yield _said(item, "mention", bot)


def _is_comment(item: Raw) -> bool:
    return "message_thread_id" in item and not item.get("is_topic_message") and item["chat"]["type"] == "supergroup"


def _content(item: Raw) -> bool:
    others = ("photo", "contact", "location", "venue", "poll", "dice", "story", "paid_media", "checklist")
    return any(name in item for name in ("text", "caption", *MEDIA, *others))


def _said(item: Raw, kind: ActivityKind, bot: str) -> ActivityRecord:
    chat, edited = item["chat"], item.get("edit_date")
    ours = str((item.get("from") or {}).get("id")) == bot
    return ActivityRecord(
        kind=kind,
        vendor_id=vendor_id(item, item["message_id"]),
        parent_id=_parent(item),
        thread_id=_thread(item, kind),
        place=str(chat["id"]),
        occurred_at=epoch(item["date"]),
        author=_author(item),
        direction="out" if ours or kind == "post" else "echo" if _owners(item) else "in",
        text=item.get("text") or item.get("caption") or "",
        permalink=permalink(chat, item["message_id"]),
        attachments=tuple(_attachments(item)),
        edited_at=epoch(edited),
        version=int(edited or 0) * 1_000,
        data=_data(item),
        raw=item,
    )


def _owners(item: Raw) -> bool:
    """Whether the owner of a business account wrote it: the chat is named for the other person."""
    return "business_connection_id" in item and (item.get("from") or {}).get("id") != item["chat"]["id"]


def vendor_id(item: Raw, number: int) -> str:
    """Unique in the account: message ids are counted per chat, and per connection in business chats."""
    connection = item.get("business_connection_id")
    return f"{connection}:{item['chat']['id']}:{number}" if connection else f"{item['chat']['id']}:{number}"


def _parent(item: Raw) -> str | None:
    """What it answers; a comment on the post's copy answers the post."""
    above = item.get("reply_to_message")
    if not above:
        return None
    origin = above.get("forward_origin") or {}
    if above.get("is_automatic_forward") and origin.get("message_id"):
        return f"{origin['chat']['id']}:{origin['message_id']}"
    return vendor_id(item, above["message_id"])


def _thread(item: Raw, kind: ActivityKind) -> str | None:
    if kind == "post":
        return None
    chat = vendor_id(item, 0).removesuffix(":0")
    thread = item.get("message_thread_id")
    return f"{chat}:{thread}" if thread is not None and item["chat"]["type"] == "supergroup" else chat


def _author(item: Raw) -> Author | None:
    """Channels and anonymous administrators write as a chat."""
    if (chat := item.get("sender_chat")) is not None:
        return Author(
            id=str(chat["id"]), name=item.get("author_signature") or chat.get("title"), handle=chat.get("username")
        )
    who = item.get("from")
    if not who:
        return None
    name = " ".join(part for part in (who.get("first_name"), who.get("last_name")) if part)
    return Author(id=str(who["id"]), name=name or None, handle=who.get("username"))


def permalink(chat: Raw, number: int) -> str | None:
    if chat.get("username") and chat["type"] != "private":
        return f"https://t.me/{chat['username']}/{number}"
    inner = str(chat["id"])
    return f"https://t.me/c/{inner[4:]}/{number}" if inner.startswith("-100") else None


def _data(item: Raw) -> Raw | None:
    found = {
        "chat": item["chat"].get("title"),
        "album": item.get("media_group_id"),
        "topic": item.get("message_thread_id") if item.get("is_topic_message") else None,
        "moved_to": item.get("migrate_to_chat_id"),
        "bot": (item.get("from") or {}).get("is_bot") or None,
        "location": item.get("location"),
        "contact": item.get("contact"),
        "poll": (item.get("poll") or {}).get("question"),
        "quote": (item.get("quote") or {}).get("text"),
    }
    return {name: value for name, value in found.items() if value is not None} or None


def _attachments(item: Raw) -> Iterator[Attachment]:
    """Files by their id: an address is made when somebody wants it (getFile), and lives for an hour."""
    for one in (item, *item.get("album", ())):
        if sizes := one.get("photo"):
            largest = max(sizes, key=lambda size: size["width"] * size["height"])
            yield Attachment("image", id=largest["file_id"], size=largest.get("file_size"))
        for name in MEDIA:
            if (found := one.get(name)) is not None:
                yield Attachment(
                    _KINDS.get(name, name),
                    id=found["file_id"],
                    name=found.get("file_name") or found.get("emoji"),
                    content_type=found.get("mime_type"),
                    size=found.get("file_size"),
                )
    for mark in item.get("entities") or item.get("caption_entities") or ():
        if mark["type"] == "text_link":
            yield Attachment("link", url=mark["url"])


def part(text: str, mark: Raw) -> str:
    """What an entity marks: positions count UTF-16 units."""
    start = mark["offset"] * 2
    return text.encode("utf-16-le")[start : start + mark["length"] * 2].decode("utf-16-le", "replace")


def _mentions(item: Raw, bot: str, username: str) -> bool:
    """By our name, by our id, or as the answer to something of ours."""
    if str((item.get("from") or {}).get("id")) == bot:
        return False
    text = item.get("text") or item.get("caption") or ""
    for mark in item.get("entities") or item.get("caption_entities") or ():
        if mark["type"] == "text_mention" and str(mark["user"]["id"]) == bot:
            return True
        if mark["type"] == "mention" and username and part(text, mark).lower() == f"@{username}".lower():
            return True
    above = item.get("reply_to_message") or {}
    return item["chat"]["type"] != "private" and str((above.get("from") or {}).get("id")) == bot


def _deleted(gone: Raw) -> Iterator[ActivityRecord]:
    """The only deletions that are told."""
    kinds: tuple[ActivityKind, ...] = ("message", "mention")
    for message_id in gone["message_ids"]:
        for kind in kinds:
            yield ActivityRecord(
                kind=kind, vendor_id=vendor_id(gone, message_id), occurred_at=None, deleted=True, version=FOR_EVER
            )


# --- reactions, polls, chats


def _day(seconds: int) -> tuple[datetime, datetime]:
    at = datetime.fromtimestamp(seconds, UTC).replace(hour=0, minute=0, second=0)
    return at, at + timedelta(days=1)


def _name(reaction: Raw) -> str:
    return str(reaction.get("emoji") or reaction.get("custom_emoji_id") or reaction["type"])


def _reactions(found: Raw) -> Iterator[MetricRecord]:
    """All reactions of a post as they stand: their sum, and each kind."""
    start, end = _day(found["date"])
    kinds: list[tuple[int, dict[str, str] | None]] = [
        (reaction["total_count"], {"reaction": _name(reaction["type"])}) for reaction in found["reactions"]
    ]
    for value, dimensions in [(sum(count for count, _ in kinds), None), *kinds]:
        yield MetricRecord(
            entity=f"{found['chat']['id']}:{found['message_id']}",
            entity_kind="post",
            metric="reactions",
            value=value,
            start=start,
            end=end,
            dimensions=dimensions,
            place=str(found["chat"]["id"]),
        )


def _reaction(found: Raw) -> ActivityRecord:
    """What one person thinks of a message now; nothing, if they took it back."""
    chat = found["chat"]["id"]
    who = found.get("user") or found.get("actor_chat") or {}
    target = f"{chat}:{found['message_id']}"
    now = [_name(reaction) for reaction in found["new_reaction"]]
    return ActivityRecord(
        kind="reaction",
        vendor_id=f"{target}:{who.get('id')}",
        parent_id=target,
        place=str(chat),
        occurred_at=epoch(found["date"]),
        author=_author({"from": who} if "first_name" in who else {"sender_chat": who}),
        text=" ".join(now),
        deleted=not now,
        version=int(found["date"]) * 1_000,
        raw=found,
    )


def _votes(found: Raw) -> Iterator[MetricRecord]:
    """Polls tell no time: their totals stand for ever."""
    at = datetime(1970, 1, 1, tzinfo=UTC)
    for option in found["options"]:
        yield MetricRecord(
            entity=found["id"],
            entity_kind="poll",
            metric="votes",
            value=option["voter_count"],
            start=at,
            end=at,
            dimensions={"option": option["text"]},
            is_final=bool(found.get("is_closed")),
        )


def _membership(found: Raw) -> ActivityRecord:
    """Our place in a chat has changed: added, made administrator, removed, blocked."""
    status = found["new_chat_member"]["status"]
    record = chat_profile(found["chat"])
    record.deleted = status in ("left", "kicked")
    record.data = {**(record.data or {}), "status": status}
    record.raw = found
    return record


def chat(item: Any, ctx: Context) -> ActivityRecord:
    """getChat"""
    return chat_profile(item)


def chat_profile(item: Raw) -> ActivityRecord:
    name = item.get("title") or " ".join(x for x in (item.get("first_name"), item.get("last_name")) if x)
    linked = item.get("linked_chat_id")
    return ActivityRecord(
        kind="profile",
        vendor_id=str(item["id"]),
        occurred_at=None,
        title=name or None,
        text=item.get("description") or item.get("bio"),
        author=Author(id=str(item["id"]), name=name or None, handle=item.get("username")),
        permalink=f"https://t.me/{item['username']}" if item.get("username") else None,
        data={"what": item["type"], **({"linked": str(linked)} if linked else {})},
        raw=item,
    )


def bot_profile(item: Raw, _ctx: Context) -> ActivityRecord:
    """getMe"""
    record = chat_profile({**item, "type": "bot"})
    record.data = {"what": "bot", "sees_all_messages": bool(item.get("can_read_all_group_messages"))}
    return record


def members(item: Any, ctx: Context) -> MetricRecord:
    """getChatMemberCount"""
    start, end = ctx.today()
    return MetricRecord(
        entity=ctx.partition.key,
        entity_kind="chat",
        metric="members",
        value=int(item),
        start=start,
        end=end,
        place=ctx.partition.key,
    )
