"""`syncctl jobs`, `pause`, `resume`: look at the queue and steer it; every org unless --org is given."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sync.cli.session import operator, print_table, when, with_runtime

if TYPE_CHECKING:
    from sync.jobs.operations import QueueOperations
    from sync.jobs.views import JobDetail, JobFilter, JobView, QueueDepth
    from sync.store.engine import Transaction
    from sync.wiring import Runtime

app = typer.Typer(help="Look at jobs; run, cancel or give them up.", no_args_is_help=True)

Org = Annotated[str | None, typer.Option(help="Only jobs of this org.")]
Ids = Annotated[list[int] | None, typer.Argument(help="Job ids; without them the options choose.")]
State = Annotated[
    list[str] | None, typer.Option("--state", help="waiting, scheduled, retrying, running, done, dead ...")
]
Kind = Annotated[str | None, typer.Option(help="Only this kind.")]
QueueName = Annotated[str | None, typer.Option("--queue", help="Only this queue.")]
ErrorClass = Annotated[str | None, typer.Option("--error", help="Only jobs whose last error is of this class.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do it; without, jobs chosen by options are only counted.")]

_LIMIT = 1000


@app.command("depth")
def depth() -> None:
    """What each queue holds."""

    async def work(runtime: Runtime) -> list[QueueDepth]:
        return await _operations(runtime).depth()

    rows = [
        [
            queue.name,
            *(str(count) for count in (queue.waiting, queue.scheduled, queue.running, queue.dead)),
            "-" if queue.lag_s is None else f"{queue.lag_s:.1f} s",
            f"paused by {queue.paused_by}" if queue.paused_at else when(queue.last_success_at),
        ]
        for queue in with_runtime(work)
    ]
    print_table("queue", "waiting", "scheduled", "running", "dead", "oldest", "last success", rows=rows)


@app.command("list")
def list_jobs(
    org: Org = None, state: State = None, kind: Kind = None, queue: QueueName = None, limit: int = 50
) -> None:
    """Jobs, newest first."""

    async def work(runtime: Runtime) -> list[JobView]:
        page = await _operations(runtime).list_jobs(org, states=state or (), kind=kind, queue=queue, limit=limit)
        return page.items

    rows = [
        [
            str(job.id),
            job.org_id,
            job.kind,
            job.state,
            f"{job.attempt}/{job.max_attempts or '-'}",
            when(job.run_at or job.finished_at or job.enqueued_at),
            (job.error or {}).get("message", "")[:60],
        ]
        for job in with_runtime(work)
    ]
    print_table("id", "org", "kind", "state", "attempt", "when", "last error", rows=rows)


@app.command()
def show(job_id: int, org: Org = None) -> None:
    """One job with all its attempts."""

    async def work(runtime: Runtime) -> JobDetail | None:
        return await _operations(runtime).show_job(org, job_id)

    detail = with_runtime(work)
    if detail is None:
        from sync.base.errors import Permanent

        raise Permanent(f"There is no job {job_id}.")
    job = detail.job
    print_table(
        rows=[
            ["job", f"{job.id}  {job.kind}  ({job.org_id}, {job.queue})"],
            ["state", job.state],
            ["enqueued", when(job.enqueued_at)],
            ["runs at", when(job.run_at)],
            ["arguments", "-" if job.args is None else json.dumps(job.args)],
            ["unique key", detail.unique_key or "-"],
            ["correlation", detail.correlation_id or "-"],
        ]
    )
    rows = [
        [
            str(one.attempt),
            one.outcome,
            when(one.finished_at),
            f"{one.duration_ms} ms",
            (one.error or {}).get("message", ""),
        ]
        for one in detail.attempts
    ]
    print_table("attempt", "outcome", "ended", "took", "error", rows=rows)


@app.command()
def retry(
    ids: Ids = None, org: Org = None, state: State = None, kind: Kind = None, queue: QueueName = None,
    error: ErrorClass = None, yes: Yes = False,
) -> None:  # fmt: skip
    """Run dead (or not yet due) jobs now."""
    chosen = _filter(ids, state or ["dead"], kind, queue, error)
    _act("retry", chosen, org, yes, lambda ops, some, tx: ops.retry(org, some, tx))


@app.command()
def cancel(
    ids: Ids = None, org: Org = None, state: State = None, kind: Kind = None, queue: QueueName = None,
    error: ErrorClass = None, yes: Yes = False,
) -> None:  # fmt: skip
    """Cancel jobs that have not ended."""
    chosen = _filter(ids, state or ["waiting", "scheduled", "retrying", "running"], kind, queue, error)
    _act("cancel", chosen, org, yes, lambda ops, some, tx: ops.cancel(org, some, operator(), tx))


@app.command()
def discard(
    ids: Ids = None, org: Org = None, kind: Kind = None, queue: QueueName = None, error: ErrorClass = None,
    yes: Yes = False,
) -> None:  # fmt: skip
    """Give dead jobs up."""
    chosen = _filter(ids, ["dead"], kind, queue, error)
    _act("discard", chosen, org, yes, lambda ops, some, tx: ops.discard(org, some, operator(), tx))


def pause(
    name: Annotated[str, typer.Argument(help="A pool (consumer.one-off) or a queue (one-off).")],
    reason: Annotated[str | None, typer.Option(help="Shown to everybody who looks.")] = None,
) -> None:
    """Stop a consumer from taking jobs, on every node, until `resume`; what runs goes on."""

    async def work(runtime: Runtime) -> list[str]:
        async with runtime.database.transaction() as tx:
            queues = await _operations(runtime).pause(name, operator(), reason, tx)
            await _audit(tx, "queue.pause", name, {"reason": reason})
        return queues

    print(f"Paused: {', '.join(with_runtime(work))}.")


def resume(name: Annotated[str, typer.Argument(help="What was paused.")]) -> None:
    """Let a paused consumer go on."""

    async def work(runtime: Runtime) -> list[str]:
        async with runtime.database.transaction() as tx:
            queues = await _operations(runtime).resume(name, operator(), tx)
            await _audit(tx, "queue.resume", name, {})
        return queues

    print(f"Resumed: {', '.join(with_runtime(work))}.")


def _operations(runtime: Runtime) -> QueueOperations:
    from sync.jobs.operations import QueueOperations

    return QueueOperations(runtime.database, runtime.signals)


def _filter(
    ids: list[int] | None, states: list[str], kind: str | None, queue: str | None, error: str | None
) -> JobFilter:
    from sync.jobs.views import JobFilter

    return JobFilter(tuple(ids or ()), tuple(states), kind, queue, error)


Action = Callable[["QueueOperations", list[int], "Transaction"], Awaitable[Any]]


def _act(verb: str, chosen: JobFilter, org: str | None, yes: bool, action: Action) -> None:
    """By id at once; by filter only with --yes, a thousand at a time."""

    async def work(runtime: Runtime) -> tuple[int, bool]:
        operations = _operations(runtime)
        ids = await operations.select(org, chosen, _LIMIT)
        if not chosen.ids and not yes:
            return len(ids), False
        async with runtime.database.transaction() as tx:
            done = await action(operations, ids, tx)
            await _audit(tx, f"jobs.{verb}", None, {"ids": list(done), "org": org})
        return len(done), True

    count, done = with_runtime(work)
    more = " (the first 1000; repeat for more)" if count == _LIMIT else ""
    print(f"{verb}: {count} job(s){more}." if done else f"{count} job(s) match{more}. Add --yes to {verb} them.")


async def _audit(tx: Transaction, action: str, target: str | None, detail: dict[str, Any]) -> None:
    from sync.base.ids import SYSTEM_ORG

    await tx.execute(
        "INSERT INTO audit (org_id, actor, action, target, detail) VALUES (%s, %s, %s, %s, %s)",
        (SYSTEM_ORG, operator(), action, target, json.dumps(detail)),
    )
