"""Kinds of one-off work. `http.call` is "send a webhook": one signed HTTP call, repeated until it was taken.

    answer                      becomes
    2xx                         done
    408, 425, 429, 5xx          tried again, not before its Retry-After
    302, 303, 307               tried again: the address is away for now (redirects are not followed)
    other 3xx, other 4xx        dead: nothing will change by asking again
    time-out, no connection     tried again
    address not called (SSRF)   dead

Delivery is at least once; `webhook-id` is the same in every attempt, so that the receiver can drop repeats.
"""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec

from sync.base.clock import Clock, SystemClock
from sync.base.errors import Permanent, RateLimited, Transient
from sync.base.outbound import parse_retry_after
from sync.consumers.secrets import OrgSecrets
from sync.consumers.signing import signature_headers
from sync.jobs.catalogue import JobKind
from sync.jobs.context import JobContext
from sync.jobs.outcome import Done
from sync.jobs.retry import Backoff

if TYPE_CHECKING:
    from sync.base.outbound_http import Answer, OutboundClient
    from sync.base.settings import OutboundSettings

MAX_TIMEOUT_S = 60.0

_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
_VALUE = re.compile(r"[\t\x20-\x7e]{0,8192}")
_RESERVED = {"host", "content-length", "transfer-encoding", "connection", "upgrade", "te", "trailer", "expect"}
_RETRIED = {
    HTTPStatus.FOUND,
    HTTPStatus.SEE_OTHER,
    HTTPStatus.TEMPORARY_REDIRECT,
    HTTPStatus.REQUEST_TIMEOUT,
    HTTPStatus.TOO_EARLY,
    HTTPStatus.TOO_MANY_REQUESTS,
}
_SHOWN_BYTES = 500
"""So much of a refusing answer goes into the job's error."""


class HttpCall(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What to call. Secrets are named, never written here: arguments are shown to people.

    body: sent as it is when a string, else as JSON. signing_key: name of the stored secret to sign with.
    secret_headers: header -> name of the stored secret that is its value. message_id: what the receiver tells repeats
    by; the job's own id unless given.
    """

    url: Annotated[str, msgspec.Meta(min_length=1, max_length=2048)]
    method: Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"] = "POST"
    headers: dict[str, str] = {}
    body: Any = None
    timeout_s: Annotated[float, msgspec.Meta(gt=0, le=MAX_TIMEOUT_S)] = 15.0
    signing_key: str | None = None
    secret_headers: dict[str, str] = {}
    message_id: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_.:-]{1,100}$")] | None = None

    def __post_init__(self) -> None:
        for name, value in self.headers.items():
            _check_header(name, value)
        for name in self.secret_headers:
            _check_header(name, "")


class HttpCaller:
    """Carries out `http.call`. Opens its HTTP client with the first call and keeps it."""

    def __init__(
        self,
        secrets: OrgSecrets,
        settings: OutboundSettings,
        clock: Clock | None = None,
        client: OutboundClient | None = None,
    ) -> None:
        self._secrets = secrets
        self._settings = settings
        self._clock = clock or SystemClock()
        self._client = client

    async def call(self, args: HttpCall, ctx: JobContext) -> Done:
        """Errors: Transient and RateLimited to try again, Permanent to give up."""
        body, content_type = encode_body(args.body)
        secret_names = [*args.secret_headers.values(), *([args.signing_key] if args.signing_key else [])]
        secrets = await self._secrets.reveal(ctx.job.org_id, secret_names)
        answer = await self._opened().send(
            args.method,
            args.url,
            headers={
                **({"content-type": content_type} if content_type else {}),
                **{name.lower(): value for name, value in args.headers.items()},
                **{name.lower(): secrets[secret][0] for name, secret in args.secret_headers.items()},
                **signature_headers(
                    args.message_id or f"msg_{ctx.job.id}",
                    int(self._clock.now().timestamp()),
                    body,
                    secrets[args.signing_key] if args.signing_key else [],
                ),
            },
            content=body,
            timeout_s=args.timeout_s,
        )
        ctx.log.info("http.answered", status=answer.status, duration_ms=round(answer.elapsed_s * 1000))
        judge(answer, retry_after_s=parse_retry_after(answer.headers.get("retry-after"), self._clock.now()))
        return Done()

    async def close(self) -> None:
        if self._client is not None:
            await self._client.close()
            self._client = None

    def _opened(self) -> OutboundClient:
        if self._client is None:
            from sync.base.outbound_http import OutboundClient

            self._client = OutboundClient(self._settings)
        return self._client


def judge(answer: Answer, retry_after_s: float | None = None) -> None:
    """Return for a call that was taken. Errors: RateLimited, Transient, Permanent (see the module's table)."""
    status = answer.status
    if 200 <= status < 300:
        return
    text = f"The receiver answered {status}{_excerpt(answer)}"
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        raise RateLimited(text, retry_after_s=retry_after_s, status=status)
    if status >= 500 or status in _RETRIED:
        raise Transient(text, retry_after_s=retry_after_s, status=status)
    if 300 <= status < 400:
        text = f"The receiver moved ({status}); redirects are not followed, so correct the URL."
    raise Permanent(text, status=status)


def encode_body(body: Any) -> tuple[bytes, str | None]:
    """Bytes and content type: text as it is, None as nothing, all else as JSON."""
    if body is None:
        return b"", None
    if isinstance(body, str):
        return body.encode(), "text/plain; charset=utf-8"
    return msgspec.json.encode(body), "application/json"


def one_off_kinds(caller: HttpCaller) -> list[JobKind]:
    """The kinds of this module, for the catalogue."""
    return [
        JobKind(
            kind="http.call",
            args=HttpCall,
            handler=caller.call,
            queue="one-off",
            max_attempts=20,
            timeout_s=MAX_TIMEOUT_S + 10,
            backoff=Backoff(base_s=2, factor=2, cap_s=3600),
            description="Call an HTTP endpoint: signed, with a time-out, repeated until it was taken.",
        )
    ]


def _check_header(name: str, value: str) -> None:
    if not _HEADER.fullmatch(name) or not _VALUE.fullmatch(value):
        raise ValueError(f"header {name!r:.120} holds characters that HTTP does not allow")
    if name.lower() in _RESERVED or name.lower().startswith(("webhook-", "proxy-")):
        raise ValueError(f"header {name!r} is set by Sync itself")


def _excerpt(answer: Answer) -> str:
    shown = answer.body[:_SHOWN_BYTES].decode(errors="replace").replace("\x00", "").strip()
    return f": {shown}" if shown else "."
