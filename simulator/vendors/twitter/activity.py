"""Webhooks of the X Activity API: receivers, what they subscribe to, and the events themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from simulator import numbers
from simulator.dice import DIGITS, letters, mix
from simulator.feed import Record
from simulator.http import Request, Response, Routes
from simulator.vendors.twitter import errors
from simulator.webhooks import Target

if TYPE_CHECKING:
    from simulator.vendors.twitter import Twitter
    from simulator.vendors.twitter.data import Profile

routes = Routes()
PRIVATE = ("dm.", "like.", "follow.")
"""Events of these kinds need the token of the person they are about."""
LIMIT = 1500


class Activity:
    def __init__(self, twitter: Twitter) -> None:
        self._twitter = twitter
        self.subscriptions: list[Record] = []
        self._number = 0

    def new_id(self, kind: str) -> str:
        self._number += 1
        return "19" + letters(17, DIGITS, kind, self._twitter.seed, self._number)

    def tell(self, profile: Profile, event_type: str, payload: Record, *, about: bool = True, **more: Any) -> None:
        """Send an event to every receiver that subscribed to it; one registered by a test gets all."""
        twitter = self._twitter
        self._number += 1
        uuid = str(mix("event", twitter.seed, self._number) - (1 << 63))
        for target in twitter.hooks.targets:
            if not target.active or target.account not in (None, profile):
                continue
            for tag in self._tags(target, profile, event_type):
                event = {"event_uuid": uuid, "filter": {"user_id": profile.id} if about else {}}
                event |= {"event_type": event_type, **({"tag": tag} if tag else {}), "payload": payload, **more}
                body = msgspec.json.encode({"data": event})
                twitter.hooks.send(target, body, profile, topic=event_type, event_id=uuid)

    def _tags(self, target: Target, profile: Profile, event_type: str) -> list[str]:
        webhook = target.extra.get("webhook_id")
        if webhook is None:
            return [""] if not target.topics or event_type in target.topics else []
        return [
            str(found.get("tag") or "")
            for found in self.subscriptions
            if found["webhook_id"] == webhook
            and found["event_type"] == event_type
            and found["filter"].get("user_id") == profile.id
        ]


# --- receivers


def _shown(target: Target) -> Record:
    names = ("webhook_id", "created_at")
    webhook_id, created_at = (target.extra.get(name, "") for name in names)
    return {"id": webhook_id, "url": target.url, "valid": target.active, "created_at": created_at}


def _app_only(twitter: Twitter, request: Request) -> None:
    if request.token is None or request.token.kind != "app":
        detail = "Authenticating with OAuth 2.0 User Context is forbidden for this endpoint."
        answer = errors.problem(403, "Unsupported Authentication", detail, f"{errors.TYPES}/unsupported-authentication")
        raise twitter.refuse(403, answer.body)


def _find(twitter: Twitter, webhook_id: str) -> Target | None:
    return next((t for t in twitter.hooks.targets if t.extra.get("webhook_id") == webhook_id), None)


@routes.post("/2/webhooks", limits=("webhooks",))
async def create_webhook(twitter: Twitter, request: Request) -> Response | Record:
    _app_only(twitter, request)
    url = str((request.json or {}).get("url", ""))
    if not url:
        return errors.invalid("url", url, "UrlValidationFailed")
    if any(target.url == url and target.extra.get("webhook_id") for target in twitter.hooks.targets):
        return errors.invalid("url", url, "DuplicateUrlFailed")
    extra = {"webhook_id": twitter.activity.new_id("webhook"), "created_at": numbers.iso(request.now)}
    target = Target(url, extra=extra)
    if not await twitter.hooks.subscribe(target):
        return errors.invalid("url", url, "CrcValidationFailed")
    return {"data": _shown(target)}


@routes.get("/2/webhooks", limits=("webhooks",))
def list_webhooks(twitter: Twitter, request: Request) -> Record:
    _app_only(twitter, request)
    found = [_shown(target) for target in twitter.hooks.targets if target.extra.get("webhook_id")]
    return {"data": found, "meta": {"result_count": len(found)}}


@routes.add("PUT", "/2/webhooks/{id}", limits=("webhooks",))
async def check_webhook(twitter: Twitter, request: Request) -> Response | Record:
    _app_only(twitter, request)
    target = _find(twitter, request.params["id"])
    if target is None:
        return Response({"errors": [errors.not_found(request.params["id"], "webhook", "id")]}, 404)
    target.active = await twitter.handshake(twitter.world.http_client(twitter.hooks.rules.timeout_s, 0), target)
    return {"data": {"attempted": True}}


@routes.add("DELETE", "/2/webhooks/{id}", limits=("webhooks",))
def delete_webhook(twitter: Twitter, request: Request) -> Response | Record:
    _app_only(twitter, request)
    target = _find(twitter, request.params["id"])
    if target is None:
        return Response({"errors": [errors.not_found(request.params["id"], "webhook", "id")]}, 404)
    twitter.hooks.targets.remove(target)
    return {"data": {"deleted": True}}


@routes.post("/2/webhooks/replay", limits=("replay",))
def replay(twitter: Twitter, request: Request) -> Response | Record:
    """What went to a receiver within the last 24 hours, once more."""
    _app_only(twitter, request)
    asked = request.json or {}
    target = _find(twitter, str(asked.get("webhook_id", "")))
    if target is None:
        return errors.invalid("webhook_id", str(asked.get("webhook_id", "")), "The webhook does not exist")
    first, last = (str(asked.get(name, "")) for name in ("from_date", "to_date"))
    sent = [d for d in twitter.hooks.deliveries if d.target is target and first <= _minute(d.sent_at) < last]
    for delivery in [d for d in sent if d.sent_at >= request.now - 86_400]:
        account = twitter.accounts.get(delivery.account or "")
        twitter.hooks.send(target, delivery.body, account, topic=delivery.topic, event_id=delivery.id)
    return {"data": {"job_id": twitter.activity.new_id("replay"), "created_at": numbers.iso(request.now)}}


def _minute(at: float) -> str:
    return numbers.iso(at, "%Y%m%d%H%M")


# --- subscriptions


@routes.post("/2/activity/subscriptions", limits=("subscriptions",))
def subscribe(twitter: Twitter, request: Request) -> Response | Record:
    asked: dict[str, Any] = request.json or {}
    kind, user = str(asked.get("event_type", "")), str((asked.get("filter") or {}).get("user_id", ""))
    if user not in twitter.accounts:
        return errors.invalid("filter.user_id", user, "The user does not exist")
    if kind.startswith(PRIVATE) and (request.account is None or request.account.id != user):
        return errors.problem(
            403, "Forbidden", "This event needs the authorization of the user.", f"{errors.TYPES}/client-forbidden"
        )
    if _find(twitter, str(asked.get("webhook_id", ""))) is None:
        return errors.invalid("webhook_id", str(asked.get("webhook_id", "")), "The webhook does not exist")
    subscriptions = twitter.activity.subscriptions
    if len(subscriptions) >= LIMIT:
        return errors.problem(400, "SubscriptionLimitExceeded", f"At most {LIMIT} subscriptions.")
    found = {
        "subscription_id": twitter.activity.new_id("subscription"),
        "event_type": kind,
        "filter": {"user_id": user},
        "tag": asked.get("tag"),
        "webhook_id": asked["webhook_id"],
        "created_at": numbers.iso(request.now),
        "updated_at": numbers.iso(request.now),
    }
    subscriptions.append(found)
    return {"data": found, "meta": {"total_subscriptions": len(subscriptions)}}


@routes.get("/2/activity/subscriptions", limits=("subscriptions",))
def subscriptions(twitter: Twitter, _request: Request) -> Record:
    found = twitter.activity.subscriptions
    return {"data": found, "meta": {"total_subscriptions": len(found)}}


@routes.add("DELETE", "/2/activity/subscriptions/{id}", limits=("subscriptions",))
def unsubscribe(twitter: Twitter, request: Request) -> Response | Record:
    found = twitter.activity.subscriptions
    kept = [entry for entry in found if entry["subscription_id"] != request.params["id"]]
    if len(kept) == len(found):
        return Response({"errors": [errors.not_found(request.params["id"], "subscription", "id")]}, 404)
    found[:] = kept
    return {"data": {"deleted": True}, "meta": {"total_subscriptions": len(kept)}}
