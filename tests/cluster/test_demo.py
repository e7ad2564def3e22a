"""`syncctl up --demo` from the outside: accounts are connected and their records come in by themselves."""

from __future__ import annotations

import time
from collections.abc import Iterator

import httpx
import psycopg
import pytest

from actors import leftovers
from sync.store.embedded import EmbeddedPostgres
from tests.syncctl import Syncctl

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(180)]

WITHIN_S = 60
_BROUGHT = """
SELECT platform, count(*)
FROM (SELECT platform FROM activity UNION ALL SELECT platform FROM metric_point
      UNION ALL SELECT 'email' FROM mail_message) AS records
GROUP BY platform"""


@pytest.fixture
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Syncctl]:
    syncctl = Syncctl(tmp_path_factory.mktemp("demo") / "var")
    started = syncctl("up", "--demo", "--detach", "--wait")
    assert started.returncode == 0, started.stderr
    yield syncctl
    assert syncctl("down").returncode == 0
    assert leftovers.processes(syncctl.home.run_directory) == []
    syncctl.forget()


def test_records_of_every_platform_within_a_minute(demo: Syncctl) -> None:
    state = demo.home.read_state()
    assert state is not None
    connected = {platform for platform, what in state.demo.items() if what.startswith("connected")}
    assert set(state.demo.values()) == {what for what in state.demo.values() if what.startswith("connected")}

    deadline = time.monotonic() + WITHIN_S
    url = EmbeddedPostgres(demo.home.path).url_of()
    with psycopg.connect(url, autocommit=True) as database:
        while not connected <= (brought := dict(database.execute(_BROUGHT).fetchall())).keys():
            assert time.monotonic() < deadline, f"only {brought}"
            time.sleep(0.2)

    token = demo("demo").stdout.strip()
    address = f"http://127.0.0.1:{demo.port}/sync/runs?limit=5"
    runs = httpx.get(address, headers={"Authorization": f"Bearer {token}"}, timeout=10)
    assert len(runs.json()["items"]) == 5
    world = httpx.get(f"{state.addresses['simulator']}/_control", timeout=10).json()
    assert world["vendors"].keys() == connected - {"email"}
