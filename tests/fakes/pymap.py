"""A second real IMAP server, in Python: needs no installation besides the wheel. Mail lives in its memory."""

from __future__ import annotations

import imaplib
import subprocess
import sys
import time
from pathlib import Path

from tests.services import free_port


class Pymap:
    """One user. Starting again is a renumbered mailbox with the demo mails only."""

    user = "demouser"

    def __init__(self) -> None:
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, password: str) -> None:
        program = str(Path(sys.executable).with_name("pymap"))
        place = ["--host", "127.0.0.1", "--port", str(self.port), "--no-tls", "--no-service", "admin"]
        user = ["--demo-data", "--demo-user", self.user, "--demo-password", password]
        self._process = subprocess.Popen(
            [program, *place, "dict", *user], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self._password = password
        self.client().logout()

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(timeout=10)
            self._process = None

    def deliver(self, *mails: bytes) -> None:
        client = self.client()
        for mail in mails:
            result, _ = client.append("INBOX", "", "", mail)
            assert result == "OK"
        client.logout()

    def client(self) -> imaplib.IMAP4:
        """Logged in; waits until the server listens."""
        deadline = time.monotonic() + 20
        while True:
            try:
                client = imaplib.IMAP4("127.0.0.1", self.port, timeout=10)
            except OSError:
                if time.monotonic() > deadline or (self._process is not None and self._process.poll() is not None):
                    raise
                time.sleep(0.05)
            else:
                client.login(self.user, self._password)
                return client
