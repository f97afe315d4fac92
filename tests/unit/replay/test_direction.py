"""Which packets belong to a client, and which way they travel."""

import pytest

from firezone_filter.replay.direction import ClientAddresses
from firezone_filter.values.decisions import Direction
from tests.captures import CLIENT, CLIENT_6, GATEWAY, RESOURCE, RESOURCE_6, ipv4, ipv6, policy


@pytest.mark.parametrize(
    ("packet", "direction"),
    [
        pytest.param(ipv4(CLIENT, RESOURCE), Direction.OUTBOUND, id="client to resource"),
        pytest.param(ipv6(CLIENT_6, RESOURCE_6), Direction.OUTBOUND, id="the same in IPv6"),
        pytest.param(ipv4(RESOURCE, CLIENT), Direction.INBOUND, id="resource to client"),
        pytest.param(ipv6(RESOURCE_6, CLIENT_6), Direction.INBOUND, id="resource to client, IPv6"),
        pytest.param(ipv4(CLIENT, CLIENT), Direction.OUTBOUND, id="client to client"),
        pytest.param(ipv4(CLIENT, GATEWAY), Direction.OUTBOUND, id="client to gateway"),
        pytest.param(ipv4(GATEWAY, CLIENT), Direction.INBOUND, id="gateway to client"),
        pytest.param(ipv4(GATEWAY, RESOURCE), None, id="gateway to resource"),
        pytest.param(ipv4("100.64.0.3", RESOURCE), None, id="unknown tunnel address"),
        pytest.param(ipv4("10.0.0.9", RESOURCE), None, id="stranger to resource"),
        pytest.param(b"\x41" + ipv4()[1:], Direction.OUTBOUND, id="broken packet of a client"),
        pytest.param(ipv4()[:19], None, id="no addresses"),
    ],
)
def test_addresses_tell_the_direction(packet: bytes, direction: Direction | None) -> None:
    assert ClientAddresses(policy()).direction(packet) is direction
