"""The kind `inbox.reply`. Light to import: every pool member has it in its catalogue."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sync.base.settings import Settings
from sync.inbox.replies import REPLY, SendReply
from sync.jobs.catalogue import JobKind
from sync.jobs.context import JobContext
from sync.jobs.outcome import Outcome
from sync.jobs.retry import Backoff
from sync.store.engine import Database

if TYPE_CHECKING:
    from sync.inbox.sending import ReplySender


def inbox_kinds(database: Database, settings: Settings) -> list[JobKind]:
    """The kinds of this package, for the catalogue."""
    made: list[ReplySender] = []

    def sender() -> ReplySender:
        if not made:
            from sync.base.sealing import Sealer
            from sync.inbox.sending import ReplySender
            from sync.pull.accounts import Accounts
            from sync.pull.platforms import platforms

            accounts = Accounts(database, Sealer(settings.secrets), settings)
            made.append(ReplySender(database, accounts, platforms(settings)))
        return made[0]

    async def inbox_reply(args: SendReply, ctx: JobContext) -> Outcome:
        last = ctx.job.attempt + 1 >= ctx.job.max_attempts
        return await sender().send(ctx.job.org_id, args.reply_id, last_attempt=last)

    return [
        JobKind(
            kind=REPLY,
            args=SendReply,
            handler=inbox_reply,
            queue="one-off",
            priority=1,
            max_attempts=12,
            timeout_s=120,
            backoff=Backoff(base_s=2, factor=2, cap_s=600),
            tenants=False,
            description="Send a reply of the inbox to the platform that it belongs to, at most once.",
        )
    ]
