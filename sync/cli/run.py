"""What every command needs: settings of the running installation, an event loop, and errors as sentences.

Only the standard library is imported at the top, so that `syncctl --help` stays fast.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from sync.base.settings import Settings

T = TypeVar("T")


def settings() -> Settings:
    """The settings, completed with the secrets and the database of this installation.

    Errors: ConfigurationError when the embedded database is meant and does not run.
    """
    from sync.base.errors import ConfigurationError
    from sync.base.settings import load_settings
    from sync.cli.home import Home, local_settings, with_store

    loaded = load_settings()
    home = Home(loaded.home)
    home.prepare()
    completed = local_settings(loaded, home)
    if completed.store.url is not None:
        return completed
    from sync.store.embedded import EmbeddedPostgres

    url = EmbeddedPostgres(home.path).url()
    if url is None:
        raise ConfigurationError(
            f"Sync does not run from {home.path}: start it with `syncctl up`, or set SYNC_STORE__URL (or SYNC_HOME)."
        )
    return with_store(completed, url)


def run(body: Coroutine[Any, Any, T]) -> T:
    """Run the asynchronous body of a command."""
    return asyncio.run(body)


def guarded(command: Callable[[], None]) -> None:
    """Run the program; a failure that we understand becomes a sentence on stderr and exit code 1."""
    try:
        command()
    except Exception as error:
        sentences = explain(error)
        if not sentences:
            raise
        for sentence in sentences:
            print(f"syncctl: {sentence}", file=sys.stderr)
        sys.exit(1)


def explain(error: Exception) -> list[str]:
    """What a person can do about it; empty for what is a defect of ours."""
    from sync.base.errors import SyncError

    if isinstance(error, SyncError):
        return [error.message]
    if "pydantic_core" in sys.modules:
        from pydantic import ValidationError

        if isinstance(error, ValidationError):
            return [_setting(problem["loc"], problem["msg"]) for problem in error.errors(include_url=False)]
    return []


def _setting(path: tuple[int | str, ...], message: str) -> str:
    name = "__".join(str(part).upper() for part in path)
    return f"SYNC_{name}: {message}" if name else message.removeprefix("Value error, ")
