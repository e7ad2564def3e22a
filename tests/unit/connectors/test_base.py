from __future__ import annotations

import pytest

from connectors.base import Credentials, check_fields, find_sync_type
from connectors.registry import PLATFORMS, describe, find_connector
from sync.base.errors import ConfigurationError

EMAIL = PLATFORMS["email"]


def test_defaults_are_filled_in_and_secrets_kept_apart() -> None:
    given = check_fields(EMAIL, {"host": "imap.example.com"}, {"password": "x"}, operator=False)
    assert given.config == {
        "host": "imap.example.com",
        "port": 993,
        "security": "tls",
        "folder": "INBOX",
        "private_host": False,
    }
    assert dict(given.credentials) == {"password": "x"}


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({}, "host is needed"),
        ({"host": 7}, "host must be text"),
        ({"host": "x", "port": "993"}, "port must be integer"),
        ({"host": "x", "port": True}, "port must be integer"),
        ({"host": "x", "security": "starttls"}, "one of tls, plain"),
        ({"host": "x", "since": "soon"}, "a date like"),
        ({"host": "x", "colour": "red"}, "'colour' is not a field"),
        ({"host": "x", "password": "red"}, "password is a secret"),
        ({"host": "x", "private_host": True}, "operator of this installation only"),
    ],
)
def test_problems_are_said_in_words(config: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        check_fields(EMAIL, config, {}, operator=False)


def test_the_operator_may_open_the_private_network() -> None:
    assert check_fields(EMAIL, {"host": "x", "private_host": True}, {}, operator=True).config["private_host"]


def test_credentials_do_not_print() -> None:
    assert "hunter2" not in repr(Credentials({"password": "hunter2"}))


def test_unknown_names_list_the_known_ones() -> None:
    with pytest.raises(ConfigurationError, match=r"there are: .*email"):
        find_connector("fax")
    with pytest.raises(ConfigurationError, match="it has: messages"):
        find_sync_type(EMAIL, "letters")


def test_the_registry_describes_itself() -> None:
    (email,) = [item for item in describe() if item["platform"] == "email"]
    assert email["syncTypes"][0]["name"] == "messages"
    assert {"startDate", "endDate", "force"} == {option["name"] for option in email["syncTypes"][0]["options"]}
    assert [item["name"] for item in email["fields"] if item["secret"]] == ["password", "access_token"]


def test_platforms_are_filed_under_their_own_slug() -> None:
    assert all(connector.platform == slug for slug, connector in PLATFORMS.items())
