"""What policies answer is what their gateways do, packet by packet, at every edge."""

from collections.abc import Iterable
from ipaddress import ip_address
from typing import Protocol as Shape

from hypothesis import given
from hypothesis import strategies as st

from firezone_filter import Direction, Forward, Policy, Translate
from firezone_filter.policy.analysis.changes import BoxChange, ClientDiff
from firezone_filter.testing import checksums_hold
from firezone_filter.values.filters import PortRange
from tests.property.policy_edges import (
    ICMP_TYPES,
    MOMENTS,
    Address,
    Far,
    changed,
    decide,
    edges,
    policies,
    some_packets,
)

moments = st.sampled_from(MOMENTS)
seeds = st.integers(0, 1 << 30)


class Box(Shape):
    @property
    def first(self) -> Address: ...
    @property
    def last(self) -> Address: ...
    @property
    def protocol(self) -> int | None: ...
    @property
    def ports(self) -> PortRange | None: ...
    @property
    def icmp_types(self) -> tuple[int, ...] | None: ...


def is_at(box: Box, address: Address) -> bool:
    return box.first.version == address.version and int(box.first) <= int(address) <= int(box.last)


def named_at(boxes: Iterable[Box], address: Address) -> set[int | None]:
    return {box.protocol for box in boxes if is_at(box, address)} - {None}


def is_in(box: Box, far: Far, named: set[int | None]) -> bool:
    if not is_at(box, far.address):
        return False
    if box.protocol is None:
        return far.protocol not in named
    if box.protocol != far.protocol:
        return False
    if box.ports is not None:
        return far.number in box.ports
    return box.icmp_types is None or far.number in box.icmp_types


@given(policies(), moments, seeds)
def test_a_packet_is_in_a_box_of_reach_exactly_if_the_gateway_permits_it(
    policy: Policy, at: float, seed: int
) -> None:
    gateway = policy.gateway(at)
    far_ends = list(some_packets(seed, policy))
    for client in policy.clients:
        boxes = policy.reach(client.id, at)
        for far in far_ends:
            decision = decide(gateway, client, far)
            named = named_at(boxes, far.address)
            found = [box.resource_id for box in boxes if is_in(box, far, named)]
            if isinstance(decision, Forward | Translate):
                assert found == [decision.resource_id]
            else:
                assert not found


@given(policies(), moments)
def test_boxes_are_as_large_as_they_can_be_and_in_order(policy: Policy, at: float) -> None:
    for client in policy.clients:
        boxes = policy.reach(client.id, at)
        facets = [(box.protocol, box.ports, box.icmp_types, box.resource_id) for box in boxes]
        for box, facet in zip(boxes, facets, strict=True):
            after = int(box.last) + 1
            for other, its_facet in zip(boxes, facets, strict=True):
                if other.first.version != box.first.version:
                    continue
                # Others that do not touch it, or are different; of all the rest, where other
                # protocols are named, it stands for others.
                assert not (facet == its_facet and int(other.first) == after) or (
                    box.protocol is None
                    and named_at(boxes, box.last) != named_at(boxes, other.first)
                )
                if (box.first, box.last, *facet[::3]) == (
                    other.first,
                    other.last,
                    *its_facet[::3],
                ):
                    touch = box.ports and other.ports and box.ports.last + 1 == other.ports.first
                    assert not touch
            if box.protocol in (1, 58) and box.icmp_types is not None:
                assert set(box.icmp_types) < set(ICMP_TYPES[box.first.version])
        first = [(one.first.version, int(one.first)) for one in boxes]
        assert first == sorted(first)


@given(policies(), moments, seeds)
def test_who_may_are_those_whom_the_gateway_permits(policy: Policy, at: float, seed: int) -> None:
    gateway = policy.gateway(at)
    for far in list(some_packets(seed, policy))[::9]:
        port = far.number if far.protocol in (6, 17) else None
        icmp_type = far.number if far.protocol in (1, 58) else None
        pairs = policy.who(far.address, far.protocol, port, icmp_type, at)
        expected = []
        for client in policy.clients:
            decision = decide(gateway, client, far)
            if isinstance(decision, Forward | Translate):
                expected.append((client.id, decision.resource_id))
        assert list(pairs) == expected


@given(policies(), moments, seeds)
def test_whoever_may_reach_any_port_has_a_box(policy: Policy, at: float, seed: int) -> None:
    boxes = {client.id: policy.reach(client.id, at) for client in policy.clients}
    for far in list(some_packets(seed, policy))[::9]:
        expected = set()
        for client_id, its_boxes in boxes.items():
            named = named_at(its_boxes, far.address)
            for box in its_boxes:
                names_it = far.protocol in named and box.protocol == far.protocol
                is_rest = box.protocol is None and far.protocol not in named
                if is_at(box, far.address) and (names_it or is_rest):
                    expected.add((client_id, box.resource_id))
        pairs = policy.who(str(far.address), far.protocol, at=at)
        assert set(pairs) == expected
        assert len(pairs) == len(expected)


@st.composite
def pairs_of_policies(draw: st.DrawFn) -> tuple[Policy, Policy]:
    policy = draw(policies())
    return policy, draw(changed(policy))


NO_DIFF = ClientDiff("", "changed", (), (), (), ())


@given(pairs_of_policies(), moments, seeds)
def test_a_packet_is_in_a_box_of_diff_exactly_if_the_gateways_decide_differently(
    both: tuple[Policy, Policy], at: float, seed: int
) -> None:
    policy, other = both
    diff = {one.client_id: one for one in policy.diff(other, at).clients}
    gateways = policy.gateway(at), other.gateway(at)
    far_ends = list(some_packets(seed, policy, other))
    old, new = ({client.id: client for client in one.clients} for one in both)
    for client_id in old | new:
        sides = old.get(client_id), new.get(client_id)
        reach = [
            side.reach(client_id, at) if client is not None else ()
            for side, client in zip(both, sides, strict=True)
        ]
        found = diff.get(client_id, NO_DIFF)
        for far in far_ends:
            decisions = [
                None if client is None else decide(gateway, client, far)
                for gateway, client in zip(gateways, sides, strict=True)
            ]
            before, after = (one is not None and one.allowed for one in decisions)
            named = named_at(reach[0], far.address) | named_at(reach[1], far.address)
            gained = [box for box in found.gained if is_in(box, far, named)]
            lost = [box for box in found.lost if is_in(box, far, named)]
            assert (len(gained), len(lost)) == (after and not before, before and not after)
            for box, decision in zip(
                (*gained, *lost), (one for one in decisions if one and one.allowed), strict=False
            ):
                assert isinstance(decision, Forward | Translate)
                answering = box.after if box in found.gained else box.before
                assert answering == decision.resource_id


@given(pairs_of_policies(), moments)
def test_every_witness_is_one(both: tuple[Policy, Policy], at: float) -> None:
    policy, other = both
    for client in policy.diff(other, at).clients:
        for boxes, expected in ((client.gained, (False, True)), (client.lost, (True, False))):
            for box in boxes:
                direction, packet = box.witness
                assert direction is Direction.OUTBOUND
                decisions = [
                    one.gateway(at).handle_packet(direction, packet, client_id=client.client_id)
                    for one in both
                ]
                assert tuple(one.allowed for one in decisions) == expected
                assert is_at(box, destination_of(packet))
                if packet[9 if packet[0] >> 4 == 4 else 6] in (1, 6, 17, 58):
                    assert checksums_hold(packet)


def destination_of(packet: bytes) -> Address:
    return ip_address(packet[16:20] if packet[0] >> 4 == 4 else packet[24:40])


@given(pairs_of_policies(), moments)
def test_a_diff_the_other_way_round_is_its_mirror(both: tuple[Policy, Policy], at: float) -> None:
    policy, other = both
    forth, back = policy.diff(other, at), other.diff(policy, at)
    assert bool(forth) == bool(back)
    assert {one.client_id: mirrored(one) for one in forth.clients} == {
        one.client_id: unmirrored(one) for one in back.clients
    }


def facts(box: BoxChange, *ends: str | None) -> tuple[object, ...]:
    return box.first, box.last, box.protocol, box.ports, box.icmp_types, *ends


def mirrored(diff: ClientDiff) -> tuple[object, ...]:
    changes = {"added": "removed", "removed": "added"}
    return (
        changes.get(diff.change, diff.change),
        [facts(box, box.after, box.before) for box in diff.gained],
        [facts(box, box.after, box.before) for box in diff.lost],
        [(one.address, one.after, one.before) for one in diff.moved],
        {(one.resource_id, one.after, one.before) for one in diff.expiries},
    )


def unmirrored(diff: ClientDiff) -> tuple[object, ...]:
    return (
        diff.change,
        [facts(box, box.before, box.after) for box in diff.lost],
        [facts(box, box.before, box.after) for box in diff.gained],
        [(one.address, one.before, one.after) for one in diff.moved],
        {(one.resource_id, one.before, one.after) for one in diff.expiries},
    )


@given(pairs_of_policies(), moments)
def test_a_proxy_address_has_moved_exactly_if_packets_to_it_go_elsewhere(
    both: tuple[Policy, Policy], at: float
) -> None:
    policy, other = both
    diff = {one.client_id: one for one in policy.diff(other, at).clients}
    gateways = policy.gateway(at), other.gateway(at)
    old, new = ({client.id: client for client in one.clients} for one in both)
    for client_id in old.keys() & new.keys():
        moved = {
            one.address: (one.before, one.after) for one in diff.get(client_id, NO_DIFF).moved
        }
        for address in edges(policy, other):
            for number in (53, 80, 443):
                decisions = [
                    decide(gateway, clients[client_id], Far(address, 6, number))
                    for gateway, clients in zip(gateways, (old, new), strict=True)
                ]
                ends = tuple(
                    destination_of(one.packet) for one in decisions if isinstance(one, Translate)
                )
                assert len(ends) < 2 or moved.get(address) == (
                    ends if ends[0] != ends[1] else None
                )


@given(policies(), moments)
def test_a_policy_does_not_differ_from_itself(policy: Policy, at: float) -> None:
    again = Policy(policy.addresses, policy.address_plan, policy.clients[::-1], policy.options)
    assert not policy.diff(policy, at)
    assert not policy.diff(again, at)
