"""Reading FETCH, SEARCH and EXAMINE answers. Pure; takes the lines as the client library collects them.

A FETCH answer is text with the literals cut out: [b'1 FETCH (UID 7 BODY[] {53}', bytearray(...), b' FLAGS ())', ...].
Items come in any order, a body may also be a quoted string or NIL, and answers nobody asked for (a flag changed by
another client) stand in between without a body.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise

_BEGIN = re.compile(rb"^\d+ FETCH \(", re.IGNORECASE)
_UID = re.compile(rb"\bUID (\d+)", re.IGNORECASE)
_FLAGS = re.compile(rb"\bFLAGS \(([^)]*)\)", re.IGNORECASE)
_SIZE = re.compile(rb"\bRFC822\.SIZE (\d+)", re.IGNORECASE)
_DATE = re.compile(rb'\bINTERNALDATE "([^"]+)"', re.IGNORECASE)
_BODY_LITERAL = re.compile(rb"\bBODY\[\](?:<\d+>)? ~?\{\d+\}$", re.IGNORECASE)
_BODY_QUOTED = re.compile(rb'\bBODY\[\](?:<\d+>)? "((?:[^"\\]|\\.)*)"', re.IGNORECASE | re.DOTALL)
_DAY = re.compile(r" ?(\d{1,2})-([A-Za-z]{3})-(\d{4}) (\d{2}):(\d{2}):(\d{2}) ([+-])(\d{2})(\d{2})")
_MONTHS = {
    name: number
    for number, name in enumerate(
        ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"), 1
    )
}
_NUMBER_CODE = re.compile(rb"\[(UIDVALIDITY|UIDNEXT) (\d+)\]", re.IGNORECASE)
_EXISTS = re.compile(rb"^(\d+) EXISTS", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Fetched:
    uid: int
    flags: tuple[str, ...]
    received_at: datetime | None
    size: int | None
    body: bytes | None


@dataclass(frozen=True, slots=True)
class Opened:
    """A folder as it was opened. Some servers do not tell `uidnext`."""

    uidvalidity: int | None
    uidnext: int | None
    exists: int


def read_fetch(lines: Sequence[bytes | bytearray]) -> dict[int, Fetched]:
    """Answers by UID; of several for one UID the one with a body wins. Answers without a UID are nobody's."""
    found: dict[int, Fetched] = {}
    for group in _groups(lines):
        answer = _read_group(group)
        if answer is not None and (answer.uid not in found or found[answer.uid].body is None):
            found[answer.uid] = answer
    return found


def _groups(lines: Sequence[bytes | bytearray]) -> Iterable[list[bytes | bytearray]]:
    group: list[bytes | bytearray] = []
    for line in lines:
        if isinstance(line, bytes) and _BEGIN.match(line):
            if group:
                yield group
            group = [line]
        elif group:
            group.append(line)
    if group:
        yield group


def _read_group(group: list[bytes | bytearray]) -> Fetched | None:
    # Literals (bytearray) are left out of the text, so nothing in a mail can pass for an attribute.
    text = b" ".join(line for line in group if not isinstance(line, bytearray))
    uid = _UID.search(text)
    if uid is None:
        return None
    flags, size, date = _FLAGS.search(text), _SIZE.search(text), _DATE.search(text)
    return Fetched(
        uid=int(uid.group(1)),
        flags=tuple(flags.group(1).decode("ascii", "replace").split()) if flags else (),
        received_at=internal_date(date.group(1).decode("ascii", "replace")) if date else None,
        size=int(size.group(1)) if size else None,
        body=_body(group, text),
    )


def _body(group: list[bytes | bytearray], text: bytes) -> bytes | None:
    for line, following in pairwise(group):
        if isinstance(following, bytearray) and _BODY_LITERAL.search(line):
            return bytes(following)
    quoted = _BODY_QUOTED.search(text)
    return re.sub(rb"\\(.)", rb"\1", quoted.group(1)) if quoted else None


def read_search(lines: Sequence[bytes | bytearray]) -> list[int]:
    """UIDs of a SEARCH answer; the last line is the tagged text and may hold digits of its own."""
    return [int(word) for line in lines[:-1] for word in bytes(line).split() if word.isdigit()]


def read_opened(lines: Sequence[bytes | bytearray]) -> Opened:
    numbers: dict[bytes, int] = {}
    exists = 0
    for line in lines:
        for name, value in _NUMBER_CODE.findall(line):
            numbers[name.upper()] = int(value)
        if match := _EXISTS.match(line):
            exists = int(match.group(1))
    return Opened(numbers.get(b"UIDVALIDITY"), numbers.get(b"UIDNEXT"), exists)


def internal_date(text: str) -> datetime | None:
    """INTERNALDATE in UTC; None if the server wrote something else."""
    match = _DAY.fullmatch(text)
    if match is None or match.group(2).lower() not in _MONTHS:
        return None
    day, month, year, hour, minute, second, sign, zone_h, zone_m = match.groups()
    offset = timedelta(hours=int(zone_h), minutes=int(zone_m)) * (-1 if sign == "-" else 1)
    try:
        zone = timezone(offset)
        local = datetime(int(year), _MONTHS[month.lower()], int(day), int(hour), int(minute), int(second), tzinfo=zone)
        return local.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
