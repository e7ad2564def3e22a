"""Applies stored deliveries: each in the transaction that says what became of it.

A batch shares a transaction. If that fails for a reason that lies in a delivery, they are applied one by one, and only
the one with the fault stays behind.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime

from connectors.base import Connector
from sync.base.errors import Transient
from sync.base.logs import get_logger
from sync.base.settings import Settings
from sync.events import append_events
from sync.pull.integrations import expire
from sync.signals import Signals
from sync.store.engine import Conflict, Database, Transaction
from sync.webhooks import pulls, rows
from sync.webhooks.accounts import find_holders
from sync.webhooks.model import Holder, Stored
from sync.webhooks.plan import Step, Told, decide
from sync.webhooks.platforms import HookedPlatforms
from sync.webhooks.records import Recorder

log = get_logger(__name__)

BATCH = 200
MAX_ATTEMPTS = 8
_BACKOFF_S = 5.0
_AGAIN_S = 0.1


class Applier:
    def __init__(
        self, database: Database, signals: Signals, settings: Settings, connectors: Mapping[str, Connector]
    ) -> None:
        self._database = database
        self._signals = signals
        self._settings = settings.webhooks
        self._platforms = HookedPlatforms(settings, connectors)

    async def run(self) -> float | None:
        """Apply all that is due and start the pulls it asks for; seconds until there is more to do, None for nothing.

        Errors: Transient.
        """
        while await self._batch() == BATCH:
            pass
        wait = await pulls.start(self._database, self._signals, self._settings.pull_gap_s)
        due = await rows.next_due_s(self._database)
        return min((seconds for seconds in (wait, due) if seconds is not None), default=None)

    async def _batch(self) -> int:
        for last in (False, True):
            try:
                return await self._apply_due()
            except (Conflict, Transient) as error:
                # A poll brought the same record at the same moment, or we waited for each other: look again.
                if last and isinstance(error, Transient):
                    raise
                await asyncio.sleep(_AGAIN_S)
            except Exception:
                log.warning("webhooks.batch_failed", exc_info=True)
                break
        return await self._one_by_one()

    async def _apply_due(self) -> int:
        async with self._database.transaction() as tx:
            found = await rows.take_due(tx, BATCH)
            await self._apply(tx, found)
        return len(found)

    async def _one_by_one(self) -> int:
        async with self._database.transaction() as tx:
            found = await rows.take_due(tx, BATCH)
        for delivery in found:
            try:
                async with self._database.transaction() as tx:
                    await self._apply(tx, await rows.take(tx, delivery.id))
            except Exception as error:
                await self._set_aside(delivery, error)
        return len(found)

    async def _set_aside(self, delivery: Stored, error: Exception) -> None:
        """Something temporary is tried again, later and later; anything else waits for a person."""
        again = isinstance(error, Transient | Conflict) and delivery.attempts + 1 < MAX_ATTEMPTS
        after_s = _BACKOFF_S * 2**delivery.attempts if again else None
        text = f"{type(error).__name__}: {error}"
        log.warning("webhooks.not_applied", delivery_id=delivery.id, platform=delivery.platform, error=text)
        await rows.fail(self._database, delivery.id, text, after_s)

    async def _apply(self, tx: Transaction, deliveries: Sequence[Stored]) -> None:
        if not deliveries:
            return
        told = [event for delivery in deliveries for event in self._read(delivery)]
        holders = await self._holders(tx, told)
        steps = decide(told, holders, await rows.known_keys(tx, told, holders))
        recorder = Recorder(tx)
        for step in steps:
            if step.outcome != "applied" or step.holder is None:
                continue
            if step.event.revoked and not step.kept and not await self._expire(tx, step.holder, step):
                step.outcome = "inactive"
            await recorder.add(step)
        await recorder.finish()
        await pulls.mark(tx, steps)
        await append_events(tx, recorder.events)
        await rows.write_results(tx, deliveries, told, steps, self._settings.early_s)

    def _read(self, delivery: Stored) -> list[Told]:
        """What a delivery says. One that cannot be read tells its error and nothing else."""
        hooked = self._platforms.by_name.get(delivery.platform)
        try:
            if hooked is None:
                raise LookupError(f"no platform {delivery.platform!r} with webhooks is installed")
            events = hooked.webhook.events(delivery.hook())
            return [Told(delivery, number, event) for number, event in enumerate(events)]
        except Exception as error:
            return [Told(delivery, 0, None, error=f"{type(error).__name__}: {error}")]

    async def _holders(self, tx: Transaction, told: Sequence[Told]) -> dict[tuple[str, str], list[Holder]]:
        """By platform and the vendor's name of the account."""
        names: dict[str, set[str]] = {}
        for one in told:
            if one.event is not None and one.event.account:
                names.setdefault(one.delivery.platform, set()).add(one.event.account)
        found: dict[tuple[str, str], list[Holder]] = {}
        for platform, wanted in names.items():
            for holder in await find_holders(tx, platform, sorted(wanted)):
                for name in holder.names & wanted:
                    found.setdefault((platform, name), []).append(holder)
        return found

    async def _expire(self, tx: Transaction, holder: Holder, step: Step) -> bool:
        """False where the account was connected anew after the vendor's call: that is about its old credentials."""
        changed_at: datetime = await tx.fetch_value(
            "SELECT state_changed_at FROM integration WHERE id = %s", (holder.id,)
        )
        if changed_at > step.told.delivery.received_at:
            return False
        return await expire(tx, holder.id, "revoked", step.event.revoked, version=holder.credentials_version)
