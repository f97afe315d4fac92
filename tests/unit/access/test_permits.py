"""Compiled filters: what they permit, and the reason of each refusal."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firezone_filter.access.permits import PermitCheck, compile_filters
from firezone_filter.packet.numbers import ICMPV4, ICMPV6, TCP, UDP
from firezone_filter.values.decisions import Reason
from firezone_filter.values.filters import Filter, Icmp, PortRange, Protocol, Tcp, Udp
from tests.unit.access.scan import refusal

GRE = 47

# Filters, protocol, port, the ICMP of the IP version, and the reason if that is refused.
QUESTIONS = [
    pytest.param((), TCP, 443, ICMPV4, None, id="no filters: TCP"),
    pytest.param((), UDP, None, ICMPV4, None, id="no filters: UDP without a port"),
    pytest.param((), ICMPV4, None, ICMPV4, None, id="no filters: ICMP"),
    pytest.param((), ICMPV4, None, ICMPV6, None, id="no filters: ICMPv4 over IPv6"),
    pytest.param((), GRE, None, ICMPV4, None, id="no filters: GRE"),
    pytest.param((), 0, None, ICMPV6, None, id="no filters: protocol 0"),
    pytest.param((), 255, None, ICMPV6, None, id="no filters: protocol 255"),
    pytest.param((Tcp(443),), TCP, 443, ICMPV4, None, id="one TCP port"),
    pytest.param((Udp(53),), UDP, 53, ICMPV4, None, id="one UDP port"),
    pytest.param((Tcp("80-90"),), TCP, 80, ICMPV4, None, id="first of a range"),
    pytest.param((Tcp("80-90"),), TCP, 90, ICMPV4, None, id="last of a range"),
    pytest.param((Tcp(0),), TCP, 0, ICMPV4, None, id="port 0"),
    pytest.param((Udp(65_535),), UDP, 65_535, ICMPV4, None, id="port 65535"),
    pytest.param((Tcp(),), TCP, 0, ICMPV4, None, id="all ports: first"),
    pytest.param((Tcp(),), TCP, 65_535, ICMPV4, None, id="all ports: last"),
    pytest.param((Tcp(),), TCP, None, ICMPV4, None, id="all ports: no port"),
    pytest.param((Udp(),), UDP, None, ICMPV4, None, id="all UDP ports: no port"),
    pytest.param(
        (Tcp("0-9"), Tcp("10-65535")), TCP, None, ICMPV4, None, id="all ports in two parts"
    ),
    pytest.param(
        (Tcp("9-65535"), Tcp("0-20")), TCP, None, ICMPV4, None, id="all ports overlapping"
    ),
    pytest.param((Tcp(80), Tcp(443)), TCP, 443, ICMPV4, None, id="the second of two"),
    pytest.param(
        (Tcp("1-9"), Tcp("3-4")), TCP, 9, ICMPV4, None, id="behind a range within a range"
    ),
    pytest.param((Icmp(),), ICMPV4, 8, ICMPV4, None, id="ICMPv4 over IPv4"),
    pytest.param((Icmp(),), ICMPV6, 128, ICMPV6, None, id="ICMPv6 over IPv6"),
    pytest.param((Icmp(),), ICMPV4, 0, ICMPV4, None, id="every type: first"),
    pytest.param((Icmp(),), ICMPV6, 255, ICMPV6, None, id="every type: last"),
    pytest.param((Icmp(),), ICMPV4, None, ICMPV4, None, id="every type: no type"),
    pytest.param((Icmp(),), ICMPV6, None, ICMPV6, None, id="every ICMPv6 type: no type"),
    pytest.param((Icmp([8]),), ICMPV4, 8, ICMPV4, None, id="a type"),
    pytest.param((Icmp([8]),), ICMPV4, 0, ICMPV4, None, id="its answer"),
    pytest.param((Icmp([255]),), ICMPV4, 255, ICMPV4, None, id="the last type"),
    pytest.param((Icmp.echo(),), ICMPV6, 129, ICMPV6, None, id="echo reply over IPv6"),
    pytest.param((Icmp([8]), Icmp([13])), ICMPV4, 14, ICMPV4, None, id="several add up"),
    pytest.param(
        (Icmp([8]), Icmp(types_v6=[128])), ICMPV4, 8, ICMPV4, None, id="one for each family"
    ),
    pytest.param((Icmp([8]), Icmp()), ICMPV4, 5, ICMPV4, None, id="a type and every type"),
    pytest.param(
        (Icmp(range(128)), Icmp(range(128, 256))), ICMPV4, None, ICMPV4, None, id="types in parts"
    ),
    pytest.param((Protocol(GRE),), GRE, -1, ICMPV4, None, id="another protocol"),
    pytest.param((Protocol(GRE),), GRE, None, ICMPV6, None, id="another protocol over IPv6"),
    pytest.param((Tcp(1), Protocol(0)), 0, 65_535, ICMPV6, None, id="protocol 0, any number"),
    pytest.param((Protocol(GRE), Protocol(255)), 255, -1, ICMPV4, None, id="two protocols"),
    pytest.param((Tcp(1), Udp(2), Icmp()), UDP, 2, ICMPV6, None, id="one of each: UDP"),
    pytest.param((Tcp(443),), TCP, 442, ICMPV4, Reason.TCP_PORT, id="port before"),
    pytest.param((Tcp(443),), TCP, 444, ICMPV4, Reason.TCP_PORT, id="port behind"),
    pytest.param((Tcp("80-90"),), TCP, 79, ICMPV4, Reason.TCP_PORT, id="before a range"),
    pytest.param((Tcp("80-90"),), TCP, 91, ICMPV4, Reason.TCP_PORT, id="behind a range"),
    pytest.param((Tcp(80), Tcp(82)), TCP, 81, ICMPV4, Reason.TCP_PORT, id="between two"),
    pytest.param((Tcp("1-9"), Tcp("3-4")), TCP, 10, ICMPV4, Reason.TCP_PORT, id="behind both"),
    pytest.param((Udp(443),), TCP, 443, ICMPV4, Reason.TCP_PORT, id="TCP, only UDP there"),
    pytest.param((Icmp(),), TCP, 443, ICMPV4, Reason.TCP_PORT, id="TCP, only ICMP there"),
    pytest.param((Icmp(),), TCP, None, ICMPV4, Reason.TCP_PORT, id="TCP without port, no Tcp"),
    pytest.param((Tcp("1-65535"),), TCP, None, ICMPV4, Reason.TCP_PORT, id="all but port 0"),
    pytest.param((Tcp("0-65534"),), TCP, None, ICMPV4, Reason.TCP_PORT, id="all but the last"),
    pytest.param((Tcp(443),), TCP, None, ICMPV4, Reason.TCP_PORT, id="TCP without port"),
    pytest.param((Udp(53),), UDP, 52, ICMPV4, Reason.UDP_PORT, id="UDP port before"),
    pytest.param((Udp(53),), UDP, 54, ICMPV4, Reason.UDP_PORT, id="UDP port behind"),
    pytest.param((Tcp(53),), UDP, 53, ICMPV4, Reason.UDP_PORT, id="UDP, only TCP there"),
    pytest.param((Udp(53),), UDP, None, ICMPV4, Reason.UDP_PORT, id="UDP without port"),
    pytest.param((Tcp(),), ICMPV4, None, ICMPV4, Reason.ICMP, id="ICMPv4, no Icmp"),
    pytest.param((Udp(),), ICMPV6, None, ICMPV6, Reason.ICMP, id="ICMPv6, no Icmp"),
    pytest.param((Icmp([8]),), ICMPV4, 7, ICMPV4, Reason.ICMP, id="type before"),
    pytest.param((Icmp([8]),), ICMPV4, 9, ICMPV4, Reason.ICMP, id="type behind"),
    pytest.param((Icmp([8]),), ICMPV4, 1, ICMPV4, Reason.ICMP, id="type behind the answer"),
    pytest.param((Icmp([8]),), ICMPV4, None, ICMPV4, Reason.ICMP, id="one type, no type"),
    pytest.param((Icmp(range(1, 256)),), ICMPV4, None, ICMPV4, None, id="all named: no type"),
    pytest.param((Icmp(range(2, 256)),), ICMPV6, None, ICMPV6, Reason.ICMP, id="IPv4 types only"),
    pytest.param((Icmp([128]),), ICMPV6, 128, ICMPV6, Reason.ICMP, id="a type of IPv4 alone"),
    pytest.param((Icmp(types_v6=[8]),), ICMPV4, 8, ICMPV4, Reason.ICMP, id="of IPv6 alone"),
    pytest.param((Icmp(),), ICMPV4, -1, ICMPV4, Reason.ICMP, id="what has no type"),
    pytest.param((Protocol(GRE),), ICMPV4, 8, ICMPV4, Reason.ICMP, id="ICMP, only GRE there"),
    pytest.param((Protocol(GRE),), TCP, 443, ICMPV4, Reason.TCP_PORT, id="TCP, only GRE there"),
    pytest.param((Protocol(GRE),), GRE + 1, -1, ICMPV4, Reason.PROTOCOL, id="protocol behind"),
    pytest.param((Protocol(GRE),), GRE - 1, -1, ICMPV6, Reason.PROTOCOL, id="protocol before"),
    pytest.param((Icmp(),), ICMPV4, None, ICMPV6, Reason.PROTOCOL, id="ICMPv4 over IPv6"),
    pytest.param((Icmp(),), ICMPV6, None, ICMPV4, Reason.PROTOCOL, id="ICMPv6 over IPv4"),
    pytest.param((Tcp(), Udp(), Icmp()), GRE, None, ICMPV4, Reason.PROTOCOL, id="GRE"),
    pytest.param((Tcp(), Udp(), Icmp()), 0, None, ICMPV4, Reason.PROTOCOL, id="protocol 0"),
]


@pytest.mark.parametrize(("filters", "protocol", "port", "icmp", "reason"), QUESTIONS)
def test_filters_permit_or_refuse_for_a_reason(
    filters: tuple[Filter, ...], protocol: int, port: int | None, icmp: int, reason: Reason | None
) -> None:
    assert compile_filters(filters).refusal(protocol, port, icmp) is reason


few_ports = st.integers(0, 12) | st.integers(65_523, 65_535)
ranges = st.tuples(few_ports, few_ports).map(lambda pair: PortRange(min(pair), max(pair)))
ports = st.one_of(ranges, ranges, st.lists(ranges, min_size=1, max_size=4))
few_types = st.integers(0, 10) | st.integers(250, 255)
types = st.none() | st.sets(few_types, min_size=1, max_size=6)
few_protocols = st.sampled_from([0, 2, GRE, 255])
filters_of_each_kind = st.one_of(
    st.builds(Tcp, ports),
    st.builds(Udp, ports),
    st.builds(Icmp, types, types),
    st.builds(Protocol, few_protocols),
)


@given(
    st.lists(filters_of_each_kind, max_size=5).map(tuple),
    st.sampled_from([TCP, UDP, ICMPV4, ICMPV6]) | few_protocols,
    st.none() | few_types | few_ports,
    st.sampled_from([4, 6]),
)
def test_filters_answer_as_a_look_at_each_of_them(
    filters: tuple[Filter, ...], protocol: int, number: int | None, version: int
) -> None:
    icmp = ICMPV4 if version == 4 else ICMPV6
    expected = refusal(filters, protocol, number, version)
    assert compile_filters(filters).refusal(protocol, number, icmp) == expected


@pytest.mark.parametrize(
    ("filters", "bounds"),
    [
        pytest.param((), (0, 65_536), id="no filters permit every port"),
        pytest.param((Udp(), Icmp()), (), id="filters of others permit none"),
        pytest.param((Tcp(443),), (443, 444), id="one port"),
        pytest.param((Tcp(2), Tcp(1)), (1, 3), id="neighbours merge"),
        pytest.param((Tcp(1), Tcp(3)), (1, 2, 3, 4), id="apart stay apart"),
        pytest.param((Tcp("1-5"), Tcp("3-9")), (1, 10), id="overlapping merge"),
        pytest.param((Tcp("1-9"), Tcp("3-4")), (1, 10), id="within vanishes"),
        pytest.param((Tcp(1), Tcp(1)), (1, 2), id="twice is once"),
        pytest.param((Tcp("0-9"), Tcp("10-65535")), (0, 65_536), id="parts of all make all"),
        pytest.param((Tcp([80, 443]),), (80, 81, 443, 444), id="several of one filter"),
        pytest.param((Tcp("1,5-9"), Tcp([2, 7])), (1, 3, 5, 10), id="several of several"),
        pytest.param((Tcp(9), Udp(1), Icmp()), (9, 10), id="others do not count"),
    ],
)
def test_ranges_are_compiled_to_bounds_that_lie_apart(
    filters: tuple[Filter, ...], bounds: tuple[int, ...]
) -> None:
    assert PermitCheck(filters).ipv4[TCP] == PermitCheck(filters).ipv6[TCP] == bounds


@pytest.mark.parametrize(
    ("filters", "bounds"),
    [
        pytest.param((), (0, 256), id="no filters permit every type"),
        pytest.param((Tcp(), Protocol(GRE)), (), id="filters of others permit none"),
        pytest.param((Icmp(),), (0, 256), id="every type"),
        pytest.param((Icmp([8]),), (0, 1, 8, 9), id="apart stay apart"),
        pytest.param((Icmp([1, 2, 3]),), (1, 4), id="neighbours merge"),
        pytest.param((Icmp([2]), Icmp([1, 3])), (1, 4), id="neighbours of several merge"),
        pytest.param((Icmp([8]), Icmp()), (0, 256), id="within vanishes"),
    ],
)
def test_types_are_compiled_to_bounds_too(
    filters: tuple[Filter, ...], bounds: tuple[int, ...]
) -> None:
    assert PermitCheck(filters).ipv4[ICMPV4] == bounds


def test_without_filters_every_number_is_within_bounds() -> None:
    everything, named = PermitCheck(()), PermitCheck((Tcp(), Udp(), Icmp()))
    assert (everything.ipv4, everything.ipv6) == (named.ipv4, named.ipv6)
    # Of other protocols there may be any, which no bounds tell.
    assert (set(everything.ipv4), set(everything.ipv6)) == (
        {TCP, UDP, ICMPV4},
        {TCP, UDP, ICMPV6},
    )


def test_the_same_filters_share_one_check() -> None:
    assert compile_filters((Tcp(443), Icmp())) is compile_filters((Tcp("443"), Icmp()))
