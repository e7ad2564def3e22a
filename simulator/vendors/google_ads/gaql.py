"""The Google Ads Query Language, as much of it as reports need: one FROM, AND, no joins."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

_TOKEN = re.compile(r"\s*('(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|[A-Za-z_][\w.]*|-?\d+(?:\.\d+)?|!=|>=|<=|[=<>(),])")


class BadQuery(ValueError):
    """`code` is a value of queryError."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Condition:
    field: str
    operator: str
    values: tuple[Any, ...] = ()

    def holds(self, value: Any) -> bool:
        return _TESTS[self.operator](value, self.values)


@dataclass(frozen=True, slots=True)
class Query:
    fields: tuple[str, ...]
    resource: str
    conditions: tuple[Condition, ...] = ()
    order: tuple[tuple[str, bool], ...] = ()
    """(field, descending)"""
    limit: int | None = None

    def where(self, field: str) -> tuple[Condition, ...]:
        return tuple(condition for condition in self.conditions if condition.field == field)


def _same(value: Any, wanted: Any) -> bool:
    return str(value) == str(wanted) if not isinstance(value, bool) else str(value).upper() == str(wanted).upper()


def _number(value: Any) -> Any:
    return float(value) if isinstance(value, int | float) else value


def _compare(test: Callable[[Any, Any], bool]) -> Callable[[Any, tuple[Any, ...]], bool]:
    def holds(value: Any, values: tuple[Any, ...]) -> bool:
        if value is None:
            return False
        wanted = float(values[0]) if isinstance(value, int | float) else str(values[0])
        return test(_number(value), wanted)

    return holds


_TESTS: dict[str, Callable[[Any, tuple[Any, ...]], bool]] = {
    "=": lambda value, values: _same(value, values[0]),
    "!=": lambda value, values: not _same(value, values[0]),
    ">": _compare(lambda a, b: bool(a > b)),
    ">=": _compare(lambda a, b: bool(a >= b)),
    "<": _compare(lambda a, b: bool(a < b)),
    "<=": _compare(lambda a, b: bool(a <= b)),
    "IN": lambda value, values: any(_same(value, wanted) for wanted in values),
    "NOT IN": lambda value, values: not any(_same(value, wanted) for wanted in values),
    "BETWEEN": lambda value, values: values[0] <= str(value) <= values[1],
    "LIKE": lambda value, values: re.fullmatch(_like(values[0]), str(value), re.IGNORECASE) is not None,
    "IS NULL": lambda value, _values: value is None,
    "IS NOT NULL": lambda value, _values: value is not None,
    "DURING": lambda _value, _values: True,
}


def _like(pattern: str) -> str:
    return ".*".join(re.escape(part) for part in pattern.split("%"))


@lru_cache(maxsize=500)
def parse(text: str) -> Query:
    """Errors: BadQuery."""
    return _Parser(_tokens(text)).query()


def _tokens(text: str) -> list[str]:
    found: list[str] = []
    place = 0
    while place < len(text.rstrip()):
        match = _TOKEN.match(text, place)
        if match is None:
            raise BadQuery("UNEXPECTED_INPUT", f"Error in query: unexpected input {text[place : place + 10].strip()}.")
        found.append(match[1])
        place = match.end()
    return found


class _Parser:
    def __init__(self, tokens: list[str]) -> None:
        self._tokens, self._at = tokens, 0

    def query(self) -> Query:
        self._word("SELECT")
        fields = self._names()
        self._word("FROM")
        resource = self._next()
        conditions: list[Condition] = []
        order: list[tuple[str, bool]] = []
        limit: int | None = None
        if self._skip("WHERE"):
            conditions.append(self._condition())
            while self._skip("AND"):
                conditions.append(self._condition())
        if self._skip("ORDER"):
            self._word("BY")
            order.append(self._ordering())
            while self._skip(","):
                order.append(self._ordering())
        if self._skip("LIMIT"):
            limit = self._limit()
        if self._skip("PARAMETERS"):
            self._at = len(self._tokens)
        if self._at < len(self._tokens):
            raise BadQuery("UNEXPECTED_INPUT", f"Error in query: unexpected input {self._tokens[self._at]}.")
        return Query(fields, resource, tuple(conditions), tuple(order), limit)

    def _names(self) -> tuple[str, ...]:
        names = [self._next()]
        while self._skip(","):
            names.append(self._next())
        return tuple(names)

    def _condition(self) -> Condition:
        field, operator = self._next(), self._next().upper()
        if operator == "NOT":
            operator = f"NOT {self._next().upper()}"
        if operator == "IS":
            word = self._next().upper()
            operator = "IS NOT NULL" if word == "NOT" else "IS NULL"
            if word == "NOT":
                self._word("NULL")
            return Condition(field, operator)
        if operator not in _TESTS:
            raise BadQuery("INVALID_OPERATOR", f"Error in WHERE clause: invalid operator {operator}.")
        if operator in ("IN", "NOT IN"):
            self._word("(")
            values = [self._value()]
            while self._skip(","):
                values.append(self._value())
            self._word(")")
            return Condition(field, operator, tuple(values))
        if operator == "BETWEEN":
            first = self._value()
            self._word("AND")
            return Condition(field, operator, (first, self._value()))
        return Condition(field, operator, (self._value(),))

    def _ordering(self) -> tuple[str, bool]:
        field = self._next()
        if self._skip("DESC"):
            return field, True
        self._skip("ASC")
        return field, False

    def _limit(self) -> int:
        value = self._next()
        if not value.isdigit() or int(value) < 1:
            raise BadQuery("BAD_LIMIT_CLAUSE", "Limit must be a positive number.")
        return int(value)

    def _value(self) -> str:
        value = self._next()
        return re.sub(r"\\(.)", r"\1", value[1:-1]) if value[0] in "'\"" else value

    def _next(self) -> str:
        if self._at >= len(self._tokens):
            raise BadQuery("UNEXPECTED_END_OF_QUERY", "Error in query: unexpected end of query.")
        self._at += 1
        return self._tokens[self._at - 1]

    def _skip(self, word: str) -> bool:
        if self._at < len(self._tokens) and self._tokens[self._at].upper() == word:
            self._at += 1
            return True
        return False

    def _word(self, word: str) -> None:
        found = self._next()
        if found.upper() != word:
            raise BadQuery("UNEXPECTED_INPUT", f"Error in query: expected {word}, found {found}.")
