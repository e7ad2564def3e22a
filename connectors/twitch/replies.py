"""Answers in the chat of the channel.

Twitch has no token against repetition: an answer that was lost is not sent again. A message that it drops it says so
about, with HTTP 200.
Source: dev.twitch.tv/docs/api/reference/#send-chat-message.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from connectors.http.replies import Outgoing, Replies, Sent
from connectors.http.request import Reply, Request, post
from sync.base.errors import Permanent

if TYPE_CHECKING:
    from connectors.http.api import Api


def refuses(outgoing: Outgoing) -> str | None:
    if outgoing.place == "whispers":
        return "Twitch lets apps send whispers only with a verified phone number: answer there."
    return None


async def request(api: Api, outgoing: Outgoing) -> Request:
    body = {
        "broadcaster_id": outgoing.place,
        "sender_id": str(api.facts["user_id"]),
        "message": outgoing.text,
        "reply_parent_message_id": outgoing.target_id,
    }
    return post("/helix/chat/messages", json=body, endpoint="chat/messages")


def sent(reply: Reply, outgoing: Outgoing) -> Sent:
    made = reply.at("data.0", {})
    if not made.get("is_sent"):
        why = (made.get("drop_reason") or {}).get("message") or "It does not say why."
        raise Permanent(f"Twitch dropped the message: {why}", code="dropped")
    return Sent(outgoing.kind, made["message_id"])


REPLIES = Replies(request, sent, refuses, most_chars=500, scopes=("user:write:chat",))
