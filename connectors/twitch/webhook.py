"""EventSub: signed over message id, time and raw body; at least once, in no order, under changing message ids.

The secret is one for all our subscriptions (`eventsub_secret` of the app). Events about content are told apart by the
content's own id, because the same one may come under two message ids.
Source: dev.twitch.tv/docs/eventsub, handling webhook events and subscription types.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterator
from hashlib import sha256
from typing import Any

from connectors.http import Hook, HookAnswer, HookEvent, Webhook, read_object
from connectors.twitch import parse
from connectors.twitch.eventsub import register

WINDOW_S = 600
GONE = {
    "authorization_revoked": "The Twitch account was disconnected from our app, or its password changed.",
    "user_removed": "The Twitch account does not exist any more.",
}
DIRTY = {
    "stream.online": ("presence", "posts"),
    "stream.offline": ("presence", "posts"),
    "channel.update": ("profile",),
    "user.update": ("profile",),
    "channel.subscribe": ("profile", "engagement-metrics"),
    "channel.subscription.end": ("profile", "engagement-metrics"),
    "channel.subscription.gift": ("engagement-metrics",),
    "channel.subscription.message": ("profile",),
    "channel.raid": ("presence",),
}
_PLACES = ("broadcaster_user_id", "to_broadcaster_user_id", "user_id")


def verify(hook: Hook) -> bool:
    """Notifications, revocations and the challenge alike."""
    number, sent_at = _header(hook, "id"), _header(hook, "timestamp")
    secret, at = hook.secrets.get("eventsub_secret", ""), _when(sent_at)
    if not secret or not number or at is None or abs(hook.received_at - at) > WINDOW_S:
        return False
    digest = hmac.new(secret.encode(), number.encode() + sent_at.encode() + hook.body, sha256).hexdigest()
    return hmac.compare_digest(f"sha256={digest}".encode(), _header(hook, "signature").encode())


def handshake(hook: Hook) -> HookAnswer | None:
    """The bare challenge, as plain text."""
    if _header(hook, "type") != "webhook_callback_verification":
        return None
    return HookAnswer(body=str(read_object(hook.body).get("challenge", "")))


def events(hook: Hook) -> Iterator[HookEvent]:
    body, number = read_object(hook.body), _header(hook, "id")
    told = body.get("subscription") or {}
    condition = told.get("condition") or {}
    account = next((str(condition[name]) for name in _PLACES if name in condition), "")
    if _header(hook, "type") == "revocation":
        if (why := GONE.get(str(told.get("status")))) is not None and account:
            yield HookEvent(account, number, revoked=why)
        return
    event = body.get("event") or {}
    kind = str(told.get("type", ""))
    if kind == "user.authorization.revoke":
        yield HookEvent(str(event.get("user_id", "")), number, revoked=GONE["authorization_revoked"])
    elif kind in DIRTY:
        yield HookEvent(account, number, dirty=DIRTY[kind])
    else:
        yield from _content(kind, event, account, number, _header(hook, "timestamp"))


def _content(kind: str, event: dict[str, Any], account: str, number: str, sent_at: str) -> Iterator[HookEvent]:
    """Events that are records themselves."""
    at = parse.when(sent_at)
    if kind == "channel.chat.message":
        yield HookEvent(account, f"chat:{event['message_id']}", records=tuple(parse.said(event, at)))
    elif kind == "channel.chat.message_delete":
        yield HookEvent(account, f"unchat:{event['message_id']}", records=tuple(parse.unsaid(event)))
    elif kind == "user.whisper.message":
        yield HookEvent(account, f"whisper:{event['whisper_id']}", records=(parse.whisper(event, at),))
    elif kind == "channel.follow":
        key = f"follow:{event['user_id']}:{event['followed_at']}"
        record = parse.followed_by(event)
        yield HookEvent(account, key, records=(record,), dirty=("engagement-metrics",))
    elif kind == "channel.cheer":
        yield HookEvent(account, number, records=(parse.cheer(event, number, at),))


def _header(hook: Hook, name: str) -> str:
    return hook.headers.get(f"twitch-eventsub-message-{name}", "")


def _when(text: str) -> float | None:
    try:
        found = parse.when(text)
    except ValueError:
        return None
    return found.timestamp() if found else None


_PREFIX = "twitch-eventsub-message-"
WEBHOOK = Webhook(
    verify=verify,
    handshake=handshake,
    events=events,
    signed_by=f"{_PREFIX}signature",
    # Bodies may repeat: two streams of a channel end with the same one.
    delivery_id=lambda hook: _header(hook, "id"),
    register=register,
    kept=(f"{_PREFIX}id", f"{_PREFIX}type", f"{_PREFIX}timestamp"),
)
