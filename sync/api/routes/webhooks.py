"""Vendors' webhooks: the door they call, as the documentation shows it, and what came through it, for operators.

The door itself is `sync.api.hooks`, which answers before any route is asked.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Response
from pydantic import Field, model_validator

from sync.api import audit, paging
from sync.api.auth import Operator, Principal
from sync.api.hooks import AWAY, BUSY, PREFIX, REFUSED
from sync.api.problems import MEDIA_TYPE
from sync.api.schemas import MAX_ID, Answer, Body, RowId, example
from sync.api.services import Use
from sync.base.logs import redact
from sync.store.engine import Transaction
from sync.webhooks.model import DeliveryState, Outcome
from sync.webhooks.operations import Choice

door = APIRouter(tags=["webhooks"])
router = APIRouter(prefix="/sync/webhooks", tags=["webhooks"])

DeliveryId = Annotated[int, Path(ge=1, le=MAX_ID)]
Platform = Annotated[str | None, Query(max_length=32, pattern=r"^\w*$")]
States = Annotated[list[DeliveryState] | None, Query(description="One or several.")]

_RECEIVE = """No token: the vendor's signature over the raw body is the key. The platform is that of the path, or else
the one whose signature header the call carries. The integration is for vendors whose calls do not say whose they are
(Telegram). What is proved is durable before the answer and applied right after it; the same delivery again changes
nothing. Every refusal is the same small answer, whatever was wrong."""
_SHAKE = "Meta's `hub.challenge`, X's `crc_token`, LinkedIn's `challengeCode`. Others shake hands by POST."
_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {"description": "Stored, or the answer to a handshake; Discord gets 204.", "content": {"text/plain": {}}},
    401: {"description": "Not accepted.", "content": {MEDIA_TYPE: {"example": REFUSED.problem}}},
    429: {
        "description": "More calls a second than one source may make.",
        "content": {MEDIA_TYPE: {"example": BUSY.problem}},
    },
    503: {"description": "Not stored.", "content": {MEDIA_TYPE: {"example": AWAY.problem}}},
}
_PLATFORM = {"name": "platform", "in": "path", "required": True, "schema": {"type": "string"}}
_INTEGRATION = {"name": "integration", "in": "path", "required": True, "schema": {"type": "integer"}}
_ADDRESSES: dict[str, list[dict[str, Any]]] = {
    "": [],
    "/{platform}": [_PLATFORM],
    "/{platform}/{integration}": [_PLATFORM, _INTEGRATION],
}


async def _answered_at_the_door() -> Response:
    raise AssertionError("sync.api.hooks answers before any route.")


for _path, _parameters in _ADDRESSES.items():
    _suffix = f"_{_parameters[-1]['name']}" if _parameters else ""
    for _method, _name, _summary, _text in (
        ("POST", "receive_webhook", "Take a vendor's webhook", _RECEIVE),
        ("GET", "webhook_handshake", "Answer a vendor's handshake", _SHAKE),
    ):
        door.add_api_route(
            PREFIX + _path,
            _answered_at_the_door,
            methods=[_method],
            name=_name + _suffix,
            summary=_summary,
            description=_text,
            response_class=Response,
            responses=_ANSWERS,
            openapi_extra={"parameters": _parameters, "x-own-answers": True},
        )


_DELIVERY = {
    "id": 31,
    "platform": "slack",
    "integrationId": None,
    "receivedAt": "2027-05-01T09:00:00Z",
    "state": "applied",
    "attempts": 1,
    "nextAt": None,
    "appliedAt": "2027-05-01T09:00:00Z",
    "error": None,
    "size": 712,
    "events": 1,
}
_TOLD = {
    "number": 0,
    "orgId": "acme",
    "integrationId": 17,
    "account": "T123ABC456",
    "key": "Ev123ABC456",
    "outcome": "applied",
    "records": 0,
    "added": 0,
    "changed": 0,
    "dirty": ["messages"],
}


class DeliveryView(Answer):
    model_config = example(_DELIVERY)

    id: int
    platform: str
    integration_id: int | None = Field(description="Named by the address that was called.")
    received_at: datetime
    state: DeliveryState = Field(
        description="`stored` waits to be applied; `partial`: not every account took it; `unmatched`: no active "
        "account is meant; `ignored`: tells nothing that is kept; `failed`: cannot be read or applied."
    )
    attempts: int
    next_at: datetime | None = Field(description="When it is tried again.")
    applied_at: datetime | None
    error: str | None
    size: int = Field(description="Bytes of its body.")
    events: int = Field(description="What it told about your accounts.")


class ToldView(Answer):
    model_config = example(_TOLD)

    number: int
    org_id: str | None
    integration_id: int | None
    account: str = Field(description="As the vendor names it.")
    key: str = Field(description="The vendor's key of this event: the same again is a duplicate.")
    outcome: Outcome = Field(
        description="`early`: deletes what is not here yet, tried again; `inactive`: the account is paused, expired or "
        "deleted; `unknown`: nobody has it connected."
    )
    records: int
    added: int
    changed: int
    dirty: list[str] = Field(description="Sync types that are pulled because of it.")


class DeliveryDetail(DeliveryView):
    model_config = example({**_DELIVERY, "told": [_TOLD], "headers": {}, "body": '{"type": "event_callback"}'})

    told: list[ToldView]
    headers: dict[str, str] = Field(description="Those that its reading needs; signatures are not stored.")
    body: str | None = Field(description="As it came; null where it concerns other orgs as well. Secrets are masked.")


class CountView(Answer):
    model_config = example({"platform": "slack", "state": "applied", "deliveries": 1200})

    platform: str
    state: DeliveryState
    deliveries: int


class CountsView(Answer):
    items: list[CountView]


class ReplayWebhooks(Body):
    model_config = example({"platform": "slack", "states": ["unmatched", "partial"]})

    ids: list[RowId] | None = Field(default=None, min_length=1, max_length=1000)
    platform: str | None = Field(default=None, max_length=32, pattern=r"^\w*$")
    states: list[DeliveryState] | None = Field(
        default=None, min_length=1, description="Absent: `failed` and `unmatched`."
    )

    @model_validator(mode="after")
    def _something(self) -> ReplayWebhooks:
        if self.ids is None and self.platform is None and self.states is None:
            raise ValueError("Name ids, a platform or states.")
        return self


class Replayed(Answer):
    model_config = example({"replayed": 12})

    replayed: int = Field(description="Deliveries that are applied again, 10,000 at most for one request.")


@router.get("", summary="List webhook deliveries, newest first")
async def list_webhooks(
    principal: Operator, services: Use, page: paging.Paging, platform: Platform = None, state: States = None
) -> paging.PageOf[DeliveryView]:
    """Those that told something about your org's accounts; with a platform token, all."""
    rows = await services.deliveries.list(
        _org(principal), Choice(platform=platform, states=state), before=page.after_id, limit=page.limit + 1
    )
    views = [DeliveryView.model_validate(row) for row in rows]
    return paging.page_of(views, page.limit, lambda view: view.id)


@router.get("/counts", summary="Count deliveries of the last 24 hours")
async def count_webhooks(principal: Operator, services: Use) -> CountsView:
    """By platform and state."""
    rows = await services.deliveries.counts(_org(principal))
    return CountsView(items=[CountView.model_validate(row) for row in rows])


@router.post("/replay", status_code=202, summary="Apply deliveries again")
async def replay_webhooks(body: ReplayWebhooks, principal: Operator, services: Use) -> Replayed:
    """After an account was connected again, or a fault mended. What was applied before changes nothing the second time.
    Deliveries that concern other orgs as well need a platform token."""
    states = body.states if body.states or body.ids else ["failed", "unmatched"]
    return await _replay(Choice(body.ids, body.platform, states), principal, services)  # type: ignore[arg-type]


@router.get("/{delivery_id}", summary="Show a webhook delivery")
async def show_webhook(delivery_id: DeliveryId, principal: Operator, services: Use) -> DeliveryDetail:
    """With what it told about your accounts, and what became of that."""
    row = await services.deliveries.show(_org(principal), delivery_id)
    body = None if row["body"] is None else _shown(bytes(row["body"]))
    return DeliveryDetail.model_validate({**row, "events": len(row["told"]), "body": body})


@router.post("/{delivery_id}/replay", status_code=202, summary="Apply a delivery again")
async def replay_webhook(delivery_id: DeliveryId, principal: Operator, services: Use) -> Replayed:
    """Nothing happens to one that waits to be applied anyway."""
    await services.deliveries.show(_org(principal), delivery_id)
    return await _replay(Choice(ids=[delivery_id]), principal, services)


async def _replay(choice: Choice, principal: Principal, services: Use) -> Replayed:
    async def replay(tx: Transaction) -> Replayed:
        replayed = await services.deliveries.replay(_org(principal), choice, tx)
        await audit.record(tx, principal, "webhooks.replayed", None, deliveries=replayed, platform=choice.platform)
        return Replayed(replayed=replayed)

    return await services.units.transaction(replay)


def _org(principal: Principal) -> str | None:
    return None if principal.platform else principal.org_id


def _shown(body: bytes) -> str:
    """As text; in JSON, what sounds like a secret is masked."""
    import msgspec

    try:
        return msgspec.json.encode(redact(msgspec.json.decode(body))).decode()
    except (msgspec.DecodeError, RecursionError):
        return body.decode("utf-8", "replace").replace("\x00", "")
