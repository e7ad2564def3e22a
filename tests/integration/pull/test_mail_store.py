"""Mail in PostgreSQL: copies, places, and mails that will not be stored."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from connectors.records import MailRecord
from sync.mail import store
from sync.mail.parse import ParsedMail, parse_mail
from sync.mail.store import MailSink
from sync.sink import Applied, Source
from tests.fakes.mailbox import oddities, ordinary
from tests.fakes.platform import record
from tests.integration.pull.conftest import ORG, Desk


async def _store(desk: Desk, records: Sequence[MailRecord], *, force: bool = False) -> Applied:
    integration = next(iter(await desk.integrations.list(ORG)), None) or await desk.connect()
    source = Source(ORG, "email", integration.id, integration.account, "messages")
    sink = MailSink()
    async with desk.database.transaction() as tx:
        return await sink.apply(tx, source, sink.prepare(records), force=force)


async def test_a_page_applied_again_changes_nothing(desk: Desk) -> None:
    records = [record(n) for n in range(1, 11)]
    assert (await _store(desk, records)).added == 10
    again = await _store(desk, records)
    assert (again.added, again.unchanged, again.events) == (0, 10, [])
    forced = await _store(desk, records, force=True)
    assert (forced.added, len(forced.events)) == (0, 10)
    assert all(event.payload["forced"] for event in forced.events)
    assert await desk.value("SELECT count(*) FROM mail_location") == 10


async def test_a_mail_that_moves_to_another_folder_stays_one(desk: Desk) -> None:
    await _store(desk, [record(1, folder="INBOX")])
    assert (await _store(desk, [record(5, folder="Archive", raw=ordinary(1))])).added == 0
    assert await desk.rows("SELECT folder, uid FROM mail_location ORDER BY uid") == [("INBOX", 1), ("Archive", 5)]
    assert await desk.mails() == 1


async def test_copies_are_counted_across_pages_and_found_again_after_renumbering(desk: Desk) -> None:
    same = ordinary(1)
    await _store(desk, [record(1, raw=same), record(2, raw=same)])
    assert (await _store(desk, [record(3, raw=same)])).events[0].payload["duplicate_of"] == 1
    assert await desk.rows("SELECT copy, duplicate_of FROM mail_message ORDER BY id") == [(1, None), (2, 1), (3, 1)]
    renumbered = await _store(desk, [record(n, raw=same, uidvalidity=2) for n in (11, 12, 13)])
    assert (renumbered.added, renumbered.unchanged) == (0, 3)
    assert (await _store(desk, [record(14, raw=same, uidvalidity=2)])).added == 1


async def test_two_accounts_have_a_mail_each(desk: Desk) -> None:
    first, second = await desk.connect("ada@example.test"), await desk.connect("bob@example.test")
    for integration in (first, second):
        async with desk.database.transaction() as tx:
            source = Source(ORG, "email", integration.id, integration.account, "messages")
            assert (await MailSink().apply(tx, source, MailSink().prepare([record(1)]))).added == 1
    assert await desk.mails() == 2


async def test_a_mail_that_cannot_be_read_is_parked_with_its_bytes(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(raw: bytes) -> ParsedMail:
        if b"question-2@" in raw:
            raise RecursionError("too deep")
        return parse_mail(raw)

    monkeypatch.setattr(store, "parse_mail", refuse)
    applied = await _store(desk, [record(n) for n in range(1, 4)])
    assert (applied.added, applied.skipped) == (3, 1)
    assert [event.type for event in applied.events] == ["mail.received", "mail.parked", "mail.received"]
    (parked,) = await desk.rows("SELECT error, raw FROM mail_message WHERE state = 'parked'")
    assert parked == ("could not be read: RecursionError: too deep", ordinary(2))


async def test_a_mail_that_postgres_refuses_does_not_hold_up_its_page(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def poisoned(raw: bytes) -> ParsedMail:
        mail = parse_mail(raw)
        if b"question-2@" in raw:
            mail.subject = "NUL \x00"
        return mail

    monkeypatch.setattr(store, "parse_mail", poisoned)
    applied = await _store(desk, [record(n) for n in range(1, 4)])
    assert (applied.added, applied.skipped) == (3, 1)
    rows = await desk.rows("SELECT state, subject, raw IS NOT NULL AS kept FROM mail_message ORDER BY id")
    assert rows == [("stored", "Question 1", True), ("parked", "", True), ("stored", "Question 3", True)]
    assert await desk.value(
        "SELECT starts_with(error, 'could not be stored: ') FROM mail_message WHERE state = 'parked'"
    )


async def test_a_mail_without_bytes_is_parked(desk: Desk) -> None:
    missing = MailRecord("INBOX", 1, 1, (), None, 100, None)
    assert (await _store(desk, [missing])).skipped == 1
    assert await desk.rows("SELECT state, raw, size FROM mail_message") == [("parked", None, 100)]
    assert (await _store(desk, [missing])).unchanged == 1


async def test_every_oddity_is_stored_as_it_came(desk: Desk) -> None:
    mails = oddities()
    applied = await _store(desk, [record(n, raw=raw) for n, raw in enumerate(mails, 1)])
    assert (applied.added, applied.skipped) == (len(mails), 0)
    assert [raw for (raw,) in await desk.rows("SELECT raw FROM mail_message ORDER BY id")] == mails
