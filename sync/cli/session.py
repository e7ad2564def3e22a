"""What the commands that talk to the database share."""

from __future__ import annotations

import asyncio
import getpass
import sys
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import TYPE_CHECKING, TypeVar

import typer

from sync.base.errors import SyncError
from sync.base.settings import load_settings

if TYPE_CHECKING:
    from sync.wiring import Runtime

Result = TypeVar("Result")


def with_runtime(work: Callable[[Runtime], Awaitable[Result]]) -> Result:
    """Connect, do `work`, disconnect. A refusal becomes its sentence on stderr and exit code 1."""

    async def run() -> Result:
        from sync.wiring import open_runtime

        async with open_runtime(load_settings(), application="syncctl") as runtime:
            return await work(runtime)

    try:
        return asyncio.run(run())
    except SyncError as error:
        print(error.message, file=sys.stderr)
        raise typer.Exit(1) from error


def operator() -> str:
    """Who is at the keyboard, for the audit log."""
    return f"cli:{getpass.getuser()}"


def when(instant: datetime | None) -> str:
    """A time as people read it, in the zone of this machine; `-` for none."""
    return "-" if instant is None else instant.astimezone().strftime("%Y-%m-%d %H:%M:%S %Z")
