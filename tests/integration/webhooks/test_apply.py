"""What became of deliveries: once, for the right orgs, whatever their order, and no storms."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.fakes.hooks import BOT, harmless
from tests.fakes.tokens import bearer
from tests.integration.webhooks.conftest import Office


def dm(number: int, *, text: str = "hello", user: str = "111") -> dict[str, Any]:
    """A direct message to an account of X."""
    message = {
        "type": "message_create",
        "id": str(number),
        "created_timestamp": "1784928224372",
        "message_create": {
            "target": {"recipient_id": user},
            "sender_id": "222",
            "message_data": {"text": text, "entities": {}},
        },
    }
    payload = {"direct_message_events": [message], "users": {}}
    data = {"event_uuid": f"dm-{number}-{user}", "filter": {"user_id": user}, "event_type": "dm.received"}
    return {"data": {**data, "payload": payload}}


def revoked(user: str = "111", number: int = 1) -> dict[str, Any]:
    payload = {"date_time": "2026-07-23T21:44:05+00:00", "user_id": user, "app_id": "1"}
    return {"data": {"event_uuid": f"r{number}", "filter": {}, "event_type": "oauth.revoke", "payload": payload}}


def said(number: int, text: str = "hi", *, edited: int = 0) -> dict[str, Any]:
    """A message to a bot of Telegram."""
    chat = {"id": -100, "title": "Shop", "type": "supergroup"}
    message = {"message_id": number, "from": {"id": 5, "first_name": "Ada"}, "chat": chat, "date": 1763626811}
    if edited:
        return {"update_id": 1000 + edited, "edited_message": {**message, "edit_date": edited, "text": text}}
    return {"update_id": number, "message": {**message, "text": text}}


async def test_a_record_is_stored_once_with_an_event_that_names_its_delivery(office: Office) -> None:
    mine = await office.connect("twitter", "111")
    for _ in range(3):
        await office.hook("twitter", dm(1))
    assert await office.apply() is None
    assert await office.apply() is None
    assert await office.rows("SELECT integration_id, kind, vendor_id, text FROM activity") == [
        (mine, "message", "1", "hello")
    ]
    (delivery,) = await office.rows("SELECT id, state, next_at FROM webhook_delivery")
    assert delivery[1:] == ("applied", None)
    assert await office.rows("SELECT type, correlation_id FROM event WHERE type LIKE 'activity%%'") == [
        ("activity.added", f"webhook:{delivery[0]}")
    ]
    assert await office.rows("SELECT outcome, records, added FROM webhook_event") == [("applied", 1, 1)]


async def test_every_org_that_holds_the_account_is_told_and_no_other(office: Office) -> None:
    acme = await office.connect("twitter", "111")
    globex = await office.connect("twitter", "111", org="globex")
    await office.connect("twitter", "999", org="initech")
    # The name alone proves nothing: whoever types another's account is sent nothing.
    await office.connect("twitter", "111", org="impostor", proved=False)
    await office.hook("twitter", dm(1))
    await office.apply()
    assert {row[0] for row in await office.rows("SELECT integration_id FROM activity")} == {acme, globex}
    events = await office.rows("SELECT DISTINCT org_id FROM event WHERE type LIKE 'activity%%'")
    assert sorted(row[0] for row in events) == ["acme", "globex"]


async def test_accounts_are_also_found_by_their_places(office: Office) -> None:
    both = await office.connect("facebook", "user", places=("page-1", "page-2"))
    one = await office.connect("facebook", "other", org="globex", places=("page-2",))
    change = {"field": "feed", "value": {"item": "comment"}}
    entries = [{"id": page, "time": 1, "changes": [change]} for page in ("page-1", "page-2", "page-3")]
    await office.hook("facebook", {"object": "page", "entry": entries})
    await office.apply()
    assert sorted(await office.rows("SELECT integration_id, account, outcome FROM webhook_event"), key=str) == sorted(
        [
            (both, "page-1", "applied"),
            (both, "page-2", "applied"),
            (one, "page-2", "applied"),
            (None, "page-3", "unknown"),
        ],
        key=str,
    )
    assert await office.states() == ["partial"]
    runs = await office.rows("SELECT integration_id, sync_type, trigger FROM sync_run")
    assert sorted(runs) == [(both, "comments", "webhook"), (one, "comments", "webhook")]


async def test_a_burst_of_hints_makes_one_run_and_one_more_after_it(office: Office) -> None:
    team = await office.connect("slack", "T1")

    async def hint(number: int) -> None:
        event = {"type": "message", "ts": f"{number}.1"}
        await office.hook(
            "slack", {"type": "event_callback", "team_id": "T1", "event_id": f"E{number}", "event": event}
        )

    for number in range(30):
        await hint(number)
    await office.apply()
    runs = "SELECT count(*) FROM sync_run WHERE integration_id = %s"
    assert await office.value(runs, team) == 1
    await hint(30)
    assert await office.apply() is None, "the run that waits will see it"
    await office.api.runtime.database.execute("UPDATE sync_run SET state = 'running', started_at = now()")
    await hint(31)
    assert await office.apply() is not None, "the run that is under way may be past it"
    assert await office.value(runs, team) == 1
    await office.api.runtime.database.execute("UPDATE sync_run SET state = 'succeeded', finished_at = now()")
    async with asyncio.timeout(30):
        while await office.apply() is not None:
            await asyncio.sleep(0.02)
    assert await office.value(runs, team) == 2
    assert await office.value("SELECT count(*) FROM webhook_pull WHERE dirty_at IS NOT NULL") == 0


async def test_the_same_event_in_another_delivery_is_a_duplicate(office: Office) -> None:
    await office.connect("slack", "T1")
    event = {"type": "message", "ts": "1.1"}
    for retry in (0, 1):
        payload = {"type": "event_callback", "team_id": "T1", "event_id": "E1", "event": event, "retry": retry}
        await office.hook("slack", payload)
        await office.apply()
        await office.api.runtime.database.execute("UPDATE sync_run SET state = 'succeeded', finished_at = now()")
    assert [row[0] for row in await office.rows("SELECT outcome FROM webhook_event ORDER BY delivery_id")] == [
        "applied",
        "duplicate",
    ]
    assert await office.value("SELECT count(*) FROM sync_run") == 1


async def test_revoked_expires_once_with_one_alert_and_not_what_was_reconnected_since(office: Office) -> None:
    mine = await office.connect("twitter", "111")
    for number in (1, 2):
        await office.hook("twitter", revoked(number=number))
    await office.apply()
    assert await office.value("SELECT state FROM integration WHERE id = %s", mine) == "expired"
    assert await office.rows("SELECT count FROM alert") == [(1,)]
    assert await office.value("SELECT count(*) FROM event WHERE type = 'integration.expired'") == 1

    await office.hook("twitter", revoked(number=3))
    await office.hook("twitter", dm(5))
    await office.api.runtime.database.execute(
        "UPDATE integration SET state = 'active', state_changed_at = now(), credentials_version = 2"
    )
    await office.apply()
    assert await office.value("SELECT state FROM integration WHERE id = %s", mine) == "active"
    assert await office.value("SELECT count(*) FROM activity") == 1


@pytest.mark.parametrize("state", ["paused", "expired", "deleted"])
async def test_what_comes_for_an_inactive_account_is_kept_and_can_be_replayed(office: Office, state: str) -> None:
    mine = await office.connect("twitter", "111")
    await office.api.runtime.database.execute("UPDATE integration SET state = %s", (state,))
    await office.hook("twitter", dm(1))
    await office.hook("twitter", harmless("twitter"))
    await office.apply()
    assert await office.states() == ["unmatched", "unmatched"]
    assert await office.value("SELECT count(*) FROM activity") == 0
    await office.api.runtime.database.execute("UPDATE integration SET state = 'active'")
    answer = await office.api.post("/sync/webhooks/replay", {"states": ["unmatched"]}, org="acme")
    assert answer == {"replayed": 1}, "what concerns nobody of this org is not its to replay"
    await office.apply()
    assert await office.rows("SELECT integration_id, vendor_id FROM activity") == [(mine, "1")]
    assert await office.states() == ["applied", "unmatched"]


async def test_unknown_events_and_nonsense_are_kept_and_hold_nobody_up(office: Office) -> None:
    await office.connect("twitter", "111")
    await office.connect("slack", "T1")
    await office.hook("twitter", {"data": {"event_type": "moon.landing", "filter": {"user_id": "111"}, "payload": {}}})
    await office.hook("slack", b"[]")
    await office.hook("slack", b"\xff\x00 not json")
    await office.hook(
        "twitter",
        b'{"data":{"event_type":"dm.received","filter":{"user_id":"111"},"payload":{"direct_message_events":[3]}}}',
    )
    await office.hook("twitter", dm(7))
    await office.apply()
    states = await office.states()
    assert states == ["ignored", "ignored", "ignored", "failed", "applied"]
    assert await office.value("SELECT error FROM webhook_delivery WHERE state = 'failed'")
    assert await office.value("SELECT count(*) FROM activity") == 1
    assert await office.value("SELECT count(*) FROM alert") == 0


async def test_a_delivery_that_the_store_refuses_stays_behind_alone(office: Office) -> None:
    await office.connect("twitter", "111")
    database = office.api.runtime.database
    await database.execute(
        """CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
           $$ BEGIN IF NEW.text = 'poison' THEN RAISE EXCEPTION 'poison'; END IF; RETURN NEW; END $$"""
    )
    await database.execute("CREATE TRIGGER refuse BEFORE INSERT ON activity FOR EACH ROW EXECUTE FUNCTION refuse()")
    for number in range(10):
        await office.hook("twitter", dm(number, text="poison" if number == 4 else "fine"))
    await office.apply()
    assert await office.value("SELECT count(*) FROM activity") == 9
    assert (await office.states()).count("failed") == 1
    await database.execute("DROP TRIGGER refuse ON activity")
    failed = await office.value("SELECT id FROM webhook_delivery WHERE state = 'failed'")
    answer = await office.api.http.post(
        "/sync/webhooks/replay", json={"ids": [failed]}, headers=bearer("acme", platform=True)
    )
    assert answer.json() == {"replayed": 1}
    await office.apply()
    assert await office.value("SELECT count(*) FROM activity") == 10


async def test_a_deletion_that_comes_first_is_remembered(office: Office) -> None:
    await office.connect("twitch", "1337")
    condition = {"broadcaster_user_id": "1337", "user_id": "1337"}
    message = {
        "broadcaster_user_id": "1337",
        "broadcaster_user_login": "s",
        "chatter_user_id": "4",
        "chatter_user_login": "v",
        "chatter_user_name": "V",
        "message_id": "m1",
        "message": {"text": "Hi chat", "fragments": []},
    }
    add = {"subscription": {"type": "channel.chat.message", "condition": condition}, "event": message}
    gone = {"subscription": {"type": "channel.chat.message_delete", "condition": condition}, "event": message}
    await office.hook("twitch", gone)
    wait = await office.apply()
    assert wait is not None and wait > 1
    assert await office.states() == ["stored"]
    await office.hook("twitch", add)
    await office.api.runtime.database.execute("UPDATE webhook_delivery SET next_at = now() WHERE state = 'stored'")
    # In one batch, and the deletion first: it looks again once the message is there.
    await office.apply()
    await office.api.runtime.database.execute("UPDATE webhook_delivery SET next_at = now() WHERE state = 'stored'")
    await office.apply()
    assert await office.states() == ["applied", "applied"]
    assert await office.value("SELECT deleted_at IS NOT NULL FROM activity WHERE vendor_id = 'm1'")


async def test_two_who_apply_at_once_do_it_once(office: Office) -> None:
    await office.connect("twitter", "111")
    await asyncio.gather(*(office.hook("twitter", dm(number)) for number in range(300)))
    await asyncio.gather(*(office.apply() for _ in range(4)))
    assert await office.value("SELECT count(*) FROM activity") == 300
    assert await office.value("SELECT count(*) FROM event WHERE type = 'activity.added'") == 300
    assert set(await office.states()) == {"applied"}


async def test_an_older_poll_page_does_not_win(office: Office) -> None:
    from connectors.telegram import parse
    from sync.sink import Source
    from sync.social.sink import SocialSink

    mine = await office.connect("telegram", BOT)
    await office.hook("telegram", said(1, "after", edited=1763626900))
    await office.apply()
    sink = SocialSink()
    old = list(parse.records(said(1, "before"), BOT, "shopbot"))
    async with office.api.runtime.database.transaction() as tx:
        await sink.apply(tx, Source("acme", "telegram", mine, BOT, "messages"), sink.prepare(old), force=False)
    assert await office.rows("SELECT text FROM activity WHERE kind = 'message'") == [("after",)]


async def test_operators_see_their_orgs_deliveries_and_no_others(office: Office) -> None:
    await office.connect("twitter", "111")
    await office.connect("twitter", "111", org="globex")
    await office.connect("twitter", "222-mine", org="globex")
    await office.hook("twitter", dm(1, text="shared"))
    await office.hook("twitter", revoked("222-mine"))
    await office.hook("twitter", harmless("twitter"))
    await office.apply()
    api = office.api
    acme = (await api.get("/sync/webhooks", org="acme"))["items"]
    globex = (await api.get("/sync/webhooks", org="globex"))["items"]
    assert [len(acme), len(globex)] == [1, 2]
    assert (await api.get("/sync/webhooks", org="initech"))["items"] == []
    shared = acme[0]["id"]
    shown = await api.get(f"/sync/webhooks/{shared}", org="acme")
    assert shown["body"] is None, "it concerns another org as well"
    assert [told["orgId"] for told in shown["told"]] == ["acme"]
    own = await api.get(f"/sync/webhooks/{globex[0]['id']}", org="globex")
    assert "oauth.revoke" in own["body"]
    await api.get(f"/sync/webhooks/{globex[0]['id']}", org="acme", status=404)
    await api.post(f"/sync/webhooks/{globex[0]['id']}/replay", org="acme", status=404)
    assert await api.post(f"/sync/webhooks/{shared}/replay", org="acme") == {"replayed": 0}
    counts = (await api.get("/sync/webhooks/counts", org="globex"))["items"]
    assert sum(row["deliveries"] for row in counts) == 2
    await api.get("/sync/webhooks", role="viewer", status=403)

    everything = await api.http.get("/sync/webhooks", headers=bearer("acme", platform=True))
    assert len(everything.json()["items"]) == 3


async def test_the_job_applies_and_a_tenant_cannot_enqueue_it_for_everybody(office: Office) -> None:
    from sync.base.settings import PoolSettings
    from sync.jobs.member import PoolMember

    await office.connect("twitter", "111")
    await office.hook("twitter", dm(1))
    member = PoolMember(office.api.runtime, "consumer.one-off", "consumer.one-off.0", "node", PoolSettings())
    await member.start()
    try:
        async with asyncio.timeout(60):
            while await office.value("SELECT count(*) FROM activity") == 0:
                await asyncio.sleep(0.02)
        job = await office.api.post("/sync/queue", {"kind": "webhook.apply"})
        async with asyncio.timeout(60):
            while (await office.api.get(f"/sync/jobs/{job['jobId']}"))["state"] != "dead":
                await asyncio.sleep(0.02)
    finally:
        await member.drain(10)
