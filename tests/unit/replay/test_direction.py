"""Which packets concern a client, and which way they travel."""

import pytest

from firezone_filter.replay.direction import ClientAddresses
from firezone_filter.values.decisions import Direction
from tests.captures import CLIENT, CLIENT_6, GATEWAY, RESOURCE, RESOURCE_6, ipv4, ipv6, policy

FAMILIES = ["IPv4", "IPv6"]


def direction(packet: bytes) -> Direction | None:
    return ClientAddresses(policy()).direction(packet)


@pytest.mark.parametrize(
    "packet", [ipv4(CLIENT, RESOURCE), ipv6(CLIENT_6, RESOURCE_6)], ids=FAMILIES
)
def test_what_a_client_sends_is_outbound(packet: bytes) -> None:
    assert direction(packet) is Direction.OUTBOUND


@pytest.mark.parametrize(
    "packet", [ipv4(RESOURCE, CLIENT), ipv6(RESOURCE_6, CLIENT_6)], ids=FAMILIES
)
def test_what_is_sent_to_a_client_is_inbound(packet: bytes) -> None:
    assert direction(packet) is Direction.INBOUND


def test_what_a_client_sends_to_a_client_is_outbound() -> None:
    assert direction(ipv4(CLIENT, CLIENT)) is Direction.OUTBOUND


def test_what_a_client_sends_to_the_gateway_is_outbound() -> None:
    assert direction(ipv4(CLIENT, GATEWAY)) is Direction.OUTBOUND


def test_what_the_gateway_sends_to_a_client_is_inbound() -> None:
    assert direction(ipv4(GATEWAY, CLIENT)) is Direction.INBOUND


@pytest.mark.parametrize("source", [GATEWAY, "100.64.0.3", "10.0.0.9"])
def test_what_concerns_no_client_has_no_direction(source: str) -> None:
    assert direction(ipv4(source, RESOURCE)) is None


def test_a_broken_packet_of_a_client_has_a_direction() -> None:
    assert direction(b"\x41" + ipv4()[1:]) is Direction.OUTBOUND


def test_a_packet_without_addresses_has_no_direction() -> None:
    assert direction(ipv4()[:19]) is None
