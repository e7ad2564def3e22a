"""What makes the start of a process cheaper: sync actors are born and leave all the time, at half a CPU-second each."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager

ORNAMENTS = ("rich", "click")
"""structlog and httpx import them for output in colours and a command line: a twentieth of a start, and 5 MB."""


@contextmanager
def without(*modules: str) -> Iterator[None]:
    """Meanwhile these cannot be imported, which who could do without them takes for "not installed"."""
    hidden = [name for name in modules if name not in sys.modules]
    for name in hidden:
        sys.modules[name] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]


@contextmanager
def nothing_collected() -> Iterator[None]:
    """For imports: what they make stays for ever, and looking through it again and again finds no garbage."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
