"""Processes of a cluster whose owner was killed: Ray takes most of them down, not all (its HAProxy keeps the port)."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil

from actors.environment import RUN_DIRECTORY

_GRACE_S = 1.0


def processes(run_directory: Path) -> list[psutil.Process]:
    """Every process of this cluster, ours excepted."""
    own = {psutil.Process().pid, *(parent.pid for parent in psutil.Process().parents())}
    return [process for process in psutil.process_iter() if process.pid not in own and _belongs(process, run_directory)]


def end(run_directory: Path) -> int:
    """Terminate them all, by force where they do not listen; how many there were.

    Only for a run directory whose lock is ours: otherwise somebody is using these processes.
    """
    ended: set[psutil.Process] = set()
    while found := processes(run_directory):  # again: one that ends may just have started another
        for process in found:
            _quietly(process.terminate)
        _, alive = psutil.wait_procs(found, _GRACE_S)
        for process in alive:
            _quietly(process.kill)
        psutil.wait_procs(alive, _GRACE_S)
        ended.update(found)
    return len(ended)


def _belongs(process: psutil.Process, run_directory: Path) -> bool:
    """By its environment or, where Ray's process title was written over that, by the log file it writes to."""
    try:
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        if process.environ().get(RUN_DIRECTORY) == str(run_directory):
            return True
        return any(run_directory in Path(file.path).parents for file in process.open_files())
    except (psutil.Error, OSError):
        return False


def _quietly(action: Callable[[], None]) -> None:
    with suppress(psutil.NoSuchProcess):
        action()
