from __future__ import annotations

import asyncio

import pytest

from sync.base.errors import ConfigurationError, Transient
from sync.base.settings import PoolSettings, Settings, SupervisorSettings
from sync.supervision.model import Member, Pair, Seat
from sync.supervision.pools import POOLS, bounds
from sync.supervision.supervisor import Supervisor
from tests.fakes.fleet import FakeFleet, FakeWork

ONE_OFF = "consumer.one-off"
EMAIL = Pair("acme", "email")


class FakeTime:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def fleet() -> FakeFleet:
    return FakeFleet()


@pytest.fixture
def work() -> FakeWork:
    return FakeWork()


@pytest.fixture
def clock() -> FakeTime:
    return FakeTime()


@pytest.fixture
def supervisor(fleet: FakeFleet, work: FakeWork, clock: FakeTime) -> Supervisor:
    return Supervisor(fleet, work, Settings(pools={"one-off": PoolSettings(min=1, max=3)}), clock=clock)


async def test_a_cold_start_brings_every_pool_to_its_minimum(supervisor: Supervisor, fleet: FakeFleet) -> None:
    await supervisor.reconcile_members()
    await supervisor.reconcile_members()
    assert fleet.alive == {Member(pool, 0) for pool in POOLS}


async def test_a_lost_member_comes_back(supervisor: Supervisor, fleet: FakeFleet) -> None:
    await supervisor.reconcile_members()
    fleet.alive.remove(Member(ONE_OFF, 0))
    await supervisor.reconcile_members()
    assert Member(ONE_OFF, 0) in fleet.alive


async def test_a_lag_adds_members_and_quiet_retires_them(
    supervisor: Supervisor, fleet: FakeFleet, work: FakeWork, clock: FakeTime
) -> None:
    work.by_pool = {ONE_OFF: 60.0}
    for _ in range(10):
        await supervisor.reconcile_members()
        clock.now += 4
    assert {Member(ONE_OFF, index) for index in range(3)} <= fleet.alive
    work.by_pool = {}
    for _ in range(40):
        await supervisor.reconcile_members()
        await asyncio.gather(*supervisor._retiring.values())
        clock.now += 10
    assert [who for who in sorted(fleet.alive, key=repr) if who.pool == ONE_OFF] == [Member(ONE_OFF, 0)]  # type: ignore[union-attr]
    assert fleet.retired == [Member(ONE_OFF, 2), Member(ONE_OFF, 1)]
    assert fleet.killed == []


async def test_a_member_that_does_not_leave_is_killed_and_others_are_not_kept_waiting(
    supervisor: Supervisor, fleet: FakeFleet
) -> None:
    surplus = {Member(ONE_OFF, index) for index in range(5)}
    fleet.alive = set(surplus)
    fleet.stubborn = set(surplus)
    fleet.retire_gate.clear()
    await supervisor.reconcile_members()
    assert Member("processor.billing", 0) in fleet.alive
    assert fleet.killed == []
    fleet.retire_gate.set()
    await asyncio.gather(*supervisor._retiring.values())
    assert set(fleet.killed) == {Member(ONE_OFF, 3), Member(ONE_OFF, 4)}


async def test_members_are_replaced_while_the_database_is_away(
    supervisor: Supervisor, fleet: FakeFleet, work: FakeWork
) -> None:
    work.failure = Transient("gone")
    await supervisor.reconcile_members()
    assert Member(ONE_OFF, 0) in fleet.alive


async def test_one_scheduler_then_a_pair_when_a_node_joins(supervisor: Supervisor, fleet: FakeFleet) -> None:
    await supervisor.reconcile_schedulers()
    assert fleet.alive == {Seat("a")}
    fleet.size = type(fleet.size)(2, 4)
    await supervisor.reconcile_schedulers()
    assert fleet.alive == {Seat("a"), Seat("b")}


async def test_ready_pairs_get_an_actor(supervisor: Supervisor, fleet: FakeFleet, work: FakeWork) -> None:
    work.ready = [EMAIL]
    await supervisor.reconcile_syncs()
    await supervisor.reconcile_syncs()
    assert fleet.alive == {EMAIL}


async def test_a_pair_whose_actor_dies_at_birth_is_not_started_every_second(
    supervisor: Supervisor, fleet: FakeFleet, work: FakeWork, clock: FakeTime
) -> None:
    work.ready = [EMAIL]
    starts = 0
    for _ in range(60):
        await supervisor.reconcile_syncs()
        starts += EMAIL in fleet.alive
        fleet.alive.discard(EMAIL)
        clock.now += 1
    assert starts == 6  # at 0, 1, 3, 7, 15 and 31 seconds


async def test_idle_syncs_are_asked_for_their_place_when_others_wait(
    supervisor: Supervisor, fleet: FakeFleet, work: FakeWork
) -> None:
    resident = [Pair(f"org{index}", "email") for index in range(4)]
    fleet.alive = set(resident)
    work.idle = resident[2:]
    work.ready = [EMAIL]
    await supervisor.reconcile_syncs()
    assert fleet.released == [resident[2]]
    assert EMAIL in fleet.alive  # already waiting for that place


async def test_a_sync_that_becomes_idle_later_leaves_for_one_that_waits_already(
    supervisor: Supervisor, fleet: FakeFleet, work: FakeWork
) -> None:
    busy = [Pair(f"org{index}", "email") for index in range(4)]
    fleet.alive = {*busy, EMAIL}  # five actors, four places: one waits inside the cluster
    work.ready = [EMAIL]
    assert await supervisor.reconcile_syncs()
    assert fleet.released == []
    work.idle = busy[:1]
    assert await supervisor.reconcile_syncs()
    assert fleet.released == busy[:1]
    work.ready = []
    assert not await supervisor.reconcile_syncs()


async def test_a_frozen_actor_is_killed_so_that_its_name_is_free(
    supervisor: Supervisor, fleet: FakeFleet, work: FakeWork
) -> None:
    fleet.alive = {EMAIL, Member(ONE_OFF, 0)}
    await supervisor.check_health()
    fleet.silent = {EMAIL, Member(ONE_OFF, 0)}
    work.overdue = [EMAIL]
    await supervisor.check_health()
    assert fleet.killed == [EMAIL]
    await supervisor.check_health()
    await supervisor.check_health()
    assert fleet.killed == [EMAIL, Member(ONE_OFF, 0)]


async def test_drain_lets_everybody_leave_schedulers_first_and_starts_nothing_more(
    supervisor: Supervisor, fleet: FakeFleet, work: FakeWork
) -> None:
    await supervisor.reconcile_members()
    await supervisor.reconcile_schedulers()
    fleet.alive.add(EMAIL)
    waiting_for_a_place = Pair("late", "email")
    fleet.alive.add(waiting_for_a_place)
    fleet.silent.add(waiting_for_a_place)
    fleet.stubborn.add(Member("processor.billing", 0))
    stayed = await supervisor.drain(timeout_s=5)
    assert stayed == (Member("processor.billing", 0),)
    assert set(fleet.killed) == {Member("processor.billing", 0), waiting_for_a_place}
    assert fleet.retired[0] == Seat("a")
    work.ready = [EMAIL]
    await supervisor.reconcile_members()
    await supervisor.reconcile_syncs()
    assert fleet.alive == set()


async def test_a_failing_part_does_not_stop_its_siblings(fleet: FakeFleet, work: FakeWork) -> None:
    quick = SupervisorSettings(members_every_s=0.01, schedulers_every_s=0.01, syncs_every_s=0.01, recover_every_s=0.01)
    supervisor = Supervisor(fleet, work, Settings(supervisor=quick))
    work.failure = Transient("gone")
    running = asyncio.create_task(supervisor.run())

    async def until(condition: object) -> None:
        while not condition():  # type: ignore[operator]
            await asyncio.sleep(0.005)

    async with asyncio.timeout(60):
        await until(lambda: Seat("a") in fleet.alive and supervisor.info().parts[-1].failures > 1)
        failing = {part.name for part in supervisor.info().parts if part.failures}
        assert failing == {"syncs", "rescue", "recover"}
        work.failure = None
        work.ready = [EMAIL]
        await until(lambda: EMAIL in fleet.alive and work.recoveries)
        fleet.reachable = False
        recoveries = work.recoveries
        await until(lambda: work.recoveries > recoveries + 2)
        fleet.reachable = True
        await supervisor.drain(1)
        supervisor.stop()
        await running


async def test_a_signal_starts_a_sync_before_the_next_pass(fleet: FakeFleet, work: FakeWork) -> None:
    supervisor = Supervisor(
        fleet, work, Settings(supervisor=SupervisorSettings(members_every_s=0.01, syncs_every_s=3600))
    )
    running = asyncio.create_task(supervisor.run())
    async with asyncio.timeout(60):
        while not supervisor.info().pools[0].members:
            await asyncio.sleep(0.005)
        work.ready = [EMAIL]
        supervisor.wake_syncs()
        while EMAIL not in fleet.alive:
            await asyncio.sleep(0.005)
    supervisor.stop()
    await running


def test_settings_of_unknown_pools_stop_the_start(fleet: FakeFleet, work: FakeWork) -> None:
    with pytest.raises(ConfigurationError, match="two-off"):
        Supervisor(fleet, work, Settings(pools={"two-off": PoolSettings()}))


def test_a_pool_is_set_by_its_full_or_its_short_name() -> None:
    large = PoolSettings(min=2, max=9)
    assert bounds(Settings(pools={"one-off": large}), ONE_OFF) == large
    assert bounds(Settings(pools={ONE_OFF: large}), ONE_OFF) == large
    assert bounds(Settings(), ONE_OFF) == POOLS[ONE_OFF].bounds
