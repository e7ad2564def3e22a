"""What apps write: answers to comments and messages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from simulator.http import Refusal, Request, Routes
from simulator.vendors.facebook import data, errors, nodes
from simulator.vendors.facebook.data import Owner, Page

if TYPE_CHECKING:
    from simulator.vendors.facebook import Facebook

routes = Routes()
WINDOW_S = 24 * 3600


@routes.post("/{version}/{node}/comments", scopes=("pages_manage_engagement",))
@routes.post("/{version}/{node}/replies", scopes=("instagram_manage_comments",))
def answer_comment(facebook: Facebook, request: Request) -> dict[str, Any]:
    kind, thing = nodes.find(facebook, request, request.params["node"])
    text = str(request.args().get("message") or "")
    if kind != "comment" or not text:
        raise Refusal(errors.bad_argument("message is empty" if kind == "comment" else "not a comment"))
    place, post, _ = thing
    made = facebook.answer(place, post, parent=request.params["node"], text=text)
    return {"id": made}


@routes.post("/{version}/{node}/messages", scopes=("pages_messaging",))
def send_message(facebook: Facebook, request: Request) -> dict[str, Any]:
    _, page = nodes.find(facebook, request, request.params["node"])
    body = request.json if isinstance(request.json, dict) else {}
    who = str((body.get("recipient") or {}).get("id", ""))
    text = str((body.get("message") or {}).get("text", ""))
    talks = page.conversations.values() if isinstance(page, Page) else ()
    talk = next((talk for talk in talks if talk.person["id"] == who), None)
    if talk is None or not text:
        raise Refusal(errors.response("(#100) No matching user found", 100, 2018001))
    theirs = [record for record in talk.messages.records() if record["from"]["id"] == who]
    if not theirs or theirs[-1]["_key"] / data.MICRO < request.now - WINDOW_S:
        text = "(#10) This message is sent outside of allowed window."
        raise Refusal(errors.response(text, 10, 2018278))
    assert isinstance(request.account, Owner)
    made = facebook.message(request.account, conversation=talk.id, text=text, echo=True)
    return {"recipient_id": who, "message_id": made}
