"""Bytes of a mail -> what people and rules want to know of it. Never raises on a mail, however broken.

Python's `email` raises on real headers when they are read with its modern policy, and leaves NUL bytes, lone surrogates
and undecodable text in what it returns. So headers are read one by one with a fallback, bodies are decoded here, and
what was odd is listed in `defects`. Limits keep mail bombs small: parts, depth, text, headers, addresses.
"""

from __future__ import annotations

import email.errors
import email.header
import email.policy
import email.utils
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.message import Message
from email.parser import BytesParser
from typing import Any, TypeVar

from sync.mail.text import clean, decode

MAX_PARTS = 500
MAX_DEPTH = 50
MAX_TEXT = 1_000_000
MAX_HEADERS = 500
MAX_HEADER = 20_000
MAX_HEADER_TEXT = 200_000
MAX_ADDRESSES = 500
MAX_IDS = 200
MAX_ID = 400
"""Characters of a message id that are kept: an index entry must stay below 2,700 bytes."""
MAX_DEFECTS = 20

_ID = re.compile(r"<\s*([^<>\s][^<>]*?)\s*>")
_SPACE = re.compile(r"\s+")
_ADDRESS_HEADERS = {"to": "to", "cc": "cc", "bcc": "bcc", "reply-to": "reply_to"}

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Address:
    name: str
    address: str


@dataclass(frozen=True, slots=True)
class Attachment:
    """A part that is not the text of the mail. `part` is its place among all parts, in order: the raw mail has it."""

    part: int
    filename: str | None
    content_type: str
    size: int
    content_id: str | None
    inline: bool


@dataclass(slots=True)
class ParsedMail:
    message_id: str | None = None
    in_reply_to: list[str] = field(default_factory=list)
    refs: list[str] = field(default_factory=list)
    sent_at: datetime | None = None
    sender: Address | None = None
    recipients: dict[str, list[Address]] = field(default_factory=dict)
    subject: str = ""
    body_text: str | None = None
    body_html: str | None = None
    headers: list[tuple[str, str]] = field(default_factory=list)
    attachments: list[Attachment] = field(default_factory=list)
    defects: list[str] = field(default_factory=list)

    def complain(self, what: str) -> None:
        if len(self.defects) < MAX_DEFECTS and what not in self.defects:
            self.defects.append(clean(what)[:200])


def parse_mail(raw: bytes) -> ParsedMail:
    mail = ParsedMail()
    # compat32 keeps headers as they came; the modern policy parses them while reading, and raises.
    message = BytesParser(policy=email.policy.compat32).parsebytes(raw)
    _guarded(mail, "headers", _read_headers, mail, message)
    _guarded(mail, "body", _read_parts, mail, message)
    return mail


def _guarded(mail: ParsedMail, what: str, step: Callable[..., T], *args: Any) -> T | None:
    """Run one step of reading; a failure costs what this step would have found, and is noted."""
    try:
        return step(*args)
    except Exception as error:  # the standard library raises almost anything on broken mail
        mail.complain(f"{what}: {type(error).__name__}")
        return None


def _read_headers(mail: ParsedMail, message: Message) -> None:
    raw: dict[str, list[str]] = {}
    for name, value in list(message.raw_items())[:MAX_HEADERS]:
        raw.setdefault(name.casefold(), []).append(str(value))
    if not raw:
        mail.complain("no headers")
    mail.headers = _listed(mail, message)
    mail.subject = header_text(raw.get("subject", [""])[0])
    ids = message_ids(header_text(raw.get("message-id", [""])[0]))
    mail.message_id = ids[0] if ids else None
    mail.in_reply_to = message_ids(header_text(raw.get("in-reply-to", [""])[0]))
    mail.refs = message_ids(" ".join(header_text(value) for value in raw.get("references", [])))
    if "date" in raw:
        mail.sent_at = _guarded(mail, "Date", header_date, raw["date"][0])
        if mail.sent_at is None:
            mail.complain("Date cannot be read")
    senders = _addresses(mail, "From", raw.get("from", [])) or _addresses(mail, "Sender", raw.get("sender", []))
    mail.sender = senders[0] if senders else None
    for header, key in _ADDRESS_HEADERS.items():
        if found := _addresses(mail, header, raw.get(header, [])):
            mail.recipients[key] = found


def _listed(mail: ParsedMail, message: Message) -> list[tuple[str, str]]:
    """All headers in order, readable, as far as the limits go."""
    listed: list[tuple[str, str]] = []
    room = MAX_HEADER_TEXT
    for name, value in message.raw_items():
        text = _guarded(mail, "header", header_text, value) or ""
        room -= len(name) + len(text)
        if len(listed) >= MAX_HEADERS or room < 0:
            mail.complain("more headers than are kept")
            break
        listed.append((clean(name)[:200], text))
    return listed


def header_text(value: Any) -> str:
    """A raw header value as readable text: unfolded, encoded words decoded, whatever its bytes are."""
    text = str(value)
    raw = text.encode("utf-8", "surrogateescape")
    if any(byte > 127 for byte in raw):  # bytes that no encoded word announced
        text, _ = decode(raw, "us-ascii")
    if "=?" in text:
        try:
            text = str(email.header.make_header(email.header.decode_header(text)))
        except (LookupError, ValueError, email.errors.HeaderParseError):
            text = _decode_words(text)
    return clean(_SPACE.sub(" ", text).strip())[:MAX_HEADER]


def _decode_words(text: str) -> str:
    """Encoded words one by one, for values that the library refuses as a whole."""
    decoded = ""
    try:
        for chunk, charset in email.header.decode_header(text):
            decoded += chunk if isinstance(chunk, str) else decode(chunk, charset)[0]
    except (ValueError, email.errors.HeaderParseError):
        return text
    return decoded


def message_ids(text: str) -> list[str]:
    """Ids in angle brackets, in order, each once; the whole word where there are no brackets at all."""
    found = [_SPACE.sub("", match) for match in _ID.findall(text)]
    if not found and "@" in text and "<" not in text and len(text.split()) == 1:
        found = [text.strip()]
    return list(dict.fromkeys(name[:MAX_ID] for name in found))[:MAX_IDS]


def header_date(text: str) -> datetime | None:
    """The Date header in UTC; None if it is no date of a calendar."""
    parts = email.utils.parsedate_tz(text)
    if parts is None or abs(parts[9] or 0) >= 86_400:
        return None
    year, month, day, hour, minute, second = parts[:6]
    try:
        local = datetime(year, month, day, hour, minute, min(second, 59), tzinfo=UTC)  # 60 is a leap second
        moment = local - timedelta(seconds=parts[9] or 0)
    except (ValueError, OverflowError):
        return None
    return moment if 1970 <= moment.year <= 9000 else None


def _addresses(mail: ParsedMail, header: str, raw: list[str]) -> list[Address]:
    # Addresses are found before encoded words are decoded: a decoded name may hold commas and brackets.
    pairs = _guarded(mail, header, email.utils.getaddresses, raw) or []
    if len(pairs) > MAX_ADDRESSES:
        mail.complain(f"{header}: more than {MAX_ADDRESSES} addresses")
    return [
        Address(header_text(name)[:500], _SPACE.sub("", header_text(address))[:500])
        for name, address in pairs[:MAX_ADDRESSES]
        if address
    ]


def _read_parts(mail: ParsedMail, message: Message) -> None:
    texts: dict[str, list[str]] = {"plain": [], "html": []}
    for number, (part, alternative) in enumerate(_leaves(mail, message)):
        for defect in part.defects:
            mail.complain(type(defect).__name__)
        kind = _guarded(mail, "content type", part.get_content_type) or "application/octet-stream"
        if part is message and kind.startswith("multipart/") and not part.is_multipart():
            kind = "text/plain"  # no boundary to split it at: shown as it is
        disposition = (_guarded(mail, "disposition", part.get_content_disposition) or "").casefold()
        filename = _guarded(mail, "file name", _filename, part)
        is_body = kind in {"text/plain", "text/html"} and disposition != "attachment" and not filename
        data = _guarded(mail, "content", _content, part) or b""
        if is_body and (alternative or kind == "text/plain" or not texts["html"]):
            text, complaint = decode(data[:MAX_TEXT], _guarded(mail, "charset", part.get_content_charset))
            if complaint:
                mail.complain(complaint)
            texts["plain" if kind == "text/plain" else "html"].append(clean(text))
            continue
        content_id = _guarded(mail, "content id", lambda part=part: header_text(part.get("content-id", "")))
        mail.attachments.append(
            Attachment(
                part=number,
                filename=filename,
                content_type=clean(kind)[:200],
                size=len(data),
                content_id=content_id.strip("<> ")[:500] if content_id else None,
                inline=disposition == "inline" or bool(content_id and disposition != "attachment"),
            )
        )
    mail.body_text = "\n".join(texts["plain"])[:MAX_TEXT] if texts["plain"] else None
    mail.body_html = "\n".join(texts["html"])[:MAX_TEXT] if texts["html"] else None


def _leaves(mail: ParsedMail, message: Message) -> Iterator[tuple[Message, bool]]:
    """Parts that hold content, in order, and whether each is one of several alternatives.

    A mail attached to this one is a leaf: its text is not this mail's text.
    """
    stack: list[tuple[Message, int, bool]] = [(message, 0, False)]
    count = 0
    while stack:
        part, depth, alternative = stack.pop()
        if part is not message and part.get_content_maintype() == "message":
            yield part, alternative
        elif part.is_multipart() and depth < MAX_DEPTH and part.get_content_maintype() != "message":
            for defect in part.defects:
                mail.complain(type(defect).__name__)
            inside = alternative or part.get_content_subtype() == "alternative"
            children = [child for child in part.get_payload() if isinstance(child, Message)]
            stack.extend((child, depth + 1, inside) for child in reversed(children))
            continue
        else:
            yield part, alternative
        count += 1
        if count >= MAX_PARTS:
            mail.complain(f"more than {MAX_PARTS} parts")
            return


def _content(part: Message) -> bytes:
    if part.is_multipart():  # an attached mail, or nesting beyond the limit
        return b"".join(child.as_bytes() for child in part.get_payload() if isinstance(child, Message))
    payload = part.get_payload(decode=True)
    return payload if isinstance(payload, bytes) else b""


def _filename(part: Message) -> str | None:
    """The name that a part gives itself, reduced to its last component: it comes from a stranger."""
    name = part.get_filename()
    if not name:
        return None
    name = re.split(r"[/\\]", header_text(name))[-1].strip(". ")
    return name.encode()[:255].decode("utf-8", "ignore") or "unnamed"
