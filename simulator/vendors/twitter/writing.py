"""What apps write: replies and direct messages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from simulator.http import Refusal, Request, Response, Routes
from simulator.vendors.twitter import errors

if TYPE_CHECKING:
    from simulator.vendors.twitter import Twitter

routes = Routes()
DM_SCOPES = ("dm.write", "tweet.read", "users.read")


def _text(request: Request) -> tuple[dict[str, Any], str]:
    body = request.json if isinstance(request.json, dict) else {}
    text = str(body.get("text") or "")
    if not text:
        raise Refusal(errors.invalid("text", text, "The `text` field is required"))
    return body, text


@routes.post("/2/tweets", scopes=("tweet.read", "tweet.write", "users.read"), limits=("post_create",))
def create_post(twitter: Twitter, request: Request) -> Response:
    twitter.paid(request)
    profile, (body, text) = twitter.profile(request), _text(request)
    above = str((body.get("reply") or {}).get("in_reply_to_tweet_id", ""))
    if above and (not above.isdigit() or profile.find(int(above)) is None):
        raise Refusal(Response({"errors": [errors.not_found(above, "tweet", "reply.in_reply_to_tweet_id")]}, 400))
    made = twitter.reply(profile, post=above, text=text, ours=True) if above else twitter.post(profile, text=text)
    return Response({"data": {"id": made, "text": text, "edit_history_tweet_ids": [made]}}, 201)


@routes.post(
    "/2/dm_conversations/{conversation}/messages",
    scopes=("dm.write", "tweet.read", "users.read"),
    limits=("dm_create",),
)
def create_message(twitter: Twitter, request: Request) -> Response:
    twitter.paid(request)
    profile, (_, text) = twitter.profile(request), _text(request)
    conversation = request.params["conversation"]
    peers = [user for user in conversation.split("-") if user != profile.id]
    if len(peers) != 1 or profile.id not in conversation.split("-"):
        raise Refusal(Response({"errors": [errors.not_found(conversation, "dm_conversation", "id")]}, 400))
    made = twitter.message(profile, peer=peers[0], text=text, ours=True)
    return Response({"data": {"dm_conversation_id": conversation, "dm_event_id": made}}, 201)
