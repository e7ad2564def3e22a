"""Answers to comments on own videos and to direct messages of a business account.

TikTok nests once, so an answer to an answer goes below the first comment. It has no token against repetition: an answer
that was lost is not sent again.
Source: business-api.tiktok.com/portal/docs: /business/comment/reply/create/, /business/message/send/.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from connectors.http import GONE, on
from connectors.http.replies import Outgoing, Replies, Sent
from connectors.http.request import Reply, Request, post
from connectors.tiktok.calls import V

if TYPE_CHECKING:
    from connectors.http.api import Api

COMMENT_CHARS = 150


def refuses(outgoing: Outgoing) -> str | None:
    if outgoing.kind == "message":
        return None
    if "ad" in outgoing.data:
        return "Comments on ads cannot be answered by apps: answer in TikTok Ads Manager."
    if len(outgoing.text) > COMMENT_CHARS:
        return f"A comment on TikTok has room for {COMMENT_CHARS} characters, these are {len(outgoing.text)}."
    return None


async def request(api: Api, outgoing: Outgoing) -> Request:
    business = api.facts["business_id"]
    if outgoing.kind == "message":
        body = {
            "business_id": business,
            "recipient_type": "CONVERSATION",
            "recipient": outgoing.thread_id,
            "message_type": "TEXT",
            "text": {"body": outgoing.text},
        }
        return post(f"{V}/business/message/send/", json=body, endpoint="message_send")
    nested = outgoing.parent_id not in (None, outgoing.thread_id)
    body = {
        "business_id": business,
        "video_id": outgoing.thread_id,
        "comment_id": outgoing.parent_id if nested else outgoing.target_id,
        "text": outgoing.text,
    }
    return post(f"{V}/business/comment/reply/create/", json=body, endpoint="comment_reply")


def sent(reply: Reply, outgoing: Outgoing) -> Sent:
    return Sent(outgoing.kind, str(reply.at("data.comment_id") or reply.at("data.message.message_id")))


REPLIES = Replies(
    request,
    sent,
    refuses,
    most_chars=6000,
    scopes=("comment.list.manage", "message.list.send"),
    verdicts=(
        on(
            code=40002,
            message="messaging window",
            then=GONE,
            reason="Their last message is more than 48 hours old: TikTok lets nobody answer it any more.",
        ),
    ),
)
