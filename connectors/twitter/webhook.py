"""Webhooks of the X Activity API, and of the older Account Activity API.

Both sign the raw body with the consumer secret, and check a receiver by having it sign a token. Events lack what
`expansions` bring, so most of them only say what to pull; messages and deletions are complete.
"""

from __future__ import annotations

import hmac
from base64 import b64encode
from collections.abc import Iterator
from hashlib import sha256
from html import unescape
from typing import Any

import msgspec

from connectors.http import Hook, HookAnswer, HookEvent, Webhook, dig, read_object
from connectors.http.times import epoch_ms
from connectors.records import ActivityRecord, Author
from connectors.twitter import parse

DIRTY = {
    "post.create": "posts",
    "post.mention.create": "mentions",
    "post.quote.create": "mentions",
    "post.reply.create": "comments",
    "dm.received": "messages",
    "dm.sent": "messages",
    "chat.received": "messages",
    "chat.sent": "messages",
    "follow.follow": "profile",
    "follow.unfollow": "profile",
}
OLDER = {
    "tweet_create_events": "posts",
    "tweet_delete_events": "posts",
    "direct_message_events": "messages",
    "follow_events": "profile",
}
REVOKED = "The person took back our access in the settings of X."


def sign(secret: str, message: bytes) -> str:
    return "sha256=" + b64encode(hmac.new(secret.encode(), message, sha256).digest()).decode()


def verify(hook: Hook) -> bool:
    secret = hook.secrets.get("consumer_secret", "")
    given = hook.headers.get("x-twitter-webhooks-signature", "")
    return bool(secret) and hmac.compare_digest(sign(secret, hook.body).encode(), given.encode())


def handshake(hook: Hook) -> HookAnswer | None:
    secret, token = hook.secrets.get("consumer_secret", ""), hook.query.get("crc_token", "")
    if hook.method != "GET" or not token or not secret:
        return None
    body = msgspec.json.encode({"response_token": sign(secret, token.encode())}).decode()
    return HookAnswer(body=body, content_type="application/json")


def events(hook: Hook) -> Iterator[HookEvent]:
    body = read_object(hook.body)
    data = body.get("data")
    if isinstance(data, dict):
        yield from _activity(data)
    else:
        yield from _older(body)


def _activity(data: dict[str, Any]) -> Iterator[HookEvent]:
    kind, key = str(data.get("event_type", "")), str(data.get("event_uuid", ""))
    payload = data.get("payload") or {}
    account = str(dig(data, "filter.user_id", ""))
    if kind == "oauth.revoke":
        yield HookEvent(str(payload.get("user_id", "")), key, revoked=REVOKED)
    elif kind == "post.delete" and payload.get("id"):
        post_id = str(payload["id"])
        version = (1 << 63) - 1  # nothing follows a deletion
        gone = tuple(parse.deleted(name, post_id, version) for name in ("post", "comment"))
        yield HookEvent(account, key, records=gone)
    elif kind in ("dm.received", "dm.sent") and (records := _messages(payload, account)):
        yield HookEvent(account, key, records=records)
    elif kind.startswith("profile.update"):
        yield HookEvent(account, key, dirty=("profile",))
    elif kind in DIRTY:
        yield HookEvent(account, key, dirty=(DIRTY[kind],))


def _messages(payload: dict[str, Any], account: str) -> tuple[ActivityRecord, ...]:
    """Messages between two people as a pull would bring them; nothing if one is not or has a file."""
    records = []
    for event in payload.get("direct_message_events") or ():
        created = event.get("message_create") or {}
        sender, receiver = str(created.get("sender_id", "")), str(dig(created, "target.recipient_id", ""))
        content = created.get("message_data") or {}
        if not (sender and receiver) or content.get("attachment") or account not in (sender, receiver):
            return ()
        user = dig(payload, f"users.{sender}", {})
        user = user.get("data") or user
        handle = user.get("username")
        records.append(
            ActivityRecord(
                kind="message",
                vendor_id=str(event["id"]),
                thread_id="-".join(sorted((sender, receiver), key=int)),
                occurred_at=epoch_ms(event.get("created_timestamp")),
                author=Author(
                    id=sender, name=user.get("name"), handle=handle, url=f"https://x.com/{handle}" if handle else None
                ),
                direction="out" if sender == account else "in",
                text=unescape(content.get("text", "")),
                raw=event,
            )
        )
    return tuple(records)


def _older(body: dict[str, Any]) -> Iterator[HookEvent]:
    """One delivery may hold several lists; each says what to pull."""
    if (gone := dig(body, "user_event.revoke")) is not None:
        user = str(dig(gone, "source.user_id", ""))
        yield HookEvent(user, f"revoke:{user}:{gone.get('date_time', '')}", revoked=REVOKED)
    account = str(body.get("for_user_id", ""))
    for name, sync_type in OLDER.items():
        for entry in body.get(name) or ():
            entry_id = (
                entry.get("id_str") or entry.get("id") or dig(entry, "status.id") or entry.get("created_timestamp")
            )
            dirty: tuple[str, ...] = (sync_type,)
            if name == "tweet_create_events" and str(dig(entry, "user.id_str", "")) != account:
                dirty = ("mentions", "comments") if entry.get("in_reply_to_status_id_str") else ("mentions",)
            yield HookEvent(account, f"{name}:{entry_id}", dirty=dirty)


WEBHOOK = Webhook(
    verify=verify,
    handshake=handshake,
    events=events,
    verify_handshake=False,
    signed_by="x-twitter-webhooks-signature",
    challenge="crc_token",
)
