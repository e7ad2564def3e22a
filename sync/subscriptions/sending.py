"""Webhooks: events leave by network, in order per subject, until they were taken.

    lane   waiting --claim--> leased (epoch + 1) --2xx--> its next event, or gone
              ^                  |
              |                  +--anything else--> waiting, later: 5 s, 10 s ... 1 h, with jitter; Retry-After counts
              |                  +--24 h without--> parked, or the subscription is disabled if nothing else got through
              +-- lease over: its sender died; the event is sent again under the same webhook-id

A subscription whose last delivery failed is tried by one lane at a time, and its first success wakes the others: an
endpoint that is away costs one call now and then, whatever waits for it.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from sync.alerts import raise_alert
from sync.base.clock import Clock, SystemClock
from sync.base.errors import Permanent, Transient
from sync.base.logs import get_logger
from sync.base.outbound import parse_retry_after
from sync.base.settings import EventSettings, OutboundSettings
from sync.consumers.secrets import OrgSecrets, Sealing
from sync.consumers.signing import signature_headers
from sync.events import Event, LoggedEvent, append_events
from sync.jobs.retry import Backoff
from sync.store.engine import Database, Transaction
from sync.subscriptions import lanes
from sync.subscriptions.retrying import alert_parked, describe
from sync.subscriptions.rows import disabled_key, reader_name, secret_context
from sync.subscriptions.targets import WebhookTarget, envelope, read_target

if TYPE_CHECKING:
    from sync.base.outbound_http import OutboundClient

log = get_logger(__name__)

BACKOFF = Backoff(base_s=5, factor=2, cap_s=3600, floor_s=1)
GIVE_UP_S = 24 * 3600
_LEASE_MARGIN_S = 30.0
"""On top of the call's own time-out: for two transactions on a busy machine."""
_IN_A_ROW = 20
"""Events of one lane that one lease delivers, before others get their turn."""
_SHOWN_BYTES = 300

_CLAIM = """
WITH due AS (
  SELECT s.id, s.reader_id, s.org_id, s.target, s.secret, s.previous_secret, l.subject
  FROM subscription s CROSS JOIN LATERAL (
    SELECT subject FROM event_lane
    WHERE reader_id = s.reader_id AND state = 'waiting' AND next_at <= now()
    ORDER BY next_at LIMIT (CASE WHEN s.failing_since IS NULL THEN %(each)s ELSE 1 END)
    FOR NO KEY UPDATE SKIP LOCKED) l
  WHERE s.state = 'active' AND s.target->>'type' = 'webhook' AND s.id <> ALL(%(full)s)
    AND (s.failing_since IS NULL OR s.id <> ALL(%(trying)s))
    AND NOT EXISTS (SELECT FROM queue WHERE name = 'datatype' AND paused_at IS NOT NULL)
  ORDER BY s.failing_since IS NOT NULL, random() LIMIT %(room)s   -- no place for what fails while others want it
)
UPDATE event_lane l SET epoch = l.epoch + 1, leased = true,
  next_at = now() + ((due.target->>'timeoutS')::float8 + %(margin_s)s) * interval '1 second'
FROM due WHERE l.reader_id = due.reader_id AND l.org_id = due.org_id AND l.subject = due.subject
RETURNING due.id, l.reader_id, l.org_id, l.subject, l.epoch, l.attempts, due.target, due.secret, due.previous_secret
"""
_KEY = "reader_id = %(reader)s AND org_id = %(org)s AND subject = %(subject)s"
_OURS = f"SELECT 1 FROM event_lane WHERE {_KEY} AND epoch = %(epoch)s FOR NO KEY UPDATE"
_KEEP = f"""
UPDATE event_lane SET epoch = %(epoch)s, leased = true, next_at = now() + %(lease_s)s * interval '1 second' WHERE {_KEY}
"""
_FAILED = f"""
UPDATE event_lane SET leased = false, attempts = attempts + 1, failing_since = coalesce(failing_since, now()),
  error = %(error)s, next_at = now() + %(pause_s)s * interval '1 second'
WHERE {_KEY} AND epoch = %(epoch)s
RETURNING date_part('epoch', now() - failing_since) AS failing_s
"""
_WENT_WELL = """
UPDATE subscription s SET last_success_at = now(), failing_since = NULL FROM (
  SELECT id, failing_since IS NOT NULL AS recovered FROM subscription
  WHERE id = %s AND (failing_since IS NOT NULL OR last_success_at IS NULL OR last_success_at < now() - interval '5 s')
  FOR NO KEY UPDATE) old
WHERE s.id = old.id RETURNING old.recovered
"""
_WENT_WRONG = """
UPDATE subscription SET failing_since = coalesce(failing_since, now()), last_failure_at = now(), last_error = %(error)s
WHERE id = %(id)s RETURNING date_part('epoch', now() - failing_since) AS failing_s
"""


class Caller(Protocol):
    """The part of `OutboundClient` that is used."""

    async def send(
        self, method: str, url: str, *, headers: Mapping[str, str], content: bytes, timeout_s: float
    ) -> Any: ...


@dataclass(frozen=True, slots=True)
class Claimed:
    subscription_id: int
    key: lanes.Key
    epoch: int
    attempts: int
    target: WebhookTarget
    keys: tuple[bytes, ...]
    """Sealed, newest first."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an endpoint said. gone: it asks for no more (410)."""

    ok: bool
    error: str = ""
    status: int | None = None
    retry_after_s: float | None = None
    gone: bool = False
    elapsed_s: float = 0.0


class Postman:
    """Makes one call. Opens its HTTP client with the first and keeps it."""

    def __init__(
        self,
        database: Database,
        sealer: Sealing,
        settings: OutboundSettings,
        clock: Clock | None = None,
        client: Caller | None = None,
    ) -> None:
        self._secrets = OrgSecrets(database, sealer)
        self._sealer = sealer
        self._settings = settings
        self._clock = clock or SystemClock()
        self._client = client
        self._own: OutboundClient | None = None

    async def deliver(
        self, target: WebhookTarget, org_id: str, subscription_id: int, sealed: tuple[bytes, ...], event: LoggedEvent
    ) -> Verdict:
        """Never raises for what the other side does."""
        body = msgspec.json.encode(envelope(event))
        message_id = f"msg_{subscription_id}_{event.id}"
        try:
            context = secret_context(org_id, subscription_id)
            keys = [self._sealer.open(value, context).decode() for value in sealed]
            named = await self._secrets.reveal(org_id, target.secret_headers.values())
            headers = {
                "content-type": "application/json",
                **{name.lower(): value for name, value in target.headers.items()},
                **{name.lower(): named[secret][0] for name, secret in target.secret_headers.items()},
                **signature_headers(message_id, int(self._clock.now().timestamp()), body, keys),
            }
            answer = await self._opened().send(
                "POST", target.url, headers=headers, content=body, timeout_s=target.timeout_s
            )
        except (Permanent, Transient) as error:
            return Verdict(False, describe(error))
        return self._judge(answer)

    async def close(self) -> None:
        if self._own is not None:
            await self._own.close()
            self._own = None

    def _judge(self, answer: Any) -> Verdict:
        status = int(answer.status)
        if 200 <= status < 300:
            return Verdict(True, status=status, elapsed_s=answer.elapsed_s)
        shown = answer.body[:_SHOWN_BYTES].decode(errors="replace").replace("\x00", "").strip()
        text = f"The receiver answered {status}" + (f": {shown}" if shown else ".")
        if 300 <= status < 400:
            text = f"The receiver moved ({status}); redirects are not followed, so correct the URL."
        retry_after_s = parse_retry_after(answer.headers.get("retry-after"), self._clock.now())
        return Verdict(False, text, status, retry_after_s, status == HTTPStatus.GONE, answer.elapsed_s)

    def _opened(self) -> Caller:
        if self._client is not None:
            return self._client
        if self._own is None:
            from sync.base.outbound_http import OutboundClient

            self._own = OutboundClient(self._settings)
        return self._own


class Sender:
    """Claims lanes and sends them, many at a time, few per subscription."""

    def __init__(
        self,
        database: Database,
        postman: Postman,
        settings: EventSettings,
        *,
        wake: Callable[[], None],
        backoff: Backoff = BACKOFF,
        give_up_s: float = GIVE_UP_S,
    ) -> None:
        self._database = database
        self._postman = postman
        self._settings = settings
        self._wake = wake
        self._backoff = backoff
        self._give_up_s = give_up_s
        self._random = random.Random()
        self._flying: dict[asyncio.Task[None], int] = {}
        self.sent = 0
        self.failed = 0

    @property
    def running(self) -> int:
        return len(self._flying)

    async def step(self) -> int:
        """Start sending what is due, as far as there is room; lanes started. Errors: SyncError from the store."""
        room = self._settings.webhooks - len(self._flying)
        if room <= 0:
            return 0
        flying = Counter(self._flying.values())
        rows = await self._database.fetch_all(
            _CLAIM,
            {
                "each": self._settings.per_webhook,
                "full": [one for one, count in flying.items() if count >= self._settings.per_webhook],
                "trying": list(flying),
                "room": room,
                "margin_s": _LEASE_MARGIN_S,
            },
        )
        for row in rows:
            try:
                claimed = _claimed(row)
            except Permanent as error:  # written by another version: it must not stop its neighbours
                log.warning("subscription.unreadable", subscription=row["id"], error=str(error))
                continue
            task = asyncio.create_task(self._send(claimed), name=f"webhook.{claimed.subscription_id}")
            self._flying[task] = claimed.subscription_id
            task.add_done_callback(self._landed)
        return len(rows)

    async def drained(self) -> None:
        """Until everything under way has ended."""
        if self._flying:
            await asyncio.wait(self._flying)

    async def stop(self) -> None:
        tasks = list(self._flying)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _landed(self, task: asyncio.Task[None]) -> None:
        del self._flying[task]
        if not task.cancelled() and (error := task.exception()) is not None:
            log.warning("webhook.not_recorded", error=str(error), exc_info=error)  # its lease ends; it is sent again
        self._wake()

    async def _send(self, claimed: Claimed) -> None:
        for turn in range(_IN_A_ROW):
            async with self._database.transaction() as tx:
                head = await lanes.head(tx, claimed.key)
            if head is None:
                await self._close(claimed)
                return
            verdict = await self._postman.deliver(
                claimed.target, claimed.key[1], claimed.subscription_id, claimed.keys, head.event
            )
            if not verdict.ok:
                self.failed += 1
                await self._went_wrong(claimed, verdict, claimed.attempts if turn == 0 else 0)
                return
            self.sent += 1
            if not await self._went_well(claimed, head.seq, last=turn == _IN_A_ROW - 1):
                return

    async def _close(self, claimed: Claimed) -> None:
        async with self._database.transaction() as tx:
            if await self._ours(tx, claimed):
                await lanes.settle(tx, claimed.key)

    async def _went_well(self, claimed: Claimed, seq: int, *, last: bool) -> bool:
        """Record it; whether this lease goes on with the next event."""
        async with self._database.transaction() as tx:
            if not await self._ours(tx, claimed):
                return False
            more = await lanes.remove(tx, claimed.key, seq)
            if more and not last:
                values = {**lanes.named(claimed.key), "epoch": claimed.epoch}
                await tx.execute(_KEEP, {**values, "lease_s": claimed.target.timeout_s + _LEASE_MARGIN_S})
            recovered = await tx.fetch_value(_WENT_WELL, (claimed.subscription_id,))
        if recovered:
            # Apart, or two of us would wait for each other: each with its lane, one with the subscription.
            async with self._database.transaction() as tx:
                await lanes.wake(tx, claimed.key[0])
        return more and not last

    async def _went_wrong(self, claimed: Claimed, verdict: Verdict, attempts: int) -> None:
        pause_s = self._backoff.delay(attempts + 1, self._random, verdict.retry_after_s)
        log.info("webhook.failed", subscription=claimed.subscription_id, status=verdict.status, error=verdict.error)
        async with self._database.transaction() as tx:
            values = {**lanes.named(claimed.key), "epoch": claimed.epoch}
            lane = await tx.fetch_one(_FAILED, {**values, "error": verdict.error, "pause_s": pause_s})
            if lane is None:
                return  # the lease was over, and somebody else has it now
            failing_s = await tx.fetch_value(_WENT_WRONG, {"id": claimed.subscription_id, "error": verdict.error})
            if verdict.gone or (lane["failing_s"] >= self._give_up_s and failing_s >= self._give_up_s):
                await self._disable(tx, claimed, verdict)
            elif lane["failing_s"] >= self._give_up_s:
                await tx.execute(f"UPDATE event_lane SET state = 'parked' WHERE {_KEY}", values)
                await alert_parked(tx, reader_name(claimed.subscription_id), claimed.key, verdict.error)

    async def _disable(self, tx: Transaction, claimed: Claimed, verdict: Verdict) -> None:
        """Nothing gets through: stop, keep everything that waits, and tell a person."""
        why = "its endpoint answered 410 Gone" if verdict.gone else "nothing has got through for a day"
        reason = f"Disabled because {why}. {verdict.error}"
        org_id = claimed.key[1]
        name = await tx.fetch_value(
            "UPDATE subscription SET state = 'disabled', reason = %s, updated_at = now()"
            " WHERE id = %s AND state = 'active' RETURNING name",
            (reason, claimed.subscription_id),
        )
        if name is None:
            return
        payload = {"subscription_id": claimed.subscription_id, "name": name, "reason": reason}
        event = Event(org_id, "subscription.disabled", reader_name(claimed.subscription_id), payload)
        await append_events(tx, [event])
        title = f"The webhook {name!r} was disabled"
        detail = f"{reason} Events wait; resume it once the endpoint answers."
        await raise_alert(tx, org_id, disabled_key(claimed.subscription_id), title, detail=detail)

    async def _ours(self, tx: Transaction, claimed: Claimed) -> bool:
        values = {**lanes.named(claimed.key), "epoch": claimed.epoch}
        return await tx.fetch_one(_OURS, values) is not None


def _claimed(row: Mapping[str, Any]) -> Claimed:
    target = read_target(row["target"])
    assert isinstance(target, WebhookTarget)
    sealed = tuple(bytes(value) for value in (row["secret"], row["previous_secret"]) if value is not None)
    key = (row["reader_id"], row["org_id"], row["subject"])
    return Claimed(row["id"], key, row["epoch"], row["attempts"], target, sealed)
