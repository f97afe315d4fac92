"""`ExcludingIds`: the greatest id that does not exclude an address, among any that do."""

from ipaddress import ip_address, ip_network
from itertools import product

import pytest
from attrs import frozen

from firezone_filter.access.excluding import ExcludedNetworks, ExcludingIds, Nodes
from firezone_filter.access.liveness import Liveness

ASKED = ip_address("10.0.0.5").packed

# What excludes the address, in lists of its own, and what does not.
WIDE, NARROW, ELSEWHERE = (
    ExcludedNetworks((ip_network(text),)).nodes()
    for text in ("10.0.0.0/24", "10.0.0.5/32", "10.0.1.0/24")
)


@frozen
class Ends:
    expires_at: float | None


def ids_of(*excluded: Nodes) -> ExcludingIds:
    nodes = {f"{number}": one for number, one in enumerate(excluded)}
    ids = ExcludingIds(nodes)
    for one in nodes:
        ids.add(one)
        ids.add(one)
    return ids


@pytest.mark.parametrize("count", range(6))
def test_each_choice_of_who_excludes_and_who_is_over_has_its_greatest_id(count: int) -> None:
    for excluded in product((WIDE, NARROW, ELSEWHERE), repeat=count):
        permitting = [f"{n}" for n, one in enumerate(excluded) if one is ELSEWHERE]
        assert ids_of(*excluded).outside(ASKED) == max(permitting, default=None)
        for over in product((False, True), repeat=count):
            ends = {f"{n}": Ends(1.0 if one else None) for n, one in enumerate(over)}
            ids, liveness = ids_of(*excluded), Liveness(ends, 1.0)
            living = [one for one in ends if ends[one].expires_at is None]
            both = [one for one in living if one in permitting]
            for _ in range(2):
                assert ids.outside(ASKED, liveness) == max(both, default=None)
                assert ids.greatest(liveness) == max(living, default=None)


def test_ids_come_and_go_once() -> None:
    ids = ids_of(WIDE, ELSEWHERE, NARROW)
    for gone, left, found in (("2", 2, "1"), ("2", 2, "1"), ("1", 1, None), ("0", 0, None)):
        ids.discard(gone)
        assert (len(ids), ids.outside(ASKED)) == (left, found)
    assert all(not tree._at for tree in ids._trees.values())
    ids.add("1")
    assert ids.outside(ASKED) == "1"
