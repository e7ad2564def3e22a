"""LinkedIn's webhooks: up to ten notifications about pages in one signed body; validated anew every two hours.

Source: learn.microsoft.com/linkedin/shared/api-guide/webhook-validation.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterator
from hashlib import sha256

import msgspec

from connectors.http import Hook, HookAnswer, HookEvent, Webhook, read_object
from connectors.linkedin import parse

DIRTY = {"COMMENT": "comments", "ADMIN_COMMENT": "comments", "COMMENT_EDIT": "comments", "SHARE_MENTION": "mentions"}


def verify(hook: Hook) -> bool:
    """The prefix is part of what is signed, not of the header."""
    secret = hook.secrets.get("client_secret", "")
    digest = _hex(secret, b"hmacsha256=" + hook.body)
    return bool(secret) and hmac.compare_digest(digest.encode(), hook.headers.get("x-li-signature", "").encode())


def handshake(hook: Hook) -> HookAnswer | None:
    challenge = hook.query.get("challengeCode", "")
    secret = hook.secrets.get("client_secret", "")
    if hook.method != "GET" or not challenge:
        return None
    if not secret:
        return HookAnswer(403)
    told = {"challengeCode": challenge, "challengeResponse": _hex(secret, challenge.encode())}
    return HookAnswer(body=msgspec.json.encode(told).decode(), content_type="application/json")


def events(hook: Hook) -> Iterator[HookEvent]:
    """Comments are read anew, for a notification does not have them whole; a deleted one is marked at once."""
    for notice in read_object(hook.body).get("notifications") or []:
        action, account = notice.get("action"), str(notice.get("organizationalEntity", ""))
        key = str(notice.get("notificationId", ""))
        if action == "COMMENT_DELETE":
            yield HookEvent(account, key, records=(parse.deleted_comment(notice),))
        elif action in DIRTY:
            records = (parse.mention(notice),) if action == "SHARE_MENTION" else ()
            yield HookEvent(account, key, records=records, dirty=() if records else (DIRTY[action],))


def _hex(secret: str, message: bytes) -> str:
    return hmac.new(secret.encode(), message, sha256).hexdigest()


WEBHOOK = Webhook(
    verify=verify,
    handshake=handshake,
    events=events,
    verify_handshake=False,
    signed_by="x-li-signature",
    challenge="challengeCode",
)
