"""What each of the 256 ICMP types means, in each family."""

from collections.abc import Callable, Iterable

import pytest

from firezone_filter.packet.headers import NO_PORT
from firezone_filter.packet.icmp import (
    is_echo,
    is_icmp_error,
    is_judged_by_quote,
    stays_on_link,
)
from tests.numbers import ESP, ICMPV4, ICMPV6, TCP, UDP

Question = Callable[[int, int], bool]

# In ICMPv6 all types below 128 are errors, undefined ones included; quench and redirect count
# as errors.
TYPES: dict[str, tuple[Question, Iterable[int], Iterable[int]]] = {
    "error": (is_icmp_error, (3, 4, 5, 11, 12), (*range(128), 137)),
    "judged-by-quote": (is_judged_by_quote, (3, 11, 12), (1, 2, 3, 4)),
    "stays-on-link": (stays_on_link, (9, 10), (133, 134, 135, 136)),
    "echo": (is_echo, (0, 8), (128, 129)),
}


@pytest.mark.parametrize(("question", "of_v4", "of_v6"), TYPES.values(), ids=TYPES)
def test_these_types_and_no_others_of_each_family_are(
    question: Question, of_v4: Iterable[int], of_v6: Iterable[int]
) -> None:
    for protocol, types in ((ICMPV4, of_v4), (ICMPV6, of_v6)):
        assert [kind for kind in range(256) if question(protocol, kind)] == [*types]


@pytest.mark.parametrize("question", [is_icmp_error, stays_on_link, is_echo])
def test_what_has_no_type_is_of_none_of_these_kinds(question: Question) -> None:
    assert not any(question(protocol, NO_PORT) for protocol in (ICMPV4, ICMPV6))


@pytest.mark.parametrize("question", [is_icmp_error, stays_on_link, is_echo])
def test_of_other_protocols_none_is(question: Question) -> None:
    for protocol in (TCP, UDP, ESP):
        assert not any(question(protocol, kind) for kind in (NO_PORT, *range(256)))
