"""Tokens and keys for tests of the HTTP API."""

from __future__ import annotations

import json
import time
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

SECRET = "a-secret-for-tests-that-is-long-enough"
LIFE_S = 6 * 3600
"""Longer than a whole session: some tests have their tokens made when they are collected."""


def token(org: str = "acme", role: str = "admin", *, secret: str = SECRET, **claims: Any) -> str:
    """An HS256 token; a claim given as None is left out."""
    body = {"sub": "ada", "org": org, "role": role, "exp": int(time.time()) + LIFE_S, **claims}
    return jwt.encode({key: value for key, value in body.items() if value is not None}, secret, algorithm="HS256")


def bearer(org: str = "acme", role: str = "admin", **claims: Any) -> dict[str, str]:
    return {"Authorization": f"Bearer {token(org, role, **claims)}"}


class Issuer:
    """An identity provider: holds RSA keys and publishes the public halves."""

    def __init__(self, *key_ids: str, bits: int = 2048) -> None:
        self.keys = {key_id: rsa.generate_private_key(65537, bits) for key_id in key_ids}
        self.fetches = 0
        self.down = False

    def token(self, key_id: str, org: str = "acme", role: str = "admin", **claims: Any) -> str:
        body = {"sub": "ada", "org": org, "role": role, "exp": int(time.time()) + LIFE_S, **claims}
        return jwt.encode(body, self.keys[key_id], algorithm="RS256", headers={"kid": key_id})

    def jwks(self, *key_ids: str) -> bytes:
        entries = []
        for key_id in key_ids or self.keys:
            entry = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(self.keys[key_id].public_key()))
            entries.append({**entry, "kid": key_id, "use": "sig", "alg": "RS256"})
        return json.dumps({"keys": entries}).encode()

    async def fetch(self) -> bytes:
        self.fetches += 1
        if self.down:
            raise ConnectionError("the provider is down")
        return self.jwks()
