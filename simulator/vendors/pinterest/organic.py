"""The account, boards, Pins, and what people did with them."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

from simulator import text
from simulator.feed import Record
from simulator.http import Refusal, Request, Response, Routes
from simulator.paging import feed_page
from simulator.vendors.pinterest import errors
from simulator.vendors.pinterest.args import bookmarked, choices, dates, flag, listed, many, page_size, position
from simulator.vendors.pinterest.data import DAILY, LIFETIME, VIDEO, Business, figures

if TYPE_CHECKING:
    from simulator.vendors.pinterest import Pinterest

routes = Routes()
PINS = ("boards:read", "pins:read")
BACK = 90
PIN_METRICS = (*DAILY, *LIFETIME, *VIDEO, "SAVE_RATE", "VIDEO_AVG_WATCH_TIME")
ACCOUNT_METRICS = (
    *("ENGAGEMENT", "ENGAGEMENT_RATE", "IMPRESSION", "OUTBOUND_CLICK", "OUTBOUND_CLICK_RATE"),
    *("PIN_CLICK", "PIN_CLICK_RATE", "SAVE", "SAVE_RATE"),
)


@routes.get("/v5/user_account", scopes=("user_accounts:read",), limits=("org_read",))
def user_account(pinterest: Pinterest, request: Request) -> Record:
    who = pinterest.acting(request)
    days = int((request.now - pinterest.world.start) // 86_400)
    return {
        "id": who.id,
        "username": who.username,
        "account_type": who.kind,
        "business_name": who.name if who.kind == "BUSINESS" else None,
        "profile_image": f"https://i.pinimg.com/280x280_RS/{who.id}.jpg",
        "website_url": "https://shop.example.com",
        "about": f"{who.name} on Pinterest",
        "follower_count": who.followers + days,
        "following_count": 12,
        "pin_count": len(who.pins),
        "board_count": len(who.boards),
        "monthly_views": who.followers * 30,
    }


@routes.get("/v5/user_account/followers", scopes=("user_accounts:read",), limits=("ads_read",))
def followers(pinterest: Pinterest, request: Request) -> Record:
    who = pinterest.acting(request)
    names = [text.person("follower", who.id, n).handle.replace(".", "") for n in range(60)]
    return listed(pinterest, request, [{"type": "user", "username": name} for name in names])


# --- boards and Pins


@routes.get("/v5/boards", scopes=("boards:read",), limits=("org_read",))
def boards(pinterest: Pinterest, request: Request) -> Record:
    who = pinterest.acting(request)
    counts: dict[str, int] = {}
    if not who.big:
        for record in who.pins.records():
            counts[record["board_id"]] = counts.get(record["board_id"], 0) + 1
    return listed(pinterest, request, [board | {"pin_count": counts.get(board["id"], 0)} for board in who.boards])


@routes.get("/v5/boards/{board}/sections", scopes=("boards:read",), limits=("org_read",))
def sections(pinterest: Pinterest, request: Request) -> Record:
    _board(pinterest, request)
    return {"items": [], "bookmark": None}


@routes.get("/v5/boards/{board}/pins", scopes=PINS, limits=("org_read",))
def board_pins(pinterest: Pinterest, request: Request) -> Record:
    return _pins(pinterest, request, _board(pinterest, request))


def _board(pinterest: Pinterest, request: Request) -> str:
    found = request.params["board"]
    if all(board["id"] != found for board in pinterest.acting(request).boards):
        raise Refusal(errors.no_board())
    return found


@routes.get("/v5/pins", scopes=PINS, limits=("org_read",))
def pins(pinterest: Pinterest, request: Request) -> Record:
    return _pins(pinterest, request, "")


def _pins(pinterest: Pinterest, request: Request, board: str) -> Record:
    who, metrics, now = pinterest.acting(request), flag(request, "pin_metrics"), request.now
    wanted, kinds = request.query.get("pin_filter", ""), set(many(request, "creative_types"))
    who.age(now)

    def view(record: Record) -> Record | None:
        left_out = (
            (board and record["board_id"] != board)
            or (wanted == "exclude_repins" and record["parent_pin_id"])
            or (wanted == "exclude_native" and not record["parent_pin_id"])
            or (wanted == "has_been_promoted" and not record["has_been_promoted"])
            or (kinds and record["creative_type"] not in kinds)
        )
        return None if left_out else who.shown(record, now, metrics=metrics)

    name = f"{board}|{wanted}|{','.join(sorted(kinds))}|{metrics}"
    limit, at = page_size(request), position(request)
    page = feed_page(pinterest, request, who.pins, limit, position=at, view=view, view_name=name)
    return bookmarked(page)


def _pin(who: Business, pin_id: str) -> Record:
    record = who.pins.get(int(pin_id)) if pin_id.isdigit() else None
    if record is None:
        raise Refusal(errors.no_pin())
    return record


@routes.get("/v5/pins/analytics", scopes=PINS, limits=("org_analytics",))
def pins_analytics(pinterest: Pinterest, request: Request) -> Record | Response:
    """Many Pins at once; granted to few apps."""
    if not pinterest.grants_beta(request):
        return errors.restricted()
    who, ids = pinterest.acting(request), many(request, "pin_ids")
    if not 1 <= len(ids) <= 100:
        raise errors.bad("pin_ids must hold 1 to 100 ids")
    if any(not found.isdigit() or int(found) not in who.pins for found in ids):
        return errors.error(401, 7, "Not authorized to access board or Pin.")
    return {found: _of_pin(request, who, _pin(who, found)) for found in ids}


@routes.get("/v5/pins/{pin}", scopes=PINS, limits=("org_read",))
def one_pin(pinterest: Pinterest, request: Request) -> Record:
    who = pinterest.acting(request)
    return who.shown(_pin(who, request.params["pin"]), request.now, metrics=flag(request, "pin_metrics"))


@routes.get("/v5/pins/{pin}/analytics", scopes=PINS, limits=("org_analytics",))
def pin_analytics(pinterest: Pinterest, request: Request) -> Record | Response:
    who = pinterest.acting(request)
    if who.kind != "BUSINESS":
        return errors.not_analytics()
    return _of_pin(request, who, _pin(who, request.params["pin"]))


def _of_pin(request: Request, who: Business, record: Record) -> Record:
    names = choices(many(request, "metric_types"), PIN_METRICS, "metric_types")
    if record["creative_type"] != "VIDEO" and set(names) & set(VIDEO):
        raise errors.bad("metric_types of videos for a Pin that is none")
    days = dates(request, request.query, back=BACK, most=BACK)
    born = date.fromisoformat(record["created_at"][:10])
    found = figures(request.now, days, names, 3 * record["_fans"] + 20, "pin", record["id"], born=born)
    lifetime = who.lifetime(record, request.now)["lifetime_metrics"]
    totals = {"TOTAL_COMMENTS": lifetime["comment"], "TOTAL_REACTIONS": lifetime["reaction"]}
    kept = {name: value for name, value in totals.items() if name in names}
    return {"all": {**found, "lifetime_metrics": kept}}


# --- the account's figures


@routes.get("/v5/user_account/analytics", scopes=("user_accounts:read",), limits=("org_analytics",))
def account_analytics(pinterest: Pinterest, request: Request) -> Record | Response:
    who = pinterest.acting(request)
    if who.kind != "BUSINESS":
        return errors.not_analytics()
    names = choices(many(request, "metric_types") or ACCOUNT_METRICS, ACCOUNT_METRICS, "metric_types")
    days = dates(request, request.query, back=BACK, most=BACK)
    return {"all": figures(request.now, days, names, who.followers, "account", who.id)}


@routes.get("/v5/user_account/analytics/top_pins", scopes=("user_accounts:read",), limits=("org_analytics",))
def top_pins(pinterest: Pinterest, request: Request) -> Record | Response:
    who = pinterest.acting(request)
    if who.kind != "BUSINESS":
        return errors.not_analytics()
    order = request.query.get("sort_by", "")
    choices([order] if order else [], ("ENGAGEMENT", "IMPRESSION", "OUTBOUND_CLICK", "PIN_CLICK", "SAVE"), "sort_by")
    dates(request, request.query, back=BACK, most=BACK)
    count = min(int(request.query.get("num_of_pins", "10")), 50)
    recent = [record for key in who.pins.slice(200).keys if (record := who.pins.get(key))]
    best = sorted(recent, key=lambda record: (-record["_fans"], record["id"]))[:count]
    rows = [
        {"pin_id": r["id"], "metrics": {order: who.lifetime(r, request.now)["90d"]["impression"]}, "data_status": {}}
        for r in best
    ]
    latest = int((request.now - 86_400) // 86_400 * 86_400) * 1000
    return {"pins": rows, "sort_by": order, "date_availability": {"latest_available_timestamp": latest}}
