"""Keys fetched from an identity provider over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from sync.api.auth import TokenVerifier
from sync.base.errors import Transient
from sync.base.settings import AuthSettings
from tests.fakes.tokens import Issuer


class Provider:
    """Answers every request with `answer`, and counts them."""

    def __init__(self) -> None:
        self.answer = b""
        self.requests = 0
        self.port = 0

    def says(self, status: str, body: bytes, *headers: str) -> None:
        lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers, "", ""]
        self.answer = "\r\n".join(lines).encode() + body

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        self.requests += 1
        writer.write(self.answer)
        await writer.drain()
        writer.close()


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    provider = Provider()
    server = await asyncio.start_server(provider.serve, "127.0.0.1", 0)
    provider.port = server.sockets[0].getsockname()[1]
    yield provider
    server.close()


def verifier(provider: Provider) -> TokenVerifier:
    return TokenVerifier(AuthSettings(jwks_url=f"http://127.0.0.1:{provider.port}/jwks.json"))


async def test_many_first_requests_fetch_the_keys_once(provider: Provider) -> None:
    issuer = Issuer("k1")
    provider.says("200 OK", issuer.jwks())
    checked = verifier(provider)
    principals = await asyncio.gather(*(checked.verify(issuer.token("k1")) for _ in range(20)))
    assert {principal.org_id for principal in principals} == {"acme"}
    assert provider.requests == 1


@pytest.mark.parametrize(
    ("status", "body", "headers"),
    [
        ("500 Oops", b"", ()),
        ("302 Found", b"", ("Location: http://169.254.169.254/",)),
        ("200 OK", b"<html>", ()),
        ("200 OK", b'{"keys": []}', ()),
        ("200 OK", b"[" + b" " * 1_000_001 + b"]", ()),
    ],
)
async def test_a_provider_that_answers_nonsense_makes_us_unavailable(
    provider: Provider, status: str, body: bytes, headers: tuple[str, ...]
) -> None:
    provider.says(status, body, *headers)
    checked = verifier(provider)
    for _ in range(3):
        with pytest.raises(Transient):
            await checked.verify(Issuer("k1").token("k1"))
    assert provider.requests == 1, "not asked again at every request"
