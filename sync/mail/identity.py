"""Which mails are the same mail: a key of the content that survives renumbering, moving and re-delivery by a server.

Servers add headers (Received, status) and change line ends, but leave who, when, what and the body alone. Message-ID by
itself will not do: broken senders reuse it for different mails.
"""

from __future__ import annotations

import hashlib
import re

from connectors.records import MailRecord

_END_OF_HEADERS = re.compile(rb"\r?\n\r?\n")
_TELLING = re.compile(rb"^(message-id|date|from|subject)[ \t]*:(.*(?:\r?\n[ \t].*)*)", re.IGNORECASE | re.MULTILINE)
_SPACE = re.compile(rb"\s+")


def content_key(record: MailRecord) -> bytes:
    """32 bytes; equal for equal mails. A mail that the server would not hand out is known by its place only."""
    digest = hashlib.sha256()
    if record.raw is None:
        digest.update(f"{record.folder}\0{record.uidvalidity}\0{record.uid}".encode("utf-8", "surrogatepass"))
        return digest.digest()
    end = _END_OF_HEADERS.search(record.raw)
    headers, body = (record.raw[: end.start()], record.raw[end.end() :]) if end else (record.raw, b"")
    telling = sorted((name.lower(), _SPACE.sub(b" ", value).strip()) for name, value in _TELLING.findall(headers))
    if not telling:
        body = record.raw
    for name, value in telling:
        digest.update(name + b":" + value + b"\n")
    digest.update(b"\n" + body.replace(b"\r\n", b"\n").rstrip())
    if not record.complete:
        digest.update(b"\n%d" % record.size)
    return digest.digest()
