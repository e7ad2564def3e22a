"""Whose connection it is. Tokens come in headers or messages, never in addresses, which end up in logs."""

from __future__ import annotations

from collections.abc import Iterable

from sync.api.auth import Principal, Right, TokenVerifier
from sync.base.errors import ApiError, Transient
from sync.realtime import Refused
from sync.realtime.protocol import bad_message, forbidden, token_invalid, unavailable

SUBPROTOCOL = "bearer"
_IN_ADDRESS = frozenset({"token", "access_token", "jwt", "authorization", "auth"})


async def identify(verifier: TokenVerifier, token: str) -> Principal:
    """Errors: Refused."""
    try:
        principal = await verifier.verify(token)
    except ApiError as error:
        raise Refused(token_invalid(error.detail or error.title)) from error
    except Transient as error:
        raise Refused(unavailable("The identity provider does not answer. Try again shortly.")) from error
    if not principal.may(Right.READ):
        raise Refused(forbidden(f"The role {principal.role} may not listen."))
    return principal


def check_address(names: Iterable[str]) -> None:
    """Errors: Refused when a parameter of the address looks like a token."""
    for name in names:
        if name.lower() in _IN_ADDRESS:
            text = f"`{name[:20]}` does not belong into the address: send the token as header or in a first message."
            raise Refused(bad_message(text))


def token_in(header: str | None, subprotocols: list[str]) -> str | None:
    """From `Authorization: Bearer <JWT>`, or from `Sec-WebSocket-Protocol: bearer, <JWT>` as browsers can send it."""
    if header is not None:
        scheme, _, token = header.partition(" ")
        return token.strip() if scheme.lower() == "bearer" else ""
    if len(subprotocols) >= 2 and subprotocols[0] == SUBPROTOCOL:
        return subprotocols[1]
    return None
