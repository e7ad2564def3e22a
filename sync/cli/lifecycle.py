"""Commands: up, down, status."""

from __future__ import annotations

from typing import Annotated

import typer


def up(
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Start in the background.")] = False,
    wait: Annotated[
        bool, typer.Option("--wait", help="With --detach: return when it is ready, or say why not.")
    ] = False,
    demo: Annotated[
        bool, typer.Option("--demo", help="With simulated vendors and an org `demo` that has an account of each.")
    ] = False,
) -> None:
    """Start Sync on this machine: PostgreSQL (unless SYNC_STORE__URL names one), Ray, the HTTP API, all workers."""
    if detach:
        from sync.cli.background import start

        start(wait=wait, demo=demo)
    else:
        from sync.cli.up import run

        run(demo=demo)


def down(
    timeout: Annotated[
        float, typer.Option(help="Seconds for running jobs to finish before they are given back.")
    ] = 60.0,
) -> None:
    """Stop the Sync of this SYNC_HOME, and whatever a killed one left behind."""
    from sync.cli.background import stop

    stop(timeout)


def demo() -> None:
    """Print a token for the org of `syncctl up --demo`."""
    from sync.cli.demo import ORG
    from sync.cli.tokens import sign

    print(sign(ORG, "admin", "demo"))


def status(json: Annotated[bool, typer.Option("--json", help="For programs.")] = False) -> None:
    """Say what runs. Exit code 0: everything; 3: not running; 1: something is wrong."""
    from sync.cli.status import show

    raise typer.Exit(show(as_json=json))
