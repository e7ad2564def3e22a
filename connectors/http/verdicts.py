"""What an answer means: exactly one verdict for each, by a table that the connector declares.

    OK            use it
    RETRY         trouble at the vendor: soon again, then later
    THROTTLED     the budget is blocked for everybody until then; the run parks
    SHRINK        ask for less at a time
    REFRESH       renew the token and ask again, once; then AUTH_DEAD
    AUTH_DEAD     the account has to be reconnected
    SCOPE_MISSING this sync type is blocked until somebody reconnects
    GONE          the thing asked for is not there or not for us: leave this partition (or item) out
    RESET_CURSOR  the page token is dead: walk again from the last mark
    QUARANTINE    keep the answer aside, leave this partition out
    CONFIG        our app or its settings are wrong: a person must act
    BUG           we asked for nonsense

Rules are tried in order, those of the stream before those of the connector; the first that matches decides. An answer
that no rule matches is judged by its HTTP status.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import StrEnum
from functools import lru_cache
from typing import Any

from connectors.http.request import NotJsonError, Reply


class Verdict(StrEnum):
    OK = "ok"
    RETRY = "retry"
    THROTTLED = "throttled"
    SHRINK = "shrink"
    REFRESH = "refresh"
    AUTH_DEAD = "auth_dead"
    SCOPE_MISSING = "scope_missing"
    GONE = "gone"
    RESET_CURSOR = "reset_cursor"
    QUARANTINE = "quarantine"
    CONFIG = "config"
    BUG = "bug"


OK, RETRY, THROTTLED, SHRINK, REFRESH = (
    Verdict.OK,
    Verdict.RETRY,
    Verdict.THROTTLED,
    Verdict.SHRINK,
    Verdict.REFRESH,
)
AUTH_DEAD, SCOPE_MISSING, GONE, RESET_CURSOR = (
    Verdict.AUTH_DEAD,
    Verdict.SCOPE_MISSING,
    Verdict.GONE,
    Verdict.RESET_CURSOR,
)
QUARANTINE, CONFIG, BUG = Verdict.QUARANTINE, Verdict.CONFIG, Verdict.BUG

Wait = float | Callable[[Reply], float | None]


@dataclass(frozen=True, slots=True)
class Problem:
    """The vendor's error, read out of its envelope. `code` and `subcode` are compared as texts."""

    code: str = ""
    message: str = ""
    subcode: str = ""


ProblemReader = Callable[[Reply], Problem | None]


@dataclass(frozen=True, slots=True)
class Rule:
    then: Verdict
    status: frozenset[int] = frozenset()
    code: frozenset[str] = frozenset()
    subcode: frozenset[str] = frozenset()
    message: str = ""
    endpoint: str = ""
    where: Callable[[Reply], bool] | None = None
    after: Wait | None = None
    budget: str = ""
    reason: str = ""

    def matches(self, reply: Reply, problem: Problem | None) -> bool:
        if self.status and reply.status not in self.status:
            return False
        if self.code and (problem is None or problem.code not in self.code):
            return False
        if self.subcode and (problem is None or problem.subcode not in self.subcode):
            return False
        if self.message and (problem is None or not _pattern(self.message).search(problem.message)):
            return False
        if self.endpoint and not _pattern(self.endpoint).search(reply.request.kind):
            return False
        try:
            return self.where is None or self.where(reply)
        except NotJsonError:
            return False


def on(
    *,
    then: Verdict,
    status: int | Collection[int] = (),
    code: str | int | Collection[str | int] = (),
    subcode: str | int | Collection[str | int] = (),
    message: str = "",
    endpoint: str = "",
    where: Callable[[Reply], bool] | None = None,
    after: Wait | None = None,
    budget: str = "",
    reason: str = "",
) -> Rule:
    """A row of the verdict table; all conditions that are given must hold.

    message, endpoint: regular expressions, searched in any case. where: anything else about the reply.
    after: seconds to wait (RETRY, THROTTLED), or how to read them; else Retry-After, else a minute.
    budget: which budget is blocked (THROTTLED); else the narrowest one that the call was counted on.
    reason: what to tell people instead of the vendor's message.
    """
    if message:
        _pattern(message)
    statuses = frozenset({status} if isinstance(status, int) else status)
    return Rule(then, statuses, _texts(code), _texts(subcode), message, endpoint, where, after, budget, reason)


@dataclass(frozen=True, slots=True)
class Judgement:
    verdict: Verdict
    problem: Problem
    after_s: float | None = None
    """How long to wait; None if nobody said."""
    budget: str = ""
    reason: str = ""


def judge(reply: Reply, read: ProblemReader, rules: Iterable[Rule]) -> Judgement:
    """The one verdict on this reply."""
    problem: Problem | None = None
    unreadable = False
    try:
        problem = read(reply)
    except NotJsonError:
        unreadable = True
        if 200 <= reply.status < 300 and not reply.request.raw:
            return Judgement(RETRY, Problem("not_json", "The answer is not JSON."))
    for rule in rules:
        if rule.matches(reply, problem):
            return Judgement(
                rule.then, problem or _by_status(reply), _after(rule.after, reply), rule.budget, rule.reason
            )
    if problem is None and 200 <= reply.status < 300:
        return Judgement(OK, Problem())
    # A refusal that is not the vendor's JSON may be a proxy's, or half of one: nobody should have to reconnect for it.
    verdict = RETRY if unreadable and reply.status == 403 else _default(reply.status)
    return Judgement(verdict, problem or _by_status(reply), retry_after(reply))


def problem_at(code: str, message: str = "", subcode: str = "") -> ProblemReader:
    """Read the envelope at dotted paths; no code there means no problem."""

    def read(reply: Reply) -> Problem | None:
        if reply.request.raw and reply.status < 400:
            return None
        found = reply.at(code)
        if found is None:
            return None
        return Problem(
            _text(found), _text(reply.at(message)) if message else "", _text(reply.at(subcode)) if subcode else ""
        )

    return read


def no_problem(reply: Reply) -> Problem | None:
    """For vendors that say everything by HTTP status."""
    if not reply.request.raw:
        _ = reply.data
    return None


def retry_after(reply: Reply) -> float | None:
    """The Retry-After header in seconds, if there is one."""
    value = reply.header("retry-after")
    if not value:
        return None
    try:
        return max(float(value), 0.0)
    except ValueError:
        pass
    try:
        return max((parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds(), 0.0)
    except (TypeError, ValueError):
        return None


def _after(wait: Wait | None, reply: Reply) -> float | None:
    found = wait(reply) if callable(wait) else wait
    return retry_after(reply) if found is None else found


_DEFAULTS = {401: REFRESH, 403: SCOPE_MISSING, 404: GONE, 408: RETRY, 410: GONE, 425: RETRY, 429: THROTTLED}


def _default(status: int) -> Verdict:
    return RETRY if status >= 500 else _DEFAULTS.get(status, BUG)


def _by_status(reply: Reply) -> Problem:
    return Problem(str(reply.status), f"HTTP {reply.status} {reply.text[:200]}".strip())


def _text(value: Any) -> str:
    return value if isinstance(value, str) else "" if value is None else str(value)


def _texts(value: str | int | Collection[str | int]) -> frozenset[str]:
    return frozenset({str(value)} if isinstance(value, str | int) else map(str, value))


@lru_cache(maxsize=500)
def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(text, re.IGNORECASE)
