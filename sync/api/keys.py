"""Public keys of an identity provider (JWKS), from a URL or a file.

Cached; an unknown key id means the provider may have rotated, so the set is read again, but at most every
`REFETCH_S`: a client that invents key ids must not make us hammer the provider. While the provider is down, keys
read less than `STALE_S` ago still count; after that the API answers 503, since a withdrawn key could hide there.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import jwt

from sync.base.errors import ConfigurationError, Transient
from sync.base.logs import get_logger

log = get_logger(__name__)

FRESH_S = 600.0
REFETCH_S = 30.0
STALE_S = 3600.0
MIN_MODULUS_BITS = 2048
_MAX_DOCUMENT_BYTES = 1_000_000

Fetch = Callable[[], Awaitable[bytes]]


class KeySet:
    """RSA keys by key id. `fetch` returns the JWKS document and may raise anything."""

    def __init__(self, fetch: Fetch, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._fetch = fetch
        self._monotonic = monotonic
        self._keys: dict[str | None, Any] = {}
        self._read_at: float | None = None
        self._tried_at: float | None = None
        self._lock = asyncio.Lock()

    async def find(self, key_id: str | None) -> Any | None:
        """The public key, or None when the provider does not have it. Errors: Transient without any usable keys."""
        if self._age() > FRESH_S or self._lookup(key_id) is None:
            await self._refresh(key_id)
        if self._age() > STALE_S:
            raise Transient("The identity provider's keys cannot be read.", retry_after_s=REFETCH_S)
        return self._lookup(key_id)

    def _age(self) -> float:
        return float("inf") if self._read_at is None else self._monotonic() - self._read_at

    def _lookup(self, key_id: str | None) -> Any | None:
        if key_id is None and len(self._keys) == 1:
            return next(iter(self._keys.values()))
        return self._keys.get(key_id)

    async def _refresh(self, key_id: str | None) -> None:
        async with self._lock:
            if self._age() <= FRESH_S and self._lookup(key_id) is not None:
                return  # another request has just read them
            if self._tried_at is not None and self._monotonic() - self._tried_at < REFETCH_S:
                return
            self._tried_at = self._monotonic()
            try:
                self._keys = parse_jwks(await self._fetch())
                self._read_at = self._monotonic()
            except Exception as error:  # whatever it is, the keys we have go on until they are stale
                log.warning("auth.keys_unreadable", error=str(error))


def parse_jwks(document: bytes) -> dict[str | None, Any]:
    """RSA signing keys of a JWKS document by key id; keys of other sorts or uses are left out.

    Errors: ConfigurationError when no usable key is in it.
    """
    entries = [entry for entry in json.loads(document).get("keys", []) if _signs_rs256(entry)]
    keys = {entry.get("kid"): jwt.PyJWK(entry, algorithm="RS256").key for entry in entries}
    keys = {kid: key for kid, key in keys.items() if key.key_size >= MIN_MODULUS_BITS}
    if not keys:
        raise ConfigurationError(f"The JWKS holds no RSA signing key of {MIN_MODULUS_BITS} bits or more.")
    return keys


def _signs_rs256(entry: dict[str, Any]) -> bool:
    return entry.get("kty") == "RSA" and entry.get("use", "sig") == "sig" and entry.get("alg", "RS256") == "RS256"


def from_file(path: Path) -> Fetch:
    async def fetch() -> bytes:
        return await asyncio.to_thread(path.read_bytes)

    return fetch


def from_url(url: str) -> Fetch:
    """Errors: ConfigurationError for plain http outside this machine: whoever answers decides who may enter."""
    parts = urlsplit(url)
    if parts.scheme != "https" and parts.hostname not in {"127.0.0.1", "::1", "localhost"}:
        raise ConfigurationError("SYNC_AUTH__JWKS_URL must begin with https://.")

    async def fetch() -> bytes:
        import httpx

        async with httpx.AsyncClient(timeout=5, follow_redirects=False) as client:
            async with client.stream("GET", url) as response:
                response.raise_for_status()
                document = b""
                async for chunk in response.aiter_bytes():
                    document += chunk
                    if len(document) > _MAX_DOCUMENT_BYTES:
                        raise ConfigurationError("The JWKS document is larger than 1 MB.")
                return document

    return fetch
