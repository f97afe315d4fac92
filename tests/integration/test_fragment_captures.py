"""Fragments of real networks: those that follow their first pass, garbage does not."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import dpkt
import pytest

from firezone_filter import (
    AddressPlan,
    CidrResource,
    Direction,
    Gateway,
    TunnelAddresses,
    Udp,
)

CAPTURES = Path(__file__).parents[3] / "shared/captures"

pytestmark = pytest.mark.skipif(not CAPTURES.exists(), reason="the shared captures are not here")

FIRST, LATER, WHOLE = "first", "later", "whole"

DNS_SERVER = (
    AddressPlan(tunnel=("193.24.227.0/24", "2001:470:765b::/48"), dns_resources=()),
    TunnelAddresses("193.24.227.1", "2001:470:765b::1"),
    TunnelAddresses("193.24.227.238", "2001:470:765b::a25:53"),
)
TEN = (
    AddressPlan(tunnel=("10.0.0.0/24",), dns_resources=()),
    TunnelAddresses("10.0.0.254"),
    TunnelAddresses("10.0.0.1"),
)
GARBAGE = (TEN[0], TEN[1], TunnelAddresses("10.0.0.2"))

Scene = tuple[AddressPlan, TunnelAddresses, TunnelAddresses]


def packets(name: str) -> Iterator[tuple[float, bytes]]:
    """Yield the IP packets of an Ethernet capture, without padding."""
    with (CAPTURES / name).open("rb") as file:
        for seconds, frame in dpkt.pcap.Reader(file):
            packet = frame[14:]
            length = packet[2:4] if packet[0] >> 4 == 4 else packet[4:6]
            header = 0 if packet[0] >> 4 == 4 else 40
            yield seconds, packet[: header + int.from_bytes(length)]


def part(packet: bytes) -> str:
    """Tell which part of its packet it is."""
    if packet[0] >> 4 == 4:
        fragmented = int.from_bytes(packet[6:8]) & 0x3FFF
        offset = fragmented & 0x1FFF
    else:
        is_fragment = packet[6] == 44
        offset = int.from_bytes(packet[42:44]) & 0xFFF8 if is_fragment else 0
        fragmented = is_fragment
    if not fragmented:
        return WHOLE
    return LATER if offset else FIRST


def replay(name: str, scene: Scene, *, without: str = "") -> Counter[tuple[str, str]]:
    """Count what the client's fragments get, by their part."""
    plan, own, client = scene
    gateway = Gateway(own, address_plan=plan)
    gateway.client_connected("client", client, now=0.0)
    gateway.authorize("client", CidrResource("v4", "0.0.0.0/0", [Udp()]))
    gateway.authorize("client", CidrResource("v6", "::/0", [Udp()]))
    counts: Counter[tuple[str, str]] = Counter()
    for seconds, packet in packets(name):
        is_ours = client.ipv4 is not None and packet[12:16] == client.ipv4.packed
        is_ours |= client.ipv6 is not None and packet[8:24] == client.ipv6.packed
        if is_ours and part(packet) not in (WHOLE, without):
            decision = gateway.handle_packet(Direction.OUTBOUND, packet, seconds)
            counts[part(packet), getattr(decision, "reason", "forward")] += 1
    return counts


@pytest.mark.parametrize(
    ("name", "scene", "number"),
    [
        ("dns_fragmented.pcap", DNS_SERVER, 7),
        ("dnscrypt-v1-and-resolver-pings.pcap", TEN, 120),
    ],
)
def test_fragments_follow_their_first(name: str, scene: Scene, number: int) -> None:
    assert replay(name, scene) == {(FIRST, "forward"): number, (LATER, "forward"): number}


@pytest.mark.parametrize(
    ("name", "scene", "number"),
    [
        ("dns_fragmented.pcap", DNS_SERVER, 7),
        ("dnscrypt-v1-and-resolver-pings.pcap", TEN, 120),
    ],
)
def test_without_their_first_no_fragments_pass(name: str, scene: Scene, number: int) -> None:
    assert replay(name, scene, without=FIRST) == {(LATER, "fragment"): number}


def test_fragments_that_never_make_a_packet_do_not_pass() -> None:
    # Four first fragments carry 16 bytes of a TCP header: "tiny fragments" (RFC 1858).
    assert replay("ip_fragmented_garbage.pcap", GARBAGE) == {
        (LATER, "fragment"): 1248,
        (FIRST, "malformed"): 4,
    }
