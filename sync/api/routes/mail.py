"""Mail that syncs brought from connected mailboxes."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query
from pydantic import Field

from sync.api import paging
from sync.api.auth import Reader
from sync.api.routes.activities import IntegrationId, Since
from sync.api.schemas import MAX_ID, Answer, example
from sync.api.services import Use

router = APIRouter(prefix="/sync/mail/messages", tags=["data"])

MailId = Annotated[int, Path(ge=1, le=MAX_ID)]
MailState = Literal["stored", "parked"]

_EXAMPLE = {
    "id": 512,
    "integrationId": 17,
    "state": "stored",
    "error": None,
    "duplicateOf": None,
    "receivedAt": "2027-05-01T09:00:00Z",
    "sentAt": "2027-05-01T08:59:58Z",
    "messageId": "1@customer.test",
    "fromName": "Ada",
    "fromAddress": "ada@customer.test",
    "recipients": {"to": [{"name": None, "address": "support@acme.test"}]},
    "subject": "Where is my order?",
    "attachmentCount": 0,
    "size": 2048,
}


class MailView(Answer):
    model_config = example(_EXAMPLE)

    id: int
    integration_id: int
    state: MailState = Field(description="`parked`: kept, but it could not be read; `error` says why.")
    error: str | None
    duplicate_of: int | None = Field(description="The first copy, where the mailbox holds the same mail again.")
    received_at: datetime = Field(description="When the server got it.")
    sent_at: datetime | None = Field(description="Its Date header.")
    message_id: str | None
    from_name: str | None
    from_address: str | None
    recipients: dict[str, Any]
    subject: str | None
    attachment_count: int
    size: int


class MailDetail(MailView):
    model_config = example(
        {
            **_EXAMPLE,
            "inReplyTo": [],
            "references": [],
            "headers": [["Subject", "Where is my order?"]],
            "text": "It was due yesterday.",
            "hasHtml": False,
            "attachments": [],
            "defects": [],
            "places": [{"folder": "INBOX", "uid": 7, "flags": []}],
        }
    )

    in_reply_to: list[str]
    references: list[str] = Field(validation_alias="refs")
    headers: list[tuple[str, str]] = Field(description="In order, as sent.")
    text: str | None = Field(validation_alias="body_text")
    has_html: bool
    attachments: list[dict[str, Any]]
    defects: list[str] = Field(description="What was wrong with it and read anyway.")
    places: list[dict[str, Any]] = Field(description="Where the mailbox shows it, or has shown it.")


@router.get("", summary="List mail, latest stored first")
async def list_mail(
    principal: Reader,
    services: Use,
    page: paging.Paging,
    integration_id: IntegrationId = None,
    state: Annotated[list[MailState] | None, Query(description="One or both.")] = None,
    message_id: Annotated[
        str | None, Query(alias="messageId", max_length=1000, description="Without brackets.")
    ] = None,
    since: Since = None,
) -> paging.PageOf[MailView]:
    """Of all connected mailboxes; `since` looks at the time of arrival."""
    rows = await services.mail.messages(
        principal.org_id,
        integration_id=integration_id,
        states=state,
        message_id=message_id,
        since=since,
        before=page.after_id,
        limit=page.limit + 1,
    )
    return paging.page_of([MailView.model_validate(row) for row in rows], page.limit, lambda view: view.id)


@router.get("/{mail_id}", summary="Show a mail")
async def show_mail(mail_id: MailId, principal: Reader, services: Use) -> MailDetail:
    """With headers, text and what is attached."""
    return MailDetail.model_validate(await services.mail.message(principal.org_id, mail_id))
