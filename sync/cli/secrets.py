"""`syncctl secret`: keys that outgoing calls sign and authenticate with."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from sync.cli.session import operator, print_table, when, with_runtime

if TYPE_CHECKING:
    from sync.consumers.secrets import OrgSecrets, SecretInfo
    from sync.wiring import Runtime

app = typer.Typer(help="Keys that outgoing calls sign and authenticate with.", no_args_is_help=True)

Org = Annotated[str, typer.Option(help="The org it belongs to.")]
Name = Annotated[str, typer.Argument(help="The name by which jobs refer to it.")]


@app.command("list")
def list_secrets(org: Org) -> None:
    """Show names and ages; the values are never shown."""

    async def work(runtime: Runtime) -> list[SecretInfo]:
        return await _secrets(runtime).list(org)

    found = with_runtime(work)
    rows = [[s.name, when(s.created_at), when(s.rotated_at), "yes" if s.has_previous else "no"] for s in found]
    print_table("name", "created", "rotated", "previous still signs", rows=rows)


@app.command()
def put(
    name: Name,
    org: Org,
    from_stdin: Annotated[bool, typer.Option("--from-stdin", help="Read the value instead of making one.")] = False,
) -> None:
    """Store a secret, or replace it; without --from-stdin a signing key is made and printed, this once."""
    value = sys.stdin.readline().rstrip("\n") if from_stdin else None

    async def work(runtime: Runtime) -> str:
        return await _secrets(runtime).put(org, name, operator(), value)

    secret = with_runtime(work)
    print("Stored." if from_stdin else secret)


@app.command("end-rotation")
def end_rotation(name: Name, org: Org) -> None:
    """Stop signing with the previous value."""

    async def work(runtime: Runtime) -> None:
        await _secrets(runtime).drop_previous(org, name, operator())

    with_runtime(work)
    print("Only the new value signs now.")


@app.command()
def delete(name: Name, org: Org) -> None:
    """Remove it; calls that name it fail from now on."""

    async def work(runtime: Runtime) -> None:
        await _secrets(runtime).delete(org, name, operator())

    with_runtime(work)
    print("Deleted.")


@app.command()
def reseal() -> None:
    """Seal everything stored under the key that SYNC_SECRETS__CURRENT names; older keys can go then."""

    async def work(runtime: Runtime) -> int:
        from sync.consumers import secrets
        from sync.pull import integrations
        from sync.store.resealing import reseal
        from sync.subscriptions import rows

        columns = (*integrations.SEALED, *secrets.SEALED, *rows.SEALED)
        return sum([await reseal(runtime.database, runtime.sealer, column) for column in columns])

    print(f"{with_runtime(work)} values moved to the current key.")


def _secrets(runtime: Runtime) -> OrgSecrets:
    from sync.consumers.secrets import OrgSecrets

    return OrgSecrets(runtime.database, runtime.sealer)
