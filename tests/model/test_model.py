from __future__ import annotations

import struct
from ipaddress import ip_address, ip_network

import pytest

from . import Model, ModelError, nat, packets, policy
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
        (f"{A4}:9 > 100.64.0.1:9", ("forward", "alice", None)),
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
        (f"100.64.0.1:443 > {A4}:9", ("forward", "alice", None)),
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


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.1", "100.64.0.7"])
def test_no_network_covers_special_addresses(address: str) -> None:
    assert not policy.cidr_covers(cidr("0.0.0.0/0"), ip_address(address), AddressPlan())


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


@pytest.mark.parametrize("expires_at", [float("inf"), 1000 + 50 * 365.25 * 86_400 + 1])
def test_clocks_that_do_not_fit_are_refused(expires_at: float) -> None:
    model = gateway()
    with pytest.raises(ModelError) as error:
        model.authorize("alice", cidr("10.0.0.0/8"), expires_at=expires_at)
    assert kind_of(error) == "InvalidTime"


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
    model = gateway()
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
        (tcp(f"{A4}:9 > 100.64.0.1:443"), ("forward", "alice", None)),
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


def test_a_name_never_opens_the_tunnel_side() -> None:
    model = gateway()
    model.authorize("alice", dns())
    resolved(model, PROXY4, to=("127.0.0.1", "100.64.0.1", "169.254.1.1", "::ffff:1.2.3.4"))
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


def test_there_is_room_for_so_many_sessions() -> None:
    model = translating(max_sessions_per_client=1)
    assert model.handle_packet(OUT, udp(f"{A4}:1 > {PROXY4}:9"))[0] == "translate"
    full = ("drop", "nat-exhausted", "alice")
    assert model.handle_packet(OUT, udp(f"{A4}:2 > {PROXY4}:9")) == full
    assert model.handle_packet(OUT, udp(f"{A4}:2 > {PROXY4}:9"), 1060)[0] == "translate"


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


def test_a_tcp_session_lasts_two_hours_and_four_minutes() -> None:
    model = translating()
    model.handle_packet(OUT, tcp(TO, SYN), 1000)
    model.handle_packet(IN, tcp(BACK, SYN | ACK), 1000)
    model.handle_packet(OUT, tcp(TO), 1001)
    assert model.handle_packet(IN, tcp(BACK), 8440)[0] == "translate"
    assert model.handle_packet(IN, tcp(BACK), 15_880) == EXPIRED


def test_fins_both_ways_end_a_session_soon() -> None:
    model = translating()
    model.handle_packet(OUT, tcp(TO, FIN | ACK), 1000)
    model.handle_packet(IN, tcp(BACK, FIN | ACK), 1001)
    model.handle_packet(IN, tcp(BACK, FIN | ACK), 1004)
    assert model.handle_packet(IN, tcp(BACK), 1005.5)[0] == "translate"
    assert model.handle_packet(IN, tcp(BACK), 1006) == EXPIRED


def test_a_syn_after_the_fins_starts_anew() -> None:
    model = translating()
    model.handle_packet(OUT, tcp(TO, FIN | ACK), 1000)
    model.handle_packet(IN, tcp(BACK, FIN | ACK), 1000)
    model.handle_packet(OUT, tcp(TO, SYN), 1001)
    assert model.handle_packet(OUT, tcp(TO), 1006)[0] == "translate"
    assert model.handle_packet(IN, tcp(BACK), 1066) == EXPIRED


def test_a_reset_ends_a_session_at_once() -> None:
    model = translating()
    model.handle_packet(OUT, tcp(TO), 1000)
    assert model.handle_packet(IN, tcp(BACK, RST))[0] == "translate"
    assert model.handle_packet(IN, tcp(BACK)) == EXPIRED


def test_a_session_with_several_ports_ends_by_time_alone() -> None:
    model = translating()
    model.handle_packet(OUT, tcp(TO), 1000)
    model.handle_packet(OUT, tcp(f"{A4}:5000 > {PROXY4}:80"))
    model.handle_packet(IN, tcp(BACK, RST))
    assert model.handle_packet(IN, tcp(BACK))[0] == "translate"


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


def test_all_clients_share_the_last_limit() -> None:
    model = translating(max_sessions=1)
    model.handle_packet(OUT, udp(TO))
    full = ("drop", "nat-exhausted", "alice")
    assert model.handle_packet(OUT, tcp(TO, SYN)) == full


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


def test_a_session_may_end_with_its_first_packet() -> None:
    model = translating()
    assert model.handle_packet(OUT, tcp(TO, RST))[0] == "translate"
    assert model.handle_packet(IN, tcp(BACK)) == EXPIRED


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
