"""Keys that an org's outgoing calls sign or authenticate with: sealed at rest, named in job args, never shown again."""

from __future__ import annotations

import base64
import binascii
import re
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from sync.base.errors import ApiError, Permanent
from sync.base.ids import check_org_id
from sync.store.engine import Database
from sync.store.resealing import SealedColumn

_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")
_PREFIX = "whsec_"

_PUT = """
INSERT INTO org_secret AS s (org_id, name, sealed, created_by) VALUES (%(org)s, %(name)s, %(sealed)s, %(by)s)
ON CONFLICT (org_id, name) DO UPDATE
  SET previous = CASE WHEN %(keep)s THEN s.sealed END, sealed = excluded.sealed, rotated_at = now()
"""
_AUDIT = """
INSERT INTO audit (org_id, actor, action, target) VALUES (%(org)s, %(by)s, %(action)s, %(target)s)
"""


class Sealing(Protocol):
    def seal(self, plain: bytes, context: str) -> bytes: ...
    def open(self, sealed: bytes, context: str) -> bytes: ...


@dataclass(frozen=True, slots=True)
class SecretInfo:
    """What may be shown of a secret."""

    name: str
    created_at: datetime
    created_by: str | None
    rotated_at: datetime | None
    has_previous: bool


class OrgSecrets:
    """Every value is sealed for its org and name, so a row copied to another org does not open."""

    def __init__(self, database: Database, sealer: Sealing) -> None:
        self._database = database
        self._sealer = sealer

    async def put(
        self, org_id: str, name: str, by: str, value: str | None = None, *, keep_previous: bool = True
    ) -> str:
        """Store `value`, or a fresh signing key, and return it: the only time it can be seen.

        An existing secret is replaced. With `keep_previous` signatures are made with both until `drop_previous`, so
        that receivers can change over. Errors: ApiError 422 for a bad name or an empty value.
        """
        check_org_id(org_id)
        if not _NAME.fullmatch(name):
            raise ApiError(
                422, "Invalid name", "A secret's name is 1 to 64 lower-case letters, digits, '_', '.' or '-'."
            )
        secret = new_signing_key() if value is None else value
        if not 1 <= len(secret) <= 4096 or not secret.isprintable():
            raise ApiError(422, "Invalid secret", "A secret is 1 to 4096 printable characters.")
        sealed = self._sealer.seal(secret.encode(), _context(org_id, name))
        async with self._database.transaction() as tx:
            await tx.execute(_PUT, {"org": org_id, "name": name, "sealed": sealed, "by": by, "keep": keep_previous})
            await tx.execute(_AUDIT, _audit(org_id, by, "secret.stored", name))
        return secret

    async def drop_previous(self, org_id: str, name: str, by: str) -> None:
        """End a rotation. Errors: ApiError 404."""
        await self._change(
            org_id,
            name,
            by,
            "secret.rotated",
            "UPDATE org_secret SET previous = NULL WHERE org_id = %(org)s AND name = %(name)s",
        )

    async def delete(self, org_id: str, name: str, by: str) -> None:
        """Calls that name it fail from now on. Errors: ApiError 404."""
        await self._change(
            org_id, name, by, "secret.deleted", "DELETE FROM org_secret WHERE org_id = %(org)s AND name = %(name)s"
        )

    async def reveal(self, org_id: str, names: Iterable[str]) -> dict[str, list[str]]:
        """The values for making a call, newest first. Errors: Permanent for a name that is not stored."""
        wanted = sorted(set(names))
        if not wanted:
            return {}
        rows = await self._database.fetch_all(
            "SELECT name, sealed, previous FROM org_secret WHERE org_id = %(org)s AND name = ANY(%(names)s)",
            {"org": org_id, "names": wanted},
        )
        missing = set(wanted) - {row["name"] for row in rows}
        if missing:
            raise Permanent(f"There is no secret named {', '.join(sorted(missing))}. Store it, then retry this job.")
        return {
            row["name"]: [
                self._sealer.open(bytes(value), _context(org_id, row["name"])).decode()
                for value in (row["sealed"], row["previous"])
                if value is not None
            ]
            for row in rows
        }

    async def _change(self, org_id: str, name: str, by: str, action: str, statement: str) -> None:
        async with self._database.transaction() as tx:
            if not await tx.execute(statement, {"org": org_id, "name": name}):
                raise ApiError(404, "No such secret", f"There is no secret {name!r}.")
            await tx.execute(_AUDIT, _audit(org_id, by, action, name))

    async def list(self, org_id: str) -> list[SecretInfo]:
        rows = await self._database.fetch_all(
            """SELECT name, created_at, created_by, rotated_at, previous IS NOT NULL AS has_previous
               FROM org_secret WHERE org_id = %(org)s ORDER BY name""",
            {"org": org_id},
        )
        return [SecretInfo(**row) for row in rows]


def new_signing_key() -> str:
    """A fresh key in the form of Standard Webhooks."""
    return _PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def signing_bytes(secret: str) -> bytes:
    """The key material of a `whsec_` secret; any other text is its own bytes."""
    if not secret.startswith(_PREFIX):
        return secret.encode()
    try:
        return base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except binascii.Error:
        return secret.encode()


def _context(org_id: str, name: str) -> str:
    return f"org_secret/{org_id}/{name}"


def _context_of(row: Mapping[str, Any]) -> str:
    return _context(row["org_id"], row["name"])


SEALED = (
    SealedColumn("org_secret", "sealed", ("org_id", "name"), _context_of),
    SealedColumn("org_secret", "previous", ("org_id", "name"), _context_of),
)


def _audit(org_id: str, by: str, action: str, name: str) -> dict[str, str]:
    return {"org": org_id, "by": by, "action": action, "target": f"secret:{name}"}
