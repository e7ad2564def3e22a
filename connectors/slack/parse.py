"""Slack's objects to our records. Pure.

Ids: a message is (channel, ts), so `vendor_id` is `C012AB3CD:1763626811.000300`; ts stays text, a float would lose it.
Source: docs.slack.dev/reference/methods/conversations.history, conversations.replies, users.getPresence, users.list.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from html import unescape
from typing import Any

from connectors.http import Context
from connectors.http.times import epoch, microseconds
from connectors.records import ActivityKind, ActivityRecord, Attachment, Author, MetricRecord

Raw = dict[str, Any]

NOISE = frozenset(
    {
        *("channel_join", "channel_leave", "channel_topic", "channel_purpose", "channel_name", "channel_archive"),
        *("channel_unarchive", "group_join", "group_leave", "pinned_item", "unpinned_item", "bot_add", "bot_remove"),
        *("reminder_add", "huddle_thread"),
    }
)
_LINK = re.compile(r"<(?:[@#!]?[^|>]*\|)([^>]*)>|<([^|>@#!][^|>]*)>")


def slack_ts(moment: datetime | None) -> str | None:
    """An instant as Slack writes it."""
    if moment is None:
        return None
    whole = microseconds(moment)
    return f"{whole // 1_000_000}.{whole % 1_000_000:06d}"


def sent_at(item: Raw) -> datetime | None:
    return epoch(item["ts"])


def plain(text: str) -> str:
    """Without mrkdwn's links and escapes; mentions stay as `<@U123>`."""
    return unescape(_LINK.sub(lambda found: found[1] or found[2], text))


def top_level(item: Raw, ctx: Context) -> Iterator[ActivityRecord]:
    """A message of a conversation, and the mention of us in it. Copies of thread replies belong to `comments`."""
    if item.get("subtype") in NOISE or item.get("subtype") == "thread_broadcast":
        return
    yield _message(item, ctx, ctx.partition.key, "message")
    if f"<@{ctx.facts.get('user_id')}>" in item.get("text", ""):
        yield _message(item, ctx, ctx.partition.key, "mention")


def thread_reply(item: Raw, ctx: Context) -> Iterator[ActivityRecord]:
    """A reply; every page of a thread begins with its parent."""
    if item["ts"] == item.get("thread_ts"):
        return
    channel = str(ctx.vars["channel"])
    yield _message(item, ctx, channel, "comment")
    if f"<@{ctx.facts.get('user_id')}>" in item.get("text", ""):
        yield _message(item, ctx, channel, "mention")


def found_mention(item: Raw, ctx: Context) -> ActivityRecord:
    return _message(item, ctx, item["channel"]["id"], "mention")


def _message(item: Raw, ctx: Context, channel: str, kind: ActivityKind) -> ActivityRecord:
    ts = item["ts"]
    thread = item.get("thread_ts")
    edited_at = epoch((item.get("edited") or {}).get("ts"))
    reactions = item.get("reactions") or ()
    ours = item.get("user") == ctx.facts.get("user_id") or item.get("bot_id") == ctx.facts.get("bot_id", "-")
    counters = {"replies": item.get("reply_count", 0), "reactions": sum(found["count"] for found in reactions)}
    return ActivityRecord(
        kind=kind,
        vendor_id=f"{channel}:{ts}",
        parent_id=f"{channel}:{thread}" if thread and thread != ts else None,
        thread_id=f"{channel}:{thread or ts}",
        place=channel,
        occurred_at=epoch(ts),
        author=_author(item),
        direction="out" if ours else "in",
        text=plain(item.get("text", "")),
        permalink=f"{ctx.facts.get('url', '')}archives/{channel}/p{ts.replace('.', '')}",
        attachments=tuple(_file(found) for found in item.get("files") or ()),
        edited_at=edited_at,
        deleted=item.get("subtype") == "tombstone",
        version=microseconds(edited_at) if edited_at else 0,
        counters={name: count for name, count in counters.items() if count} or None,
        raw=item,
    )


def _author(item: Raw) -> Author:
    if user := item.get("user"):
        return Author(id=user)
    return Author(id=item.get("bot_id"), name=item.get("username") or (item.get("bot_profile") or {}).get("name"))


def _file(found: Raw) -> Attachment:
    kind = str(found.get("mimetype", "")).partition("/")[0]
    return Attachment(
        kind if kind in {"image", "video", "audio"} else "file",
        url=found.get("url_private"),
        id=found.get("id"),
        name=found.get("name"),
        content_type=found.get("mimetype"),
        size=found.get("size"),
    )


def presence(item: Raw, ctx: Context) -> ActivityRecord:
    user = ctx.partition.key
    return ActivityRecord(
        kind="presence", vendor_id=user, occurred_at=None, author=Author(id=user), data={"presence": item["presence"]}
    )


def person(item: Raw, _ctx: Context) -> ActivityRecord:
    profile = item.get("profile") or {}
    status = {name: profile.get(name) for name in ("status_text", "status_emoji", "status_expiration")}
    return ActivityRecord(
        kind="profile",
        vendor_id=item["id"],
        occurred_at=None,
        author=Author(id=item["id"], name=item.get("real_name") or profile.get("real_name"), handle=item.get("name")),
        deleted=bool(item.get("deleted")),
        version=int(item.get("updated") or 0),
        data={"email": profile.get("email"), "zone": item.get("tz"), "is_bot": bool(item.get("is_bot")), **status},
    )


def message_metrics(item: Raw, ctx: Context) -> Iterator[MetricRecord]:
    """Counters of a message as they stand today."""
    if item.get("subtype") in NOISE:
        return
    start, end = ctx.today()
    counts = {
        "reactions": sum(found["count"] for found in item.get("reactions") or ()),
        "replies": item.get("reply_count", 0),
        "reply_users": item.get("reply_users_count", 0),
    }
    for metric, value in counts.items():
        if value:
            yield MetricRecord(
                entity=f"{ctx.vars['channel']}:{item['ts']}",
                entity_kind="message",
                metric=metric,
                value=value,
                start=start,
                end=end,
                place=str(ctx.vars["channel"]),
            )


def channel_metrics(item: Raw, ctx: Context) -> MetricRecord | None:
    if item.get("num_members") is None:
        return None
    start, end = ctx.today()
    return MetricRecord(
        entity=item["id"],
        entity_kind="channel",
        metric="members",
        value=item["num_members"],
        start=start,
        end=end,
        place=item["id"],
    )
