"""Rate limits: whoever is told to wait parks until then, and everybody who shares the budget waits along."""

from __future__ import annotations

import asyncio

from connectors.http import Budget
from simulator.limits import Rule, Usage
from tests.conformance.connectors.conftest import OpenDesk
from tests.conformance.connectors.desk import ORG, Desk
from tests.conformance.connectors.processes import Job, pull_in_processes

WAIT_S = 120
SHARED = 4


async def test_a_throttled_stream_parks_and_nobody_calls_before_the_time(open_desk: OpenDesk) -> None:
    desk = await open_desk(live=True)
    slug, limits = desk.slug, desk.vendor.limits
    await desk.connect(slug)
    desk.world.faults.add("limited", vendor=slug, count=1, retry_after=WAIT_S, lasting=True)
    (run,) = await desk.sync(slug, desk.sync_types[0])
    assert (run.state, run.attempt) == ("queued", 0), f"{run.state} {run.error_class}: {run.error_text}"
    waits = await desk.value("SELECT extract(epoch FROM not_before - now())::float8 FROM sync_run")
    refused = next(entry for entry in desk.world.log.entries(vendor=slug) if "limited" in entry.faults)
    assert waits >= (WAIT_S - 5 if _announces(desk) else 1)

    # Somebody asks again all the same: the refusal happens here, not there.
    calls = desk.requests(slug, refused.path)
    await desk.database.execute("UPDATE sync_run SET not_before = now()")
    await desk.work(slug)
    run = await desk.runs.show(ORG, run.id)
    assert (run.state, run.attempt) == ("queued", 0), f"{run.state} {run.error_class}: {run.error_text}"
    assert desk.requests(slug, refused.path) == calls
    assert limits.totals()["early"] == 0


def _announces(desk: Desk) -> bool:
    """Whether the vendor says how long: then refusals for different times differ."""
    found = []
    for seconds in (WAIT_S, 2 * WAIT_S):
        usage = Usage(Rule("any", 1, seconds), "-", 1, 0, desk.vendor.now() + seconds, over=True, retry_after=seconds)
        found.append(_refusal(desk, usage))
    return found[0] != found[1]


def _refusal(desk: Desk, usage: Usage) -> object:
    from simulator.http import Request

    request = Request("GET", "/", "", {}, b"", desk.world.base_url)
    request.now, request.usages = desk.vendor.now(), [usage]
    answer = desk.vendor.limited(request, usage)
    return answer.payload(), answer.headers, desk.vendor.finish(request, answer)


async def test_a_budget_is_shared_between_processes(desk: Desk) -> None:
    """Two accounts of one app where the app has a budget, else two of our customers with the same account."""
    budget = _shared_budget(desk)
    accounts = desk.vendor.ordinary_accounts()
    pair = (accounts[0], accounts[1] if budget.scope == "app" else accounts[0])
    integrations = [
        await desk.connect(desk.slug, account.id, org_id=org_id)
        for account, org_id in zip(pair, ("acme", "other"), strict=True)
    ]
    kinds = await _kinds_of_routes(desk)
    for org_id in ("acme", "other"):
        await desk.runs.trigger(org_id, desk.slug)
    since = desk.world.log.entries()[-1].number
    jobs = [Job.of(desk, integration, budget=budget.name, limit=SHARED) for integration in integrations]
    await asyncio.to_thread(pull_in_processes, *jobs)

    calls: dict[str, int] = {}
    for entry in desk.world.log.entries(vendor=desk.slug, since=since):
        kind = kinds.get(entry.route, "")
        if kind != "token" and (not budget.endpoints or kind in budget.endpoints):
            shared = kind if budget.per_endpoint else ""
            calls[shared] = calls.get(shared, 0) + 1
    assert calls, "nobody called"
    assert max(calls.values()) == SHARED, calls


def _shared_budget(desk: Desk) -> Budget:
    """The broadest one: per app if there is one. Every platform has a limit that several processes share."""
    found = [budget for budget in desk.connector.budgets if not budget.per_part and budget.scope != "token"]
    return max(found, key=lambda budget: (budget.scope == "app", not budget.per_endpoint, not budget.endpoints))


async def _kinds_of_routes(desk: Desk) -> dict[str | None, str]:
    """What class of call each path of the vendor's is for the connector, from an undisturbed pull."""
    await desk.pull_all()
    entries = [entry for entry in desk.world.log.entries(vendor=desk.slug)]
    by_path = {entry.path: entry.route for entry in entries}
    prefix = f"/{desk.slug}"
    return {
        by_path.get(seen.outgoing.url.raw_path.decode().partition("?")[0].removeprefix(prefix)): seen.reply.request.kind
        for seen in desk.record.exchanges
    }
