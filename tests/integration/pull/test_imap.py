"""The IMAP connector against servers that misbehave, and against real ones for what only they do."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from connectors.base import Account, Credentials, Page, Pull
from connectors.imap import connector
from connectors.imap.client import Endpoint, ImapClient
from connectors.imap.connector import ImapConnector
from sync.base.errors import ConfigurationError, IntegrationRevoked, RateLimited, SyncError, Transient
from tests.fakes.dovecot import Dovecot
from tests.fakes.imap_script import Answer, ImapScript
from tests.fakes.mailbox import ordinary


def _account(port: int, user: str = "ada", credentials: dict[str, str] | None = None, **config: Any) -> Account:
    place = {"host": "127.0.0.1", "port": port, "security": "plain", "private_host": True}
    return Account("acme", user, {**place, **config}, Credentials(credentials or {"password": 'hunter"2\\'}))


async def _pull(account: Account, *, timeout_s: float = 20, **pull: Any) -> list[Page]:
    async with ImapConnector(timeout_s).open(account) as session:
        return [page async for page in session.pages(Pull("messages", **pull))]


def _fetch(*mails: tuple[int, bytes | None]) -> Answer:
    """Answers size questions and body questions about the same mails; None is a body the server keeps to itself."""

    def answer(line: bytes) -> bytes:
        found = b""
        for uid, body in mails:
            if b"BODY" not in line:
                found += b"* %d FETCH (UID %d RFC822.SIZE %d)\r\n" % (uid, uid, len(body or b"x"))
            elif body is None:
                found += b"* %d FETCH (UID %d FLAGS ())\r\n" % (uid, uid)
            else:
                found += b"* %d FETCH (UID %d FLAGS () BODY[] {%d}\r\n%s)\r\n" % (uid, uid, len(body), body)
        return found + b"{tag} OK done\r\n"

    return answer


@pytest.mark.parametrize("cut", [0, 1, 7])
async def test_answers_may_arrive_in_any_pieces(cut: int) -> None:
    bodies = [ordinary(n) for n in range(1, 4)]
    bodies[1] += b"\r\nA1 OK not the end)\r\n* 9 FETCH (UID 9 BODY[] {3}\r\n"
    async with ImapScript({"FETCH": _fetch(*enumerate(bodies, 1))}, cut=cut).running() as server:
        (page,) = await _pull(_account(server.port))
    assert [record.raw for record in page.records] == bodies
    assert [record.uid for record in page.records] == [1, 2, 3]
    assert b'LOGIN "ada" "hunter\\"2\\\\"\r\n' in b"".join(server.seen)


async def test_thousands_of_lines_in_one_piece() -> None:
    uids = b" ".join(b"%d" % n for n in range(1, 5001))
    noise = b"".join(b"* %d EXISTS\r\n" % n for n in range(5000))
    script = {
        "SEARCH": noise + b"* SEARCH " + uids + b"\r\n{tag} OK done\r\n",
        "EXAMINE": noise + b"* OK [UIDVALIDITY 7] ok\r\n{tag} OK opened\r\n",
    }
    async with ImapScript(script).running() as server:
        client = ImapClient(Endpoint("127.0.0.1", server.port, tls=False, private=True))
        await client.connect()
        await client.login("a", "b")
        assert (await client.examine("INBOX")).uidvalidity == 7
        assert len(await client.search("UID 1:*")) == 5000
        await client.close()


async def test_a_mail_that_is_gone_is_passed_over() -> None:
    async with ImapScript({"FETCH": _fetch((1, b"a"), (3, b"c"))}).running() as server:
        (page,) = await _pull(_account(server.port))
    assert [record.uid for record in page.records] == [1, 3]
    assert page.cursor["uid"] == 3


async def test_a_body_that_is_kept_back_is_asked_for_alone_and_then_kept_as_a_gap() -> None:
    async with ImapScript({"FETCH": _fetch((1, b"a"), (2, None), (3, b"c"))}).running() as server:
        (page,) = await _pull(_account(server.port))
    assert [(record.uid, record.raw) for record in page.records] == [(1, b"a"), (2, None), (3, b"c")]
    assert sum(b"UID FETCH 2 (" in line for line in server.seen) == 1


async def test_large_mails_are_kept_by_their_beginning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connector, "MAX_MAIL_BYTES", 1000)
    async with ImapScript({"FETCH": _fetch((1, b"x" * 5000), (2, b"small"))}).running() as server:
        (page,) = await _pull(_account(server.port))
    assert [(record.uid, record.complete) for record in page.records] == [(1, False), (2, True)]
    assert any(b"BODY.PEEK[]<0.262144>" in line for line in server.seen)


async def test_pages_are_bounded_by_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connector, "PAGE_BYTES", 250)
    bodies = [(n, b"x" * 100) for n in range(1, 4)]
    async with ImapScript({"FETCH": _fetch(*bodies)}).running() as server:
        pages = await _pull(_account(server.port))
    assert [[record.uid for record in page.records] for page in pages] == [[1, 2], [3]]
    assert [page.more for page in pages] == [True, False]


async def test_nothing_new_is_no_page() -> None:
    async with ImapScript({"SEARCH": b"* SEARCH 3\r\n{tag} OK done\r\n"}).running() as server:
        assert await _pull(_account(server.port), cursor={"uidvalidity": 7, "uid": 3}) == []
    async with ImapScript({"SEARCH": b"{tag} OK nothing\r\n"}).running() as server:
        assert await _pull(_account(server.port)) == []


@pytest.mark.parametrize(
    ("script", "error", "words"),
    [
        ({"LOGIN": b"{tag} NO [AUTHENTICATIONFAILED] Nope\r\n"}, IntegrationRevoked, "Nope"),
        ({"LOGIN": b"* BYE [UNAVAILABLE] Too busy\r\n"}, Transient, "Too busy"),
        ({"LOGIN": None}, Transient, "connection was lost"),
        ({"EXAMINE": None}, Transient, "connection was lost"),
        ({"SEARCH": None}, Transient, "connection was lost"),
        ({"FETCH": None}, Transient, "connection was lost"),
        ({"FETCH": b"* 1 FETCH (UID 1 BODY[] {900}\r\nhalf"}, Transient, "did not answer FETCH"),
        ({"SEARCH": b""}, Transient, "did not answer SEARCH"),
        (
            {"SEARCH": b"{tag} BAD Request is throttled. Suggested Backoff Time: 2000 milliseconds\r\n"},
            RateLimited,
            "throttled",
        ),
        ({"EXAMINE": b"{tag} NO [NONEXISTENT] No such folder\r\n"}, ConfigurationError, "No such folder"),
        ({"EXAMINE": b"* 0 EXISTS\r\n{tag} OK opened\r\n"}, Transient, "UIDVALIDITY"),
    ],
)
async def test_bad_days(script: dict[str, Answer], error: type[SyncError], words: str) -> None:
    async with ImapScript(script).running() as server:
        with pytest.raises(error, match=words) as raised:
            await _pull(_account(server.port), timeout_s=0.5)
    assert "hunter" not in raised.value.message


@pytest.mark.parametrize("greeting", [b"* BYE [UNAVAILABLE] Come back later\r\n", b"", None])
async def test_a_server_that_does_not_let_us_in(greeting: bytes | None) -> None:
    async with ImapScript({}, greeting=greeting).running() as server:
        with pytest.raises(Transient):
            await _pull(_account(server.port), timeout_s=0.5)


async def test_a_cancelled_pull_leaves_no_connection_behind() -> None:
    async with ImapScript({"SEARCH": b""}).running() as server:
        pulling = asyncio.create_task(_pull(_account(server.port)))
        while not any(b"SEARCH" in line for line in server.seen):
            await asyncio.sleep(0.01)
        pulling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await pulling


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"private_host": False}, "private network"),
        ({"host": "localhost", "private_host": False}, "private network"),
        ({"host": "10.255.255.1", "private_host": True}, "without TLS"),
        ({"host": "169.254.169.254", "private_host": False, "security": "tls"}, "private network"),
        ({"host": "::ffff:127.0.0.1", "private_host": False}, "private network"),
    ],
)
async def test_addresses_inside_are_for_the_operator(config: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        await _pull(_account(1, **config))


async def test_a_server_that_does_not_speak_tls_is_no_bad_password(dovecot: Dovecot) -> None:
    with pytest.raises(Transient):
        await _pull(_account(dovecot.port, security="tls"))


async def test_a_refused_token_is_known_at_once(dovecot: Dovecot) -> None:
    """The library alone would wait for its time-out: the server expects an empty line after its challenge."""
    dovecot.add_user("token@example.test", "x")
    started = time.monotonic()
    with pytest.raises(IntegrationRevoked):
        await _pull(_account(dovecot.port, "token@example.test", {"access_token": "revoked"}))
    assert time.monotonic() - started < 10


async def test_too_many_connections_are_a_rate_limit(dovecot: Dovecot) -> None:
    dovecot.add_user("busy@example.test", "secret")
    account = _account(dovecot.port, "busy@example.test", {"password": "secret"})
    clients = []
    try:
        with pytest.raises(RateLimited):
            for _ in range(11):
                client = ImapClient(Endpoint("127.0.0.1", dovecot.port, tls=False, private=True))
                clients.append(client)
                await client.connect()
                await client.login(account.account, "secret")
    finally:
        await asyncio.gather(*(client.close() for client in clients))


async def test_days_limit_a_pull(dovecot: Dovecot) -> None:
    dovecot.add_user("days@example.test", "secret")
    dovecot.deliver("days@example.test", ordinary(1))
    account = _account(dovecot.port, "days@example.test", {"password": "secret"})
    assert len(await _pull(account)) == 1
    assert await _pull(_account(dovecot.port, account.account, {"password": "secret"}, since="2999-01-01")) == []
