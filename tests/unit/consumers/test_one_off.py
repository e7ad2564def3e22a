from __future__ import annotations

import base64
import hashlib
import hmac

import msgspec
import pytest

from sync.base.errors import Permanent, RateLimited, Transient
from sync.base.outbound_http import Answer
from sync.consumers.one_off import HttpCall, HttpCaller, encode_body, judge, one_off_kinds
from sync.consumers.secrets import new_signing_key, signing_bytes
from sync.consumers.signing import signature_headers
from sync.jobs.catalogue import Catalogue


def answer(status: int, body: bytes = b"") -> Answer:
    return Answer(status, {}, body, False, 0.01)


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_success_is_done(status: int) -> None:
    judge(answer(status))


@pytest.mark.parametrize("status", [302, 303, 307, 408, 425, 500, 501, 502, 503, 504, 599])
def test_passing_trouble_is_tried_again(status: int) -> None:
    with pytest.raises(Transient) as raised:
        judge(answer(status), retry_after_s=7)
    assert raised.value.retry_after_s == 7


def test_too_many_requests_is_a_rate_limit() -> None:
    with pytest.raises(RateLimited) as raised:
        judge(answer(429), retry_after_s=30)
    assert raised.value.retry_after_s == 30


@pytest.mark.parametrize("status", [300, 301, 304, 308, 400, 401, 403, 404, 405, 410, 413, 422, 451])
def test_refusals_are_final(status: int) -> None:
    with pytest.raises(Permanent):
        judge(answer(status))


def test_the_error_quotes_the_answer_but_not_all_of_it() -> None:
    with pytest.raises(Permanent) as raised:
        judge(answer(400, b"no such event\x00\xff" + b"x" * 10_000))
    assert "no such event" in str(raised.value)
    assert len(str(raised.value)) < 700
    assert "\x00" not in str(raised.value)


def test_signature_of_the_specification_example() -> None:
    # The example of the Standard Webhooks specification and its reference libraries.
    headers = signature_headers(
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1614265330,
        b'{"test": 2432232314}',
        ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"],
    )
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_rotation_signs_with_both_keys() -> None:
    old, new = new_signing_key(), new_signing_key()
    parts = signature_headers("msg_1", 1, b"{}", [new, old])["webhook-signature"].split(" ")
    expected = [
        "v1," + base64.b64encode(hmac.new(signing_bytes(key), b"msg_1.1.{}", hashlib.sha256).digest()).decode()
        for key in (new, old)
    ]
    assert parts == expected


def test_without_a_key_the_message_is_identified_only() -> None:
    assert signature_headers("msg_1", 5, b"", []) == {"webhook-id": "msg_1", "webhook-timestamp": "5"}


def test_bodies() -> None:
    assert encode_body(None) == (b"", None)
    assert encode_body("plain") == (b"plain", "text/plain; charset=utf-8")
    assert encode_body({"a": [1, None]}) == (b'{"a":[1,null]}', "application/json")


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"url": ""},
        {"url": "https://example.com/" + "a" * 3000},
        {"url": "https://example.com", "method": "TRACE"},
        {"url": "https://example.com", "timeout_s": 0},
        {"url": "https://example.com", "timeout_s": 3600},
        {"url": "https://example.com", "headers": {"X-A": "1\r\nHost: evil"}},
        {"url": "https://example.com", "headers": {"X A": "1"}},
        {"url": "https://example.com", "headers": {"Host": "internal"}},
        {"url": "https://example.com", "headers": {"Webhook-Signature": "v1,forged"}},
        {"url": "https://example.com", "headers": {"Transfer-Encoding": "chunked"}},
        {"url": "https://example.com", "secret_headers": {"Content-Length": "k"}},
        {"url": "https://example.com", "message_id": "a b"},
        {"url": "https://example.com", "signing_secret": "whsec_AAAA"},
    ],
)
def test_wrong_arguments_are_refused_when_enqueued(wrong: dict[str, object]) -> None:
    kind = one_off_kinds(HttpCaller(secrets=None, settings=None))[0]  # type: ignore[arg-type]
    with pytest.raises(Permanent, match=r"arguments of http\.call"):
        kind.encode(wrong)


def test_arguments_keep_their_defaults_short() -> None:
    kind = Catalogue(one_off_kinds(HttpCaller(secrets=None, settings=None))).get("http.call")  # type: ignore[arg-type]
    stored = msgspec.json.decode(kind.encode({"url": "https://example.com/hook", "body": {"n": 1}}), type=HttpCall)
    assert stored == HttpCall(url="https://example.com/hook", body={"n": 1})
