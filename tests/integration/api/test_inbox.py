"""The inbox over HTTP."""

from __future__ import annotations

from sync.inbox.projector import InboxProjector
from tests.integration.api.conftest import Api
from tests.integration.api.world import add_activity


async def filled(api: Api, *names: str) -> int:
    """One conversation of messages of these names, the first the oldest."""
    integration = await api.value(
        "INSERT INTO integration (org_id, platform, account) VALUES ('acme', 'slack', 'T1') RETURNING id"
    )
    ids = [await add_activity(api, integration, name, at=f"2026-11-0{n + 1}T09:00Z") for n, name in enumerate(names)]
    async with api.runtime.database.transaction() as tx:
        await InboxProjector().project(tx, ids)
    return int((await api.get("/inbox/conversations"))["items"][0]["id"])


async def test_a_conversation_is_listed_shown_and_read(api: Api) -> None:
    conversation = await filled(api, "one", "two", "three")
    path = f"/inbox/conversations/{conversation}"
    shown = await api.get(path)
    assert shown == (await api.get("/inbox/conversations"))["items"][0]
    assert shown["lastMessage"]["preview"] == "three" and shown["contact"]["name"] == "three"
    first = await api.get(f"{path}/messages?limit=2")
    rest = await api.get(f"{path}/messages?limit=2&cursor={first['nextCursor']}")
    texts = [item["text"] for item in first["items"] + rest["items"]]
    assert texts == ["one", "two", "three"] and rest["nextCursor"] is None
    newest = await api.get(f"{path}/messages?order=newest")
    assert [item["text"] for item in newest["items"]] == texts[::-1]
    assert all(item["contactId"] == shown["contact"]["id"] for item in newest["items"])
    contact = await api.get(f"/inbox/contacts/{shown['contact']['id']}")
    assert [one["kind"] for one in contact["identities"]] == ["slack"]


async def test_who_may_do_what(api: Api) -> None:
    path = f"/inbox/conversations/{await filled(api, 'one')}"
    for action, body in (("assign", {"assignee": "me"}), ("close", None), ("pend", None), ("reopen", None)):
        await api.post(f"{path}/{action}", body, role="viewer", status=403)
    assert (await api.post(f"{path}/assign", {"assignee": "me"}, role="service"))["assignee"] == "me"
    assert (await api.post(f"{path}/pend"))["status"] == "pending"
    assert (await api.post(f"{path}/close"))["status"] == "closed"
    assert (await api.post(f"{path}/reopen"))["status"] == "open"
    assert (await api.post(f"{path}/read"))["unread"] == 0
    assert (await api.post(f"{path}/assign", {"assignee": None}))["assignee"] is None
    await api.post(f"{path}/assign", {}, status=422)
    await api.get("/inbox/conversations?cursor=WyJ4Il0", status=422)
    await api.get("/inbox/conversations/999999", status=404)


async def test_a_reply_is_queued_once_per_key_and_can_be_watched(api: Api) -> None:
    conversation = await filled(api, "one", "two")
    path = f"/inbox/conversations/{conversation}"
    await api.post(f"{path}/reply", {"text": "Soon."}, role="viewer", status=403)
    first = await api.post(f"{path}/reply", {"text": "Soon."}, headers={"Idempotency-Key": "k1"}, status=202)
    again = await api.post(f"{path}/reply", {"text": "Soon.", "idempotencyKey": "k1"}, status=202)
    assert first == again and first["state"] == "queued"
    assert await api.value("SELECT count(*) FROM job WHERE kind = 'inbox.reply'") == 1
    assert (await api.get(path))["unread"] == 0
    assert await api.get(f"/inbox/replies/{first['id']}") == first
    other = await api.post(f"{path}/reply", {"text": "Now."})
    assert [row["id"] for row in (await api.get(f"{path}/replies"))["items"]] == [other["id"], first["id"]]
    refused = await api.post(f"{path}/reply", {"text": "Later.", "idempotencyKey": "k1"}, status=409)
    assert refused["type"] == "/problems/conflict"
    await api.post(f"{path}/reply", {"text": ""}, status=422)
    await api.runtime.database.execute("UPDATE conversation SET platform = 'email'")
    refused = await api.post(f"{path}/reply", {"text": "Hello"}, status=422)
    assert refused["type"] == "/problems/refused" and "answer there" in refused["detail"]
