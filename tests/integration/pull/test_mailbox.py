"""A real mailbox on a real IMAP server, end to end."""

from __future__ import annotations

import itertools

import pytest

from sync.pull.model import Integration
from sync.pull.worker import ExitReason
from tests.fakes.dovecot import Dovecot
from tests.fakes.mailbox import oddities, ordinary
from tests.integration.pull.conftest import ORG, Desk

_numbers = itertools.count(1)


@pytest.fixture
def user(dovecot: Dovecot) -> str:
    user = f"box{next(_numbers)}@example.test"
    dovecot.add_user(user, "secret")
    return user


async def _connect(desk: Desk, dovecot: Dovecot, user: str) -> Integration:
    return await desk.connect(user, host="127.0.0.1", port=dovecot.port, security="plain", private_host=True)


async def _sync(desk: Desk) -> str:
    """Trigger and run; the state in which the run ended."""
    run = (await desk.runs.trigger(ORG, "email"))[0]
    assert await desk.worker().run_until_idle() is ExitReason.IDLE
    return (await desk.runs.show(ORG, run.run_id)).state


async def test_a_large_mailbox_with_every_oddity_lands_once(mail_desk: Desk, dovecot: Dovecot, user: str) -> None:
    odd = oddities()
    dovecot.deliver(user, *odd, *(ordinary(n) for n in range(2000)), b"", b"\x00\xff", b"Subject: " + b"x" * 50_000)
    total = len(odd) + 2003
    await _connect(mail_desk, dovecot, user)

    assert await _sync(mail_desk) == "succeeded"

    assert await mail_desk.mails() == await mail_desk.events("mail.received") == total
    assert await mail_desk.value("SELECT count(*) FROM mail_message WHERE state = 'parked'") == 0
    run = (await mail_desk.runs.list(ORG))[0]
    assert (run.records, run.added, run.skipped) == (total, total, 0)
    assert run.pages > 20
    cursor = await mail_desk.value("SELECT cursor FROM sync_stream")
    assert cursor["uid"] == total
    subjects = await mail_desk.rows("SELECT subject FROM mail_message WHERE message_id = 'question-7@example.com'")
    assert subjects == [("Question 7",)]
    raw = await mail_desk.value("SELECT raw FROM mail_message WHERE message_id = 'question-7@example.com'")
    assert raw.replace(b"\r\n", b"\n") == ordinary(7)


async def test_a_second_run_brings_new_mail_only(mail_desk: Desk, dovecot: Dovecot, user: str) -> None:
    dovecot.deliver(user, *(ordinary(n) for n in range(30)))
    await _connect(mail_desk, dovecot, user)
    await _sync(mail_desk)
    assert await _sync(mail_desk) == "succeeded"
    assert await mail_desk.mails() == 30

    dovecot.deliver(user, ordinary(30), ordinary(31))
    await _sync(mail_desk)

    assert await mail_desk.mails() == await mail_desk.events("mail.received") == 32
    assert [run.added for run in await mail_desk.runs.list(ORG)] == [2, 0, 30]


async def test_renumbering_reports_nothing_twice(mail_desk: Desk, dovecot: Dovecot, user: str) -> None:
    dovecot.deliver(user, *(ordinary(n) for n in range(250)), ordinary(7), ordinary(7))
    await _connect(mail_desk, dovecot, user)
    await _sync(mail_desk)
    before = await mail_desk.rows("SELECT id, content_key, copy FROM mail_message ORDER BY id")
    validity = (await mail_desk.value("SELECT cursor FROM sync_stream"))["uidvalidity"]

    dovecot.renumber(user)
    dovecot.deliver(user, ordinary(250))
    await _sync(mail_desk)

    assert (await mail_desk.value("SELECT cursor FROM sync_stream"))["uidvalidity"] != validity
    assert await mail_desk.mails() == await mail_desk.events("mail.received") == 253
    assert await mail_desk.rows("SELECT id, content_key, copy FROM mail_message ORDER BY id LIMIT 252") == before


async def test_identical_mails_stay_two_and_say_so(mail_desk: Desk, dovecot: Dovecot, user: str) -> None:
    dovecot.deliver(user, ordinary(1), ordinary(2), ordinary(1))
    await _connect(mail_desk, dovecot, user)
    await _sync(mail_desk)
    first, second = await mail_desk.rows(
        "SELECT id, copy, duplicate_of FROM mail_message WHERE message_id = 'question-1@example.com' ORDER BY id"
    )
    assert (first[1], first[2]) == (1, None)
    assert (second[1], second[2]) == (2, first[0])


async def test_nothing_is_marked_as_read(mail_desk: Desk, dovecot: Dovecot, user: str) -> None:
    dovecot.deliver(user, ordinary(1))
    await _connect(mail_desk, dovecot, user)
    await _sync(mail_desk)
    maildir = dovecot.home / "mail" / user / "Maildir"
    assert [path.name for path in (maildir / "cur").iterdir()] == []
    assert len(list((maildir / "new").iterdir())) == 1


async def test_a_wrong_password_expires_the_account_once_and_reconnect_resumes(
    mail_desk: Desk, dovecot: Dovecot, user: str
) -> None:
    dovecot.deliver(user, *(ordinary(n) for n in range(5)))
    integration = await _connect(mail_desk, dovecot, user)
    await _sync(mail_desk)
    dovecot.set_password(user, "another")
    dovecot.deliver(user, ordinary(5))

    assert await _sync(mail_desk) == "failed"

    expired = await mail_desk.integrations.show(ORG, integration.id)
    assert (expired.state, expired.reason_code) == ("expired", "credentials_refused")
    assert "password" in (expired.reason or "")
    assert [stream.next_due_at for stream in expired.streams] == [None]
    assert await mail_desk.events("integration.expired") == 1
    assert await mail_desk.rows("SELECT key, count, resolved_at FROM alert") == [
        (f"integration.expired:{integration.id}", 1, None)
    ]
    await mail_desk.all_due()
    assert await mail_desk.runs.enqueue_due() == 0

    again = await mail_desk.integrations.reconnect(ORG, integration.id, {"password": "another"}, by="test")
    assert (again.id, again.state, again.reason) == (integration.id, "active", None)
    assert await mail_desk.runs.enqueue_due() == 1
    assert await mail_desk.worker().run_until_idle() is ExitReason.IDLE

    assert await mail_desk.mails() == await mail_desk.events("mail.received") == 6
    assert await mail_desk.value("SELECT count(*) FROM alert WHERE resolved_at IS NULL") == 0


async def test_a_backfill_has_its_own_cursor(mail_desk: Desk, dovecot: Dovecot, user: str) -> None:
    dovecot.deliver(user, *(ordinary(n) for n in range(10)))
    await _connect(mail_desk, dovecot, user)
    await _sync(mail_desk)
    cursor = await mail_desk.rows("SELECT cursor, cursor_version FROM sync_stream")

    runs = await mail_desk.runs.trigger(ORG, "email", "messages", {"startDate": "2020-01-01", "force": True})
    await mail_desk.worker().run_until_idle()

    run = await mail_desk.runs.show(ORG, runs[0].run_id)
    assert (run.trigger, run.state, run.records, run.added) == ("backfill", "succeeded", 10, 0)
    assert await mail_desk.rows("SELECT cursor, cursor_version FROM sync_stream") == cursor
    assert await mail_desk.mails() == 10
    assert await mail_desk.events("mail.received") == 20
