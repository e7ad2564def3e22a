"""The API as Serve runs it, with real actors behind it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import psutil
import psycopg
import pytest
import ray
from pydantic import SecretStr
from websockets.exceptions import ConnectionClosed

from actors.names import sync_actor
from sync.base.sealing import new_key
from sync.base.settings import (
    AuthSettings,
    HttpSettings,
    PoolSettings,
    QueueSettings,
    SecretsSettings,
    Settings,
    StoreSettings,
    SupervisorSettings,
    SyncSettings,
)
from sync.supervision.pools import POOLS
from tests.cluster.clusters import Clusters
from tests.cluster.helpers import actor_names, ask, eventually, kill
from tests.cluster.plugin import TABLES, StagedPlatform
from tests.fakes.live_client import listening, streaming
from tests.fakes.tokens import SECRET, bearer
from tests.services import PostgresServer, free_port

pytestmark = pytest.mark.timeout(180)


@dataclass(frozen=True)
class Served:
    address: str
    settings: Settings
    namespace: str

    @property
    def store(self) -> str:
        assert self.settings.store.url is not None
        return self.settings.store.url.get_secret_value()

    def value(self, query: str, *params: Any) -> Any:
        with psycopg.connect(self.store, autocommit=True) as connection:
            row = connection.execute(query, params).fetchone()
            return None if row is None else row[0]


@pytest.fixture(scope="module")
def served(clusters: Clusters, postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One Serve application for the module: it takes seconds to start."""
    from ray import serve  # warns about pydantic when it is imported

    from serve_app import build

    clusters.single()
    url, port, namespace = postgres.create(), free_port(), f"t-{uuid4().hex[:8]}"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(TABLES)
    settings = Settings(
        home=tmp_path_factory.mktemp("home"),
        store=StoreSettings(url=SecretStr(url), pool_size=4),
        auth=AuthSettings(secret=SecretStr(SECRET)),
        http=HttpSettings(port=port),
        queue=QueueSettings(poll_s=0.1, heartbeat_s=0.3, worker_timeout_s=1.5, rescue_every_s=0.3),
        pools={pool: PoolSettings(min=int(pool == "consumer.one-off"), max=1) for pool in POOLS},
        sync=SyncSettings(lease_ttl_s=3.0, idle_exit_s=60.0),
        supervisor=SupervisorSettings(members_every_s=0.3, syncs_every_s=0.2, ping_every_s=1.0),
        secrets=SecretsSettings(keys={"k1": SecretStr(new_key())}, current="k1"),
        plugins=("tests.cluster.plugin",),
    )
    serve.start(proxy_location="HeadOnly", http_options=serve.HTTPOptions(host="127.0.0.1", port=port))
    serve.run(build(settings, namespace), name=namespace, route_prefix="/")
    yield Served(f"http://127.0.0.1:{port}", settings, namespace)
    serve.shutdown()
    while names := sorted(actor_names(namespace), key=lambda name: name != "supervisor"):
        for name in names:
            kill(name, namespace)
    postgres.drop(url)


@pytest.fixture
async def http(served: Served) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=served.address, headers=bearer(), timeout=30) as client:
        yield client


async def test_it_answers_and_has_the_rest_brought_up(served: Served, http: httpx.AsyncClient) -> None:
    health = await http.get("/healthz")
    assert health.status_code == 200 and health.headers["x-request-id"]
    assert (await http.get("/sync")).json()["org"] == "acme"
    assert (await http.get("/sync", headers={"Authorization": "Bearer no"})).status_code == 401
    large = b" " * (served.settings.http.max_body_bytes + 1)
    refused = await http.post("/sync/queue", content=large, headers={"Content-Type": "application/json"})
    assert refused.status_code == 413 and refused.json()["type"] == "/problems/body-too-large"
    await eventually(lambda: "consumer.one-off.0" in actor_names(served.namespace), but="nobody started the supervisor")


async def test_a_job_sent_over_http_is_done_by_a_pool(served: Served, http: httpx.AsyncClient) -> None:
    answer = (await http.post("/sync/queue", json={"kind": "test.effect", "args": {"key": "over-http"}})).json()
    await eventually(lambda: served.value("SELECT count(*) FROM effect WHERE key = 'over-http'") == 1)

    async def finished() -> bool:
        return bool((await http.get(f"/sync/jobs/{answer['jobId']}")).json()["state"] == "done")

    await eventually(finished)


async def test_a_trigger_starts_the_actor_and_a_second_one_nudges_it(
    served: Served, http: httpx.AsyncClient, tmp_path: Path
) -> None:
    connected = await http.post(
        "/sync/integrations", json={"platform": "staged", "account": "a", "config": {"folder": str(tmp_path)}}
    )
    assert connected.status_code == 201, connected.text

    async def run_to_end() -> int:
        answer = await http.post("/sync/trigger/staged/messages")
        assert answer.status_code == 202, answer.text
        run_id = int(answer.json()["runs"][0]["runId"])

        async def ended() -> bool:
            return bool((await http.get(f"/sync/runs/{run_id}")).json()["state"] == "succeeded")

        await eventually(ended, within_s=60)
        return run_id

    first = await run_to_end()
    shown = (await http.get(f"/sync/runs/{first}")).json()
    assert (shown["pages"], shown["added"]) == (StagedPlatform.PAGES, StagedPlatform.PAGES * StagedPlatform.PAGE_SIZE)
    status = (await http.get("/sync/status")).json()
    assert [(lease["actor"], lease["live"]) for lease in status["leases"]] == [("sync:acme:staged", True)]
    pid = ask("sync:acme:staged", served.namespace, "ping").pid
    assert await run_to_end() != first
    assert ask("sync:acme:staged", served.namespace, "ping").pid == pid, "the resident actor took the second run"


async def test_control_finds_nudges_and_forgets_an_actor(namespace: str) -> None:
    from serve_app import RayControl

    class Resident:
        def __init__(self) -> None:
            self.nudges = 0

        def nudge(self) -> None:
            self.nudges += 1

        def count(self) -> int:
            return self.nudges

    name = sync_actor("acme", "staged")
    control = RayControl(namespace)
    await control.nudge_sync("acme", "staged")  # nobody there: no error
    remote = ray.remote(num_cpus=0)(Resident).options(name=name, namespace=namespace, lifetime="detached")
    actor = remote.remote()
    await control.nudge_sync("acme", "staged")
    await control.nudge_sync("acme", "staged")
    assert ask(name, namespace, "count") == 2
    ray.kill(actor)
    await eventually(lambda: name not in actor_names(namespace))
    await control.nudge_sync("acme", "staged")  # finds out by the call
    remote.remote()
    await control.nudge_sync("acme", "staged")
    assert ask(name, namespace, "count") == 1, "the dead handle was forgotten"


async def test_a_client_that_hangs_up_does_not_tear_its_write(served: Served, http: httpx.AsyncClient) -> None:
    body = b'{"jobs": [%s]}' % b",".join(
        [b'{"kind": "test.effect", "args": {"key": "hung-up"}, "runAt": "2090-01-01T00:00Z"}'] * 3
    )
    head = f"POST /sync/queue HTTP/1.1\r\nHost: x\r\nAuthorization: {bearer()['Authorization']}\r\n"
    request = f"{head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
    with psycopg.connect(served.store) as blocker:
        blocker.execute("LOCK TABLE job_scheduled IN SHARE MODE")
        with socket.create_connection(("127.0.0.1", served.settings.http.port)) as connection:
            connection.sendall(request)
            waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'job_scheduled'::regclass"
            await eventually(lambda: served.value(waiting) > 0, but="the insert never began")
        # The connection is closed while the insert waits; answers to others show that Serve has noticed.
        assert (await http.get("/healthz")).status_code == 200
    await eventually(lambda: served.value("SELECT count(*) FROM job_scheduled WHERE args->>'key' = 'hung-up'") == 3)


async def test_a_killed_replica_comes_back_and_what_was_acknowledged_is_there(
    served: Served, http: httpx.AsyncClient
) -> None:
    acknowledged: list[int] = []
    killed = asyncio.Event()

    async def keep_sending() -> None:
        body = {"kind": "test.effect", "args": {"key": "acknowledged"}, "runAt": "2090-01-01T00:00Z"}
        after_kill = 0
        while after_kill < 20:
            try:
                answer = await http.post("/sync/queue", json=body)
            except httpx.HTTPError:
                continue
            if answer.status_code == 202:
                acknowledged.append(answer.json()["jobId"])
                after_kill += killed.is_set()

    async def kill_in_the_middle() -> None:
        await eventually(lambda: len(acknowledged) >= 20)
        os.kill(_replica_process(served.namespace), signal.SIGKILL)
        killed.set()

    await asyncio.wait_for(asyncio.gather(keep_sending(), kill_in_the_middle()), 90)
    stored = served.value("SELECT count(*) FROM job_scheduled WHERE job_id = ANY (%s)", acknowledged)
    assert stored == len(acknowledged)


async def test_live_events_pass_through_the_proxy_and_outlive_a_replica(
    served: Served, http: httpx.AsyncClient
) -> None:
    port = served.settings.http.port

    def happen(number: int) -> None:
        insert = (
            "INSERT INTO event (org_id, type, subject, payload) VALUES ('acme', 'sync.failed', 'x', %s) RETURNING id"
        )
        served.value(insert, json.dumps({"number": number}))

    async with listening(port, ["runs"]) as client, streaming(port, "?topics=runs") as stream:
        assert (await stream.next())["type"] == "subscribed"
        happen(1)
        assert (await client.event())["payload"]["number"] == 1
        message = await stream.next()
        assert message["event"]["payload"]["number"] == 1
        # Serve counts each connection as a request; requests must find room beside them.
        assert (await http.get("/healthz")).status_code == 200
        os.kill(_replica_process(served.namespace), signal.SIGKILL)
        with pytest.raises(ConnectionClosed):
            while True:
                await client.next()
    happen(2)

    async def serves_again() -> bool:
        try:
            return (await http.get("/healthz")).status_code == 200
        except httpx.HTTPError:
            return False

    await eventually(serves_again, within_s=60)
    async with listening(port, ["runs"], cursor=client.cursor) as client:
        assert (await client.event())["payload"]["number"] == 2
    async with streaming(port, "?topics=runs", last_event_id=stream.last_event_id or "") as stream:
        while (message := await stream.next())["type"] != "event":
            pass
        assert message["event"]["payload"]["number"] == 2


def _replica_process(application: str) -> int:
    titles = {process.pid: " ".join(process.info["cmdline"] or []) for process in psutil.process_iter(["cmdline"])}
    (pid,) = [pid for pid, title in titles.items() if f"ServeReplica:{application}:" in title]
    return pid
