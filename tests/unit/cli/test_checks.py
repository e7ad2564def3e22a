"""Checks that look at this machine only."""

from __future__ import annotations

from pathlib import Path

from sync.base.settings import RaySettings, Settings
from sync.cli.checks import MIN_DISK_MB, disk_problem, free_memory_mb, home_problem, memory_problem
from sync.cli.home import Home

MEGABYTE = 1024 * 1024


def container(folder: Path, limit: str, used: int = 0, cache: int = 0) -> Path:
    (folder / "memory.max").write_text(limit)
    (folder / "memory.current").write_text(str(used * MEGABYTE))
    (folder / "memory.stat").write_text(f"anon 17\ninactive_file {cache * MEGABYTE}\n")
    return folder


def test_a_container_has_what_its_limit_leaves(tmp_path: Path) -> None:
    assert free_memory_mb(container(tmp_path, str(512 * MEGABYTE), used=400, cache=100)) == 212


def test_without_a_limit_the_machine_counts(tmp_path: Path) -> None:
    # Two looks at a living machine differ a little.
    assert abs(free_memory_mb(container(tmp_path, "max")) - free_memory_mb(tmp_path / "none")) < 500


def test_the_wanted_memory_is_a_setting() -> None:
    assert memory_problem(Settings(ray=RaySettings(min_free_mb=0))) is None
    problem = memory_problem(Settings(ray=RaySettings(min_free_mb=10**9)))
    assert problem is not None
    assert "Sync wants 1,000,000,000" in problem


def test_a_home_may_be_made_later(tmp_path: Path) -> None:
    assert home_problem(Home(tmp_path / "not" / "yet")) is None
    assert not (tmp_path / "not").exists()


def test_a_file_is_no_home(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    problem = home_problem(Home(tmp_path / "file" / "var"))
    assert problem is not None
    assert "is not a directory" in problem


def test_disk(tmp_path: Path) -> None:
    assert MIN_DISK_MB > 0
    assert disk_problem(Home(tmp_path / "var")) is None
