"""Commands: doctor, migrate, token."""

from __future__ import annotations

from typing import Annotated

import typer


def doctor() -> None:
    """Check this machine and the configured servers; a sentence per problem, and exit code 1 when there is one."""
    from sync.base.settings import load_settings
    from sync.cli.checks import everything
    from sync.cli.home import Home

    settings = load_settings()
    found = everything(settings, Home(settings.home))
    for check in found:
        print(f"{'ok  ' if check.problem is None else 'FAIL'}  {check.name}: {check.problem or check.detail}")
    if any(check.problem for check in found):
        raise typer.Exit(1)


def migrate() -> None:
    """Bring the database to the schema of this version. `syncctl up` does this too."""
    from sync.cli import run
    from sync.cli.checks import store_problem
    from sync.cli.up import migrate as upgrade
    from sync.wiring import database_url

    settings = run.settings()
    if problem := store_problem(settings):
        from sync.base.errors import ConfigurationError

        raise ConfigurationError(problem)
    upgrade(database_url(settings))
    print("The database has the schema of this version.")


def token(
    org: Annotated[str, typer.Option(help="The tenant whose data the token opens.")],
    role: Annotated[str, typer.Option(help="viewer, service, operator or admin.")] = "operator",
    subject: Annotated[str, typer.Option(help="Who uses it; shown in the audit log.")] = "",
    hours: Annotated[float, typer.Option(help="How long it is valid.")] = 24.0,
    platform: Annotated[bool, typer.Option("--platform", help="It may act on whole queues, across orgs.")] = False,
) -> None:
    """Print a token for the HTTP API, signed with the secret of this installation."""
    from sync.cli.tokens import sign

    print(sign(org, role, subject, hours, platform=platform))
