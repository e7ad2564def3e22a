"""Whatever bytes a mailbox holds: reading them does not raise, and what comes out can be stored."""

from __future__ import annotations

import dataclasses
import json
import random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.imap.answers import read_fetch
from connectors.imap.client import uid_set
from connectors.imap.cursor import Position, new_uids
from sync.mail.identity import content_key
from sync.mail.parse import MAX_TEXT, parse_mail
from sync.mail.text import clean, decode
from tests.fakes.mailbox import oddities
from tests.fakes.platform import record

ODDITIES = oddities()
HEADERS = [b"Message-ID", b"From", b"To", b"Cc", b"Date", b"Subject", b"Content-Type", b"Content-ID", b"References"]
HEADERS += [b"Content-Disposition", b"Content-Transfer-Encoding", b"In-Reply-To", b"MIME-Version", b"Reply-To"]
PIECES = [
    b"<",
    b">",
    b"@",
    b",",
    b";",
    b'"',
    b"=?utf-8?b?",
    b"?=",
    b"=?x?q?",
    b"\r\n ",
    b"\x00",
    b"\xff",
    b"boundary=",
    b"(",
]
PIECES += [
    b")",
    b"[",
    b"]",
    b":",
    b"multipart/mixed",
    b"message/rfc822",
    b"text/plain",
    b"charset=",
    b"base64",
    b"--",
    b"a",
]
PIECES += [b"filename*=utf-8''%ff", b"name*0=", b"\xed\xa0\x80", b"+9900", b"1 Jan 1 00:00:00"]
VALUES = st.lists(st.sampled_from(PIECES) | st.binary(max_size=6), max_size=8).map(b"".join)
BUILT = st.tuples(st.lists(st.tuples(st.sampled_from(HEADERS), VALUES), max_size=8), st.binary(max_size=200)).map(
    lambda mail: b"\r\n".join(name + b": " + value for name, value in mail[0]) + b"\r\n\r\n" + mail[1]
)


def _check(raw: bytes) -> None:
    mail = parse_mail(raw)
    for text in _texts(dataclasses.asdict(mail)):
        assert "\x00" not in text
        text.encode()
    json.dumps(mail.headers)
    assert len(mail.body_text or "") <= MAX_TEXT
    assert mail.message_id is None or len(mail.message_id) <= 400
    assert all(len((a.filename or "").encode()) <= 255 and "/" not in (a.filename or "") for a in mail.attachments)
    assert content_key(record(1, raw=raw)) == content_key(record(2, raw=raw))


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [text for item in value.items() for text in _texts(item)]
    if isinstance(value, list | tuple):
        return [text for item in value for text in _texts(item)]
    return []


@given(st.binary(max_size=400))
def test_any_bytes(raw: bytes) -> None:
    _check(raw)


@given(BUILT)
@settings(max_examples=400)
def test_any_headers(raw: bytes) -> None:
    _check(raw)


@given(st.sampled_from(ODDITIES), st.integers(0, 2**32))
@settings(max_examples=300, deadline=None)
def test_any_damage_to_a_real_mail(raw: bytes, seed: int) -> None:
    rng, damaged = random.Random(seed), bytearray(raw)
    for _ in range(rng.randint(1, 20)):
        at = rng.randrange(len(damaged) + 1)
        match rng.randrange(3):
            case 0:
                damaged[at : at + rng.randint(0, 40)] = b""
            case 1:
                damaged[at:at] = rng.choice(PIECES)
            case _:
                damaged[at : at + 1] = bytes([rng.randrange(256)])
    _check(bytes(damaged))


@given(st.text(max_size=50))
def test_cleaning_twice_changes_nothing_more(text: str) -> None:
    assert clean(clean(text)) == clean(text)
    clean(text).encode()


@given(
    st.binary(max_size=60), st.none() | st.text(max_size=12) | st.sampled_from(["utf-16", "utf-7", "hz", "zlib", "hex"])
)
def test_any_charset(data: bytes, charset: str | None) -> None:
    clean(decode(data, charset)[0]).encode()


@given(st.lists(st.integers(1, 10_000)), st.integers(0, 10_000))
def test_new_uids_ascend_after_the_position(found: list[int], uid: int) -> None:
    fresh = new_uids(found, Position(1, uid))
    assert fresh == sorted(set(fresh))
    assert set(fresh) == {number for number in found if number > uid}


@given(st.sets(st.integers(1, 300), min_size=1))
def test_a_uid_set_names_exactly_its_uids(uids: set[int]) -> None:
    named: set[int] = set()
    for part in uid_set(sorted(uids)).split(","):
        low, _, high = part.partition(":")
        named |= set(range(int(low), int(high or low) + 1))
    assert named == uids


@given(st.lists(st.binary(max_size=60) | st.builds(bytearray, st.binary(max_size=60)), max_size=10))
def test_any_fetch_answer(lines: list[bytes | bytearray]) -> None:
    read_fetch([b"1 FETCH (UID 3 BODY[] {3}", *lines])
