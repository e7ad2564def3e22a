"""Answers to comments, private messages and modmail.

Reddit has no token against repetition: an answer that was lost is not sent again. What it makes of a private message or
a modmail it does not say, so those are recognised by their text.
Source: reddit.com/dev/api: POST /api/comment, /api/compose, /api/mod/conversations/:conversation_id.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from connectors.http import GONE, on
from connectors.http.replies import Outgoing, Replies, Sent
from connectors.http.request import Reply, Request, dig, post
from connectors.http.times import epoch

if TYPE_CHECKING:
    from connectors.http.api import Api

_MODMAIL = "modmail:"


async def request(_api: Api, outgoing: Outgoing) -> Request:
    if outgoing.thread_id.startswith(_MODMAIL):
        talk = outgoing.thread_id.removeprefix(_MODMAIL)
        form = {"body": outgoing.text, "isInternal": "false", "isAuthorHidden": "false"}
        return post(f"/api/mod/conversations/{talk}", form=form, endpoint="modmail_reply")
    form = {"api_type": "json", "thing_id": outgoing.target_id, "text": outgoing.text}
    return post("/api/comment", form=form, endpoint="comment")


def sent(reply: Reply, outgoing: Outgoing) -> Sent:
    made = dig(reply.data, "json.data.things.0.data", {})
    if not made.get("name"):
        return Sent(outgoing.kind)
    return Sent(outgoing.kind, made["name"], epoch(made.get("created_utc")))


REPLIES = Replies(
    request,
    sent,
    most_chars=10_000,
    scopes=("submit", "privatemessages", "modmail"),
    verdicts=(on(code={"NO_TEXT", "TOO_LONG", "BANNED_FROM_SUBREDDIT", "COMMENT_GUILD"}, then=GONE),),
)
