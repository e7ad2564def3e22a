from __future__ import annotations

from datetime import UTC, datetime
from ipaddress import ip_address

import pytest

from sync.base.outbound import Endpoint, OutboundRefused, Policy, is_public, parse_retry_after, unwrap
from sync.base.settings import OutboundSettings

NOW = datetime(2027, 1, 15, 12, tzinfo=UTC)

PRIVATE = [
    "127.0.0.1",
    "127.8.8.8",
    "0.0.0.0",
    "10.0.0.1",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "169.254.169.254",  # metadata
    "100.100.100.200",  # metadata of Alibaba, in carrier-grade NAT
    "168.63.129.16",  # Azure
    "192.0.0.192",  # metadata of Oracle
    "198.18.0.1",
    "203.0.113.7",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "::ffff:0:127.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::1",
    "2002:7f00:1::",
    "2001:0:7f00:1::",
    "2001:db8::1",
    "fe80::1",
    "fec0::1",
    "fc00::1",
    "fd00:ec2::254",  # metadata of AWS
    "ff02::1",
    "100::1",
]
PUBLIC = ["1.1.1.1", "8.8.8.8", "93.184.215.14", "2606:4700::1111", "2a00:1450:4001:80b::200e", "64:ff9b::808:808"]


@pytest.mark.parametrize("address", PRIVATE)
def test_private_and_special_addresses_are_refused(address: str) -> None:
    assert not is_public(unwrap(ip_address(address)))
    with pytest.raises(OutboundRefused) as refused:
        Policy(OutboundSettings()).check_address(address, 443)
    assert address not in str(refused.value)


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_pass(address: str) -> None:
    assert str(Policy(OutboundSettings()).check_address(address, 443)) == address


def test_scope_ids_do_not_hide_an_address() -> None:
    with pytest.raises(OutboundRefused):
        Policy(OutboundSettings()).check_address("fe80::1%eth0", 443)


def test_allowed_networks_pass_at_any_port_and_nothing_beside_them() -> None:
    policy = Policy(OutboundSettings(allow="127.0.0.1/32, fd00:1::/64"))
    policy.check_address("127.0.0.1", 5000)
    policy.check_address("::ffff:127.0.0.1", 5000)
    policy.check_address("fd00:1::5", 5000)
    for address in ("127.0.0.2", "fd00:2::5", "10.0.0.1"):
        with pytest.raises(OutboundRefused):
            policy.check_address(address, 443)
    with pytest.raises(OutboundRefused, match="Port 5000"):
        policy.check_address("1.1.1.1", 5000)


@pytest.mark.parametrize(
    ("endpoint", "credentials", "says"),
    [
        (Endpoint("ftp", "example.com", 21), False, "http and https"),
        (Endpoint("file", "", 0), False, "http and https"),
        (Endpoint("gopher", "example.com", 70), False, "http and https"),
        (Endpoint("https", "example.com", 443), True, "user name"),
        (Endpoint("https", "", 443), False, "no host"),
        (Endpoint("https", "fe80::1%eth0", 443), False, "no host"),
        (Endpoint("http", "example.com", 22), False, "Port 22"),
        (Endpoint("http", "example.com", 6379), False, "Port 6379"),
    ],
)
def test_what_the_url_gives_away_is_refused_early(endpoint: Endpoint, credentials: bool, says: str) -> None:
    with pytest.raises(OutboundRefused, match=says):
        Policy(OutboundSettings()).check_endpoint(endpoint, has_credentials=credentials)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("120", 120),
        (" 0 ", 0),
        ("Fri, 15 Jan 2027 12:02:00 GMT", 120),
        ("Fri, 15 Jan 2027 11:00:00 GMT", 0),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
        ("٣", None),
        ("9" * 400, None),
        ("", None),
    ],
)
def test_retry_after(value: str | None, seconds: float | None) -> None:
    assert parse_retry_after(value, NOW) == seconds


@pytest.mark.parametrize(
    "wrong", [{"allow": "10.0.0.1/8"}, {"allow": "localhost"}, {"ports": "80,http"}, {"ports": ""}]
)
def test_settings_that_mean_nothing_are_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(ValueError):
        OutboundSettings(**wrong)  # type: ignore[arg-type]
