"""Who wrote: contacts, found by identities. A batch costs the same few statements however many people are in it.

Two contacts become one only when one record of a vendor names both their identities: a profile with the vendor's id of
a person and their address. What somebody writes in a message never joins anybody. The older contact stays; the other
keeps its row, points to it, and gives up its identities and conversations.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sync.inbox.rules import Groups, Identity
from sync.store.engine import Transaction

_KNOWN = """
SELECT c.org_id, c.kind, c.value, c.contact_id
FROM unnest(%s::text[], %s::text[], %s::text[]) AS given (org_id, kind, value)
JOIN contact_identity c USING (org_id, kind, value)"""
_NEW = """
INSERT INTO contact (id, org_id, name, handle, url, email, named_at) OVERRIDING SYSTEM VALUE
SELECT * FROM unnest(%s::int8[], %s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::timestamptz[])"""
_RENAME = """
UPDATE contact c SET name = r.name, handle = r.handle, url = r.url, email = r.email, named_at = r.named_at,
  updated_at = now()
FROM unnest(%s::int8[], %s::text[], %s::text[], %s::text[], %s::text[], %s::timestamptz[])
     AS r (id, name, handle, url, email, named_at)
WHERE c.id = r.id"""
_IDENTIFY = """
INSERT INTO contact_identity (org_id, kind, value, contact_id)
SELECT * FROM unnest(%s::text[], %s::text[], %s::text[], %s::int8[])"""
_MERGES = (
    "UPDATE contact_identity t SET contact_id = r.into_id",
    "UPDATE conversation t SET contact_id = r.into_id, updated_at = now()",
    "UPDATE contact t SET merged_into = r.into_id, updated_at = now()",
)
_LONG_AGO = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Person:
    """What one record says about somebody: all of these identities are theirs."""

    org_id: str
    identities: tuple[Identity, ...]
    at: datetime
    name: str | None = None
    handle: str | None = None
    url: str | None = None
    email: str | None = None


@dataclass(frozen=True, slots=True)
class Card:
    """How a contact is shown: the name they used last."""

    named_at: datetime = _LONG_AGO
    name: str | None = None
    handle: str | None = None
    url: str | None = None
    email: str | None = None

    def with_(self, other: Card) -> Card:
        """The same whichever comes first."""
        newest = max(self, other, key=lambda card: (card.named_at, card.name or "", card.handle or "", card.url or ""))
        emails = [email for email in (self.email, other.email) if email]
        return Card(newest.named_at, newest.name, newest.handle, newest.url, min(emails, default=None))

    @classmethod
    def of(cls, person: Person) -> Card:
        if person.name or person.handle:
            return cls(person.at, person.name, person.handle, person.url, person.email)
        return cls(email=person.email)


Key = tuple[str, Identity]


async def known(tx: Transaction, keys: Iterable[Key]) -> dict[Key, int]:
    """The contacts behind these identities."""
    listed = sorted(set(keys))
    if not listed:
        return {}
    columns = [[org for org, _ in listed], [one[0] for _, one in listed], [one[1] for _, one in listed]]
    rows = await tx.fetch_all(_KNOWN, columns)
    return {(row["org_id"], (row["kind"], row["value"])): row["contact_id"] for row in rows}


async def remember(tx: Transaction, people: Sequence[Person]) -> None:
    """Find, make, rename and merge contacts so that they say what these records say."""
    groups, cards = _grouped(people)
    found = await known(tx, ((org, one) for org, identities in groups for one in identities))
    held = await _cards(tx, set(found.values()))
    merges: dict[int, int] = {}
    fresh: list[tuple[str, list[Identity], Card]] = []
    renamed: dict[int, Card] = {}
    linked: list[tuple[str, Identity, int]] = []
    for org, identities in groups:
        card = _joined(cards[org, one] for one in identities)
        ids = sorted({_final(found[org, one], merges) for one in identities if (org, one) in found})
        if not ids:
            fresh.append((org, identities, card))
            continue
        into = ids[0]
        merges |= dict.fromkeys(ids[1:], into)
        renamed[into] = _joined([card, *(renamed.get(one) or held[one] for one in ids)])
        linked += [(org, one, into) for one in identities if (org, one) not in found]
    await _make(tx, fresh)
    await _identify(tx, linked)
    await _rename(tx, {one: card for one, card in renamed.items() if card != held[one]})
    await _merge(tx, merges)


def _grouped(people: Sequence[Person]) -> tuple[list[tuple[str, list[Identity]]], dict[Key, Card]]:
    by_org: dict[str, Groups] = {}
    cards: dict[Key, Card] = {}
    for person in people:
        by_org.setdefault(person.org_id, Groups()).add(*person.identities)
        for one in person.identities:
            key = (person.org_id, one)
            cards[key] = cards.get(key, Card()).with_(Card.of(person))
    return [(org, members) for org in sorted(by_org) for members in by_org[org].groups()], cards


def _joined(cards: Iterable[Card]) -> Card:
    whole = Card()
    for card in cards:
        whole = whole.with_(card)
    return whole


def _final(contact_id: int, merges: Mapping[int, int]) -> int:
    while contact_id in merges:
        contact_id = merges[contact_id]
    return contact_id


async def _cards(tx: Transaction, ids: set[int]) -> dict[int, Card]:
    if not ids:
        return {}
    rows = await tx.fetch_all(
        "SELECT id, named_at, name, handle, url, email FROM contact WHERE id = ANY(%s) ORDER BY id FOR UPDATE",
        (sorted(ids),),
    )
    return {row.pop("id"): Card(**{**row, "named_at": row["named_at"] or _LONG_AGO}) for row in rows}


async def _make(tx: Transaction, fresh: Sequence[tuple[str, list[Identity], Card]]) -> None:
    if not fresh:
        return
    rows = await tx.fetch_all(
        "SELECT nextval(pg_get_serial_sequence('contact', 'id')) AS id FROM generate_series(1, %s)", (len(fresh),)
    )
    ids = [row["id"] for row in rows]
    made = [(one, org, *_written(card)) for one, (org, _, card) in zip(ids, fresh, strict=True)]
    await tx.execute(_NEW, _columns(made))
    await _identify(
        tx, [(org, one, made_id) for made_id, (org, members, _) in zip(ids, fresh, strict=True) for one in members]
    )


async def _identify(tx: Transaction, rows: Sequence[tuple[str, Identity, int]]) -> None:
    if rows:
        await tx.execute(_IDENTIFY, _columns([(org, one[0], one[1], contact) for org, one, contact in rows]))


async def _rename(tx: Transaction, renamed: Mapping[int, Card]) -> None:
    if renamed:
        await tx.execute(_RENAME, _columns([(one, *_written(card)) for one, card in sorted(renamed.items())]))


async def _merge(tx: Transaction, merges: Mapping[int, int]) -> None:
    if not merges:
        return
    losers = sorted(merges)
    into = [_final(one, merges) for one in losers]
    given = " FROM unnest(%s::int8[], %s::int8[]) AS r (id, into_id) WHERE "
    for statement in _MERGES[:2]:
        await tx.execute(f"{statement}{given}t.contact_id = r.id", (losers, into))
    await tx.execute(f"{_MERGES[2]}{given}t.id = r.id OR t.merged_into = r.id", (losers, into))


def _written(card: Card) -> tuple[Any, ...]:
    named_at = None if card.named_at == _LONG_AGO else card.named_at
    return (card.name, card.handle, card.url, card.email, named_at)


def _columns(rows: Sequence[tuple[Any, ...]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]
