"""`syncctl integrations`: connected accounts, and how often each sync type of one is pulled."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from sync.cli.connect import Json, Org, integrations_of, plain, print_json, print_table
from sync.cli.session import operator, when, with_runtime

if TYPE_CHECKING:
    from sync.pull.model import Integration
    from sync.wiring import Runtime

app = typer.Typer(help="Show the connected accounts of an org and how they are.", invoke_without_command=True)


@app.callback()
def integrations(
    context: typer.Context,
    org: Annotated[str | None, typer.Option(help="Whose accounts.")] = None,
    platform: Annotated[str | None, typer.Option(help="Only this platform.")] = None,
    as_json: Json = False,
) -> None:
    """Show the connected accounts of an org and how they are."""
    if context.invoked_subcommand is not None:
        return
    if org is None:
        raise typer.BadParameter("say whose accounts", param_hint="--org")

    async def work(runtime: Runtime) -> list[Integration]:
        found: list[Integration] = []
        while batch := await integrations_of(runtime).list(org, platform=platform, after=found[-1].id if found else 0):
            found += batch
        return found

    found = with_runtime(work)
    if as_json:
        print_json([plain(item) for item in found])
        return
    rows = []
    for item in found:
        due = min((stream.next_due_at for stream in item.streams if stream.next_due_at), default=None)
        last = max((stream.last_success_at for stream in item.streams if stream.last_success_at), default=None)
        trouble = item.reason or next((s.last_error for s in item.streams if s.last_error), None) or ""
        rows.append((str(item.id), item.platform, item.account, item.state, when(last), when(due), trouble))
    print_table(("id", "platform", "account", "state", "last sync", "next", "trouble"), rows)


@app.command()
def cadence(
    integration_id: Annotated[int, typer.Argument(help="As `syncctl integrations` shows it.")],
    org: Org,
    sync_type: Annotated[str | None, typer.Argument(help="The sync type to change; else all are shown.")] = None,
    every: Annotated[str | None, typer.Option(help="A cadence of its own: 90s, 5m, 6h, 1d.")] = None,
    usual: Annotated[bool, typer.Option("--usual", help="Back to the usual one.")] = False,
    as_json: Json = False,
) -> None:
    """Show how often an account is pulled, or give one of its sync types a cadence of its own."""
    from sync.scheduling.timing import parse_interval

    if sync_type is not None and (every is None) is not usual:
        raise typer.BadParameter("give either --every or --usual", param_hint="--every")
    if sync_type is None and (every is not None or usual):
        raise typer.BadParameter("say which sync type", param_hint="sync_type")

    async def work(runtime: Runtime) -> Integration:
        if sync_type is None:
            return await integrations_of(runtime).show(org, integration_id)
        wanted = None if every is None else parse_interval(every)
        return await integrations_of(runtime).set_cadence(org, integration_id, sync_type, wanted, by=operator())

    found = with_runtime(work)
    if as_json:
        print_json(plain(found))
        return
    rows = [
        (s.sync_type, f"{s.every.total_seconds():g} s", "own" if s.own_cadence else "usual", when(s.next_due_at))
        for s in found.streams
    ]
    print_table(("sync type", "every", "", "next"), rows)
