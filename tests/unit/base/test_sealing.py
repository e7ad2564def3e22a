from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr

from sync.base.errors import ConfigurationError, Permanent
from sync.base.sealing import Sealer, key_file, new_key
from sync.base.settings import SecretsSettings


def _sealer(current: str | None, **keys: str) -> Sealer:
    return Sealer(SecretsSettings(keys={name: SecretStr(key) for name, key in keys.items()}, current=current))


def test_what_is_sealed_opens_in_its_place_only() -> None:
    sealer = _sealer("a", a=new_key())
    sealed = sealer.seal(b"hunter2", "integration/acme/email/ada")
    assert b"hunter2" not in sealed
    assert sealer.open(sealed, "integration/acme/email/ada") == b"hunter2"
    with pytest.raises(Permanent):
        sealer.open(sealed, "integration/acme/email/bob")


def test_sealing_twice_gives_two_values() -> None:
    sealer = _sealer("a", a=new_key())
    assert sealer.seal(b"x", "c") != sealer.seal(b"x", "c")


@pytest.mark.parametrize("index", [0, 1, 2, 3, 10, -1])
def test_a_changed_byte_is_noticed(index: int) -> None:
    sealer = _sealer("a", a=new_key())
    sealed = bytearray(sealer.seal(b"hunter2", "c"))
    sealed[index] ^= 1
    with pytest.raises((Permanent, ConfigurationError)):
        sealer.open(bytes(sealed), "c")


@pytest.mark.parametrize("value", [b"", b"\x01", b"\x01\x05ab", b"plain text"])
def test_garbage_is_refused(value: bytes) -> None:
    with pytest.raises(Permanent):
        _sealer("a", a=new_key()).open(value, "c")


def test_keys_rotate() -> None:
    old, new = new_key(), new_key()
    sealed = _sealer("old", old=old).seal(b"x", "c")
    both = _sealer("new", old=old, new=new)
    assert both.open(sealed, "c") == b"x"
    assert both.stale(sealed)
    assert not both.stale(both.seal(b"x", "c"))
    with pytest.raises(ConfigurationError, match="'old'"):
        _sealer("new", new=new).open(sealed, "c")


def test_without_a_key_nothing_is_sealed() -> None:
    with pytest.raises(ConfigurationError, match="SYNC_SECRETS__KEYS"):
        _sealer(None).seal(b"x", "c")


def test_a_key_must_be_32_bytes_of_base64() -> None:
    for key in ("short", "c2hvcnQ=", "ä"):
        with pytest.raises(ConfigurationError, match="32 random bytes"):
            _sealer("a", a=key)


def test_the_key_file_is_made_once_and_private(tmp_path: Path) -> None:
    path = tmp_path / "var" / "keys.json"
    first = key_file(path)
    assert key_file(path) == first
    assert path.stat().st_mode & 0o777 == 0o600
    assert [p.name for p in path.parent.iterdir()] == ["keys.json"]
