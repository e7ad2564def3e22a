"""Chance without state: the same question gets the same answer, in any order and on any machine.

Lazily made records need this: record 73,412 must look the same whether or not the ones before it were ever made.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from functools import lru_cache
from typing import TypeVar

T = TypeVar("T")

_MASK = (1 << 64) - 1


@lru_cache(maxsize=65_536)
def _number(part: int | str) -> int:
    return part if isinstance(part, int) else zlib.crc32(part.encode()) * 0x9E3779B1


def mix(*parts: int | str) -> int:
    """A 64-bit number that depends on every part (splitmix64)."""
    x = 0x9E3779B97F4A7C15
    for part in parts:
        x = (x ^ _number(part)) * 0xBF58476D1CE4E5B9 & _MASK
        x = (x ^ (x >> 27)) * 0x94D049BB133111EB & _MASK
        x ^= x >> 31
    return x


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
