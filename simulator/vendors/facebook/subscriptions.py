"""The app's webhook subscriptions (Pages have their own, see graph)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from simulator.http import Request, Response, Routes
from simulator.vendors.facebook import errors
from simulator.webhooks import Target

if TYPE_CHECKING:
    from simulator.vendors.facebook import Facebook

routes = Routes()
PATH = "/{version}/{app}/subscriptions"


@routes.post(PATH)
async def subscribe(facebook: Facebook, request: Request) -> Response | dict[str, Any]:
    args = request.args()
    if request.token is None or request.token.kind != "app":
        return errors.response("(#15) This method must be called with an app access token.", 15)
    target = Target(
        str(args.get("callback_url", "")),
        topics=frozenset(str(args.get("fields", "")).split(",")),
        extra={"verify_token": args.get("verify_token", ""), "object": args.get("object", "page")},
    )
    if not await facebook.hooks.subscribe(target):
        return errors.response("(#2200) Callback verification failed", 2200)
    return {"success": True}


@routes.get(PATH)
def subscriptions(facebook: Facebook, _request: Request) -> dict[str, Any]:
    return {
        "data": [
            {
                "object": target.extra.get("object", "page"),
                "callback_url": target.url,
                "active": target.active,
                "fields": [{"name": topic, "version": "v25.0"} for topic in sorted(target.topics)],
            }
            for target in facebook.hooks.targets
        ]
    }


@routes.add("DELETE", PATH)
def unsubscribe(facebook: Facebook, _request: Request) -> dict[str, Any]:
    facebook.hooks.targets.clear()
    return {"success": True}
