from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from connectors.imap.answers import internal_date, read_fetch, read_opened, read_search
from connectors.imap.client import uid_set
from connectors.imap.cursor import Position, new_uids, search_key
from connectors.imap.folders import encode_folder
from connectors.imap.replies import Refusal, to_error
from sync.base.errors import ConfigurationError, IntegrationRevoked, Permanent, RateLimited, ScopeMissing, Transient

REFUSALS = [
    ("LOGIN", "NO", "[AUTHENTICATIONFAILED] Authentication failed.", IntegrationRevoked),
    ("LOGIN", "NO", "LOGIN failed.", IntegrationRevoked),
    ("AUTHENTICATE", "NO", "AUTHENTICATE failed.", IntegrationRevoked),
    ("LOGIN", "NO", "[ALERT] Please log in via your web browser: https://example.com (Failure)", IntegrationRevoked),
    ("LOGIN", "NO", "[WEBALERT https://accounts.example.com/] Web login required.", IntegrationRevoked),
    ("LOGIN", "NO", "[ALERT] Application-specific password required: https://example.com", IntegrationRevoked),
    ("LOGIN", "NO", "[ALERT] IMAP access is disabled for your domain.", IntegrationRevoked),
    ("LOGIN", "NO", "[EXPIRED] Password expired", IntegrationRevoked),
    ("LOGIN", "NO", "[PRIVACYREQUIRED] Use TLS", IntegrationRevoked),
    ("LOGIN", "NO", "[UNAVAILABLE] Temporary authentication failure.", Transient),
    ("LOGIN", "NO", "[LIMIT] LOGIN Rate limit hit", RateLimited),
    ("LOGIN", "NO", "[ALERT] Too many simultaneous connections. (Failure)", RateLimited),
    ("LOGIN", "BAD", "Command argument error", Permanent),
    ("FETCH", "NO", "[OVERQUOTA] Account exceeded command or bandwidth limits. (Failure)", RateLimited),
    ("FETCH", "BAD", "Request is throttled. Suggested Backoff Time: 299961 milliseconds", RateLimited),
    ("FETCH", "NO", "Server Unavailable. 15", Transient),
    ("EXAMINE", "BAD", "User is authenticated but not connected.", Transient),
    ("EXAMINE", "NO", "[NOPERM] Permission denied", ScopeMissing),
    ("EXAMINE", "NO", "[NONEXISTENT] Unknown Mailbox: X (Failure)", ConfigurationError),
    ("EXAMINE", "NO", "Mailbox doesn't exist: X (0.001 + 0.000 secs).", ConfigurationError),
    ("EXAMINE", "NO", "[SERVERBUG] Internal error", Transient),
    ("SEARCH", "BAD", "Error in IMAP command", Permanent),
    ("BYE", "BYE", "BYE Session expired, please login again.", Transient),
    ("BYE", "BYE", "BYE [UNAVAILABLE] shutting down", Transient),
]


@pytest.mark.parametrize(("command", "result", "text", "error"), REFUSALS)
def test_what_a_refusal_means(command: str, result: str, text: str, error: type) -> None:
    assert type(to_error(Refusal(command, result, text, "mail.example.com"))) is error


def test_a_backoff_time_is_taken_at_its_word() -> None:
    error = to_error(Refusal("FETCH", "BAD", "Request is throttled. Suggested Backoff Time: 299961 milliseconds"))
    assert isinstance(error, RateLimited)
    assert error.retry_after_s == pytest.approx(299.961)


def test_only_providers_that_cry_wolf_are_asked_twice() -> None:
    text = "[AUTHENTICATIONFAILED] Invalid credentials (Failure)"
    assert to_error(Refusal("LOGIN", "NO", text, "imap.gmail.com")).fields["confirm_after_s"] == 300
    assert to_error(Refusal("LOGIN", "NO", text, "mail.example.com")).fields["confirm_after_s"] is None


def test_fetch_answers_in_any_shape() -> None:
    lines: list[bytes | bytearray] = [
        b'1 FETCH (UID 7 FLAGS (\\Seen) INTERNALDATE "23-Nov-2026 20:17:29 +0100" RFC822.SIZE 5 BODY[] {5}',
        bytearray(b"a)\r\nb"),
        b")",
        b"2 FETCH (BODY[]<0> {40}",
        bytearray(b"X: y\r\n\r\nUID 99 FLAGS (\\Deleted)) A1 OK fetch"),
        b" UID 8 FLAGS ())",
        b"3 FETCH (FLAGS (\\Answered) UID 9)",
        b'4 FETCH (UID 10 BODY[] "say \\"hi\\"")',
        b"5 FETCH (UID 11 BODY[] NIL)",
        b"7 FETCH (FLAGS (\\Seen))",
        b"6 FETCH (UID 7 FLAGS (\\Flagged))",
        b"8 FETCH (UID 12 BODY[] {0}",
        bytearray(),
        b")",
        b"Fetch completed (0.004 + 0.000 + 0.003 secs).",
    ]
    found = read_fetch(lines)
    assert sorted(found) == [7, 8, 9, 10, 11, 12]
    assert found[7].body == b"a)\r\nb"
    assert found[7].flags == ("\\Seen",)
    assert found[7].received_at == datetime(2026, 11, 23, 19, 17, 29, tzinfo=UTC)
    assert found[8].body is not None
    assert found[8].body.startswith(b"X: y")
    assert found[8].flags == ()
    assert found[9].body is None
    assert found[10].body == b'say "hi"'
    assert found[11].body is None
    assert found[12].body == b""


def test_search_answers_without_their_tagged_text() -> None:
    assert read_search([b"1 3 2", b"Search completed (1 secs)."]) == [1, 3, 2]
    assert read_search([b"", b"done"]) == []
    assert read_search([b"7 done"]) == []


def test_an_opened_folder() -> None:
    opened = read_opened(
        [b"FLAGS (x)", b"23 EXISTS", b"OK [UIDVALIDITY 1795464976] UIDs valid", b"OK [UIDNEXT 4] next", b"done"]
    )
    assert (opened.uidvalidity, opened.uidnext, opened.exists) == (1795464976, 4, 23)
    assert read_opened([b"done"]).uidvalidity is None


@pytest.mark.parametrize("text", ["", "yesterday", "32-Nov-2026 10:00:00 +0000", "1-Foo-2026 10:00:00 +0000"])
def test_strange_internal_dates_are_none(text: str) -> None:
    assert internal_date(text) is None


def test_internal_dates_with_a_padded_day() -> None:
    assert internal_date(" 1-Nov-2026 10:00:00 -0130") == datetime(2026, 11, 1, 11, 30, tzinfo=UTC)


def test_the_highest_uid_comes_back_although_it_is_known() -> None:
    assert new_uids([3], Position(1, 3)) == []
    assert new_uids([9, 4, 4, 3, 12], Position(1, 3)) == [4, 9, 12]


def test_a_position_survives_storage() -> None:
    position = Position(7, 3, datetime(2026, 11, 24, tzinfo=UTC), 1)
    assert Position.load(position.dump()) == position
    assert Position.load(None) == Position()


def test_another_uidvalidity_starts_again() -> None:
    position = Position().opened(5)
    assert (position.uid, position.resets, position.since) == (0, 0, None)
    position = position.after(9, [datetime(2026, 11, 24, tzinfo=UTC)]).opened(6)
    assert (position.uidvalidity, position.uid, position.resets, position.since) == (6, 0, 1, None)


def test_a_server_that_always_renumbers_is_not_scanned_for_ever() -> None:
    position = Position()
    for validity in range(1, 6):
        position = position.opened(validity).after(9, [datetime(2026, 11, 24, tzinfo=UTC)])
    assert position.since == date(2026, 11, 22)
    assert position.opened(5).since is None


def test_search_keys() -> None:
    assert search_key(Position(1, 41)) == "UID 42:*"
    assert search_key(Position(), date(2026, 3, 1), date(2026, 12, 24)) == "UID 1:* SINCE 1-Mar-2026 BEFORE 24-Dec-2026"


def test_uid_sets() -> None:
    assert uid_set([1, 2, 3, 7]) == "1:3,7"
    assert uid_set([5]) == "5"


@pytest.mark.parametrize(
    ("name", "encoded"),
    [("INBOX", "INBOX"), ("Entwürfe", "Entw&APw-rfe"), ("A&B", "A&-B"), ("日本語", "&ZeVnLIqe-"), ("~peter", "~peter")],
)
def test_folder_names_on_the_wire(name: str, encoded: str) -> None:
    assert encode_folder(name) == encoded
