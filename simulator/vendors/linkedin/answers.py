"""Shapes that all finders share: pages by offset or token, and batches of ids."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from simulator.feed import Record
from simulator.http import Refusal, Request, Routes
from simulator.paging import list_page, seal, unseal
from simulator.vendors.linkedin import errors
from simulator.vendors.linkedin.restli import link, params

if TYPE_CHECKING:
    from simulator.vendors.linkedin import LinkedIn

T = TypeVar("T")


def reads(routes: Routes, path: str, *scopes: str) -> Callable[[Any], Any]:
    """A GET that may also come tunnelled through POST, counted by day."""
    return routes.add("GET POST", path, scopes=scopes, limits=("application_day", "member_day"))


def number_arg(args: dict[str, Any], name: str, default: int, most: int, least: int = 0) -> int:
    value = str(args.get(name, default))
    if not value.isdigit() or not least <= int(value) <= most:
        raise Refusal(errors.bad_param(f"{name} must be a number from {least} to {most}"))
    return int(value)


def finder(args: dict[str, Any], *names: str) -> str:
    found = str(args.get("q", ""))
    if found not in names:
        raise Refusal(errors.bad_param(f"There is no finder {found!r}"))
    return found


def list_arg(args: dict[str, Any], name: str) -> list[str]:
    value = args.get(name)
    if not isinstance(value, list):
        raise Refusal(errors.bad_query(f"{name} must be a List(...)"))
    return value


def paged(linkedin: LinkedIn, request: Request, items: Sequence[T], show: Callable[[T], Any]) -> Record:
    """A page by `start` and `count`. An item that is shown as None leaves its page shorter."""
    args = params(request)
    start = number_arg(args, "start", 0, 10_000_000)
    count = number_arg(args, "count", 10, 100, 1)
    page = list_page(linkedin, request, items, count, position=start or None)
    shown = [seen for item in page.items if (seen := show(item)) is not None]
    links: list[Record] = []
    if start > 0:
        before = link(request, start=max(start - count, 0), count=count)
        links.append({"type": "application/json", "rel": "prev", "href": before})
    if page.next is not None:
        following = link(request, start=page.next, count=count)
        links.append({"type": "application/json", "rel": "next", "href": following})
    return {"paging": {"start": start, "count": count, "total": len(items), "links": links}, "elements": shown}


def tokened(linkedin: LinkedIn, request: Request, items: Sequence[Record]) -> Record:
    """A page by `pageSize` and `pageToken`."""
    args = params(request)
    size = number_arg(args, "pageSize", 100, 1000, 1)
    position = None
    if token := args.get("pageToken"):
        found = unseal(str(token))
        if found is None:
            raise Refusal(errors.bad_param("pageToken is invalid"))
        position = int(found[0])
    page = list_page(linkedin, request, items, size, position=position)
    answer: Record = {"elements": list(page.items), "metadata": {}}
    if page.next is not None:
        answer["metadata"]["nextPageToken"] = seal(page.next, "linkedin")
    return answer


def single(elements: list[Any]) -> Record:
    """What is not paged, in the envelope of what is."""
    return {"paging": {"start": 0, "count": 10, "links": []}, "elements": elements}


def batch(ids: Iterable[str], look: Callable[[str], Any]) -> Record:
    """BATCH_GET: what was found, and why the rest was not: `look` gives None, or a status."""
    results: Record = {}
    failed: Record = {}
    statuses: Record = {}
    for name in ids:
        found = look(name)
        statuses[name] = 404 if found is None else found if isinstance(found, int) else 200
        if statuses[name] == 200:
            results[name] = found
        elif statuses[name] == 404:
            failed[name] = {"status": 404, "message": "Could not find entity", "code": "NOT_FOUND"}
        else:
            failed[name] = {
                "status": found,
                "message": "Not enough permissions to access: posts",
                "code": "ACCESS_DENIED",
            }
    return {"results": results, "errors": failed, "statuses": statuses}
