"""The CRM inbox: conversations out of comments and direct messages."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Path, Query
from pydantic import AwareDatetime, Field, TypeAdapter

from sync.api import paging
from sync.api.auth import Reader, Submitter
from sync.api.routes.activities import ActivityView, AuthorView, IntegrationId, Platform, position
from sync.api.schemas import MAX_ID, Answer, Body, Key, example
from sync.api.services import Use
from sync.inbox.conversations import ConversationFilter
from sync.inbox.replies import MOST_CHARS

router = APIRouter(prefix="/inbox", tags=["inbox"])

ConversationId = Annotated[int, Path(ge=1, le=MAX_ID)]
Status = Literal["open", "pending", "closed"]
Kind = Literal["comment", "message"]
_POSITION = TypeAdapter(tuple[AwareDatetime, Annotated[int, Field(ge=1, le=MAX_ID)]])
_CONTACT = {"id": 12, "name": "Ada Lovelace", "handle": "ada", "url": None, "email": "ada@example.com"}
_CONVERSATION = {
    "id": 4711,
    "integrationId": 17,
    "account": "1789",
    "accountLabel": "Acme Page",
    "platform": "facebook",
    "kind": "comment",
    "place": "1789",
    "rootId": "1789_1001",
    "status": "open",
    "assignee": "agent-7",
    "unread": 1,
    "contact": _CONTACT,
    "lastMessage": {"id": 99, "at": "2027-05-01T09:00:00Z", "direction": "in", "preview": "Where is my order?"},
    "openedAt": "2027-05-01T08:00:00Z",
    "lastIncomingAt": "2027-05-01T09:00:00Z",
    "createdAt": "2027-05-01T08:00:10Z",
    "updatedAt": "2027-05-01T09:00:10Z",
}


class ContactBrief(Answer):
    id: int
    name: str | None
    handle: str | None
    url: str | None
    email: str | None


class LastMessage(Answer):
    id: int = Field(description="Of the activity.")
    at: datetime
    direction: Literal["in", "out", "echo"]
    preview: str


class ConversationView(Answer):
    model_config = example(_CONVERSATION)

    id: int
    integration_id: int
    account: str
    account_label: str | None
    platform: str
    kind: Kind
    place: str | None = Field(description="Page, channel, subreddit.")
    root_id: str | None = Field(description="The vendor's id of the post, or of its own thread.")
    status: Status = Field(description="A later incoming message opens one that is pending or closed.")
    assignee: str | None
    unread: int = Field(description="Incoming messages since the last look that were not answered; 1,000 at most.")
    contact: ContactBrief | None = Field(description="Who began it.")
    last_message: LastMessage | None = Field(description="Null when everything in it was deleted.")
    opened_at: datetime
    last_incoming_at: datetime | None
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, row: dict[str, Any]) -> ConversationView:
        contact = {name: row[f"contact_{name}"] for name in ContactBrief.model_fields}
        last = {name: row[f"last_message_{name}"] for name in LastMessage.model_fields}
        return cls.model_validate(
            {
                **row,
                "contact": contact if contact["id"] is not None else None,
                "last_message": last if last["id"] is not None else None,
                "last_incoming_at": row["last_in_at"],
            }
        )


class MessageView(ActivityView):
    contact_id: int | None = Field(description="Who wrote it, if not we.")
    reply_id: int | None = Field(description="Of the reply that it was sent as from here.")

    @classmethod
    def of(cls, row: dict[str, Any]) -> MessageView:
        author = {name: row[f"author_{name}"] for name in AuthorView.model_fields}
        counters, files = row["counters"] or {}, row["attachments"] or []
        return cls.model_validate({**row, "author": author, "counters": counters, "attachments": files})


class Identity(Answer):
    kind: str = Field(description="A platform, or `email`.")
    value: str


class ContactView(ContactBrief):
    model_config = example(
        {
            **_CONTACT,
            "identities": [{"kind": "email", "value": "ada@example.com"}, {"kind": "facebook", "value": "17:2401"}],
            "createdAt": "2027-05-01T08:00:10Z",
            "updatedAt": "2027-05-01T08:00:10Z",
        }
    )

    identities: list[Identity] = Field(description="What this contact is found by.")
    created_at: datetime
    updated_at: datetime


class Assignment(Body):
    model_config = example({"assignee": "agent-7"})

    assignee: Key | None = Field(description="Whoever your back end means by it; null for nobody.")


@router.get("/conversations", summary="List conversations, the last message first")
async def list_conversations(
    principal: Reader,
    services: Use,
    page: paging.Paging,
    status: Annotated[Status | None, Query()] = None,
    assignee: Annotated[str | None, Query(max_length=200)] = None,
    assigned: Annotated[bool | None, Query(description="Whether anybody has it.")] = None,
    platform: Platform = None,
    kind: Annotated[Kind | None, Query()] = None,
    integration_id: IntegrationId = None,
    unread: Annotated[bool | None, Query()] = None,
    place: Annotated[str | None, Query(max_length=300)] = None,
    contact_id: Annotated[int | None, Query(ge=1, le=MAX_ID, alias="contactId")] = None,
    text: Annotated[
        str | None, Query(min_length=2, max_length=100, description="In the last message or the contact's name.")
    ] = None,
) -> paging.PageOf[ConversationView]:
    """Comments and direct messages of all connected accounts, threaded. Those whose messages were all deleted are
    left out."""
    wanted = ConversationFilter(
        status, assignee, assigned, platform, kind, integration_id, unread, place, contact_id, text
    )
    rows = await services.inbox.list(principal.org_id, wanted, before=position(page, _POSITION), limit=page.limit + 1)
    return paging.page_of(
        [ConversationView.of(row) for row in rows],
        page.limit,
        lambda view: [view.last_message.at, view.id] if view.last_message else None,
    )


@router.get("/conversations/{conversation_id}", summary="Show a conversation")
async def show_conversation(conversation_id: ConversationId, principal: Reader, services: Use) -> ConversationView:
    """One that was found to be part of another shows as that one."""
    return ConversationView.of(await services.inbox.show(principal.org_id, conversation_id))


@router.get("/conversations/{conversation_id}/messages", summary="List the messages of a conversation")
async def list_conversation_messages(
    conversation_id: ConversationId,
    principal: Reader,
    services: Use,
    page: paging.Paging,
    order: Annotated[Literal["oldest", "newest"], Query(description="Which comes first.")] = "oldest",
) -> paging.PageOf[MessageView]:
    """In the order in which they were written. Deleted ones stay, with `deletedAt`."""
    rows = await services.inbox.messages(
        principal.org_id,
        conversation_id,
        beyond=position(page, _POSITION),
        limit=page.limit + 1,
        newest_first=order == "newest",
    )
    views = [MessageView.of(row) for row in rows]
    return paging.page_of(views, page.limit, lambda view: [view.occurred_at, view.id])


@router.post("/conversations/{conversation_id}/assign", summary="Assign a conversation")
async def assign_conversation(
    conversation_id: ConversationId, body: Assignment, principal: Submitter, services: Use
) -> ConversationView:
    """To somebody, or to nobody."""
    work = services.inbox.assign(principal.org_id, conversation_id, body.assignee, principal.subject)
    return ConversationView.of(await services.units.run(work))


@router.post("/conversations/{conversation_id}/close", summary="Close a conversation")
async def close_conversation(conversation_id: ConversationId, principal: Submitter, services: Use) -> ConversationView:
    """Until somebody writes again."""
    return await _decide(conversation_id, "closed", principal, services)


@router.post("/conversations/{conversation_id}/pend", summary="Put a conversation off")
async def pend_conversation(conversation_id: ConversationId, principal: Submitter, services: Use) -> ConversationView:
    """It waits for the other side: their next message opens it."""
    return await _decide(conversation_id, "pending", principal, services)


@router.post("/conversations/{conversation_id}/reopen", summary="Reopen a conversation")
async def reopen_conversation(conversation_id: ConversationId, principal: Submitter, services: Use) -> ConversationView:
    """Closed or put off before."""
    return await _decide(conversation_id, "open", principal, services)


@router.post("/conversations/{conversation_id}/read", summary="Mark a conversation as read")
async def read_conversation(conversation_id: ConversationId, principal: Submitter, services: Use) -> ConversationView:
    """Everything that has come so far was seen."""
    work = services.inbox.read(principal.org_id, conversation_id, principal.subject)
    return ConversationView.of(await services.units.run(work))


@router.get("/contacts/{contact_id}", summary="Show a contact")
async def show_contact(
    contact_id: Annotated[int, Path(ge=1, le=MAX_ID)], principal: Reader, services: Use
) -> ContactView:
    """One that was merged shows as the one that it became."""
    return ContactView.model_validate(await services.inbox.contact(principal.org_id, contact_id))


async def _decide(conversation_id: int, status: Status, principal: Submitter, services: Use) -> ConversationView:
    work = services.inbox.decide(principal.org_id, conversation_id, status, principal.subject)
    return ConversationView.of(await services.units.run(work))


# --- replies


class NewReply(Body):
    model_config = example({"text": "It leaves today.", "idempotencyKey": "ticket-17-answer-2"})

    text: str = Field(min_length=1, max_length=MOST_CHARS)
    to: int | None = Field(default=None, ge=1, le=MAX_ID, description="The message to answer; the last incoming one.")
    idempotency_key: Key | None = Field(
        default=None, description="The same request again returns the first reply. Also as header `Idempotency-Key`."
    )


class ReplyView(Answer):
    model_config = example(
        {
            "id": 5,
            "conversationId": 4711,
            "integrationId": 17,
            "targetId": 99,
            "text": "It leaves today.",
            "state": "queued",
            "reason": None,
            "vendorId": None,
            "activityId": None,
            "requestedBy": "agent-7",
            "createdAt": "2027-05-01T09:05:00Z",
            "finishedAt": None,
        }
    )

    id: int
    conversation_id: int
    integration_id: int
    target_id: int | None = Field(description="The message that it answers.")
    text: str
    state: Literal["queued", "sending", "sent", "failed", "unknown"] = Field(
        description="`unknown`: its answer was lost; it may have arrived and is not sent again."
    )
    reason: str | None = Field(description="Why it failed, or is unknown.")
    vendor_id: str | None
    activity_id: int | None = Field(description="The message that it became.")
    requested_by: str
    created_at: datetime
    finished_at: datetime | None


@router.post(
    "/conversations/{conversation_id}/reply",
    status_code=202,
    summary="Reply",
    openapi_extra={"x-problems": ["conflict", "refused"]},
)
async def reply_to_conversation(
    conversation_id: ConversationId,
    body: NewReply,
    principal: Submitter,
    services: Use,
    idempotency_key: Annotated[str | None, Header(min_length=1, max_length=200)] = None,
) -> ReplyView:
    """Goes out through the platform, at most once. Watch its state under `/inbox/replies/{id}`."""
    work = services.replies.reply(
        principal.org_id,
        conversation_id,
        body.text,
        principal.subject,
        target_id=body.to,
        idempotency_key=body.idempotency_key or idempotency_key,
    )
    row, _ = await services.units.run(work)
    return ReplyView.model_validate(row)


@router.get("/conversations/{conversation_id}/replies", summary="List the replies of a conversation")
async def list_replies(
    conversation_id: ConversationId, principal: Reader, services: Use, page: paging.Paging
) -> paging.PageOf[ReplyView]:
    """The newest first."""
    rows = await services.replies.list(principal.org_id, conversation_id, before=page.after_id, limit=page.limit + 1)
    return paging.page_of([ReplyView.model_validate(row) for row in rows], page.limit, lambda view: view.id)


@router.get("/replies/{reply_id}", summary="Show a reply")
async def show_reply(reply_id: Annotated[int, Path(ge=1, le=MAX_ID)], principal: Reader, services: Use) -> ReplyView:
    """Where it stands, and why."""
    return ReplyView.model_validate(await services.replies.show(principal.org_id, reply_id))
