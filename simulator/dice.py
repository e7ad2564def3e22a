"""Chance without state: the same question gets the same answer, in any order and on any machine.

Lazily made records need this: record 73,412 must look the same whether or not the ones before it were ever made.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar
from zlib import crc32

T = TypeVar("T")

_MASK = (1 << 64) - 1


class _Texts(dict[str, int]):
    def __missing__(self, text: str) -> int:
        if len(self) > 100_000:
            self.clear()
        self[text] = number = crc32(text.encode())
        return number


_texts = _Texts()


def mix(*parts: int | str) -> int:
    """A 64-bit number that depends on every part. (Hashes of integers are the same in every process, of texts not.)"""
    x = hash(tuple([part if part.__class__ is int else _texts[part] for part in parts])) & _MASK  # type: ignore[index]
    x = (x ^ (x >> 31)) * 0x94D049BB133111EB & _MASK
    return x ^ (x >> 29)


def chance(*parts: int | str) -> float:
    """In [0, 1)."""
    return mix(*parts) / 18446744073709551616.0


def below(limit: int, *parts: int | str) -> int:
    return mix(*parts) % limit


def pick(options: Sequence[T], *parts: int | str) -> T:
    return options[mix(*parts) % len(options)]


def letters(length: int, alphabet: str, *parts: int | str) -> str:
    """A reproducible id or token over an alphabet."""
    size = len(alphabet)
    out: list[str] = []
    x, block = 0, 0
    for place in range(length):
        if place % 10 == 0:
            x = mix(block, length, *parts)
            block += 1
        x, index = divmod(x, size)
        out.append(alphabet[index])
    return "".join(out)


UPPER = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
LOWER = "abcdefghijklmnopqrstuvwxyz0123456789"
ALNUM = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
HEX = "0123456789abcdef"
DIGITS = "0123456789"
