"""Answers in the chat of the message, as an answer to it.

The Bot API has no token against repetition: an answer that was lost is not sent again.
Source: core.telegram.org/bots/api#sendmessage.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from connectors.http.replies import Outgoing, Replies, Sent
from connectors.http.request import Reply, Request, post
from connectors.http.times import epoch
from connectors.telegram import parse

if TYPE_CHECKING:
    from connectors.http.api import Api


async def request(_api: Api, outgoing: Outgoing) -> Request:
    *connection, chat, number = outgoing.target_id.split(":")
    place = ":".join([*connection, chat])
    topic = outgoing.thread_id.removeprefix(f"{place}:") if outgoing.thread_id.startswith(f"{place}:") else None
    body: dict[str, Any] = {
        "chat_id": int(chat),
        "text": outgoing.text,
        "reply_parameters": {"message_id": int(number), "allow_sending_without_reply": True},
    }
    if topic is not None:
        body["message_thread_id"] = int(topic)
    if connection:
        body["business_connection_id"] = connection[0]
    return post("/sendMessage", json=body, endpoint="sendMessage")


def sent(reply: Reply, outgoing: Outgoing) -> Sent:
    made = reply.at("result")
    return Sent(outgoing.kind, parse.vendor_id(made, made["message_id"]), epoch(made["date"]))


REPLIES = Replies(request, sent, most_chars=4096)
