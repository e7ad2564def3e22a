"""Answers in the thread of the message.

Slack has no token against repetition: an answer that was lost is not sent again.
Source: docs.slack.dev/reference/methods/chat.postMessage.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from connectors.http.replies import Outgoing, Replies, Sent
from connectors.http.request import Reply, Request, post
from connectors.http.times import epoch

if TYPE_CHECKING:
    from connectors.http.api import Api

_ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})


async def request(_api: Api, outgoing: Outgoing) -> Request:
    channel, _, ts = outgoing.thread_id.partition(":")
    form = {"channel": channel, "thread_ts": ts, "text": outgoing.text.translate(_ESCAPES)}
    return post("/api/chat.postMessage", form=form, endpoint="chat.postMessage")


def sent(reply: Reply, _outgoing: Outgoing) -> Sent:
    ts = reply.at("ts")
    return Sent("comment", f"{reply.at('channel')}:{ts}", epoch(ts))


REPLIES = Replies(request, sent, most_chars=12_000, scopes=("chat:write",))
