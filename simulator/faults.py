"""Trouble on demand: what goes wrong, where, how often."""

from __future__ import annotations

import random
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatchcase
from itertools import count
from typing import Any, Literal, get_args

Kind = Literal[
    # before the vendor looks at the call
    "latency",  # seconds, jitter: wait that long
    "error",  # status (503), body, html: a 5xx, in the vendor's envelope unless html
    "hang",  # seconds (3600): accept the call, never answer in time
    "limited",  # retry_after (30), rule, lasting (bool): as if over that limit
    "revoked_token",  # as if the token had been revoked; lasting=true revokes the grant for good
    "expired_token",  # as if the access token had run out; lasting=true expires it for good
    "missing_scope",  # scope: as if consent lacked it
    # in paging
    "repeat_page",  # the next token leads to the same page again
    "expired_page",  # the page token that came is no longer known
    "empty_page",  # no records, though there is a next page
    # in the answer
    "cut",  # at (0.5): the connection ends after that share of the body
    "truncate",  # at (0.5): a whole answer, but only that share of the body
    "garbage",  # bytes that are not JSON, or text with text=
    "extra_fields",  # unknown fields on every object
    # of the vendor as such
    "clock_skew",  # seconds: the vendor's clock is off by that
    "report_fail",  # async report jobs end as failed
    "report_stuck",  # ... never end
    # of webhooks
    "webhook_duplicate",  # times (2): every delivery so often
    "webhook_reorder",  # a delivery waits until the next one has gone out
    "webhook_drop",  # never sent
    "webhook_forge",  # signed with a wrong secret
    "webhook_stale",  # seconds (3600): signed with an old time
]

KINDS: tuple[str, ...] = get_args(Kind)


@dataclass(slots=True)
class Fault:
    """`endpoint` is a glob over the vendor's path, as called or as declared; `*` everywhere."""

    kind: Kind
    vendor: str = "*"
    account: str = "*"
    endpoint: str = "*"
    count: int | None = None
    """How many more times; None until it is removed."""
    after: int = 0
    """How many matching calls to let pass first."""
    rate: float = 1.0
    """Share of the matching calls it hits."""
    params: dict[str, Any] = field(default_factory=dict)
    id: int = 0
    hits: int = 0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"No fault {self.kind!r}; there are: {', '.join(KINDS)}")


class Faults:
    def __init__(self, seed: int) -> None:
        self.active: list[Fault] = []
        self._numbers = count(1)
        self._random = random.Random(seed)

    def add(
        self,
        kind: Kind,
        *,
        vendor: str = "*",
        account: str = "*",
        endpoint: str = "*",
        count: int | None = None,
        after: int = 0,
        rate: float = 1.0,
        **params: Any,
    ) -> Fault:
        fault = Fault(kind, vendor, account, endpoint, count, after, rate, params, next(self._numbers))
        self.active.append(fault)
        return fault

    def remove(self, fault_id: int) -> bool:
        kept = [fault for fault in self.active if fault.id != fault_id]
        found = len(kept) < len(self.active)
        self.active = kept
        return found

    def clear(self, **match: Any) -> int:
        """Remove faults, all or those with these attributes (`vendor="slack"`)."""
        kept = [f for f in self.active if any(getattr(f, name) != value for name, value in match.items())]
        removed = len(self.active) - len(kept)
        self.active = kept if match else []
        return removed

    def strike(self, kind: Kind, vendor: str, account: str | None = None, *endpoints: str) -> Fault | None:
        """The fault of this kind that hits here and now, used up by one."""
        for fault in self.active:
            if fault.kind != kind or not _matches(fault, vendor, account, endpoints):
                continue
            if fault.after > 0:
                fault.after -= 1
                continue
            if fault.rate < 1.0 and self._random.random() >= fault.rate:
                continue
            fault.hits += 1
            if fault.count is not None:
                fault.count -= 1
                if fault.count <= 0:
                    self.remove(fault.id)
            return fault
        return None

    def listed(self) -> list[dict[str, Any]]:
        return [asdict(fault) for fault in self.active]


def _matches(fault: Fault, vendor: str, account: str | None, endpoints: tuple[str, ...]) -> bool:
    if fault.vendor not in ("*", vendor):
        return False
    if fault.account not in ("*", account):
        return False
    return fault.endpoint == "*" or any(fnmatchcase(path, fault.endpoint) for path in endpoints)
