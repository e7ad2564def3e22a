"""Where a token may stand."""

from __future__ import annotations

import pytest

from sync.api.realtime.identity import check_address, token_in
from sync.api.realtime.websocket import Meter
from sync.realtime import Refused


@pytest.mark.parametrize(
    ("header", "subprotocols", "token"),
    [
        ("Bearer abc", [], "abc"),
        ("bearer  abc ", [], "abc"),
        ("Basic abc", [], ""),
        ("Bearer abc", ["bearer", "other"], "abc"),
        (None, ["bearer", "abc"], "abc"),
        (None, ["bearer"], None),
        (None, ["chat", "abc"], None),
        (None, [], None),
    ],
)
def test_header_and_subprotocol(header: str | None, subprotocols: list[str], token: str | None) -> None:
    assert token_in(header, subprotocols) == token


@pytest.mark.parametrize("name", ["token", "access_token", "Authorization", "JWT"])
def test_never_the_address(name: str) -> None:
    with pytest.raises(Refused) as refused:
        check_address(["cursor", name])
    assert refused.value.close.code == 4400
    check_address(["cursor", "topics"])


def test_a_meter_lets_so_many_pass() -> None:
    meter = Meter(3)
    assert [meter.allows() for _ in range(5)] == [True, True, True, False, False]
