"""`PermitIndex`: what many resources permit together. The state machines in
`test_against_scan.py` and `tests/property/test_access.py` compare answers with a linear scan."""

from ipaddress import ip_address, ip_network

import pytest
from attrs import frozen

from firezone_filter.access.excluding import ExcludedNetworks
from firezone_filter.access.liveness import Foresight, Liveness
from firezone_filter.access.permit_index import PermitIndex
from firezone_filter.access.permits import PermitCheck, compile_filters
from firezone_filter.packet.numbers import ICMPV4, ICMPV6, TCP, UDP
from firezone_filter.values.filters import Filter, Icmp, Protocol, Tcp, Udp
from tests.numbers import ESP, GRE

ADDRESS, OTHER, IPV6 = (ip_address(text).packed for text in ("10.0.0.5", "10.0.1.5", "fd00::5"))
HOLE = ExcludedNetworks((ip_network("10.0.0.0/24"),))


@frozen
class Value:
    check: PermitCheck
    excluded: ExcludedNetworks | None = None


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
SOME_ICMP = value(Icmp([0, 8, 255], [128, 129]), Protocol(GRE), Protocol(GRE))


@pytest.mark.parametrize(
    ("protocol", "number", "address", "winner"),
    [
        (TCP, 443, ADDRESS, "c"),
        (TCP, 8_000, ADDRESS, "c"),
        (TCP, 8_100, ADDRESS, "c"),
        (TCP, 8_101, ADDRESS, "b"),
        (TCP, 0, ADDRESS, "b"),
        (TCP, 65_535, ADDRESS, "b"),
        (TCP, None, ADDRESS, "b"),
        (UDP, 53, ADDRESS, "d"),
        (UDP, 54, ADDRESS, None),
        (UDP, None, ADDRESS, None),
        (ICMPV4, 8, ADDRESS, "e"),
        (ICMPV4, 0, ADDRESS, "e"),
        (ICMPV4, 255, ADDRESS, "e"),
        (ICMPV4, 254, ADDRESS, "b"),
        (ICMPV4, None, ADDRESS, "b"),
        (ICMPV6, 128, ADDRESS, None),
        (ICMPV6, None, ADDRESS, None),
        (ICMPV6, 128, IPV6, "e"),
        (ICMPV6, 127, IPV6, "b"),
        (ICMPV6, None, IPV6, "b"),
        (ICMPV4, 8, IPV6, None),
        (GRE, None, ADDRESS, "e"),
        (GRE, -1, IPV6, "e"),
        (ESP, None, ADDRESS, None),
    ],
)
def test_the_greatest_id_that_permits_wins(
    protocol: int, number: int | None, address: bytes, winner: str | None
) -> None:
    index = index_of(c=WEB, a=value(Tcp()), d=value(Udp(53)), b=ALL_TCP, e=SOME_ICMP)
    assert index.winner(protocol, number, address) == winner
    index.put("0", ANYTHING)
    assert index.winner(protocol, number, address) == (winner or "0")
    assert (index.greatest(address), index.first()) == ("e", "e")
    assert (len(index), index["c"]) == (6, WEB)


def test_replacing_takes_away_what_is_no_longer_permitted() -> None:
    index = index_of(a=WEB, b=ANYTHING)
    for new, expected in ((WEB, "b"), (value(Tcp(80)), "a"), (ANYTHING, "b")):
        index.put("b", new)
        index.put("b", new)
        assert index.winner(TCP, 443, ADDRESS) == expected
    index.put("b", Value(ANYTHING.check))
    assert index.values() == [WEB, ANYTHING]


def test_whoever_excludes_an_address_neither_permits_it_nor_says_why_not() -> None:
    index = index_of(a=WEB, b=Value(ANYTHING.check, HOLE), c=Value(ALL_TCP.check, HOLE))
    assert [index.winner(TCP, 443, far) for far in (ADDRESS, OTHER)] == ["a", "c"]
    assert [index.winner(UDP, 53, far) for far in (ADDRESS, OTHER)] == [None, "b"]
    assert [index.greatest(far) for far in (ADDRESS, OTHER)] == ["a", "c"]
    # The greatest of all may exclude an address, which has to be asked.
    assert index.first() == "c"
    index.remove("a")
    assert [index.greatest(far) for far in (ADDRESS, OTHER)] == [None, "c"]


def test_what_is_excluded_may_be_replaced_and_given_up() -> None:
    elsewhere = ExcludedNetworks((ip_network("10.0.1.0/24"),))
    index = index_of(a=WEB, b=Value(WEB.check, HOLE))
    for excluded, expected in (
        (HOLE, ["a", "b"]),
        (elsewhere, ["b", "a"]),
        (None, ["b", "b"]),
        (HOLE, ["a", "b"]),
    ):
        index.put("b", Value(WEB.check, excluded))
        assert [index.winner(TCP, 443, far) for far in (ADDRESS, OTHER)] == expected
        assert [index.greatest(far) for far in (ADDRESS, OTHER)] == expected


@pytest.mark.parametrize("excluded", [None, HOLE], ids=["whole", "excluding"])
def test_whoever_is_over_is_skipped_and_can_be_removed_afterwards(
    excluded: ExcludedNetworks | None,
) -> None:
    index = index_of(
        a=Value(WEB.check, excluded), b=ANYTHING, c=ALL_TCP, d=Value(SOME_ICMP.check, excluded)
    )
    ends = {"a": Ends(8.0), "b": Ends(7.0), "c": Ends(3.0), "d": Ends(4.0)}
    for now, tcp, gre in (
        (2.0, "c", "d"),
        (3.0, "b", "d"),
        (4.0, "b", "b"),
        (7.0, "a", None),
        (8.0, None, None),
    ):
        liveness = Liveness(ends, now)
        assert index.winner(TCP, 443, OTHER, liveness) == tcp
        assert index.winner(GRE, -1, OTHER, liveness) == gre
        assert index.greatest(OTHER, liveness) == ("d" if now < 4.0 else tcp)
    assert index.first() is None
    for resource_id in "cdba":
        index.remove(resource_id)
    assert (len(index), index._excluding, index._excluded) == (0, None, {})
    lists = index._whole
    assert (lists.all, lists._everything, lists._others) == ([], [], {})
    assert all(not tree._at for tree in lists._trees.values())


@pytest.mark.parametrize("excluded", [None, HOLE], ids=["whole", "excluding"])
def test_whoever_will_be_over_is_skipped_and_stays(excluded: ExcludedNetworks | None) -> None:
    index = index_of(
        a=Value(WEB.check, excluded), b=ANYTHING, c=ALL_TCP, d=Value(SOME_ICMP.check, excluded)
    )
    ends = {"a": Ends(8.0), "b": Ends(7.0), "c": Ends(3.0), "d": Ends(4.0)}
    for now, tcp, gre in (
        (8.0, None, None),
        (7.0, "a", None),
        (4.0, "b", "b"),
        (3.0, "b", "d"),
        (2.0, "c", "d"),
    ):
        foresight = Foresight(ends, now)
        assert index.winner(TCP, 443, OTHER, foresight) == tcp
        assert index.winner(GRE, -1, OTHER, foresight) == gre
        assert index.greatest(OTHER, foresight) == ("d" if now < 4.0 else tcp)


def test_equal_filters_share_the_nodes_that_tile_their_numbers() -> None:
    index = index_of(a=value(Tcp("1-9")), b=value(Tcp("1-9")))
    assert index["a"].check.nodes is index["b"].check.nodes


def test_one_that_was_dropped_may_be_removed_after_the_last_of_its_protocol() -> None:
    index = index_of(a=SOME_ICMP, b=SOME_ICMP)
    liveness = Liveness({"a": Ends(None), "b": Ends(1.0)}, 2.0)
    assert index.winner(GRE, -1, ADDRESS, liveness) == "a"
    for resource_id in "ab":
        index.remove(resource_id)
    assert len(index) == 0
    assert index.winner(GRE, -1, ADDRESS) is None
