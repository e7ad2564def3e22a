"""HTTP calls to addresses that users gave us, through the guard of `sync.base.outbound`.

A name is resolved once, all its addresses are checked, and the connection goes to a checked address while Host header,
SNI and certificate check keep the name. Redirects are not followed. Proxies, netrc and cookies play no part.
Imports httpx: load this lazily.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address

import httpx

from sync.base.errors import Permanent, Transient
from sync.base.outbound import MAX_URL, Address, Endpoint, OutboundRefused, Policy, default_port
from sync.base.settings import OutboundSettings

Resolver = Callable[[str, int], Awaitable[list[str]]]
"""(host, port) -> addresses. Errors: OSError."""

_TRIES = 3
"""Addresses of one name that are tried before the call counts as failed."""


@dataclass(frozen=True, slots=True)
class Answer:
    """headers: names in lower case. body: raw (undecoded) and cut at the limit."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    truncated: bool
    elapsed_s: float


async def system_resolver(host: str, port: int) -> list[str]:
    """The operating system's answer, each address once."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(info[4][0]) for info in found))


class OutboundClient:
    """One per process. A connection serves one call: reuse would tie two names on one address together."""

    def __init__(self, settings: OutboundSettings, resolve: Resolver = system_resolver) -> None:
        self._settings = settings
        self._client = httpx.AsyncClient(
            transport=GuardedTransport(settings, resolve),
            follow_redirects=False,
            trust_env=False,
            cookies=None,
            headers={"user-agent": "AppEngine-Sync", "accept-encoding": "identity"},
        )

    async def send(
        self, method: str, url: str, *, headers: Mapping[str, str], content: bytes, timeout_s: float
    ) -> Answer:
        """One call within `timeout_s`, name look-up and answer included.

        Errors: Permanent for what can never work (OutboundRefused for an address that is not called), Transient for
        time-outs and connection trouble. Statuses are the caller's business.
        """
        started = time.monotonic()
        timeout = httpx.Timeout(timeout_s, connect=min(timeout_s, self._settings.connect_timeout_s))
        try:
            # httpx's time-outs count from byte to byte; only this one ends a server that drips.
            async with asyncio.timeout(timeout_s):
                request = self._client.build_request(method, url, headers=headers, content=content, timeout=timeout)
                response = await self._client.send(request, stream=True)
                try:
                    body, truncated = await self._read(response)
                finally:
                    await response.aclose()
        except (TimeoutError, httpx.TimeoutException) as error:
            raise Transient(f"No complete answer within {timeout_s:g} s.") from error
        except (httpx.InvalidURL, httpx.UnsupportedProtocol, httpx.LocalProtocolError, UnicodeError) as error:
            raise Permanent(f"The call cannot be made: {error}") from error
        except httpx.TransportError as error:
            raise Transient(f"The connection failed: {error or type(error).__name__}") from error
        names = {name.lower(): value for name, value in response.headers.items()}
        return Answer(response.status_code, names, body, truncated, time.monotonic() - started)

    async def close(self) -> None:
        await self._client.aclose()

    async def _read(self, response: httpx.Response) -> tuple[bytes, bool]:
        # Raw: an answer of a few kilobytes must not unpack into gigabytes.
        limit = self._settings.max_response_bytes
        body = bytearray()
        async for chunk in response.aiter_raw():
            body += chunk
            if len(body) > limit:
                return bytes(body[:limit]), True
        return bytes(body), False


class GuardedTransport(httpx.AsyncBaseTransport):
    """Resolves, checks, and connects to what was checked. Every request passes here, redirects included."""

    def __init__(self, settings: OutboundSettings, resolve: Resolver = system_resolver) -> None:
        self._policy = Policy(settings)
        self._resolve = resolve
        self._inner = httpx.AsyncHTTPTransport(
            verify=_tls(settings), trust_env=False, limits=httpx.Limits(max_keepalive_connections=0)
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        endpoint = endpoint_of(request.url)
        self._policy.check_endpoint(endpoint, has_credentials=bool(request.url.userinfo))
        addresses = await self._addresses(endpoint)
        for address in addresses[:-1]:
            try:
                return await self._send(request, endpoint, address)
            except (httpx.ConnectError, httpx.ConnectTimeout):
                continue  # the next address of the same name
        return await self._send(request, endpoint, addresses[-1])

    async def aclose(self) -> None:
        await self._inner.aclose()

    async def _addresses(self, endpoint: Endpoint) -> list[Address]:
        try:
            found = await self._resolve(endpoint.host, endpoint.port)
        except OSError as error:
            raise httpx.ConnectError(f"the name {endpoint.host} does not resolve") from error
        if not found:
            raise httpx.ConnectError(f"the name {endpoint.host} has no address")
        # One private address among public ones is how rebinding looks, so all of them must pass.
        return [self._policy.check_address(text, endpoint.port) for text in found][:_TRIES]

    async def _send(self, request: httpx.Request, endpoint: Endpoint, address: Address) -> httpx.Response:
        checked = httpx.Request(
            request.method,
            request.url.copy_with(host=str(address)),
            headers=request.headers,  # Host was filled in from the name
            stream=request.stream,
            extensions={**request.extensions, "sni_hostname": endpoint.host},
        )
        return await self._inner.handle_async_request(checked)


def check_url(text: str, settings: OutboundSettings) -> None:
    """Whether a URL could be called, without resolving its name. Errors: Permanent (OutboundRefused)."""
    try:
        url = httpx.URL(text)
        endpoint = endpoint_of(url)
    except (httpx.InvalidURL, UnicodeError, ValueError) as error:
        raise OutboundRefused(f"This is not a URL: {error}") from error
    policy = Policy(settings)
    policy.check_endpoint(endpoint, has_credentials=bool(url.userinfo))
    try:
        ip_address(endpoint.host)
    except ValueError:
        return
    policy.check_address(endpoint.host, endpoint.port)


def endpoint_of(url: httpx.URL) -> Endpoint:
    """Errors: OutboundRefused for a URL that is too long."""
    if len(str(url)) > MAX_URL:
        raise OutboundRefused(f"A URL has at most {MAX_URL} characters.")
    host = url.raw_host.decode("ascii").strip("[]").lower()
    return Endpoint(url.scheme, host, url.port or default_port(url.scheme))


def _tls(settings: OutboundSettings) -> ssl.SSLContext:
    if settings.ca_file is None:
        return httpx.create_ssl_context(trust_env=False)
    return ssl.create_default_context(cafile=str(settings.ca_file))
