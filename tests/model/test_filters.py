"""Filters that say more: ICMP types, other protocols, networks without what they exclude."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address, ip_network

import pytest

from . import Model, policy
from .hand_made import (
    IN,
    OUT,
    Direction,
    Icmp,
    Protocol,
    Tcp,
    cidr,
    gateway,
    icmp,
    ip,
    permit_tcp,
    tcp,
    udp,
)
from .values import Given

NEAR = {4: "100.64.0.2", 6: "fd00:2021:1111::2"}
FAR = {4: "10.0.0.1", 6: "2001:db8::1"}
OWN = {4: "100.64.0.1", 6: "fd00:2021:1111::1"}
NETWORK = {4: "10.0.0.0/8", 6: "2000::/3"}
FORWARD = "forward"


def handed(model: Model, direction: Direction, packet: bytes) -> str:
    """Hand in a packet; say what becomes of it in a word."""
    decision = model.handle_packet(direction, packet)
    return str(decision[0] if decision[0] == FORWARD else decision[-2])


@pytest.mark.parametrize(
    ("icmps", "permitted", "refused"),
    [
        ([Icmp()], {(4, 0), (4, 40), (6, 200)}, set()),
        ([Icmp((8,))], {(4, 0), (4, 8)}, {(4, 13), (6, 128), (6, 0), (6, 8)}),
        ([Icmp((0,))], {(4, 0), (4, 8)}, set()),
        ([Icmp(types_v6=(129,))], {(6, 128), (6, 129)}, {(4, 8), (4, 0), (6, 139)}),
        ([Icmp((8,), ())], {(4, 0), (4, 8)}, {(6, 128)}),
        ([Icmp((14,)), Icmp((43, 40), (161,))], {(4, 13), (4, 42), (4, 40), (6, 160)}, {(4, 8)}),
        ([Icmp((8,)), Icmp()], {(4, 13), (6, 200)}, set()),
        ([Icmp((16,), (140,))], {(4, 15), (6, 139)}, {(4, 17), (4, 18), (6, 128)}),
        ([Icmp((18,), (140,))], {(4, 17)}, {(4, 16)}),
        ([Tcp()], set(), {(4, 8), (6, 128)}),
    ],
)
@pytest.mark.parametrize("own", [False, True])
def test_icmp_types(
    icmps: list[Given],
    permitted: set[tuple[int, int]],
    refused: set[tuple[int, int]],
    *,
    own: bool,
) -> None:
    model = gateway(**({"own_filters": tuple(icmps)} if own else {}))
    far = OWN if own else FAR
    for network in NETWORK.values():
        model.authorize("alice", cidr(network, tuple(icmps), network))
    for version, kind in permitted | refused:
        near = NEAR[version]
        becomes = FORWARD if (version, kind) in permitted else "icmp"
        sent = icmp(f"{near} > {far[version]}", kind)
        # ICMPv6 below 128 are errors, whatever filters say.
        if version == 4 or kind >= 128:
            assert handed(model, OUT, sent) == becomes
            assert handed(model, IN, icmp(f"{far[version]} > {near}", kind)) == becomes
            # Also where it is quoted.
            error = icmp(f"{far[version]} > {near}", 3 if version == 4 else 1, payload=sent)
            assert handed(model, IN, error) == (FORWARD if becomes == FORWARD else "icmp-error")


@pytest.mark.parametrize("version", [4, 6])
def test_protocols(version: int) -> None:
    model = gateway()
    model.authorize("alice", cidr(NETWORK[version], (Protocol(47), Protocol(132))))
    near, far = NEAR[version], FAR[version]
    for protocol, becomes in ((47, FORWARD), (132, FORWARD), (50, "protocol")):
        sent = ip(ip_address(near), ip_address(far), protocol, b"data")
        assert handed(model, OUT, sent) == becomes
        assert handed(model, IN, ip(ip_address(far), ip_address(near), protocol, b"")) == becomes
    assert handed(model, OUT, icmp(f"{near} > {far}", 200)) == "icmp"


def test_what_a_network_excludes_is_as_if_it_were_not_there() -> None:
    model = gateway()
    wide = replace(cidr("10.0.0.0/8", (), "wide"), exclude=(ip_network("10.0.1.0/24"),))
    model.authorize("alice", wide)
    for address, becomes in (
        ("10.0.0.255", FORWARD),
        ("10.0.1.0", "no-resource"),
        ("10.0.1.255", "no-resource"),
        ("10.0.2.0", FORWARD),
    ):
        assert handed(model, OUT, udp(f"{NEAR[4]}:1 > {address}:2")) == becomes
        assert handed(model, IN, udp(f"{address}:2 > {NEAR[4]}:1")) == becomes
    # No deny rule: another may permit the address all the same.
    model.authorize("alice", cidr("10.0.0.0/16", permit_tcp(2), "other"))
    assert handed(model, OUT, tcp(f"{NEAR[4]}:1 > 10.0.1.9:2")) == FORWARD
    assert handed(model, OUT, udp(f"{NEAR[4]}:1 > 10.0.1.9:2")) == "udp-port"
    model.update_resource(cidr("10.0.0.0/8", (), "wide"))
    assert handed(model, OUT, udp(f"{NEAR[4]}:1 > 10.0.1.9:2")) == FORWARD


EVERY = tuple(range(256))


@pytest.mark.parametrize(
    ("filters", "protocol", "icmp_type", "permitted"),
    [
        ((Icmp(),), 1, None, True),
        ((Icmp((8,)),), 1, 0, True),
        ((Icmp((8,)),), 1, 13, False),
        ((Icmp((8,)),), 1, None, False),
        ((Icmp(EVERY),), 1, None, True),
        ((Icmp(EVERY[1:200]), Icmp(EVERY[200:])), 1, None, True),  # 8 brings 0 along
        ((Icmp(EVERY[2:8] + EVERY[9:]),), 1, None, False),
        ((Icmp(types_v6=(128,)),), 1, None, False),
        ((), 1, None, True),
        # ICMPv6 in IPv4 is any other protocol, which no filter can name.
        ((Icmp(types_v6=(128,)), Protocol(47)), 58, 128, False),
        ((Protocol(47),), 47, None, True),
    ],
)
def test_a_table_knows_types(
    filters: tuple[Given, ...], protocol: int, icmp_type: int | None, *, permitted: bool
) -> None:
    table = policy.FilterTable()
    table.allow(ip_network("10.0.0.0/8"), "a", filters, [ip_network("10.0.1.0/24")])
    inside, excluded = ip_address("10.0.0.1"), ip_address("10.0.1.1")
    assert table.permits(inside, protocol, icmp_type=icmp_type) is permitted
    assert table.match(excluded, protocol, icmp_type=icmp_type) is None


def test_a_table_asks_for_one_entry_that_permits_every_type() -> None:
    table = policy.FilterTable()
    for resource_id, types in (("a", EVERY[:100]), ("b", EVERY[100:])):
        table.allow(ip_network("10.0.0.0/8"), resource_id, (Icmp(types),))
    assert not table.permits(ip_address("10.0.0.1"), 1)
    assert table.permits(ip_address("10.0.0.1"), 1, icmp_type=99)
    assert table.permits(ip_address("10.0.0.1"), 1, icmp_type=100)
