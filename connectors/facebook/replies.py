"""Answers to comments of Pages and Instagram, and to messages of Messenger and Instagram.

The Graph API has no token against repetition: an answer that was lost is not sent again. Messages may be answered for
24 hours after the last one of the other side.
Source: developers.facebook.com/docs/graph-api/reference/object/comments, /docs/instagram-platform/instagram-api-with-
facebook-login/comment-moderation, /docs/messenger-platform/send-messages.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any

from connectors.http import GONE, Context, Partition, on
from connectors.http.replies import Outgoing, Replies, Sent
from connectors.http.request import Reply, Request, post
from sync.base.errors import Permanent

if TYPE_CHECKING:
    from connectors.http.api import Api

Places = Callable[["Api", Context], AsyncIterator[Partition]]


def replies_from(places: Places, version: str) -> Replies:
    """`places`: the Pages and Instagram accounts with their tokens."""

    async def request(api: Api, outgoing: Outgoing) -> Request:
        place = await _place(api, outgoing)
        if outgoing.kind == "comment":
            edge, name = ("replies", "message") if place["kind"] == "ig" else ("comments", "message")
            path = f"{version}/{outgoing.target_id}/{edge}"
            return post(path, form={name: outgoing.text}, endpoint="reply", token=place["token"])
        body = {
            "recipient": {"id": outgoing.author_id},
            "messaging_type": "RESPONSE",
            "message": {"text": outgoing.text},
        }
        return post(f"{version}/{place['id']}/messages", json=body, endpoint="reply", token=place["token"])

    async def _place(api: Api, outgoing: Outgoing) -> Any:
        async for found in places(api, api.context()):
            if found.key == outgoing.place:
                return found.vars
        raise Permanent("The Page is not among those that this account may manage any more.", code="no_page")

    return Replies(
        request,
        _sent,
        most_chars=2000,
        scopes=("pages_manage_engagement", "pages_messaging", "instagram_manage_comments"),
        verdicts=(
            on(
                code=10,
                subcode={2018278, 2534022},
                then=GONE,
                reason="Their last message is more than 24 hours old: Meta lets nobody answer it any more.",
            ),
            on(code=551, then=GONE, reason="This person cannot be written to at present."),
        ),
    )


def _sent(reply: Reply, outgoing: Outgoing) -> Sent:
    return Sent(outgoing.kind, str(reply.at("id") or reply.at("message_id")))
