from __future__ import annotations

import asyncio

from sync.leader import LeaderLease
from sync.store.engine import Database


class HandClock:
    """Monotonic time that a test moves."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def monotonic(self) -> float:
        return self.seconds

    def now(self) -> None:  # type: ignore[override]
        raise AssertionError("recorded times come from the database")


async def expire(db: Database) -> None:
    await db.execute("UPDATE leader SET expires_at = now() - interval '1 second'")


async def test_one_of_many_leads(db: Database) -> None:
    leases = [LeaderLease(db, "scheduler", f"scheduler.{n}") for n in range(8)]
    epochs = await asyncio.gather(*(lease.hold() for lease in leases))
    assert sorted(epochs, key=str) == [1, *[None] * 7]
    assert sum(lease.epoch is not None for lease in leases) == 1


async def test_different_names_have_different_leaders(db: Database) -> None:
    assert await LeaderLease(db, "scheduler", "a").hold() == 1
    assert await LeaderLease(db, "rescuer", "b").hold() == 1


async def test_released_lead_is_taken_at_once_with_a_new_epoch(db: Database) -> None:
    first, second = LeaderLease(db, "scheduler", "a"), LeaderLease(db, "scheduler", "b")
    assert await first.hold() == 1 and await second.hold() is None
    await first.release()
    assert first.epoch is None
    assert await second.hold() == 2
    assert await first.hold() is None


async def test_expired_lead_is_taken_over(db: Database) -> None:
    clock = HandClock()
    first, second = LeaderLease(db, "scheduler", "a", 9, clock), LeaderLease(db, "scheduler", "b", 9)
    assert await first.hold() == 1
    await expire(db)
    assert await second.hold() == 2
    clock.seconds = 4  # past a third: asks again
    assert await first.hold() is None


async def test_leader_asks_the_database_only_every_third_of_its_timeout(db: Database) -> None:
    clock = HandClock()
    lease = LeaderLease(db, "scheduler", "a", 9, clock)
    await lease.hold()
    await db.execute("DELETE FROM leader")
    clock.seconds = 2.9
    assert await lease.hold() == 1
    assert await db.fetch_value("SELECT count(*) FROM leader") == 0
    clock.seconds = 3.1
    assert await lease.hold() == 1
    assert await db.fetch_value("SELECT count(*) FROM leader") == 1


async def test_leader_that_cannot_renew_stops_believing_by_its_own_clock(db: Database) -> None:
    clock = HandClock()
    lease = LeaderLease(db, "scheduler", "a", 9, clock)
    await lease.hold()
    clock.seconds = 8.9
    assert lease.epoch == 1
    clock.seconds = 9.1
    assert lease.epoch is None


async def test_own_expired_lease_comes_back_under_a_new_epoch(db: Database) -> None:
    clock = HandClock()
    lease = LeaderLease(db, "scheduler", "a", 9, clock)
    await lease.hold()
    await expire(db)
    clock.seconds = 10
    assert await lease.hold() == 2


async def test_a_restarted_process_is_not_its_predecessor(db: Database) -> None:
    assert await LeaderLease(db, "scheduler", "scheduler.a").hold() == 1
    assert await LeaderLease(db, "scheduler", "scheduler.a").hold() is None
