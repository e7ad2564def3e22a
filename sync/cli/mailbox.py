"""The mailbox of `syncctl up --demo`: a small IMAP server on loopback that gets a mail now and then.

It runs in a process of its own, which ends when the pipe to its standard input closes. The server is `pymap`, which
comes with the packages for development; where it is not installed the demo has no mailbox, and says so.
"""

from __future__ import annotations

import imaplib
import os
import secrets
import subprocess
import sys
import threading
import time
from contextlib import suppress
from email.message import EmailMessage
from email.utils import format_datetime, localtime, make_msgid
from importlib.util import find_spec
from pathlib import Path

from sync.base.errors import SyncError

ADDRESS = "support@demo.test"
_USER = "support"
_START_S = 40.0
_EVERY_S = 20.0
_SUBJECTS = (
    "Where is my order?",
    "Invoice 2041",
    "Cannot log in",
    "Question about delivery to Norway",
    "Thank you!",
)


def available() -> bool:
    return find_spec("pymap") is not None


class Mailbox:
    def __init__(self, log: Path) -> None:
        self.port = 0
        self.password = secrets.token_urlsafe(12)
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Errors: SyncError with the place of its log."""
        from actors.environment import free_port

        self.port = self.port or free_port()
        with self._log.open("ab") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "sync.cli.mailbox", str(self.port)],
                env={**os.environ, "MAILBOX_PASSWORD": self.password},
                cwd=Path(__file__).parents[2],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                start_new_session=True,
            )
        try:
            _login(self.port, self.password).logout()
        except (OSError, imaplib.IMAP4.error) as error:
            self.stop()
            raise SyncError(f"The mailbox of the demo did not start: see {self._log}") from error

    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def stop(self) -> None:
        if self._process is None:
            return
        process, self._process = self._process, None
        process.kill()  # its mails live in its memory: there is nothing to finish
        process.wait()
        if process.stdin is not None:
            process.stdin.close()

    @property
    def fields(self) -> dict[str, object]:
        """What the email platform wants to know of it, besides the password."""
        return {"host": "127.0.0.1", "port": self.port, "security": "plain", "user": _USER, "private_host": True}


def serve(port: int, password: str) -> None:
    """The child: the server in this thread, what happens to it in others."""
    from pymap.main import main

    threading.Thread(target=_end_with_stdin, daemon=True).start()
    threading.Thread(target=_deliver, args=(port, password), daemon=True).start()
    place = ["--host", "127.0.0.1", "--port", str(port), "--no-tls", "--no-service", "admin"]
    sys.argv = ["pymap", *place, "dict", "--demo-data", "--demo-user", _USER, f"--demo-password={password}"]
    main()


def _end_with_stdin() -> None:
    while os.read(0, 1024):
        pass
    os._exit(0)


def _deliver(port: int, password: str) -> None:
    number = 0
    while True:
        with suppress(OSError, imaplib.IMAP4.error):
            client = _login(port, password)
            client.append("INBOX", "", "", _mail(number).as_bytes())
            client.logout()
            number += 1
        time.sleep(_EVERY_S)


def _mail(number: int) -> EmailMessage:
    mail = EmailMessage()
    mail["From"] = f"Customer {number % 7} <customer{number % 7}@example.test>"
    mail["To"] = ADDRESS
    mail["Subject"] = _SUBJECTS[number % len(_SUBJECTS)]
    mail["Date"] = format_datetime(localtime())
    mail["Message-ID"] = make_msgid(domain="example.test")
    mail.set_content("Hello,\n\ncan you help me?\n")
    return mail


def _login(port: int, password: str) -> imaplib.IMAP4:
    """Waits until the server listens. Errors: OSError."""
    deadline = time.monotonic() + _START_S
    while True:
        try:
            client = imaplib.IMAP4("127.0.0.1", port, timeout=10)
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            client.login(_USER, password)
            return client


if __name__ == "__main__":
    serve(int(sys.argv[1]), os.environ["MAILBOX_PASSWORD"])
