"""What the stand-in for HAProxy makes of a configuration that Ray wrote."""

from __future__ import annotations

import subprocess
from pathlib import Path

from actors.environment import _adjusted_haproxy

WRITTEN = """\
frontend prometheus
    bind *:9101
frontend stats
  bind :8404
frontend http_frontend
    bind 127.0.0.1:8000
"""
ADJUSTED = """\
frontend prometheus
    bind 127.0.0.1:9101
frontend stats
  bind 127.0.0.1:8404
frontend http_frontend
    http-request set-header x-request-disconnect-disabled ?1 if { path_beg /social-activity/webhook }
    bind 127.0.0.1:8000
"""


def test_it_adjusts_the_configuration_and_runs_the_program(tmp_path: Path) -> None:
    script = _adjusted_haproxy("/bin/echo", tmp_path, 9101, 8404)
    configuration = tmp_path / "haproxy.cfg"
    configuration.write_text(WRITTEN)
    for _ in range(2):  # a reload finds what the start has made of it
        done = subprocess.run([script, "-db", "-f", configuration], capture_output=True, text=True, check=True)
        assert configuration.read_text() == ADJUSTED
        assert done.stdout == f"-db -f {configuration}\n"
