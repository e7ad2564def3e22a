"""All vendors of one simulation, with what they share: seed, clock, faults, request log."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from simulator.clock import Clock
from simulator.faults import Faults
from simulator.log import RequestLog

if TYPE_CHECKING:
    import httpx

    from simulator.http import Request, Response
    from simulator.vendor import Vendor


@dataclass(frozen=True, slots=True)
class Scale:
    """How much there is. `big` is the size of the one huge account every vendor has; it costs nothing until read."""

    name: str
    accounts: int
    days: int
    """How far back the data reach."""
    per_day: int
    """Posts or messages per place and day, roughly."""
    big: int = 100_000


SCALES = {
    "small": Scale("small", accounts=2, days=10, per_day=4),
    "demo": Scale("demo", accounts=1, days=60, per_day=6),
    "bench": Scale("bench", accounts=2, days=10, per_day=4),
}


class World:
    """The same seed and start give the same data, ids and tokens.

    seed     decides everything that looks random
    scale    small, demo or bench (bench: rate limits count but do not refuse)
    vendors  slugs; all when not said
    at       stop the clock at this epoch second; real time otherwise
    limits   whether rate limits refuse calls
    start    when the world began, in epoch seconds: what was there from the first ends then. Now when not said
    """

    def __init__(
        self,
        seed: int = 7,
        *,
        scale: str | Scale = "small",
        vendors: Iterable[str] | None = None,
        at: float | None = None,
        limits: bool | None = None,
        start: float | None = None,
    ) -> None:
        from simulator.vendors import VENDORS, load

        self.seed = seed
        self.scale = SCALES[scale] if isinstance(scale, str) else scale
        self.clock = Clock(at)
        self.start = self.clock.now() if start is None else start
        self.limits = self.scale.name != "bench" if limits is None else limits
        self.faults = Faults(seed)
        self.log = RequestLog()
        self.base_url = ""
        self.call: Callable[[Vendor[Any], Request], Awaitable[Response]] | None = None
        """Answers a request as if it had come in over the wire (for calls inside a batch call)."""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._clients: dict[tuple[float, int], httpx.AsyncClient] = {}
        self._events = 0
        slugs = VENDORS if vendors is None else vendors
        self.vendors: dict[str, Vendor[Any]] = {slug: load(slug)(self) for slug in slugs}

    def __getitem__(self, slug: str) -> Vendor[Any]:
        return self.vendors[slug]

    def grow(self, events: int = 1) -> list[str]:
        """Let that many things happen, round the vendors and accounts."""
        done: list[str] = []
        for _ in range(events):
            vendor = list(self.vendors.values())[self._events % len(self.vendors)]
            self._events += 1
            account = vendor.random.choice(vendor.ordinary_accounts())
            done.append(f"{vendor.slug}.{vendor.grow(account)}")
        return done

    def counters(self) -> dict[str, Any]:
        return {
            slug: {
                "requests": self.log.counters.get(slug, {}),
                "tokens": dict(vendor.auth.counters),
                "limits": vendor.limits.totals(),
            }
            for slug, vendor in self.vendors.items()
        }

    # --- the loop the server runs in

    def attach(self, base_url: str) -> None:
        self.base_url = base_url
        self._loop = asyncio.get_running_loop()

    async def close(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for client in self._clients.values():
            await client.aclose()
        self._clients.clear()
        self._loop = None

    def spawn(self, work: Callable[..., Coroutine[Any, Any, Any]], *args: Any) -> bool:
        """Run something beside the server, from any thread; False when no server runs."""
        loop = self._loop
        if loop is None or loop.is_closed():
            return False
        loop.call_soon_threadsafe(self._begin, work, args)
        return True

    def _begin(self, work: Callable[..., Coroutine[Any, Any, Any]], args: tuple[Any, ...]) -> None:
        task = asyncio.get_running_loop().create_task(work(*args))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def http_client(self, timeout_s: float, redirects: int) -> httpx.AsyncClient:
        import httpx

        key = (timeout_s, redirects)
        if key not in self._clients:
            self._clients[key] = httpx.AsyncClient(
                timeout=timeout_s, follow_redirects=redirects > 0, max_redirects=max(redirects, 1), trust_env=False
            )
        return self._clients[key]
