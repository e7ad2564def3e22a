"""Credentials at rest: AES-256-GCM under a named key, bound to the place they belong to.

    sealed = version(1) | length of the key id(1) | key id | nonce(12) | ciphertext and tag

The header and the caller's context are authenticated too, so a sealed value copied into another account's row does not
open. Rotation: add a key, make it `current`, reseal what `stale()` names, then remove the old key.
"""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from sync.base.errors import ConfigurationError, Permanent

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    from sync.base.settings import SecretsSettings

_VERSION = 1
_NONCE = 12
_KEY_BYTES = 32


class Sealer:
    """Seals with the current key, opens with any. Holds keys in memory only; safe to share between threads."""

    def __init__(self, secrets: SecretsSettings) -> None:
        self._keys = {key_id: _decode(key_id, value.get_secret_value()) for key_id, value in secrets.keys.items()}
        self._current = secrets.current or (next(iter(self._keys)) if len(self._keys) == 1 else None)

    def seal(self, plain: bytes, context: str) -> bytes:
        """Encrypt `plain` for `context`, a string that names its place. Errors: ConfigurationError without a key."""
        if self._current is None:
            raise ConfigurationError(
                "There is no key to seal credentials with: set SYNC_SECRETS__KEYS and SYNC_SECRETS__CURRENT."
            )
        header = _header(self._current)
        nonce = os.urandom(_NONCE)
        return header + nonce + self._cipher(self._current).encrypt(nonce, plain, _bound(header, context))

    def open(self, sealed: bytes, context: str) -> bytes:
        """Decrypt. Errors: ConfigurationError if its key is not configured; Permanent if it was altered or moved."""
        from cryptography.exceptions import InvalidTag

        key_id = _key_id(sealed)
        if key_id not in self._keys:
            raise ConfigurationError(
                f"The sealing key {key_id!r} is not configured: add it back to SYNC_SECRETS__KEYS."
            )
        header = _header(key_id)
        nonce, body = sealed[len(header) : len(header) + _NONCE], sealed[len(header) + _NONCE :]
        try:
            return self._cipher(key_id).decrypt(nonce, body, _bound(header, context))
        except (InvalidTag, ValueError) as error:
            raise Permanent("A sealed value was altered, or belongs to another place.") from error

    def stale(self, sealed: bytes) -> bool:
        """Whether another key than the current one sealed this."""
        return _key_id(sealed) != self._current

    def _cipher(self, key_id: str) -> AESGCM:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        return AESGCM(self._keys[key_id])


def new_key() -> str:
    """A fresh key in the form that SYNC_SECRETS__KEYS wants."""
    return base64.b64encode(os.urandom(_KEY_BYTES)).decode()


def key_file(path: Path) -> SecretsSettings:
    """The keys kept in the JSON file at `path`, made with one fresh key if there is none: for a local profile.

    Two callers at once agree on one key: whoever creates the file first wins.
    """
    from sync.base.settings import SecretsSettings

    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{path.name}.{os.getpid()}")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump({"keys": {"local-1": new_key()}, "current": "local-1"}, file)
        try:
            os.link(draft, path)
        except FileExistsError:
            pass  # another process was faster; its key counts
        finally:
            draft.unlink()
    return SecretsSettings.model_validate_json(path.read_bytes())


def _decode(key_id: str, value: str) -> bytes:
    try:
        key = base64.b64decode(value, validate=True)
    except ValueError:
        key = b""
    if len(key) != _KEY_BYTES or not 1 <= len(key_id.encode()) <= 255:
        raise ConfigurationError(
            f"SYNC_SECRETS__KEYS[{key_id!r}] must be base64 of {_KEY_BYTES} random bytes, its name 1 to 255 bytes."
        )
    return key


def _header(key_id: str) -> bytes:
    name = key_id.encode()
    return bytes((_VERSION, len(name))) + name


def _key_id(sealed: bytes) -> str:
    if len(sealed) < 2 or sealed[0] != _VERSION or len(sealed) < 2 + sealed[1] + _NONCE:
        raise Permanent("This is not a sealed value.")
    return sealed[2 : 2 + sealed[1]].decode(errors="replace")


def _bound(header: bytes, context: str) -> bytes:
    return header + context.encode()
