"""The REST binding: reachable customers, and two ways to ask a query."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec

from simulator.feed import Record
from simulator.http import Refusal, Request, Response, Routes
from simulator.paging import list_page, seal, unseal
from simulator.vendors.google_ads import errors
from simulator.vendors.google_ads.data import Customer, Login
from simulator.vendors.google_ads.oauth import SCOPE

if TYPE_CHECKING:
    from simulator.vendors.google_ads import GoogleAds

routes = Routes()
VERSIONS = ("v23", "v24", "v25", "v26")
SUNSET = ("v20", "v21", "v22")
TOKEN_LIFE_S = 7_200
BATCH = 1_000
"""Rows in one element of a stream; the real size varies."""


@routes.get("/{version}/customers:listAccessibleCustomers", scopes=(SCOPE,))
def accessible(google: GoogleAds, request: Request) -> Record:
    _version(request)
    login = _login(request)
    return {"resourceNames": [f"customers/{customer.id}" for customer in login.direct]}


@routes.post("/{version}/customers/{customer}/googleAds:search", scopes=(SCOPE,))
def search(google: GoogleAds, request: Request) -> Record:
    _version(request)
    login, customer = _customer(request)
    body = request.json if isinstance(request.json, dict) else {}
    if "pageSize" in body:
        text = "Setting the page size is not supported. Search Responses will have fixed page size of '10000' rows."
        raise Refusal(errors.failure(400, "requestError", "PAGE_SIZE_NOT_SUPPORTED", text))
    query = str(body.get("query") or "")
    position = _position(google, request, query, body.get("pageToken"))
    found, mask = google.asked(login, customer, query, request.now, again=position is not None)
    page = list_page(google, request, found, google.page_rows, position=position)
    answer: Record = {"results": list(page.items)} if page.items else {}
    if page.next is not None:
        answer["nextPageToken"] = seal(page.next, int(request.now), query)
    if (body.get("searchSettings") or {}).get("returnTotalResultsCount"):
        answer["totalResultsCount"] = str(len(found))
    return {**answer, "fieldMask": mask}


@routes.post("/{version}/customers/{customer}/googleAds:searchStream", scopes=(SCOPE,))
def search_stream(google: GoogleAds, request: Request) -> Response | list[Record]:
    """One array of batches; an error comes in an array as well."""
    try:
        _version(request)
        login, customer = _customer(request)
        body = request.json if isinstance(request.json, dict) else {}
        found, mask = google.asked(login, customer, str(body.get("query") or ""), request.now)
    except Refusal as refusal:
        answer = refusal.response
        return Response([answer.body], answer.status) if isinstance(answer.body, dict) else answer
    common = {"fieldMask": mask, "requestId": errors.request_id(google.seed, int(request.now))}
    batches = [found[at : at + BATCH] for at in range(0, len(found), BATCH)]
    return [{"results": batch, **common} for batch in batches] or [common]


def _version(request: Request) -> None:
    version = request.params["version"]
    if version in SUNSET:
        text = f"Version {version} is deprecated. Requests to this version will be blocked."
        raise Refusal(errors.failure(400, "requestError", "UNSUPPORTED_VERSION", text))
    if version not in VERSIONS:
        raise Refusal(errors.html(404, request.path))


def _login(request: Request) -> Login:
    assert isinstance(request.account, Login)
    return request.account


def _customer(request: Request) -> tuple[Login, Customer]:
    """The customer a call is about, if this login may see it the way the headers say."""
    login, number = _login(request), request.params["customer"]
    if not re.fullmatch(r"\d{10}", number):
        raise Refusal(errors.failure(400, "requestError", "INVALID_CUSTOMER_ID", f"Invalid customer ID '{number}'."))
    through = request.headers.get("login-customer-id")
    if through is not None and not re.fullmatch(r"\d{10}", through):
        text = "The login-customer-id must be a 10-digit number without dashes."
        raise Refusal(errors.failure(400, "headerError", "INVALID_LOGIN_CUSTOMER_ID", text))
    customer = login.customer(number)
    if customer is None:
        raise Refusal(errors.no_customer())
    if through is None:
        if customer not in login.direct:
            raise Refusal(errors.not_permitted())
    elif not customer.under(through):
        code = "INVALID_LOGIN_CUSTOMER_ID_SERVING_CUSTOMER_ID_COMBINATION"
        raise Refusal(errors.failure(403, "authorizationError", code, "The login customer cannot access this one."))
    elif not any(manager.id == through for manager in login.direct):
        raise Refusal(errors.not_permitted())
    if customer.status != "ENABLED":
        raise Refusal(errors.not_enabled())
    return login, customer


def _position(google: GoogleAds, request: Request, query: str, token: Any) -> int | None:
    if not token:
        return None
    found = unseal(str(token))
    if found is None or len(found) != 3 or found[2] != query:
        raise Refusal(errors.failure(400, "requestError", "INVALID_PAGE_TOKEN", "Page token was invalid."))
    if request.now - found[1] > TOKEN_LIFE_S:
        raise Refusal(google.expired_cursor(request))
    return int(found[0])


def paged(request: Request) -> bool:
    """Whether a call asks for a following page: those cost nothing."""
    return b'"pageToken"' in request.body and bool((msgspec.json.decode(request.body) or {}).get("pageToken"))
