"""Flow identities: packets of one flow have the same, and no others."""

from itertools import combinations
from struct import pack

import pytest

from firezone_filter.packet.icmp import ICMP_ANSWERS
from firezone_filter.stateful.identity import identify, identify_key, translated
from firezone_filter.testing import hop_by_hop, icmp, ip, tcp, udp
from tests.numbers import ESP, GRE, TCP, UDP
from tests.scenes import INBOUND, OUTBOUND, Family, at, both_families
from tests.unit.reading import key_of, packed, read


def identity_of(packet: bytes, *, outbound: bool) -> bytes | None:
    return identify(read(packet), packet, outbound=outbound)


def flows(family: Family) -> dict[str, tuple[bytes, bytes]]:
    """Return the packets out and in of flows that are all different."""
    out, back = family.flow(OUTBOUND), family.flow(INBOUND)
    requests = ICMP_ANSWERS[1 if family.version == 4 else 58]
    return {
        **{
            f"{build.__name__} {near} {far}": (
                build(between(family.client, near, family.host, far)),
                build(between(family.host, far, family.client, near)),
            )
            for build in (tcp, udp)
            for near, far in ((1, 2), (2, 1), (0x0800, 0x0102))
        },
        **{str(number): (ip(out, number), ip(back, number)) for number in (ESP, GRE)},
        **{
            f"icmp {request} {number}": (
                icmp(out, request, rest=pack("!HH", number, 1)),
                icmp(back, answer, rest=pack("!HH", number, 7)),
            )
            for request, answer in requests.items()
            for number in ((1, 2) if request in {8, 128} else (1,))
        },
    }


def between(near: str, near_port: int, far: str, far_port: int) -> str:
    return f"{at(near, near_port)} > {at(far, far_port)}"


@both_families
def test_both_directions_of_a_flow_have_one_identity_and_no_two_flows_have_the_same(
    family: Family,
) -> None:
    identities = {}
    for name, (out, back) in flows(family).items():
        identities[name] = identity_of(out, outbound=True)
        assert identities[name] == identity_of(back, outbound=False)
        assert identities[name] is not None
    for one, other in combinations(identities, 2):
        assert identities[one] != identities[other], (one, other)


@both_families
def test_the_identity_by_flow_key_is_the_same(family: Family) -> None:
    for way, build in ((way, build) for way in (OUTBOUND, INBOUND) for build in (tcp, udp)):
        packet = build(family.flow(way, 443))
        outbound = way is OUTBOUND
        protocol = TCP if build is tcp else UDP
        assert identify_key(key_of(packet), protocol, outbound=outbound) == identity_of(
            packet, outbound=outbound
        )


@both_families
@pytest.mark.parametrize("outbound", [True, False])
def test_requests_that_come_in_answers_that_go_out_and_other_messages_have_none(
    family: Family, *, outbound: bool
) -> None:
    pairs = ICMP_ANSWERS[1 if family.version == 4 else 58]
    belong = set(pairs) if outbound else set(pairs.values())
    way = family.flow(OUTBOUND if outbound else INBOUND)
    for kind in range(256):
        found = identity_of(icmp(way, kind), outbound=outbound)
        assert (found is not None) == (kind in belong), kind


def test_extension_headers_and_code_make_no_difference() -> None:
    flow = "fd00:2021:1111::2 > fd00:5::5"
    plain = icmp(flow, 128, rest=pack("!HH", 9, 1))
    other = icmp(flow, 128, 3, rest=pack("!HH", 9, 2), extensions=[hop_by_hop()])
    assert identity_of(plain, outbound=True) == identity_of(other, outbound=True)


@both_families
def test_a_packet_translated_back_has_the_identity_of_what_the_client_sent(
    family: Family,
) -> None:
    real, proxy = (family.host, "100.96.0.1" if family.version == 4 else "fd00:2021:1111:8000::1")
    echo, reply = (8, 0) if family.version == 4 else (128, 129)
    there, back = f"{family.client} > {proxy}", family.flow(INBOUND)
    for sent, came in (
        (tcp(between(family.client, 5, proxy, 443)), tcp(between(real, 443, family.client, 6))),
        (udp(between(family.client, 5, proxy, 53)), udp(between(real, 53, family.client, 6))),
        (
            icmp(there, echo, rest=pack("!HH", 5, 1)),
            icmp(back, reply, rest=pack("!HH", 6, 1)),
        ),
    ):
        as_it_came = identity_of(came, outbound=False)
        assert as_it_came is not None
        (address,) = packed(proxy)
        assert translated(as_it_came, address, 5) == identity_of(sent, outbound=True)
