"""`syncctl webhooks`: what vendors told by themselves; every org unless --org is given."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from sync.cli.session import print_table, when, with_runtime

if TYPE_CHECKING:
    from sync.webhooks.operations import Choice, Deliveries
    from sync.wiring import Runtime

Result = TypeVar("Result")

app = typer.Typer(help="Look at webhooks of vendors; apply them again.", no_args_is_help=True)

_LABELS = ("platform", "integration_id", "received_at", "state", "attempts", "next_at", "applied_at", "size", "error")

Org = Annotated[str | None, typer.Option(help="Only what concerns this org.")]
Platform = Annotated[str | None, typer.Option(help="Only this platform's.")]
State = Annotated[
    list[str] | None, typer.Option("--state", help="stored, applied, partial, unmatched, ignored, failed.")
]
Ids = Annotated[list[int] | None, typer.Argument(help="Ids of deliveries; without them the options choose.")]


@app.command("list")
def list_webhooks(org: Org = None, platform: Platform = None, state: State = None, limit: int = 50) -> None:
    """Deliveries, newest first."""
    choice = _choice(None, platform, state)
    found = _do(lambda deliveries: deliveries.list(org, choice, limit=limit))
    rows = [
        [
            str(row["id"]),
            row["platform"],
            when(row["received_at"]),
            row["state"],
            str(row["events"]),
            str(row["size"]),
            row["error"] or (f"again {when(row['next_at'])}" if row["attempts"] and row["next_at"] else ""),
        ]
        for row in found
    ]
    print_table("id", "platform", "received", "state", "events", "bytes", "", rows=rows)


@app.command("counts")
def counts(org: Org = None) -> None:
    """Deliveries of the last 24 hours."""
    found = _do(lambda deliveries: deliveries.counts(org))
    print_table(
        "platform", "state", "deliveries", rows=[[r["platform"], r["state"], str(r["deliveries"])] for r in found]
    )


@app.command()
def show(delivery: Annotated[int, typer.Argument(help="Its id.")], org: Org = None) -> None:
    """One delivery: what it told, what became of that, its body."""
    row = _do(lambda deliveries: deliveries.show(org, delivery))
    labels = (
        "platform",
        "integration_id",
        "received_at",
        "state",
        "attempts",
        "next_at",
        "applied_at",
        "error",
        "size",
    )
    print_table(rows=[[label.replace("_", " "), _text(row[label])] for label in labels])
    headings = ("org", "integration", "account", "outcome", "added", "changed", "pulls", "key")
    print_table(*headings, rows=[_told(event) for event in row["told"]])
    if row["body"] is not None:
        print(bytes(row["body"]).decode("utf-8", "replace"))


@app.command()
def replay(
    ids: Ids = None,
    org: Org = None,
    platform: Platform = None,
    state: State = None,
) -> None:
    """Apply deliveries again: these, or those of a platform or state (failed and unmatched ones unless said)."""
    if not (ids or platform or state):
        raise typer.BadParameter("Name ids, a --platform or a --state.")
    choice = _choice(ids, platform, state or (None if ids else ["failed", "unmatched"]))

    async def work(runtime: Runtime) -> int:
        from sync.webhooks.operations import Deliveries

        async with runtime.database.transaction() as tx:
            return await Deliveries(runtime.database, runtime.queue).replay(org, choice, tx)

    print(f"{with_runtime(work)} are applied again.")


def _choice(ids: list[int] | None, platform: str | None, states: list[str] | None) -> Choice:
    from typing import get_args

    from sync.webhooks.model import DeliveryState
    from sync.webhooks.operations import Choice

    for state in states or ():
        if state not in get_args(DeliveryState):
            raise typer.BadParameter(f"There is no state {state!r}; there are: {', '.join(get_args(DeliveryState))}.")
    return Choice(ids or None, platform, states)  # type: ignore[arg-type]


def _do(work: Callable[[Deliveries], Awaitable[Result]]) -> Result:
    async def run(runtime: Runtime) -> Result:
        from sync.webhooks.operations import Deliveries

        return await work(Deliveries(runtime.database, runtime.queue))

    return with_runtime(run)


def _told(event: dict[str, Any]) -> list[str]:
    names = ("org_id", "integration_id", "account", "outcome", "added", "changed")
    return [*(_text(event[name]) for name in names), ", ".join(event["dirty"]), event["key"]]


def _text(value: Any) -> str:
    from datetime import datetime

    if isinstance(value, datetime):
        return when(value)
    return "-" if value is None else str(value)
