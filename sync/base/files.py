"""Files and directories that belong to one account alone."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

from sync.base.errors import ConfigurationError


def private_directory(path: Path, owner: int | None = None, group: int = -1) -> Path:
    """Make a directory that its owner alone may enter; refuse one that somebody else prepared.

    `owner` (user id) is for root, which makes directories for others. Errors: ConfigurationError.
    """
    wanted = os.geteuid() if owner is None else owner
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            path.mkdir(mode=0o700)
            if owner is not None:
                os.chown(path, owner, group)
        except FileExistsError:
            found = path.lstat()
            if not stat.S_ISDIR(found.st_mode) or found.st_uid not in {wanted, os.geteuid()}:
                raise ConfigurationError(
                    f"{path} is not a directory of user id {wanted}. Remove it, or set SYNC_HOME."
                ) from None
    except OSError as error:
        raise ConfigurationError(
            f"{path} cannot be made ({error.strerror}). Set SYNC_HOME to a directory that you may write to."
        ) from error
    if not os.access(path, os.W_OK | os.X_OK):
        raise ConfigurationError(f"{path} is not writable. Change its permissions, or set SYNC_HOME.")
    return path


def private_file(path: Path, make: Callable[[], str]) -> str:
    """The content of a file that its owner alone may read; `make` supplies it when there is none yet.

    Two callers at once read the same content: the file appears whole, under its name, or not at all.
    """
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        pass
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(make())
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, path)  # unlike rename, never replaces what another caller made meanwhile
    except FileExistsError:
        pass
    finally:
        draft.unlink()
    return path.read_text(encoding="utf-8")
