"""Answers to a message, in its channel or thread. Nobody is pinged by what the text says.

`enforce_nonce` makes Discord drop a second message with the same nonce for a few minutes.
Source: discord.com/developers/docs/resources/message#create-message.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from connectors.http.replies import Outgoing, Replies, Sent
from connectors.http.request import Reply, Request, post
from connectors.http.times import iso

if TYPE_CHECKING:
    from connectors.http.api import Api


async def request(_api: Api, outgoing: Outgoing) -> Request:
    channel, _, message = outgoing.target_id.partition(":")
    body = {
        "content": outgoing.text,
        "message_reference": {"message_id": message, "fail_if_not_exists": False},
        "allowed_mentions": {"parse": []},
        "nonce": outgoing.token[:25],
        "enforce_nonce": True,
    }
    return post(f"/api/v10/channels/{channel}/messages", json=body, endpoint="send")


def sent(reply: Reply, outgoing: Outgoing) -> Sent:
    made = reply.data
    return Sent(outgoing.kind, f"{made['channel_id']}:{made['id']}", iso(made["timestamp"]))


REPLIES = Replies(request, sent, most_chars=2000, remembers=timedelta(minutes=2))
