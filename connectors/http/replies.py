"""Writing back: how a platform takes an answer to a comment or message, and how it is sent at most once.

An answer that was sent and never confirmed must not be sent again: customers would read it twice. So a try ends in one
of three ways: the vendor took it; it surely did not (then the same errors as of any call say what to do); or nobody
knows (LostAnswerError). Only where the vendor drops a second one with the same token may the last be tried again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from connectors.http.request import WHOLE, Partition, Reply, Request
from connectors.http.verdicts import Rule, Verdict, judge
from connectors.records import ActivityKind
from sync.base.errors import SyncError, Transient

if TYPE_CHECKING:
    from connectors.http.api import Api


class LostAnswerError(SyncError):
    """It was sent, and no answer says whether it arrived."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """What is to be said, and to what. Ids are those of the activities that the connector made."""

    kind: ActivityKind
    """Of the message that it answers: comment or message."""
    text: str
    token: str
    """32 hexadecimal digits: the same for all tries of one answer, another for every other answer."""
    target_id: str
    """vendor_id of the message that it answers."""
    thread_id: str
    place: str | None = None
    parent_id: str | None = None
    """What the answered message itself answers."""
    author_id: str | None = None
    """Who wrote the answered message."""
    data: Mapping[str, Any] = field(default_factory=dict)
    """Of the answered message."""


@dataclass(frozen=True, slots=True)
class Sent:
    """What the vendor made of it: the kind and vendor_id of the activity that a pull will bring.

    Without an id, the activity is recognised by its text.
    """

    kind: ActivityKind
    vendor_id: str | None = None
    occurred_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Replies:
    """How a connector answers."""

    request: Callable[[Api, Outgoing], Awaitable[Request]]
    """Async seam: the call that says it. May look up what it needs; must not change anything."""
    sent: Callable[[Reply, Outgoing], Sent]
    """Reads the vendor's answer."""
    refuses: Callable[[Outgoing], str | None] = lambda _outgoing: None
    """Why this one cannot be answered here, in a sentence; None if it can."""
    most_chars: int = 2000
    scopes: tuple[str, ...] = ()
    """Asked for at consent."""
    verdicts: tuple[Rule, ...] = ()
    """Tried before those of the connector."""
    remembers: timedelta | None = None
    """How long the vendor drops a second one with the same token; None: it does not."""


async def send_once(api: Api, replies: Replies, outgoing: Outgoing) -> Sent:
    """Say it. Errors: LostAnswerError; else those of a call that surely changed nothing (see `Api.call`)."""
    import httpx

    await api.identify()
    request = await replies.request(api, outgoing)
    ctx = api.context()
    ctx.partition = Partition(outgoing.place) if outgoing.place else WHOLE
    rules: Sequence[Rule] = (*replies.verdicts, *api.connector.verdicts)
    for renewed in (False, True):
        budgets = await api._pace(request, ctx)
        used = await api._credentials_now(request)
        dressed = await api._dress(request, ctx, used)
        try:
            reply = await api._send(dressed)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            raise Transient(f"{api.connector.title} cannot be reached: {error}") from error
        except (httpx.TransportError, httpx.DecodingError) as error:
            raise LostAnswerError(f"{api.connector.title} did not answer: {type(error).__name__}") from error
        judgement = judge(reply, api.connector.problem, rules)
        await api._learn(reply, budgets, ctx)
        if judgement.verdict is Verdict.OK:
            return replies.sent(reply, outgoing)
        if judgement.verdict is Verdict.REFRESH and not renewed and await api._renew(request, used):
            continue
        if judgement.verdict is Verdict.RETRY and (reply.status < 400 or reply.status >= 500 or reply.status == 408):
            raise LostAnswerError(f"{api.connector.title} answered {reply.status}, which may mean anything.")
        raise await api._error(request, ctx, judgement, budgets, reply)
    raise Transient(f"{api.connector.title} does not accept a token that it has just given out.")
