"""The limit of open files, in processes of their own: it belongs to the whole process."""

from __future__ import annotations

import subprocess
import sys

import pytest

_PROGRAM = """
import resource, sys
from sync.base.descriptors import make_room
soft, hard, connections = map(int, sys.argv[1:])
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
print(make_room(connections), *resource.getrlimit(resource.RLIMIT_NOFILE))
"""


@pytest.mark.parametrize(
    ("soft", "hard", "connections", "limit"),
    [(256, 900, 100, 612), (256, 900, 2000, 900), (800, 900, 100, 800)],
)
def test_room_is_made_as_far_as_the_system_lets_us(soft: int, hard: int, connections: int, limit: int) -> None:
    command = [sys.executable, "-c", _PROGRAM, str(soft), str(hard), str(connections)]
    answer = subprocess.run(command, capture_output=True, text=True, check=True)
    assert [int(word) for word in answer.stdout.split()] == [limit, limit, hard]
