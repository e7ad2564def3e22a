"""The messages on a connection, and the codes it is closed with. docs/realtime.md explains them to clients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import msgspec

from sync.events import LoggedEvent
from sync.realtime.topics import Filter


@dataclass(frozen=True, slots=True)
class Close:
    """Why a connection ends. Codes from 4400 on: see the list below; `reason` fits into a closing frame."""

    code: int
    reason: str
    detail: str


def restarting() -> Close:
    return Close(1012, "restart", "This server restarts. Connect again with your last cursor.")


def failed() -> Close:
    return Close(1011, "failed", "Something went wrong in Sync. Connect again with your last cursor.")


def bad_message(detail: str) -> Close:
    return Close(4400, "bad-message", detail)


def token_invalid(detail: str) -> Close:
    return Close(4401, "token-invalid", detail)


def token_required() -> Close:
    return Close(4408, "token-required", "No token came in time: send it as a header or in a first `auth` message.")


def forbidden(detail: str) -> Close:
    return Close(4403, "forbidden", detail)


def token_expired() -> Close:
    return Close(4419, "token-expired", "Connect again with a new token and your last cursor.")


def slow_consumer() -> Close:
    return Close(4420, "slow-consumer", "Events came faster than they were taken. Connect again with your last cursor.")


def too_many_messages() -> Close:
    return Close(4428, "too-many-messages", "Send fewer messages: one subscription can name every topic.")


def too_many_connections(detail: str) -> Close:
    return Close(4429, "too-many-connections", detail)


def unavailable(detail: str) -> Close:
    return Close(4503, "unavailable", detail)


class Auth(msgspec.Struct, frozen=True, tag_field="op", tag="auth", forbid_unknown_fields=True):
    token: str


Cursor = Annotated[str, msgspec.Meta(max_length=64)]


class Subscribe(msgspec.Struct, frozen=True, tag_field="op", tag="subscribe", forbid_unknown_fields=True):
    """Replaces what was wanted before. `cursor` continues an earlier connection."""

    topics: dict[str, Filter] | list[str]
    cursor: Cursor | None = None

    @property
    def filters(self) -> dict[str, Filter]:
        return self.topics if isinstance(self.topics, dict) else dict.fromkeys(self.topics, Filter())


class Ping(msgspec.Struct, frozen=True, tag_field="op", tag="ping", forbid_unknown_fields=True):
    pass


class Pong(msgspec.Struct, frozen=True, tag_field="op", tag="pong", forbid_unknown_fields=True):
    pass


Request = Auth | Subscribe | Ping | Pong
_decoder: msgspec.json.Decoder[Request] = msgspec.json.Decoder(Request)


def parse(message: str | bytes) -> Request:
    """Errors: ValueError with a sentence for the client."""
    try:
        return _decoder.decode(message)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise ValueError(f"The message cannot be read: {error}.") from error


@dataclass(slots=True, eq=False)
class Frame:
    """A message for clients, encoded once for all of them."""

    text: str
    cursor: str | None = None
    """Where a client that has this message continues."""
    kind: str = "event"

    @property
    def size(self) -> int:
        return len(self.text)

    def as_sse(self) -> bytes:
        """The id is what clients send back as Last-Event-ID. A ping is a comment: nobody is called for it."""
        identified = f"id: {self.cursor}\n" if self.cursor is not None else ""
        if self.kind == "ping":
            return f"{identified}: ping\n\n".encode()
        return f"{identified}event: {self.kind}\ndata: {self.text}\n\n".encode()


def message(kind: str, *, cursor: str | None = None, **fields: Any) -> Frame:
    body = {"type": kind, **fields}
    if cursor is not None:
        body["cursor"] = cursor
    return Frame(msgspec.json.encode(body).decode(), cursor, kind)


def event_message(topic: str, event: LoggedEvent) -> Frame:
    inner = {
        "id": event.id,
        "type": event.type,
        "version": event.version,
        "subject": event.subject,
        "at": event.created_at,
        "payload": event.payload,
    }
    return message("event", cursor=str(event.id), topic=topic, event=inner)
