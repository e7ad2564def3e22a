"""`syncctl watch`, `unwatch`, `events`: tables whose changes are events, and how far everybody is who follows them."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from sync.cli.session import operator, print_table, when, with_runtime

if TYPE_CHECKING:
    from sync.events.watch import Watched
    from sync.store.engine import Transaction
    from sync.subscriptions.readers import Lag
    from sync.wiring import Runtime

app = typer.Typer(help="Events: their types, and how far their subscribers are.", no_args_is_help=True)

Table = Annotated[str, typer.Argument(help="The table, with its schema where needed: `orders`, `shop.orders`.")]
Name = Annotated[str, typer.Argument(help="A subscriber, as `events lag` shows it: `inbox`, `subscription:7`.")]


def watch(
    table: Table,
    org_column: Annotated[str | None, typer.Option(help="The column that holds a row's org.")] = None,
    org: Annotated[str | None, typer.Option(help="Or: the org that all rows belong to.")] = None,
    key: Annotated[list[str] | None, typer.Option(help="Key columns; the primary key unless given.")] = None,
    column: Annotated[list[str] | None, typer.Option(help="A column whose values go into the events.")] = None,
) -> None:
    """Tell of every change of a table's rows, as events of their org."""
    from sync.events.watch import Watch, type_name
    from sync.events.watch import watch as install

    async def work(runtime: Runtime) -> Watched:
        wanted = Watch(table, tuple(key or ()), org_column, org, tuple(column or ()))
        return await install(runtime.database, wanted, operator())

    made = with_runtime(work)
    name = type_name("", made.table_name.rpartition(".")[2].strip('"'))
    print(
        f"Watching {made.table_name} by {', '.join(made.key_columns)}: events data.{name}.inserted, .updated, .deleted."
    )


def unwatch(table: Table) -> None:
    """Stop telling of a table's changes."""
    from sync.events.watch import unwatch as remove

    async def work(runtime: Runtime) -> bool:
        return await remove(runtime.database, table, operator())

    print(f"{table} is no longer watched." if with_runtime(work) else f"{table} was not watched.")


@app.command("watched")
def list_watched() -> None:
    """Tables whose changes are events."""
    from sync.events.watch import watched

    async def work(runtime: Runtime) -> list[Watched]:
        return await watched(runtime.database)

    rows = [
        [
            one.table_name,
            ", ".join(one.key_columns),
            one.org_column or f"all of {one.org_id}",
            ", ".join(one.columns) or "-",
            when(one.created_at),
        ]
        for one in with_runtime(work)
    ]
    print_table("table", "key", "org", "values of", "since", rows=rows)


@app.command()
def types(
    schema: Annotated[str | None, typer.Option(help="Print the JSON Schema of this type's payload.")] = None,
) -> None:
    """Every type of event that Sync writes."""
    from sync.base.errors import Permanent
    from sync.events.catalogue import CATALOGUE, find

    if schema is None:
        print_table("type", "subject", "when", rows=[[one.type, one.subject, one.when] for one in CATALOGUE])
        return
    entry = find(schema)
    if entry is None:
        raise Permanent(f"There is no event type {schema!r}: `syncctl events types` lists them.")
    print(json.dumps(entry.schema(), indent=2))


@app.command()
def lag(as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False) -> None:
    """How far each subscriber is behind the log."""

    async def work(runtime: Runtime) -> list[Lag]:
        from sync.subscriptions import readers

        return await readers.lags(runtime.database)

    found = with_runtime(work)
    if as_json:
        print(
            json.dumps(
                [{"name": one.name, "behind": one.behind, "lag_s": one.lag_s, "parked": one.parked} for one in found]
            )
        )
        return
    rows = [
        [
            one.name,
            one.org_id or "all",
            str(one.behind),
            "-" if one.lag_s is None else f"{one.lag_s:.1f} s",
            str(one.backlog),
            str(one.parked),
            when(one.moved_at),
        ]
        for one in found
    ]
    print_table("subscriber", "org", "behind", "oldest", "waiting", "parked subjects", "moved", rows=rows)


@app.command()
def retry(name: Name) -> None:
    """Try what is parked of a subscriber again, at once."""

    async def work(runtime: Runtime) -> int:
        from sync.subscriptions import retrying

        async with runtime.database.transaction() as tx:
            return await retrying.unpark(tx, name, await _reader(tx, name))

    print(f"{with_runtime(work)} subjects are tried again.")


@app.command()
def discard(
    name: Name,
    org: Annotated[str, typer.Option(help="The org of the subject.")],
    subject: Annotated[str, typer.Option(help="The subject, as the alert names it.")],
) -> None:
    """Give up the event that a parked subject stands before; those behind it are delivered."""

    async def work(runtime: Runtime) -> bool:
        from sync.subscriptions import retrying

        async with runtime.database.transaction() as tx:
            return await retrying.discard(tx, name, await _reader(tx, name), org, subject)

    print("Given up." if with_runtime(work) else f"Nothing is parked for {subject} of {org}.")


@app.command()
def replay(
    name: Name,
    since: Annotated[datetime | None, typer.Option(help="Begin with the first event of this time (UTC).")] = None,
    after: Annotated[
        int | None, typer.Option(help="Or after the event of this id; 0: everything that is kept.")
    ] = None,
) -> None:
    """Deliver events again, in order, and go on from there."""

    async def work(runtime: Runtime) -> int:
        from datetime import UTC

        from sync.subscriptions import readers

        at = None if since is None else since.replace(tzinfo=UTC)
        async with runtime.database.transaction() as tx:
            return (await readers.replay(tx, await _reader(tx, name), since=at, after_id=after)).id

    print(f"{name} goes on after event {with_runtime(work)}.")


@app.command()
def forget(name: Name) -> None:
    """Remove a subscriber that is no longer in the code: the log stops keeping events for it."""

    async def work(runtime: Runtime) -> None:
        from sync.base.errors import Permanent

        async with runtime.database.transaction() as tx:
            reader = await _reader(tx, name)
            if await tx.fetch_value("SELECT EXISTS (SELECT FROM subscription WHERE reader_id = %s)", (reader,)):
                raise Permanent(f"{name} is a subscription: delete it by DELETE /sync/subscriptions/<id>.")
            await tx.execute("DELETE FROM event_reader WHERE id = %s", (reader,))

    with_runtime(work)
    print(f"{name} is forgotten. If it comes back, it begins with the oldest event.")


async def _reader(tx: Transaction, name: str) -> int:
    from sync.base.errors import Permanent

    found = await tx.fetch_value("SELECT id FROM event_reader WHERE name = %s", (name,))
    if found is None:
        raise Permanent(f"There is no subscriber {name!r}: `syncctl events lag` lists them.")
    return int(found)
