"""Section 8, sentence by sentence: which rows a packet has, and who could have answered it."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest

from . import Model
from .hand_made import (
    IN,
    OUT,
    RST,
    CidrResource,
    Direction,
    InternetResource,
    cidr,
    echo,
    fragment,
    icmp,
    ip,
    permit_tcp,
    tcp,
    translating,
    udp,
)
from .values import Given

A4, FAR, REAL, PROXY = "100.64.0.2", "10.0.0.1", "93.184.216.34", "100.96.0.1"
TO, BACK = f"{A4}:5000 > {FAR}:443", f"{FAR}:443 > {A4}:5000"
THROUGH, THROUGH_BACK = f"{A4}:5000 > {PROXY}:443", f"{REAL}:443 > {A4}:5000"
PATH, PATH_BACK = f"{A4} > {FAR}", f"{FAR} > {A4}"

OUTBOUND, INBOUND = "headers multicast client", "headers tunnel client"


def gateway(**options: Given) -> Model:
    model = translating(**options)
    model.authorize("alice", cidr("10.0.0.0/8", permit_tcp(443), "wide"))
    return model


@pytest.mark.parametrize(
    ("direction", "packet", "checks"),
    [
        (OUT, b"", "headers"),
        (IN, tcp(BACK) + b"x", "headers"),
        (OUT, tcp(f"{A4}:1 > 224.0.0.1:2"), "headers multicast"),
        (OUT, tcp(f"100.64.0.9:1 > {FAR}:443"), OUTBOUND),
        (IN, tcp(f"{FAR}:443 > 10.0.0.2:1"), "headers tunnel"),
        (IN, tcp(f"{FAR}:443 > 100.64.0.9:1"), INBOUND),
        (OUT, fragment(PATH, 6, b"x" * 8, offset=24), f"{OUTBOUND} fragment"),
        (OUT, tcp(f"{A4}:1 > 100.64.0.9:443"), f"{OUTBOUND} peer-address"),
        (IN, tcp(f"{PROXY}:443 > {A4}:1"), f"{INBOUND} peer-address"),
        (OUT, icmp(PATH, 9), f"{OUTBOUND} peer-address link-local-icmp"),
        (IN, icmp(PATH_BACK, 3, payload=udp(TO)), f"{INBOUND} peer-address icmp-error"),
        (OUT, tcp(f"{A4}:1 > 100.64.0.1:1"), f"{OUTBOUND} peer-address own-address"),
        (OUT, udp(TO), f"{OUTBOUND} peer-address resource"),
        (
            OUT,
            fragment(PATH, 17, udp(TO)[20:] + bytes(8), more=True),
            f"{OUTBOUND} fragment peer-address resource",
        ),
        (
            OUT,
            ip(ip_address(A4), ip_address(PROXY), 47, b""),
            f"{OUTBOUND} peer-address resource translation",
        ),
    ],
)
def test_the_last_row_is_the_one_that_refuses(
    direction: Direction, packet: bytes, checks: str
) -> None:
    explained = gateway().explain(direction, packet)
    assert " ".join(name for name, _ in explained.account.checks) == checks
    said = [passed for _, passed in explained.account.checks]
    assert said == [True] * (len(said) - 1) + [False]
    assert explained.decision[0] in ("drop", "reject")


@pytest.mark.parametrize("stateful", [False, True])
def test_the_last_row_is_the_one_that_permits(*, stateful: bool) -> None:
    model = gateway(stateful=stateful)
    flow = " flow" if stateful else ""
    steps = [
        (OUT, tcp(TO), f"{OUTBOUND} peer-address resource{flow}"),
        (IN, tcp(BACK), f"{INBOUND} peer-address resource{flow}"),
        (OUT, tcp(THROUGH), f"{OUTBOUND} peer-address resource{flow} translation"),
        (IN, tcp(THROUGH_BACK), f"{INBOUND} peer-address session resource{flow}"),
        (IN, icmp(PATH_BACK, 3, payload=tcp(TO)), f"{INBOUND} peer-address icmp-error"),
        (OUT, echo(f"{A4} > 100.64.0.1", 1), f"{OUTBOUND} peer-address own-address"),
    ]
    for direction, packet, checks in steps:
        explained = model.explain(direction, packet)
        assert " ".join(name for name, _ in explained.account.checks) == checks
        assert all(passed for _, passed in explained.account.checks)
        assert model.handle_packet(direction, packet) == explained.decision


@pytest.mark.parametrize(("client_id", "passes"), [("alice", True), ("bob", False)])
def test_a_source_is_compared_where_the_peer_is_known(client_id: str, *, passes: bool) -> None:
    model = gateway()
    model.client_connected(
        "bob", type("Bob", (), {"ipv4": ip_address("100.64.0.3"), "ipv6": None})
    )
    account = model.explain(OUT, tcp(TO), client_id=client_id).account
    assert account.checks[3] == ("source", passes)
    assert account.client_id == client_id


def test_candidates_are_all_that_cover_the_address_the_best_first() -> None:
    model = gateway()
    model.authorize("alice", InternetResource("internet"))
    model.authorize("alice", cidr("10.0.0.0/24", permit_tcp(80), "narrow"))
    model.authorize("alice", cidr("11.0.0.0/8"))
    holed = CidrResource("holed", ip_network("10.0.0.0/16"), exclude=[ip_network("10.0.0.0/24")])
    model.authorize("alice", holed)
    account = model.explain(OUT, tcp(TO)).account
    assert [(one.resource_id, one.covers, one.reason) for one in account.candidates] == [
        ("wide", ip_network("10.0.0.0/8"), None),
        ("narrow", ip_network("10.0.0.0/24"), "tcp-port"),
        ("internet", None, "not-internet"),
    ]
    assert account.excluded == ["holed"]
    quoting = icmp(PATH_BACK, 3, payload=tcp(TO))
    assert model.explain(IN, quoting).account.candidates == account.candidates


def test_of_a_session_the_proxy_address_is_judged() -> None:
    model = gateway()
    model.handle_packet(OUT, tcp(THROUGH))
    [one] = model.explain(IN, tcp(THROUGH_BACK)).account.candidates
    assert (one.resource_id, one.covers) == ("dns", ip_address(PROXY))


def test_explaining_does_nothing() -> None:
    model = gateway(reject_burst=1)
    model.authorize("alice", cidr("12.0.0.0/8", (), "until"), expires_at=1010)
    for _ in range(2):
        assert model.explain(OUT, udp(TO), 1005).decision[0] == "reject"
        assert model.explain(OUT, tcp(f"{A4}:1 > 12.0.0.1:2"), 1010).decision[2] == "no-resource"
        model.explain(OUT, tcp(THROUGH, RST))
    assert model.authorizations("alice")["until"] == 1010
    assert model.poll_event() is None
    assert model.handle_packet(OUT, udp(TO))[0] == "reject"
    assert model.handle_packet(OUT, udp(TO))[0] == "drop"


def test_a_summary_has_what_was_read_and_of_a_quote_the_same_once_more() -> None:
    inner = icmp(PATH, 3, payload=tcp(BACK))
    read = gateway().explain(IN, icmp(PATH_BACK, 11, 1, payload=inner)).packet
    assert read is not None
    assert (read.icmp_type, read.icmp_code, read.fragment, read.source_port) == (11, 1, None, None)
    assert read.quoted is not None
    assert (read.quoted.icmp_type, read.quoted.length, read.quoted.quoted) == (3, 68, None)
    later = gateway().explain(OUT, fragment(PATH, 6, b"x", offset=24)).packet
    assert later is not None
    assert (later.fragment, later.source_port, later.quoted) == ("later", None, None)
