from __future__ import annotations

import copy
import struct
from collections.abc import Callable
from ipaddress import ip_address, ip_network

import pytest

from . import Model, ModelError, nat, packets, policy
from .flows import FlowModel
from .hand_made import (
    ACK,
    ALICE,
    BOB,
    FIN,
    GATEWAY,
    IN,
    OUT,
    RST,
    SYN,
    AddressPlan,
    Direction,
    Icmp,
    InternetResource,
    Options,
    Ports,
    Tcp,
    Udp,
    addresses,
    cidr,
    dns,
    echo,
    fragment,
    gateway,
    icmp,
    ip,
    payload_of,
    permit_tcp,
    resolved,
    tcp,
    translating,
    udp,
)
from .values import Given

A4, A6 = "100.64.0.2", "fd00:2021:1111::2"
REAL4, REAL6 = "93.184.216.34", "2606:2800::34"
PROXY4, PROXY6 = "100.96.0.1", "fd00:2021:1111:8000::1"

# Headers -----------------------------------------------------------------------------


def v6(next_header: int, payload: bytes) -> bytes:
    return ip(ip_address(A6), ip_address("2001:db8::1"), next_header, payload)


UDP_BYTES = struct.pack("!HHHH", 1, 2, 8, 0)


@pytest.mark.parametrize(
    "packet",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"\x50" + bytes(40), id="version 5"),
        pytest.param(tcp(f"{A4}:1 > 10.0.0.1:2")[:-1], id="shorter than its length field"),
        pytest.param(tcp(f"{A4}:1 > 10.0.0.1:2") + b"x", id="longer than its length field"),
        pytest.param(
            udp(f"{A4}:1 > 10.0.0.1:2", options=b"\x83\x03\x04\x00"), id="loose source route"
        ),
        pytest.param(
            udp(f"{A4}:1 > 10.0.0.1:2", options=b"\x89\x03\x04\x00"), id="strict source route"
        ),
        pytest.param(
            udp(f"{A4}:1 > 10.0.0.1:2", options=b"\x07\x05\x04\x00"), id="option too long"
        ),
        pytest.param(udp(f"{A4}:1 > 10.0.0.1:2", options=b"\x07\x01\0\0"), id="option too short"),
        pytest.param(udp(f"{A4}:1 > 10.0.0.1:2", options=b"\x01\x01\x01\x07"), id="option cut"),
        pytest.param(ip(ip_address(A4), ip_address("10.0.0.1"), 58, bytes(8)), id="ICMPv6 in 4"),
        pytest.param(v6(1, bytes(8)), id="ICMPv4 in 6"),
        pytest.param(v6(17, bytes(7)), id="UDP cut"),
        pytest.param(v6(60, b"\x00" + bytes(15)), id="hop-by-hop second"),
        pytest.param(v6(43, b"\x11\x00\x02\x01" + bytes(4) + UDP_BYTES), id="segments left"),
        pytest.param(v6(43, b"\x11\x00\x00\x00" + bytes(4) + UDP_BYTES), id="routing type 0"),
        pytest.param(v6(44, b"\x2c" + bytes(7) + b"\x11" + bytes(15)), id="two fragment headers"),
        pytest.param(v6(60, (b"\x3c" + bytes(7)) * 8 + b"\x11" + bytes(15)), id="nine extensions"),
        pytest.param(
            fragment(f"{A4} > 10.0.0.1", 17, bytes(9), offset=8, more=True), id="not by eights"
        ),
        pytest.param(
            fragment(f"{A4} > 10.0.0.1", 17, bytes(8), offset=65_512), id="ends behind the end"
        ),
        pytest.param(
            fragment(f"{A6} > 2001:db8::1", 1, bytes(8), offset=8), id="ICMPv4 fragment in 6"
        ),
    ],
)
def test_malformed_packets_are_named_so(packet: bytes) -> None:
    assert packets.parse(packet) is None


@pytest.mark.parametrize(
    ("packet", "protocol"),
    [
        (udp(f"{A4}:1 > 10.0.0.1:2", options=b"\x01\x07\x03\x04"), 17),
        (udp(f"{A4}:1 > 10.0.0.1:2", options=b"\x00\x83\x00\x00"), 17),
        (v6(0, b"\x3c" + bytes(7) + b"\x11" + bytes(7) + UDP_BYTES), 17),
        (v6(60, (b"\x3c" + bytes(7)) * 7 + b"\x11" + bytes(7) + UDP_BYTES), 17),
        (v6(43, b"\x11\x00\x02\x00" + bytes(4) + UDP_BYTES), 17),
        (v6(51, b"\x11\x04" + bytes(22) + UDP_BYTES), 17),
        (v6(44, b"\x11" + bytes(7) + UDP_BYTES), 17),
        (v6(59, b""), 59),
        (v6(135, b""), 135),
        (ip(ip_address(A4), ip_address("10.0.0.1"), 51, b""), 51),
        (fragment(f"{A4} > 10.0.0.1", 17, bytes(3), offset=65_512), 17),
    ],
)
def test_other_packets_show_their_protocol(packet: bytes, protocol: int) -> None:
    parsed = packets.parse(packet)
    assert parsed is not None
    assert parsed.protocol == protocol


def test_a_fragment_header_with_the_whole_packet_makes_no_fragment() -> None:
    parsed = packets.parse(v6(44, b"\x11" + bytes(7) + UDP_BYTES))
    assert parsed is not None
    assert parsed.fragment is None


# Both tables -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("flow", "decision"),
    [
        (f"{A4}:9 > 224.0.0.1:9", ("drop", "multicast", None)),
        (f"{A4}:9 > 255.255.255.255:9", ("drop", "multicast", None)),
        ("100.64.0.9:9 > 10.0.0.1:9", ("drop", "unknown-client", None)),
        (f"{A4}:9 > 100.64.0.1:53535", ("forward", "alice", None)),
        (f"{A4}:9 > 10.0.0.1:443", ("forward", "alice", "cidr")),
    ],
)
def test_outbound_without_a_client_id(flow: str, decision: tuple[object, ...]) -> None:
    model = gateway()
    model.authorize("alice", cidr("10.0.0.0/8", permit_tcp(443)))
    assert model.handle_packet(OUT, tcp(flow)) == decision


def test_a_client_may_not_borrow_an_address() -> None:
    model = gateway()
    model.client_connected("bob", BOB)
    packet = tcp("100.64.0.3:9 > 10.0.0.1:443")
    expected = ("drop", "source-not-allowed", "alice")
    assert model.handle_packet(OUT, packet, client_id="alice") == expected


@pytest.mark.parametrize(
    ("flow", "reason"),
    [
        (f"{A4}:9 > 100.64.0.3:9", "peer-address"),
        (f"{A4}:9 > 100.64.0.1:9", "tcp-port"),
        (f"{A4}:9 > 10.0.0.1:9", "tcp-port"),
        (f"{A4}:9 > 11.0.0.1:9", "no-resource"),
        (f"[{A6}]:9 > [2001:db8::1]:9", "no-resource"),
    ],
)
def test_outbound_refusals_are_answered(flow: str, reason: str) -> None:
    model = gateway()
    model.authorize("alice", cidr("10.0.0.0/8", permit_tcp(443)))
    decision = model.handle_packet(OUT, tcp(flow))
    assert (decision[0], *decision[2:]) == ("reject", reason, "alice")


@pytest.mark.parametrize(
    ("flow", "decision"),
    [
        ("10.0.0.1:443 > 11.0.0.1:9", ("drop", "not-a-peer", None)),
        ("10.0.0.1:443 > 100.64.0.9:9", ("drop", "unknown-client", None)),
        (f"100.64.0.3:443 > {A4}:9", ("drop", "peer-address", "alice")),
        (f"{PROXY4}:443 > {A4}:9", ("drop", "peer-address", "alice")),
        (f"100.64.0.1:53535 > {A4}:9", ("forward", "alice", None)),
        (f"100.64.0.1:443 > {A4}:53535", ("drop", "tcp-port", "alice")),
        (f"10.0.0.1:443 > {A4}:9", ("forward", "alice", "cidr")),
        (f"10.0.0.1:444 > {A4}:443", ("drop", "tcp-port", "alice")),
    ],
)
def test_inbound(flow: str, decision: tuple[object, ...]) -> None:
    model = gateway()
    model.authorize("alice", cidr("10.0.0.0/8", permit_tcp(443)))
    assert model.handle_packet(IN, tcp(flow)) == decision


def test_a_client_that_has_just_reconnected_is_allowed_nothing() -> None:
    model = gateway()
    model.authorize("alice", cidr("10.0.0.0/8"))
    model.client_connected("alice", ALICE)
    packet = tcp(f"10.0.0.1:443 > {A4}:9")
    assert model.handle_packet(IN, packet) == ("drop", "no-resource", "alice")


def test_own_filters_judge_the_gateway_itself() -> None:
    model = gateway(own_filters=permit_tcp(53))
    packet = tcp(f"{A4}:9 > 100.64.0.1:54")
    assert model.handle_packet(OUT, packet)[2:] == ("tcp-port", "alice")


@pytest.mark.parametrize(
    ("packet", "reason"),
    [
        (echo(f"{A4} > 100.64.0.1", 7), None),
        (echo(f"{A6} > fd00:2021:1111::1", 7), None),
        (udp(f"{A4}:9 > 100.64.0.1:53535"), None),
        (tcp(f"[{A6}]:9 > [fd00:2021:1111::1]:53535"), None),
        (udp(f"{A4}:53535 > 100.64.0.1:53534"), "udp-port"),
        (udp(f"{A4}:53535 > 100.64.0.1:53536"), "udp-port"),
        (tcp(f"{A4}:53535 > 100.64.0.1:53"), "tcp-port"),
        (tcp(f"{A4}:53535 > 100.64.0.1:22"), "tcp-port"),
        (ip(ip_address(A4), ip_address("100.64.0.1"), 47, b""), "protocol"),
    ],
)
def test_who_has_just_connected_may_ping_and_ask_the_name_server(
    packet: bytes, reason: str | None
) -> None:
    decision = gateway().handle_packet(OUT, packet)
    assert decision == ("forward", "alice", None) if reason is None else decision[2] == reason


def test_router_discovery_stays_on_its_link() -> None:
    model = gateway()
    model.authorize("alice", cidr("::/0"))
    packet = icmp(f"{A6} > 2001:db8::1", 133)
    assert model.handle_packet(OUT, packet) == ("drop", "icmp", "alice")


# Replies -----------------------------------------------------------------------------


def test_a_reply_quotes_what_fits() -> None:
    model = gateway()
    packet = udp(f"{A4}:9 > 10.0.0.1:9", bytes(1000))
    reply = model.handle_packet(OUT, packet)[1]
    assert len(reply) == 576
    assert reply[20:22] == b"\x03\x0d"
    assert packets.checksum(reply[:20]) == packets.checksum(reply[20:]) == 0
    assert reply[28:] == packet[:548]


def test_an_ipv6_reply_has_a_correct_checksum() -> None:
    model = gateway()
    packet = udp(f"[{A6}]:9 > [2001:db8::1]:9", bytes(1400))
    reply = model.handle_packet(OUT, packet)[1]
    pseudo = packets.pseudo_header(ip_address("2001:db8::1"), ip_address(A6), 58, 1240)
    assert len(reply) == 1280
    assert reply[40:42] == b"\x01\x01"
    assert packets.checksum(pseudo + reply[40:]) == 0


def test_the_internet_refuses_private_networks_as_unreachable() -> None:
    model = gateway()
    model.authorize("alice", InternetResource("internet"))
    decision = model.handle_packet(OUT, udp(f"{A4}:9 > 10.0.0.1:9"))
    assert decision[1][20:22] == b"\x03\x00"
    assert decision[2] == "not-internet"


def test_replies_stop_when_the_bucket_is_empty_and_go_on_when_it_fills() -> None:
    model = gateway(reject_rate=2.0, reject_burst=1)
    packet = udp(f"{A4}:9 > 10.0.0.1:9")
    times = (1000, 1000, 1000.25, 1000.5, 1000.75)
    kinds = [model.handle_packet(OUT, packet, now)[0] for now in times]
    assert kinds == ["reject", "drop", "drop", "reject", "drop"]


def test_an_icmp_error_is_never_answered() -> None:
    model = gateway()
    packet = icmp(f"{A4} > 100.64.0.3", 3)
    assert model.handle_packet(OUT, packet) == ("drop", "peer-address", "alice")


# Which resource ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("port", "resource_id"), [(443, "narrow"), (80, "wide"), (81, "wide z"), (1, "narrowest")]
)
def test_permission_beats_length_beats_id(port: int, resource_id: str) -> None:
    model = gateway()
    model.authorize("alice", cidr("10.1.0.0/16", permit_tcp(443), "narrow"))
    model.authorize("alice", cidr("10.0.0.0/8", permit_tcp(80, 81), "wide"))
    model.authorize("alice", cidr("10.0.0.0/8", permit_tcp(81), "wide z"))
    model.authorize("alice", cidr("10.1.2.0/24", permit_tcp(1), "narrowest"))
    decision = model.handle_packet(OUT, tcp(f"{A4}:9 > 10.1.2.3:{port}"))
    assert decision == ("forward", "alice", resource_id)


def test_the_refusal_is_that_of_the_longest_prefix() -> None:
    model = gateway()
    model.authorize("alice", InternetResource("internet"))
    model.authorize("alice", cidr("10.0.0.0/8", permit_tcp(1)))
    assert model.handle_packet(OUT, tcp(f"{A4}:9 > 10.1.2.3:2"))[2] == "tcp-port"


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("9.255.255.255", True),
        ("10.0.0.0", False),
        ("223.255.255.255", True),
        ("224.0.0.0", False),
        ("1.2.3.4", False),
        ("2000::1", True),
        ("2001:1ff::1", False),
        ("2001:200::1", True),
        ("64:ff9b::1", False),
    ],
)
def test_what_the_internet_is(address: str, *, public: bool) -> None:
    resource = InternetResource("internet", exclude=(ip_network("1.2.3.0/24"),))
    assert policy.is_internet(resource, ip_address(address)) is public


def test_a_table_answers_without_a_plan() -> None:
    table = policy.FilterTable()
    wide, narrow = ip_network("0.0.0.0/0"), ip_network("127.0.0.0/8")
    table.allow(wide, "a", [Tcp(Ports(0, 99)), Tcp(Ports(100, 65_535))])
    table.allow(narrow, "b", [Tcp(Ports(0, 99)), Tcp(Ports(101, 65_535))])
    address = ip_address("127.0.0.1")
    assert table.match(address, 6, 5) == ("b", narrow, None)
    assert table.match(address, 6) == ("a", wide, None)
    assert table.match(address, 17, 5) == ("b", narrow, "udp-port")
    assert table.permits(address, 6)
    assert table.revoke("a")
    assert not table.permits(address, 6)
    assert not table.revoke("a")


@pytest.mark.parametrize(
    ("protocol", "port", "reason"),
    [
        (6, 1, "tcp-port"),
        (17, 2, "udp-port"),
        (17, 3, None),
        (1, None, "icmp"),
        (47, None, "protocol"),
    ],
)
def test_filters_name_their_refusal(protocol: int, port: int | None, reason: str | None) -> None:
    assert policy.refusal([Udp(Ports(3, 4))], protocol, port) == reason


NOT_SPECIAL = [
    "126.255.255.255",
    "128.0.0.0",
    "1.0.0.0",
    "223.255.255.255",
    "240.0.0.0",
    "255.255.255.254",
    "100.63.255.255",
    "100.128.0.0",
    "10.0.0.1",
    "192.168.0.1",
    "::1:0:0",  # the first behind the v4-compatible
    "::fffe:ffff:ffff",
    "::1:0:0:0",
    "fd00:2021:1110:ffff:ffff:ffff:ffff:ffff",
    "fd00:2021:1111::20:0",
    "fd00:2021:1111:8000::20:0",
    "feff::1",
    # Forms of IPv4 addresses that a network may cover, private ones too.
    "64:ff9b::10.0.0.1",
    "64:ff9b::126.255.255.255",
    "64:ff9b::169.253.255.255",
    "64:ff9b::169.255.0.0",
    "64:ff9b::100.63.255.255",
    "64:ff9b::240.0.0.0",
    "2002:a00:1::1",
    "2002:a9fd:ffff::1",
    "2002:a9ff::1",
    "2002:643f:ffff::",
    "2001:7f00:1::",
    "2003:7f00:1::",
    # No forms: the prefix is another, or longer by a word.
    "64:ff9a::127.0.0.1",
    "64:ff9b::1:127.0.0.1",
    "64:ff9b:1::127.0.0.1",
    "2001:db8::169.254.169.254",
]
SPECIAL = [
    "127.0.0.0",
    "127.0.0.1",
    "127.255.255.255",
    "0.0.0.0",  # noqa: S104
    "0.255.255.255",
    "224.0.0.0",
    "239.255.255.255",
    "255.255.255.255",
    "100.64.0.0",
    "100.95.255.255",
    "100.96.0.0",
    "100.127.255.255",
    "::",
    "::1",
    "::2",
    "::10.0.0.1",
    "::255.255.255.255",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "ff02::1",
    "fd00:2021:1111::",
    "fd00:2021:1111::1f:ffff",
    "fd00:2021:1111:8000::",
    "fd00:2021:1111:8000::1f:ffff",
    *(
        f"64:ff9b::{ipv4}"
        for ipv4 in (
            *("0.0.0.0", "0.255.255.255", "127.0.0.1", "127.255.255.255"),  # noqa: S104
            *("169.254.0.0", "169.254.169.254", "169.254.255.255"),
            *("224.0.0.0", "239.255.255.255", "255.255.255.255"),
            *("100.64.0.0", "100.64.0.7", "100.95.255.255", "100.96.0.0", "100.127.255.255"),
        )
    ),
    "2002::",
    "2002:7f00:1::1",
    "2002:7fff:ffff:ffff:ffff:ffff:ffff:ffff",
    "2002:a9fe:a9fe::",
    "2002:a9fe::1",
    "2002:e000::",
    "2002:ffff:ffff::1",
    "2002:6440:7::1",
    "2002:647f:ffff::1",
]


@pytest.mark.parametrize(
    ("address", "covered"),
    [*((one, False) for one in SPECIAL), *((one, True) for one in NOT_SPECIAL)],
)
def test_no_network_covers_special_addresses(address: str, *, covered: bool) -> None:
    for network in (
        "::/0" if ":" in address else "0.0.0.0/0",
        f"{address}/{128 if ':' in address else 32}",
    ):
        assert policy.cidr_covers(cidr(network), ip_address(address), AddressPlan()) is covered


def test_special_are_the_ranges_of_the_plan_at_hand() -> None:
    plan = AddressPlan(tunnel=(ip_network("10.9.0.0/16"),))
    covered = [
        policy.cidr_covers(cidr("::/0"), ip_address(address), plan)
        for address in ("64:ff9b::10.9.0.1", "2002:a09:1::", "64:ff9b::100.64.0.1")
    ]
    assert covered == [False, False, True]


@pytest.mark.parametrize(
    ("network", "address", "covered"),
    [
        ("0.0.0.0/0", "169.254.169.254", False),
        ("0.0.0.0/0", "169.253.255.255", True),
        ("0.0.0.0/0", "169.254.0.0", False),
        ("0.0.0.0/0", "169.254.255.255", False),
        ("0.0.0.0/0", "169.255.0.0", True),
        ("169.254.0.0/15", "169.254.169.254", False),
        ("169.254.0.0/15", "169.255.0.0", True),
        ("169.254.0.0/16", "169.254.169.254", True),
        ("169.254.169.254/32", "169.254.169.254", True),
        ("169.254.169.254/32", "169.254.169.253", False),
        ("::/0", "fe80::1", False),
        ("::/0", "fe7f:ffff::1", True),
        ("::/0", "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff", False),
        ("::/0", "fec0::1", True),
        ("fe80::/9", "fe80::1", False),
        ("fe80::/9", "fec0::1", True),
        ("fe80::/10", "fe80::1", True),
        ("fe80::/64", "fe80::1", True),
        ("::/0", "fd00:ec2::254", False),
        ("fd00::/8", "fd00:ec2::254", False),
        ("fd00:ec2::/31", "fd00:ec2::254", False),
        ("fd00:ec2::/31", "fd00:ec3::254", True),
        ("fd00:ec2::/32", "fd00:ec2::254", True),
        ("fd00:ec2::254/128", "fd00:ec2::254", True),
        ("::/0", "fd00:ec1:ffff::", True),
        ("::/0", "fd20:ce::254", False),
        ("fd20:ce::/31", "fd20:ce::254", False),
        ("fd20:ce::/31", "fd20:cf::254", True),
        ("fd20:ce::/32", "fd20:ce::254", True),
        ("fd20:ce::254/128", "fd20:ce::254", True),
        # A form of a local service is special: it is not one itself.
        ("::/0", "64:ff9b::169.254.169.254", False),
        ("64:ff9b::169.254.0.0/112", "64:ff9b::169.254.169.254", False),
    ],
)
def test_only_a_network_among_local_services_covers_one(
    network: str, address: str, *, covered: bool
) -> None:
    found = policy.cidr_covers(cidr(network), ip_address(address), AddressPlan())
    assert found is covered


@pytest.mark.parametrize(
    ("address", "reason"),
    [("169.254.169.254", "no-resource"), ("169.255.0.1", None), ("169.253.255.255", None)],
)
def test_everything_is_not_the_metadata_of_the_cloud(address: str, reason: str | None) -> None:
    model = gateway()
    model.authorize("alice", cidr("0.0.0.0/0"))
    out = model.handle_packet(OUT, tcp(f"{A4}:9 > {address}:80"))
    back = model.handle_packet(IN, tcp(f"{address}:80 > {A4}:9"))
    assert (out[-2] if out[0] == "reject" else None) == reason
    assert (back[1] if back[0] == "drop" else None) == reason


@pytest.mark.parametrize(
    ("pattern", "name", "matches"),
    [
        ("example.com", "EXAMPLE.com.", True),
        ("example.com", "a.example.com", False),
        ("*.example.com", "a.example.com", True),
        ("*.example.com", "example.com", True),
        ("*.example.com", "a.b.example.com", False),
        ("**.example.com", "a.b.example.com", True),
        ("**.example.com", "example.com", True),
        ("a?c.example.com", "abc.example.com", True),
        ("a?c.example.com", "ac.example.com", False),
        ("a*.example.com", "a.example.com", True),
        ("x.**.com", "x.com", True),
        ("**", "exa mple", False),
    ],
)
def test_patterns(pattern: str, name: str, *, matches: bool) -> None:
    assert policy.names(pattern, name) is matches


@pytest.mark.parametrize(
    ("address", "reason"), [("100.96.0.9", "no-resource"), (PROXY4, "no-resource")]
)
def test_networks_never_cover_the_dns_ranges(address: str, reason: str) -> None:
    model = gateway()
    model.authorize("alice", cidr("0.0.0.0/0"))
    model.authorize("alice", InternetResource("internet"))
    model.authorize("alice", dns())
    assert model.handle_packet(OUT, tcp(f"{A4}:9 > {address}:443"))[2] == reason


# Time, lifecycle, events -------------------------------------------------------------


def kind_of(error: pytest.ExceptionInfo[ModelError]) -> str:
    return error.value.kind


def test_an_authorization_is_gone_when_it_expires() -> None:
    model = gateway()
    model.authorize("alice", cidr("10.0.0.0/8"), expires_at=1010.0)
    packet = tcp(f"10.0.0.1:443 > {A4}:9")
    kinds = [model.handle_packet(IN, packet, now)[0] for now in (1009.5, 1010.0)]
    assert kinds == ["forward", "drop"]
    assert model.poll_event() == ("authorization-expired", "alice", "cidr", 1010.0)
    assert model.poll_event() == ("access-exhausted", "alice")
    assert model.poll_event() is None


def test_a_malformed_packet_brings_time_too() -> None:
    model = gateway()
    model.authorize("alice", cidr("10.0.0.0/8"), expires_at=1010.0)
    model.handle_packet(IN, b"", 1011)
    assert model.authorizations("alice") == {}


def test_expiries_noticed_together_come_in_their_order() -> None:
    model = gateway()
    model.client_connected("bob", BOB)
    model.authorize("alice", cidr("10.0.0.0/8", (), "late"), expires_at=1020)
    model.authorize("bob", cidr("10.0.0.0/8", (), "early"), expires_at=1010)
    assert model.poll_timeout() == 1010
    model.handle_timeout(2000)
    assert [model.poll_event() for _ in range(5)] == [
        ("authorization-expired", "bob", "early", 1010),
        ("access-exhausted", "bob"),
        ("authorization-expired", "alice", "late", 1020),
        ("access-exhausted", "alice"),
        None,
    ]


def test_a_newer_event_replaces_the_older_and_authorize_withdraws() -> None:
    model = gateway()
    model.authorize("alice", cidr("10.0.0.0/8"), expires_at=1)
    model.authorize("alice", cidr("10.0.0.0/8"), expires_at=2)
    model.authorize("alice", cidr("10.0.0.0/8"))
    assert model.poll_event() == ("authorization-expired", "alice", "cidr", 2)
    assert model.poll_event() is None


YEARS = 50 * 365.25 * 86_400
LATE = 2.0**33 - 1000


@pytest.mark.parametrize(
    ("latest", "time", "fits"),
    [
        (1000, 1000 + YEARS, True),
        (1000, 1000 + YEARS + 1, False),
        (LATE, 2**33 - 1, True),
        (LATE, 2.0**33, False),
        (LATE, 2**33, False),
        (1000, float("inf"), False),
        (1000, float("nan"), False),
        (1000, 10**400, False),
        (1.75e9, 1.75e12, False),  # milliseconds
        (50_000, 1.75e9, False),  # monotonic time, then Unix time
    ],
)
def test_no_time_is_far_ahead(latest: float, time: float, *, fits: bool) -> None:
    def started() -> Model:
        model = Model(GATEWAY, address_plan=AddressPlan(), options=Options())
        model.client_connected("alice", ALICE, latest)
        model.authorize("alice", cidr("10.0.0.0/8"))
        return model

    calls: list[Callable[[Model], object]] = [
        lambda model: model.authorize("alice", cidr("10.0.0.0/8"), expires_at=time),
        lambda model: model.update_expiry("alice", "cidr", time),
        lambda model: model.handle_timeout(time),
        lambda model: model.handle_packet(IN, b"", time),
        lambda model: model.handle_packets(IN, [b""], time),
        lambda model: model.client_connected("bob", BOB, time),
    ]
    for call in calls:
        model = started()
        if fits:
            call(model)
            continue
        with pytest.raises(ModelError) as error:
            call(model)
        assert kind_of(error) == "InvalidTime"
        # Nothing has changed, time included.
        assert model.authorizations("alice") == {"cidr": None}
        assert model.clients() == ("alice",)
        model.handle_timeout(latest)
        assert model.earlier_nows == 0


@pytest.mark.parametrize(
    ("latest", "now", "fits"),
    [
        (YEARS, 0, True),
        (YEARS, -1, False),
        (1000, 1000 - YEARS, True),
        (1000, 999 - YEARS, False),
        (1000, float("-inf"), False),
        (1.75e9, 50_000, False),  # Unix time, then monotonic time
    ],
)
def test_no_now_is_far_behind(latest: float, now: float, *, fits: bool) -> None:
    model = gateway()
    model.clock_set(latest)
    if fits:
        model.handle_timeout(now)
        assert (model.earlier_nows, model.earlier_by) == (1, latest - now)
        return
    with pytest.raises(ModelError) as error:
        model.handle_timeout(now)
    assert kind_of(error) == "InvalidTime"
    assert model.earlier_nows == 0


@pytest.mark.parametrize("now", [2**33, 2.0**40, float("nan"), float("inf"), 10**400])
def test_the_first_now_is_a_time_too(now: float) -> None:
    for set_it in (Model.handle_timeout, Model.clock_set):
        model = Model(GATEWAY, address_plan=AddressPlan(), options=Options())
        with pytest.raises(ModelError) as error:
            set_it(model, now)
        assert kind_of(error) == "InvalidTime"
        set_it(model, 2**33 - 1)


def test_an_expiry_may_be_long_ago() -> None:
    model = gateway()
    model.clock_set(LATE)
    model.authorize("alice", cidr("10.0.0.0/8"), expires_at=-LATE)
    assert model.authorizations("alice") == {}


def test_a_now_that_is_earlier_is_counted_and_counts_as_the_latest() -> None:
    model = gateway()
    model.authorize("alice", cidr("10.0.0.0/8"), expires_at=1010)
    model.handle_timeout(1005)
    for now in (1004, 1005, None, 1000.5, 1003):
        model.handle_packet(IN, b"", now)
    model.handle_packets(IN, [b"", b""], 1004)
    model.handle_packets(IN, [b"", b""], 1006)
    model.client_connected("bob", BOB, 1005.5)
    assert (model.earlier_nows, model.earlier_by) == (5, 4.5)
    with pytest.raises(ModelError):
        model.client_connected("carol", BOB, 500)
    model.clock_set(400)
    assert (model.earlier_nows, model.earlier_by) == (5, 4.5)
    model.handle_timeout(390)
    assert (model.earlier_nows, model.earlier_by) == (6, 10)


# Clocks that are set -----------------------------------------------------------------


def test_before_the_first_now_setting_the_clock_brings_it() -> None:
    model = Model(GATEWAY, address_plan=AddressPlan(), options=Options())
    model.client_connected("alice", ALICE)
    model.authorize("alice", cidr("10.0.0.0/8"))
    model.handle_packet(OUT, fragment(f"{A4} > 10.0.0.1", 17, UDP_BYTES, more=True))
    model.clock_set(5000)
    later = fragment(f"{A4} > 10.0.0.1", 17, UDP_BYTES, offset=8)
    kinds = [model.handle_packet(OUT, later, now)[0] for now in (5029.5, 5030)]
    assert kinds == ["forward", "drop"]


# To when the clock is set at 1010: earlier, the same, and later by any distance.
SET_TO = pytest.mark.parametrize("now", [-YEARS, 0, 1009.5, 1010, 1010.5, 1.75e9, 2**33 - 10_000])


@SET_TO
def test_what_lasts_for_a_while_keeps_what_it_has_left(now: float) -> None:
    def played(*steps: tuple[object, bytes, float]) -> str:
        model = translating()
        model.authorize("alice", cidr("10.0.0.0/8"))
        model.handle_packet(OUT, fragment(PATH, 17, UDP_BYTES, more=True), 1000)
        model.handle_packet(OUT, tcp(f"{A4}:4000 > {PROXY4}:443", RST), 1000)
        model.handle_packet(OUT, tcp(f"{A4}:4001 > {PROXY4}:443"), 1000)
        model.handle_packet(OUT, udp(TO), 1000)
        model.handle_packet(IN, tcp(f"{REAL4}:443 > {A4}:4001"), 1005)
        model.handle_timeout(1010)
        model.clock_set(now)
        last = [model.handle_packet(way, packet, now + after) for way, packet, after in steps][-1]
        return str(last[0] if last[0] != "drop" else last[1])

    later = fragment(PATH, 17, b"x", offset=8)
    assert played((OUT, later, 19.5)) == "forward"
    assert played((OUT, later, 20)) == "fragment"
    assert played((IN, udp(BACK), 49.5)) == "translate"
    assert played((IN, udp(BACK), 50)) == "expired-nat-session"
    assert played((IN, udp(BACK), 49.5), (IN, udp(BACK), 169)) == "translate"
    assert played((IN, udp(BACK), 49.5), (IN, udp(BACK), 169.5)) == "expired-nat-session"
    ended, open_tcp = tcp(f"{REAL4}:443 > {A4}:4000"), tcp(f"{REAL4}:443 > {A4}:4001")
    assert played((IN, ended, 229.5)) == "expired-nat-session"
    assert played((IN, ended, 230)) == "no-resource"
    # 2 h 4 min after the last packet out, whenever anything came in.
    assert played((IN, open_tcp, 7429.5)) == "translate"
    assert played((IN, open_tcp, 7430)) == "expired-nat-session"


@SET_TO
@pytest.mark.parametrize(
    ("spent", "after", "answered"),
    [
        # A token each two seconds: 5 are there at 1010, whatever was spent at 1000.
        (3, 0, 5),
        (3, 1.5, 5),
        (3, 2, 6),
        (0, 0, 7),  # no more than there is room for
        (0, 2, 7),
        (7, 0, 2),
        (7, 6, 5),
    ],
)
def test_tokens_stay_and_grow_from_there(
    now: float, spent: int, after: float, answered: int
) -> None:
    model = gateway(reject_rate=0.5, reject_burst=7)
    packet = udp(f"{A4}:9 > 10.0.0.1:9")
    for _ in range(spent):
        assert model.handle_packet(OUT, packet, 1000)[0] == "reject"
    model.handle_timeout(1004 if spent == 7 else 1002)
    model.clock_set(now)
    kinds = [model.handle_packet(OUT, packet, now + after)[0] for _ in range(10)]
    assert kinds == ["reject"] * answered + ["drop"] * (10 - answered)


@pytest.mark.parametrize(
    ("now", "left"),
    [
        (500, ["early", "late", "never"]),
        (1199.5, ["early", "late", "never"]),
        (1200, ["late", "never"]),
        (1299.5, ["late", "never"]),
        (1300, ["never"]),
        (1.75e9, ["never"]),
    ],
)
def test_every_expiry_means_what_it_says(now: float, left: list[str]) -> None:
    model = gateway()
    model.authorize("alice", cidr("10.0.0.0/8", (), "early"), expires_at=1200)
    model.authorize("alice", cidr("10.0.0.0/8", (), "late"), expires_at=1300)
    model.authorize("alice", cidr("10.0.0.0/8", (), "never"))
    model.clock_set(now)
    assert list(model.authorizations("alice")) == left
    ended = [name for name in ("early", "late") if name not in left]
    expired = {"early": 1200, "late": 1300}
    for name in ended:
        assert model.poll_event() == ("authorization-expired", "alice", name, expired[name])
    assert model.poll_event() is None
    # What has ended stays gone.
    model.clock_set(0)
    assert list(model.authorizations("alice")) == left
    if len(left) > 1:
        model.handle_timeout(expired[left[0]] - 0.5)
        assert list(model.authorizations("alice")) == left
        model.handle_timeout(expired[left[0]])
        assert list(model.authorizations("alice")) == left[1:]


@pytest.mark.parametrize(
    ("now", "fits"),
    [(1000, True), (999.5, False), (-1e9, False), (1999.5, True), (2000 + YEARS, True)],
)
def test_no_expiry_is_kept_that_would_lie_50_years_ahead(now: float, *, fits: bool) -> None:
    model = gateway()
    model.handle_timeout(2000)
    model.authorize("alice", cidr("10.0.0.0/8"), expires_at=1000 + YEARS)
    if fits:
        model.clock_set(now)
        assert model.authorizations("alice") == ({"cidr": 1000 + YEARS} if now < YEARS else {})
        return
    with pytest.raises(ModelError) as error:
        model.clock_set(now)
    assert kind_of(error) == "InvalidTime"
    model.handle_timeout(2000)
    assert model.earlier_nows == 0  # the latest is what it was


@pytest.mark.parametrize("now", [2**33, float("nan"), float("-inf"), 10**400])
def test_a_clock_is_set_to_a_time(now: float) -> None:
    model = gateway()
    with pytest.raises(ModelError) as error:
        model.clock_set(now)
    assert kind_of(error) == "InvalidTime"
    model.handle_timeout(1000)
    assert model.earlier_nows == 0


@SET_TO
def test_records_keep_what_they_have_left_and_their_length(now: float) -> None:
    model = FlowModel(GATEWAY, address_plan=AddressPlan(), options=Options())
    model.client_connected("alice", ALICE, 1000)
    model.authorize("alice", cidr("10.0.0.0/8"))
    model.handle_packet(OUT, udp(f"{A4}:9 > 10.0.0.1:9"), 1000)
    model.handle_packet(OUT, udp(f"{A4}:9 > 10.0.0.1:9"), 1005)
    model.handle_packet(OUT, udp(f"{A4}:9 > 11.0.0.1:9"), 1005)
    model.handle_timeout(1010)
    model.clock_set(now)
    model.handle_timeout(now + 54.5)
    # What was told before stays as it was.
    assert told(model) == [("FlowStarted", 1000, None, None)]
    model.handle_timeout(now + 55)
    assert told(model) == [("FlowRefused", None, now - 5, None)]
    model.handle_timeout(now + 115)
    assert told(model) == []
    model.handle_timeout(now + 115.5)
    assert told(model) == [("FlowEnded", now - 10, now - 5, now + 115.5)]


def test_a_record_does_not_end_before_it_began() -> None:
    model = FlowModel(GATEWAY, address_plan=AddressPlan(), options=Options())
    model.client_connected("alice", ALICE, 1000)
    model.authorize("alice", cidr("10.0.0.0/8"), expires_at=2000)
    model.handle_packet(OUT, udp(f"{A4}:9 > 10.0.0.1:9"), 1000)
    model.clock_set(5000)
    assert told(model) == [
        ("FlowStarted", 1000, None, None),
        ("authorization-expired", "alice", "cidr", 2000),
        ("FlowEnded", 5000, 5000, 5000),
        ("access-exhausted", "alice"),
    ]


def told(model: FlowModel) -> list[tuple[object, ...]]:
    """Fetch the events; of records their times alone."""
    names = ("kind", "flow_start", "last_packet", "flow_end")
    return [
        tuple(event[1].get(name) for name in names) if event[0] == "flow" else event
        for event in iter(model.poll_event, None)
    ]


def test_sessions_that_were_over_stay_gone_and_expiring_takes_the_others_along() -> None:
    model = translating()
    model.handle_packet(OUT, udp(TO), 1000)
    model.update_expiry("alice", "dns", 2000)
    model.clock_set(2000)
    assert model.handle_packet(IN, udp(BACK)) == UNKNOWN
    assert model.poll_event() == ("authorization-expired", "alice", "dns", 2000)


def test_an_expiry_needs_a_clock() -> None:
    model = Model(GATEWAY, address_plan=AddressPlan(), options=Options())
    model.client_connected("alice", ALICE)
    with pytest.raises(ModelError) as error:
        model.authorize("alice", cidr("10.0.0.0/8"), expires_at=5)
    assert kind_of(error) == "InvalidTime"


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        (ALICE, "AddressInUse"),
        (GATEWAY, "InvalidAddress"),
        (addresses("10.0.0.1"), "InvalidAddress"),
    ],
)
def test_addresses_that_cannot_be_a_clients(given: object, kind: str) -> None:
    model = gateway()
    model.authorize("alice", cidr("10.0.0.0/8"), expires_at=1010)
    with pytest.raises(ModelError) as error:
        model.client_connected("bob", given, 2000)
    assert kind_of(error) == kind
    assert model.authorizations("alice") == {"cidr": 1010}


def test_a_resource_never_changes_its_network() -> None:
    model = gateway()
    model.authorize("alice", cidr("10.0.0.0/8"))
    with pytest.raises(ModelError) as error:
        model.update_resource(cidr("11.0.0.0/8"))
    assert kind_of(error) == "InvalidPolicy"
    assert model.revoke("alice", "cidr")
    model.authorize("alice", cidr("11.0.0.0/8"))


def test_retaining_takes_away_what_is_not_listed() -> None:
    model = gateway()
    model.authorize("alice", cidr("10.0.0.0/8", (), "kept"))
    model.authorize("alice", cidr("10.0.0.0/8", (), "lost"))
    model.retain_authorizations({"alice": {"kept", "unknown"}, "unknown": set()})
    assert model.authorizations("alice") == {"kept": None}


def test_what_began_before_the_first_now_counts_from_it() -> None:
    model = Model(GATEWAY, address_plan=AddressPlan(), options=Options())
    model.client_connected("alice", ALICE)
    model.authorize("alice", cidr("10.0.0.0/8"))
    model.handle_packet(OUT, fragment(f"{A4} > 10.0.0.1", 17, UDP_BYTES, more=True))
    later = fragment(f"{A4} > 10.0.0.1", 17, UDP_BYTES, offset=8)
    kinds = [model.handle_packet(OUT, later, now)[0] for now in (5000, 5029, 5030)]
    assert kinds == ["forward", "forward", "drop"]


def test_updates_reach_every_client_that_has_the_resource() -> None:
    model = gateway()
    model.client_connected("bob", BOB)
    model.authorize("alice", cidr("10.0.0.0/8"))
    assert model.update_resource(cidr("10.0.0.0/8", permit_tcp(1))) == 1
    assert model.handle_packet(OUT, tcp(f"{A4}:9 > 10.0.0.1:2"))[2] == "tcp-port"


def test_what_is_unknown_changes_nothing() -> None:
    model = gateway()
    assert not model.revoke("bob", "cidr")
    assert not model.update_expiry("alice", "cidr", None)
    assert not model.client_disconnected("bob")
    assert model.clients() == ("alice",)
    assert "bob" not in model


def test_an_update_that_has_passed_ends_the_authorization() -> None:
    model = gateway()
    model.authorize("alice", cidr("10.0.0.0/8"))
    assert model.update_expiry("alice", "cidr", 999)
    assert model.authorizations("alice") == {}


@pytest.mark.parametrize(
    ("given", "kind"), [(ALICE, "AddressInUse"), (addresses("10.0.0.1"), "InvalidAddress")]
)
def test_addresses_that_cannot_be_the_gateways(given: object, kind: str) -> None:
    model = gateway()
    with pytest.raises(ModelError) as error:
        model.set_addresses(given)
    assert kind_of(error) == kind


def test_new_addresses_of_the_gateway_forget_fragments() -> None:
    model = gateway(own_filters=())
    model.handle_packet(OUT, fragment(f"{A4} > 100.64.0.1", 17, UDP_BYTES, more=True))
    model.set_addresses(addresses("100.64.0.7"))
    later = fragment(f"{A4} > 100.64.0.1", 17, b"x", offset=8)
    assert model.handle_packet(OUT, later) == ("drop", "fragment", "alice")
    assert model.handle_packet(OUT, udp(f"{A4}:1 > 100.64.0.7:2"))[0] == "forward"


@pytest.mark.parametrize("now", [float("nan"), float("-inf"), 10**400])
def test_now_is_finite(now: float) -> None:
    model = gateway()
    with pytest.raises(ModelError) as error:
        model.handle_timeout(now)
    assert kind_of(error) == "InvalidTime"


def test_an_authorization_needs_a_client() -> None:
    model = gateway()
    with pytest.raises(ModelError) as error:
        model.authorize("bob", cidr("10.0.0.0/8"))
    assert kind_of(error) == "UnknownClient"


def test_a_client_needs_a_name() -> None:
    model = gateway()
    with pytest.raises(ModelError) as error:
        model.client_connected("", BOB)
    assert kind_of(error) == "InvalidPolicy"


@pytest.mark.parametrize(
    "resource", [InternetResource("cidr"), dns(resource_id="cidr"), cidr("10.0.0.0/9")]
)
def test_a_resource_never_changes_its_kind(resource: object) -> None:
    model = gateway()
    model.authorize("alice", cidr("10.0.0.0/8"))
    with pytest.raises(ModelError) as error:
        model.authorize("alice", resource)
    assert kind_of(error) == "InvalidPolicy"


# ICMP errors -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("quote", "decision"),
    [
        (tcp(f"{A4}:9 > 10.0.0.1:443"), ("forward", "alice", "cidr")),
        (tcp(f"{A4}:9 > 10.0.0.1:443")[:28], ("forward", "alice", "cidr")),
        (tcp(f"{A4}:9 > 10.0.0.1:443")[:27], ("drop", "icmp-error", "alice")),
        (tcp(f"{A4}:9 > 10.0.0.1:444"), ("drop", "icmp-error", "alice")),
        (tcp("100.64.0.3:9 > 10.0.0.1:443"), ("drop", "icmp-error", "alice")),
        (tcp(f"{A4}:9 > 100.64.0.3:443"), ("drop", "icmp-error", "alice")),
        (tcp(f"{A4}:9 > 100.64.0.1:53535"), ("forward", "alice", None)),
        (tcp(f"{A4}:9 > 100.64.0.1:443"), ("drop", "icmp-error", "alice")),
        (icmp(f"{A4} > 10.0.0.1", 11), ("drop", "icmp-error", "alice")),
        (
            fragment(f"{A4} > 10.0.0.1", 6, bytes(24), offset=8),
            ("drop", "icmp-error", "alice"),
        ),
    ],
)
def test_an_error_passes_with_the_packet_that_it_quotes(
    quote: bytes, decision: tuple[object, ...]
) -> None:
    model = gateway()
    model.authorize("alice", cidr("10.0.0.0/8", permit_tcp(443)))
    error = icmp(f"192.0.2.1 > {A4}", 3, 1, payload=quote)
    assert model.handle_packet(IN, error) == decision


@pytest.mark.parametrize(("port", "kind"), [(443, "forward"), (444, "drop")])
def test_an_outbound_error_is_about_an_inbound_packet(port: int, kind: str) -> None:
    model = gateway()
    model.authorize("alice", cidr("10.0.0.0/8", permit_tcp(443)))
    quote = tcp(f"10.0.0.1:{port} > {A4}:9")
    error = icmp(f"{A4} > 10.0.0.1", 3, 3, payload=quote)
    assert model.handle_packet(OUT, error)[0] == kind


@pytest.mark.parametrize("kind", [0, 5, 127, 137])
def test_redirects_and_undefined_errors_never_pass(kind: int) -> None:
    model = gateway()
    model.authorize("alice", cidr("::/0"))
    error = icmp(f"2001:db8::1 > {A6}", kind, payload=tcp(f"[{A6}]:1 > [2001:db8::1]:2"))
    assert model.handle_packet(IN, error) == ("drop", "icmp-error", "alice")


# Fragments ---------------------------------------------------------------------------

PATH = f"{A4} > 10.0.0.1"
TCP_BYTES = tcp(f"{A4}:9 > 10.0.0.1:443")[20:]


def fragments_of(*parts: bytes, allowed: bool = True) -> list[str]:
    model = gateway()
    model.authorize("alice", cidr("10.0.0.0/8", permit_tcp(443 if allowed else 444)))
    return [model.handle_packet(OUT, part)[0] for part in parts]


def test_a_later_fragment_follows_the_first() -> None:
    first = fragment(PATH, 6, TCP_BYTES + bytes(4), more=True)
    later = fragment(PATH, 6, b"x", offset=24)
    assert fragments_of(first, later) == ["forward", "forward"]
    assert fragments_of(later, first) == ["drop", "forward"]
    assert fragments_of(first, later, allowed=False) == ["reject", "drop"]


def test_a_fragment_that_overlaps_what_was_judged_forgets_it() -> None:
    first = fragment(PATH, 6, TCP_BYTES + bytes(4), more=True)
    overlapping = fragment(PATH, 6, bytes(8), offset=16, more=True)
    later = fragment(PATH, 6, b"x", offset=24)
    assert fragments_of(first, overlapping, later) == ["forward", "drop", "drop"]


def test_another_first_fragment_forgets_the_first() -> None:
    first = fragment(PATH, 6, TCP_BYTES + bytes(4), more=True)
    other = fragment(PATH, 6, b"\0\x07" + TCP_BYTES[2:] + bytes(4), more=True)
    later = fragment(PATH, 6, b"x", offset=24)
    assert fragments_of(first, first, later) == ["forward", "forward", "forward"]
    assert fragments_of(first, other, later) == ["forward", "drop", "drop"]


def test_a_change_of_permissions_forgets_fragments() -> None:
    model = gateway()
    model.authorize("alice", cidr("10.0.0.0/8"))
    model.handle_packet(OUT, fragment(PATH, 17, UDP_BYTES, more=True))
    model.authorize("alice", cidr("11.0.0.0/8", (), "other"))
    later = fragment(PATH, 17, b"x", offset=8)
    assert model.handle_packet(OUT, later) == ("drop", "fragment", "alice")


# Translation -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "goes_on", "comes_back", "arrives"),
    [
        (
            tcp(f"{A4}:5000 > {PROXY4}:443", SYN),
            tcp(f"{A4}:5000 > {REAL4}:443", SYN),
            tcp(f"{REAL4}:443 > {A4}:5000", SYN | ACK),
            tcp(f"{PROXY4}:443 > {A4}:5000", SYN | ACK),
        ),
        (
            udp(f"[{A6}]:5000 > [{PROXY6}]:443", b"odd"),
            udp(f"[{A6}]:5000 > [{REAL6}]:443", b"odd"),
            udp(f"[{REAL6}]:443 > [{A6}]:5000", b"odd"),
            udp(f"[{PROXY6}]:443 > [{A6}]:5000", b"odd"),
        ),
        (
            echo(f"{A6} > {PROXY6}", 5000),
            echo(f"{A6} > {REAL6}", 5000),
            echo(f"{REAL6} > {A6}", 5000, reply=True),
            echo(f"{PROXY6} > {A6}", 5000, reply=True),
        ),
        (
            echo(f"{A4} > {PROXY4}", 0),
            echo(f"{A4} > {REAL4}", 1),
            echo(f"{REAL4} > {A4}", 1, reply=True),
            echo(f"{PROXY4} > {A4}", 0, reply=True),
        ),
    ],
)
def test_a_flow_is_translated_both_ways(
    sent: bytes, goes_on: bytes, comes_back: bytes, arrives: bytes
) -> None:
    model = translating()
    assert model.handle_packet(OUT, sent) == ("translate", goes_on, "alice", "dns")
    assert model.handle_packet(IN, comes_back) == ("translate", arrives, "alice", "dns")


def test_a_wrong_checksum_stays_wrong_by_as_much() -> None:
    model = translating()
    good = udp(f"{A4}:5000 > {PROXY4}:443")
    bad = good[:26] + struct.pack("!H", int.from_bytes(good[26:28]) - 1)
    goes_on = udp(f"{A4}:5000 > {REAL4}:443")
    expected = goes_on[:26] + struct.pack("!H", int.from_bytes(goes_on[26:28]) - 1)
    assert model.handle_packet(OUT, bad)[1] == expected


def test_no_udp_checksum_stays_none() -> None:
    model = translating()
    packet = udp(f"{A4}:5000 > {PROXY4}:443")[:26] + b"\0\0"
    assert model.handle_packet(OUT, packet)[1][26:28] == b"\0\0"


def test_proxies_take_turns_at_the_sorted_addresses() -> None:
    chosen = [ip_address(text) for text in ("9.9.9.9", "1.1.1.1", "9.9.9.9")]
    assert [str(nat.target_of(n, chosen)) for n in range(3)] == ["1.1.1.1", "9.9.9.9", "1.1.1.1"]
    assert nat.target_of(0, []) is None


NEVER_RESOLVED = [
    *SPECIAL,
    *("169.254.0.0", "169.254.169.254", "169.254.255.255", "fe80::1", "febf::1"),
    *("fd00:ec2::254", "fd20:ce::254"),
]


@pytest.mark.parametrize(
    ("address", "used"),
    [
        *((one, False) for one in NEVER_RESOLVED),
        *((one, True) for one in NOT_SPECIAL),
        *((one, True) for one in ("169.253.255.255", "169.255.0.0", "fec0::1", "fd00:ec3::")),
        ("fd20:cd:ffff::", True),
    ],
)
def test_a_name_never_opens_a_side_door(address: str, *, used: bool) -> None:
    model = gateway()
    model.authorize("alice", dns())
    proxy, other = (PROXY6, "2000::5") if ":" in address else (PROXY4, "8.8.8.8")
    near = f"[{A6}]:9" if ":" in address else f"{A4}:9"
    packet = udp(f"{near} > [{proxy}]:9" if ":" in address else f"{near} > {proxy}:9")
    resolved(model, proxy, to=(address,))
    assert (model.handle_packet(OUT, packet)[0] == "translate") is used
    # Left out, as if the name had not resolved to it: the other is the first and only one.
    model.authorize("alice", dns("*.org", (), "more"))
    model.domain_resolved(
        "alice",
        "more",
        "a.org",
        proxy_addresses=[proxy, str(ip_address(proxy) + 1)],
        resolved_addresses=[address, other],
    )
    targets = {str(one.target) for one in model._clients["alice"].proxies.values()}
    assert targets == ({str(ip_address(address)), other} if used else {other})


def test_where_nothing_is_left_there_is_no_translation() -> None:
    model = gateway()
    model.authorize("alice", dns())
    resolved(model, PROXY4, to=("127.0.0.1", "169.254.169.254", "::ffff:1.2.3.4", "fd00:ec2::254"))
    decision = model.handle_packet(OUT, udp(f"{A4}:9 > {PROXY4}:9"))
    assert (decision[0], decision[1][20:22], decision[2]) == (
        "reject",
        b"\x03\x00",
        "no-translation",
    )


def test_two_proxies_of_one_address_take_two_ports() -> None:
    model = translating()
    resolved(model, "100.96.0.2", to=(REAL4,))
    ports = [
        int.from_bytes(payload_of(model.handle_packet(OUT, udp(flow))[1])[:2])
        for flow in (f"{A4}:65535 > {PROXY4}:9", f"{A4}:65535 > 100.96.0.2:9")
    ]
    assert ports == [65_535, 1]


def test_only_echo_is_translated_of_icmp() -> None:
    model = translating()
    decision = model.handle_packet(OUT, icmp(f"{A4} > {PROXY4}", 13))
    assert decision[2:] == ("protocol", "alice")


TO = f"{A4}:5000 > {PROXY4}:443"
BACK = f"{REAL4}:443 > {A4}:5000"
EXPIRED = ("drop", "expired-nat-session", "alice")
UNKNOWN = ("drop", "no-resource", "alice")


def test_an_unanswered_session_is_forgotten_after_a_minute() -> None:
    model = translating()
    model.handle_packet(OUT, udp(TO), 1000)
    assert model.handle_packet(IN, udp(BACK), 1060) == EXPIRED
    assert model.handle_packet(IN, udp(BACK), 1299.5) == EXPIRED
    assert model.handle_packet(IN, udp(BACK), 1300) == UNKNOWN


def test_an_answered_session_lasts_longer() -> None:
    model = translating()
    model.handle_packet(OUT, udp(TO), 1000)
    model.handle_packet(IN, udp(BACK), 1059)
    assert model.handle_packet(IN, udp(BACK), 1178)[0] == "translate"
    assert model.handle_packet(IN, udp(BACK), 1298) == EXPIRED


FLAGS = {"S": SYN, "A": ACK, "F": FIN, "R": RST}


def played(script: str) -> str:
    """Play what happens in one TCP session; say what becomes of the last packet.

    Each step is the seconds since the beginning, `>` out or `<` in, the flags, and the
    resource's port, if it is not 443.
    """
    model = translating()
    decision: tuple[object, ...] = ()
    for step in script.split(" | "):
        seconds, what = step.split(" ")
        letters, _, port = what[1:].partition("@")
        flags = sum(FLAGS[letter] for letter in letters)
        if what[0] == ">":
            direction, flow = OUT, f"{A4}:5000 > {PROXY4}:{port or 443}"
        else:
            direction, flow = IN, f"{REAL4}:{port or 443} > {A4}:5000"
        decision = model.handle_packet(direction, tcp(flow, flags), 1000 + float(seconds))
    return str(decision[0] if decision[0] == "translate" else decision[1])


PASSES, GONE, NEVER_WAS = "translate", "expired-nat-session", "no-resource"
HELLO = "0 >S | 0 <SA | 0 >A"


@pytest.mark.parametrize(
    ("script", "becomes"),
    [
        # Nothing came back yet: 60 s after the last packet out.
        ("0 >S | 59.5 <SA", PASSES),
        ("0 >S | 60 <SA", GONE),
        ("0 >S | 30 >S | 89.5 <SA", PASSES),
        ("0 >S | 30 >S | 90 <SA", GONE),
        ("0 >S | 60 <SA | 299.5 <SA", GONE),
        ("0 >S | 60 <SA | 300 <SA", NEVER_WAS),
        # 2 h 4 min after the last packet, but not for the sake of what comes in.
        (f"{HELLO} | 7439.5 <A", PASSES),
        (f"{HELLO} | 7440 <A", GONE),
        (f"{HELLO} | 7439.5 <A | 7440 <A", GONE),
        (f"{HELLO} | 5000 <A | 7439.5 <A", PASSES),
        (f"{HELLO} | 5000 <A | 7440 <A", GONE),
        (f"{HELLO} | 7000 <A | 7439.5 >A | 14879 <A", PASSES),
        (f"{HELLO} | 7000 <A | 7439.5 >A | 14879.5 <A", GONE),
        # A FIN one way is not the end.
        (f"{HELLO} | 1 >FA | 7440.5 <A", PASSES),
        (f"{HELLO} | 1 <FA | 7439.5 <A", PASSES),
        (f"{HELLO} | 1 >FA | 2 >FA | 7441.5 <A", PASSES),
        (f"{HELLO} | 1 <FA | 2 <FA | 7439.5 <A", PASSES),
        # FINs both ways: 240 s after the last packet out.
        (f"{HELLO} | 1 >FA | 1 <FA | 6.5 >FA", PASSES),
        (f"{HELLO} | 1 >FA | 1 <FA | 6.5 <FA", PASSES),
        (f"{HELLO} | 1 >FA | 1 <FA | 240.5 <A", PASSES),
        (f"{HELLO} | 1 >FA | 1 <FA | 241 <A", GONE),
        (f"{HELLO} | 1 <FA | 1 >FA | 240.5 <A", PASSES),
        (f"{HELLO} | 1 <FA | 1 >FA | 241 <A", GONE),
        (f"{HELLO} | 1 >FA | 1 <FA | 240 <FA | 240.5 <A", PASSES),
        (f"{HELLO} | 1 >FA | 1 <FA | 240 <FA | 241 <A", GONE),
        (f"{HELLO} | 1 >FA | 1 <FA | 240.5 >A | 480 <A", PASSES),
        (f"{HELLO} | 1 >FA | 1 <FA | 240.5 >A | 480.5 <A", GONE),
        (f"{HELLO} | 1 >FA | 1 <FA | 240.5 >A | 720 <A", GONE),
        (f"{HELLO} | 1 >FA | 1 <FA | 240.5 >A | 720.5 <A", NEVER_WAS),
        # A RST from outside: the same, until any other packet out takes it back.
        (f"{HELLO} | 5 <R | 5 <A", PASSES),
        (f"{HELLO} | 5 <R | 239.5 <A", PASSES),
        (f"{HELLO} | 5 <R | 240 <A", GONE),
        (f"{HELLO} | 5 <R | 6 <A | 240 <A", GONE),
        (f"{HELLO} | 5 <R | 239.5 >A | 479.5 <A", PASSES),
        (f"{HELLO} | 5 <R | 239.5 >A | 7679 <A", PASSES),
        (f"{HELLO} | 5 <R | 239.5 >A | 7679.5 <A", GONE),
        (f"{HELLO} | 5 <R | 6 >A | 7 <R | 246 <A", GONE),
        (f"{HELLO} | 5 <R | 6 >SA | 7445.5 <A", PASSES),
        (f"{HELLO} | 5 <R | 6 >FA | 7445.5 <A", PASSES),
        (f"{HELLO} | 1 >FA | 2 <R | 3 >A | 7442.5 <A", PASSES),
        # It takes back no FIN.
        (f"{HELLO} | 1 >FA | 2 <FR | 3 >A | 242.5 <A", PASSES),
        (f"{HELLO} | 1 >FA | 2 <FR | 3 >A | 243 <A", GONE),
        (f"{HELLO} | 1 >FA | 1 <FA | 2 <R | 3 >A | 243 <A", GONE),
        # A RST to nothing but a SYN is an answer.
        ("0 >S | 0 <RA | 239.5 <A", PASSES),
        ("0 >S | 0 <RA | 240 <A", GONE),
        # A RST from the client: at once, and it passes itself.
        (f"{HELLO} | 5 >R", PASSES),
        (f"{HELLO} | 5 >R | 5 <A", GONE),
        (f"{HELLO} | 5 >RA | 244.5 <A", GONE),
        (f"{HELLO} | 5 >RA | 245 <A", NEVER_WAS),
        (f"{HELLO} | 5 <R | 6 >R | 6 <A", GONE),
        (f"{HELLO} | 5 >FR | 5 <A", GONE),
        (f"{HELLO} | 5 >SR | 5 <A", GONE),
        ("0 >R", PASSES),
        ("0 >R | 0 <A", GONE),
        ("0 >R | 0 >S | 0 <SA", PASSES),
        # FIN or RST that makes a moment count which has passed already.
        (f"{HELLO} | 239.5 <R | 239.75 <A", PASSES),
        (f"{HELLO} | 239.5 <R | 240 <A", GONE),
        (f"{HELLO} | 240 <R", PASSES),
        (f"{HELLO} | 240 <R | 240 <A", GONE),
        (f"{HELLO} | 300 <R | 300 <A", GONE),
        (f"{HELLO} | 300 <R | 539.5 <A", GONE),
        (f"{HELLO} | 300 <R | 540 <A", NEVER_WAS),
        (f"{HELLO} | 7439.5 <R | 7679 <A", GONE),
        (f"{HELLO} | 1 >FA | 240.5 <FA | 240.75 <A", PASSES),
        (f"{HELLO} | 1 >FA | 241 <FA", PASSES),
        (f"{HELLO} | 1 >FA | 241 <FA | 241 <A", GONE),
        (f"{HELLO} | 1 >FA | 600 <FA | 600 <A", GONE),
        (f"{HELLO} | 1 <FA | 600 >FA | 839.5 <A", PASSES),
        (f"{HELLO} | 1 <FA | 600 >FA | 840 <A", GONE),
        # The client uses its port for a new connection.
        (f"{HELLO} | 1 <FA | 601 >S | 601 <SA | 601 >A | 601 >FA | 606 <A", PASSES),
        (f"{HELLO} | 1 <FA | 601 >S | 601 <SA | 601 >A | 601 >FA | 8040.5 <A", PASSES),
        (f"{HELLO} | 1 <FA | 601 >S | 601 <SA | 601 >FA | 602 <FA | 840.5 <A", PASSES),
        (f"{HELLO} | 1 <FA | 601 >S | 601 <SA | 601 >FA | 602 <FA | 841 <A", GONE),
        (f"{HELLO} | 1 >FA | 2 >S | 61.5 <A", PASSES),
        (f"{HELLO} | 1 >FA | 2 >S | 62 <A", GONE),
        (f"{HELLO} | 1 <FA | 2 >S | 62 <A", GONE),
        (f"{HELLO} | 1 >FA | 1 <FA | 2 >S | 62 <A", GONE),
        (f"{HELLO} | 1 >FA | 1 <FA | 2 >S | 3 <SA | 242 <A", PASSES),
        (f"{HELLO} | 1 >FA | 1 <FA | 2 >S@80 | 61.5 <A@80", PASSES),
        (f"{HELLO} | 1 >FA | 1 <FA | 2 >S@80 | 62 <A@80", GONE),
        (f"{HELLO} | 5 <R | 6 >S | 65.5 <SA", PASSES),
        (f"{HELLO} | 5 <R | 6 >S | 66 <SA", GONE),
        (f"{HELLO} | 5 <R | 6 >S@80 | 66 <SA@80", GONE),
        # A RST that was taken back is none.
        (f"{HELLO} | 5 <R | 6 >A | 7 >S | 67 <A", PASSES),
        # Nothing restarts that has not ended, nor at another port with a FIN one way.
        (f"{HELLO} | 2 >S | 62 <A", PASSES),
        (f"{HELLO} | 1 <FA | 2 >S@80 | 62 <A", PASSES),
        (f"{HELLO} | 1 >FA | 2 >S@80 | 62 <A@80", PASSES),
        (f"{HELLO} | 1 >FA | 1 <FA | 2 >SA | 62 <A", PASSES),
        (f"{HELLO} | 1 >FA | 1 <FA | 2 >A | 62 <A", PASSES),
        # What the SYN itself says counts, and its port is the only one.
        (f"{HELLO} | 1 <FA | 2 >SF | 3 <FA | 241.5 <A", PASSES),
        (f"{HELLO} | 1 <FA | 2 >SF | 3 <FA | 242 <A", GONE),
        (f"{HELLO} | 1 <FA | 2 >SF | 3 <SA | 242 <A", PASSES),
        (f"{HELLO} | 1 <FA | 2 >SR | 2 <A", GONE),
        (f"{HELLO} | 5 <R | 6 >S@80 | 6 <SA@80 | 7 <R@80 | 245.5 <A@80", PASSES),
        (f"{HELLO} | 5 <R | 6 >S@80 | 6 <SA@80 | 7 <R@80 | 246 <A@80", GONE),
        (f"{HELLO} | 5 <R | 6 >S@80 | 6 <SA@80 | 7 <R | 246 <A@80", PASSES),
        (f"{HELLO} | 1 >FA | 1 <FA | 2 >S@80 | 2 <SA@80 | 3 >R@80 | 3 <A@80", GONE),
        # FIN and RST count only with one resource port, inbound only from there.
        (f"{HELLO} | 1 >A@80 | 2 <R | 300 <A", PASSES),
        (f"{HELLO} | 1 >A@80 | 2 >R | 2 <A", PASSES),
        (f"{HELLO} | 1 >R@80 | 1 <A", PASSES),
        (f"{HELLO} | 1 >A@80 | 2 >FA | 2 <FA | 300 <A", PASSES),
        (f"{HELLO} | 1 >FA | 2 <FA@80 | 300 <A", PASSES),
        (f"{HELLO} | 2 <R@80 | 300 <A", PASSES),
        # A session that has sent to several ends by time, whatever was seen before.
        (f"{HELLO} | 1 >FA | 1 <FA | 2 >A@80 | 300 <A", PASSES),
        (f"{HELLO} | 1 >FA | 1 <FA | 2 >A@80 | 7442 <A", GONE),
        (f"{HELLO} | 1 >FA | 1 <FA | 2 >A@80 | 3 >S | 63 <A", PASSES),
        (f"{HELLO} | 1 <R | 2 >A@80 | 3 >S@80 | 63 <A", PASSES),
        (f"{HELLO} | 1 >A@80 | 2 >A@80 | 3 <R@80 | 300 <A", PASSES),
    ],
)
def test_how_tcp_sessions_end(script: str, becomes: str) -> None:
    assert played(script) == becomes


def test_what_comes_in_prolongs_no_session_for_ever() -> None:
    model = translating()
    model.handle_packet(OUT, udp(TO), 1000)
    for now in range(1059, 8440, 119):
        assert model.handle_packet(IN, udp(BACK), now)[0] == "translate"
    assert model.handle_packet(IN, udp(BACK), 8439.5)[0] == "translate"
    assert model.handle_packet(IN, udp(BACK), 8440) == EXPIRED
    assert model.handle_packet(IN, udp(BACK), 8679.5) == EXPIRED
    assert model.handle_packet(IN, udp(BACK), 8680) == UNKNOWN


def test_before_the_first_now_no_moment_has_passed() -> None:
    model = Model(GATEWAY, address_plan=AddressPlan(), options=Options())
    model.client_connected("alice", ALICE)
    model.authorize("alice", dns())
    resolved(model, PROXY4, to=(REAL4,))
    model.handle_packet(OUT, tcp(TO, SYN))
    model.handle_packet(IN, tcp(BACK, RST))
    assert model.handle_packet(IN, tcp(BACK), 5000)[0] == "translate"
    assert model.handle_packet(IN, tcp(BACK), 5239.5)[0] == "translate"
    assert model.handle_packet(IN, tcp(BACK), 5240) == EXPIRED


# Room for sessions -------------------------------------------------------------------

FULL = "nat-exhausted"


def between(client: str, port: int, *, back: bool = False, far_port: int = 443) -> str:
    near = {"alice": A4, "bob": "100.64.0.3"}[client]
    if back:
        return f"{REAL4}:{far_port} > {near}:{port}"
    return f"{near}:{port} > {PROXY4}:{far_port}"


def open_session(model: Model, client: str, port: int, kind: str) -> None:
    """Open a session and bring it to where it may give way, or may not."""
    out, back = between(client, port), between(client, port, back=True)
    other = between(client, port, far_port=80)
    steps = {
        "unanswered": [(OUT, out, SYN)],
        "answered": [(OUT, out, SYN), (IN, back, SYN | ACK)],
        "said fin": [(OUT, out, SYN), (IN, back, SYN | ACK), (OUT, out, FIN | ACK)],
        "unanswered fin": [(OUT, out, FIN | ACK)],
        "heard fin": [(OUT, out, SYN), (IN, back, FIN | ACK)],
        "closing": [(OUT, out, FIN | ACK), (IN, back, FIN | ACK)],
        "reset": [(OUT, out, SYN), (IN, back, RST)],
        "taken back": [(OUT, out, SYN), (IN, back, RST), (OUT, out, ACK)],
        "several": [(OUT, out, FIN), (IN, back, FIN), (OUT, other, ACK)],
        "several unanswered": [(OUT, out, FIN), (OUT, other, ACK)],
    }
    for direction, flow, flags in steps[kind]:
        assert model.handle_packet(direction, tcp(flow, flags))[0] == "translate"


def opened(model: Model, client: str, port: int) -> str:
    decision = model.handle_packet(OUT, tcp(between(client, port), SYN))
    return str(decision[0] if decision[0] == "translate" else decision[1])


def gone(model: Model, client: str) -> list[int]:
    """Return the client's ports that belonged to sessions which gave way."""
    return [
        port
        for port in range(1, 7)
        if model.handle_packet(IN, tcp(between(client, port, back=True)))[1] == GONE
    ]


@pytest.mark.parametrize(
    ("kinds", "number"),
    [
        (("unanswered", "said fin", "closing"), 3),
        (("unanswered", "said fin", "reset"), 3),
        (("unanswered", "said fin", "answered"), 2),
        (("unanswered", "unanswered fin", "answered"), 2),
        (("answered", "unanswered", "heard fin"), 2),
        (("answered", "taken back", "unanswered"), 3),
        (("several", "unanswered", "answered"), 2),
        (("several", "several unanswered", "answered"), 2),
        (("several unanswered", "said fin", "answered"), 2),
        # Of a kind, the longest without a packet.
        (("closing", "closing", "reset"), 1),
        (("reset", "closing", "closing"), 1),
        (("answered", "said fin", "said fin"), 2),
        (("unanswered", "unanswered", "unanswered"), 1),
        (("answered", "answered", "answered"), None),
        (("answered", "heard fin", "taken back"), None),
        (("several", "several", "answered"), None),
    ],
)
def test_what_gives_way_to_a_new_session(kinds: tuple[str, ...], number: int | None) -> None:
    model = translating(max_sessions_per_client=3)
    for port, kind in enumerate(kinds, 1):
        open_session(model, "alice", port, kind)
        model.handle_timeout(1000 + port)
    assert opened(model, "alice", 6) == (FULL if number is None else PASSES)
    assert gone(model, "alice") == ([] if number is None else [number])
    if number is not None:
        # Forgotten at that moment: for 240 s from there it is remembered.
        back = tcp(between("alice", number, back=True))
        assert model.handle_packet(IN, back, 1003 + 239.5) == EXPIRED
        assert model.handle_packet(IN, back, 1003 + 240) == UNKNOWN


@pytest.mark.parametrize(
    ("again", "number"),
    [
        (None, 1),
        ((OUT, 1, ACK), 2),
        ((IN, 1, ACK), 2),
        ((IN, 2, ACK), 1),
        # No packet of a session that is refused, nor an ICMP error.
        ((IN, 1, None), 1),
    ],
)
@pytest.mark.parametrize("apart", [0, 1])
def test_the_longest_without_a_packet_gives_way(
    again: tuple[Direction, int, int | None] | None, number: int, apart: float
) -> None:
    model = translating(permit_tcp(443), max_sessions_per_client=2)
    for port in (1, 2):
        open_session(model, "alice", port, "closing")
        model.handle_timeout(1000 + apart * port)
    if again is not None:
        direction, port, flags = again
        back = direction is IN
        model.handle_timeout(1000 + 3 * apart)
        if flags is not None:
            model.handle_packet(direction, tcp(between("alice", port, back=back), flags))
        else:
            sent = tcp(f"{A4}:{port} > {REAL4}:443")
            refused = tcp(between("alice", port, back=True, far_port=80))
            assert model.handle_packet(IN, refused)[1] == "tcp-port"
            error = icmp(f"{REAL4} > {A4}", 3, 1, payload=sent)
            assert model.handle_packet(IN, error)[0] == "translate"
    model.handle_timeout(1000 + 4 * apart)
    assert opened(model, "alice", 6) == PASSES
    assert gone(model, "alice") == [number]


@pytest.mark.parametrize(("now", "becomes"), [(8439.5, FULL), (8440, PASSES)])
def test_what_is_over_counts_towards_no_limit(now: float, becomes: str) -> None:
    model = translating(max_sessions_per_client=2)
    open_session(model, "alice", 1, "answered")
    open_session(model, "alice", 2, "answered")
    model.handle_timeout(now)
    assert opened(model, "alice", 3) == becomes


@pytest.mark.parametrize("option", ["max_sessions_per_client", "max_sessions"])
def test_where_there_is_no_room_at_all_nothing_gives_way(option: str) -> None:
    options: dict[str, Given] = {option: 0}
    model = translating(**options)
    assert opened(model, "alice", 1) == FULL


def shared(max_sessions: int, **options: Given) -> Model:
    model = translating(max_sessions=max_sessions, **options)
    model.client_connected("bob", BOB)
    give_name(model, "bob")
    return model


def give_name(model: Model, client: str) -> None:
    model.authorize(client, dns())
    model.domain_resolved(
        client, "dns", "example.com", proxy_addresses=[PROXY4], resolved_addresses=[REAL4]
    )


@pytest.mark.parametrize(
    ("alices", "bobs", "asks", "becomes", "alices_gone", "bobs_gone"),
    [
        # One of the client that has most, be it the one that asks.
        (("unanswered",), ("unanswered",) * 2, "alice", PASSES, [], [1]),
        (("unanswered",), ("unanswered",) * 2, "bob", PASSES, [], [1]),
        (("unanswered",) * 2, ("unanswered",), "bob", PASSES, [1], []),
        (("closing",), ("answered", "unanswered", "said fin"), "alice", PASSES, [], [3]),
        # Nobody else is asked.
        (("closing",), ("answered",) * 2, "alice", FULL, [], []),
        (("closing",), ("answered",) * 2, "bob", FULL, [], []),
        # Of equals, the one connected first.
        (("unanswered",) * 2, ("closing",) * 2, "bob", PASSES, [1], []),
        (("unanswered",) * 2, ("closing",) * 2, "alice", PASSES, [1], []),
        (("answered",) * 2, ("closing",) * 2, "bob", FULL, [], []),
        ((), ("unanswered",), "alice", PASSES, [], [1]),
    ],
)
def test_what_gives_way_where_all_have_too_many(  # noqa: PLR0913, PLR0917 - a table
    alices: tuple[str, ...],
    bobs: tuple[str, ...],
    asks: str,
    becomes: str,
    alices_gone: list[int],
    bobs_gone: list[int],
) -> None:
    model = shared(len(alices) + len(bobs))
    for port in range(1, 4):
        for client, kinds in (("bob", bobs), ("alice", alices)):
            if port <= len(kinds):
                open_session(model, client, port, kinds[port - 1])
    assert opened(model, asks, 6) == becomes
    assert (gone(model, "alice"), gone(model, "bob")) == (alices_gone, bobs_gone)


def test_a_client_that_connects_again_counts_as_connected_last() -> None:
    model = shared(2)
    model.client_connected("alice", ALICE)
    give_name(model, "alice")
    for client in ("alice", "bob"):
        open_session(model, client, 1, "unanswered")
    assert opened(model, "bob", 6) == PASSES
    assert (gone(model, "alice"), gone(model, "bob")) == ([], [1])


def test_the_own_limit_comes_first() -> None:
    model = shared(3, max_sessions_per_client=1)
    open_session(model, "alice", 1, "answered")
    open_session(model, "bob", 1, "unanswered")
    assert opened(model, "alice", 6) == FULL
    assert opened(model, "bob", 6) == PASSES
    assert gone(model, "bob") == [1]


def test_room_is_made_only_for_a_packet_that_passes_every_row() -> None:
    model = translating(permit_tcp(443), max_sessions_per_client=1)
    resolved(model, "100.96.0.2", to=())
    open_session(model, "alice", 1, "closing")
    for flow in (f"{A4}:9 > {PROXY4}:80", f"{A4}:9 > 100.96.0.2:443"):
        assert model.handle_packet(OUT, tcp(flow, SYN))[0] == "reject"
    assert gone(model, "alice") == []
    assert model.handle_packet(OUT, tcp(f"{A4}:9 > {PROXY4}:443", SYN))[0] == PASSES
    assert gone(model, "alice") == [1]


def test_a_reset_is_given_room_like_any_other_first_packet() -> None:
    model = translating(max_sessions_per_client=1)
    open_session(model, "alice", 1, "unanswered")
    assert model.handle_packet(OUT, tcp(between("alice", 2), RST))[0] == "translate"
    assert gone(model, "alice") == [1, 2]


def test_without_a_port_nothing_gives_way() -> None:
    model = translating(max_sessions_per_client=257)
    proxies = [str(ip_address("100.96.1.0") + n) for n in range(258)]
    resolved(model, *proxies, to=(REAL4,))
    sent = [tcp(f"{A4}:5000 > {proxy}:443", SYN) for proxy in proxies]
    kinds = {decision[0] for decision in model.handle_packets(OUT, sent[:-1])}
    assert kinds == {"translate"}
    assert model.handle_packet(OUT, sent[-1]) == ("drop", FULL, "alice")
    assert model.handle_packet(IN, tcp(BACK, SYN | ACK))[0] == "translate"
    assert model.handle_packet(OUT, tcp(f"{A4}:4000 > {PROXY4}:443", SYN))[0] == "translate"


def test_a_refused_packet_confirms_no_session() -> None:
    model = translating((Udp(Ports(443, 443)),))
    model.handle_packet(OUT, udp(TO), 1000)
    refused = model.handle_packet(IN, udp(f"{REAL4}:80 > {A4}:5000"), 1059)
    assert refused == ("drop", "udp-port", "alice")
    assert model.handle_packet(IN, udp(BACK), 1060) == EXPIRED


def test_the_last_authorization_takes_the_sessions_along() -> None:
    model = translating()
    model.handle_packet(OUT, udp(TO))
    model.revoke("alice", "dns")
    assert model.handle_packet(IN, udp(BACK)) == UNKNOWN
    model.authorize("alice", dns())
    assert model.handle_packet(OUT, udp(TO))[2:] == ("no-resource", "alice")


def test_renumbering_forgets_all_translations() -> None:
    model = translating()
    model.authorize("alice", dns("*.example.com", (), "other"))
    model.domain_resolved(
        "alice",
        "other",
        "new.example.com",
        proxy_addresses=[PROXY4],
        resolved_addresses=["8.8.8.8"],
    )
    goes_on = udp(f"{A4}:5000 > 8.8.8.8:443")
    assert model.handle_packet(OUT, udp(TO)) == ("translate", goes_on, "alice", "other")
    gone = model.handle_packet(OUT, udp(f"[{A6}]:1 > [{PROXY6}]:2"))
    assert gone[2:] == ("no-resource", "alice")


OTHER, OTHER_BACK = f"{A4}:5001 > 100.96.0.2:443", f"8.8.8.8:443 > {A4}:5001"


def two_names() -> Model:
    """The name of `translating` by two resources, www.example.com, and sessions with both."""
    model = translating()
    model.authorize("alice", dns("*.example.com", (), "other"))
    for domain, proxy, real in (
        ("example.com", PROXY4, REAL4),
        ("www.example.com", "100.96.0.2", "8.8.8.8"),
    ):
        model.domain_resolved(
            "alice", "other", domain, proxy_addresses=[proxy], resolved_addresses=[real]
        )
    sent = [udp(TO), udp(f"[{A6}]:5000 > [{PROXY6}]:443"), udp(OTHER)]
    assert {decision[0] for decision in model.handle_packets(OUT, sent)} == {"translate"}
    return model


@pytest.mark.parametrize("written", ["example.com", "Example.COM."])
def test_a_withdrawn_name_is_gone_whatever_it_was_given_for(written: str) -> None:
    model = two_names()
    assert model.domain_withdrawn("alice", written)
    for far in (f"{A4}:5000 > {PROXY4}:443", f"[{A6}]:5000 > [{PROXY6}]:443"):
        assert model.handle_packet(OUT, udp(far))[2:] == ("no-resource", "alice")
    # Not remembered: no `EXPIRED`.
    assert model.handle_packet(IN, udp(BACK)) == UNKNOWN
    assert model.handle_packet(IN, udp(f"[{REAL6}]:443 > [{A6}]:5000")) == UNKNOWN
    # All else stays.
    assert model.handle_packet(IN, udp(OTHER_BACK))[0] == "translate"
    assert model.handle_packet(OUT, udp(OTHER))[0] == "translate"
    assert model.authorizations("alice") == {"dns": None, "other": None}
    assert model.poll_event() is None
    assert not model.domain_withdrawn("alice", written)


@pytest.mark.parametrize("domain", ["example.com", "new.example.com", "www.example.com"])
def test_what_a_withdrawn_name_had_is_free_for_any(domain: str) -> None:
    model = two_names()
    model.domain_withdrawn("alice", "example.com")
    model.domain_resolved(
        "alice", "other", domain, proxy_addresses=[PROXY4], resolved_addresses=["9.9.9.9"]
    )
    # No renumbering: the other name keeps its session.
    assert model.handle_packet(IN, udp(OTHER_BACK))[0] == "translate"
    # The session is another, though it has the port of the one before; so is who answers.
    goes_on = udp(f"{A4}:5000 > 9.9.9.9:443")
    assert model.handle_packet(OUT, udp(TO)) == ("translate", goes_on, "alice", "other")
    # What was not given anew stays gone.
    assert model.handle_packet(OUT, udp(f"[{A6}]:1 > [{PROXY6}]:2"))[2:] == UNKNOWN[1:]
    assert model.domain_withdrawn("alice", domain)
    assert model.handle_packet(IN, udp(OTHER_BACK)) == (
        UNKNOWN
        if domain == "www.example.com"
        else ("translate", udp(f"100.96.0.2:443 > {A4}:5001"), "alice", "other")
    )


def test_only_the_clients_own_name_is_withdrawn() -> None:
    model = two_names()
    model.client_connected("bob", BOB)
    assert not model.domain_withdrawn("bob", "example.com")
    give_name(model, "bob")
    assert model.domain_withdrawn("bob", "example.com")
    assert model.handle_packet(IN, udp(BACK))[0] == "translate"
    # Of a name without proxy addresses there is nothing to take.
    resolved(model, to=(REAL4,), domain="example.com")
    model.domain_resolved(
        "alice", "other", "a.example.com", proxy_addresses=[], resolved_addresses=[REAL4]
    )
    assert not model.domain_withdrawn("alice", "a.example.com")
    # It has proxy addresses as long as one of its authorizations lives.
    model.revoke("alice", "dns")
    model.update_expiry("alice", "other", 1010)
    model.handle_timeout(1009.5)
    assert copy.deepcopy(model).domain_withdrawn("alice", "example.com")
    model.handle_timeout(1010)
    assert not model.domain_withdrawn("alice", "example.com")


def test_ends_from_before_are_remembered_when_their_name_is_withdrawn() -> None:
    model = translating()
    model.handle_packet(OUT, udp(TO), 1000)
    model.handle_timeout(1060)
    assert model.domain_withdrawn("alice", "example.com")
    assert model.handle_packet(IN, udp(BACK), 1299.5) == EXPIRED
    assert model.handle_packet(IN, udp(BACK), 1300) == UNKNOWN


@pytest.mark.parametrize(
    ("domain", "direct", "translated"),
    [
        ("www.example.com", "drop", "drop"),
        ("example.com", "drop", "drop"),
        ("gone.example.com", "forward", "translate"),
    ],
)
def test_first_fragments_are_forgotten_if_a_name_is_withdrawn(
    domain: str, direct: str, translated: str
) -> None:
    model = two_names()
    model.authorize("alice", cidr("10.0.0.0/8"))
    for path, becomes in ((PATH, "forward"), (f"{A4} > {PROXY4}", "translate")):
        first = fragment(path, 17, UDP_BYTES, more=True)
        assert model.handle_packet(OUT, first)[0] == becomes
    assert model.domain_withdrawn("alice", domain) is (direct == "drop")
    later = [fragment(path, 17, b"x", offset=8) for path in (PATH, f"{A4} > {PROXY4}")]
    kinds = [decision[0] for decision in model.handle_packets(OUT, later)]
    assert kinds == [direct, translated]


@pytest.mark.parametrize(
    ("client", "domain", "kind"),
    [
        ("nobody", "example.com", "UnknownClient"),
        *(
            ("alice", domain, "InvalidPolicy")
            for domain in ("", ".", "*.example.com", "exampl?.com", "a..com", "a b.com", "a" * 64)
        ),
    ],
)
def test_only_names_of_connected_clients_are_withdrawn(
    client: str, domain: str, kind: str
) -> None:
    model = two_names()
    with pytest.raises(ModelError) as error:
        model.domain_withdrawn(client, domain)
    assert kind_of(error) == kind
    assert model.handle_packet(IN, udp(BACK))[0] == "translate"


def test_resolving_again_leaves_existing_sessions_alone() -> None:
    model = translating()
    before = model.handle_packet(OUT, udp(TO))
    resolved(model, PROXY4, to=())
    assert model.handle_packet(OUT, udp(TO)) == before
    assert model.handle_packet(OUT, udp(f"{A4}:5001 > {PROXY4}:443"))[2] == "no-translation"


def test_a_fragmented_packet_is_translated_whole() -> None:
    model = translating()
    data = udp(TO, bytes(range(64)))[20:]
    there = udp(f"{A4}:5000 > {REAL4}:443", bytes(range(64)))[20:]
    sent = [
        fragment(f"{A4} > {PROXY4}", 17, data[:40], more=True),
        fragment(f"{A4} > {PROXY4}", 17, data[40:], offset=40),
    ]
    go_on = [
        fragment(f"{A4} > {REAL4}", 17, there[:40], more=True),
        fragment(f"{A4} > {REAL4}", 17, there[40:], offset=40),
    ]
    assert [decision[1] for decision in model.handle_packets(OUT, sent)] == go_on


@pytest.mark.parametrize(
    ("sent", "quote", "quote_seen", "router", "proxy", "kind"),
    [
        (
            tcp(f"{A4}:65535 > 100.96.0.2:443"),
            tcp(f"{A4}:1 > {REAL4}:443"),
            tcp(f"{A4}:65535 > 100.96.0.2:443"),
            f"192.0.2.1 > {A4}",
            f"100.96.0.2 > {A4}",
            11,
        ),
        (
            udp(f"[{A6}]:5 > [{PROXY6}]:443"),
            udp(f"[{A6}]:5 > [{REAL6}]:443"),
            udp(f"[{A6}]:5 > [{PROXY6}]:443"),
            f"2001:db8::99 > {A6}",
            f"{PROXY6} > {A6}",
            3,
        ),
    ],
)
def test_an_inbound_error_is_translated_with_its_quote(  # noqa: PLR0913, PLR0917 - a table
    sent: bytes, quote: bytes, quote_seen: bytes, router: str, proxy: str, kind: int
) -> None:
    model = translating()
    resolved(model, "100.96.0.2", to=(REAL4,))
    model.handle_packet(OUT, tcp(f"{A4}:65535 > {PROXY4}:443"))
    model.handle_packet(OUT, sent)
    error = icmp(router, kind, payload=quote)
    expected = icmp(proxy, kind, payload=quote_seen)
    assert model.handle_packet(IN, error) == ("translate", expected, "alice", "dns")


def test_an_outbound_error_is_translated_with_its_quote() -> None:
    model = translating()
    model.handle_packet(OUT, udp(TO))
    error = icmp(f"{A4} > {PROXY4}", 3, 3, payload=udp(f"{PROXY4}:443 > {A4}:5000"))
    expected = icmp(f"{A4} > {REAL4}", 3, 3, payload=udp(BACK))
    assert model.handle_packet(OUT, error) == ("translate", expected, "alice", "dns")
    stray = icmp(f"{A4} > {PROXY4}", 3, 3, payload=udp(f"{PROXY4}:443 > {A4}:5001"))
    assert model.handle_packet(OUT, stray) == ("drop", "icmp-error", "alice")


def test_a_domain_must_fit_its_resource() -> None:
    model = gateway()
    model.authorize("alice", dns())
    with pytest.raises(ModelError) as error:
        resolved(model, PROXY4, to=(), domain="example.org")
    assert kind_of(error) == "InvalidPolicy"


@pytest.mark.parametrize("proxies", [("10.0.0.1",), (PROXY4, PROXY4)])
def test_a_proxy_must_be_one_and_in_range(proxies: tuple[str, ...]) -> None:
    model = gateway()
    model.authorize("alice", dns())
    with pytest.raises(ModelError) as error:
        resolved(model, *proxies, to=())
    assert kind_of(error) == "InvalidAddress"


@pytest.mark.parametrize(
    ("resource_id", "kind"), [("cidr", "InvalidPolicy"), ("none", "UnknownResource")]
)
def test_only_an_authorized_dns_resource_resolves(resource_id: str, kind: str) -> None:
    model = gateway()
    model.authorize("alice", cidr("10.0.0.0/8"))
    with pytest.raises(ModelError) as error:
        model.domain_resolved(
            "alice", resource_id, "example.com", proxy_addresses=(), resolved_addresses=()
        )
    assert kind_of(error) == kind


def test_addresses_must_be_addresses() -> None:
    model = gateway()
    model.authorize("alice", dns())
    with pytest.raises(ModelError) as error:
        resolved(model, PROXY4, to=("nonsense",))
    assert kind_of(error) == "InvalidAddress"


def test_a_client_has_so_many_proxies() -> None:
    model = gateway()
    model.authorize("alice", dns())
    first = ip_address("100.96.0.0")
    resolved(model, *(str(first + n) for n in range(1_024)), to=(REAL4,))
    with pytest.raises(ModelError) as error:
        resolved(model, "100.97.0.0", to=(REAL4,))
    assert kind_of(error) == "InvalidPolicy"
    # A name that is withdrawn makes room for others.
    model.domain_withdrawn("alice", "example.com")
    resolved(model, *(str(first + n) for n in range(1, 1_025)), to=(REAL4,))


def test_a_shared_proxy_outlives_its_first_resource() -> None:
    model = translating()
    model.authorize("alice", dns(resource_id="also"))
    model.domain_resolved(
        "alice",
        "also",
        "Example.com.",
        proxy_addresses=[PROXY4],
        resolved_addresses=[REAL4],
    )
    model.handle_packet(OUT, udp(TO))
    model.revoke("alice", "dns")
    expected = ("translate", udp(f"{PROXY4}:443 > {A4}:5000"), "alice", "also")
    assert model.handle_packet(IN, udp(BACK)) == expected


def test_no_port_is_found_beyond_the_next_256() -> None:
    model = translating()
    proxies = [str(ip_address("100.96.1.0") + n) for n in range(258)]
    resolved(model, *proxies, to=(REAL4,))
    sent = [udp(f"{A4}:5000 > {proxy}:9") for proxy in proxies]
    decisions = model.handle_packets(OUT, sent)
    last = decisions[-2][1]
    assert int.from_bytes(payload_of(last)[:2]) == 5_256
    assert decisions[-1] == ("drop", "nat-exhausted", "alice")


def test_a_checksum_that_would_become_none_is_sent_as_all_ones() -> None:
    model = translating()
    plain = udp(TO)
    # A checksum as wrong as it takes for the translated one to come out as zero.
    there = int.from_bytes(udp(f"{A4}:5000 > {REAL4}:443")[26:28])
    here = (int.from_bytes(plain[26:28]) - there) % 0xFFFF
    sent = plain[:26] + struct.pack("!H", here)
    assert model.handle_packet(OUT, sent)[1][26:28] == b"\xff\xff"


def test_an_error_about_a_refused_port_of_a_translated_flow_is_dropped() -> None:
    model = translating((Udp(Ports(443, 443)), Icmp()))
    model.handle_packet(OUT, udp(TO))
    error = icmp(f"{REAL4} > {A4}", 3, 3, payload=udp(f"{A4}:5000 > {REAL4}:80"))
    assert model.handle_packet(IN, error) == ("drop", "icmp-error", "alice")


def test_an_error_about_a_proxy_needs_a_session() -> None:
    model = translating()
    error = icmp(f"{REAL4} > {A4}", 3, 3, payload=udp(f"{A4}:5000 > {PROXY4}:80"))
    assert model.handle_packet(IN, error) == ("drop", "icmp-error", "alice")


def test_an_inbound_echo_request_matches_no_session() -> None:
    model = translating()
    model.handle_packet(OUT, echo(f"{A4} > {PROXY4}", 5))
    assert model.handle_packet(IN, echo(f"{REAL4} > {A4}", 5)) == UNKNOWN


def test_a_client_keeps_so_many_fragments() -> None:
    model = gateway()
    model.authorize("alice", cidr("10.0.0.0/8"))
    firsts = [fragment(PATH, 17, UDP_BYTES, more=True, identification=n) for n in range(1_025)]
    model.handle_packets(OUT, firsts)
    kinds = [
        model.handle_packet(OUT, fragment(PATH, 17, b"x", offset=8, identification=n))[0]
        for n in (0, 1, 1_024)
    ]
    assert kinds == ["drop", "forward", "forward"]


def test_router_advertisements_do_not_come_in() -> None:
    model = gateway()
    model.authorize("alice", cidr("10.0.0.0/8"))
    assert model.handle_packet(IN, icmp(f"10.0.0.1 > {A4}", 9)) == ("drop", "icmp", "alice")


def test_a_quote_is_translated_as_far_as_it_goes() -> None:
    model = translating()
    model.handle_packet(OUT, tcp(TO, SYN))
    quote = tcp(f"{A4}:5000 > {REAL4}:443", SYN)[:28]
    error = icmp(f"192.0.2.1 > {A4}", 11, payload=quote)
    expected = icmp(f"{PROXY4} > {A4}", 11, payload=tcp(TO, SYN)[:28])
    assert model.handle_packet(IN, error) == ("translate", expected, "alice", "dns")


def test_a_silent_gateway_drops_with_the_same_reason() -> None:
    model = gateway(reject=False)
    packet = tcp(f"{A4}:9 > 10.0.0.1:443")
    assert model.handle_packet(OUT, packet) == ("drop", "no-resource", "alice")


def test_authorizing_again_replaces_filters_and_expiry() -> None:
    model = gateway()
    model.authorize("alice", cidr("10.0.0.0/8", permit_tcp(1)), expires_at=1010)
    model.authorize("alice", cidr("10.0.0.0/8", permit_tcp(2)))
    assert model.authorizations("alice") == {"cidr": None}
    assert model.handle_packet(OUT, tcp(f"{A4}:9 > 10.0.0.1:2"))[0] == "forward"


def test_a_session_that_outlived_its_authorization_is_not_remembered() -> None:
    model = translating()
    model.handle_packet(OUT, udp(TO), 1000)
    model.update_expiry("alice", "dns", 1050)
    assert model.handle_packet(IN, udp(BACK), 1200) == UNKNOWN


def test_a_session_that_was_over_before_its_authorization_is_remembered() -> None:
    model = translating()
    model.handle_packet(OUT, udp(TO), 1000)
    model.update_expiry("alice", "dns", 1070)
    assert model.handle_packet(IN, udp(BACK), 1200) == EXPIRED


def test_a_client_remembers_so_many_ends() -> None:
    model = translating()
    for port in range(1, nat.MAX_REMEMBERED + 2):
        assert model.handle_packet(OUT, tcp(f"{A4}:{port} > {PROXY4}:443", RST))[0] == "translate"
    late = [model.handle_packet(IN, tcp(f"{REAL4}:443 > {A4}:{port}")) for port in (1, 2)]
    assert late == [UNKNOWN, EXPIRED]


def test_of_what_ends_at_one_moment_the_expiry_that_was_set_first_goes_first() -> None:
    model = gateway()
    model.client_connected("bob", BOB, 1000)
    for client, resource_id in (("bob", "a"), ("alice", "b"), ("alice", "a"), ("bob", "c")):
        model.authorize(client, cidr("10.0.0.0/8", resource_id=resource_id), expires_at=1010)
    model.authorize("bob", cidr("10.0.0.0/8", resource_id="a"), expires_at=1010)
    model.update_expiry("alice", "b", 1010)
    model.handle_timeout(1010)
    told = [event[1:3] for event in iter(model.poll_event, None)]
    expired = [("alice", "a"), ("bob", "c"), ("bob", "a"), ("bob",), ("alice", "b"), ("alice",)]
    assert told == expired
