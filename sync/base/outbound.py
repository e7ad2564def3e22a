"""Which addresses a call on a user's behalf may reach: the guard against server-side request forgery. Pure.

A URL is judged twice: its text by `Policy.check_endpoint`, and every address its name resolves to by
`Policy.check_address`. The call then goes to the address that was checked (`sync.base.outbound_http`), never through a
second look-up that could answer differently.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TYPE_CHECKING

from sync.base.errors import Permanent

if TYPE_CHECKING:
    from sync.base.settings import OutboundSettings

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

MAX_URL = 2048
_SCHEMES = {"http": 80, "https": 443}
_NAT64 = ip_network("64:ff9b::/96")
_GLOBAL_UNICAST = ip_network("2000::/3")
# On top of what `ipaddress` calls not global: versions of Python differ there, so what matters is written out.
_REFUSED: tuple[Network, ...] = tuple(
    ip_network(text)
    for text in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",  # carrier-grade NAT, and the metadata service of Alibaba
        "127.0.0.0/8",
        "168.63.129.16/32",  # Azure's platform service has a public address
        "169.254.0.0/16",  # link-local, and most metadata services
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "224.0.0.0/3",  # multicast, reserved, broadcast
        "2001::/23",  # Teredo and other protocol assignments
        "2001:db8::/32",
        "2002::/16",  # 6to4: a tunnel to any IPv4 address
        "3fff::/20",
    )
)


class OutboundRefused(Permanent):
    """The address may not be called."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a URL points before its name is resolved. host: ASCII, lower case, without brackets."""

    scheme: str
    host: str
    port: int


class Policy:
    """The rules of one process. `settings.allow` lifts them for chosen networks."""

    def __init__(self, settings: OutboundSettings) -> None:
        self._allowed: tuple[Network, ...] = tuple(ip_network(part) for part in _split(settings.allow))
        self._ports = frozenset(int(part) for part in _split(settings.ports))

    def check_endpoint(self, endpoint: Endpoint, *, has_credentials: bool) -> None:
        """What can be said without resolving the name. Errors: OutboundRefused."""
        if endpoint.scheme not in _SCHEMES:
            raise OutboundRefused("Only http and https addresses can be called.")
        if has_credentials:
            raise OutboundRefused("A URL with a user name or password is not called: put it into a header.")
        if not endpoint.host or "%" in endpoint.host:
            raise OutboundRefused("The URL names no host that could be called.")
        if endpoint.port > 65535 or (not self._allowed and endpoint.port not in self._ports):
            raise _wrong_port(endpoint.port)

    def check_address(self, text: str, port: int) -> Address:
        """The address, if it may be called at `port`. Errors: OutboundRefused."""
        address = ip_address(text.partition("%")[0])
        plain = unwrap(address)
        if any(plain in network for network in self._allowed if network.version == plain.version):
            return address
        if not is_public(plain):
            # Deliberately without the address: it would tell a tenant how names resolve inside our network.
            raise OutboundRefused("The URL leads to a private or reserved network, which is not called.")
        if port not in self._ports:
            raise _wrong_port(port)
        return address


def unwrap(address: Address) -> Address:
    """The IPv4 address that an IPv6 one merely carries (mapped, NAT64), else the address itself."""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address in _NAT64:
            return IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def is_public(address: Address) -> bool:
    """Whether an (unwrapped) address lies in the public internet and nowhere special."""
    if isinstance(address, IPv6Address) and address not in _GLOBAL_UNICAST:
        return False
    if any(address in network for network in _REFUSED if network.version == address.version):
        return False
    return address.is_global and not address.is_multicast and not address.is_reserved


def default_port(scheme: str) -> int:
    return _SCHEMES.get(scheme, 0)


def parse_retry_after(value: str | None, now: datetime) -> float | None:
    """Seconds that a Retry-After header asks for: a number, or a date seen from `now`. None: absent or unreadable."""
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdecimal() and len(text) <= 9:
        return float(text)
    try:
        when = parsedate_to_datetime(text)
    except ValueError:
        return None
    if when.tzinfo is None:
        when = when.replace(tzinfo=now.tzinfo)
    return max((when - now).total_seconds(), 0.0)


def _split(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _wrong_port(port: int) -> OutboundRefused:
    return OutboundRefused(f"Port {port} is not called. An operator can add it to SYNC_OUTBOUND__PORTS.")
