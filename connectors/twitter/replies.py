"""Answers to replies and direct messages on X.

X has no token against repetition (it refuses a post with the same text as a recent one, which is no promise): an answer
that was lost is not sent again.
Source: docs.x.com/x-api/posts/create-post, /x-api/direct-messages/create-dm-message-by-conversation-id.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from connectors.http import GONE, on
from connectors.http.replies import Outgoing, Replies, Sent
from connectors.http.request import Reply, Request, post
from connectors.twitter.parse import time_of

if TYPE_CHECKING:
    from connectors.http.api import Api

POST_CHARS = 280


def refuses(outgoing: Outgoing) -> str | None:
    """Characters beyond the Latin, Greek and Cyrillic scripts count twice, as X counts them."""
    length = sum(1 if ord(char) < 0x1100 else 2 for char in outgoing.text)
    if outgoing.kind == "comment" and length > POST_CHARS:
        return f"A post on X has room for {POST_CHARS} characters; these count as {length}."
    return None


async def request(_api: Api, outgoing: Outgoing) -> Request:
    if outgoing.kind == "message":
        path = f"/2/dm_conversations/{outgoing.thread_id}/messages"
        return post(path, json={"text": outgoing.text}, endpoint="dm_create")
    body = {"text": outgoing.text, "reply": {"in_reply_to_tweet_id": outgoing.target_id}}
    return post("/2/tweets", json=body, endpoint="post_create")


def sent(reply: Reply, outgoing: Outgoing) -> Sent:
    made = str(reply.at("data.dm_event_id") or reply.at("data.id"))
    return Sent(outgoing.kind, made, time_of(made))


REPLIES = Replies(
    request,
    sent,
    refuses,
    most_chars=10_000,
    scopes=("tweet.write", "dm.write"),
    verdicts=(
        on(status=403, message="duplicate content", then=GONE, reason="X does not take the same text twice."),
        on(status=403, message="cannot send messages|not permitted to|restricted who can reply", then=GONE),
    ),
)
