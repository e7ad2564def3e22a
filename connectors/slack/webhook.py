"""Slack's Events API: signed, deduplicated by event_id, at least once, in no order."""

from __future__ import annotations

import hmac
from collections.abc import Iterator
from hashlib import sha256
from typing import Any

from connectors.http import Hook, HookAnswer, HookEvent, Webhook, read_object

WINDOW_S = 300


def verify(hook: Hook) -> bool:
    sent_at = hook.headers.get("x-slack-request-timestamp", "")
    secret = hook.secrets.get("signing_secret", "")
    if not secret or not sent_at.isdecimal() or abs(hook.received_at - int(sent_at)) > WINDOW_S:
        return False
    digest = hmac.new(secret.encode(), b"v0:" + sent_at.encode() + b":" + hook.body, sha256).hexdigest()
    return hmac.compare_digest(f"v0={digest}".encode(), hook.headers.get("x-slack-signature", "").encode())


def handshake(hook: Hook) -> HookAnswer | None:
    body = read_object(hook.body)
    return HookAnswer(body=str(body.get("challenge", ""))) if body.get("type") == "url_verification" else None


def events(hook: Hook) -> Iterator[HookEvent]:
    """What changed, as sync types to pull: an event alone does not make a complete record (thread, edits)."""
    body = read_object(hook.body)
    if body.get("type") != "event_callback":
        return
    event = body.get("event") or {}
    authorization: dict[str, Any] = next(iter(body.get("authorizations") or ()), {})
    account = str(authorization.get("team_id") or body.get("team_id") or "")
    key, kind = str(body.get("event_id", "")), event.get("type")
    if kind in {"app_uninstalled", "tokens_revoked"}:
        yield HookEvent(account, key, revoked="The app was removed from the Slack workspace.")
    elif kind in {"message", "app_mention"}:
        message = event.get("message") or event
        threaded = message.get("thread_ts") not in (None, message.get("ts"))
        yield HookEvent(account, key, dirty=("comments",) if threaded else ("messages",))
    elif kind in {"user_change", "team_join"}:
        yield HookEvent(account, key, dirty=("profile",))
    elif kind in {"reaction_added", "reaction_removed"}:
        yield HookEvent(account, key, dirty=("engagement-metrics",))


WEBHOOK = Webhook(verify=verify, handshake=handshake, events=events, signed_by="x-slack-signature")
