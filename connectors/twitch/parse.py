"""Twitch's objects to our records. Pure.

Ids: videos have numbers and clips have words, so both keep theirs. Chat messages and whispers have UUIDs. Everything
about people is by user id: names change. Views grow for ever and the recording of a running stream grows longer; both
are counters, so that they are no news.
Source: Twitch API reference (Helix), EventSub subscription types (dev.twitch.tv/docs).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from connectors.http import Context
from connectors.http.times import iso
from connectors.records import ActivityKind, ActivityRecord, Attachment, Author, MetricRecord

Raw = dict[str, Any]
Record = ActivityRecord | MetricRecord

FOR_EVER = 2**62
"""Version of what does not come back."""
END: Raw = {"end": True}
"""Stands for the end of an answer about known ids: those it lacks are gone."""
_LENGTH = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?")


def when(text: str | None) -> datetime | None:
    """RFC 3339 with up to nine digits of a second."""
    return iso(re.sub(r"(\.\d{6})\d+", r"\1", text)) if text else None


def created(item: Raw) -> datetime | None:
    return when(item.get("created_at"))


def followed(item: Raw) -> datetime | None:
    return when(item.get("followed_at"))


def length(text: str | None) -> int | None:
    """`1h2m3s` in seconds."""
    found = _LENGTH.fullmatch(text or "")
    if not text or found is None:
        return None
    hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return hours * 3600 + minutes * 60 + seconds


# --- videos and clips


def video(item: Raw, _ctx: Context) -> ActivityRecord:
    counters = {"views": item.get("view_count"), "seconds": length(item.get("duration"))}
    data = {"what": item.get("type"), "stream": item.get("stream_id"), "language": item.get("language")}
    return ActivityRecord(
        kind="post",
        vendor_id=item["id"],
        place=item["user_id"],
        occurred_at=when(item.get("created_at")),
        author=Author(id=item["user_id"], name=item.get("user_name"), handle=item.get("user_login")),
        direction="out",
        title=item.get("title"),
        text=item.get("description") or "",
        permalink=item.get("url"),
        attachments=_picture(item.get("thumbnail_url")),
        counters={name: count for name, count in counters.items() if count is not None} or None,
        data={name: value for name, value in data.items() if value},
    )


def clip(item: Raw, _ctx: Context) -> ActivityRecord:
    """Cut by a viewer out of a stream; its recording may appear later, and go."""
    data = {
        "what": "clip",
        "game": item.get("game_id"),
        "language": item.get("language"),
        "seconds": str(item["duration"]) if item.get("duration") is not None else None,
        "featured": item.get("is_featured") or None,
    }
    return ActivityRecord(
        kind="post",
        vendor_id=item["id"],
        parent_id=item.get("video_id") or None,
        place=item["broadcaster_id"],
        occurred_at=when(item.get("created_at")),
        author=Author(id=item.get("creator_id") or None, name=item.get("creator_name") or None),
        direction="out" if item.get("creator_id") == item["broadcaster_id"] else "in",
        title=item.get("title"),
        text="",
        permalink=item.get("url"),
        attachments=_picture(item.get("thumbnail_url")),
        counters={"views": item["view_count"]} if item.get("view_count") is not None else None,
        data={name: value for name, value in data.items() if value},
    )


def _picture(url: str | None) -> tuple[Attachment, ...]:
    """Addresses of pictures are templates."""
    if not url:
        return ()
    sized = re.sub(r"%?\{width\}", "640", re.sub(r"%?\{height\}", "360", url))
    return (Attachment("image", url=sized),)


def watched(item: Raw, ctx: Context) -> Iterator[Record]:
    """A known video or clip as it is now, and its views; at the end those that are no more."""
    kind = ctx.vars["kind"]
    if item is END:
        found = {known["id"] for known in (ctx.body or {}).get("data") or ()}
        for lost in ctx.vars["ids"]:
            if lost not in found:
                yield ActivityRecord(kind="post", vendor_id=lost, occurred_at=None, deleted=True)
        return
    yield video(item, ctx) if kind == "video" else clip(item, ctx)
    if item.get("view_count") is not None:
        yield _today(ctx, item["id"], "views", item["view_count"], kind=kind)


# --- people


def user(item: Raw, _ctx: Context) -> ActivityRecord:
    """`view_count` of users is stale and ignored."""
    return ActivityRecord(
        kind="profile",
        vendor_id=item["id"],
        occurred_at=None,
        title=item.get("display_name"),
        text=item.get("description"),
        author=Author(id=item["id"], name=item.get("display_name"), handle=item.get("login")),
        permalink=f"https://www.twitch.tv/{item['login']}" if item.get("login") else None,
        attachments=_picture(item.get("profile_image_url")),
        data={"what": "user", "type": item.get("broadcaster_type") or None, "since": item.get("created_at")},
    )


def channel(item: Raw, _ctx: Context) -> ActivityRecord:
    return ActivityRecord(
        kind="profile",
        vendor_id=f"channel:{item['broadcaster_id']}",
        occurred_at=None,
        title=item.get("title"),
        author=Author(
            id=item["broadcaster_id"], name=item.get("broadcaster_name"), handle=item.get("broadcaster_login")
        ),
        data={
            "what": "channel",
            "game": item.get("game_name") or None,
            "language": item.get("broadcaster_language"),
            "tags": item.get("tags") or [],
        },
    )


def follower(item: Raw, _ctx: Context) -> ActivityRecord:
    """Somebody who follows. That they stopped shows nowhere but in the total."""
    return followed_by(item)


def followed_by(item: Raw) -> ActivityRecord:
    """The list gives whole seconds and the event more digits: seconds are enough."""
    at = followed(item)
    return ActivityRecord(
        kind="profile",
        vendor_id=f"follower:{item['user_id']}",
        occurred_at=at.replace(microsecond=0) if at else None,
        author=Author(id=item["user_id"], name=item.get("user_name"), handle=item.get("user_login")),
        data={"what": "follower"},
    )


def subscriber(item: Raw, ctx: Context) -> ActivityRecord | None:
    """The list holds the broadcaster, too."""
    if item["user_id"] == item["broadcaster_id"]:
        return None
    gift = item.get("gifter_id") or None
    return ActivityRecord(
        kind="profile",
        vendor_id=f"subscriber:{item['user_id']}",
        occurred_at=None,
        author=Author(id=item["user_id"], name=item.get("user_name"), handle=item.get("user_login")),
        data={"what": "subscriber", "tier": item.get("tier"), "gift_of": gift},
    )


# --- figures


def _today(
    ctx: Context, entity: str, metric: str, value: int, dimensions: dict[str, str] | None = None, *, kind: str
) -> MetricRecord:
    start, end = ctx.today()
    return MetricRecord(
        entity=entity,
        entity_kind=kind,
        metric=metric,
        value=value,
        start=start,
        end=end,
        dimensions=dimensions,
        place=str(ctx.facts.get("user_id") or "") or None,
    )


def total(metric: str, path: str = "total") -> Any:
    """A mapping of a whole answer to one number of it."""

    def read(item: Raw, ctx: Context) -> MetricRecord | None:
        value = item.get(path)
        return None if value is None else _today(ctx, str(ctx.facts["user_id"]), metric, value, kind="channel")

    return read


def subscribers(item: Raw, ctx: Context) -> Iterator[MetricRecord]:
    for metric, path in (("subscribers", "total"), ("subscriber_points", "points")):
        if (value := item.get(path)) is not None:
            yield _today(ctx, str(ctx.facts["user_id"]), metric, value, kind="channel")


def viewers(item: Raw, ctx: Context) -> MetricRecord:
    """A sample: Twitch keeps no history of viewers."""
    start = ctx.now.replace(second=0, microsecond=0)
    return MetricRecord(
        entity=item["id"],
        entity_kind="stream",
        metric="viewers",
        value=item["viewer_count"],
        start=start,
        end=start + timedelta(minutes=1),
        is_final=True,
        place=item["user_id"],
    )


def goal(item: Raw, ctx: Context) -> Iterator[MetricRecord]:
    dimensions = {"type": str(item.get("type", ""))}
    for metric in ("current_amount", "target_amount"):
        if (value := item.get(metric)) is not None:
            yield _today(ctx, item["id"], metric, value, dimensions, kind="goal")


def poll(item: Raw, _ctx: Context) -> Iterator[MetricRecord]:
    start = when(item.get("started_at"))
    if start is None:
        return
    for choice in item.get("choices") or ():
        yield MetricRecord(
            entity=item["id"],
            entity_kind="poll",
            metric="votes",
            value=choice["votes"],
            start=start,
            end=start,
            dimensions={"choice": choice["title"]},
            is_final=item.get("status") not in ("ACTIVE", None),
            place=item.get("broadcaster_id"),
        )


# --- now


def presence(item: Raw, ctx: Context) -> ActivityRecord:
    """The stream that runs, or that none does: absence is the only sign of it."""
    live = bool(item)
    data = {"live": live, "stream": item.get("id"), "game": item.get("game_name"), "since": item.get("started_at")}
    return ActivityRecord(
        kind="presence",
        vendor_id=str(ctx.facts["user_id"]),
        occurred_at=None,
        title=item.get("title"),
        counters={"viewers": item["viewer_count"]} if live and item.get("viewer_count") is not None else None,
        data={name: value for name, value in data.items() if value is not None},
    )


# --- what is told by EventSub


def said(event: Raw, at: datetime | None) -> Iterator[ActivityRecord]:
    """A chat message, and the mention of the broadcaster in it. Copies of a shared chat belong to another channel."""
    home, source = event["broadcaster_user_id"], event.get("source_broadcaster_user_id")
    if source and source != home:
        return
    yield _chat(event, "message", at)
    marks = [mark.get("mention") or {} for mark in (event.get("message") or {}).get("fragments") or ()]
    if event["chatter_user_id"] != home and any(mark.get("user_id") == home for mark in marks):
        yield _chat(event, "mention", at)


def _chat(event: Raw, kind: ActivityKind, at: datetime | None) -> ActivityRecord:
    above = event.get("reply") or {}
    cheer = event.get("cheer") or {}
    who = event["chatter_user_id"]
    return ActivityRecord(
        kind=kind,
        vendor_id=event["message_id"],
        parent_id=above.get("parent_message_id"),
        thread_id=above.get("thread_message_id") or event["message_id"],
        place=event["broadcaster_user_id"],
        occurred_at=at,
        author=Author(id=who, name=event.get("chatter_user_name"), handle=event.get("chatter_user_login")),
        direction="out" if who == event["broadcaster_user_id"] else "in",
        text=(event.get("message") or {}).get("text", ""),
        data={"bits": cheer["bits"]} if cheer.get("bits") else None,
        raw=event,
    )


def unsaid(event: Raw) -> Iterator[ActivityRecord]:
    kinds: tuple[ActivityKind, ...] = ("message", "mention")
    for kind in kinds:
        yield ActivityRecord(kind=kind, vendor_id=event["message_id"], occurred_at=None, deleted=True, version=FOR_EVER)


def whisper(event: Raw, at: datetime | None) -> ActivityRecord:
    return ActivityRecord(
        kind="message",
        vendor_id=event["whisper_id"],
        thread_id=f"whisper:{event['from_user_id']}",
        place="whispers",
        occurred_at=at,
        author=Author(id=event["from_user_id"], name=event.get("from_user_name"), handle=event.get("from_user_login")),
        text=(event.get("whisper") or {}).get("text", ""),
        raw=event,
    )


def cheer(event: Raw, number: str, at: datetime | None) -> ActivityRecord:
    """Bits, maybe from nobody in particular."""
    return ActivityRecord(
        kind="reaction",
        vendor_id=f"cheer:{number}",
        place=event["broadcaster_user_id"],
        occurred_at=at,
        author=Author(id=event.get("user_id"), name=event.get("user_name"), handle=event.get("user_login")),
        text=event.get("message") or "",
        data={"bits": event.get("bits")},
        raw=event,
    )
