"""The Graph API's `fields`: which fields of a node, with nested edges and their modifiers."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

_NAME = re.compile(r"[\w]+")


@dataclass(frozen=True, slots=True)
class Want:
    """`comments.limit(5).summary(total_count){id,message}` is name, modifiers and sub-fields."""

    name: str
    modifiers: tuple[tuple[str, str], ...] = ()
    fields: tuple[Want, ...] = ()

    def modifier(self, name: str) -> str | None:
        return next((value for modifier, value in self.modifiers if modifier == name), None)


class BadFields(ValueError):
    pass


@lru_cache(maxsize=500)
def parse(text: str) -> tuple[Want, ...]:
    wants, rest = _list(text.replace(" ", ""))
    if rest:
        raise BadFields(rest)
    return wants


def _list(text: str) -> tuple[tuple[Want, ...], str]:
    wants: list[Want] = []
    while text and not text.startswith("}"):
        match = _NAME.match(text)
        if match is None:
            raise BadFields(text)
        name, text = match[0], text[match.end() :]
        modifiers: list[tuple[str, str]] = []
        while text.startswith("."):
            modifier, _, text = text[1:].partition("(")
            value, closed, text = text.partition(")")
            if not closed:
                raise BadFields(name)
            modifiers.append((modifier, value))
        inner: tuple[Want, ...] = ()
        if text.startswith("{"):
            inner, text = _list(text[1:])
            if not text.startswith("}"):
                raise BadFields(name)
            text = text[1:]
        wants.append(Want(name, tuple(modifiers), inner))
        text = text.removeprefix(",")
    return tuple(wants), text
