"""`syncctl up` from the outside: what runs, who can reach it, what it survives, and that nothing stays behind.

One installation for the whole module, because a start costs many CPU-seconds; the tests leave it running as they found
it, except the last ones, which say so.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import psutil
import psycopg
import pytest

from actors import leftovers
from sync.cli.home import UpState
from sync.store.embedded import EmbeddedPostgres
from tests.syncctl import Syncctl

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(240)]

READY_WITHIN_S = 90
"""Generous: the promise is 30 s on an idle machine, which a test machine is not."""


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Syncctl]:
    syncctl = Syncctl(tmp_path_factory.mktemp("up") / "var")
    yield syncctl
    syncctl("down")
    assert family(syncctl) == []
    syncctl.forget()


@pytest.fixture
def running(installation: Syncctl) -> Syncctl:
    """It runs; started when the last test stopped it."""
    if installation.home.owner() is None:
        started = installation("up", "--detach", "--wait")
        assert started.returncode == 0, started.stderr
    return installation


def family(syncctl: Syncctl) -> list[psutil.Process]:
    """Every process of the installation: `up`, what descends from it, and what has lost its parent."""
    found = {process.pid: process for process in leftovers.processes(syncctl.home.run_directory)}
    owner = syncctl.home.owner()
    if owner is not None:
        up = psutil.Process(owner)
        found |= {process.pid: process for process in [up, *up.children(recursive=True)]}
    postgres = EmbeddedPostgres(syncctl.home.path).pid
    if postgres is not None:
        found[postgres] = psutil.Process(postgres)
        found |= {child.pid: child for child in psutil.Process(postgres).children()}
    return list(found.values())


def state_of(syncctl: Syncctl) -> UpState:
    state = syncctl.home.read_state()
    assert state is not None
    return state


def eventually(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + READY_WITHIN_S
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


def answers(address: str) -> bool:
    try:
        return httpx.get(address, timeout=2).status_code == 200
    except httpx.HTTPError:
        return False


def healthy(syncctl: Syncctl) -> bool:
    return answers(f"http://127.0.0.1:{syncctl.port}/healthz")


def child_named(syncctl: Syncctl, name: str) -> psutil.Process:
    owner = syncctl.home.owner()
    assert owner is not None
    return next(process for process in psutil.Process(owner).children() if name in process.name())


def database(syncctl: Syncctl) -> str:
    return EmbeddedPostgres(syncctl.home.path).url_of()


def test_everything_answers(running: Syncctl) -> None:
    assert healthy(running)
    eventually(lambda: running("status").returncode == 0, "status never said that all is well")
    document = json.loads(running("status", "--json").stdout)
    assert document["state"] == "ready"
    assert {part["name"]: part["ok"] for part in document["parts"]} == {
        "postgresql": True,
        "api": True,
        "consumers": True,
        "dashboard": True,
    }
    assert document["addresses"]["api"] == f"http://127.0.0.1:{running.port}"
    token = running("token", "--org", "acme", "--role", "viewer").stdout.strip()
    answer = httpx.get(
        f"http://127.0.0.1:{running.port}/sync/status", headers={"Authorization": f"Bearer {token}"}, timeout=10
    )
    assert answer.status_code == 200
    assert running("doctor").returncode == 0


def test_it_served_within_the_promised_number_of_steps(running: Syncctl) -> None:
    steps = ["Checks", "PostgreSQL 18", "Schema", "Ray", "Supervisor", "HTTP API", "Workers"]
    assert list(state_of(running).seconds) == steps


def test_ready_means_that_every_pool_has_its_workers(installation: Syncctl) -> None:
    """Starts it anew."""
    if installation.home.owner() is not None:
        assert installation("down").returncode == 0
    started = installation("up", "--detach", "--wait")
    assert started.returncode == 0, started.stderr
    with psycopg.connect(database(installation)) as connection:
        rows = connection.execute("SELECT DISTINCT pool FROM worker").fetchall()
    assert {pool for (pool,) in rows} >= {"consumer.one-off", "consumer.schedule"}
    eventually(lambda: installation("status").returncode == 0, "status says that something is missing")


def test_every_socket_is_on_loopback(running: Syncctl) -> None:
    """Exceptions would be named in docs/security.md; there are none."""
    eventually(lambda: running("status").returncode == 0, "not everything runs")
    mine = {process.pid: process.name() for process in family(running)}
    opened = [entry for entry in psutil.net_connections("inet") if entry.pid in mine and not entry.raddr]
    listening = [entry for entry in opened if entry.status == psutil.CONN_LISTEN or entry.type == socket.SOCK_DGRAM]
    assert len(listening) > 10, "did it look at the right processes?"
    public = [
        (mine[entry.pid], entry.laddr)
        for entry in listening
        if not entry.laddr.ip.removeprefix("::ffff:").startswith("127.") and entry.laddr.ip != "::1"
    ]
    assert public == []


def test_files_and_sockets_are_for_their_owner(running: Syncctl) -> None:
    for directory in (running.home.secrets, running.home.logs, running.home.run_directory):
        assert directory.stat().st_mode & 0o077 == 0, directory


def test_the_dashboard_wants_the_token(running: Syncctl) -> None:
    address = f"{state_of(running).addresses['dashboard']}/api/v0/actors"
    assert httpx.get(address, timeout=10).status_code == 401
    token = running.home.ray_token_file.read_text()
    assert httpx.get(address, headers={"Authorization": f"Bearer {token}"}, timeout=10).status_code == 200


def test_a_second_up_is_refused_and_harmless(running: Syncctl) -> None:
    before = {process.pid for process in family(running)}
    second = running("up")
    assert second.returncode == 1
    assert "already runs" in second.stderr
    assert before <= {process.pid for process in family(running)}
    assert healthy(running)


def test_postgres_killed(running: Syncctl) -> None:
    killed = EmbeddedPostgres(running.home.path).pid
    assert killed is not None
    os.kill(killed, signal.SIGKILL)
    eventually(lambda: EmbeddedPostgres(running.home.path).pid not in {None, killed}, "PostgreSQL was not restarted")
    eventually(lambda: healthy(running), "the API did not recover")


def test_the_dashboard_killed(running: Syncctl) -> None:
    address = f"{state_of(running).addresses['dashboard']}/api/gcs_healthz"
    before = child_named(running, "gcs_server")
    owner = running.home.owner()
    assert owner is not None
    next(p for p in psutil.Process(owner).children() if "dashboard/dashboard.py" in " ".join(p.cmdline())).kill()
    eventually(lambda: "Started again: dashboard." in (running.home.logs / "up.log").read_text(), "not noticed")
    eventually(lambda: answers(address), "the dashboard did not come back")
    assert before.is_running()


def test_the_head_of_the_cluster_killed(running: Syncctl) -> None:
    """Everything that Ray knew is gone; `up` starts another cluster, and the actors come back from the database."""
    with psycopg.connect(database(running), autocommit=True) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS kept (one int)")
    killed = child_named(running, "gcs_server")
    killed.kill()
    eventually(lambda: not killed.is_running(), "it does not die")
    eventually(lambda: state_of(running).state == "starting", "the loss was not noticed")
    eventually(lambda: state_of(running).state == "ready", "the cluster was not restarted")
    eventually(lambda: running("status").returncode == 0, "not everything runs again")


def test_killed_it_does_not_block_the_next_start(running: Syncctl) -> None:
    owner = running.home.owner()
    assert owner is not None
    orphans = {process.pid for process in family(running)} - {owner}
    os.kill(owner, signal.SIGKILL)
    eventually(lambda: running.home.owner() is None, "the lock outlived its holder")
    started = running("up", "--detach", "--wait")
    assert started.returncode == 0, started.stderr
    assert "Cleared what the last run left behind" in (running.home.logs / "up.log").read_text()
    assert not orphans & {process.pid for process in psutil.process_iter() if process.status() != psutil.STATUS_ZOMBIE}
    assert healthy(running)


def test_ctrl_c_stops_everything_and_data_survive(installation: Syncctl, tmp_path: Path) -> None:
    """Stops the installation."""
    if installation.home.owner() is not None:
        assert installation("down").returncode == 0
    log = tmp_path / "terminal"
    with log.open("wb") as output:
        terminal = subprocess.Popen(
            Syncctl.command("up"),
            env=installation.environment,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    eventually(lambda: "Ready after" in log.read_text() or terminal.poll() is not None, "never ready")
    with psycopg.connect(database(installation), autocommit=True) as connection:
        connection.execute("DROP TABLE IF EXISTS kept; CREATE TABLE kept AS SELECT 1 AS one")
    os.killpg(terminal.pid, signal.SIGINT)  # as a terminal does: to the whole group
    assert terminal.wait(60) == 0
    said = log.read_text()
    assert "Traceback" not in said
    assert "Not everything finished" not in said
    assert said.endswith("Stopped.\n")
    assert family(installation) == []
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # closed connections linger in TIME_WAIT
        probe.bind(("127.0.0.1", installation.port))
    server = EmbeddedPostgres(installation.home.path)
    with psycopg.connect(server.start()) as connection:
        assert connection.execute("SELECT one FROM kept").fetchone() == (1,)
    server.stop()


def test_a_signal_during_the_start_leaves_nothing(installation: Syncctl, tmp_path: Path) -> None:
    """Stops the installation."""
    if installation.home.owner() is not None:
        assert installation("down").returncode == 0
    log = tmp_path / "terminal"
    with log.open("wb") as output:
        terminal = subprocess.Popen(
            Syncctl.command("up"), env=installation.environment, stdout=output, stderr=output, start_new_session=True
        )
    eventually(lambda: "Supervisor" in log.read_text(), "never so far")
    terminal.terminate()
    assert terminal.wait(60) == 130
    assert "Interrupted." in log.read_text()
    assert family(installation) == []
