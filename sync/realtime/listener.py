"""One connection as the hub sees it: who it is, what it wants, and what waits to be sent."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass

from sync.realtime.protocol import Close, Frame, slow_consumer
from sync.realtime.topics import Selection

_BATCH = 64
_OVERHEAD = 100
"""What a queued frame costs beside its text, which it shares with others."""


@dataclass(frozen=True, slots=True)
class Limits:
    messages: int
    bytes: int


class Buffer:
    """Frames in order, up to a limit."""

    __slots__ = ("_bytes", "_frames", "_limits")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._frames: deque[Frame] = deque()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._frames)

    def put(self, frame: Frame) -> bool:
        """False when it is full. A single frame always finds room, whatever its size."""
        if self._frames and (
            len(self._frames) >= self._limits.messages or self._bytes + frame.size > self._limits.bytes
        ):
            return False
        self._frames.append(frame)
        self._bytes += frame.size + _OVERHEAD
        return True

    def take(self, limit: int = _BATCH) -> list[Frame]:
        taken = [self._frames.popleft() for _ in range(min(limit, len(self._frames)))]
        self._bytes -= sum(frame.size + _OVERHEAD for frame in taken)
        return taken

    def clear(self) -> None:
        self._frames.clear()
        self._bytes = 0

    @property
    def half_empty(self) -> bool:
        return 2 * len(self._frames) <= self._limits.messages and 2 * self._bytes <= self._limits.bytes


class Listener:
    __slots__ = (
        "_arrived",
        "_buffer",
        "_held",
        "_limits",
        "_overflowed",
        "_taken",
        "after",
        "closed",
        "expires_at",
        "joined",
        "org_id",
        "pinged_at",
        "selection",
        "user",
    )

    def __init__(self, org_id: str, user: str, expires_at: float, limits: Limits) -> None:
        self.org_id = org_id
        self.user = user
        self.expires_at = expires_at
        """Unix time at which its token ends."""
        self.selection = Selection({})
        self.after = 0
        """The last event that the client had when it came."""
        self.closed: Close | None = None
        self.pinged_at = 0.0
        self.joined = False
        """Whether it has asked for something and got all of it up to some moment."""
        self._limits = limits
        self._buffer = Buffer(limits)
        self._held: Buffer | None = None
        self._overflowed = False
        self._arrived: asyncio.Future[None] | None = None
        self._taken: asyncio.Future[None] | None = None

    @property
    def live(self) -> bool:
        """Whether everything up to the tail's position has been put into its buffer."""
        return self.joined and self._held is None

    @property
    def waiting(self) -> int:
        return len(self._buffer)

    def offer(self, frame: Frame) -> bool:
        """Something live: sent, or held back while the listener catches up. False when it does not keep up."""
        if self._held is not None:
            if not self._overflowed and not self._held.put(frame):
                self._overflowed = True
                self._held.clear()
            return True
        if self.closed is None and not self._buffer.put(frame):
            return False
        _wake(self._arrived)
        return True

    def push(self, frame: Frame) -> None:
        """Something beside the stream, or read for this listener, who has room for it: else it is ended."""
        if self.closed is not None:
            return
        if not self._buffer.put(frame):
            return self.close(slow_consumer())
        _wake(self._arrived)

    def hold(self) -> None:
        """Keep what comes live until `release`."""
        self._held = Buffer(self._limits)
        self._overflowed = False

    def fall_behind(self) -> None:
        """Let what comes live pass until the next `hold`: it will be read."""
        self.hold()
        self._overflowed = True

    async def release(self) -> bool:
        """Let what was held follow, and be live. False when it was too much: then it is lost, and has to be read."""
        held = self._held
        while held is not None and not self._overflowed and self.closed is None:
            if not len(held):
                self._held = None
                self.joined = True
                return True
            await self.room()
            for frame in held.take(1):
                self.push(frame)
        return self.closed is not None

    async def room(self) -> None:
        """Until the client has taken half of what waits, or is gone."""
        while not self._buffer.half_empty and self.closed is None:
            self._taken = asyncio.get_running_loop().create_future()
            await self._taken

    async def take(self) -> list[Frame]:
        """The next frames to send; none when the listener is closed."""
        while self.closed is None:
            if taken := self._buffer.take():
                _wake(self._taken)
                return taken
            self._arrived = asyncio.get_running_loop().create_future()
            await self._arrived
        return []

    def close(self, close: Close) -> None:
        """What still waits is not sent: the client continues from its cursor."""
        if self.closed is None:
            self.closed = close
            self._buffer.clear()
            if self._held is not None:
                self._held.clear()
        _wake(self._arrived)
        _wake(self._taken)


def _wake(future: asyncio.Future[None] | None) -> None:
    if future is not None and not future.done():
        future.set_result(None)
