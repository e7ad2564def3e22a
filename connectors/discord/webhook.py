"""Discord's webhook events and interactions: signed with Ed25519 over timestamp and raw body.

Discord sends wrong signatures on purpose; whoever accepts one is cut off. Events have no id, so the body is their key.
Source: Discord developer docs, webhook events and interactions.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256

from connectors.http import Hook, HookAnswer, HookEvent, Webhook, read_object

WINDOW_S = 300


def verify(hook: Hook) -> bool:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    sent_at = hook.headers.get("x-signature-timestamp", "")
    if not sent_at.isdecimal() or abs(hook.received_at - int(sent_at)) > WINDOW_S:
        return False
    try:
        key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(hook.secrets.get("public_key", "")))
        key.verify(bytes.fromhex(hook.headers.get("x-signature-ed25519", "")), sent_at.encode() + hook.body)
    except (InvalidSignature, ValueError):
        return False
    return True


def handshake(hook: Hook) -> HookAnswer | None:
    """Two kinds of PING: of the events' address (type 0) and of the interactions' address (type 1 without an event)."""
    body = read_object(hook.body)
    if body.get("type") == 0:
        return HookAnswer(204, content_type="application/json")
    if body.get("type") == 1 and "event" not in body:
        return HookAnswer(200, '{"type":1}', "application/json")
    return None


def events(hook: Hook) -> Iterator[HookEvent]:
    """A server that our bot was added to, a command that somebody used. People who leave the app concern no server."""
    body = read_object(hook.body)
    event = body.get("event") or {}
    data = event.get("data") or {}
    if event.get("type") == "APPLICATION_AUTHORIZED" and data.get("integration_type") == 0 and data.get("guild"):
        yield HookEvent(str(data["guild"]["id"]), sha256(hook.body).hexdigest(), dirty=("profile",))
    elif body.get("type") in {2, 3, 4, 5} and body.get("guild_id"):
        yield HookEvent(str(body["guild_id"]), str(body.get("id", "")), dirty=("messages",))


def accepted(hook: Hook) -> HookAnswer:
    """204 for an event. A command is answered by us later, if at all: 202."""
    return HookAnswer(204 if "event" in read_object(hook.body) else 202, content_type="application/json")


WEBHOOK = Webhook(verify=verify, handshake=handshake, events=events, signed_by="x-signature-ed25519", accepted=accepted)
