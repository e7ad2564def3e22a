"""Webhooks: one receiver per app and family of events, told about every account that let the app in."""

from __future__ import annotations

import hmac
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from simulator.auth import OAuthError
from simulator.feed import Record
from simulator.http import Request, Response, Routes
from simulator.vendors.tiktok import errors
from simulator.vendors.tiktok.oauth import V
from simulator.webhooks import Target

if TYPE_CHECKING:
    from simulator.vendors.tiktok import TikTok

routes = Routes()
FAMILIES = ("DIRECT_MESSAGE", "COMMENT", "BRAND_MENTION", "VIDEO")


def _app(tiktok: TikTok, request: Request, args: dict[str, Any]) -> Response | None:
    try:
        tiktok.auth.client(args.get("app_id"), args.get("secret"))
    except OAuthError as error:
        return errors.refused_code(request, error)
    if args.get("event_type") not in FAMILIES:
        return errors.response(request, 40002, "event_type: Invalid value.")
    return None


@routes.post(f"{V}/business/webhook/update/", auth=False)
def update(tiktok: TikTok, request: Request) -> Response | Record:
    args = request.json if isinstance(request.json, dict) else {}
    if (refused := _app(tiktok, request, args)) is not None:
        return refused
    family = str(args["event_type"])
    _remove(tiktok, family)
    items = frozenset(map(str, args.get("item_list") or ()))
    target = Target(str(args.get("callback_url", "")), topics=frozenset({family}), extra={"items": items})
    tiktok.hooks.targets.append(target)
    return errors.fine(request, _shown(args["app_id"], target))


@routes.get(f"{V}/business/webhook/list/", auth=False)
def listing(tiktok: TikTok, request: Request) -> Response | Record:
    args = request.query
    if (refused := _app(tiktok, request, args)) is not None:
        return refused
    found = [target for target in tiktok.hooks.targets if args["event_type"] in target.topics]
    return errors.fine(request, _shown(args["app_id"], found[0]) if found else {})


@routes.post(f"{V}/business/webhook/delete/", auth=False)
def delete(tiktok: TikTok, request: Request) -> Response | Record:
    args = request.json if isinstance(request.json, dict) else {}
    if (refused := _app(tiktok, request, args)) is not None:
        return refused
    _remove(tiktok, str(args["event_type"]))
    return errors.fine(request, {})


def _remove(tiktok: TikTok, family: str) -> None:
    tiktok.hooks.targets = [target for target in tiktok.hooks.targets if target.topics != {family}]


def _shown(app_id: str, target: Target) -> Record:
    told: Record = {"app_id": app_id, "event_type": next(iter(target.topics)), "callback_url": target.url}
    return told | ({"item_list": sorted(target.extra["items"])} if target.extra.get("items") else {})


def signature(secret: str, at: int, body: bytes) -> dict[str, str]:
    digest = hmac.new(secret.encode(), b"%d.%b" % (at, body), sha256).hexdigest()
    return {"tiktok-signature": f"t={at},s={digest}"}
