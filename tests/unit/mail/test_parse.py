from __future__ import annotations

from datetime import UTC, datetime

import pytest

from sync.mail import parse
from sync.mail.identity import content_key
from sync.mail.parse import MAX_DEPTH, MAX_PARTS, Address, parse_mail
from sync.mail.text import clean, decode
from tests.fakes.mailbox import oddities, ordinary
from tests.fakes.platform import record


def _mail(*headers: bytes, body: bytes = b"text") -> bytes:
    return b"\r\n".join(headers) + b"\r\n\r\n" + body


@pytest.mark.parametrize(
    ("header", "ids"),
    [
        (b"<a@b>", ["a@b"]),
        (b"<>", []),
        (b"<abc@[1.2.3.4>", ["abc@[1.2.3.4"]),
        (b"<[abc]@microsoft.com>", ["[abc]@microsoft.com"]),
        (b"<a b@c>", ["ab@c"]),
        (b"\r\n\t<folded@b>", ["folded@b"]),
        (b"bare@b", ["bare@b"]),
        (b"no id at all", []),
        (b"<x@y> <z@w>", ["x@y"]),
        (b"\xe4@b", ["ä@b"]),
        (b"<" + b"x" * 5000 + b"@b>", ["x" * 400]),
    ],
)
def test_message_ids(header: bytes, ids: list[str]) -> None:
    assert parse_mail(_mail(b"Message-ID: " + header)).message_id == (ids[0] if ids else None)


def test_references_are_unfolded_and_kept_in_order() -> None:
    mail = parse_mail(
        _mail(b"References: <1@a>\r\n\t<2@a>\r\n <1@a>", b'In-Reply-To: Your message of "Mon" <2@a> (was <3@a>)')
    )
    assert mail.refs == ["1@a", "2@a"]
    assert mail.in_reply_to == ["2@a", "3@a"]


@pytest.mark.parametrize(
    ("header", "moment"),
    [
        (b"Mon, 23 Nov 2026 10:00:00 +0100", datetime(2026, 11, 23, 9, tzinfo=UTC)),
        (b"23 Nov 2026 10:00:00 -0000", datetime(2026, 11, 23, 10, tzinfo=UTC)),
        (b"foo", None),
        (b"Mon, 23 Nov 2026 10:00:00 +9900", None),
        (b"Mon, 99 Nov 2026 10:00:00 +0100", None),
        (b"Mon, 23 Nov 99999 10:00:00 +0100", None),
        (b"", None),
    ],
)
def test_dates(header: bytes, moment: datetime | None) -> None:
    assert parse_mail(_mail(b"Date: " + header)).sent_at == moment


@pytest.mark.parametrize(
    ("header", "subject"),
    [
        (b"caf\xe9", "café"),
        ("Grüße".encode(), "Grüße"),
        (b"=?utf-8?q?Gr=C3=BC=C3=9Fe?=", "Grüße"),
        (b"=?utf-8?q?Gr=C3=BC?=\r\n =?utf-8?q?=C3=9Fe?=", "Grüße"),
        (b"=?unknown?q?hello?= world", "hello world"),
        (b"a\x00b", "ab"),
        (b"", ""),
    ],
)
def test_subjects(header: bytes, subject: str) -> None:
    assert parse_mail(_mail(b"Subject: " + header)).subject.replace("  ", " ") == subject


def test_addresses() -> None:
    mail = parse_mail(
        _mail(
            b"From: =?utf-8?q?M=C3=BCller=2C_Ada?= <ada@example.com>",
            b'To: "Bob, B." <bob@example.com>, eve@example.com, broken',
            b"Cc: \xe4\xf6 <a@b>",
            b"Reply-To: (nothing):",
        )
    )
    assert mail.sender == Address("Müller, Ada", "ada@example.com")
    assert mail.recipients["to"][:2] == [Address("Bob, B.", "bob@example.com"), Address("", "eve@example.com")]
    assert mail.recipients["cc"] == [Address("äö", "a@b")]


def test_bodies_and_attachments_are_told_apart() -> None:
    raw = _mail(
        b'Content-Type: multipart/mixed; boundary="m"',
        body=b"""--m
Content-Type: multipart/alternative; boundary="a"

--a
Content-Type: text/plain; charset=utf-8

plain \xc3\xa9
--a
Content-Type: text/html; charset=iso-8859-1

<b>html \xe9</b>
--a--
--m
Content-Type: text/plain; name="../../etc/notes.txt"
Content-Disposition: attachment

not the body
--m
Content-Type: image/png
Content-ID: <logo@x>
Content-Transfer-Encoding: base64

AAAA
--m
Content-Type: message/rfc822

Subject: inner

inner text
--m--
""",
    )
    mail = parse_mail(raw)
    assert mail.body_text == "plain é"
    assert mail.body_html == "<b>html é</b>"
    found = [(a.filename, a.content_type, a.size, a.content_id, a.inline) for a in mail.attachments]
    assert found[0] == ("notes.txt", "text/plain", 12, None, False)
    assert found[1] == (None, "image/png", 3, "logo@x", True)
    assert found[2][:2] == (None, "message/rfc822")
    assert [a.part for a in mail.attachments] == [2, 3, 4]


@pytest.mark.parametrize(
    ("data", "charset", "text"),
    [
        (b"caf\xc3\xa9", "us-ascii", "café"),
        (b"caf\xe9", "iso-8859-1", "café"),
        (b"caf\xe9", "utf-8", "café"),
        (b"caf\xe9", "x-unknown", "café"),
        (b"caf\xc3\xa9", "utf-8mb4", "café"),
        ("中文".encode("gb18030"), "gb2312", "中文"),
        (b"plain", "rot13", "plain"),
        (b"plain", None, "plain"),
        (b"x", "\x00\x00", "x"),
    ],
)
def test_charsets(data: bytes, charset: str | None, text: str) -> None:
    assert decode(data, charset)[0] == text


def test_clean_keeps_lines_and_drops_what_postgres_refuses() -> None:
    assert clean("a\x00b\tc\nd\x1be\ud800f\udce4") == "ab\tc\nde\ufffdf\ufffd"


def test_a_mail_bomb_stays_small() -> None:
    many = b"".join(b"--m\r\nContent-Type: image/png\r\n\r\nx\r\n" for _ in range(3 * MAX_PARTS))
    mail = parse_mail(_mail(b'Content-Type: multipart/mixed; boundary="m"', body=many + b"--m--\r\n"))
    assert len(mail.attachments) == MAX_PARTS
    assert f"more than {MAX_PARTS} parts" in mail.defects
    deep = b"".join(
        b'Content-Type: multipart/mixed; boundary="b%d"\r\n\r\n--b%d\r\n' % (n, n) for n in range(5 * MAX_DEPTH)
    )
    assert len(parse_mail(deep).attachments) <= MAX_PARTS


def test_every_oddity_of_cpython_is_read() -> None:
    mails = [parse_mail(raw) for raw in oddities()]
    assert len(mails) >= 45
    assert sum(mail.sender is not None for mail in mails) > 35
    assert sum(bool(mail.body_text or mail.body_html) for mail in mails) > 35


def test_content_keys_survive_what_servers_do() -> None:
    raw = ordinary(1)
    key = content_key(record(1, raw=raw))
    assert content_key(record(9, raw=raw, uidvalidity=7)) == key
    assert content_key(record(1, raw=b"Received: by mx\nX-UID: 4\n" + raw)) == key
    assert content_key(record(1, raw=raw.replace(b"\n", b"\r\n"))) == key
    assert content_key(record(1, raw=raw + b"\r\n")) == key


def test_content_keys_tell_mails_apart_that_share_an_id() -> None:
    raw = ordinary(1)
    changed = [raw.replace(b"question number", b"complaint number"), raw.replace(b"Nov", b"Dec")]
    changed += [raw.replace(b"Customer 1", b"Customer 2"), raw.replace(b"Question", b"Answer")]
    keys = {content_key(record(1, raw=other)) for other in (raw, *changed)}
    assert len(keys) == 5
    assert content_key(record(1, raw=b"")) != content_key(record(1, raw=b"x"))


def test_a_step_that_raises_costs_only_what_it_would_have_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_text: str) -> None:
        raise IndexError("as Python's own header parser does")

    monkeypatch.setattr(parse, "header_date", broken)
    mail = parse_mail(ordinary(1))
    assert mail.sent_at is None
    assert (mail.subject, mail.message_id) == ("Question 1", "question-1@example.com")
    assert "Date: IndexError" in mail.defects
