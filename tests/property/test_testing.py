"""What the strategies of `firezone_filter.testing` claim of what they draw."""

import re
from collections import Counter
from collections.abc import Callable
from ipaddress import ip_address, ip_network
from itertools import pairwise
from random import Random
from typing import Final

import dpkt
import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st

from firezone_filter import (
    CidrResource,
    Direction,
    DnsResource,
    Gateway,
    InternetResource,
    Policy,
    PolicyAuthorization,
    PolicyClient,
    PolicyDomain,
    PortRange,
    Reason,
    Tcp,
    TunnelAddresses,
    dump_policy,
    load_policy,
)
from firezone_filter.testing import (
    SYN,
    Step,
    addresses,
    broken_packets,
    checksums_hold,
    filters,
    fragmented_packets,
    icmp_errors,
    ip,
    packets,
    packets_of,
    policies,
    resources,
    stories,
    tcp,
    whole_packets,
)
from firezone_filter.testing.strategies.broken import FAULTS
from tests.model.packets import parse
from tests.property.wire import ends_of, flow_of
from tests.scenes import ALICE, GATEWAY, INBOUND, OUTBOUND, both_directions, refusal

QUICK: Final = settings(database=None, max_examples=500)
MANY: Final = settings(database=None, max_examples=300, derandomize=True)
LONG: Final = settings(database=None, max_examples=5_000, phases=[Phase.generate])

NEAR: Final = TunnelAddresses("100.64.0.2", "fd00:2021:1111::2")
FAR: Final = ("10.0.0.0/24", "fd00:5::/64", "203.0.113.5")
PORTS: Final = (443, PortRange(8000, 8010))

ANY: Final = {
    "whole": whole_packets(NEAR, FAR, destination_ports=PORTS),
    "fragment": fragmented_packets(NEAR, FAR, destination_ports=PORTS).flatmap(st.sampled_from),
    "error": icmp_errors(NEAR, FAR),
    "any": packets(NEAR, FAR, destination_ports=PORTS),
    "anywhere": packets(),
}


NAMES: Final = PolicyAuthorization(
    DnsResource("git", "*.example.com", [Tcp(443)]),
    domains=[PolicyDomain("git.example.com", ["100.96.0.1"], ["10.0.0.80"])],
)
NETWORK: Final = PolicyAuthorization(
    CidrResource("db", "10.0.0.0/24", [Tcp("5000-5010")], exclude=["10.0.0.128/25"]), 60.0
)
INTERNET: Final = PolicyAuthorization(InternetResource("internet"))
POLICY: Final = Policy(
    GATEWAY,
    clients=[
        PolicyClient("alice", NEAR, [NAMES, NETWORK, INTERNET]),
        PolicyClient("bob", TunnelAddresses("100.64.0.3")),
    ],
)

# --- Packets ---------------------------------------------------------------------------------


@pytest.mark.parametrize("drawn", ANY.values(), ids=ANY)
@given(data=st.data())
def test_what_is_well_formed_is_never_malformed_and_has_its_checksums(
    drawn: st.SearchStrategy[bytes], data: st.DataObject
) -> None:
    packet = data.draw(drawn)
    gateway = Gateway(GATEWAY)
    reasons = {
        refusal(gateway.handle_packet(direction, packet)) for direction in (OUTBOUND, INBOUND)
    }
    assert Reason.MALFORMED not in reasons
    assert checksums_hold(packet)
    # The model reads headers by itself.
    assert parse(packet) is not None


@pytest.mark.parametrize("kind", ["whole", "fragment", "error", "any"])
@given(data=st.data())
def test_packets_go_from_the_sources_to_the_destinations(kind: str, data: st.DataObject) -> None:
    source, destination = map(ip_address, ends_of(data.draw(ANY[kind])))
    assert source in NEAR.present()
    assert any(destination in ip_network(one) for one in FAR)


@given(whole_packets(NEAR, FAR, protocols=["tcp", 17], destination_ports=PORTS))
def test_ports_and_protocols_are_those_that_are_chosen(packet: bytes) -> None:
    read = parse(packet)
    assert read is not None
    assert read.protocol in (6, 17)
    port = int.from_bytes(packet[read.transport_at + 2 :][:2])
    assert port == 443 or port in range(8000, 8011)


@given(whole_packets(protocols=["tcp", "udp", "icmp"]))
def test_dpkt_computes_the_checksums_that_packets_have(packet: bytes) -> None:
    if packet[0] >> 4 == 4:
        parsed = dpkt.ip.IP(packet)
        parsed.sum = 0
    else:
        parsed = dpkt.ip6.IP6(packet)
        if parsed.extension_hdrs:
            # dpkt writes none back.
            assert checksums_hold(packet)
            return
    parsed.data.sum = 0
    assert bytes(parsed) == packet


@given(fragmented_packets())
def test_fragments_in_their_order_make_a_packet(pieces: tuple[bytes, ...]) -> None:
    found = [one.fragment for piece in pieces if (one := parse(piece)) is not None]
    positions = [one for one in found if one is not None]
    assert len(positions) == len(pieces) >= 2
    assert len({one.identification for one in positions}) == 1
    assert [one.more for one in positions] == [True] * (len(pieces) - 1) + [False]
    data = b""
    for piece, position in zip(pieces, positions, strict=True):
        assert position.offset == len(data)
        data += piece[position.data_at :]
    first = pieces[0]
    follows = first[9] if first[0] >> 4 == 4 else first[positions[0].data_at - 8]
    assert checksums_hold(ip(flow_of(*ends_of(first)), follows, data))


@given(icmp_errors(NEAR, FAR, protocols=["tcp"], destination_ports=[22]))
def test_errors_quote_what_went_the_other_way(packet: bytes) -> None:
    read = parse(packet)
    assert read is not None
    assert read.is_icmp_error
    source, destination = map(ip_address, ends_of(packet[read.transport_at + 8 :]))
    assert any(source in ip_network(one) for one in FAR)
    assert destination in NEAR.present()


# --- Almost right ----------------------------------------------------------------------------


@pytest.mark.parametrize("fault", FAULTS)
@both_directions
@given(data=st.data())
def test_what_is_almost_right_is_malformed_whoever_sends_it(
    fault: str, direction: Direction, data: st.DataObject
) -> None:
    between = (NEAR, FAR) if direction is OUTBOUND else (FAR, NEAR)
    packet = data.draw(broken_packets(*between, faults=[fault]))
    gateway = Gateway(GATEWAY)
    gateway.client_connected("alice", ALICE)
    gateway.authorize("alice", CidrResource("all", "0.0.0.0/0"))
    assert refusal(gateway.handle_packet(direction, packet)) is Reason.MALFORMED
    assert parse(packet) is None


# --- Shrinking -------------------------------------------------------------------------------


def test_packets_shrink_to_a_bare_syn_between_the_first_addresses() -> None:
    drawn = packets(NEAR, FAR, source_ports=[5401], destination_ports=PORTS)
    syn = tcp("100.64.0.2:5401 > 10.0.0.0:443", flags=SYN)
    assert find(drawn, lambda packet: packet[9] == 6, settings=QUICK, random=Random(0)) == syn


def test_filters_shrink_to_none() -> None:
    assert find(filters(), lambda _: True, settings=QUICK, random=Random(0)) == ()


def test_stories_shrink_to_the_one_step_that_matters() -> None:
    def resolves(story: list[Step]) -> bool:
        return any(step.method == "domain_resolved" for step in story)

    assert len(find(stories(POLICY), resolves, settings=QUICK, random=Random(0))) == 1


@pytest.mark.parametrize("drawn", [packets(), stories(POLICY), policies()], ids=str)
def test_strategies_are_shown_by_their_names(drawn: st.SearchStrategy[object]) -> None:
    assert re.fullmatch(r"[a-z]+\(\)", repr(drawn))


# --- Resources and policies ------------------------------------------------------------------


@given(resources(kinds=["cidr"], networks=["10.0.0.0/24", "fd00:5::/126"], ids=["one"]))
def test_networks_are_inside_those_that_are_given(resource: CidrResource) -> None:
    around = [ip_network(one) for one in ("10.0.0.0/24", "fd00:5::/126")]
    assert resource.id == "one"
    assert any(
        resource.network.version == one.version
        and resource.network.network_address in one
        and resource.network.prefixlen >= one.prefixlen
        for one in around
    )


@given(policies(now=100.0))
def test_a_policy_makes_a_gateway_in_which_nothing_has_ended(policy: Policy) -> None:
    gateway = policy.gateway(100.0)
    assert gateway.poll_event() is None
    for client in policy.clients:
        held = {one.resource.id: one.expires_at for one in client.authorizations}
        assert gateway.authorizations(client.id) == held
    assert load_policy(dump_policy(policy)) == policy


def test_packets_of_a_policy_hit_what_it_speaks_of() -> None:
    hits: Counter[str] = Counter()

    @MANY
    @given(packets_of(POLICY), packets_of(POLICY, INBOUND))
    def decide(out: bytes, back: bytes) -> None:
        gateway = POLICY.gateway(0.0)
        decision = gateway.handle_packet(OUTBOUND, out)
        hits[f"out {type(decision).__name__} {refusal(decision)}"] += 1
        hits[f"in {refusal(gateway.handle_packet(INBOUND, back))}"] += 1

    decide()
    wanted = {"out Forward None", "out Translate None", "out Reject tcp-port", "in None"}
    assert wanted <= hits.keys(), hits


# --- Stories ---------------------------------------------------------------------------------


@given(
    policies(now=50.0).flatmap(
        lambda policy: st.tuples(st.just(policy), stories(policy, now=50.0))
    )
)
def test_a_gateway_takes_every_step_of_a_story(told: tuple[Policy, list[Step]]) -> None:
    policy, story = told
    gateway = policy.gateway(50.0)
    for step in story:
        step.run(gateway)
    nows = [now for step in story if (now := now_of(step)) is not None]
    assert all(earlier <= later for earlier, later in pairwise([50.0, *nows]))


def now_of(step: Step) -> float | None:
    """Return the `now` of a step: its third argument or, of `handle_timeout`, its only one."""
    place = {
        "handle_packet": 2,
        "client_connected": 2,
        "handle_timeout": 0,
    }.get(step.method)
    return None if place is None else step.arguments[place]


@given(stories(POLICY))
def test_a_step_is_shown_as_the_call_that_it_is(story: list[Step]) -> None:
    for step in story:
        shown = repr(step)
        assert shown.startswith(f"gateway.{step.method}(")
        assert step.is_packet == shown.startswith("gateway.handle_packet(Direction.")


def test_all_kinds_of_things_happen_in_stories() -> None:
    seen: Counter[str] = Counter()
    wanted = {
        *(f"handle_packet outbound {kind}" for kind in ("Forward", "Translate", "Reject", "Drop")),
        *(f"handle_packet inbound {kind}" for kind in ("Forward", "Translate", "Drop")),
        *("authorize NoneType", "revoke True", "update_expiry True", "update_resource int"),
        *("client_connected NoneType", "client_disconnected True", "handle_timeout NoneType"),
        *("domain_resolved NoneType", "domain_withdrawn True", "retain_authorizations NoneType"),
    }

    def has_all_happened(story: list[Step]) -> bool:
        gateway = POLICY.gateway(0.0)
        for step in story:
            done = step.run(gateway)
            direction = f" {step.arguments[0].value}" if step.is_packet else ""
            effect = done if isinstance(done, bool) else type(done).__name__
            seen[f"{step.method}{direction} {effect}"] += 1
        return wanted <= seen.keys()

    find(stories(POLICY), has_all_happened, settings=LONG, random=Random(0))


# --- What cannot be drawn --------------------------------------------------------------------

NOTHING: Final = {
    "no source": lambda: packets([], FAR),
    "no common family": lambda: packets("10.0.0.1", "fd00::1"),
    "not an address": lambda: packets("somewhere", FAR),
    "an extension header for a protocol": lambda: packets("fd00::1", "fd00::2", protocols=[43]),
    "a protocol of another name": lambda: packets(protocols=["sctp"]),  # type: ignore[list-item]
    "a protocol beyond the last": lambda: packets(protocols=[256]),
    "no port": lambda: packets(source_ports=[]),
    "no target": lambda: addresses(()),
    "a fault of another name": lambda: broken_packets(faults=["colour"]),
    "a resource of another kind": lambda: resources(kinds=["site"]),  # type: ignore[list-item]
    "a policy without clients": lambda: packets_of(Policy(GATEWAY)),
    "no story without clients": lambda: stories(Policy(GATEWAY)),
}


@pytest.mark.parametrize("ask", NOTHING.values(), ids=NOTHING)
def test_what_cannot_be_drawn_is_said_at_once(ask: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        ask()
