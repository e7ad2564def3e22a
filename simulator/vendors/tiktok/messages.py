"""Business Messaging: conversations of 90 days, a hundred at most, and of each the twenty newest messages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simulator.feed import Record
from simulator.http import Request, Routes
from simulator.numbers import DAY_S
from simulator.paging import list_page
from simulator.vendors.tiktok import errors
from simulator.vendors.tiktok.args import bad, number_arg
from simulator.vendors.tiktok.data import Creator, Talk
from simulator.vendors.tiktok.oauth import V

if TYPE_CHECKING:
    from simulator.vendors.tiktok import TikTok

routes = Routes()
READ = "message.list.read"
MOST, NEWEST = 100, 20


@routes.get(f"{V}/business/message/conversation/list/", scopes=(READ,))
def conversations(tiktok: TikTok, request: Request) -> Record:
    creator = tiktok.business(request)
    kind = request.query.get("conversation_type", "")
    if kind not in ("SINGLE", "STRANGER"):
        raise bad(request, "conversation_type: Must be SINGLE or STRANGER.")
    oldest = int((request.now - 90 * DAY_S) * 1000)
    ordered = sorted(((talk.messages.newest() or 0, talk) for talk in creator.talks.values()), key=lambda t: -t[0])
    listed = [(at, talk) for at, talk in ordered if talk.kind == kind and at >= oldest][:MOST]
    start = number_arg(request, "cursor", 0, 0, MOST)
    limit = number_arg(request, "limit", 100, 1, 100)
    page = list_page(tiktok, request, listed, limit, position=start or None)
    shown = [{"conversation_id": talk.id, "up_time": at} for at, talk in page.items]
    cursor = page.next if page.next is not None else len(listed)
    return errors.fine(request, {"conversations": shown, "has_more": page.next is not None, "cursor": cursor})


@routes.get(f"{V}/business/message/content/list/", scopes=(READ,))
def messages(tiktok: TikTok, request: Request) -> Record:
    """Newest first, without pages."""
    creator = tiktok.business(request)
    talk = creator.talks.get(request.query.get("conversation_id", ""))
    if talk is None:
        raise bad(request, "Param conversation_id is invalid.")
    part = talk.messages.slice(NEWEST)
    return errors.fine(request, {"messages": part.items, "participants": _participants(creator, talk)})


def _participants(creator: Creator, talk: Talk) -> list[Record]:
    return [
        {"role": "BUSINESS_ACCOUNT", "id": creator.id, "display_name": creator.name},
        {"role": "PERSONAL_ACCOUNT", "id": talk.person, "display_name": talk.who.name, "is_follower": True},
    ]
