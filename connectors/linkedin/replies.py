"""Answers to comments, as the page. LinkedIn nests once, so an answer to an answer goes below the first comment.

LinkedIn has no token against repetition: an answer that was lost is not sent again.
Source: learn.microsoft.com/linkedin/marketing/community-management/shares/comments-api.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from connectors.http.replies import Outgoing, Replies, Sent
from connectors.http.request import Reply, Request, post
from connectors.http.times import epoch_ms
from connectors.linkedin.restli import urn

if TYPE_CHECKING:
    from connectors.http.api import Api

_COMMENT = "urn:li:comment:("


def top(outgoing: Outgoing) -> str:
    above = outgoing.parent_id or ""
    return above if above.startswith(_COMMENT) else outgoing.target_id


async def request(_api: Api, outgoing: Outgoing) -> Request:
    parent = top(outgoing)
    activity = parent.removeprefix(_COMMENT).rpartition(",")[0]
    body = {
        "actor": outgoing.place,
        "object": outgoing.data.get("activity") or activity,
        "parentComment": parent,
        "message": {"text": outgoing.text},
    }
    return post(f"/rest/socialActions/{urn(parent)}/comments", json=body, endpoint="create_comment")


def sent(reply: Reply, outgoing: Outgoing) -> Sent:
    made = reply.at("commentUrn")
    if made is None:
        inside = top(outgoing).removesuffix(")").rpartition(",")[0]
        made = f"{inside},{reply.header('x-restli-id') or reply.at('id')})"
    return Sent("comment", made, epoch_ms(reply.at("created.time")))


REPLIES = Replies(request, sent, most_chars=1250, scopes=("w_organization_social",))
