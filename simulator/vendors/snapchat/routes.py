"""Ads: organizations, ad accounts and what is in them. Every element of a list is wrapped with a status of its own."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from simulator.feed import Feed, Record
from simulator.http import Request, Routes
from simulator.paging import feed_page, list_page, seal, unseal
from simulator.vendors.snapchat import errors
from simulator.vendors.snapchat.data import AdAccount, Organization, Person

if TYPE_CHECKING:
    from simulator.vendors.snapchat import Snapchat

routes = Routes()
ADS = ("snapchat-marketing-api",)
LIMITS = ("app", "token")
SINGULAR = {"campaigns": "campaign", "adsquads": "adsquad", "ads": "ad"}


def envelope(snapchat: Snapchat, **parts: Any) -> Record:
    snapchat.calls += 1
    return {"request_status": "SUCCESS", "request_id": errors.request_id(snapchat.seed, snapchat.calls), **parts}


def wrapped(singular: str, items: Iterable[Any]) -> list[Record]:
    return [{"sub_request_status": "SUCCESS", singular: item} for item in items]


def person_of(request: Request) -> Person:
    assert isinstance(request.account, Person)
    return request.account


def organization(request: Request) -> Organization:
    person = person_of(request)
    found = next((org for org in person.organizations if org.id == request.params["id"] and not person.lost), None)
    if found is None:
        raise errors.not_found()
    return found


def ad_account(request: Request) -> AdAccount:
    found = next((a for a in person_of(request).ad_accounts() if a.id == request.params["id"]), None)
    if found is None:
        raise errors.not_found()
    if found.status == "PENDING":
        raise errors.bad("E0001", "The requested operation is not supported for this ad account")
    return found


def visible(record: Record) -> Record | None:
    """As others see it: without what begins with an underscore."""
    return None if record.get("deleted") else shown(record)


def shown(record: Record) -> Record:
    return {name: value for name, value in record.items() if not name.startswith("_")}


@routes.get("/v1/me", scopes=ADS, limits=LIMITS)
def me(snapchat: Snapchat, request: Request) -> Record:
    person = person_of(request)
    found = {
        "id": person.id,
        "updated_at": "2026-01-01T00:00:00.000Z",
        "email": f"{person.id[:8]}@example.com",
        "display_name": person.name,
        "organization_id": person.organizations[0].id,
    }
    return envelope(snapchat, me=found)


@routes.get("/v1/me/organizations", scopes=ADS, limits=LIMITS)
def organizations(snapchat: Snapchat, request: Request) -> Record:
    person = person_of(request)
    found = [] if person.lost else person.organizations
    with_accounts = request.query.get("with_ad_accounts") == "true"
    return envelope(snapchat, organizations=wrapped("organization", [_org(person, o, with_accounts) for o in found]))


def _org(person: Person, org: Organization, with_accounts: bool) -> Record:
    record: Record = {
        "id": org.id,
        "updated_at": org.created,
        "created_at": org.created,
        "name": org.name,
        "country": "US",
        "type": "ENTERPRISE",
        "state": "ACTIVE",
        "my_display_name": person.name,
        "my_member_id": person.id,
    }
    if with_accounts:
        record["ad_accounts"] = [account.json() | {"roles": ["adaccount_admin"]} for account in org.ad_accounts]
    return record


@routes.get("/v1/organizations/{id}/adaccounts", scopes=ADS, limits=LIMITS)
def ad_accounts(snapchat: Snapchat, request: Request) -> Record:
    found = [account.json() for account in organization(request).ad_accounts]
    page = list_page(snapchat, request, found, limit(request), position=position(snapchat, request))
    return paged(snapchat, request, "adaccounts", "adaccount", page.items, page.next)


@routes.get("/v1/adaccounts/{id}", scopes=ADS, limits=LIMITS)
def one_ad_account(snapchat: Snapchat, request: Request) -> Record:
    return envelope(snapchat, adaccounts=wrapped("adaccount", [ad_account(request).json()]))


@routes.get("/v1/adaccounts/{id}/{entities}", scopes=ADS, limits=LIMITS)
def entities(snapchat: Snapchat, request: Request) -> Record:
    plural = request.params["entities"]
    account = ad_account(request)
    if plural not in SINGULAR:
        raise errors.not_found()
    singular = SINGULAR[plural]
    return _listed(snapchat, request, account.feeds()[singular], plural, singular)


def _listed(snapchat: Snapchat, request: Request, feed: Feed, plural: str, singular: str) -> Record:
    """By creation when paged."""
    every = request.query.get("read_deleted_entities") == "true"
    page = feed_page(
        snapchat,
        request,
        feed,
        limit(request),
        position=position(snapchat, request),
        newest_first=False,
        view=shown if every else visible,
        view_name="all" if every else "living",
    )
    return paged(snapchat, request, plural, singular, page.items, page.next)


def paged(
    snapchat: Snapchat, request: Request, plural: str, singular: str, items: Iterable[Any], following: int | None
) -> Record:
    answer = envelope(snapchat, **{plural: wrapped(singular, items)})
    if following is not None:
        query = {**request.query, "cursor": seal(following)}
        answer["paging"] = {"next_link": f"{request.base_url}{request.path}?{urlencode(query)}"}
    return answer


def limit(request: Request) -> int:
    given = request.query.get("limit")
    if given is None:
        return 100_000
    if not given.isdigit() or not 50 <= int(given) <= 1000:
        raise errors.bad("E1004", "limit must be between 50 and 1000")
    return int(given)


def position(snapchat: Snapchat, request: Request) -> int | None:
    cursor = request.query.get("cursor")
    if not cursor:
        return None
    found = unseal(cursor)
    if found is None:
        raise errors.bad("E1005", "Invalid cursor")
    return int(found[0])


@routes.get("/v1/{entities}/{id}", scopes=ADS, limits=LIMITS)
def one(snapchat: Snapchat, request: Request) -> Record:
    plural, key = request.params["entities"], request.params["id"]
    if plural not in SINGULAR:
        raise errors.not_found()
    _, record = find(request, SINGULAR[plural], key)
    return envelope(snapchat, **{plural: wrapped(SINGULAR[plural], [shown(record)])})


def find(request: Request, kind: str, key: str) -> tuple[AdAccount, Record]:
    for account in person_of(request).ad_accounts():
        for record in account.feeds()[kind].records():
            if record["id"] == key and not record.get("deleted"):
                return account, record
    raise errors.not_found()
