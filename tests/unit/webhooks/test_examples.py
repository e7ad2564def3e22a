"""The worked examples of every vendor's documentation: what they sign is taken, one byte more is not."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest

from connectors.http import Hook, HttpConnector
from connectors.http.streams import Webhook
from connectors.registry import PLATFORMS
from connectors.twitch.webhook import _when

SLACK = "8f742231b10e8888abcd99yyyzzz85a5"
DISCORD = "03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8"
TWITCH_TIME = "2019-11-16T10:11:12.634234626Z"
TWITCH_BODY = (
    '{"challenge":"pogchamp-kappa-360noscope-vohiyo","subscription":{"id":"f1c2a387-161a-49f9-a165-0f21d7a4e1c4",'
    '"status":"webhook_callback_verification_pending","type":"channel.follow","version":"2","cost":1,"condition":'
    '{"broadcaster_user_id":"12826","moderator_user_id":"12826"},"transport":{"method":"webhook","callback":'
    '"https://example.com/webhooks/callback"},"created_at":"2019-11-16T10:11:12.634234626Z"}}'
)
NO_WEBHOOKS = {"pinterest", "snapchat", "reddit", "google_ads"}
"""Nothing of what they call webhooks concerns what is pulled, and none of it is signed in a way that is documented."""


@dataclass(frozen=True)
class Example:
    platform: str
    secrets: dict[str, str]
    headers: dict[str, str]
    body: str
    at: float = 0.0
    query: dict[str, str] = field(default_factory=dict)

    @property
    def hook(self) -> Hook:
        return Hook("POST", self.headers, self.query, self.body.encode(), self.at, self.secrets)


def meta(body: str, digest: str) -> Example:
    return Example("facebook", {"client_secret": "test_app_secret"}, {"x-hub-signature-256": f"sha256={digest}"}, body)


def slack(at: int, body: str, digest: str) -> Example:
    headers = {"x-slack-request-timestamp": str(at), "x-slack-signature": f"v0={digest}"}
    return Example("slack", {"signing_secret": SLACK}, headers, body, at)


def discord(at: int, body: str, signature: str) -> Example:
    headers = {"x-signature-timestamp": str(at), "x-signature-ed25519": signature}
    return Example("discord", {"public_key": DISCORD}, headers, body, at)


def twitch(at: str, secret: str, digest: str) -> Example:
    headers = {
        "twitch-eventsub-message-id": "e76c6bd4-55c9-4987-8304-da1588d8988b",
        "twitch-eventsub-message-timestamp": at,
        "twitch-eventsub-message-type": "webhook_callback_verification",
        "twitch-eventsub-message-signature": f"sha256={digest}",
    }
    return Example("twitch", {"eventsub_secret": secret}, headers, TWITCH_BODY, _when(at) or 0)


EXAMPLES = (
    meta('{"object":"page","entry":[]}', "5da47c9c7409e70d7a1851f0cfd9bc27786bd99587a9bf1dd5b51e23a2de03cf"),
    meta(
        r'{"object":"page","entry":[{"id":"1","time":1,"changes":[{"field":"feed","value":{"message":'
        r'"caf\u00e9 \ud83d\ude00","link":"https:\/\/x.test\/a"}}]}]}',
        "e277997487f8308996c864a862bf2273c400675e2db54af3748ebeab1d7de162",
    ),
    Example(
        "linkedin",
        {"client_secret": "test_client_secret"},
        {"x-li-signature": "4539db4185c5d2e23cc7fe6b5334de283e2688d808c1bbf82fb94860f0595ba7"},
        '{"type":"ORGANIZATION_SOCIAL_ACTION_NOTIFICATIONS"}',
    ),
    Example(
        "twitter",
        {"consumer_secret": "test_consumer_secret"},
        {"x-twitter-webhooks-signature": "sha256=cm3R69SKb70cFabzYc+Y9gzwkVVco27A/ZMW7/wWKTg="},
        '{"for_user_id":"2244994945"}',
    ),
    slack(
        1531420618,
        "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V"
        "&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text="
        "&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN"
        "&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c",
        "a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503",
    ),
    slack(
        1764000000,
        '{"token":"z26uFbvR1xHJEdHE1OQiO6t8","team_id":"T123ABC456","api_app_id":"A123ABC456","event":{"type":"message",'
        '"user":"U222222222","text":"hello","ts":"1764000000.000100","channel":"C123ABC456",'
        '"event_ts":"1764000000.000100","channel_type":"channel"},"type":"event_callback","event_id":"Ev123ABC456",'
        '"event_time":1764000000}',
        "4a907a79e3880076b01bcc8a49358f85b516ffea854faf17517155c980b0c1d5",
    ),
    discord(
        1763924400,
        '{"version":1,"application_id":"1234560123453231555","type":0}',
        "d7b7f9f6940252e917acb3b109d3fa226dc58a17f13a8d7cd276d5acc0c04946"
        "dd64499e9a67c531ade7f24bfec746b948ed472e206689d4a2d2ad3425828b01",
    ),
    discord(
        1764000000,
        '{"type":1}',
        "47a1034af06f3cc1884487ce87c225ea40b720a2ef0e203951e830dcc79962bc"
        "0e8efb03ed0e25b9fceee3d04c02b68c8b976553a2952663677ee7f192f49e04",
    ),
    twitch(TWITCH_TIME, "s3cre7-twitch-test", "1b300472d15325bfc65ae7727505e78f6c8bb1dcba6ec6cdba26f4023b48664d"),
    twitch(
        "2026-11-23T19:00:00.123456789Z",
        "s3cRe7s3cRe7",
        "1384017ad658bf5d2c284be303af6fd2920f4d580a7b61a6382bf22559596293",
    ),
    Example(
        "tiktok",
        {"client_secret": "test_client_secret"},
        {"tiktok-signature": "t=1633174587,s=ea394e65a2a17fb25c06b53d180bf527e1584d7d0eb7f908304a021717e84b25"},
        '{"client_key":"bwo2m45353a6k85","event":"comment.update"}',
        1633174587,
    ),
)
IDS = [f"{example.platform}-{number}" for number, example in enumerate(EXAMPLES)]


def webhook(platform: str) -> Webhook:
    connector = PLATFORMS[platform]
    assert isinstance(connector, HttpConnector) and connector.webhook is not None
    return connector.webhook


@pytest.mark.parametrize("example", EXAMPLES, ids=IDS)
def test_a_documented_example_is_taken_and_nothing_near_it(example: Example) -> None:
    verify = webhook(example.platform).verify
    assert verify(example.hook)
    assert not verify(replace(example.hook, body=example.hook.body + b"\n"))
    assert not verify(replace(example.hook, body=b""))
    assert not verify(replace(example.hook, headers={}))
    for name in example.secrets:
        other = DISCORD[::-1] if name == "public_key" else example.secrets[name] + "x"
        assert not verify(replace(example.hook, secrets={name: other}))
        assert not verify(replace(example.hook, secrets={}))
    signature = webhook(example.platform).signed_by
    upper = {**example.headers, signature: example.headers[signature].swapcase()}
    if example.platform != "discord":  # hex of either case is the same bytes
        assert not verify(replace(example.hook, headers=upper))
    if example.at:
        assert verify(replace(example.hook, received_at=example.at + 200))
        assert not verify(replace(example.hook, received_at=example.at + 700))
        assert not verify(replace(example.hook, received_at=example.at - 700))


def test_the_bytes_count_not_what_they_mean() -> None:
    """Meta escapes what a JSON library would not: written anew, the same document has another signature."""
    example = EXAMPLES[1]
    plain = example.body.replace(r"\u00e9", "é").replace(r"\ud83d\ude00", "😀").replace(r"\/", "/")
    assert not webhook("facebook").verify(replace(example.hook, body=plain.encode()))


def test_documented_challenges() -> None:
    def answer(platform: str, secrets: dict[str, str], **query: str) -> str:
        found = webhook(platform).handshake(Hook("GET", {}, query, b"", 0, secrets))
        assert found is not None and found.status == 200
        return found.body

    linkedin = answer(
        "linkedin", {"client_secret": "test_client_secret"}, challengeCode="890e4665-4dfe-4ab1-b689-ed553bceeed0"
    )
    assert "2f02d4233a0396d6b4632fc7be62fd3ab68183421f688efcda0c1fcb2615273e" in linkedin
    x = answer("twitter", {"consumer_secret": "test_consumer_secret"}, crc_token="challenge_string")
    assert x == '{"response_token":"sha256=583uAmerwtjpykYEAEm+CEIRm6dOywK4QKRr0ha/Pd4="}'
    taken = webhook("twitch").handshake(EXAMPLES[IDS.index("twitch-8")].hook)
    assert taken is not None and taken.body == "pogchamp-kappa-360noscope-vohiyo"


def test_telegram_has_no_signature_but_a_secret_of_each_bot() -> None:
    from connectors.telegram.webhook import secret_of

    headers = {"x-telegram-bot-api-secret-token": secret_of("ours", "123")}
    hook = Hook("POST", headers, {"account": "123"}, b"{}", 0, {"webhook_secret": "ours"})
    assert webhook("telegram").verify(hook)
    assert not webhook("telegram").verify(replace(hook, query={"account": "124"}))
    assert not webhook("telegram").verify(replace(hook, secrets={"webhook_secret": ""}))


def test_all_twelve_platforms_are_covered() -> None:
    covered = {example.platform for example in EXAMPLES} | {"telegram"}
    assert covered | NO_WEBHOOKS == set(PLATFORMS) - {"email"}
    for platform in NO_WEBHOOKS:
        connector = PLATFORMS[platform]
        assert isinstance(connector, HttpConnector) and connector.webhook is None
