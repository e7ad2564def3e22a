from __future__ import annotations

import contextlib
from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv6Address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync.base.outbound import OutboundRefused, Policy, parse_retry_after
from sync.base.settings import OutboundSettings

POLICY = Policy(OutboundSettings())
PRIVATE = [
    ip_network(text) for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "127.0.0.0/8", "169.254.0.0/16")
]

private_v4 = st.sampled_from(PRIVATE).flatmap(
    lambda network: st.integers(int(network.network_address), int(network.broadcast_address)).map(IPv4Address)
)


@given(private_v4, st.sampled_from(["{}", "::ffff:{}", "64:ff9b::{}", "::{}", "::ffff:0:{}"]))
def test_a_private_address_is_refused_in_every_disguise(address: IPv4Address, disguise: str) -> None:
    with pytest.raises(OutboundRefused):
        POLICY.check_address(disguise.format(address), 443)


@given(private_v4)
def test_tunnels_to_private_addresses_are_refused(address: IPv4Address) -> None:
    six_to_four = IPv6Address((0x2002 << 112) | (int(address) << 80))
    with pytest.raises(OutboundRefused):
        POLICY.check_address(str(six_to_four), 443)


@given(st.ip_addresses())
def test_whatever_passes_is_global(address: IPv4Address | IPv6Address) -> None:
    with contextlib.suppress(OutboundRefused):
        passed = POLICY.check_address(str(address), 443)
        assert passed.is_global and not passed.is_multicast and not passed.is_loopback


@given(st.text())
def test_any_retry_after_is_read_or_ignored(value: str) -> None:
    seconds = parse_retry_after(value, datetime(2027, 1, 1, tzinfo=UTC))
    assert seconds is None or seconds >= 0
