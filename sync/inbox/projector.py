"""From activity events to conversations: a subscriber of the event log.

Events only name activities; what counts is the row. A batch is a fixed number of statements, whatever its size, and
running it again changes nothing, so it may be repeated, split or put off. One batch at a time, by a lock until commit.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from sync.events import LoggedEvent
from sync.inbox import contacts, rules, summing
from sync.inbox.contacts import Person
from sync.inbox.replies import match_echoes
from sync.inbox.rules import Identity, Node, Said
from sync.inbox.summing import Thread
from sync.store.engine import Database, Transaction
from sync.store.sql import load_sql

Row = dict[str, Any]

_PROFILES = """
SELECT a.integration_id, a.vendor_id, a.author_name, a.author_handle, a.author_url, a.occurred_at,
       a.data ->> 'email' AS email
FROM unnest(%s::int8[], %s::text[]) AS given (integration_id, vendor_id)
JOIN activity a ON a.integration_id = given.integration_id AND a.kind = 'profile' AND a.vendor_id = given.vendor_id
WHERE a.direction = 'in'"""
_MAILS = """
SELECT id, org_id, from_name, from_address, received_at FROM mail_message
WHERE id = ANY(%s) AND from_address IS NOT NULL AND duplicate_of IS NULL"""
_REKEY = """
UPDATE inbox_message m SET thread_key = r.thread_key
FROM unnest(%s::int8[], %s::text[]) AS r (id, thread_key) WHERE m.activity_id = r.id"""


class InboxProjector:
    """`sync.subscriptions.Subscriber`."""

    name = "inbox"
    patterns: tuple[str, ...] = ("activity.*", "mail.received")

    async def handle(self, tx: Transaction, events: Sequence[LoggedEvent]) -> None:
        activities = [event.payload["id"] for event in events if event.type.startswith("activity.")]
        mails = [event.payload["id"] for event in events if event.type == "mail.received"]
        await self.project(tx, activities, mails)

    async def project(self, tx: Transaction, activity_ids: Iterable[int], mail_ids: Iterable[int] = ()) -> None:
        """Bring the inbox up to date with these rows."""
        await tx.execute("SELECT pg_advisory_xact_lock(hashtext('sync.inbox'))")
        rows: list[Row] = []
        if ids := sorted(set(activity_ids)):
            rows = await tx.fetch_all(load_sql("inbox_look"), {"ids": ids})
        said = [row for row in rows if row["kind"] in rules.KINDS]
        await contacts.remember(tx, [*await _people(tx, rows), *await _senders(tx, mail_ids)])
        if said:
            dirty, moved = await _place(tx, said)
            await summing.sum_up(tx, dirty, moved)
            await match_echoes(tx, [row["id"] for row in said if row["direction"] != "in"])


# --- messages and their threads


async def _place(tx: Transaction, rows: Sequence[Row]) -> tuple[set[Thread], dict[Thread, set[Thread]]]:
    """Write the messages down under their threads. Which threads changed, and where messages of others went."""
    keys = {row["id"]: row["old_key"] if _settled(row) else _first_key(row) for row in rows}
    await _write(tx, rows, keys)
    moved: dict[Thread, set[Thread]] = defaultdict(set)
    dirty = {(row["integration_id"], keys[row["id"]]) for row in rows}
    for row in rows:
        if row["old_key"] not in (None, keys[row["id"]]):
            moved[row["integration_id"], row["old_key"]].add((row["integration_id"], keys[row["id"]]))
    unsettled = [row for row in rows if rules.in_tree(_said(row)) and not _settled(row)]
    if unsettled:
        await _hang(tx, unsettled, dirty, moved)
    return dirty | moved.keys(), moved


async def _hang(tx: Transaction, rows: Sequence[Row], dirty: set[Thread], moved: dict[Thread, set[Thread]]) -> None:
    """Find the threads of comments that are new in their tree, and of what was waiting below them."""
    below = await tx.fetch_all(load_sql("inbox_below"), _nodes(rows))
    above = await tx.fetch_all(load_sql("inbox_above"), _nodes(below))
    trees: dict[int, dict[str, Node]] = defaultdict(dict)
    for row in above:
        trees[row["integration_id"]][row["vendor_id"]] = Node(row["parent_id"], row["root_id"])
    rekeyed: list[tuple[int, str]] = []
    for row in below:
        key = rules.tree_key(row["vendor_id"], trees[row["integration_id"]], row["kind"])
        if key != row["thread_key"]:
            rekeyed.append((row["activity_id"], key))
            new = (row["integration_id"], key)
            moved[row["integration_id"], row["thread_key"]].add(new)
            dirty.add(new)
    if rekeyed:
        await tx.execute(_REKEY, [list(column) for column in zip(*rekeyed, strict=True)])


def _settled(row: Row) -> bool:
    """Whether it is where it was before; what was in no tree can still have got another thread."""
    said = _said(row)
    same = (row["old_parent"], row["old_root"]) == (row["parent_id"], rules.root_of(said))
    return row["old_key"] is not None and rules.in_tree(said) and same


def _first_key(row: Row) -> str:
    said = _said(row)
    if rules.in_tree(said):
        return str(row["old_key"] or rules.tree_key(said.vendor_id, {}, said.kind))
    return rules.flat_key(said)


def _said(row: Row) -> Said:
    return Said(
        platform=row["platform"],
        kind=row["kind"],
        vendor_id=row["vendor_id"],
        parent_id=row["parent_id"],
        root_id=row["root_id"],
        place=row["place"],
        author_id=row["author_id"],
        to=row["written_to"],
        incoming=row["direction"] == "in",
    )


async def _write(tx: Transaction, rows: Sequence[Row], keys: dict[int, str]) -> None:
    written = []
    for row in rows:
        author, said = _identity(row) or (None, None), _said(row)
        written.append(
            (
                *(row["id"], row["org_id"], row["integration_id"], keys[row["id"]], row["kind"]),
                *(rules.in_tree(said), row["vendor_id"], row["parent_id"], rules.root_of(said), row["place"]),
                *(*author, row["direction"] == "in", row["deleted"], row["occurred_at"]),
            )
        )
    await tx.execute(load_sql("inbox_upsert_messages"), [list(column) for column in zip(*written, strict=True)])


def _nodes(rows: Sequence[Row]) -> Row:
    return {
        "integrations": [row["integration_id"] for row in rows],
        "vendor_ids": [row["vendor_id"] for row in rows],
    }


def _identity(row: Row) -> Identity | None:
    return rules.vendor_identity(row["platform"], row["integration_id"], row["author_id"], row["author_handle"])


# --- people


async def _people(tx: Transaction, rows: Sequence[Row]) -> list[Person]:
    """Everybody who wrote, with what their profiles say; profiles of people who never wrote are nobody's business."""
    authors = [row for row in rows if row["kind"] in rules.KINDS and row["direction"] == "in"]
    people: list[Person] = []
    wrote: dict[tuple[int, str], tuple[str, Identity]] = {}
    for row in authors:
        if (identity := _identity(row)) is None:
            continue
        people.append(
            Person(
                row["org_id"],
                (identity,),
                row["occurred_at"],
                row["author_name"],
                row["author_handle"],
                row["author_url"],
            )
        )
        if row["author_id"] is not None:
            wrote[row["integration_id"], row["author_id"]] = (row["org_id"], identity)
    for place, key in (await _writers(tx, rows)).items():
        wrote.setdefault(place, key)
    if not wrote:
        return people
    profiles = await tx.fetch_all(_PROFILES, [[one for one, _ in wrote], [one for _, one in wrote]])
    for profile in profiles:
        org_id, identity = wrote[profile["integration_id"], profile["vendor_id"]]
        email = rules.email_identity(profile["email"])
        people.append(
            Person(
                org_id,
                (identity, email) if email else (identity,),
                profile["occurred_at"],
                profile["author_name"],
                profile["author_handle"],
                profile["author_url"],
                email[1] if email else None,
            )
        )
    return people


async def _writers(tx: Transaction, rows: Sequence[Row]) -> dict[tuple[int, str], tuple[str, Identity]]:
    """Whose profiles these are, of those who wrote before."""
    asked: dict[tuple[str, Identity], tuple[int, str]] = {}
    for row in rows:
        if row["kind"] != "profile" or row["direction"] != "in":
            continue
        identity = rules.vendor_identity(row["platform"], row["integration_id"], row["vendor_id"], None)
        if identity is not None:
            asked[row["org_id"], identity] = (row["integration_id"], row["vendor_id"])
    return {asked[key]: key for key in await contacts.known(tx, asked)}


async def _senders(tx: Transaction, mail_ids: Iterable[int]) -> list[Person]:
    ids = sorted(set(mail_ids))
    if not ids:
        return []
    people = []
    for row in await tx.fetch_all(_MAILS, (ids,)):
        if (email := rules.email_identity(row["from_address"])) is not None:
            people.append(Person(row["org_id"], (email,), row["received_at"], row["from_name"], email=email[1]))
    return people


# --- all over again

_NEXT = """
SELECT id FROM activity
WHERE id > %s AND kind IN ('comment', 'message', 'profile') AND (%s::text IS NULL OR org_id = %s)
ORDER BY id LIMIT %s"""
_BATCH = 500


async def rebuild(database: Database, org_id: str | None = None) -> int:
    """Project everything that is stored, batch by batch, beside the running projector. How many activities."""
    projector, last, count = InboxProjector(), 0, 0
    while True:
        async with database.transaction() as tx:
            rows = await tx.fetch_all(_NEXT, (last, org_id, org_id, _BATCH))
            if not rows:
                return count
            await projector.project(tx, [row["id"] for row in rows])
        last, count = rows[-1]["id"], count + len(rows)
