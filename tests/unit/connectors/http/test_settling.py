"""A renewed token that the vendor does not know everywhere yet is waited for, not given up."""

from __future__ import annotations

from datetime import timedelta

import httpx
import pytest

from connectors.base import Credentials, Exchange
from connectors.http import HttpConnector, OAuth2, Snapshot, Stream, get
from connectors.records import ActivityRecord
from sync.base.errors import IntegrationRevoked, Transient
from tests.fakes.vendor import Script, account, collect


class Kept:
    """Tokens that renew whenever they are asked."""

    def __init__(self) -> None:
        self.values = Credentials({"access_token": "old", "refresh_token": "r"})
        self.renewals = 0

    async def current(self) -> Credentials:
        return self.values

    async def renew(self, used: Credentials, exchange: Exchange) -> Credentials:
        self.values = Credentials({**self.values, **await exchange(used)})
        self.renewals += 1
        return self.values


def connector(settle: timedelta) -> HttpConnector:
    stream = Stream(
        "posts",
        "Posts",
        every=timedelta(hours=1),
        request=lambda _ctx: get("/posts"),
        cursor=Snapshot(),
        map=lambda item, _ctx: ActivityRecord(kind="post", vendor_id=item["id"], occurred_at=None),
    )
    auth = OAuth2(token_path="/token", authorize_path="/authorize", settle=settle)
    return HttpConnector("sluggish", "Sluggish", "https://api.example.com", auth, (stream,))


def answers(script: Script, until: float) -> None:
    """The new token works from `until` seconds after its first use on."""
    begun = script.time

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/token":
            return httpx.Response(200, json={"access_token": "new", "expires_in": 3600})
        late = (script.time - begun).total_seconds() >= until
        if request.headers["authorization"] == "Bearer new" and late:
            return httpx.Response(200, json={"data": [{"id": "1"}]})
        return httpx.Response(401, json={})

    script.handler = answer


async def test_a_fresh_token_that_is_refused_parks_the_run() -> None:
    script, kept = Script(), Kept()
    answers(script, until=20)
    owner = account(script, tokens=kept)
    with pytest.raises(Transient) as caught:
        await collect(connector(timedelta(seconds=30)), "posts", script, owner=owner)
    assert caught.value.retry_after_s == 30
    assert kept.renewals == 1
    await script.sleep(30)
    assert [r.vendor_id for r in await collect(connector(timedelta(seconds=30)), "posts", script, owner=owner)] == ["1"]
    assert kept.renewals == 1


async def test_without_a_time_to_settle_a_second_refusal_is_final() -> None:
    script = Script()
    answers(script, until=20)
    with pytest.raises(IntegrationRevoked):
        await collect(connector(timedelta(0)), "posts", script, owner=account(script, tokens=Kept()))
