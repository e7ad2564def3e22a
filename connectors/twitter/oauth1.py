"""Signatures of OAuth 1.0a, HMAC-SHA1 (RFC 5849), which the Ads API still wants."""

from __future__ import annotations

import hmac
from base64 import b64encode
from collections.abc import Iterable, Mapping
from hashlib import sha1
from urllib.parse import quote


def authorization(
    method: str,
    url: str,
    params: Iterable[tuple[str, str]],
    *,
    consumer: tuple[str, str],
    token: tuple[str, str],
    nonce: str,
    timestamp: int,
) -> str:
    """The Authorization header of a call; `consumer` and `token` are keys with their secrets."""
    oauth = {
        "oauth_consumer_key": consumer[0],
        "oauth_nonce": nonce,
        "oauth_signature_method": "HMAC-SHA1",
        "oauth_timestamp": str(timestamp),
        "oauth_token": token[0],
        "oauth_version": "1.0",
    }
    oauth["oauth_signature"] = signature(method, url, [*oauth.items(), *params], consumer[1], token[1])
    return "OAuth " + ", ".join(f'{name}="{escaped(value)}"' for name, value in oauth.items())


def signature(method: str, url: str, params: Iterable[tuple[str, str]], consumer_secret: str, token_secret: str) -> str:
    pairs = sorted((escaped(name), escaped(value)) for name, value in params)
    base = "&".join((method.upper(), escaped(url), escaped("&".join(f"{name}={value}" for name, value in pairs))))
    key = f"{escaped(consumer_secret)}&{escaped(token_secret)}"
    return b64encode(hmac.new(key.encode(), base.encode(), sha1).digest()).decode()


def escaped(value: str) -> str:
    return quote(value, safe="-._~")


def pairs(params: Mapping[str, object]) -> list[tuple[str, str]]:
    """Parameters as they go out: None left out, lists repeated."""
    found: list[tuple[str, str]] = []
    for name, value in params.items():
        values = value if isinstance(value, list | tuple) else [value]
        found += [(name, _plain(one)) for one in values if one is not None]
    return found


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
