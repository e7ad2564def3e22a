"""One page of anything, with the paging faults applied; what a page token looks like stays the vendor's affair."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from simulator.feed import Feed, View
from simulator.http import Refusal

if TYPE_CHECKING:
    from simulator.http import Request
    from simulator.vendor import Vendor


@dataclass(frozen=True, slots=True)
class Page:
    items: Sequence[Any]
    """Ready to be put into a JSON body."""
    next: int | None
    """The position the following page starts from; None at the end. Turn it into the vendor's token."""
    keys: Sequence[int] = ()
    """Feed keys of the records looked at (also of those a view left out)."""


def feed_page(
    vendor: Vendor[Any],
    request: Request,
    feed: Feed,
    limit: int,
    *,
    position: int | None = None,
    above: int | None = None,
    below: int | None = None,
    newest_first: bool = True,
    view: View | None = None,
    view_name: str = "",
) -> Page:
    """Records strictly between `above` and `below`, walking on from `position` (the last key of the page before)."""
    empty, repeat = _troubled(vendor, request, position)
    if empty:
        return Page((), _start(feed, above, below, newest_first) if position is None else position)
    low, high = above, below
    if position is not None:
        low, high = (above, position) if newest_first else (position, below)
    part = feed.slice(limit, above=low, below=high, newest_first=newest_first, view=view, view_name=view_name)
    following = part.last if part.more else None
    if following is not None and repeat:
        following = position if position is not None else _start(feed, above, below, newest_first)
    return Page(part.items, following, part.keys)


def list_page(
    vendor: Vendor[Any], request: Request, items: Sequence[Any], limit: int, *, position: int | None = None
) -> Page:
    """A page of a plain sequence; positions are offsets."""
    empty, repeat = _troubled(vendor, request, position)
    start = position or 0
    if empty:
        return Page((), start)
    end = start + limit
    following = end if end < len(items) else None
    return Page(items[start:end], start if repeat and following is not None else following)


def seal(position: int, *context: object) -> str:
    """An opaque page token."""
    return urlsafe_b64encode(msgspec.json.encode([position, *context])).decode()


def unseal(token: str) -> list[Any] | None:
    """[position, *context] of a token made by `seal`; None if it is not one."""
    try:
        value = msgspec.json.decode(urlsafe_b64decode(token.encode()))
    except (ValueError, msgspec.DecodeError):
        return None
    return value if isinstance(value, list) and value and isinstance(value[0], int) else None


def _troubled(vendor: Vendor[Any], request: Request, position: int | None) -> tuple[bool, bool]:
    """Whether this page comes empty, and whether its next token leads back to it."""
    if not vendor.world.faults.active:
        return False, False
    if position is not None and vendor.strike("expired_page", request):
        raise Refusal(vendor.expired_cursor(request))
    return vendor.strike("empty_page", request) is not None, vendor.strike("repeat_page", request) is not None


def _start(feed: Feed, above: int | None, below: int | None, newest_first: bool) -> int:
    """A position just before the first record, so that walking on from it gives the first page."""
    if newest_first:
        newest = feed.newest()
        return below if below is not None else (newest + 1 if newest is not None else 1)
    return above if above is not None else -1
