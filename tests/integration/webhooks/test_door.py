"""What is proved is stored, once; what is not changes nothing and learns nothing."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from connectors.http import HttpConnector
from connectors.registry import PLATFORMS
from sync.api.hooks import REFUSED
from tests.fakes.hooks import BOT, SECRET, SIGNERS, TIMED, Sent, harmless, send
from tests.integration.webhooks.conftest import DOOR, Office

HOOKED = [name for name, found in PLATFORMS.items() if isinstance(found, HttpConnector) and found.webhook]
HOOKLESS = sorted(set(PLATFORMS) - set(HOOKED))
ADDRESSES = ("", "/{platform}")


async def stored(office: Office) -> int:
    return int(await office.value("SELECT count(*) FROM webhook_delivery"))


def is_refusal(response: Any) -> bool:
    return bool(response.status_code == 401 and response.content == REFUSED.body)


def test_every_platform_of_the_registry_is_covered() -> None:
    assert set(HOOKED) == set(SIGNERS)


@pytest.mark.parametrize("platform", HOOKED)
async def test_a_signed_call_is_stored_before_it_is_acknowledged_and_only_once(office: Office, platform: str) -> None:
    for address in ADDRESSES:
        sent = send(platform, harmless(platform, len(address)), time.time())
        for _ in range(3):
            response = await office.call(sent, DOOR + address.format(platform=platform))
            assert response.status_code in (200, 204) and not response.content
    assert await stored(office) == len(ADDRESSES)
    rows = await office.rows("SELECT platform, state, body, headers::text, query::text FROM webhook_delivery")
    for found, state, body, headers, query in rows:
        assert (found, state) == (platform, "stored")
        assert msgspec.json.decode(bytes(body)) in [harmless(platform, len(address)) for address in ADDRESSES]
        assert "signature" not in headers and "secret" not in headers + query
    # One job for all of it would do; there is at least one, and it was committed with the rows.
    assert await office.value("SELECT count(*) FROM job WHERE kind = 'webhook.apply'") >= 1


@pytest.mark.parametrize("platform", HOOKED)
async def test_forged_old_and_misaddressed_calls_change_nothing_and_tell_nothing(office: Office, platform: str) -> None:
    now = time.time()
    sent = send(platform, harmless(platform), now)
    signature = PLATFORMS[platform].webhook.signed_by  # type: ignore[attr-defined]
    other = next(name for name in HOOKED if name != platform)
    wrong: dict[str, Sent] = {
        "no signature": replace(sent, headers={k: v for k, v in sent.headers.items() if k != signature}),
        "empty": sent.with_header(signature, ""),
        "nonsense": sent.with_header(signature, "sha256=nonsense"),
        "long": sent.with_header(signature, "9" * 5000),
        "not ascii": sent.with_header(signature, "ä"),
        "another's secret": sent.with_header(signature, next(iter(send(other, b"x", now).headers.values()))),
    }
    if platform != "telegram":  # its secret proves who sends, not what
        wrong["another body"] = replace(sent, body=sent.body + b" ")
    else:
        wrong["another bot's"] = replace(sent, query={"account": "987654321"})
        wrong["nobody's"] = replace(sent, query={})
    if platform in TIMED:
        wrong["old"] = send(platform, harmless(platform), now - 3600)
        wrong["from the future"] = send(platform, harmless(platform), now + 3600)
    for why, call in wrong.items():
        for address in ADDRESSES:
            response = await office.call(call, DOOR + address.format(platform=platform))
            assert is_refusal(response), why
    for path in (f"/{other}", "/nobody", f"/{platform}/x", f"/{platform}/1/2", f"/{platform}/{'9' * 30}"):
        assert is_refusal(await office.call(sent, DOOR + path)), path
    for method in ("PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "GET"):
        response = await office.call(sent, DOOR + f"/{platform}", method)
        assert response.status_code == 401, method
    assert is_refusal(await office.call(sent, DOOR + f"/{platform}/4711")), "there is no such integration"
    assert await stored(office) == 0
    assert await office.value("SELECT count(*) FROM job") == 0


@pytest.mark.parametrize("platform", HOOKLESS)
async def test_nothing_is_taken_in_the_name_of_those_who_send_no_webhooks(office: Office, platform: str) -> None:
    for found in SIGNERS:
        assert is_refusal(await office.call(send(found, harmless(found), time.time()), f"{DOOR}/{platform}"))
    assert is_refusal(await office.api.http.get(f"{DOOR}/{platform}?hub.mode=subscribe&hub.challenge=1"))
    assert await stored(office) == 0


@pytest.mark.parametrize("platform", HOOKED)
async def test_a_call_that_is_too_large_is_not_even_read(office: Office, platform: str) -> None:
    limit = office.api.runtime.settings.webhooks.max_body_bytes
    large = send(platform, b'{"a":"' + b"x" * limit + b'"}', time.time())
    assert is_refusal(await office.call(large))
    taken = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal taken
        for _ in range(1000):
            taken += 1
            yield b"x" * (limit // 4)

    headers = {**large.headers, "transfer-encoding": "chunked"}
    response = await office.api.http.post(DOOR, content=endless(), headers=headers, params=dict(large.query))
    assert is_refusal(response) and taken <= 6
    assert await stored(office) == 0


async def test_an_app_without_secrets_takes_nothing(office: Office) -> None:
    from connectors.http import Hook

    for platform in HOOKED:
        sent = send(platform, harmless(platform), 1_764_000_000.0)
        hook = Hook(
            "POST", sent.headers, sent.query, sent.body, 1_764_000_000.0, {"client_secret": "", "client_id": ""}
        )
        webhook = PLATFORMS[platform].webhook  # type: ignore[attr-defined]
        assert not webhook.verify(hook)
        get = Hook("GET", {}, {"crc_token": "a", "challengeCode": "a", "hub.mode": "subscribe"}, b"", 0, {})
        answer = webhook.handshake(get)
        assert answer is None or answer.status == 403


async def test_handshakes(office: Office) -> None:
    http = office.api.http
    meta = {"hub.mode": "subscribe", "hub.challenge": "1158201444", "hub.verify_token": "v"}
    for path in (DOOR, f"{DOOR}/facebook"):
        answer = await http.get(path, params=meta)
        assert (answer.status_code, answer.text) == (200, "1158201444")
        assert answer.headers["content-type"].startswith("text/plain")
    assert is_refusal(await http.get(DOOR, params={**meta, "hub.verify_token": "w"}))

    answer = await http.get(DOOR, params={"challengeCode": "890e4665"})
    digest = hmac.new(SECRET.encode(), b"890e4665", hashlib.sha256).hexdigest()
    assert answer.json() == {"challengeCode": "890e4665", "challengeResponse": digest}

    answer = await http.get(DOOR, params={"crc_token": "challenge_string"})
    assert (
        answer.json()["response_token"] == send("twitter", b"challenge_string").headers["x-twitter-webhooks-signature"]
    )

    answer = await office.hook("slack", {"type": "url_verification", "challenge": "3eZbrw1a"})
    assert answer.text == "3eZbrw1a"

    answer = await office.hook("discord", {"version": 1, "application_id": "1", "type": 0})
    assert (answer.status_code, answer.content) == (204, b"") and answer.headers["content-type"] == "application/json"
    answer = await office.hook("discord", {"type": 1, "id": "5"})
    assert answer.json() == {"type": 1}

    body = {"challenge": "pogchamp", "subscription": {"type": "stream.online"}}
    answer = await office.hook("twitch", body, kind="webhook_callback_verification")
    assert answer.text == "pogchamp"
    assert await stored(office) == 0, "a handshake is no delivery"


async def test_telegrams_address_names_the_bot(office: Office) -> None:
    bot = await office.connect("telegram", BOT)
    sent = replace(send("telegram", harmless("telegram"), time.time()), query={})
    response = await office.call(sent, f"{DOOR}/telegram/{bot}")
    assert response.status_code == 200 and not response.content
    other = await office.connect("telegram", "987", org="globex")
    assert is_refusal(await office.call(sent, f"{DOOR}/telegram/{other}"))
    slack = await office.connect("slack", "T1")
    assert is_refusal(await office.call(sent, f"{DOOR}/telegram/{slack}"))
    assert await office.value("SELECT query ->> 'account' FROM webhook_delivery") == BOT


async def test_equal_bodies_are_told_apart_where_the_vendor_numbers_its_deliveries(office: Office) -> None:
    body = harmless("twitch")
    for number in ("one", "two", "one"):
        await office.hook("twitch", body, number=number)
    assert await stored(office) == 2


async def test_the_same_source_may_not_call_without_end(settings: Any) -> None:
    from tests.integration.api.conftest import serving

    few = settings.model_copy(update={"webhooks": settings.webhooks.model_copy(update={"per_source": 1})})
    async with serving(few) as api:
        office = Office(api)
        calls = (office.call(send("slack", harmless("slack", number), time.time())) for number in range(20))
        answers = await asyncio.gather(*calls)
        assert 429 in {answer.status_code for answer in answers}
        assert next(a for a in answers if a.status_code == 429).headers["retry-after"]
        assert (await api.http.get("/healthz")).status_code == 200


async def test_a_client_that_hangs_up_harms_neither_its_group_nor_its_row(office: Office) -> None:
    async with office.api.runtime.database.transaction() as blocker:
        await blocker.execute("LOCK TABLE webhook_delivery IN SHARE MODE")
        calls = [asyncio.create_task(office.call(send("slack", harmless("slack", n), time.time()))) for n in range(20)]
        waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'webhook_delivery'::regclass"
        async with asyncio.timeout(30):
            while not await office.value(waiting):
                await asyncio.sleep(0.01)
        for call in calls[::2]:
            call.cancel()
        await asyncio.wait(calls[::2])
    answers = await asyncio.gather(*calls[1::2])
    assert {answer.status_code for answer in answers} == {200}
    assert await stored(office) == 20


async def test_what_cannot_be_stored_in_time_is_left_to_the_vendor(settings: Any) -> None:
    from tests.integration.api.conftest import serving

    hasty = settings.model_copy(update={"webhooks": settings.webhooks.model_copy(update={"patience_s": 0.2})})
    async with serving(hasty) as api:
        office = Office(api)
        sent = send("slack", harmless("slack"), time.time())
        async with api.runtime.database.transaction() as blocker:
            await blocker.execute("LOCK TABLE webhook_delivery IN SHARE MODE")
            response = await office.call(sent)
            assert response.status_code == 503 and response.headers["retry-after"]
        async with asyncio.timeout(60):
            while (await office.call(sent)).status_code != 200:
                await asyncio.sleep(0.05)
        assert await stored(office) == 1


async def test_answers_do_not_depend_on_what_is_there(office: Office) -> None:
    """Whether an integration exists cannot be found out by asking."""
    there = await office.connect("telegram", BOT)
    answers = [
        await office.api.http.post(f"{DOOR}/{path}", content=b"{}")
        for path in (f"telegram/{there}", "telegram/999999", "telegram", "nobody", "nobody/1", "")
    ]
    assert len({(answer.status_code, answer.content, str(answer.headers)) for answer in answers}) == 1
    assert json.loads(REFUSED.body)["detail"] == "This call is not accepted."
