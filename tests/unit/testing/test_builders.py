"""The builders against dpkt: a builder that is wrong would make every test lie."""

from collections.abc import Callable
from typing import Final

import dpkt
import pytest

from firezone_filter.testing import (
    authentication,
    checksums_hold,
    destination_options,
    flow_between,
    fragment,
    hop_by_hop,
    icmp,
    icmp_echo,
    icmp_error,
    ip,
    ip_fragment,
    patched,
    routing,
    tcp,
    udp,
)
from tests.numbers import GRE

V4 = "100.64.0.2:5401 > 10.0.0.5:443"
V6 = "[fd00:2021:1111::2]:5401 > [fd00:5::5]:443"
BARE_V4 = "100.64.0.2 > 10.0.0.5"
BARE_V6 = "fd00:2021:1111::2 > fd00:5::5"


BUILT = {
    "tcp4": tcp(V4, b"odd"),
    "tcp6": tcp(V6, b"odd"),
    "udp4": udp(V4, b"even"),
    "udp6": udp(V6, b"even"),
    "echo4": icmp_echo(BARE_V4, payload=b"odd"),
    "echo6": icmp_echo(BARE_V6, payload=b"odd"),
    "error4": icmp_error(BARE_V4, 3, 4, quoting=udp(V4)),
    "error6": icmp_error(BARE_V6, 2, quoting=udp(V6)),
    "options": tcp(V4, options=b"\x01\x01\x01"),
}


@pytest.mark.parametrize("packet", BUILT.values(), ids=BUILT)
def test_built_packets_have_the_checksums_that_they_should(packet: bytes) -> None:
    assert checksums_hold(packet)
    assert not checksums_hold(patched(packet, len(packet) - 1, bytes([packet[-1] ^ 1])))


def test_a_wrong_ipv4_header_checksum_is_noticed() -> None:
    assert not checksums_hold(patched(tcp(V4), 8, b"\x01"))


READ_BY_DPKT = {
    "options": tcp(V4, options=b"\x01"),
    "udp4": udp(V4, b"data"),
    "tcp6": tcp(V6, b"x"),
    "extensions": udp(V6, b"data", extensions=[hop_by_hop(), destination_options(1)]),
}


@pytest.mark.parametrize("packet", READ_BY_DPKT.values(), ids=READ_BY_DPKT)
def test_dpkt_finds_what_was_built(packet: bytes) -> None:
    is_ipv4 = packet[0] >> 4 == 4
    parsed = dpkt.ip.IP(packet) if is_ipv4 else dpkt.ip6.IP6(packet)
    assert (parsed.data.sport, parsed.data.dport) == (5401, 443)
    # dpkt writes no IPv6 extension headers back.
    assert not is_ipv4 or bytes(parsed) == packet


def test_a_udp_checksum_is_never_sent_as_zero() -> None:
    rest = int.from_bytes(udp(V4, bytes(2))[26:28])
    assert udp(V4, rest.to_bytes(2))[26:28] == b"\xff\xff"


def test_ipv4_fragments_put_together_are_the_packet() -> None:
    whole = udp(V4, bytes(range(32)), identification=7)
    first, last = fragment(whole, 0, 16), fragment(whole, 16)
    assert (dpkt.ip.IP(first).mf, dpkt.ip.IP(last).mf) == (1, 0)
    assert dpkt.ip.IP(last).offset == 16 // 8
    assert first[20:] + last[20:] == whole[20:]


def test_ipv6_fragments_stand_behind_the_headers_that_stay() -> None:
    whole = udp(V6, bytes(range(32)), extensions=[hop_by_hop(1), destination_options()])
    first, last = fragment(whole, 0, 24, before=1), fragment(whole, 24, before=1)
    assert (first[40], first[56], last[56]) == (44, 60, 60)
    assert first[58:60] == b"\x00\x01"
    assert last[58:60] == b"\x00\x18"
    assert first[64:] + last[64:] == whole[56:]


@pytest.mark.parametrize("flow", [BARE_V4, BARE_V6], ids=["ipv4", "ipv6"])
def test_a_fragment_built_by_itself_is_the_one_that_is_cut(flow: str) -> None:
    whole = ip(flow, GRE, bytes(range(24)))
    cut = ip_fragment(flow, GRE, bytes(range(8, 16)), start=8, more=True)
    assert fragment(whole, 8, 16) == cut


# --- Checksums of what is no plain packet --------------------------------------------------------


@pytest.mark.parametrize(
    ("packet", "holds"),
    [
        (patched(udp(V4), 26, bytes(2)), True),  # IPv4 datagrams may have none
        (patched(udp(V6), 46, bytes(2)), False),
        (udp(V6, extensions=[hop_by_hop(), authentication(), routing()]), True),
        (patched(udp(V6, extensions=[hop_by_hop()]), 48, bytes(2)), False),
        (fragment(udp(V4, bytes(16)), 0, 16), True),
        (fragment(udp(V6, bytes(16)), 8), True),
        (patched(fragment(udp(V4, bytes(16)), 0, 16), 8, b"\1"), False),
        (ip(BARE_V4, GRE, b"any"), True),
    ],
)
def test_checksums_are_those_that_a_receiver_looks_at(packet: bytes, *, holds: bool) -> None:
    assert checksums_hold(packet) is holds


# --- What does not fit -----------------------------------------------------------------------

MISTAKES: Final[dict[str, Callable[[], object]]] = {
    "one end": lambda: tcp("100.64.0.2:1"),
    "no address": lambda: tcp("alice:1 > 10.0.0.5:2"),
    "two families": lambda: tcp("100.64.0.2:1 > [fd00::5]:2"),
    "a port too high": lambda: tcp("100.64.0.2:1 > 10.0.0.5:65536"),
    "no port": lambda: tcp("100.64.0.2:x > 10.0.0.5:2"),
    "protocol": lambda: ip(BARE_V4, 256),
    "protocol over IPv6": lambda: ip(BARE_V6, -1),
    "flags": lambda: tcp(V4, flags=256),
    "type": lambda: icmp(BARE_V4, 256),
    "code": lambda: icmp(BARE_V4, 8, -1),
    "identifier": lambda: icmp_echo(BARE_V4, identifier=65_536),
    "sequence": lambda: icmp_echo(BARE_V4, sequence=-1),
    "hops": lambda: ip(BARE_V4, GRE, hops=256),
    "hop limit": lambda: ip(BARE_V6, GRE, hops=256),
    "identification": lambda: ip(BARE_V4, GRE, identification=65_536),
    "options": lambda: ip(BARE_V4, GRE, options=bytes(41)),
    "payload": lambda: ip(BARE_V4, GRE, bytes(65_516)),
    "payload over IPv6": lambda: ip(BARE_V6, GRE, bytes(65_536)),
    "datagram": lambda: udp(V6, bytes(65_528)),
    "start": lambda: ip_fragment(BARE_V4, GRE, b"", start=65_536),
    "start between units": lambda: ip_fragment(BARE_V6, GRE, b"", start=4),
}


@pytest.mark.parametrize("build", MISTAKES.values(), ids=MISTAKES)
def test_what_does_not_fit_is_refused(build: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        build()


GREATEST: Final[dict[str, Callable[[], bytes]]] = {
    "port": lambda: tcp("100.64.0.2:65535 > 10.0.0.5:65535"),
    "numbers": lambda: icmp_echo(BARE_V4, identifier=65_535, sequence=65_535, hops=255),
    "options": lambda: ip(BARE_V4, 255, bytes(65_475), options=bytes(40)),
    "payload": lambda: ip(BARE_V6, 255, bytes(65_535)),
    "start": lambda: ip_fragment(BARE_V4, GRE, b"", start=65_528, identification=65_535),
}


@pytest.mark.parametrize("build", GREATEST.values(), ids=GREATEST)
def test_the_greatest_values_fit(build: Callable[[], bytes]) -> None:
    assert checksums_hold(build())


def test_a_flow_is_a_text() -> None:
    with pytest.raises(TypeError, match="a flow is a text"):
        tcp(None)  # type: ignore[arg-type]


@pytest.mark.parametrize("flow", [V4, V6], ids=["ipv4", "ipv6"])
def test_a_flow_can_be_written_from_its_parts(flow: str) -> None:
    source, destination = (end.rpartition(":")[0].strip("[]") for end in flow.split(" > "))
    assert flow_between(source, destination, 5401, 443) == flow
