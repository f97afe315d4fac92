"""Network trees: how they keep entries of one network, and the quick answer of most look-ups."""

from ipaddress import ip_address, ip_network
from itertools import permutations

import pytest
from attrs import frozen

from firezone_filter.access import table as module
from firezone_filter.access.liveness import Liveness
from firezone_filter.access.permit_index import FEW, PermitIndex
from firezone_filter.access.table import Entry, Match, NetworkTree, SingleEntry
from firezone_filter.packet.numbers import TCP
from firezone_filter.values.decisions import Reason
from firezone_filter.values.filters import Filter, Tcp, Udp
from tests.numbers import GRE

# --- Entries of one network ---------------------------------------------------------------


def alone(network: str, resource_id: str, *filters: Filter) -> SingleEntry:
    return (Entry(ip_network(network), resource_id, filters),)


def kept(tree: NetworkTree[Match], network: str) -> tuple[Entry, ...]:
    """Return what a tree keeps for a network, the very object."""
    wanted = ip_network(network)
    node = tree.tree.search_exact(None, wanted.prefixlen, wanted.network_address.packed)
    entries: tuple[Entry, ...] = node.data["entries"]
    return entries


def tree_of(*entries: SingleEntry) -> NetworkTree[Match]:
    tree: NetworkTree[Match] = NetworkTree()
    for entry in entries:
        tree.put(entry, entry[0].permitted)
    return tree


@pytest.mark.parametrize("network", ["10.0.0.0/24", "fd00::/64", "0.0.0.0/0", "::/0"])
def test_trees_share_what_they_keep_of_an_entry_that_is_alone(network: str) -> None:
    shared = alone(network, "db")
    one, other = tree_of(shared), tree_of(alone(network, "db", Tcp(1)), shared)
    assert kept(one, network) is shared
    assert kept(other, network) is shared


def test_trees_share_their_answers() -> None:
    shared = alone("10.0.0.0/24", "db", Tcp(443))
    one, other = tree_of(shared), tree_of(shared)
    address = ip_address("10.0.0.5").packed
    assert one.lookup(address, TCP, 443) is other.lookup(address, TCP, 443)
    assert one.lookup(address, TCP, 22) is other.lookup(address, TCP, 22)


A, B, C = (alone("10.0.0.0/24", resource_id) for resource_id in "abc")


@pytest.mark.parametrize("order", list(permutations([A, B, C])))
def test_entries_of_one_network_are_kept_by_their_ids(order: tuple[SingleEntry, ...]) -> None:
    assert kept(tree_of(*order), "10.0.0.0/24") == A + B + C


@pytest.mark.parametrize("taken", [A, B, C])
def test_taking_one_entry_leaves_the_others_of_its_network(taken: SingleEntry) -> None:
    tree = tree_of(A, B, C)
    tree.take(taken)
    assert set(kept(tree, "10.0.0.0/24")) == {*A, *B, *C} - {*taken}


@pytest.mark.parametrize("old", [A, B, C])
def test_an_entry_takes_the_place_of_another_of_its_id(old: SingleEntry) -> None:
    tree, new = tree_of(A, B, C), alone("10.0.0.0/24", old[0].resource_id, Tcp(443))
    tree.put(new, new[0].permitted)
    assert set(kept(tree, "10.0.0.0/24")) == {*A, *B, *C, *new} - {*old}


def test_taking_from_one_tree_leaves_the_other() -> None:
    one, other = tree_of(A, B), tree_of(A, B)
    one.take(A)
    assert kept(other, "10.0.0.0/24") == A + B


# --- The quick answer --------------------------------------------------------------------

ASKED = (ip_address("10.0.0.5").packed, TCP, 443)


def test_an_entry_that_is_alone_answers_as_it_was_told_if_it_permits() -> None:
    tree: NetworkTree[str] = NetworkTree()
    tree.put(alone("10.0.0.0/24", "a", Tcp(443)), "mine")
    assert tree.lookup(*ASKED) == "mine"
    packed, protocol, _ = ASKED
    for other in (444, None):
        refused = tree.lookup(packed, protocol, other)
        assert refused == Match("a", ip_network("10.0.0.0/24"), Reason.TCP_PORT)


def test_an_entry_that_takes_the_place_of_itself_answers_anew() -> None:
    tree: NetworkTree[str] = NetworkTree()
    tree.put(alone("10.0.0.0/24", "a", Tcp(1)), "old")
    tree.put(alone("10.0.0.0/24", "a", Tcp(443)), "new")
    assert tree.lookup(*ASKED) == "new"


@pytest.mark.parametrize("taken", [A, B])
def test_entries_of_one_network_answer_by_their_matches_also_the_last_of_them(
    taken: SingleEntry,
) -> None:
    tree: NetworkTree[str] = NetworkTree()
    tree.put(A, "a")
    tree.put(B, "b")
    assert tree.lookup(*ASKED) is B[0].permitted
    tree.take(taken)
    assert tree.lookup(*ASKED) is (B if taken is A else A)[0].permitted
    tree.take(B if taken is A else A)
    assert tree.lookup(*ASKED) is None
    tree.put(taken, "again")
    assert tree.lookup(*ASKED) == "again"


@pytest.mark.parametrize(("widest", "at_once"), [("10.0.0.0/8", "narrow"), (None, "narrow")])
def test_the_longest_prefix_answers_at_once(widest: str | None, at_once: str) -> None:
    tree: NetworkTree[str] = NetworkTree()
    tree.put(alone("10.0.0.0/24", "a", Tcp(443)), "narrow")
    if widest is not None:
        tree.put(alone(widest, "z"), "wide")
    assert tree.lookup(*ASKED) == at_once


HOST, NARROW, WIDE = "10.0.0.5", "10.0.0.0/24", "10.0.0.0/8"

# Entries, the port of TCP, who answers, and whether the first that is asked answers at once.
IN_TURN = [
    ([alone(NARROW, "a", Tcp(443))], 443, (NARROW, "a", True), True),
    ([alone(NARROW, "a", Tcp(443))], 444, (NARROW, "a", False), True),
    ([alone(NARROW, "a", Udp())], 443, (NARROW, "a", False), True),
    ([alone(NARROW, "a")], 65_535, (NARROW, "a", True), True),
    ([alone(NARROW, "a"), alone("10.0.1.0/24", "b")], 1, (NARROW, "a", True), True),
    # Others of the same network, of which the greatest id is asked first.
    ([alone(NARROW, "a", Tcp(1)), alone(NARROW, "b", Tcp(1))], 1, (NARROW, "b", True), True),
    ([alone(NARROW, "a", Tcp(1)), alone(NARROW, "b", Tcp(2))], 1, (NARROW, "a", True), False),
    ([alone(NARROW, "a", Tcp(1)), alone(NARROW, "b", Tcp(2))], 3, (NARROW, "b", False), False),
    # A shorter prefix behind it.
    ([alone(NARROW, "a", Tcp(1)), alone(WIDE, "b", Tcp(1))], 1, (NARROW, "a", True), True),
    ([alone(NARROW, "a", Tcp(1)), alone(WIDE, "b", Tcp(2))], 2, (WIDE, "b", True), False),
    ([alone(NARROW, "a", Tcp(1)), alone("0.0.0.0/0", "b")], 2, ("0.0.0.0/0", "b", True), False),
    ([alone(NARROW, "a", Tcp(1)), alone(WIDE, "b", Tcp(2))], 3, (NARROW, "a", False), False),
    ([alone(WIDE, "a", Tcp(1)), alone(NARROW, "b", Tcp(2))], 3, (NARROW, "b", False), False),
]


@pytest.mark.parametrize(("entries", "port", "expected", "at_once"), IN_TURN)
def test_the_quick_answer_is_that_of_asking_in_turn(
    entries: list[SingleEntry],
    port: int,
    expected: tuple[str, str, bool],
    at_once: bool,  # noqa: FBT001 - a case
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tree, address = tree_of(*entries), ip_address(HOST).packed
    node = tree.tree.search_best(None, module.ALL_BITS, address)
    slow = module._ask_in_turn(node, address, TCP, port)
    network, resource_id, permitted = expected
    reason = None if permitted else Reason.TCP_PORT
    assert slow == Match(resource_id, ip_network(network), reason)
    assert tree.lookup(address, TCP, port) is slow
    asked = []

    def ask(*args: object) -> Match:
        asked.append(args)
        return slow

    monkeypatch.setattr(module, "_ask_in_turn", ask)
    assert tree.lookup(address, TCP, port) is slow
    assert asked == ([] if at_once else [(node, address, TCP, port)])


# --- Many of one network -----------------------------------------------------------------


def test_few_entries_are_kept_as_they_are_and_many_in_an_index() -> None:
    entries = [alone(NARROW, f"{number:02}", Tcp(number)) for number in range(FEW + 2)]
    tree, forms = NetworkTree[Match](), []
    for entry in entries:
        tree.put(entry, entry[0].permitted)
        forms.append(type(kept(tree, NARROW)))
    assert forms == [*[tuple] * FEW, PermitIndex, PermitIndex]
    forms = []
    for number, entry in enumerate(entries[:-1]):
        assert tree.lookup(ASKED[0], TCP, number) is entry[0].permitted
        tree.take(entry)
        assert tree.lookup(ASKED[0], TCP, number) is entries[-1][0].refused(Reason.TCP_PORT)
        forms.append(type(kept(tree, NARROW)))
    assert forms == [*[PermitIndex] * (FEW - FEW // 2 + 1), *[tuple] * (FEW // 2)]


def test_of_many_the_greatest_id_answers_at_once_also_after_a_change() -> None:
    tree = tree_of(*(alone(NARROW, f"{number}", Tcp(443)) for number in range(FEW + 1)))
    for new, winner in (
        (alone(NARROW, "x", Udp(53)), f"{FEW}"),
        (alone(NARROW, "x"), "x"),
        (alone(NARROW, "y", Tcp(443)), "y"),
    ):
        tree.put(new, new[0].permitted)
        assert tree.lookup(*ASKED) == Match(winner, ip_network(NARROW), None)
    assert tree.lookup(ASKED[0], GRE, None) == Match("x", ip_network(NARROW), None)


@frozen
class Ends:
    expires_at: float | None


def test_of_a_network_whose_resources_are_all_over_a_wider_one_answers() -> None:
    over = [alone(NARROW, f"{number}", Tcp(443)) for number in range(2 * FEW)]
    wide = alone(WIDE, "w", Udp(53))
    tree = tree_of(*over, wide)
    ends = {entry[0].resource_id: Ends(5.0) for entry in over}
    liveness = Liveness({**ends, "w": Ends(None)}, 5.0)
    assert tree.lookup_living(*ASKED, liveness) is wide[0].refused(Reason.TCP_PORT)
    # Withdrawn one after the other, a packet may come after each.
    for entry in over[::-1]:
        tree.take(entry)
        assert tree.lookup_living(*ASKED, liveness) is wide[0].refused(Reason.TCP_PORT)
    assert tree.lookup(*ASKED) is wide[0].refused(Reason.TCP_PORT)
