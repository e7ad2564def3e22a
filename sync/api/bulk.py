"""Operator actions on many jobs: choose by ids or by filter, preview, then do it in one transaction with its audit."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from sync.api import audit
from sync.api.auth import Principal
from sync.api.problems import field_error
from sync.api.services import Services
from sync.jobs.views import OPEN_STATES
from sync.store.engine import Transaction

Action = Literal["retry", "cancel", "discard"]

LIMITS = 10_000
"""Jobs of one request: some seconds of work at most, in one transaction."""
_PAGE = 1000

_TAKES: dict[Action, tuple[str, ...]] = {
    "retry": ("dead", "retrying", "scheduled"),
    "cancel": OPEN_STATES,
    "discard": ("dead",),
}
_DEFAULT: dict[Action, tuple[str, ...]] = {"retry": ("dead",), "cancel": OPEN_STATES, "discard": ("dead",)}
_DONE: dict[Action, str] = {"retry": "retried", "cancel": "cancelled", "discard": "discarded"}


@dataclass(frozen=True, slots=True)
class Chosen:
    """Jobs by id, or by what all filters have in common."""

    ids: tuple[int, ...] = ()
    states: tuple[str, ...] = ()
    kind: str | None = None
    queue: str | None = None
    error_class: str | None = None

    @classmethod
    def of(
        cls,
        action: Action,
        ids: Iterable[int],
        states: Iterable[str],
        kind: str | None,
        queue: str | None,
        error_class: str | None,
        *,
        everything: bool,
    ) -> Chosen:
        """Errors: ApiError 422 for a choice that is empty, ambiguous, or impossible for `action`."""
        chosen = cls(tuple(dict.fromkeys(ids)), tuple(states), kind, queue, error_class)
        narrowed = kind is not None or queue is not None or error_class is not None
        if chosen.ids and (narrowed or chosen.states or everything):
            raise field_error("/ids", "Choose by ids or by a filter, not by both.")
        if not chosen.ids and not narrowed and not everything:
            raise field_error("/all", f"This would {action} every job of your org. Narrow it, or send `all: true`.")
        impossible = [state for state in chosen.states if state not in _TAKES[action]]
        if impossible:
            raise field_error("/states", f"{action} takes jobs that are {able(action)}, not {', '.join(impossible)}.")
        return chosen


@dataclass(frozen=True, slots=True)
class Results:
    matched: int
    changed: dict[int, str]
    more: bool


def able(action: Action) -> str:
    *most, last = _TAKES[action]
    return f"{', '.join(most)} or {last}" if most else last


async def preview(action: Action, chosen: Chosen, principal: Principal, services: Services) -> int:
    """How many jobs `action` would touch; more than `LIMITS` means "at least"."""
    if not chosen.ids:
        return len(await _select(action, chosen, principal, services, LIMITS + 1))
    found = 0
    for job_id in chosen.ids:
        detail = await services.operations.show_job(principal.org_id, job_id)
        found += detail is not None and detail.job.state in _TAKES[action]
    return found


async def apply(action: Action, chosen: Chosen, principal: Principal, services: Services) -> Results:
    """Do it to at most `LIMITS` jobs. Jobs that moved on meanwhile are left alone."""
    ids = list(chosen.ids) or await _select(action, chosen, principal, services, LIMITS + 1)
    more, ids = len(ids) > LIMITS, ids[:LIMITS]

    async def work(tx: Transaction) -> dict[int, str]:
        changed = await _act(action, ids, principal, services, tx)
        if changed:
            target = f"job:{ids[0]}" if chosen.ids and len(ids) == 1 else "jobs"
            await audit.record(tx, principal, f"job.{_DONE[action]}", target, count=len(changed), **_filter(chosen))
        return changed

    changed = await services.units.transaction(work) if ids else {}
    return Results(matched=len(ids), changed=changed, more=more)


async def _act(
    action: Action, ids: list[int], principal: Principal, services: Services, tx: Transaction
) -> dict[int, str]:
    operations = services.operations
    if action == "cancel":
        return await operations.cancel(principal.org_id, ids, principal.subject, tx)
    if action == "retry":
        done = await operations.retry(principal.org_id, ids, tx)
    else:
        done = await operations.discard(principal.org_id, ids, principal.subject, tx)
    return dict.fromkeys(done, _DONE[action])


async def _select(action: Action, chosen: Chosen, principal: Principal, services: Services, limit: int) -> list[int]:
    ids: list[int] = []
    before: int | None = None
    while len(ids) < limit:
        page = await services.operations.list_jobs(
            principal.org_id,
            states=chosen.states or _DEFAULT[action],
            kind=chosen.kind,
            queue=chosen.queue,
            before=before,
            limit=_PAGE,
        )
        ids += [job.id for job in page.items if _has_error(job.error, chosen.error_class)]
        before = page.next_before
        if before is None:
            break
    return ids[:limit]


def _has_error(error: Any, wanted: str | None) -> bool:
    return wanted is None or (isinstance(error, dict) and error.get("class") == wanted)


def _filter(chosen: Chosen) -> dict[str, Any]:
    fields = {
        "ids": list(chosen.ids[:100]),
        "states": list(chosen.states),
        "kind": chosen.kind,
        "queue": chosen.queue,
        "error_class": chosen.error_class,
    }
    return {name: value for name, value in fields.items() if value}
