"""The same connector against another implementation of IMAP."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.fakes.mailbox import oddities, ordinary
from tests.fakes.pymap import Pymap
from tests.integration.pull.conftest import ORG, Desk


@pytest.fixture
def pymap() -> Iterator[Pymap]:
    server = Pymap()
    server.start("first")
    yield server
    server.stop()


async def _sync(desk: Desk) -> str:
    run = (await desk.runs.trigger(ORG, "email"))[0]
    await desk.worker().run_until_idle()
    return (await desk.runs.show(ORG, run.run_id)).state


async def test_pull_expire_reconnect_and_renumber(mail_desk: Desk, pymap: Pymap) -> None:
    pymap.deliver(*(ordinary(n) for n in range(40)), *oddities())
    integration = await mail_desk.connect(
        "demo@example.test",
        password="first",
        host="127.0.0.1",
        port=pymap.port,
        user=Pymap.user,
        security="plain",
        private_host=True,
    )
    assert await _sync(mail_desk) == "succeeded"
    total = await mail_desk.mails()
    assert total >= 40 + len(oddities())
    pymap.deliver(ordinary(40))
    assert await _sync(mail_desk) == "succeeded"
    assert await mail_desk.mails() == await mail_desk.events("mail.received") == total + 1

    pymap.stop()
    assert await _sync(mail_desk) == "queued"  # a server that is down says nothing about the account
    pymap.start("second")
    await mail_desk.run_now()
    assert await _sync(mail_desk) == "failed"
    assert (await mail_desk.integrations.show(ORG, integration.id)).state == "expired"

    await mail_desk.integrations.reconnect(ORG, integration.id, {"password": "second"}, by="test")
    assert await _sync(mail_desk) == "succeeded"
    assert await mail_desk.mails() == await mail_desk.events("mail.received") == total + 1
