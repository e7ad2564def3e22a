"""Reddit's things to our records. Pure.

Posts, comments and messages go by their fullnames (t3_, t1_, t4_). Times are `created_utc`; `created` is not UTC
everywhere. What was deleted stays as a shell without its author or text; Reddit's terms want our copy to go as well, so
a shell overwrites it.
Source: reddit.com/dev/api; recorded answers of praw and prawcore.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from connectors.http import Context, Reply, dig
from connectors.http.times import epoch, iso, milliseconds
from connectors.records import ActivityKind, ActivityRecord, Attachment, Author, MetricRecord

Raw = dict[str, Any]

DELETED, REMOVED = "[deleted]", "[removed]"
SITE = "https://www.reddit.com"
SETTLED = timedelta(days=2)
NEVER = "0001-01-01"
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


def created_at(item: Raw) -> datetime | None:
    """Of a listing's child."""
    return epoch(item["data"].get("created_utc"))


def modmail_date(item: Raw) -> datetime | None:
    return iso(item.get("date"))


def base36(number: int) -> str:
    out = ""
    while number:
        number, digit = divmod(number, 36)
        out = _DIGITS[digit] + out
    return out or "0"


# --- posts and comments


def thing(item: Raw, ctx: Context) -> ActivityRecord | None:
    """A post (t3) or comment (t1) of a listing."""
    if item.get("kind") == "t3":
        return post(item["data"], ctx)
    return comment(item["data"], ctx) if item.get("kind") == "t1" else None


def post(data: Raw, ctx: Context) -> ActivityRecord:
    gone = _is_gone(data, "selftext") or bool(data.get("removed_by_category"))
    link = data.get("url") if not data.get("is_self") else None
    files = [Attachment("image" if data.get("post_hint") == "image" else "link", url=link)] if link else []
    files += [Attachment("video", url=url)] if (url := dig(data, "media.reddit_video.fallback_url")) else []
    return ActivityRecord(
        kind="post",
        vendor_id=data["name"],
        thread_id=data["name"],
        title=None if gone else data.get("title"),
        text=None if gone else data.get("selftext") or None,
        attachments=() if gone else tuple(files),
        counters=_counters(data, comments=data.get("num_comments")),
        data={
            "flair": data.get("link_flair_text"),
            "removed_by": data.get("removed_by_category"),
            "crosspost_of": data.get("crosspost_parent"),
            "locked": bool(data.get("locked")),
        },
        **_common(data, ctx, gone),
    )


def comment(data: Raw, ctx: Context) -> ActivityRecord:
    gone = _is_gone(data, "body")
    return ActivityRecord(
        kind="comment",
        vendor_id=data["name"],
        parent_id=data.get("parent_id"),
        thread_id=data.get("link_id"),
        text=None if gone else data.get("body"),
        counters=_counters(data),
        **_common(data, ctx, gone),
    )


def _common(data: Raw, ctx: Context, gone: bool) -> dict[str, Any]:
    edited_at = epoch(data["edited"]) if data.get("edited") not in (None, False, True) else None
    raw = {name: value for name, value in data.items() if name not in ("replies", "children")}
    return {
        "place": data.get("subreddit"),
        "occurred_at": epoch(data.get("created_utc")),
        "edited_at": edited_at,
        "author": _author(data),
        "direction": "out" if _is_me(data.get("author"), ctx) else "in",
        "permalink": SITE + data["permalink"] if data.get("permalink") else None,
        "deleted": gone,
        "version": milliseconds(edited_at) if edited_at else 0,
        "raw": raw,
    }


def _is_gone(data: Raw, text: str) -> bool:
    return data.get("author") == DELETED or data.get(text) in (DELETED, REMOVED)


def _is_me(name: Any, ctx: Context) -> bool:
    """Names are the same in any case."""
    return str(name or "").lower() == str(ctx.facts["name"]).lower()


def _author(data: Raw) -> Author:
    name = data.get("author")
    if name in (None, DELETED):
        return Author(handle=DELETED)
    return Author(id=data.get("author_fullname"), handle=name, url=f"{SITE}/user/{name}")


def _counters(data: Raw, **more: int | None) -> dict[str, int] | None:
    """Scores are blurred, and mean nothing while they are hidden."""
    hidden = data.get("score_hidden") or data.get("hide_score")
    found = {"score": None if hidden else data.get("score"), **more}
    return {name: value for name, value in found.items() if value is not None} or None


def measured(item: Raw, ctx: Context) -> Iterator[ActivityRecord | MetricRecord]:
    """A thing as it is now: edited, deleted perhaps, and its counters as they stand today."""
    record = thing(item, ctx)
    if record is None:
        return
    yield record
    if record.deleted:
        return
    data = item["data"]
    ratio = data.get("upvote_ratio")
    values = {
        **(record.counters or {}),
        "crossposts": data.get("num_crossposts"),
        "upvote_percent": round(ratio * 100) if ratio is not None else None,
    }
    for metric, value in values.items():
        if value is not None:
            yield _today(ctx, record.vendor_id, record.kind, metric, value, data.get("subreddit"))


# --- trees of comments


def tree(reply: Reply) -> list[Raw]:
    """Comments of a tree, or of a call for more of it, flat; the stubs for more are left to the pager."""
    return [found for found in _walk(reply.data) if found.get("kind") == "t1"]


def stubs(reply: Reply) -> list[Raw]:
    return [found["data"] for found in _walk(reply.data) if found.get("kind") == "more"]


def _walk(data: Any) -> Iterator[Raw]:
    things = dig(data, "json.data.things") if isinstance(data, dict) else dig(data, "1.data.children")
    waiting = list(reversed(things or ()))
    while waiting:
        found = waiting.pop()
        yield found
        replies = dig(found, "data.replies")
        if isinstance(replies, dict):  # an empty text where there are none
            waiting += reversed(dig(replies, "data.children", ()))


# --- the inbox


def mention(item: Raw, ctx: Context) -> ActivityRecord | None:
    data = item["data"]
    return _from_inbox(data, ctx, "mention") if data.get("was_comment") else None


def reply_elsewhere(item: Raw, ctx: Context) -> ActivityRecord | None:
    """A reply to a comment of ours; those in our own subreddits come whole by another way."""
    data = item["data"]
    ours = {str(name).lower() for name in ctx.facts.get("moderates", ())}
    if not data.get("was_comment") or str(data.get("subreddit")).lower() in ours:
        return None
    return _from_inbox(data, ctx, "comment")


def _from_inbox(data: Raw, ctx: Context, kind: ActivityKind) -> ActivityRecord:
    """A comment as the inbox shows it: its post is only in the address."""
    context = str(data.get("context") or "").partition("?")[0]
    parts = context.split("/")
    link = f"t3_{parts[4]}" if len(parts) > 4 and parts[3] == "comments" else None
    gone = _is_gone(data, "body")
    return ActivityRecord(
        kind=kind,
        vendor_id=data["name"],
        parent_id=data.get("parent_id"),
        thread_id=link or data.get("parent_id"),
        text=None if gone else data.get("body"),
        **_common({**data, "permalink": context}, ctx, gone),
    )


def messages(item: Raw, ctx: Context) -> Iterator[ActivityRecord]:
    """A private message, and the answers that came inside it."""
    data = item["data"]
    if item.get("kind") != "t4":
        return
    name = data["name"]
    yield ActivityRecord(
        kind="message",
        vendor_id=name,
        parent_id=data.get("parent_id"),
        thread_id=data.get("first_message_name") or name,
        title=data.get("subject"),
        text=data.get("body"),
        data={"to": data.get("dest")},
        **_common({**data, "subreddit": None}, ctx, False),
    )
    replies = data.get("replies")
    for answer in dig(replies, "data.children", ()) if isinstance(replies, dict) else ():
        yield from messages(answer, ctx)


def modmail(item: Raw, ctx: Context) -> ActivityRecord:
    talk, author = str(ctx.partition.key), item.get("author") or {}
    conversation = dig(ctx.body, "conversation", {})
    name = author.get("name")
    return ActivityRecord(
        kind="message",
        vendor_id=f"{talk}:{item['id']}",
        thread_id=f"modmail:{talk}",
        place=dig(conversation, "owner.displayName"),
        occurred_at=iso(item.get("date")),
        author=Author(id=f"t2_{base36(author['id'])}" if author.get("id") else None, handle=name),
        direction="out" if author.get("isMod") else "in",
        title=conversation.get("subject"),
        text=item.get("bodyMarkdown"),
        permalink=f"https://mod.reddit.com/mail/all/{talk}",
        data={"internal": bool(item.get("isInternal"))},
        raw=item,
    )


# --- profile and figures


def profile(item: Raw, ctx: Context) -> Iterator[ActivityRecord | MetricRecord]:
    account = f"t2_{item['id']}"
    yield ActivityRecord(
        kind="profile",
        vendor_id=account,
        occurred_at=None,
        author=Author(id=account, handle=item["name"], url=f"{SITE}/user/{item['name']}"),
        direction="out",
        text=dig(item, "subreddit.public_description") or None,
        data={"icon": str(item.get("icon_img") or "").partition("?")[0] or None, "is_mod": bool(item.get("is_mod"))},
    )
    for metric in ("link_karma", "comment_karma"):
        if item.get(metric) is not None:
            yield _today(ctx, account, "account", metric, item[metric], None)


def subreddit(item: Raw, ctx: Context) -> Iterator[MetricRecord]:
    data = item["data"]
    values = {"subscribers": data.get("subscribers"), "active": data.get("active_user_count")}
    for metric, value in values.items():
        if value is not None:
            yield _today(ctx, data["name"], "subreddit", metric, value, data.get("display_name"))


def traffic_day(item: list[int], ctx: Context) -> Iterator[MetricRecord]:
    """A day of a subreddit's traffic: [its beginning, unique visitors, page views, subscriptions]."""
    start = epoch(item[0])
    assert start is not None
    end = start + timedelta(days=1)
    for metric, value in zip(("uniques", "pageviews", "subscriptions"), item[1:], strict=False):
        yield MetricRecord(
            entity=ctx.partition.key,
            entity_kind="subreddit",
            metric=metric,
            value=value,
            start=start,
            end=end,
            place=ctx.vars["name"],
            is_final=end + SETTLED <= ctx.now,
        )


def _today(ctx: Context, entity: str, kind: str, metric: str, value: int, place: str | None) -> MetricRecord:
    start, end = ctx.today()
    return MetricRecord(entity=entity, entity_kind=kind, metric=metric, value=value, start=start, end=end, place=place)
