"""What the commands that talk to the database share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

from sync.cli.run import run, settings

if TYPE_CHECKING:
    from datetime import datetime

    from sync.wiring import Runtime

Result = TypeVar("Result")


def with_runtime(work: Callable[[Runtime], Awaitable[Result]]) -> Result:
    """Connect, do `work`, disconnect."""

    async def connected() -> Result:
        from sync.wiring import open_runtime

        async with open_runtime(settings(), application="syncctl") as runtime:
            return await work(runtime)

    return run(connected())


def operator() -> str:
    """Who is at the keyboard, for the audit log."""
    import getpass

    return f"cli:{getpass.getuser()}"


def when(instant: datetime | None) -> str:
    """A time as people read it, in the zone of this machine; `-` for none."""
    return "-" if instant is None else instant.astimezone().strftime("%Y-%m-%d %H:%M:%S %Z")


def print_table(*headings: str, rows: list[list[str]]) -> None:
    """Columns without lines; without headings, label and value."""
    from rich.console import Console
    from rich.table import Table

    table = Table(*headings, box=None, pad_edge=False, show_header=bool(headings))
    for row in rows:
        table.add_row(*row)
    Console().print(table)
