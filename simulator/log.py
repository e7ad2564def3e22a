"""What was asked and what was answered, for tests that judge every request; secrets are taken out when it is read."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

_SECRET_HEADERS = {"authorization", "access-token", "proxy-authorization", "cookie", "developer-token"}
_SECRET_ARGS = re.compile(
    r"((?:access_token|refresh_token|client_secret|fb_exchange_token|input_token|appsecret_proof|code|auth_code|token"
    r'|secret|code_verifier)(?:=|"\s*:\s*"))([^&"\s]+)'
)
_BODY_KEPT = 64 * 1024


@dataclass(slots=True)
class Entry:
    number: int
    at: float
    vendor: str
    account: str | None
    app: str | None
    method: str
    path: str
    """Below the vendor's prefix, as called."""
    route: str | None
    """The declared path it matched."""
    query: str
    headers: dict[str, str]
    body: bytes
    status: int
    ms: float
    faults: list[str] = field(default_factory=list)


def redact(text: str) -> str:
    return _SECRET_ARGS.sub(r"\1***", text)


class RequestLog:
    def __init__(self, size: int = 20_000) -> None:
        self._entries: deque[Entry] = deque(maxlen=size)
        self._number = 0
        self.counters: dict[str, dict[str, int]] = {}
        """Per vendor: calls, and calls per status class, route and fault."""
        self.listener: Callable[[Entry], None] | None = None

    def add(self, entry: Entry) -> None:
        self._number += 1
        entry.number = self._number
        if len(entry.body) > _BODY_KEPT:
            entry.body = entry.body[:_BODY_KEPT]
        self._entries.append(entry)
        counters = self.counters.setdefault(entry.vendor, {})
        for name in ("calls", f"status.{entry.status}", f"route.{entry.route or '?'}"):
            counters[name] = counters.get(name, 0) + 1
        for fault in entry.faults:
            counters[f"fault.{fault}"] = counters.get(f"fault.{fault}", 0) + 1
        if self.listener:
            self.listener(entry)

    def entries(self, *, vendor: str | None = None, since: int = 0, account: str | None = None) -> list[Entry]:
        return [
            entry
            for entry in self._entries
            if entry.number > since
            and (vendor is None or entry.vendor == vendor)
            and (account is None or entry.account == account)
        ]

    def clear(self) -> None:
        self._entries.clear()
        self.counters.clear()


def shown(entry: Entry, redact_path: Callable[[str], str] = redact) -> dict[str, Any]:
    """An entry as JSON without secrets."""
    headers = {
        name: value.partition(" ")[0] + " ***" if name in _SECRET_HEADERS else value
        for name, value in entry.headers.items()
    }
    query = redact(entry.query)
    return {
        "number": entry.number,
        "at": entry.at,
        "vendor": entry.vendor,
        "account": entry.account,
        "app": entry.app,
        "method": entry.method,
        "path": redact_path(entry.path),
        "route": entry.route,
        "query": query,
        "args": dict(parse_qsl(query, keep_blank_values=True)),
        "headers": headers,
        "body": redact(entry.body.decode("utf-8", "replace")),
        "status": entry.status,
        "ms": round(entry.ms, 3),
        "faults": entry.faults,
    }
