"""Tokens: what gets in, what does not, and what the refusal says."""

from __future__ import annotations

import base64
import hmac
import json
import time
from hashlib import sha256
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization

from sync.api.auth import RIGHTS, Principal, Right, Role, TokenVerifier
from sync.api.keys import FRESH_S, REFETCH_S, STALE_S, KeySet, from_file, from_url, parse_jwks
from sync.base.errors import ApiError, ConfigurationError, Transient
from sync.base.settings import AuthSettings
from tests.fakes.tokens import SECRET, Issuer, token


@pytest.fixture(scope="module")
def issuer() -> Issuer:
    return Issuer("k1")


def hs256(**settings: Any) -> TokenVerifier:
    return TokenVerifier(AuthSettings(secret=SECRET, **settings))


def rs256(issuer: Issuer, monotonic: Any = time.monotonic, **settings: Any) -> TokenVerifier:
    return TokenVerifier(AuthSettings(jwks_url="https://id.example/jwks", **settings), KeySet(issuer.fetch, monotonic))


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


async def refusal(verifier: TokenVerifier, text: str) -> ApiError:
    with pytest.raises(ApiError) as caught:
        await verifier.verify(text)
    assert caught.value.status == 401
    assert caught.value.fields["headers"]["WWW-Authenticate"].startswith('Bearer realm="sync", error="invalid_token"')
    return caught.value


async def test_a_good_token_becomes_a_principal() -> None:
    principal = await hs256().verify(token("acme", "operator", sub="grace"))
    assert principal == Principal("grace", "acme", Role.OPERATOR, platform=False, runs_install=False)


@pytest.mark.parametrize("exp", [4_000_000_000, 4_000_000_000.5, "4000000000"])
async def test_it_is_good_until_its_end_and_the_leeway(exp: object) -> None:
    verifier = TokenVerifier(AuthSettings(secret=SECRET, leeway_s=20))
    assert (await verifier.verify(token(exp=exp))).expires_at == 4_000_000_020


@pytest.mark.parametrize(
    ("claims", "word"),
    [
        ({"exp": int(time.time()) - 3600}, "expired"),
        ({"exp": None}, "`exp`"),
        ({"sub": None}, "`sub`"),
        ({"org": None}, "`org`"),
        ({"role": None}, "`role`"),
        ({"nbf": int(time.time()) + 3600}, "not valid yet"),
        ({"org": "sync:evil:org"}, "org id"),
        ({"org": 17}, "org id"),
        ({"org": ["acme"]}, "org id"),
        ({"role": "root"}, "viewer"),
        ({"role": ["admin"]}, "viewer"),
        ({"sub": ""}, "`sub`"),
        ({"sub": "a\x00b"}, "`sub`"),
        ({"sub": 5}, "malformed"),
        ({"platform": "yes"}, "`platform`"),
    ],
)
async def test_wrong_claims_are_refused_by_name(claims: dict[str, Any], word: str) -> None:
    org, role = claims.pop("org", "acme"), claims.pop("role", "admin")
    error = await refusal(hs256(), token(org, role, **claims))
    assert word in (error.detail or "")


@pytest.mark.parametrize("text", ["", "x", "a.b.c", "e30.e30.", "." * 9000])
async def test_garbage_is_refused(text: str) -> None:
    await refusal(hs256(), text)


async def test_another_secret_is_refused() -> None:
    await refusal(hs256(), token(secret="x" * 40))


async def test_a_token_without_signature_is_refused() -> None:
    claims = {"sub": "a", "org": "acme", "role": "admin", "exp": int(time.time()) + 600}
    for algorithm in ("none", "None", "NONE"):
        head = b64(json.dumps({"alg": algorithm, "typ": "JWT"}).encode())
        await refusal(hs256(), f"{head}.{b64(json.dumps(claims).encode())}.")


async def test_the_public_key_is_no_hmac_secret(issuer: Issuer) -> None:
    """Algorithm confusion: HS256 over the published key, sent to an RS256 install."""
    public = issuer.keys["k1"].public_key()
    pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    claims = {"sub": "a", "org": "acme", "role": "admin", "exp": int(time.time()) + 600}
    signed = f"{b64(json.dumps({'alg': 'HS256', 'kid': 'k1'}).encode())}.{b64(json.dumps(claims).encode())}"
    forged = f"{signed}.{b64(hmac.new(pem, signed.encode(), sha256).digest())}"
    await refusal(rs256(issuer), forged)
    await refusal(
        TokenVerifier(AuthSettings(secret=SECRET, jwks_url="https://id.example/"), KeySet(issuer.fetch)), forged
    )


async def test_issuer_and_audience_are_checked_when_set() -> None:
    verifier = hs256(issuer="https://id.example", audience="sync")
    assert await verifier.verify(token(iss="https://id.example", aud="sync"))
    assert "issuer" in ((await refusal(verifier, token(iss="https://other", aud="sync"))).detail or "")
    assert "audience" in ((await refusal(verifier, token(iss="https://id.example", aud="crm"))).detail or "")
    assert "`aud`" in ((await refusal(verifier, token(iss="https://id.example"))).detail or "")
    assert await hs256().verify(token(aud="whatever"))


async def test_rs256_by_key_id(issuer: Issuer) -> None:
    verifier = rs256(issuer)
    assert (await verifier.verify(issuer.token("k1"))).org_id == "acme"
    await refusal(verifier, token())
    await refusal(hs256(), issuer.token("k1"))


async def test_a_rotated_key_is_fetched_once_and_strangers_do_not_cause_more() -> None:
    issuer, now = Issuer("old"), 1000.0
    verifier = rs256(issuer, lambda: now)
    await verifier.verify(issuer.token("old"))
    stranger = Issuer("stranger")
    for _ in range(5):
        await refusal(verifier, stranger.token("stranger"))
    assert issuer.fetches == 1, "an unknown key id within the pause must not reach the provider"
    issuer.keys |= Issuer("new").keys
    now += REFETCH_S + 1
    assert await verifier.verify(issuer.token("new"))
    assert issuer.fetches == 2
    await verifier.verify(issuer.token("old"))
    assert issuer.fetches == 2


async def test_a_withdrawn_key_stops_working() -> None:
    issuer, now = Issuer("a", "b"), 1000.0
    verifier = rs256(issuer, lambda: now)
    withdrawn = issuer.token("a")
    await verifier.verify(withdrawn)
    del issuer.keys["a"]
    now += FRESH_S + 1
    await refusal(verifier, withdrawn)


async def test_keys_outlive_a_short_outage_of_the_provider_but_not_a_long_one() -> None:
    issuer, now = Issuer("a"), 1000.0
    verifier = rs256(issuer, lambda: now)
    await verifier.verify(issuer.token("a"))
    issuer.down = True
    now += FRESH_S + 1
    await verifier.verify(issuer.token("a"))
    now += STALE_S
    with pytest.raises(Transient):
        await verifier.verify(issuer.token("a"))
    issuer.down = False
    now += REFETCH_S + 1
    assert await verifier.verify(issuer.token("a"))


def test_only_rsa_signing_keys_of_some_size_count() -> None:
    weak = Issuer("weak", bits=1024)
    with pytest.raises(ConfigurationError):
        parse_jwks(weak.jwks())
    entry = json.loads(Issuer("a").jwks())["keys"][0]
    for wrong in ({"use": "enc"}, {"alg": "RS512"}, {"kty": "oct"}):
        with pytest.raises(ConfigurationError):
            parse_jwks(json.dumps({"keys": [{**entry, **wrong}]}).encode())


async def test_keys_from_a_file(issuer: Issuer, tmp_path: Any) -> None:
    path = tmp_path / "jwks.json"
    path.write_bytes(issuer.jwks())
    verifier = TokenVerifier(AuthSettings(jwks_file=path))
    assert await verifier.verify(issuer.token("k1"))
    assert await from_file(path)() == issuer.jwks()


def test_settings_that_cannot_be_safe_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="JWKS"):
        TokenVerifier(AuthSettings())
    with pytest.raises(ConfigurationError, match="32 bytes"):
        TokenVerifier(AuthSettings(secret="short"))
    with pytest.raises(ConfigurationError, match="https"):
        from_url("http://id.example/jwks")
    from_url("http://127.0.0.1:9/jwks")


def test_each_role_has_the_rights_of_the_table() -> None:
    assert {role: len(rights) for role, rights in RIGHTS.items()} == {
        "viewer": 1,
        "service": 2,
        "operator": 3,
        "admin": 4,
    }
    assert Right.ADMINISTER not in RIGHTS[Role.OPERATOR]
    assert Right.OPERATE not in RIGHTS[Role.SERVICE]


@pytest.mark.parametrize(
    ("settings", "role", "claims", "may"),
    [
        ({}, "admin", {}, True),
        ({}, "operator", {}, False),
        ({"require_platform": True}, "admin", {}, False),
        ({"require_platform": True}, "admin", {"platform": True}, True),
    ],
)
async def test_who_may_act_on_whole_queues(
    settings: dict[str, Any], role: str, claims: dict[str, Any], may: bool
) -> None:
    assert (await hs256(**settings).verify(token(role=role, **claims))).runs_install is may


async def test_the_systems_own_org_needs_it_too() -> None:
    await refusal(hs256(require_platform=True), token("_system"))
    await refusal(hs256(), token("_system", "operator"))
    assert (await hs256(require_platform=True).verify(token("_system", platform=True))).org_id == "_system"


async def test_an_identity_provider_makes_the_platform_claim_necessary(issuer: Issuer) -> None:
    assert not (await rs256(issuer).verify(issuer.token("k1"))).runs_install
    assert (await rs256(issuer).verify(issuer.token("k1", platform=True))).runs_install
    local = await rs256(issuer, require_platform=False).verify(issuer.token("k1"))
    assert local.runs_install and not local.platform, "other orgs' rows stay out of sight without the claim"
