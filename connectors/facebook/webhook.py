"""Meta's webhooks: up to a thousand changes of several accounts in one signed body."""

from __future__ import annotations

import hmac
from collections.abc import Iterator
from hashlib import sha256
from typing import Any

import msgspec

from connectors.http import Hook, HookAnswer, HookEvent, Webhook, read_object

SYNC_TYPES = {
    "comments": "comments",
    "mention": "mentions",
    "mentions": "mentions",
    "messages": "messages",
}


def verify(hook: Hook) -> bool:
    """Over the bytes as received: Meta escapes what a JSON library would not."""
    secret = hook.secrets.get("client_secret", "")
    digest = hmac.new(secret.encode(), hook.body, sha256).hexdigest()
    given = hook.headers.get("x-hub-signature-256", "")
    return bool(secret) and hmac.compare_digest(f"sha256={digest}".encode(), given.encode())


def handshake(hook: Hook) -> HookAnswer | None:
    if hook.method != "GET" or hook.query.get("hub.mode") != "subscribe":
        return None
    expected = hook.secrets.get("verify_token", "")
    if not expected or not hmac.compare_digest(hook.query.get("hub.verify_token", "").encode(), expected.encode()):
        return HookAnswer(403)
    return HookAnswer(body=hook.query.get("hub.challenge", ""))


def events(hook: Hook) -> Iterator[HookEvent]:
    """Which accounts changed, and sync types that bring the change. Without a delivery id the content is the key."""
    for entry in read_object(hook.body).get("entry") or []:
        for change in entry.get("changes") or ():
            value = change.get("value") or {}
            item = value.get("item")
            dirty = SYNC_TYPES.get(change.get("field")) or ("comments" if item == "comment" else "posts")
            yield HookEvent(str(entry.get("id", "")), _key(entry, change), dirty=(dirty,))
        for messaging in entry.get("messaging") or ():
            yield HookEvent(str(entry.get("id", "")), _key(entry, messaging), dirty=("messages",))


def _key(entry: dict[str, Any], change: dict[str, Any]) -> str:
    told = msgspec.json.encode([entry.get("id"), change], order="deterministic")
    return sha256(told).hexdigest()


WEBHOOK = Webhook(
    verify=verify,
    handshake=handshake,
    events=events,
    verify_handshake=False,
    signed_by="x-hub-signature-256",
    challenge="hub.challenge",
)
