"""`syncctl schedule`: list, create, pause, resume, delete and run schedules."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from sync.cli.session import operator, print_table, when, with_runtime

if TYPE_CHECKING:
    from schedules.spec import Schedule
    from sync.scheduling import ScheduleDetail, Schedules, StoredSchedule
    from sync.wiring import Runtime

Result = TypeVar("Result")

app = typer.Typer(help="What is enqueued when.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="Name of the schedule.")]
Org = Annotated[str, typer.Option(help="The org it belongs to; _system is the install itself.")]
Json = Annotated[bool, typer.Option("--json", help="For programs.")]


@app.command("list")
def list_schedules(
    org: Annotated[str | None, typer.Option(help="Only this org's; else everybody's.")] = None, as_json: Json = False
) -> None:
    """Show all schedules and when they are due next."""

    async def collect(schedules: Schedules) -> list[StoredSchedule]:
        found: list[StoredSchedule] = []
        cursor: int | None = None
        while True:
            page = await schedules.list(org, cursor, 200)
            found += page.schedules
            cursor = page.cursor
            if cursor is None:
                return found

    found = _do(collect)
    if as_json:
        _print_json([_plain(schedule) for schedule in found])
        return
    headings = ("org", "name", "when", "kind", "state", "next", "last")
    print_table(*headings, rows=[_row(schedule) for schedule in found])


@app.command()
def show(name: Name, org: Org = "_system", as_json: Json = False) -> None:
    """Show one schedule with its coming and its latest ticks."""
    detail = _do(lambda schedules: schedules.show(org, name))
    if as_json:
        import dataclasses

        ticks = [dataclasses.asdict(tick) for tick in detail.ticks]
        _print_json({**_plain(detail.schedule), "upcoming": detail.upcoming, "ticks": ticks})
    else:
        _print_detail(detail)


@app.command()
def create(
    name: Name,
    kind: Annotated[str, typer.Option(help="Job kind to enqueue.")],
    cron: Annotated[str | None, typer.Option(help="'minute hour day-of-month month day-of-week'.")] = None,
    every: Annotated[str | None, typer.Option(help="Instead of cron: 90s, 5m, 6h, 1d.")] = None,
    zone: Annotated[str, typer.Option(help="Time zone of the cron expression.")] = "UTC",
    args: Annotated[str, typer.Option(help="Arguments of the job, as JSON.")] = "{}",
    org: Org = "_system",
    catch_up: Annotated[str, typer.Option(help="Missed ticks: skip, once (the latest) or all.")] = "once",
    overlap: Annotated[str, typer.Option(help="While the last tick's job is open: skip or allow.")] = "skip",
    spread: Annotated[str | None, typer.Option(help="Start up to this much later, against stampedes.")] = None,
) -> None:
    """Create a schedule."""
    definition = _definition(
        name=name,
        kind=kind,
        cron=cron,
        every=every,
        zone=zone,
        args=args,
        org_id=org,
        catch_up=catch_up,
        overlap=overlap,
        spread=spread,
    )
    created = _do(lambda schedules: schedules.create(definition, operator()))
    print(f"Created. First due {when(created.next_due_at)}.")


@app.command()
def pause(name: Name, org: Org = "_system", reason: Annotated[str | None, typer.Option()] = None) -> None:
    """Stop it from firing until `resume`; what would have fired meanwhile is not made up for."""
    _do(lambda schedules: schedules.pause(org, name, operator(), reason))
    print("Paused.")


@app.command()
def resume(name: Name, org: Org = "_system") -> None:
    """Let it fire again."""
    resumed = _do(lambda schedules: schedules.resume(org, name, operator()))
    print(f"Next due {when(resumed.next_due_at)}.")


@app.command()
def delete(name: Name, org: Org = "_system") -> None:
    """Remove it. Jobs it has enqueued stay."""
    _do(lambda schedules: schedules.delete(org, name, operator()))
    print("Deleted.")


@app.command("run-now")
def run_now(name: Name, org: Org = "_system") -> None:
    """Enqueue its job now, beside the plan."""
    result = _do(lambda schedules: schedules.run_now(org, name, operator()))
    if result is None:
        print("The scheduler does it within a second.")
    else:
        print(f"Job {result.job_id}." if result.created else f"Job {result.job_id} of an earlier tick is not done yet.")


def _do(work: Callable[[Schedules], Awaitable[Result]]) -> Result:
    async def run(runtime: Runtime) -> Result:
        from sync.scheduling import Schedules

        return await work(Schedules(runtime.database, runtime.signals, runtime.catalogue, runtime.queue))

    return with_runtime(run)


def _definition(
    *, every: str | None, args: str, catch_up: str, overlap: str, spread: str | None, **plain: Any
) -> Schedule:
    from datetime import timedelta

    import msgspec

    from schedules.spec import CatchUp, Overlap, Schedule
    from sync.base.errors import ConfigurationError
    from sync.scheduling.cron import TimingError
    from sync.scheduling.timing import parse_interval

    try:
        return Schedule(
            every=None if every is None else parse_interval(every),
            args=msgspec.json.decode(args, type=dict[str, Any]),
            catch_up=msgspec.convert(catch_up, CatchUp),
            overlap=msgspec.convert(overlap, Overlap),
            spread=timedelta(0) if spread is None else parse_interval(spread),
            **plain,
        )
    except (TimingError, ConfigurationError, msgspec.MsgspecError) as error:
        raise typer.BadParameter(str(error)) from error


def _print_detail(detail: ScheduleDetail) -> None:
    schedule = detail.schedule
    paused = f" by {schedule.paused_by}: {schedule.paused_reason}" if schedule.paused_at else ""
    rows = {
        "state": schedule.state + paused,
        "when": _cadence(schedule),
        "kind": schedule.kind,
        "args": _json(schedule.args),
        "missed ticks": schedule.catch_up,
        "overlap": schedule.overlap,
        "last error": schedule.last_error or "-",
        "coming": "\n".join(when(fire) for fire in detail.upcoming) or "-",
        "latest": "\n".join(f"{when(t.due_at)}  {t.outcome}  {t.error or t.job_id or ''}" for t in detail.ticks) or "-",
    }
    print_table(rows=[[label, value] for label, value in rows.items()])


def _row(schedule: StoredSchedule) -> list[str]:
    times = when(schedule.next_due_at), when(schedule.last_fired_at)
    return [schedule.org_id, schedule.name, _cadence(schedule), schedule.kind, schedule.state, *times]


def _cadence(schedule: StoredSchedule) -> str:
    return f"{schedule.cron} ({schedule.zone})" if schedule.cron is not None else f"every {schedule.every}"


def _plain(schedule: StoredSchedule) -> dict[str, Any]:
    import dataclasses

    return {**dataclasses.asdict(schedule), "args": _shown(schedule.args), "state": schedule.state}


def _shown(args: Any) -> Any:
    from sync.base.logs import redact

    return redact(args)


def _json(args: Any) -> str:
    import msgspec

    return msgspec.json.encode(_shown(args)).decode()


def _print_json(value: object) -> None:
    import msgspec

    print(msgspec.json.encode(value).decode())
