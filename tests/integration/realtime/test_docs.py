"""The client in the documentation is one that works: it runs here as it is printed there."""

from __future__ import annotations

import asyncio
import re
import textwrap
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from sync.realtime.protocol import Close
from sync.realtime.topics import TOPICS
from sync.store.engine import Database
from tests.fakes.jobs import eventually
from tests.fakes.tokens import token
from tests.integration.realtime.conftest import happen, live_settings, numbers, replica
from tests.services import free_port

_PAGE = (Path(__file__).parents[3] / "docs" / "realtime.md").read_text(encoding="utf-8")


def printed_client() -> Any:
    section = _PAGE.partition("## A client in Python\n")[2].partition("\n## ")[0]
    code = textwrap.dedent("\n".join(line for line in section.splitlines() if not line or line.startswith("    ")))
    names: dict[str, Any] = {}
    exec(compile(code, "docs/realtime.md", "exec"), names)
    return names["listen"]


async def test_the_printed_client_goes_on_through_restarts(
    pg_url: str, db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    seen: list[dict[str, Any]] = []
    resets: list[str] = []

    async def on_event(event: dict[str, Any]) -> None:
        seen.append(event)

    async def on_reset(reason: str) -> None:
        resets.append(reason)

    async def get_token() -> str:
        return token(role="viewer")

    port = free_port()
    url = f"ws://127.0.0.1:{port}/ws"
    listening = asyncio.create_task(printed_client()(url, get_token, {"runs": {}}, on_event, on_reset))
    try:
        for step in range(3):
            async with replica(live_settings(pg_url, poll_s=0.2), port=port) as one:
                await eventually(lambda one=one: one.hub.connections == 1, 60)
                if step == 0:  # until it has a cursor, what happens is not promised to it

                    async def begun() -> bool:
                        await happen(db, -1)
                        return bool(seen)

                    await eventually(begun, 60)
                await happen(db, 2 * step)
                await eventually(lambda step=step: seen[-1]["payload"]["number"] == 2 * step, 60)
            await happen(db, 2 * step + 1)  # while nobody serves
    finally:
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
    assert not resets
    assert [number for number in numbers(seen) if number >= 0] == list(range(5))


async def test_the_printed_client_gives_up_where_trying_again_is_no_use(
    pg_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")

    async def nothing(*_: Any) -> str:
        return token(role="viewer")

    async with replica(live_settings(pg_url)) as one:
        url = f"ws://127.0.0.1:{one.port}/ws"
        with pytest.raises(ConnectionClosed, match="4400"):
            await asyncio.wait_for(printed_client()(url, nothing, {"weather": {}}, nothing, nothing), 60)


def test_every_topic_and_code_is_documented() -> None:
    from sync.realtime import protocol

    for topic in TOPICS:
        assert f"| `{topic}` |" in _PAGE, topic
    makers = [value for name, value in vars(protocol).items() if callable(value) and _makes_close(value)]
    assert len(makers) > 8
    for make in makers:
        close = make("why") if make.__code__.co_argcount else make()
        assert re.search(rf"\| {close.code} \| .*`{close.reason}`", _PAGE), close


def _makes_close(value: Any) -> bool:
    return getattr(value, "__annotations__", {}).get("return") in {"Close", Close}
