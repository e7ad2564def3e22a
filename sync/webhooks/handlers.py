"""The kinds of this package. Light to import: every pool member has them in its catalogue."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import msgspec

from sync.base.errors import Permanent
from sync.base.ids import SYSTEM_ORG
from sync.base.settings import Settings
from sync.jobs.catalogue import JobKind
from sync.jobs.context import JobContext
from sync.jobs.model import NewJob
from sync.jobs.outcome import Done, Outcome, Snooze
from sync.jobs.retry import Backoff
from sync.signals import Signals
from sync.store.engine import Database

if TYPE_CHECKING:
    from sync.webhooks.apply import Applier
    from sync.webhooks.registration import Registrar

APPLY = "webhook.apply"
_LATER = "later"
_MIN_WAIT_S = 0.2


class ApplyWebhooks(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`later`: the one job that waits for what cannot be done yet."""

    later: bool = False


class RegisterWebhooks(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Nothing to choose: those of all accounts that are due."""


def webhook_kinds(database: Database, signals: Signals, settings: Settings) -> list[JobKind]:
    """The kinds of this package, for the catalogue."""
    made: list[Applier] = []
    registrars: list[Registrar] = []

    def applier() -> Applier:
        if not made:
            from sync.pull.platforms import platforms
            from sync.webhooks.apply import Applier

            made.append(Applier(database, signals, settings, platforms(settings)))
        return made[0]

    def registrar() -> Registrar:
        if not registrars:
            from sync.base.sealing import Sealer
            from sync.pull.accounts import Accounts
            from sync.pull.platforms import platforms
            from sync.webhooks.registration import Registrar

            accounts = Accounts(database, Sealer(settings.secrets), settings)
            registrars.append(Registrar(database, accounts, settings, platforms(settings)))
        return registrars[0]

    async def webhook_register(args: RegisterWebhooks, ctx: JobContext) -> None:
        if ctx.job.org_id != SYSTEM_ORG:
            raise Permanent("webhook.register works for everybody and belongs to the system.")
        if settings.webhooks.public_url is not None:
            await registrar().run()

    async def webhook_apply(args: ApplyWebhooks, ctx: JobContext) -> Outcome:
        if ctx.job.org_id != SYSTEM_ORG:
            raise Permanent("webhook.apply works for everybody and belongs to the system.")
        wait_s = await applier().run()
        if wait_s is None:
            return Done()
        wait_s = max(_MIN_WAIT_S, wait_s)
        if args.later:
            return Snooze(wait_s)
        run_at = datetime.now(UTC) + timedelta(seconds=wait_s)
        await ctx.queue.enqueue(NewJob(APPLY, ApplyWebhooks(later=True), run_at=run_at, unique_key=_LATER))
        return Done()

    return [
        JobKind(
            kind=APPLY,
            args=ApplyWebhooks,
            handler=webhook_apply,
            queue="one-off",
            priority=1,
            timeout_s=300,
            backoff=Backoff(base_s=1, factor=2, cap_s=60),
            tenants=False,
            description="Apply what vendors' webhooks brought, and start the syncs they ask for.",
        ),
        JobKind(
            kind="webhook.register",
            args=RegisterWebhooks,
            handler=webhook_register,
            queue="maintenance",
            priority=3,
            max_attempts=3,
            timeout_s=600,
            unique=lambda _args: "register",
            tenants=False,
            description="Tell vendors where to send webhooks, where SYNC_WEBHOOKS__PUBLIC_URL says where that is.",
        ),
    ]
