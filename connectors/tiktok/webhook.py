"""TikTok's webhooks: an envelope whose `content` is JSON once more; no event id, no handshake, duplicates expected.

Source: developers.tiktok.com doc/webhooks-verification, business-api.tiktok.com v1.3 webhooks.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterator
from hashlib import sha256

from connectors.http import Hook, HookEvent, Webhook, read_object
from connectors.tiktok import parse

WINDOW_S = 300
MESSAGES = ("im_receive_msg", "im_send_msg")
REVOKED = {
    1: "the TikTok user took our access back.",
    2: "the TikTok account was deleted.",
    3: "the age of the TikTok user was changed.",
    4: "the TikTok account was banned.",
    5: "TikTok or its developer settings took our access back.",
}


def verify(hook: Hook) -> bool:
    parts = dict(part.partition("=")[::2] for part in hook.headers.get("tiktok-signature", "").split(","))
    sent_at, given = parts.get("t", ""), parts.get("s", "")
    secret = hook.secrets.get("client_secret", "")
    if not secret or not sent_at.isdecimal() or abs(hook.received_at - int(sent_at)) > WINDOW_S:
        return False
    digest = hmac.new(secret.encode(), sent_at.encode() + b"." + hook.body, sha256).hexdigest()
    return hmac.compare_digest(digest.encode(), given.encode())


def events(hook: Hook) -> Iterator[HookEvent]:
    """Messages come whole and are kept as they are: lists show only the newest twenty. The rest is read anew."""
    envelope = read_object(hook.body)
    content = read_object(envelope.get("content") or b"")
    event, account = str(envelope.get("event", "")), str(envelope.get("user_openid", ""))
    if event == "authorization.removed":
        reason = REVOKED.get(content.get("reason", 0), "TikTok does not say why.")
        text = f"TikTok no longer accepts our access: {reason}"
        yield HookEvent(account, _key(event, account, envelope.get("create_time")), revoked=text)
    elif event in MESSAGES and content.get("message_id"):
        yield HookEvent(account, _key("message", content["message_id"]), records=(parse.message(content),))
    elif event == "im_receive_msg_eu":
        yield HookEvent(account, _key(event, account, content.get("timestamp")), dirty=("messages",))
    elif event == "comment.update" and content.get("comment_id"):
        comment, action = content.get("comment_id"), content.get("comment_action")
        key = _key(event, comment, action, content.get("timestamp"))
        if action == "delete":
            yield HookEvent(account, key, records=(parse.deleted_comment(comment),))
        else:
            yield HookEvent(account, key, dirty=("comments",))
    elif event == "brand.mention.event":
        key = _key(event, content.get("video_id"), content.get("comment_id"), content.get("type_of_event"))
        yield HookEvent(account, key, dirty=("mentions",))
    elif event == "post.publish.no_longer_publicly_available" and content.get("post_id"):
        gone = parse.vanished(str(content["post_id"]))
        # It may come back and vanish again.
        yield HookEvent(account, _key(event, content["post_id"], envelope.get("create_time")), records=(gone,))
    elif event.startswith("post.publish."):
        yield HookEvent(account, _key(event, content.get("publish_id")), dirty=("posts",))


def _key(*parts: object) -> str:
    return ":".join(map(str, parts))


WEBHOOK = Webhook(verify=verify, events=events, signed_by="tiktok-signature")
