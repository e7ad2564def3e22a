"""What apps write: answers to comments and direct messages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from simulator.feed import Record
from simulator.http import Refusal, Request, Routes
from simulator.vendors.tiktok import errors
from simulator.vendors.tiktok.args import bad
from simulator.vendors.tiktok.data import Creator
from simulator.vendors.tiktok.oauth import V

if TYPE_CHECKING:
    from simulator.vendors.tiktok import TikTok

routes = Routes()
WINDOW_S = 48 * 3600


def _body(tiktok: TikTok, request: Request) -> tuple[Creator, dict[str, Any]]:
    body = request.json if isinstance(request.json, dict) else {}
    creator = tiktok.creator(request)
    if body.get("business_id") != creator.id or not creator.business:
        raise Refusal(errors.response(request, 40001, "The account is not a Business Account or not authorized."))
    return creator, body


@routes.post(f"{V}/business/comment/reply/create/", scopes=("comment.list.manage",))
def reply_to_comment(tiktok: TikTok, request: Request) -> Record:
    creator, body = _body(tiktok, request)
    video, above, text = (str(body.get(name, "")) for name in ("video_id", "comment_id", "text"))
    if not text or len(text) > 150:
        raise bad(request, "text: Length must be between 1 and 150.")
    known = video.isdigit() and int(video) in creator.videos
    if not known or not above.isdigit() or int(above) not in creator.comments_of(int(video)):
        raise bad(request, "comment_id: Invalid value.")
    made = tiktok.comment(creator, video=video, text=text, parent=above, ours=True)
    return errors.fine(request, {"comment_id": made, "video_id": video, "parent_comment_id": above, "text": text})


@routes.post(f"{V}/business/message/send/", scopes=("message.list.send",))
def send_message(tiktok: TikTok, request: Request) -> Record:
    creator, body = _body(tiktok, request)
    talk = creator.talks.get(str(body.get("recipient", "")))
    text = str((body.get("text") or {}).get("body") or "")
    if body.get("recipient_type") != "CONVERSATION" or body.get("message_type") != "TEXT" or talk is None or not text:
        raise bad(request, "recipient: Invalid value.")
    if (talk.messages.newest() or 0) / 1000 < request.now - WINDOW_S:
        raise bad(request, "The messaging window of this conversation is closed.")
    made = tiktok.message(creator, conversation=talk.id, text=text, ours=True)
    return errors.fine(request, {"message": {"message_id": made}})
