"""EventSub over webhooks: subscriptions, their handshake, notifications and revocations."""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import msgspec

from simulator.feed import Record
from simulator.http import Request, Response, Routes
from simulator.paging import list_page
from simulator.vendors.twitch.data import Channel, nano, uuid
from simulator.vendors.twitch.helix import POINTS, fail, paged, position
from simulator.webhooks import Target

if TYPE_CHECKING:
    import httpx

    from simulator.vendors.twitch import Twitch

routes = Routes()
PATH = "/helix/eventsub/subscriptions"
TYPES: dict[str, tuple[str, tuple[str, ...]]] = {
    "stream.online": ("1", ()),
    "stream.offline": ("1", ()),
    "channel.update": ("2", ()),
    "channel.follow": ("2", ("moderator:read:followers",)),
    "channel.chat.message": ("1", ("user:read:chat",)),
    "channel.chat.message_delete": ("1", ("user:read:chat",)),
    "channel.subscribe": ("1", ("channel:read:subscriptions",)),
    "channel.cheer": ("1", ("bits:read",)),
    "channel.raid": ("1", ()),
    "user.whisper.message": ("1", ("user:read:whispers",)),
    "user.update": ("1", ()),
    "user.authorization.grant": ("1", ()),
    "user.authorization.revoke": ("1", ()),
}
_PLACES = ("broadcaster_user_id", "to_broadcaster_user_id", "user_id")


@dataclass(eq=False, slots=True)
class Subscription:
    id: str
    kind: str
    version: str
    condition: Record
    target: Target
    created: float
    cost: int = 0
    status: str = "webhook_callback_verification_pending"

    @property
    def channel(self) -> str | None:
        """Whose events it is about."""
        return next((str(self.condition[name]) for name in _PLACES if name in self.condition), None)

    def json(self) -> Record:
        return {
            "id": self.id,
            "status": self.status,
            "type": self.kind,
            "version": self.version,
            "cost": self.cost,
            "condition": self.condition,
            "transport": {"method": "webhook", "callback": self.target.url},
            "created_at": nano(self.created),
        }


# --- the API


@routes.post(PATH, limits=POINTS)
def create(twitch: Twitch, request: Request) -> Response:
    _app_only(twitch, request)
    body = request.json if isinstance(request.json, dict) else {}
    transport = body.get("transport") or {}
    kind, condition = str(body.get("type", "")), dict(body.get("condition") or {})
    known = TYPES.get(kind)
    if known is None or str(body.get("version")) != known[0]:
        raise fail(twitch, 400, "invalid subscription type and version")
    url, secret = str(transport.get("callback", "")), str(transport.get("secret", ""))
    _check_transport(twitch, url, secret)
    made = Subscription("", kind, known[0], condition, Target(url, secret=secret), request.now)
    _check_condition(twitch, made, known[1])
    same = [s for s in twitch.subscriptions if (s.kind, s.condition) == (kind, condition)]
    if any(s.target.url == url and s.status != "webhook_callback_verification_failed" for s in same):
        raise fail(twitch, 409, "subscription already exists")
    if len(same) >= 3:
        raise fail(twitch, 429, "exceeds the number of subscriptions with the same type and condition")
    made.id = uuid("subscription", twitch.seed, len(twitch.subscriptions), int(request.now))
    made.target.account = twitch.accounts.get(made.channel or "")
    twitch.subscriptions.append(made)
    twitch.world.spawn(_verify, twitch, made)
    return Response({"data": [made.json()], **_totals(twitch)}, 202)


def _check_transport(twitch: Twitch, url: str, secret: str) -> None:
    parts = urlsplit(url)
    here = parts.hostname in ("127.0.0.1", "localhost")  # so that the simulator can be used at all
    if not here and (parts.scheme != "https" or parts.port not in (None, 443)):
        raise fail(twitch, 400, "invalid transport: callback must be a valid https URL on port 443")
    if not 10 <= len(secret) <= 100 or not secret.isascii():
        raise fail(twitch, 400, "invalid transport: secret must be an ASCII string of 10 to 100 characters")


def _check_condition(twitch: Twitch, made: Subscription, scopes: tuple[str, ...]) -> None:
    """What a subscription is about must exist, and its owner must have agreed once."""
    if made.kind.startswith("user.authorization."):
        if made.condition.get("client_id") != twitch.app.client_id:
            raise fail(twitch, 400, "invalid condition")
        return
    channel = twitch.accounts.get(made.channel or "")
    if channel is None:
        raise fail(twitch, 400, "invalid condition")
    granted = [g.scopes for g in twitch.auth.grants if g.account is channel and g.dead is None]
    if scopes and not any(scopes_given.issuperset(scopes) for scopes_given in granted):
        raise fail(twitch, 403, "subscription missing proper authorization")
    made.cost = 0 if granted else 1


@routes.get(PATH, limits=POINTS)
def listing(twitch: Twitch, request: Request) -> dict[str, Any]:
    _app_only(twitch, request)
    filters = {k: v for k, v in request.query.items() if k in ("status", "type", "user_id", "subscription_id")}
    if len(filters) > 1:
        raise fail(twitch, 400, "only one filter may be specified")
    found = [s.json() for s in twitch.subscriptions if _passes(s, filters)]
    page = list_page(twitch, request, found, 100, position=position(twitch, request))
    return paged(request, page, **_totals(twitch))


def _passes(found: Subscription, filters: dict[str, str]) -> bool:
    values = {
        "status": found.status,
        "type": found.kind,
        "user_id": found.channel,
        "subscription_id": found.id,
    }
    return all(values[name] == value for name, value in filters.items())


@routes.add("DELETE", PATH, limits=POINTS)
def delete(twitch: Twitch, request: Request) -> Response:
    _app_only(twitch, request)
    kept = [s for s in twitch.subscriptions if s.id != request.query.get("id")]
    if len(kept) == len(twitch.subscriptions):
        raise fail(twitch, 404, "subscription not found")
    twitch.subscriptions = kept
    return Response(b"", 204)


def _app_only(twitch: Twitch, request: Request) -> None:
    if request.token is None or request.token.kind != "app":
        raise fail(twitch, 400, "invalid transport and auth combination")


def _totals(twitch: Twitch) -> Record:
    count = len(twitch.subscriptions)
    return {"total": count, "total_cost": sum(s.cost for s in twitch.subscriptions), "max_total_cost": 10_000}


# --- what is sent


async def _verify(twitch: Twitch, made: Subscription) -> None:
    import httpx

    rules = twitch.hooks.rules
    try:
        agreed = await challenge(twitch, twitch.world.http_client(rules.timeout_s, rules.redirects), made)
    except httpx.HTTPError:
        agreed = False
    made.status = "enabled" if agreed else "webhook_callback_verification_failed"


async def challenge(twitch: Twitch, client: httpx.AsyncClient, made: Subscription) -> bool:
    """The receiver must send the bare challenge back, and nothing else."""
    asked = uuid("challenge", made.id, made.target.url)
    body = msgspec.json.encode({"challenge": asked, "subscription": made.json()})
    number = uuid("verification", made.id, made.target.url)
    at = nano(twitch.now())
    headers = {
        "content-type": "application/json",
        **signature(twitch.secret_of(made.target), number, at, body),
        "twitch-eventsub-message-retry": "0",
        "twitch-eventsub-message-type": "webhook_callback_verification",
        "twitch-eventsub-subscription-type": made.kind,
        "twitch-eventsub-subscription-version": made.version,
    }
    answer = await client.post(made.target.url, content=body, headers=headers)
    return answer.status_code == 200 and answer.text == asked


def wildcard(twitch: Twitch, target: Target, kind: str, channel: Channel | None) -> Subscription:
    """The subscription that a receiver registered by the control API has to everything."""
    condition: Record = {"broadcaster_user_id": channel.id} if channel else {"client_id": twitch.app.client_id}
    if kind == "user.whisper.message" and channel:
        condition = {"user_id": channel.id}
    elif kind == "channel.raid" and channel:
        condition = {"to_broadcaster_user_id": channel.id}
    elif kind.startswith("user.authorization."):
        condition = {"client_id": twitch.app.client_id}
    elif kind.startswith("channel.chat.") and channel:
        condition["user_id"] = channel.id
    number = uuid("wildcard", target.url, kind, channel.id if channel else "app")
    version = TYPES.get(kind, ("1", ()))[0]
    return Subscription(number, kind, version, condition, target, twitch.world.start, status="enabled")


def send(twitch: Twitch, found: Subscription, channel: Channel | None, kind: str, event: Record | None) -> None:
    """One notification, or a revocation when there is no event."""
    body: Record = {"subscription": found.json()}
    if event is not None:
        body["event"] = event
    twitch.sent += 1
    twitch.hooks.send(
        found.target,
        msgspec.json.encode(body),
        channel,
        topic=found.kind,
        event_id=uuid("message", twitch.seed, twitch.sent),
        kind=kind,
        subscription=found.id,
        version=found.version,
    )


def signature(secret: str, number: str, at: str, body: bytes) -> dict[str, str]:
    digest = hmac.new(secret.encode(), number.encode() + at.encode() + body, sha256).hexdigest()
    return {
        "twitch-eventsub-message-id": number,
        "twitch-eventsub-message-timestamp": at,
        "twitch-eventsub-message-signature": f"sha256={digest}",
    }
