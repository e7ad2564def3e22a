"""Arguments of v5 calls, and pages with a bookmark."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from simulator import numbers
from simulator.feed import Record
from simulator.http import Refusal, Request
from simulator.paging import Page, list_page, seal, unseal
from simulator.vendors.pinterest import errors

if TYPE_CHECKING:
    from simulator.vendors.pinterest import Pinterest


def many(request: Request, name: str) -> list[str]:
    """Values of a list: some parameters are declared as comma-separated, others as repeated; both are taken."""
    return [value for given in request.query_list(name) for value in given.split(",") if value]


def flag(request: Request, name: str) -> bool:
    return request.query.get(name, "").lower() == "true"


def page_size(request: Request) -> int:
    value = request.query.get("page_size", "25")
    if not value.isdigit():
        raise Refusal(errors.error(400, 1, f"Parameter 'page_size' was not numeric (was {value})"))
    if not 1 <= int(value) <= 250:
        raise errors.bad(f"page_size {value} is not between 1 and 250")
    return int(value)


def position(request: Request) -> int | None:
    value = request.query.get("bookmark")
    if not value:
        return None
    found = unseal(value)
    if found is None:
        raise errors.bad("bookmark is not valid")
    return int(found[0])


def bookmarked(page: Page) -> Record:
    return {"items": list(page.items), "bookmark": None if page.next is None else seal(page.next)}


def listed(pinterest: Pinterest, request: Request, items: Sequence[Any]) -> Record:
    return bookmarked(list_page(pinterest, request, items, page_size(request), position=position(request)))


def dates(request: Request, args: dict[str, Any], *, back: int, most: int) -> list[date]:
    """The days from start_date to end_date, both included and both UTC."""
    try:
        first, last = (date.fromisoformat(str(args.get(name, ""))) for name in ("start_date", "end_date"))
    except ValueError:
        raise errors.bad("start_date and end_date must be dates (YYYY-MM-DD)") from None
    today = numbers.today(request.now)
    if last < first:
        raise errors.bad("end_date is before start_date")
    if first < today - timedelta(days=back):
        raise errors.bad(f"start_date is more than {back} days back in time")
    if (last - first).days > most:
        raise errors.bad(f"the range is longer than {most} days")
    return numbers.days(first, last)


def choices(values: Sequence[str], known: Sequence[str], name: str) -> list[str]:
    wrong = [value for value in values if value not in known]
    if wrong or not values:
        raise errors.bad(f"{', '.join(wrong) or 'nothing'} is not a value of {name}")
    return list(values)
