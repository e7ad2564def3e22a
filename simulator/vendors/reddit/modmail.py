"""Modmail: conversations with a subreddit's moderators, those with the newest activity first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simulator.dice import letters
from simulator.feed import Record
from simulator.http import Refusal, Request, Response, Routes
from simulator.vendors.reddit import errors
from simulator.vendors.reddit.data import Conversation
from simulator.vendors.reddit.listings import limit_arg
from simulator.vendors.reddit.things import mod_author, user_id

if TYPE_CHECKING:
    from simulator.vendors.reddit import Reddit

routes = Routes()
SCOPES, CLIENT = ("modmail",), ("client",)
NEVER = "0001-01-01T00:00:00+00:00"
_STATES = {"new": {0}, "inprogress": {1}, "archived": {2}, "all": {0, 1, 2}}


def shown(talk: Conversation) -> Record:
    messages = list(talk.messages.records())
    theirs = [message["date"] for message in messages if not message["author"]["isMod"]]
    ours = [message["date"] for message in messages if message["author"]["isMod"]]
    participant = mod_author(talk.participant, talk.sub, True)
    names = dict.fromkeys(message["author"]["name"] for message in messages)
    return {
        "isAuto": False,
        "objIds": [{"id": message["id"], "key": "messages"} for message in messages],
        "isRepliable": True,
        "lastUserUpdate": theirs[-1] if theirs else None,
        "isInternal": False,
        "lastModUpdate": ours[-1] if ours else None,
        "lastUpdated": messages[-1]["date"] if messages else NEVER,
        "authors": [mod_author(name, talk.sub, name == talk.participant) for name in names],
        "owner": {"displayName": talk.sub.name, "type": "subreddit", "id": talk.sub.id},
        "id": talk.id,
        "isHighlighted": False,
        "subject": talk.subject,
        "participant": participant,
        "state": talk.state,
        "lastUnread": theirs[-1] if theirs else None,
        "numMessages": len(messages),
        "legacyFirstMessageId": letters(7, "0123456789abcdefghijklmnopqrstuvwxyz", "legacy", talk.id),
    }


def _message(record: Record) -> Record:
    return {name: value for name, value in record.items() if not name.startswith("_")}


@routes.get("/api/mod/conversations", scopes=SCOPES, limits=CLIENT)
def conversations(reddit: Reddit, request: Request) -> Record:
    query = request.query
    wanted = {name.lower() for name in query.get("entity", "").split(",") if name}
    states = _STATES.get(query.get("state", "all"), {0, 1, 2})
    talks = [
        talk
        for sub in reddit.redditor(request).subs
        if not wanted or sub.name.lower() in wanted
        for talk in sub.modmail.values()
        if talk.state in states
    ]
    talks.sort(key=lambda talk: talk.updated, reverse=True)
    ids = [talk.id for talk in talks]
    after = query.get("after")
    if after and after not in ids:
        raise Refusal(errors.plain(400, "Bad Request"))
    # There is no token for a next page, so a page cannot be empty and go on.
    start = ids.index(after) + 1 if after else 0
    page = talks[start : start + limit_arg(request)]
    newest = {talk.id: _message(m) for talk in page if (m := talk.messages.get(talk.updated))}
    return {
        "conversations": {talk.id: shown(talk) for talk in page},
        "messages": {message["id"]: message for message in newest.values()},
        "viewerId": user_id(reddit.redditor(request).name),
        "conversationIds": [talk.id for talk in page],
    }


@routes.get("/api/mod/conversations/unread/count", scopes=SCOPES, limits=CLIENT)
def unread(reddit: Reddit, request: Request) -> Record:
    states = [talk.state for sub in reddit.redditor(request).subs for talk in sub.modmail.values()]
    counts = {"new": states.count(0), "inprogress": states.count(1), "archived": 0, "mod": 0}
    return {"highlighted": 0, "notifications": 0, **counts}


def _find(reddit: Reddit, request: Request) -> Conversation:
    for sub in reddit.redditor(request).subs:
        if (talk := sub.modmail.get(request.params["id"])) is not None:
            return talk
    raise Refusal(errors.not_found())


@routes.get("/api/mod/conversations/{id}", scopes=SCOPES, limits=CLIENT)
def conversation(reddit: Reddit, request: Request) -> Record:
    talk = _find(reddit, request)
    user: Record = {"name": talk.participant, "id": user_id(talk.participant), "recentPosts": {}, "recentComments": {}}
    user |= {"banStatus": {"isBanned": False}, "muteStatus": {"isMuted": False}, "isSuspended": False}
    messages = {record["id"]: _message(record) for record in talk.messages.records()}
    return {"conversation": shown(talk), "messages": messages, "modActions": {}, "user": user}


@routes.post("/api/mod/conversations/{id}", scopes=SCOPES, limits=("client", "writing"))
def answer(reddit: Reddit, request: Request) -> Response:
    talk, who = _find(reddit, request), reddit.redditor(request)
    reddit.modmail(who, conversation=talk.id, text=request.form.get("body", ""), author=who.name)
    return Response({"conversation": shown(talk)}, 201)
