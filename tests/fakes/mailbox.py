"""Mails to fill mailboxes with: CPython's own collection of odd ones, and ordinary ones in any number."""

from __future__ import annotations

from email.message import EmailMessage
from pathlib import Path


def oddities() -> list[bytes]:
    """Every mail in the data of CPython's `test.test_email`."""
    import test.test_email

    folder = Path(test.test_email.__file__).parent / "data"
    return [path.read_bytes() for path in sorted(folder.glob("msg_*.txt"))]


def ordinary(number: int, subject: str | None = None) -> bytes:
    mail = EmailMessage()
    mail["From"] = f"Customer {number} <customer{number}@example.com>"
    mail["To"] = "support@acme.test"
    mail["Subject"] = subject or f"Question {number}"
    mail["Message-ID"] = f"<question-{number}@example.com>"
    mail["Date"] = "Tue, 24 Nov 2026 10:00:00 +0100"
    mail.set_content(f"This is question number {number}.\n")
    return mail.as_bytes()
