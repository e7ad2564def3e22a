"""A vendor behind httpx.MockTransport: answers from a list or a function, and a record of what was asked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import msgspec

from connectors.base import Account, Cursor, Installation, Page, Pull
from connectors.base import Credentials as Secrets
from connectors.http import HttpConnector
from connectors.http.budgets import LocalBudgets
from connectors.http.session import open_session

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
Answer = httpx.Response | dict[str, Any] | list[Any] | bytes | Exception
Handler = Callable[[httpx.Request], Answer]


class Script:
    """Answers one after another, or whatever a function says. Time only moves when somebody sleeps."""

    def __init__(self, *answers: Answer, handler: Handler | None = None) -> None:
        self.answers = list(answers)
        self.handler = handler
        self.requests: list[httpx.Request] = []
        self.time = NOW
        self.slept: list[float] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self.handler(request) if self.handler else self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, httpx.Response):
            return answer
        return httpx.Response(200, content=answer if isinstance(answer, bytes) else msgspec.json.encode(answer))

    @property
    def params(self) -> list[dict[str, str]]:
        return [dict(request.url.params) for request in self.requests]

    def now(self) -> datetime:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.time += timedelta(seconds=seconds)


class Shelf:
    """Stored cursors: what a runtime keeps between pulls."""

    def __init__(self) -> None:
        self.cursors: dict[str, Cursor] = {}

    async def load(self, keys: Iterable[str]) -> Mapping[str, Cursor]:
        return {key: self.cursors[key] for key in keys if key in self.cursors}

    def keep(self, page: Page) -> None:
        if page.cursor is not None:
            # As it comes back from the database.
            self.cursors[page.partition] = msgspec.json.decode(msgspec.json.encode(page.cursor))


def account(script: Script, **values: Any) -> Account:
    budgets = LocalBudgets(lambda: script.time.timestamp())
    made = {"config": {}, "credentials": Secrets({"access_token": "t0k3n", "token": "t0k3n"}), "budgets": budgets}
    return Account("acme", "acc", **{**made, "installation": Installation("app", "s3cret"), **values})


async def collect(
    connector: HttpConnector,
    sync_type: str,
    script: Script,
    shelf: Shelf | None = None,
    *,
    stop_after: int | None = None,
    owner: Account | None = None,
    into: list[Any] | None = None,
    **pull: Any,
) -> list[Any]:
    """Records of one pull, its cursors kept on the shelf; stopped after so many pages if asked to.

    `into` has them even if the pull fails.
    """
    shelf = shelf if shelf is not None else Shelf()
    records: list[Any] = [] if into is None else into
    asked = Pull(sync_type, shelf.cursors.get(""), partitions=shelf, **pull)
    transport = httpx.MockTransport(script)
    async with open_session(
        connector, owner or account(script), transport=transport, now=script.now, sleep=script.sleep
    ) as session:
        pages = session.pages(asked)
        number = 0
        try:
            async for page in pages:
                records += page.records
                shelf.keep(page)
                number += 1
                if number == stop_after:
                    break
        finally:
            await pages.aclose()
    return records
