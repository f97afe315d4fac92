"""What the ICMP types mean: each of the 256, in each family."""

import pytest

from firezone_filter.packet.headers import NO_PORT
from firezone_filter.packet.icmp import (
    is_echo,
    is_icmp_error,
    is_judged_by_quote,
    stays_on_link,
)
from tests.builders import ESP, ICMPV4, ICMPV6, TCP, UDP

TYPES = range(256)


def test_icmpv4_errors_are_these_and_count_quench_and_redirect() -> None:
    assert [kind for kind in TYPES if is_icmp_error(ICMPV4, kind)] == [3, 4, 5, 11, 12]


def test_icmpv6_errors_are_all_below_128_and_the_redirect() -> None:
    assert [kind for kind in TYPES if is_icmp_error(ICMPV6, kind)] == [*range(128), 137]


def test_other_protocols_have_no_icmp_errors() -> None:
    assert not any(is_icmp_error(protocol, 3) for protocol in (TCP, UDP))


@pytest.mark.parametrize(("protocol", "expected"), [(ICMPV4, [3, 11, 12]), (ICMPV6, [1, 2, 3, 4])])
def test_only_these_errors_are_judged_by_what_they_quote(
    protocol: int, expected: list[int]
) -> None:
    assert [kind for kind in TYPES if is_judged_by_quote(protocol, kind)] == expected


@pytest.mark.parametrize(
    ("protocol", "expected"), [(ICMPV4, [9, 10]), (ICMPV6, [133, 134, 135, 136])]
)
def test_router_and_neighbour_discovery_stay_on_their_link(
    protocol: int, expected: list[int]
) -> None:
    assert [kind for kind in TYPES if stays_on_link(protocol, kind)] == expected


def test_nothing_else_stays_on_its_link() -> None:
    assert not any(stays_on_link(UDP, kind) for kind in TYPES)


@pytest.mark.parametrize(("protocol", "expected"), [(ICMPV4, [0, 8]), (ICMPV6, [128, 129])])
def test_echo_is_a_request_and_its_reply(protocol: int, expected: list[int]) -> None:
    assert [kind for kind in TYPES if is_echo(protocol, kind)] == expected


def test_other_protocols_have_no_echo() -> None:
    for protocol in (TCP, UDP, ESP):
        assert not any(is_echo(protocol, kind) for kind in (NO_PORT, *TYPES))
