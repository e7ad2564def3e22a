"""`syncctl`: the operator's command.

A group of commands is a module beside this one with plain functions. Its top imports the standard library and typer
only, everything heavier inside the functions: `syncctl --help` must not pay for Ray. Register it below.
"""

from __future__ import annotations

import typer

from sync.cli import (
    connect,
    events,
    inbox,
    jobs,
    lifecycle,
    maintenance,
    platforms,
    schedules,
    secrets,
    webhooks,
)
from sync.cli.run import guarded

app = typer.Typer(
    name="syncctl",
    help="Operate Sync: start it, look at it, steer it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command()(lifecycle.up)
app.command()(lifecycle.down)
app.command()(lifecycle.status)
app.command()(lifecycle.demo)
app.command()(maintenance.doctor)
app.command()(maintenance.migrate)
app.command()(maintenance.token)
app.command()(jobs.pause)
app.command()(jobs.resume)
app.command()(events.watch)
app.command()(events.unwatch)
app.add_typer(events.app, name="events")
app.add_typer(inbox.app, name="inbox")
app.add_typer(jobs.app, name="jobs")
app.add_typer(schedules.app, name="schedule")
app.add_typer(secrets.app, name="secret")
app.add_typer(webhooks.app, name="webhooks")
connect.register(app)
connect.connect.command()(platforms.platform)


def main() -> None:
    guarded(app)


if __name__ == "__main__":
    main()
