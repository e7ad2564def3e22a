"""Discord's objects to our records. Pure.

Ids: a message is (channel, id), so `vendor_id` is `290926798999357250:334385199974967042`; snowflakes stay text. A post
of a forum is a thread whose first message has the thread's id; of a thread in a text channel the first message only
points to the one it hangs on.
Source: Discord REST API v10, resources message, channel, guild, user (docs.discord.com/developers).
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from connectors.http import Context
from connectors.http.times import iso, microseconds, milliseconds
from connectors.records import ActivityKind, ActivityRecord, Attachment, Author, MetricRecord

Raw = dict[str, Any]

EPOCH_MS = 1_420_070_400_000
SAID = frozenset({0, 19, 20, 23})
"""Message types that somebody said: plain, reply, answers of commands. The others tell of pins, joins, boosts."""
GONE = {"type": "gone"}
"""Stands for the end of a page: known messages that it lacks are gone (see `recent`)."""


def floor(moment: datetime) -> int:
    """The largest id from before this instant."""
    return (milliseconds(moment) - EPOCH_MS << 22) - 1


def number(item: Raw) -> int:
    return int(item["id"])


def message(item: Raw, ctx: Context) -> Iterator[ActivityRecord]:
    """A message of a text channel, and the mention of us in it."""
    yield from _told(item, ctx, "message")


def news(item: Raw, ctx: Context) -> Iterator[ActivityRecord]:
    """A message of an announcement channel."""
    yield from _told(item, ctx, "post")


def forum_post(item: Raw, ctx: Context) -> ActivityRecord:
    """The first message of a thread of a forum; its title is the thread's name."""
    return _record(item, ctx, "post", title=ctx.vars["thread"].get("name"))


def comment(item: Raw, ctx: Context) -> Iterator[ActivityRecord]:
    """A message of a thread. The first one of a forum's thread is the post itself."""
    if item["id"] != ctx.partition.key:
        yield from _told(item, ctx, "comment")


def mention(item: Raw, ctx: Context) -> ActivityRecord | None:
    """A hit of the search."""
    return _record(item, ctx, "mention") if item["type"] in SAID else None


def _told(item: Raw, ctx: Context, kind: ActivityKind) -> Iterator[ActivityRecord]:
    if item["type"] not in SAID:
        return
    yield _record(item, ctx, kind)
    if mentions_us(item, ctx):
        yield _record(item, ctx, "mention")


def mentions_us(item: Raw, ctx: Context) -> bool:
    return any(who.get("id") == ctx.facts.get("bot_id") for who in item.get("mentions") or ())


def _record(item: Raw, ctx: Context, kind: ActivityKind, *, title: str | None = None) -> ActivityRecord:
    """A mention looks the same whether it was pulled or found by a search, which knows neither thread nor reactions."""
    channel, thread = item["channel_id"], (ctx.vars.get("thread") or {}) if kind != "mention" else {}
    guild = ctx.account.account
    said = _forwarded(item) or item
    edited_at = iso(item.get("edited_timestamp"))
    ours = item["author"]["id"] == ctx.facts.get("bot_id")
    data = {
        "reply_to_deleted": item.get("referenced_message", item) is None or None,
        "mentions_everyone": item.get("mention_everyone") or None,
        "mentioned_roles": item.get("mention_roles") or None,
        "copied": bool(item.get("flags", 0) & 2) or None,
        "webhook_id": item.get("webhook_id"),
        "poll": (item.get("poll") or {}).get("question", {}).get("text"),
    }
    return ActivityRecord(
        kind=kind,
        vendor_id=f"{channel}:{item['id']}",
        parent_id=_parent(item, thread),
        thread_id=_origin(thread) if thread else f"{channel}:{_root(item)}",
        place=str(thread.get("parent_id") or channel),
        occurred_at=iso(item["timestamp"]),
        author=_author(item["author"]),
        direction="out" if ours else "in",
        text=said.get("content") or "",
        title=title,
        permalink=f"https://discord.com/channels/{guild}/{channel}/{item['id']}",
        attachments=tuple([*map(_file, said.get("attachments") or ()), *_cards(said)]),
        edited_at=edited_at,
        version=microseconds(edited_at) if edited_at else 0,
        counters=counters(item) if kind != "mention" else None,
        data={name: value for name, value in data.items() if value is not None} or None,
        raw=item,
    )


def _forwarded(item: Raw) -> Raw | None:
    """The copied message of a forward, whose own content is empty."""
    found = next(iter(item.get("message_snapshots") or ()), None)
    return found.get("message") if found else None


def _parent(item: Raw, thread: Raw) -> str | None:
    """What it answers: the message replied to, else the post or message that its thread hangs on."""
    pointer = item.get("message_reference") or {}
    if item["type"] == 19 and pointer.get("message_id"):
        return f"{pointer['channel_id']}:{pointer['message_id']}"
    if not thread or item["id"] == thread["id"]:
        return None
    return _origin(thread)


def _origin(thread: Raw) -> str:
    """The post that a forum's thread is, or the message that a thread hangs on."""
    place = thread["id"] if thread.get("forum") else thread["parent_id"]
    return f"{place}:{thread['id']}"


def _root(item: Raw) -> str:
    """A reply in a channel belongs to what it answers, as far as one can see from here."""
    pointer = item.get("message_reference") or {}
    return str(pointer["message_id"]) if item["type"] == 19 and pointer.get("message_id") else str(item["id"])


def _author(found: Raw) -> Author:
    return Author(id=found["id"], name=found.get("global_name") or found.get("username"), handle=found.get("username"))


def _file(found: Raw) -> Attachment:
    kind = str(found.get("content_type") or "").partition("/")[0]
    return Attachment(
        kind if kind in {"image", "video", "audio"} else "file",
        url=found.get("url"),
        id=found["id"],
        name=found.get("filename"),
        content_type=found.get("content_type"),
        size=found.get("size"),
        alt=found.get("description"),
    )


def _cards(item: Raw) -> Iterator[Attachment]:
    for embed in item.get("embeds") or ():
        if embed.get("url") or embed.get("title"):
            yield Attachment("card", url=embed.get("url"), name=embed.get("title"))


def counters(item: Raw) -> dict[str, int] | None:
    """Reactions of all kinds, and messages of the thread that hangs on it."""
    found = {
        "reactions": sum(found["count"] for found in item.get("reactions") or ()),
        "replies": (item.get("thread") or {}).get("message_count", 0),
        "votes": sum(found["count"] for found in _votes(item)),
    }
    return {name: count for name, count in found.items() if count} or None


def _votes(item: Raw) -> list[Raw]:
    return ((item.get("poll") or {}).get("results") or {}).get("answer_counts") or []


# --- what is looked at again


def recent(item: Raw, ctx: Context) -> Iterator[ActivityRecord | MetricRecord]:
    """One of the newest messages of a place: as it is now, its figures; at the end those that are gone."""
    if item is GONE:
        yield from missing(ctx)
        return
    kind: ActivityKind = ctx.vars["kind"]
    if item["type"] not in SAID:
        return
    if item["id"] == ctx.partition.key:
        yield forum_post(item, ctx)
    else:
        yield from _told(item, ctx, kind)
    yield from figures(item, ctx)


def figures(item: Raw, ctx: Context) -> Iterator[MetricRecord]:
    entity = f"{item['channel_id']}:{item['id']}"
    for found in item.get("reactions") or ():
        emoji = found["emoji"]
        yield _today(ctx, entity, "reactions", found["count"], {"emoji": emoji.get("name") or emoji.get("id") or "?"})
    answers = {a["answer_id"]: a["poll_media"].get("text", "") for a in (item.get("poll") or {}).get("answers") or ()}
    for votes in _votes(item):
        yield _today(ctx, entity, "votes", votes["count"], {"answer": answers.get(votes["id"]) or str(votes["id"])})


def missing(ctx: Context) -> Iterator[ActivityRecord]:
    """Known messages within the page's range that are not in it.

    An empty page says nothing (it may be a lost permission), nor does one that lacks most of what we know.
    """
    page = {int(item["id"]) for item in ctx.body}
    lowest = min(page, default=0) if len(page) >= ctx.size else 0
    known: dict[int, ActivityKind] = {n: k for n, k in ctx.vars.get("known", {}).items() if n >= lowest}
    gone = [n for n in known if n not in page]
    if not page or len(gone) > max(len(known) // 2, 5):
        return
    for lost in gone:
        kinds: tuple[ActivityKind, ...] = (known[lost], "mention")
        for kind in kinds:
            yield ActivityRecord(
                kind=kind,
                vendor_id=f"{ctx.partition.key}:{lost}",
                occurred_at=None,
                deleted=True,
                version=microseconds(ctx.now),
            )


def _today(
    ctx: Context, entity: str, metric: str, value: int, dimensions: dict[str, str] | None = None, *, kind: str = ""
) -> MetricRecord:
    start, end = ctx.today()
    return MetricRecord(
        entity=entity,
        entity_kind=kind or ctx.vars.get("kind", "message"),
        metric=metric,
        value=value,
        start=start,
        end=end,
        dimensions=dimensions,
        place=ctx.partition.key or None,
    )


# --- the guild


def thread_figures(item: Raw, ctx: Context) -> Iterator[MetricRecord]:
    for metric in ("message_count", "member_count", "total_message_sent"):
        if (value := item.get(metric)) is not None:
            yield _today(ctx, item["id"], metric, value, kind="thread")


def guild_figures(item: Raw, ctx: Context) -> Iterator[MetricRecord]:
    for metric, name in (("members", "approximate_member_count"), ("online", "approximate_presence_count")):
        if (value := item.get(name)) is not None:
            yield _today(ctx, item["id"], metric, value, kind="guild")


def event_figures(item: Raw, ctx: Context) -> MetricRecord | None:
    count = item.get("user_count")
    return None if count is None else _today(ctx, item["id"], "interested", count, kind="event")


def presence(item: Raw, _ctx: Context) -> ActivityRecord:
    """How many are there now. Who it is, only the Gateway tells."""
    counts = {"online": item.get("approximate_presence_count"), "members": item.get("approximate_member_count")}
    return ActivityRecord(
        kind="presence",
        vendor_id=item["id"],
        occurred_at=None,
        counters={name: count for name, count in counts.items() if count is not None} or None,
        data={"present": bool(counts["online"])},
    )


def guild(item: Raw, _ctx: Context) -> ActivityRecord:
    icon = item.get("icon")
    return ActivityRecord(
        kind="profile",
        vendor_id=item["id"],
        occurred_at=None,
        title=item.get("name"),
        text=item.get("description"),
        permalink=f"https://discord.com/channels/{item['id']}",
        author=Author(id=item["id"], name=item.get("name")),
        counters={"members": item["approximate_member_count"]} if item.get("approximate_member_count") else None,
        data={"what": "guild", "owner": item.get("owner_id"), "icon": icon, "locale": item.get("preferred_locale")},
        raw={name: value for name, value in item.items() if name != "approximate_presence_count"},
    )


def member(item: Raw, _ctx: Context) -> ActivityRecord:
    who = item["user"]
    return ActivityRecord(
        kind="profile",
        vendor_id=who["id"],
        occurred_at=iso(item.get("joined_at")),
        author=_author(who),
        title=item.get("nick"),
        data={
            "what": "member",
            "is_bot": bool(who.get("bot")),
            "roles": item.get("roles") or [],
            "nick": item.get("nick"),
        },
    )
