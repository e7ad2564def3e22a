"""What connectors hand over: one type per kind of record (`SyncType.stores`)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

MAIL = "mail"


@dataclass(frozen=True, slots=True)
class MailRecord:
    """One mail at one place of a mailbox. The place is unique; the same mail may have several."""

    folder: str
    uidvalidity: int
    uid: int
    flags: tuple[str, ...]
    received_at: datetime | None
    size: int
    raw: bytes | None
    """The mail as the server keeps it; None when it would not hand it out."""
    complete: bool = True
    """False: larger than the limit, `raw` is its beginning."""
