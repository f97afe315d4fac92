"""Compiled filters: what they permit, and the reason of each refusal."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firezone_filter.access.permits import PermitCheck, compile_filters
from firezone_filter.packet.numbers import ICMPV4, ICMPV6, TCP, UDP
from firezone_filter.values.decisions import Reason
from firezone_filter.values.resources import Filter, Icmp, PortRange, Tcp, Udp, to_filters
from tests.model import policy as model

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
    pytest.param((Icmp(),), ICMPV4, None, ICMPV4, None, id="ICMPv4 over IPv4"),
    pytest.param((Icmp(),), ICMPV6, None, ICMPV6, None, id="ICMPv6 over IPv6"),
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
filters_of_each_kind = st.one_of(st.builds(Tcp, ports), st.builds(Udp, ports), st.just(Icmp()))


@given(
    st.lists(filters_of_each_kind, max_size=5).map(tuple),
    st.sampled_from([TCP, UDP, ICMPV4, ICMPV6, GRE]),
    st.none() | few_ports,
    st.sampled_from([ICMPV4, ICMPV6]),
)
def test_filters_answer_as_the_model_does(
    filters: tuple[Filter, ...], protocol: int, port: int | None, icmp: int
) -> None:
    is_foreign = protocol in (ICMPV4, ICMPV6) and protocol != icmp
    expected = model.refusal(to_filters(filters), model.OTHER if is_foreign else protocol, port)
    assert compile_filters(filters).refusal(protocol, port, icmp) == expected


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
    assert PermitCheck(filters).bounds[TCP] == bounds


def test_without_filters_every_port_of_tcp_and_udp_is_within_bounds() -> None:
    assert PermitCheck(()).bounds == PermitCheck((Tcp(), Udp())).bounds
    # Whatever has no ports has no bounds.
    assert set(PermitCheck(()).bounds) == {TCP, UDP}


def test_the_same_filters_share_one_check() -> None:
    assert compile_filters((Tcp(443), Icmp())) is compile_filters((Tcp("443"), Icmp()))
