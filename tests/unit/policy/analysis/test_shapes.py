"""What many candidates permit together, by a naive reading of the same filters."""

import random

import pytest

from firezone_filter import Filter, Icmp, Tcp, Udp
from firezone_filter.access.permits import compile_filters
from firezone_filter.packet.numbers import ICMPV4, IPV4, TCP, UDP
from firezone_filter.policy.analysis.shapes import ICMP_TYPES, Shapes

PORTS = 60
"""All that filters here name is below it."""


def some_filters(draw: random.Random) -> tuple[Filter, ...]:
    several: list[Filter] = []
    for _ in range(draw.randrange(1, 5)):
        first, last = sorted(draw.choices(range(PORTS), k=2))
        kinds = (Tcp(f"{first}-{last}"), Tcp(first), Udp(f"{first}-{last}"), Icmp([first + 20]))
        several.append(draw.choice(kinds))
    return tuple(several)


@pytest.mark.parametrize("with_rest", [False, True], ids=["filtered", "everything-last"])
@pytest.mark.parametrize("seed", range(20))
def test_the_first_that_permits_a_number_answers(seed: int, *, with_rest: bool) -> None:
    draw = random.Random(seed)
    checks = [compile_filters(some_filters(draw)) for _ in range(draw.choice((1, 3, 40)))]
    checks += [compile_filters(())] * with_rest
    shape = Shapes().of(IPV4, tuple(checks))
    asked = [(protocol, port) for protocol in (TCP, UDP) for port in range(PORTS + 2)]
    asked += [(ICMPV4, kind) for kind in ICMP_TYPES[IPV4]]
    for protocol, number in asked:
        answers = [
            place
            for place, check in enumerate(checks)
            if check.refusal(protocol, number, ICMPV4) is None
        ]
        part = shape.find(IPV4, protocol, number)
        assert (None if part is None else part.place) == (answers[0] if answers else None)


def test_parts_are_as_few_as_can_be() -> None:
    one, other = compile_filters((Tcp("1-9"),)), compile_filters((Tcp("5-20"), Tcp("30-40")))
    parts = Shapes().of(IPV4, (one, other, one)).parts
    assert [(part.first, part.after, part.place) for part in parts] == [
        (1, 10, 0),
        (10, 21, 1),
        (30, 41, 1),
    ]
