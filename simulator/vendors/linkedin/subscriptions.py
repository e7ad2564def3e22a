"""Webhooks: a receiver proves that it knows the client secret, and is told about one page."""

from __future__ import annotations

import hmac
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from simulator.feed import Record
from simulator.http import Refusal, Request, Response, Routes
from simulator.vendors.linkedin import errors
from simulator.vendors.linkedin.organizations import ADMIN
from simulator.vendors.linkedin.restli import decode
from simulator.webhooks import Target

if TYPE_CHECKING:
    from simulator.vendors.linkedin import LinkedIn

routes = Routes()
EVENT = "ORGANIZATION_SOCIAL_ACTION_NOTIFICATIONS"
PATH = "/rest/eventSubscriptions/{key}"
LIFE_S = 30 * 86_400


def _key(linkedin: LinkedIn, request: Request) -> dict[str, Any]:
    try:
        key = decode(request.path.rpartition("/")[2])
    except ValueError as error:
        raise Refusal(errors.bad_query(str(error))) from error
    if not isinstance(key, dict) or key.get("eventType") != EVENT:
        raise Refusal(errors.bad_param("eventType is invalid"))
    if key.get("user") != linkedin.member(request).urn:
        raise Refusal(errors.denied("eventSubscriptions.UPDATE"))
    return key


def _target(linkedin: LinkedIn, request: Request, key: dict[str, Any]) -> Target | None:
    mine = [target for target in linkedin.hooks.targets if target.account is request.account]
    return next((target for target in mine if target.extra.get("entity") == key.get("entity")), None)


@routes.add("PUT", PATH, scopes=("rw_organization_admin",), limits=("application_day", "member_day"))
async def subscribe(linkedin: LinkedIn, request: Request) -> Response:
    key = _key(linkedin, request)
    org = linkedin.org(request, key.get("entity"), ADMIN, "eventSubscriptions.UPDATE")
    url = (request.json or {}).get("webhook")
    if not url:
        raise Refusal(errors.bad_param("webhook must be given"))
    extra = {"entity": org.urn, "expiresAt": int((request.now + LIFE_S) * 1000)}
    target = Target(url, org.owner, topics=frozenset({org.urn}), extra=extra)
    if not await linkedin.handshake_with(target):
        raise Refusal(errors.bad_param("The webhook could not be validated"))
    linkedin.hooks.targets.append(target)
    return Response(b"", 204)


@routes.get(PATH, scopes=("rw_organization_admin",), limits=("application_day", "member_day"))
def subscription(linkedin: LinkedIn, request: Request) -> Record:
    key = _key(linkedin, request)
    target = _target(linkedin, request, key)
    if target is None:
        raise Refusal(errors.not_found("subscription"))
    return {**key, "webhook": target.url, "expiresAt": target.extra["expiresAt"]}


@routes.add("DELETE", PATH, scopes=("rw_organization_admin",), limits=("application_day", "member_day"))
def unsubscribe(linkedin: LinkedIn, request: Request) -> Response:
    target = _target(linkedin, request, _key(linkedin, request))
    if target is not None:
        linkedin.hooks.targets.remove(target)
    return Response(b"", 204)


def challenge_response(secret: str, challenge: str) -> str:
    return hmac.new(secret.encode(), challenge.encode(), sha256).hexdigest()


def signature(secret: str, body: bytes) -> dict[str, str]:
    """The prefix is part of what is signed, not of the header."""
    return {"x-li-signature": hmac.new(secret.encode(), b"hmacsha256=" + body, sha256).hexdigest()}
