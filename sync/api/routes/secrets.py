"""Keys that jobs name in their arguments, to sign or authenticate outgoing calls. Stored sealed, shown once."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import Field

from sync.api.auth import Admin, Operator
from sync.api.schemas import Answer, Body, example
from sync.api.services import Use

router = APIRouter(prefix="/sync/secrets", tags=["queue"])

Name = Annotated[str, Path(max_length=64, description="Lower-case letters, digits, `_`, `.` and `-`.")]


class StoreSecret(Body):
    model_config = example({"keepPrevious": True})

    value: str | None = Field(default=None, max_length=4096, description="Absent: a fresh signing key is made.")
    keep_previous: bool = Field(
        default=True, description="When one is replaced, sign with both until `drop-previous`, so receivers can change."
    )


class StoredSecret(Answer):
    model_config = example({"name": "shop-hook", "value": "whsec_C2FtcGxlLXNlY3JldC1mb3ItZG9jcw=="})

    name: str
    value: str | None = Field(description="The key that was made; null when you brought your own. Never shown again.")


class SecretView(Answer):
    model_config = example(
        {
            "name": "shop-hook",
            "createdAt": "2027-04-01T12:00:00Z",
            "createdBy": "ada",
            "rotatedAt": None,
            "hasPrevious": False,
        }
    )

    name: str
    created_at: datetime
    created_by: str | None
    rotated_at: datetime | None
    has_previous: bool


class SecretList(Answer):
    items: list[SecretView]


@router.get("", summary="List the names of stored secrets")
async def list_secrets(principal: Operator, services: Use) -> SecretList:
    """Names and dates; a value never leaves Sync again."""
    return SecretList(items=[SecretView.model_validate(info) for info in await services.secrets.list(principal.org_id)])


@router.put("/{name}", summary="Store or replace a secret")
async def store_secret(name: Name, body: StoreSecret, principal: Admin, services: Use) -> StoredSecret:
    """Job arguments name it (`signing_key`, `secret_headers` of `http.call`). A key made here is shown once."""
    work = services.secrets.put(principal.org_id, name, principal.subject, body.value, keep_previous=body.keep_previous)
    value = await services.units.run(work)
    return StoredSecret(name=name, value=value if body.value is None else None)


@router.post("/{name}/drop-previous", status_code=204, summary="End a rotation")
async def drop_previous_secret(name: Name, principal: Admin, services: Use) -> None:
    """From now on only the new value signs."""
    await services.units.run(services.secrets.drop_previous(principal.org_id, name, principal.subject))


@router.delete("/{name}", status_code=204, summary="Delete a secret")
async def delete_secret(name: Name, principal: Admin, services: Use) -> None:
    """Jobs that name it fail from now on."""
    await services.units.run(services.secrets.delete(principal.org_id, name, principal.subject))
