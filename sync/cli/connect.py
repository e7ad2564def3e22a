"""`syncctl connect`, `reconnect`, `integrations`, `trigger`, `runs`: accounts and their syncs.

`main.py` calls `register`.
"""

from __future__ import annotations

import asyncio
import dataclasses
import ipaddress
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
import typer.core

from sync.cli.session import operator, when, with_runtime

if TYPE_CHECKING:
    from connectors.base import Connector
    from sync.pull.integrations import Integrations
    from sync.pull.model import Integration, Run, TriggeredRun
    from sync.pull.runs import SyncRuns
    from sync.wiring import Runtime


class PlatformGroup(typer.core.TyperGroup):
    """`connect slack` is `connect platform slack`, for every platform that has no command of its own."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        own = not args or args[0].startswith("-") or self.get_command(ctx, args[0]) is not None
        return super().resolve_command(ctx, args if own else ["platform", *args])


connect = typer.Typer(help="Connect an account.", no_args_is_help=True)

Org = Annotated[str, typer.Option(help="The org it belongs to.")]
Json = Annotated[bool, typer.Option("--json", help="For programs.")]
Password = Annotated[
    str | None, typer.Option(help="Password; others can see it in the process list. Else it is asked.")
]
PasswordFile = Annotated[Path | None, typer.Option(help="File whose first line is the password; '-' is stdin.")]
Check = Annotated[bool, typer.Option("--check/--no-check", help="Log in once before anything is stored.")]


def register(app: typer.Typer) -> None:
    app.add_typer(connect, name="connect", cls=PlatformGroup)
    from sync.cli import integrations  # it uses what is here

    app.add_typer(integrations.app, name="integrations")
    app.command()(reconnect)
    app.command()(trigger)
    app.command()(runs)


@connect.command()
def email(
    address: Annotated[str, typer.Argument(help="The mailbox, such as support@example.com.")],
    org: Org,
    host: Annotated[str, typer.Option(help="IMAP server.")],
    port: Annotated[int | None, typer.Option(help="993, or 143 with --security plain.")] = None,
    security: Annotated[str, typer.Option(help="tls, or plain for a server on this machine.")] = "tls",
    user: Annotated[str | None, typer.Option(help="Login name, if it is not the address.")] = None,
    password: Password = None,
    password_file: PasswordFile = None,
    folder: Annotated[str, typer.Option(help="Folder to read.")] = "INBOX",
    since: Annotated[str | None, typer.Option(help="Leave older mail alone: a day like 2026-11-01.")] = None,
    ca_file: Annotated[Path | None, typer.Option(help="Certificate (PEM) to trust for this server.")] = None,
    private_host: Annotated[
        bool | None, typer.Option(help="Allow a server inside our network; given for a literal private address.")
    ] = None,
    label: Annotated[str | None, typer.Option(help="A name for people.")] = None,
    check: Check = True,
    as_json: Json = False,
) -> None:
    """Connect a mailbox over IMAP. Its first sync is due at once."""
    config: dict[str, Any] = {"host": host, "security": security, "folder": folder}
    config |= {"port": port if port is not None else (143 if security == "plain" else 993)}
    config |= {"user": user} if user else {}
    config |= {"since": since} if since else {}
    config |= {"ca_pem": ca_file.read_text()} if ca_file else {}
    config |= {"private_host": True} if (_is_private(host) if private_host is None else private_host) else {}
    credentials = {"password": read_password(password, password_file)}

    async def work(runtime: Runtime) -> Integration:
        if check:
            await _check(runtime, org, "email", address, config, credentials)
        return await integrations_of(runtime).connect(
            org, "email", address, config, credentials, by=operator(), label=label, operator=True
        )

    print_connected(with_runtime(work), as_json)


def reconnect(
    integration_id: Annotated[int, typer.Argument(help="As `syncctl integrations` shows it.")],
    org: Org,
    password: Password = None,
    password_file: PasswordFile = None,
    check: Check = True,
    as_json: Json = False,
) -> None:
    """Give an account new credentials; it goes on where it stopped."""
    credentials = {"password": read_password(password, password_file)}

    async def work(runtime: Runtime) -> Integration:
        found = await integrations_of(runtime).show(org, integration_id)
        if check:
            await _check(runtime, org, found.platform, found.account, dict(found.config), credentials)
        return await integrations_of(runtime).reconnect(org, integration_id, credentials, by=operator(), operator=True)

    print_connected(with_runtime(work), as_json)


def trigger(
    org: Org,
    platform: Annotated[str | None, typer.Argument(help="Only this platform.")] = None,
    sync_type: Annotated[str | None, typer.Argument(help="Only this sync type.")] = None,
    account: Annotated[str | None, typer.Option(help="Only this account.")] = None,
    start_date: Annotated[str | None, typer.Option(help="Pull again from this day on (a backfill).")] = None,
    end_date: Annotated[str | None, typer.Option(help="Last day of the backfill.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Emit events for unchanged records, too.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the end; exit code 1 if one fails.")] = False,
    as_json: Json = False,
) -> None:
    """Sync now. What is already queued or running is not queued again."""
    options: dict[str, Any] = {"account": account, "startDate": start_date, "endDate": end_date}
    options = {name: value for name, value in options.items() if value is not None} | ({"force": True} if force else {})

    async def work(runtime: Runtime) -> tuple[list[TriggeredRun], list[Run]]:
        queued = await _runs(runtime).trigger(org, platform, sync_type, options, by=operator())
        return queued, await _ended(_runs(runtime), org, queued) if wait else []

    queued, ended = with_runtime(work)
    if wait:
        _print_runs(ended, as_json)
        if any(run.state != "succeeded" for run in ended):
            raise typer.Exit(1)
    elif as_json:
        print_json([dataclasses.asdict(run) for run in queued])
    else:
        print_table(
            ("run", "platform", "sync type", ""),
            [(str(r.run_id), r.platform, r.sync_type, "queued" if r.created else "was open already") for r in queued],
        )


def runs(
    org: Org,
    platform: str | None = None,
    integration_id: Annotated[int | None, typer.Option(help="Only this account.")] = None,
    limit: int = 20,
    as_json: Json = False,
) -> None:
    """Show the latest sync runs of an org."""

    async def work(runtime: Runtime) -> list[Run]:
        return await _runs(runtime).list(org, platform=platform, integration_id=integration_id, limit=limit)

    _print_runs(with_runtime(work), as_json)


def read_password(password: str | None, file: Path | None) -> str:
    """From the option, a file, stdin, or the keyboard without echo."""
    if password is not None:
        return password
    if file is not None and str(file) != "-":
        return file.read_text().splitlines()[0]
    if file is not None or not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\n")
    return str(typer.prompt("Password", hide_input=True))


def _is_private(host: str) -> bool:
    """Whether the operator typed an address inside our network as such, and so means it."""
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return host == "localhost"


async def _check(
    runtime: Runtime, org: str, platform: str, account: str, config: dict[str, Any], credentials: dict[str, str]
) -> None:
    """Log in once. Errors: what the connector says."""
    from sync.pull.accounts import Accounts

    given = integrations_of(runtime).check(platform, config, credentials, operator=True)
    connector = connectors(runtime)[platform]
    accounts = Accounts(runtime.database, runtime.sealer, runtime.settings)
    tried = accounts.unsaved(org, platform, account, given.config, given.credentials)
    async with connector.open(tried) as session:
        await session.check()


async def _ended(sync_runs: SyncRuns, org: str, queued: Sequence[TriggeredRun]) -> list[Run]:
    from sync.pull.model import FINAL_STATES

    while True:
        found = [await sync_runs.show(org, run.run_id) for run in queued]
        if all(run.state in FINAL_STATES for run in found):
            return found
        await asyncio.sleep(0.3)


def connectors(runtime: Runtime) -> Mapping[str, Connector]:
    from sync.pull.platforms import platforms

    return platforms(runtime.settings)


def integrations_of(runtime: Runtime) -> Integrations:
    from sync.pull.integrations import Integrations

    return Integrations(runtime.database, runtime.sealer, connectors(runtime))


def _runs(runtime: Runtime) -> SyncRuns:
    from sync.pull.runs import SyncRuns

    return SyncRuns(runtime.database, runtime.signals, connectors(runtime))


def plain(item: Integration) -> dict[str, Any]:
    """Without what is long and nobody reads."""
    plain = dataclasses.asdict(item)
    plain["config"].pop("ca_pem", None)
    return plain


def print_connected(item: Integration, as_json: bool) -> None:
    if as_json:
        print_json(plain(item))
    else:
        print(f"{item.account} is connected as integration {item.id}. See `syncctl runs --org {item.org_id}`.")


def _print_runs(found: Sequence[Run], as_json: bool) -> None:
    if as_json:
        print_json([dataclasses.asdict(run) for run in found])
        return
    print_table(
        ("run", "account", "sync type", "trigger", "state", "attempt", "records", "new", "queued", "error"),
        [
            (
                str(run.id),
                run.account,
                run.sync_type,
                run.trigger,
                run.state,
                str(run.attempt),
                str(run.records),
                str(run.added),
                when(run.queued_at),
                run.error_text or "",
            )
            for run in found
        ],
    )


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(*columns, box=None, pad_edge=False)
    for row in rows:
        table.add_row(*(escape(cell) for cell in row))
    Console().print(table)


def print_json(value: object) -> None:
    import msgspec

    print(msgspec.json.encode(value).decode())
