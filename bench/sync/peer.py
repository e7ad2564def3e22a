"""dlt's own environment: made on first use from pinned, hashed requirements; Sync itself never depends on dlt."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import venv
from pathlib import Path

from bench.common import ROOT, log

_REQUIREMENTS = Path(__file__).with_name("requirements-dlt.txt")
SCRIPT = Path(__file__).with_name("dlt_pull.py")


def dlt_python() -> str:
    """The interpreter that has dlt. Errors: CalledProcessError when it cannot be installed."""
    digest = hashlib.sha256(_REQUIREMENTS.read_bytes()).hexdigest()[:12]
    folder = ROOT / "var" / f"bench-dlt-{digest}"
    python, ready = folder / "bin" / "python", folder / "ready"
    if not ready.exists():
        log("installing dlt into", folder)
        venv.create(folder, clear=True, with_pip=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes"]
        subprocess.run([*pip, "-r", str(_REQUIREMENTS)], check=True, stdout=sys.stderr)
        ready.touch()
    return str(python)
