"""Walks through pages: what ends them, what resumes them, what the vendor's answers do to them."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any

import httpx
import msgspec
import pytest

from connectors.http import (
    ASC,
    AUTH_DEAD,
    GONE,
    NONE,
    QUARANTINE,
    RESET_CURSOR,
    SHRINK,
    THROTTLED,
    Budget,
    Context,
    CursorPager,
    DateWindow,
    Ephemeral,
    HttpConnector,
    Partition,
    Report,
    Single,
    Snapshot,
    Static,
    Stream,
    Watermark,
    back_walk,
    get,
    on,
    problem_at,
    sequence,
)
from connectors.http.times import iso
from connectors.records import ActivityRecord, MetricRecord, Rejected
from sync.base.errors import (
    ConfigurationError,
    IntegrationRevoked,
    Permanent,
    RateLimited,
    ScopeMissing,
    Transient,
)
from tests.fakes.vendor import NOW, Script, Shelf, collect

PAGER = CursorPager("next", "cursor")


def item(number: int, **more: Any) -> dict[str, Any]:
    return {"id": str(number), "at": (NOW - timedelta(hours=100) + timedelta(hours=number)).isoformat(), **more}


def page(*numbers: int, following: str | None = None) -> dict[str, Any]:
    return {"data": [item(number) for number in numbers], "next": following}


def record(raw: dict[str, Any], _ctx: Context) -> ActivityRecord:
    return ActivityRecord(kind="post", vendor_id=raw["id"], occurred_at=iso(raw["at"]))


def at(raw: dict[str, Any]) -> datetime | None:
    return iso(raw["at"])


def list_request(ctx: Context) -> Any:
    since = ctx.since.isoformat() if isinstance(ctx.since, datetime) else ctx.since
    until = ctx.until.isoformat() if isinstance(ctx.until, datetime) else ctx.until
    return get("/items", endpoint="items", since=since, until=until, limit=ctx.size)


STREAM = Stream(
    "posts", "Posts", timedelta(minutes=1), map=record, request=list_request, pager=PAGER, cursor=back_walk(at)
)


def connector(*streams: Stream, **options: Any) -> HttpConnector:
    return HttpConnector(
        "fake", "Fake", "https://api.example.com/v1", Static("token"), streams=streams or (STREAM,), **options
    )


def ids(records: list[Any]) -> list[int]:
    return [int(found.vendor_id) for found in records]


# --- walks


async def test_a_newest_first_walk_moves_its_mark_when_it_closes() -> None:
    shelf = Shelf()
    script = Script(page(5, 4, following="b"), page(3, 2, following="c"), page(1))
    assert ids(await collect(connector(), "posts", script, shelf)) == [5, 4, 3, 2, 1]
    assert [params.get("cursor") for params in script.params] == [None, "b", "c"]
    assert shelf.cursors[""]["mark"] == iso(item(5)["at"]).isoformat(timespec="microseconds")
    assert "walk" not in shelf.cursors[""]

    # Without a filter at the vendor it ends at a page that lies wholly before the mark.
    script = Script(page(6, 5, following="b"), page(4, 3, following="c"))
    assert ids(await collect(connector(), "posts", script, shelf)) == [6, 5, 4, 3]
    assert script.params[0]["since"].startswith(iso(item(5)["at"]).isoformat())


async def test_a_stopped_walk_is_a_known_hole() -> None:
    shelf = Shelf()
    await collect(connector(), "posts", Script(page(5, 4, following="b")), shelf, stop_after=1)
    assert shelf.cursors[""]["mark"] is None
    # Something new came on top meanwhile. First the hole from the token, then what is new.
    script = Script(page(3, 2), page(6, 5, following="x"), page(4, 3))
    assert ids(await collect(connector(), "posts", script, shelf)) == [3, 2, 6, 5, 4, 3]
    assert [params.get("cursor") for params in script.params] == ["b", None, "x"]
    assert shelf.cursors[""]["mark"].startswith(iso(item(6)["at"]).isoformat()[:19])


async def test_a_walk_leaves_the_state_alone_that_it_began_with() -> None:
    """Whoever keeps it compares the next cursor with it, to see that pages advance."""
    shelf = Shelf()
    await collect(connector(), "posts", Script(page(5, 4, following="b")), shelf, stop_after=1)
    begun, copy = shelf.cursors[""], msgspec.json.encode(shelf.cursors[""])
    await collect(connector(), "posts", Script(page(3, 2, following="c")), shelf, stop_after=1)
    assert msgspec.json.encode(begun) == copy
    assert shelf.cursors[""] != begun


async def test_an_old_token_is_not_used_again() -> None:
    shelf = Shelf()
    await collect(connector(), "posts", Script(page(5, 4, following="b")), shelf, stop_after=1)
    script = Script(page(4, 3, 2), page(5))
    script.time += timedelta(hours=2)
    assert ids(await collect(connector(), "posts", script, shelf)) == [4, 3, 2, 5]
    assert "cursor" not in script.params[0]
    assert script.params[0]["until"] > item(4)["at"]


async def test_a_dead_token_restarts_the_walk_once() -> None:
    dead = httpx.Response(400, json={"error": "bad_cursor"})
    made = connector(problem=problem_at("error"), verdicts=(on(code="bad_cursor", then=RESET_CURSOR),))
    script = Script(page(3, 2, following="b"), dead, page(2, 1))
    shelf = Shelf()
    assert ids(await collect(made, "posts", script, shelf)) == [3, 2, 2, 1]
    with pytest.raises(Transient):
        await collect(made, "posts", Script(page(9, following="b"), dead, page(9, following="b"), dead), shelf)


async def test_an_empty_page_with_a_token_goes_on_and_a_repeated_token_is_an_error() -> None:
    script = Script(page(3, following="b"), page(following="c"), page(2))
    assert ids(await collect(connector(), "posts", script)) == [3, 2]
    # The same token again: from the start once more, then it is a fault of the vendor.
    circle = Script(handler=lambda _request: page(3, following="b"))
    with pytest.raises(Permanent, match="do not advance"):
        await collect(connector(), "posts", circle)
    assert len(circle.requests) <= 6


async def test_an_ascending_walk_moves_its_mark_with_every_page() -> None:
    made = connector(replace(STREAM, cursor=Watermark(at, order=ASC)))
    shelf = Shelf()
    await collect(made, "posts", Script(page(1, 2, following="b")), shelf, stop_after=1)
    assert shelf.cursors[""]["mark"].startswith(iso(item(2)["at"]).isoformat()[:19])


async def test_an_unordered_walk_never_passes_its_own_start() -> None:
    made = connector(replace(STREAM, cursor=Watermark(at, order=NONE)))
    shelf = Shelf()
    await collect(made, "posts", Script(page(7, 500, 3)), shelf)  # 500 lies in the future
    assert shelf.cursors[""]["mark"] == NOW.isoformat(timespec="microseconds")


async def test_a_reread_goes_back_now_and_then() -> None:
    cursor = back_walk(at, stop=False, reread=timedelta(days=2), reread_every=timedelta(hours=6))
    made, shelf = connector(replace(STREAM, cursor=cursor)), Shelf()
    await collect(made, "posts", Script(page(90)), shelf)
    script = Script(page(90))
    await collect(made, "posts", script, shelf)
    assert script.params[0]["since"] == iso(item(90)["at"]).isoformat()
    script = Script(page(90))
    script.time += timedelta(hours=7)
    await collect(made, "posts", script, shelf)
    assert script.params[0]["since"] == (script.time - timedelta(days=2)).isoformat()


async def test_growing_ids() -> None:
    cursor = sequence(lambda raw: int(raw["id"]), floor=lambda moment: int(moment.timestamp()))
    made, shelf = connector(replace(STREAM, cursor=cursor)), Shelf()
    await collect(made, "posts", Script(page(1, 2, following="b"), page(3)), shelf)
    assert shelf.cursors[""]["mark"] == 3
    script = Script(page())
    await collect(made, "posts", script, shelf)
    assert script.params[0]["since"] == "3"


async def test_a_backfill_covers_its_days_alone() -> None:
    first = (NOW - timedelta(days=3)).date()
    script = Script(page(99, 60, 40, following="b"), page(30, 1))
    shelf = Shelf()
    found = await collect(connector(), "posts", script, shelf, start=first, end=first)
    day = [number for number in range(101) if iso(item(number)["at"]).date() == first]  # type: ignore[union-attr]
    assert set(ids(found)) == {number for number in (99, 60, 40, 30, 1) if number in day}
    assert shelf.cursors[""]["mark"] is None
    again = Script()
    assert await collect(connector(), "posts", again, shelf, start=first, end=first) == []
    assert again.requests == []


async def test_nothing_new_writes_nothing() -> None:
    shelf = Shelf()
    await collect(connector(), "posts", Script(page(1)), shelf)
    before = dict(shelf.cursors)
    await collect(connector(), "posts", Script(page()), shelf, run=7)
    assert shelf.cursors == before


# --- partitions


async def rooms(api: Any, _ctx: Context) -> Any:
    reply = await api.call(get("/rooms"))
    for room in reply.data:
        yield Partition(room["id"], {"room": room["id"]}, mark=room.get("mark"))


ROOMS = replace(
    STREAM, partitions=rooms, request=lambda ctx: get(f"/rooms/{ctx.vars['room']}", endpoint="room", limit=ctx.size)
)


async def test_each_partition_has_its_own_cursor_and_a_known_mark_is_passed_over() -> None:
    shelf = Shelf()
    listed = [{"id": "a", "mark": 1}, {"id": "b", "mark": 1}]
    assert ids(await collect(connector(ROOMS), "posts", Script(listed, page(1), page(2)), shelf)) == [1, 2]
    assert set(shelf.cursors) == {"a", "b"}
    script = Script([{"id": "a", "mark": 1}, {"id": "b", "mark": 2}], page(3, 2))
    assert ids(await collect(connector(ROOMS), "posts", script, shelf)) == [3, 2]
    assert script.requests[1].url.path == "/v1/rooms/b"


async def test_a_later_attempt_of_the_run_passes_over_what_is_done() -> None:
    shelf, listed = Shelf(), [{"id": "a"}, {"id": "b"}]
    limited = httpx.Response(429, headers={"retry-after": "30"}, json={})
    with pytest.raises(RateLimited) as parked:
        await collect(connector(ROOMS), "posts", Script(listed, page(1), limited), shelf, run=4)
    assert parked.value.retry_after_s == 30
    script = Script(listed, page(2))
    script.time += timedelta(seconds=31)
    assert ids(await collect(connector(ROOMS), "posts", script, shelf, run=4)) == [2]


async def test_quiet_partitions_are_remembered_when_the_run_parks() -> None:
    """Else a run with more quiet partitions than calls would never get beyond the first ones."""
    shelf, listed = Shelf(), [{"id": "a"}, {"id": "b"}]
    await collect(connector(ROOMS), "posts", Script(listed, page(1), page(1)), shelf, run=1)
    limited = httpx.Response(429, json={})
    with pytest.raises(RateLimited):
        await collect(connector(ROOMS), "posts", Script(listed, page(), limited), shelf, run=2)
    script = Script(listed, page(5, 1))
    assert ids(await collect(connector(ROOMS), "posts", script, shelf, run=2)) == [5, 1]
    assert script.requests[1].url.path == "/v1/rooms/b"


async def test_a_partition_that_is_gone_is_left_out() -> None:
    gone = httpx.Response(404, json={})
    script = Script([{"id": "a"}, {"id": "b"}], gone, page(2))
    assert ids(await collect(connector(ROOMS), "posts", script)) == [2]
    with pytest.raises(Permanent):
        await collect(connector(), "posts", Script(gone))


async def test_a_throttled_partition_lets_the_others_go_on() -> None:
    made = connector(ROOMS, budgets=(Budget("room", per_part=True, endpoints=("room",)),))
    limited = httpx.Response(429, headers={"retry-after": "30"}, json={})
    script = Script([{"id": "a"}, {"id": "b"}], limited, page(2))
    shelf = Shelf()
    with pytest.raises(RateLimited):
        await collect(made, "posts", script, shelf)
    assert set(shelf.cursors) == {"b"}


async def test_parts_of_a_sync_type_run_one_after_another() -> None:
    first = replace(STREAM, part="one")
    second = replace(STREAM, part="two", every=timedelta(hours=1))
    made, shelf = connector(first, second), Shelf()
    assert ids(await collect(made, "posts", Script(page(1), page(2)), shelf)) == [1, 2]
    assert set(shelf.cursors) == {"one:", "two:", "two~"}, "and when the slower one was pulled"
    assert [sync_type.name for sync_type in made.sync_types] == ["posts"]


# --- days


def day_request(ctx: Context) -> Any:
    return get("/days", first=str(ctx.span.first_day), last=str(ctx.span.last_day))


def point(raw: dict[str, Any], ctx: Context) -> MetricRecord:
    assert ctx.span.starts_at is not None
    assert ctx.span.ends_at is not None
    return MetricRecord(
        entity="e", entity_kind="ad", metric="m", value=raw["v"], start=ctx.span.starts_at, end=ctx.span.ends_at
    )


DAYS = Stream(
    "ads-metrics",
    "Ads",
    timedelta(hours=1),
    map=point,
    request=day_request,
    cursor=DateWindow(step=2, lookback=5, recent=2, first=4, settle=timedelta(days=3)),
)


async def test_days_are_read_in_steps_and_again_while_they_may_change() -> None:
    made, shelf = connector(DAYS), Shelf()
    script = Script(*[{"data": [{"v": 1}]}] * 3)
    found = await collect(made, "ads-metrics", script, shelf)
    assert [(p["first"], p["last"]) for p in script.params] == [
        ("2026-11-20", "2026-11-21"),
        ("2026-11-22", "2026-11-23"),
        ("2026-11-24", "2026-11-24"),
    ]
    # The last day of a span decides: 21 November ends 2.5 days ago.
    assert [record.is_final for record in found] == [False, False, False]
    script = Script({"data": []})
    await collect(made, "ads-metrics", script, shelf)
    assert [p["first"] for p in script.params] == ["2026-11-23"]
    script = Script(*[{"data": []}] * 3)
    script.time += timedelta(hours=21)
    await collect(made, "ads-metrics", script, shelf)
    assert [p["first"] for p in script.params] == ["2026-11-21", "2026-11-23", "2026-11-25"]


async def test_a_stop_between_days_goes_on_there() -> None:
    made, shelf = connector(DAYS), Shelf()
    await collect(made, "ads-metrics", Script({"data": []}), shelf, stop_after=1)
    script = Script(*[{"data": []}] * 2)
    await collect(made, "ads-metrics", script, shelf)
    assert [p["first"] for p in script.params] == ["2026-11-22", "2026-11-24"]


async def test_a_backfill_of_days_ends_at_its_end() -> None:
    made, shelf = connector(DAYS), Shelf()
    script = Script(*[{"data": []}] * 2)
    await collect(made, "ads-metrics", script, shelf, start=date(2026, 1, 1), end=date(2026, 1, 3))
    assert [(p["first"], p["last"]) for p in script.params] == [
        ("2026-01-01", "2026-01-02"),
        ("2026-01-03", "2026-01-03"),
    ]


async def test_too_much_at_a_time_is_halved() -> None:
    much = httpx.Response(500, json={"error": "reduce the amount of data"})
    rule = on(message="reduce the amount", then=SHRINK)
    made = connector(replace(STREAM, page_size=8), problem=problem_at("error", "error"), verdicts=(rule,))
    script = Script(much, much, page(1))
    assert ids(await collect(made, "posts", script)) == [1]
    assert [p["limit"] for p in script.params] == ["8", "4", "2"]
    made = connector(
        replace(DAYS, page_size=1, min_page_size=1), problem=problem_at("error", "error"), verdicts=(rule,)
    )
    script = Script(much, *[{"data": []}] * 5)
    await collect(made, "ads-metrics", script)
    assert [p["last"] for p in script.params[:3]] == ["2026-11-21", "2026-11-20", "2026-11-21"]


# --- reports

REPORT = Report(
    create=lambda ctx: get("/create", first=str(ctx.span.first_day)),
    job_id="job",
    poll=lambda _ctx, job: get(f"/jobs/{job}"),
    ready=lambda reply: {"done": True, "failed": False}.get(reply.at("state")),
    download=lambda _ctx, job, _reply: get(f"/jobs/{job}/rows"),
)
REPORTS = replace(DAYS, request=None, report=REPORT, cursor=DateWindow(step=30, first=4, recent=2))


async def test_a_report_is_made_once_and_waited_for_in_parking() -> None:
    made, shelf = connector(REPORTS), Shelf()
    script = Script({"job": "j1"}, {"state": "running"})
    with pytest.raises(RateLimited) as parked:
        await collect(made, "ads-metrics", script, shelf)
    assert parked.value.retry_after_s == 10
    script = Script({"state": "running"})
    with pytest.raises(RateLimited) as parked:
        await collect(made, "ads-metrics", script, shelf)
    assert parked.value.retry_after_s == 20
    script = Script({"state": "done"}, {"data": [{"v": 3}]})
    assert [record.value for record in await collect(made, "ads-metrics", script, shelf)] == [3]
    assert [request.url.path for request in script.requests] == ["/v1/jobs/j1", "/v1/jobs/j1/rows"]
    assert "walk" not in shelf.cursors[""]


async def test_a_failed_report_is_made_again_and_then_over_fewer_days() -> None:
    made, shelf = connector(REPORTS), Shelf()
    firsts = []
    for _ in range(4):
        script = Script({"job": "j"}, {"state": "failed"})
        with pytest.raises(RateLimited):
            await collect(made, "ads-metrics", script, shelf)
        firsts.append(len(script.requests))
    assert firsts == [2, 2, 2, 2]
    assert shelf.cursors[""]["walk"]["step"] == 15


# --- answers


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (httpx.Response(401, json={}), IntegrationRevoked),
        (httpx.Response(403, json={}), ScopeMissing),
        (httpx.Response(400, json={}), Permanent),
        (httpx.Response(301, headers={"location": "https://evil.example"}), Permanent),
        (httpx.Response(429, json={}), RateLimited),
    ],
)
async def test_an_answer_without_a_rule_is_judged_by_its_status(answer: httpx.Response, error: type[Exception]) -> None:
    with pytest.raises(error):
        await collect(connector(), "posts", Script(answer))


@pytest.mark.parametrize(
    "trouble", [httpx.Response(503), httpx.ReadTimeout("slow"), httpx.ConnectError("no"), b'{"data": [', b"<html>"]
)
async def test_trouble_is_tried_again_shortly_and_then_left_to_the_runtime(trouble: Any) -> None:
    script = Script(trouble, page(1))
    assert ids(await collect(connector(), "posts", script)) == [1]
    assert 0 < script.slept[0] <= 1.0
    with pytest.raises(Transient):
        await collect(connector(), "posts", Script(trouble, trouble, trouble))


async def test_an_unreadable_item_is_set_aside_with_its_raw_form() -> None:
    answer = {"data": [item(1), {"id": "2"}, None, item(3)]}
    found = await collect(connector(), "posts", Script(answer))
    assert [type(one).__name__ for one in found] == ["ActivityRecord", "Rejected", "Rejected", "ActivityRecord"]
    assert found[1].raw == {"id": "2"}
    assert found[0].raw["id"] == "1"


async def test_an_unreadable_answer_is_set_aside_with_its_partition() -> None:
    made = connector(ROOMS, problem=problem_at("odd"), verdicts=(on(code="odd", then=QUARANTINE),))
    script = Script([{"id": "a"}, {"id": "b"}], {"odd": "odd"}, page(2))
    rejected, kept = await collect(made, "posts", script)
    assert isinstance(rejected, Rejected)
    assert kept.vendor_id == "2"


async def test_half_a_surrogate_pair_is_replaced() -> None:
    at = b'"at":"2026-11-20T00:00:00Z"'
    body = b'{"data":[{"id":"1",%b,"t":"cut \\ud83d"},{"id":"2",%b,"t":"\\ud83d\\ude00"}]}' % (at, at)
    found = await collect(connector(), "posts", Script(body))
    assert [one.raw["t"] for one in found] == ["cut \ufffd", "😀"]


async def test_a_file_need_not_be_json_and_a_written_query_stays() -> None:
    from connectors.http import Request

    def download(_ctx: Context) -> Request:
        return Request("GET", "/files?ids=List(urn%3Ax,2)", {"page": 1}, raw=True, signed=False)

    def lines(reply: Any) -> list[dict[str, Any]]:
        return [item(int(line)) for line in reply.text.splitlines()]

    made = connector(replace(STREAM, request=download, items=lines, pager=Single()), problem=problem_at("error"))
    script = Script(b"1\n2")
    assert ids(await collect(made, "posts", script)) == [1, 2]
    assert str(script.requests[0].url).endswith("/files?ids=List(urn%3Ax,2)&page=1")
    assert "authorization" not in script.requests[0].headers


async def test_a_token_goes_only_where_it_belongs() -> None:
    made = connector(replace(STREAM, request=lambda _ctx: get("https://elsewhere.example/x")))
    with pytest.raises(Permanent):
        await collect(made, "posts", Script())
    script = Script(page())
    await collect(connector(), "posts", script)
    assert script.requests[0].headers["authorization"] == "Bearer t0k3n"


async def test_a_budget_paces_briefly_and_parks_for_longer() -> None:
    made = connector(ROOMS, budgets=(Budget("calls", limit=2, window=timedelta(seconds=1)),))
    script = Script([{"id": str(n)} for n in range(3)], page(1), page(2), page(3))
    assert ids(await collect(made, "posts", script)) == [1, 2, 3]
    assert script.slept == [1.0]
    made = connector(ROOMS, budgets=(Budget("calls", limit=2, window=timedelta(minutes=1)),))
    script = Script([{"id": str(n)} for n in range(3)], page(1), page(2), page(3))
    with pytest.raises(RateLimited) as parked:
        await collect(made, "posts", script)
    assert parked.value.retry_after_s == 60
    assert len(script.requests) == 2


async def test_headers_stop_us_before_the_vendor_does() -> None:
    from connectors.http import remaining

    budget = Budget("calls", read=remaining("x-left", "x-reset", reset_is="seconds"))
    made = connector(ROOMS, budgets=(budget,))
    last = httpx.Response(200, json=page(1), headers={"x-left": "0", "x-reset": "77"})
    script = Script([{"id": "a"}, {"id": "b"}], last)
    with pytest.raises(RateLimited) as parked:
        await collect(made, "posts", script)
    assert parked.value.retry_after_s == 77


async def test_reasons_are_for_people() -> None:
    rule = on(code="gone", then=AUTH_DEAD, reason="The owner removed us.")
    made = connector(problem=problem_at("error"), verdicts=(rule, on(code="slow", then=THROTTLED, after=5.0)))
    with pytest.raises(IntegrationRevoked, match=r"The owner removed us\."):
        await collect(made, "posts", Script({"error": "gone"}))
    with pytest.raises(RateLimited) as parked:
        await collect(made, "posts", Script({"error": "slow"}))
    assert parked.value.retry_after_s == 5


# --- declarations


def test_contradictory_declarations_are_refused() -> None:
    with pytest.raises(ConfigurationError):
        connector(replace(STREAM, request=None))
    with pytest.raises(ConfigurationError):
        connector(STREAM, STREAM)


def test_sync_types_say_what_they_can() -> None:
    made = connector(
        STREAM, replace(STREAM, name="presence", cursor=Ephemeral()), replace(STREAM, name="p", cursor=Snapshot())
    )
    assert [sync_type.backfills for sync_type in made.sync_types] == [True, False, False]
    assert on(then=GONE).then is GONE
