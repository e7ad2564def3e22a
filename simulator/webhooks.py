"""Events sent to a receiver as the vendor sends them: handshake, signature, retries, duplicates, disorder."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    import httpx

    from simulator.vendor import Account, Vendor


@dataclass(frozen=True, slots=True)
class HookRules:
    """`retries`: seconds before each further attempt. `timeout_s`: how long the receiver may take."""

    retries: tuple[float, ...] = (1, 60, 300)
    timeout_s: float = 5
    redirects: int = 0


@dataclass(slots=True, eq=False)
class Target:
    """A receiver. `account` None gets everybody's events; `secret` signs where it belongs to the subscription."""

    url: str
    account: Account | None = None
    secret: str = ""
    topics: frozenset[str] = frozenset()
    """Kinds of events wanted; empty means all."""
    active: bool = True
    extra: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class Delivery:
    id: str
    target: Target
    body: bytes
    account: str | None
    topic: str
    extra: dict[str, str] = field(default_factory=dict)
    """For the vendor's `sign`: message id, topic ..."""
    attempts: list[tuple[float, int]] = field(default_factory=list)
    """(when, status); 0 stands for no answer."""
    state: str = "waiting"
    """waiting, delivered, dropped (a fault), failed (attempts used up), stopped (the receiver asked so)."""
    forged: bool = False
    sent_at: float = 0.0


class Hooks:
    """The webhook side of one vendor."""

    def __init__(self, vendor: Vendor[Any], rules: HookRules) -> None:
        self._vendor = vendor
        self.rules = rules
        self.targets: list[Target] = []
        self.deliveries: deque[Delivery] = deque(maxlen=5_000)
        self._held: Delivery | None = None
        self._number = 0
        self._open = 0
        self._idle = asyncio.Event()
        self._idle.set()

    # --- who receives

    async def subscribe(self, target: Target) -> bool:
        """Shake hands with a receiver and keep it if it answers as the vendor demands."""
        if not await self._vendor.handshake(self._client(), target):
            return False
        self.add(target)
        return True

    def add(self, target: Target) -> Target:
        """Keep a receiver without a handshake; the same URL for the same account replaces the older one."""
        self.targets = [t for t in self.targets if (t.url, t.account) != (target.url, target.account)]
        self.targets.append(target)
        return target

    # --- what is sent

    def emit(
        self,
        account: Account | None,
        payload: Mapping[str, Any] | list[Any] | bytes,
        *,
        topic: str = "",
        event_id: str = "",
        **extra: str,
    ) -> list[Delivery]:
        """Send one event to everyone who wants it. Returns at once; without a running server nothing goes out."""
        body = payload if isinstance(payload, bytes) else msgspec.json.encode(payload)
        made: list[Delivery] = []
        for target in self.targets:
            if not target.active or (target.account is not None and target.account is not account):
                continue
            if target.topics and topic and topic not in target.topics:
                continue
            made.append(self.send(target, body, account, topic=topic, event_id=event_id, **extra))
        return made

    def send(
        self,
        target: Target,
        body: bytes,
        account: Account | None,
        *,
        topic: str = "",
        event_id: str = "",
        **extra: str,
    ) -> Delivery:
        """One delivery to one receiver, whatever it subscribed to."""
        self._number += 1
        delivery = Delivery(
            event_id or f"{self._vendor.slug}-{self._number}",
            target,
            body,
            account.id if account else None,
            topic,
            extra,
        )
        self.deliveries.append(delivery)
        self._dispatch(delivery)
        return delivery

    async def drain(self) -> None:
        """Until every delivery has ended. Retries wait on the world's clock: advance it when it is driven."""
        if (held := self._held) is not None:
            self._held = None
            self._start(held)
        await self._idle.wait()

    def listed(self) -> list[dict[str, Any]]:
        return [
            {
                "id": d.id,
                "url": d.target.url,
                "account": d.account,
                "topic": d.topic,
                "state": d.state,
                "attempts": d.attempts,
                "body": d.body.decode("utf-8", "replace"),
            }
            for d in self.deliveries
        ]

    # --- how it goes out

    def _dispatch(self, delivery: Delivery) -> None:
        strike = self._strike
        if strike("webhook_drop", delivery):
            delivery.state = "dropped"
            return
        delivery.forged = strike("webhook_forge", delivery) is not None
        if self._held is None and strike("webhook_reorder", delivery):
            self._held = delivery
            return
        self._start(delivery)
        if self._held is not None:
            held, self._held = self._held, None
            self._start(held, after=delivery)
        if (fault := strike("webhook_duplicate", delivery)) is not None:
            for _ in range(int(fault.params.get("times", 2)) - 1):
                copy = Delivery(
                    delivery.id, delivery.target, delivery.body, delivery.account, delivery.topic, delivery.extra
                )
                self.deliveries.append(copy)
                self._start(copy)

    def _start(self, delivery: Delivery, after: Delivery | None = None) -> None:
        self._open += 1
        self._idle.clear()
        if not self._vendor.world.spawn(self._carry, delivery, after):
            self._end()

    def _end(self) -> None:
        self._open -= 1
        if self._open == 0:
            self._idle.set()

    async def _carry(self, delivery: Delivery, after: Delivery | None) -> None:
        try:
            while after is not None and not after.attempts:
                await asyncio.sleep(0.005)
            delays = (0.0, *self.rules.retries)
            for attempt, delay in enumerate(delays):
                if delay:
                    await self._vendor.world.clock.sleep(delay)
                if await self._attempt(delivery, attempt):
                    return
            delivery.state = "failed"
            self._vendor.hook_failed(delivery)
        finally:
            self._end()

    async def _attempt(self, delivery: Delivery, attempt: int) -> bool:
        import httpx

        vendor = self._vendor
        now = vendor.now()
        if (fault := self._strike("webhook_stale", delivery)) is not None:
            now -= float(fault.params.get("seconds", 3600))
        delivery.sent_at = now
        headers = {"content-type": "application/json", **vendor.sign(delivery, now, attempt)}
        try:
            answer = await self._client().post(delivery.target.url, content=delivery.body, headers=headers)
            status, answer_headers = answer.status_code, answer.headers
        except httpx.HTTPError:
            status, answer_headers = 0, httpx.Headers()
        delivery.attempts.append((vendor.world.clock.now(), status))
        verdict = vendor.hook_answered(delivery, status, answer_headers)
        if verdict != "retry":
            delivery.state = verdict
        return verdict != "retry"

    def _strike(self, kind: Any, delivery: Delivery) -> Any:
        faults = self._vendor.world.faults
        if not faults.active:
            return None
        return faults.strike(kind, self._vendor.slug, delivery.account, delivery.topic)

    def _client(self) -> httpx.AsyncClient:
        return self._vendor.world.http_client(self.rules.timeout_s, self.rules.redirects)
