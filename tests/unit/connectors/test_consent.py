"""The address of a vendor's consent page."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import parse_qs, urlsplit

import pytest

from connectors.base import Account, Credentials, Installation
from connectors.http.consent import authorize_url, oauth_of, scopes_of
from connectors.slack.connector import SLACK
from sync.base.errors import ConfigurationError

# RFC 7636, appendix B.
VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
CHALLENGE = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"


def account(**installation: object) -> Account:
    return Account("acme", "", {}, Credentials({}), Installation(client_id="us", **installation))  # type: ignore[arg-type]


def asked(**auth: object) -> dict[str, list[str]]:
    declared = oauth_of(SLACK)
    assert declared is not None
    url = authorize_url(
        SLACK, replace(declared, **auth), account(), redirect_uri="https://us/back", state="s", verifier=VERIFIER
    )
    assert url.startswith("https://slack.com/oauth/v2/authorize?")
    return parse_qs(urlsplit(url).query)


def test_what_every_vendor_is_asked() -> None:
    declared = oauth_of(SLACK)
    assert declared is not None
    query = asked()
    assert query.pop("scope") == [",".join(scopes_of(SLACK, declared))]
    assert query == {
        "client_id": ["us"],
        "response_type": ["code"],
        "redirect_uri": ["https://us/back"],
        "state": ["s"],
    }


def test_pkce_where_it_is_declared() -> None:
    query = asked(pkce=True)
    assert query["code_challenge"] == [CHALLENGE] and query["code_challenge_method"] == ["S256"]


def test_names_and_parameters_of_a_vendor() -> None:
    query = asked(client_id="client_key", authorize_params={"access_type": "offline", "response_type": "token"})
    assert query["client_key"] == ["us"] and "client_id" not in query
    assert query["access_type"] == ["offline"] and query["response_type"] == ["token"]


def test_an_installation_without_an_app() -> None:
    declared = oauth_of(SLACK)
    assert declared is not None
    nobody = replace(account(), installation=Installation())
    with pytest.raises(ConfigurationError, match="SYNC_CONNECTORS__APPS__SLACK"):
        authorize_url(SLACK, declared, nobody, redirect_uri="", state="", verifier="")
