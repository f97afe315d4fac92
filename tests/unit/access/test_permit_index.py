"""`PermitIndex`: what many resources permit together. The state machine in
`tests/property/test_access.py` compares the answers with a linear scan."""

import pytest
from attrs import frozen

from firezone_filter.access.liveness import Liveness
from firezone_filter.access.permit_index import PermitIndex
from firezone_filter.access.permits import PermitCheck, compile_filters
from firezone_filter.packet.numbers import ICMPV4, ICMPV6, TCP, UDP
from firezone_filter.values.resources import Filter, Icmp, Tcp, Udp
from tests.builders import GRE


@frozen
class Value:
    check: PermitCheck


@frozen
class Ends:
    expires_at: float | None


def value(*filters: Filter) -> Value:
    return Value(compile_filters(filters))


def index_of(**values: Value) -> PermitIndex[Value]:
    index: PermitIndex[Value] = PermitIndex()
    for resource_id, one in values.items():
        index.put(resource_id, one)
    return index


WEB, ALL_TCP, ANYTHING = value(Tcp("443,8000-8100")), value(Tcp(), Icmp()), value()


@pytest.mark.parametrize(
    ("protocol", "port", "winner"),
    [
        (TCP, 443, "c"),
        (TCP, 8_000, "c"),
        (TCP, 8_100, "c"),
        (TCP, 8_101, "b"),
        (TCP, 0, "b"),
        (TCP, 65_535, "b"),
        (TCP, None, "b"),
        (UDP, 53, "d"),
        (UDP, 54, None),
        (UDP, None, None),
        (ICMPV4, None, "b"),
        (ICMPV6, None, None),
        (GRE, None, None),
    ],
)
def test_the_greatest_id_that_permits_wins(
    protocol: int, port: int | None, winner: str | None
) -> None:
    index = index_of(c=WEB, a=value(Tcp()), d=value(Udp(53)), b=ALL_TCP)
    assert index.winner(protocol, port, ICMPV4) == winner
    index.put("0", ANYTHING)
    assert index.winner(protocol, port, ICMPV4) == (winner or "0")
    assert (index.greatest(), len(index), index["c"]) == ("d", 5, WEB)


def test_replacing_takes_away_what_is_no_longer_permitted() -> None:
    index = index_of(a=WEB, b=ANYTHING)
    for new, expected in ((WEB, "b"), (value(Tcp(80)), "a"), (ANYTHING, "b")):
        index.put("b", new)
        index.put("b", new)
        assert index.winner(TCP, 443, ICMPV4) == expected
    index.put("b", Value(ANYTHING.check))
    assert index.values() == [WEB, ANYTHING]


def test_whoever_is_over_is_skipped_and_can_be_removed_afterwards() -> None:
    index = index_of(a=WEB, b=ANYTHING, c=ALL_TCP, d=WEB)
    ends = {"a": Ends(5.0), "b": Ends(7.0), "c": Ends(3.0), "d": Ends(4.0)}
    for now, winner in ((2.0, "d"), (3.0, "d"), (4.0, "b"), (6.0, "b"), (7.0, None)):
        liveness = Liveness(ends, now)
        assert index.winner(TCP, 443, ICMPV4, liveness) == winner
        assert index.greatest(liveness) == winner
    for resource_id in "cdba":
        index.remove(resource_id)
    assert (len(index), index._ids, index._everything, index._icmp) == (0, [], [], [])
    assert all(not ports._at for ports in index._ports.values())


def test_equal_filters_share_the_nodes_that_tile_their_ports() -> None:
    index = index_of(a=value(Tcp("1-9")), b=value(Tcp("1-9")))
    assert index["a"].check.nodes is index["b"].check.nodes
