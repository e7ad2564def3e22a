"""The life of sync runs: triggers, failures, cancels, schedules, recoveries."""

from __future__ import annotations

import asyncio

import pytest

from connectors.base import Account
from sync.base.errors import (
    ApiError,
    ConfigurationError,
    IntegrationRevoked,
    RateLimited,
    ScopeMissing,
    Transient,
)
from sync.pull.worker import ExitReason
from tests.integration.pull.conftest import ADA, ORG, Desk


async def test_two_triggers_at_once_make_one_run(desk: Desk) -> None:
    await desk.connect()
    answers = await asyncio.gather(*(desk.runs.trigger(ORG, "email", "messages") for _ in range(8)))
    assert len({runs[0].run_id for runs in answers}) == 1
    assert sum(runs[0].created for runs in answers) == 1
    assert await desk.value("SELECT count(*) FROM sync_run") == 1


async def test_a_trigger_while_it_runs_returns_the_running_one(desk: Desk) -> None:
    desk.platform.mails, desk.platform.door = 5, asyncio.Event()
    await desk.connect()
    first = (await desk.runs.trigger(ORG, "email", "messages"))[0]
    working = asyncio.create_task(desk.worker().run_until_idle())
    await desk.platform.waiting.wait()
    again = (await desk.runs.trigger(ORG, "email", "messages"))[0]
    assert (again.run_id, again.created) == (first.run_id, False)
    backfill = (await desk.runs.trigger(ORG, "email", "messages", {"startDate": "2026-01-01"}))[0]
    assert backfill.created
    desk.platform.door.set()
    assert await working is ExitReason.IDLE
    assert (await desk.runs.show(ORG, first.run_id)).state == "succeeded"


async def test_triggers_name_what_is_wrong(desk: Desk) -> None:
    with pytest.raises(ApiError) as nothing:
        await desk.runs.trigger(ORG, "email")
    assert nothing.value.status == 404
    integration = await desk.connect()
    for arguments, status in (
        (("fax",), 404),
        (("email", "letters"), 404),
        (("email", "messages", {"colour": "red"}), 422),
        (("email", "messages", {"startDate": "yesterday"}), 422),
        (("email", "messages", {"endDate": "2026-01-01"}), 422),
        (("email", "messages", {"startDate": "2026-02-01", "endDate": "2026-01-01"}), 422),
        (("email", "sent", {"startDate": "2026-02-01"}), 422),
        (("email", None, {"account": "nobody"}), 404),
    ):
        with pytest.raises(ApiError) as refused:
            await desk.runs.trigger(ORG, *arguments)
        assert refused.value.status == status, arguments
    with pytest.raises(ApiError):
        await desk.runs.trigger("other", "email")
    await desk.integrations.pause(ORG, integration.id, by="test")
    with pytest.raises(ApiError) as inactive:
        await desk.runs.trigger(ORG)
    assert inactive.value.status == 409
    assert "paused" in inactive.value.message


async def test_all_types_of_all_accounts_of_the_pair_run(desk: Desk) -> None:
    desk.platform.mails = 12
    await desk.connect("ada@example.test")
    await desk.connect("bob@example.test")
    await desk.connect("eve@example.test", org_id="other")
    assert len(await desk.runs.trigger(ORG)) == 4
    await desk.runs.trigger("other")
    assert await desk.worker().run_until_idle() is ExitReason.IDLE
    assert [run.state for run in await desk.runs.list(ORG)] == ["succeeded"] * 4
    assert [run.state for run in await desk.runs.list("other")] == ["queued"] * 2
    assert await desk.value("SELECT count(*) FROM mail_message WHERE org_id = 'other'") == 0
    # Two accounts; both types of one account show the same mails.
    assert await desk.mails() == 24
    assert await desk.runs.ready_pairs() == [("other", "email")]


async def test_a_transient_error_comes_back_from_where_it_stood(desk: Desk) -> None:
    desk.platform.mails = 40
    await desk.connect()
    run = (await desk.runs.trigger(ORG, "email", "messages"))[0]

    def fail_on_third(page: int) -> None:
        if page == 3:
            raise Transient("The line is noisy.", retry_after_s=600)

    desk.platform.before_page = fail_on_third
    assert await desk.worker().run_until_idle() is ExitReason.IDLE
    waiting = await desk.runs.show(ORG, run.run_id)
    assert (waiting.state, waiting.attempt, waiting.pages, waiting.error_text) == ("queued", 1, 2, "The line is noisy.")
    assert await desk.value("SELECT not_before > now() + interval '590 s' FROM sync_run")
    assert await desk.runs.ready_pairs() == []

    await desk.run_now()
    assert await desk.worker().run_until_idle() is ExitReason.IDLE
    done = await desk.runs.show(ORG, run.run_id)
    assert (done.state, done.attempt, done.pages, done.records, done.error_class) == ("succeeded", 2, 4, 40, None)
    assert [error["class"] for error in done.errors] == ["Transient"]
    assert await desk.mails() == await desk.events("mail.received") == 40


async def test_the_last_attempt_fails_with_one_alert_and_success_resolves_it(desk: Desk) -> None:
    desk.platform.mails = 3

    def down(_account: Account) -> None:
        raise OSError("no route")

    desk.platform.on_open = down
    await desk.connect()
    limit = desk.settings.sync.max_attempts
    for _ in range(2):
        run = (await desk.runs.trigger(ORG, "email", "messages"))[0]
        for _ in range(limit):
            await desk.run_now()
            await desk.worker().run_until_idle()
        failed = await desk.runs.show(ORG, run.run_id)
        assert (failed.state, failed.attempt, len(failed.errors)) == ("failed", limit, limit)
        assert failed.error_class == "OSError"
    assert await desk.rows("SELECT count, resolved_at FROM alert") == [(2, None)]
    assert await desk.value("SELECT next_due_at IS NOT NULL FROM sync_stream WHERE sync_type = 'messages'")

    desk.platform.on_open = lambda _account: None
    retried = await desk.runs.retry(ORG, run.run_id, by="test")
    await desk.worker().run_until_idle()
    assert (await desk.runs.show(ORG, retried.run_id)).state == "succeeded"
    assert await desk.value("SELECT count(*) FROM alert WHERE resolved_at IS NULL") == 0
    with pytest.raises(ApiError):
        await desk.runs.retry(ORG, retried.run_id)


async def test_a_rate_limit_parks_and_spends_no_attempt(desk: Desk) -> None:
    desk.platform.mails = 3
    await desk.connect()
    run = (await desk.runs.trigger(ORG, "email", "messages"))[0]

    def slow_down(_account: Account) -> None:
        raise RateLimited("Slow down.", retry_after_s=3600)

    desk.platform.on_open = slow_down
    for _ in range(desk.settings.sync.max_attempts + 2):
        await desk.run_now()
        await desk.worker().run_until_idle()
    parked = await desk.runs.show(ORG, run.run_id)
    assert (parked.state, parked.attempt) == ("queued", 0)
    assert await desk.value("SELECT not_before > now() + interval '3599 s' FROM sync_run")


async def test_a_parked_run_comes_back_when_its_time_has_come(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    # Nothing but its time brings it back while this worker lives.
    monkeypatch.setattr("sync.pull.worker._POLL_S", 300.0)
    monkeypatch.setattr("sync.pull.worker._IDLE_POLL_S", 300.0)
    desk.platform.mails = 3
    await desk.connect()
    run = (await desk.runs.trigger(ORG, "email", "messages"))[0]

    def slow_down(_account: Account) -> None:
        if desk.platform.opened == 1:
            raise RateLimited("The budget is used up.", retry_after_s=0.3, code="budget")
        worker.stop()

    desk.platform.on_open = slow_down
    worker = desk.worker()
    async with asyncio.timeout(60):
        assert await worker.run_until_idle(120.0) is ExitReason.STOPPED
    assert desk.platform.opened == 2
    assert (await desk.runs.show(ORG, run.run_id)).attempt <= 1


async def test_a_missing_scope_blocks_one_sync_type(desk: Desk) -> None:
    desk.platform.mails = 3
    integration = await desk.connect()

    def refuse(_page: int) -> None:
        raise ScopeMissing("The permission mail.read is missing.")

    desk.platform.before_page = refuse
    await desk.runs.trigger(ORG, "email", "sent")
    await desk.worker().run_until_idle()
    desk.platform.before_page = lambda _page: None
    messages, sent = (await desk.integrations.show(ORG, integration.id)).streams
    assert (sent.next_due_at, sent.blocked_reason) == (None, "The permission mail.read is missing.")
    assert messages.next_due_at is not None
    assert (await desk.integrations.show(ORG, integration.id)).state == "active"
    await desk.integrations.reconnect(ORG, integration.id, {"password": "p"}, by="test")
    assert (await desk.integrations.show(ORG, integration.id)).streams[1].blocked_reason is None


async def test_a_doubtful_refusal_is_asked_again_before_the_account_expires(desk: Desk) -> None:
    integration = await desk.connect()
    await desk.runs.trigger(ORG, "email", "messages")

    def refuse(_account: Account) -> None:
        raise IntegrationRevoked("Invalid credentials", confirm_after_s=300)

    desk.platform.on_open = refuse
    await desk.worker().run_until_idle()
    assert (await desk.integrations.show(ORG, integration.id)).state == "active"
    await desk.run_now()
    await desk.worker().run_until_idle()
    assert (await desk.integrations.show(ORG, integration.id)).state == "expired"


async def test_two_runs_refused_at_once_raise_one_alert(desk: Desk) -> None:
    integration = await desk.connect()
    await desk.runs.trigger(ORG, "email")

    def refuse(_account: Account) -> None:
        raise IntegrationRevoked("Invalid credentials")

    desk.platform.on_open = refuse
    await desk.worker().run_until_idle()
    assert [run.state for run in await desk.runs.list(ORG)] == ["failed", "failed"]
    assert await desk.events("integration.expired") == 1
    assert await desk.rows("SELECT key, count FROM alert") == [(f"integration.expired:{integration.id}", 1)]


async def test_a_refusal_of_old_credentials_does_not_expire_the_new_ones(desk: Desk) -> None:
    desk.platform.mails, desk.platform.door = 20, asyncio.Event()
    integration = await desk.connect()
    run = (await desk.runs.trigger(ORG, "email", "messages"))[0]
    used: list[str] = []
    desk.platform.on_open = lambda account: used.append(account.credentials["password"])

    def refuse_old(page: int) -> None:
        if page == 2 and used[-1] != "new":
            raise IntegrationRevoked("Invalid credentials")

    desk.platform.before_page = refuse_old
    working = asyncio.create_task(desk.worker().run_until_idle())
    await desk.platform.waiting.wait()
    await desk.integrations.reconnect(ORG, integration.id, {"password": "new"}, by="test")
    desk.platform.door.set()
    await working
    assert used == ["secret", "new"]
    assert (await desk.runs.show(ORG, run.run_id)).state == "succeeded"
    assert (await desk.integrations.show(ORG, integration.id)).state == "active"
    assert await desk.events("integration.expired") == 0


async def test_attempts_that_advance_do_not_count_towards_the_limit(desk: Desk) -> None:
    limit = desk.settings.sync.max_attempts
    desk.platform.mails, desk.platform.size = 2 * limit, 1
    await desk.connect()
    run = (await desk.runs.trigger(ORG, "email", "messages"))[0]

    def fail_on_second(page: int) -> None:
        if page == 2:
            raise Transient("The line is noisy.")

    desk.platform.before_page = fail_on_second
    while (await desk.runs.show(ORG, run.run_id)).state == "queued":
        await desk.run_now()
        await desk.worker().run_until_idle()
    done = await desk.runs.show(ORG, run.run_id)
    assert (done.state, done.attempt, done.records) == ("succeeded", 2 * limit, 2 * limit)


async def test_runs_of_an_account_that_is_not_active_wait(desk: Desk) -> None:
    desk.platform.mails = 3
    await desk.connect()
    await desk.runs.trigger(ORG, "email", "messages")
    await desk.database.execute("UPDATE integration SET state = 'expired'")
    assert await desk.runs.ready_pairs() == []
    await desk.worker().run_until_idle()
    assert [run.state for run in await desk.runs.list(ORG)] == ["queued"]


async def test_cancel_of_a_waiting_and_of_a_running_run(desk: Desk) -> None:
    desk.platform.mails, desk.platform.door = 50, asyncio.Event()
    await desk.connect()
    waiting = (await desk.runs.trigger(ORG, "email", "messages"))[0]
    assert (await desk.runs.cancel(ORG, waiting.run_id)).state == "cancelled"
    running = (await desk.runs.trigger(ORG, "email", "messages"))[0]
    assert running.created
    working = asyncio.create_task(desk.worker().run_until_idle())
    await desk.platform.waiting.wait()
    assert (await desk.runs.cancel(ORG, running.run_id, by="ada")).cancel_requested
    assert await working is ExitReason.IDLE
    assert (await desk.runs.show(ORG, running.run_id)).state == "cancelled"
    assert await desk.mails() == 0
    with pytest.raises(ApiError) as late:
        await desk.runs.cancel(ORG, running.run_id)
    assert late.value.status == 409
    with pytest.raises(ApiError):
        await desk.runs.cancel("other", running.run_id)


async def test_pausing_an_account_stops_its_runs(desk: Desk) -> None:
    desk.platform.mails, desk.platform.door = 50, asyncio.Event()
    integration = await desk.connect()
    await desk.runs.trigger(ORG, "email", "messages")
    working = asyncio.create_task(desk.worker().run_until_idle())
    await desk.platform.waiting.wait()
    await desk.integrations.pause(ORG, integration.id, by="test")
    assert await working is ExitReason.IDLE
    assert [run.state for run in await desk.runs.list(ORG)] == ["cancelled"]
    await desk.all_due()
    assert await desk.runs.enqueue_due() == 0
    resumed = await desk.integrations.resume(ORG, integration.id, by="test")
    assert resumed.state == "active"
    assert await desk.runs.enqueue_due() == 2


async def test_streams_fall_due_on_their_grid_and_never_twice_at_once(desk: Desk) -> None:
    await desk.connect()
    assert await desk.runs.enqueue_due() == 2
    assert await desk.runs.enqueue_due() == 0
    next_due = await desk.rows(
        "SELECT next_due_at <= now() + every AS soon, next_due_at > now() AS later FROM sync_stream"
    )
    assert next_due == [(True, True)] * 2
    await desk.all_due()
    assert await desk.runs.enqueue_due() == 0  # the runs are still open
    await desk.worker().run_until_idle()
    await desk.all_due()
    assert sum(await asyncio.gather(*(desk.runs.enqueue_due() for _ in range(5)))) == 2
    assert [run.trigger for run in await desk.runs.list(ORG)] == ["schedule"] * 4


async def test_a_stopped_worker_gives_its_runs_back(desk: Desk) -> None:
    desk.platform.mails, desk.platform.door = 50, asyncio.Event()
    await desk.connect()
    run = (await desk.runs.trigger(ORG, "email", "messages"))[0]
    worker = desk.worker()
    working = asyncio.create_task(worker.run_until_idle())
    await desk.platform.waiting.wait()
    assert worker.info().runs[0].run_id == run.run_id
    worker.stop()
    assert await working is ExitReason.STOPPED
    back = await desk.runs.show(ORG, run.run_id)
    assert (back.state, back.attempt, back.epoch) == ("queued", 0, None)
    assert await desk.runs.ready_pairs() == [(ORG, "email")]


async def test_a_lingering_worker_takes_new_work_at_once(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sync.pull.worker._IDLE_POLL_S", 3600.0)  # it is the signal that wakes it
    desk.platform.mails = 5
    await desk.connect()
    worker = desk.worker()
    working = asyncio.create_task(worker.run_until_idle(linger_s=60))
    while worker.lease.epoch is None:
        await asyncio.sleep(0)
    run = (await desk.runs.trigger(ORG, "email", "messages"))[0]
    async with asyncio.timeout(60):
        while (await desk.runs.show(ORG, run.run_id)).state != "succeeded":
            await asyncio.sleep(0.01)
    worker.stop()
    assert await working is ExitReason.STOPPED


async def test_a_run_that_takes_too_long_goes_on_in_slices(desk: Desk) -> None:
    desk.settings = desk.settings.model_copy(
        update={"sync": desk.settings.sync.model_copy(update={"run_timeout_s": 0.2})}
    )
    desk.platform.mails, desk.platform.door = 20, asyncio.Event()
    desk.platform.door.set()

    def shut(page: int) -> None:
        if page == 2 and desk.platform.opened == 1:
            desk.platform.door = asyncio.Event()

    desk.platform.before_page = shut
    await desk.connect()
    run = (await desk.runs.trigger(ORG, "email", "messages"))[0]
    working = asyncio.create_task(desk.worker().run_until_idle())
    while desk.platform.opened < 2:
        await asyncio.sleep(0.01)
    desk.platform.door = None
    await working
    while (state := (await desk.runs.show(ORG, run.run_id)).state) == "queued":
        await desk.worker().run_until_idle()
    assert state == "succeeded"
    assert await desk.mails() == 20


async def test_an_account_of_one_org_is_nobody_elses(desk: Desk) -> None:
    integration = await desk.connect()
    run = (await desk.runs.trigger(ORG, "email", "messages"))[0]
    for attempt in (
        desk.integrations.show("other", integration.id),
        desk.integrations.pause("other", integration.id, by="x"),
        desk.integrations.reconnect("other", integration.id, {"password": "x"}, by="x"),
        desk.runs.show("other", run.run_id),
        desk.runs.retry("other", run.run_id),
    ):
        with pytest.raises(ApiError) as refused:
            await attempt
        assert refused.value.status == 404
    assert list(await desk.integrations.list("other")) == []
    assert await desk.runs.list("other") == []


async def test_connect_checks_and_keeps_secrets_sealed(desk: Desk) -> None:
    with pytest.raises(ConfigurationError, match="'colour' is not a field"):
        await desk.integrations.connect(ORG, "email", ADA, {"colour": "red"}, {"password": "x"}, by="test")
    with pytest.raises(ConfigurationError, match="needs password"):
        await desk.integrations.connect(ORG, "email", ADA, {}, {}, by="test")
    first = await desk.connect(password="hunter2")
    again = await desk.connect(password="hunter3")
    assert again.id == first.id
    sealed = await desk.value("SELECT credentials FROM integration")
    assert b"hunter" not in sealed
    assert "hunter" not in str(await desk.rows("SELECT payload::text FROM event"))
    assert "hunter" not in str(await desk.rows("SELECT detail::text FROM audit"))
    await desk.integrations.delete(ORG, first.id, by="test")
    assert await desk.value("SELECT credentials FROM integration") is None
