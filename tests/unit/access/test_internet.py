"""`InternetAccess`: which of a client's Internet resources answers. The state machine in
`tests/property/test_access.py` compares the answers with a linear scan."""

from ipaddress import ip_address, ip_network

import pytest
from attrs import frozen

from firezone_filter.access.excluding import ExcludedNetworks
from firezone_filter.access.internet import InternetAccess
from firezone_filter.access.liveness import Liveness
from firezone_filter.access.permit_index import FEW

ASKED = ip_address("9.9.9.9").packed
WIDE, NARROW, ELSEWHERE = (
    ExcludedNetworks((ip_network(text), ip_network("2600::/16")))
    for text in ("8.0.0.0/7", "9.9.9.9/32", "20.0.0.0/8")
)


@frozen
class Ends:
    expires_at: float | None


def internet(*excluded: ExcludedNetworks) -> InternetAccess:
    """Return the access of resources 0, 1 and so on."""
    access = InternetAccess()
    for number, one in enumerate(excluded):
        access.put(f"{number:02}", one)
    return access


FEW_EXCLUDE, MANY_EXCLUDE = [WIDE, NARROW], [WIDE, NARROW] * FEW

both_numbers = pytest.mark.parametrize("others", [FEW_EXCLUDE, MANY_EXCLUDE], ids=["few", "many"])


@both_numbers
def test_the_greatest_id_that_does_not_exclude_the_address_answers(
    others: list[ExcludedNetworks],
) -> None:
    last = f"{len(others) - 1:02}"
    access = internet(*others)
    assert access.best(ASKED, is_public=True) == (False, last)
    assert access.best(ASKED, is_public=False) == (False, last)
    assert access.best(ip_address("2600::1").packed, is_public=True) == (False, last)
    assert access.best(ip_address("2601::1").packed, is_public=True) == (True, last)
    for number in range(len(others)):
        access.put(f"{number:02}", ELSEWHERE)
        assert access.best(ASKED, is_public=True) == (True, f"{number:02}")


@both_numbers
def test_taking_all_away_leaves_nothing(others: list[ExcludedNetworks]) -> None:
    access = internet(*others)
    for number in range(len(others) - 1):
        access.remove(f"{number:02}")
        assert access.best(ASKED, is_public=True) == (False, f"{len(others) - 1:02}")
    access.remove(f"{len(others) - 1:02}")
    assert not access
    assert access.best(ASKED, is_public=True) is None
    assert access._many is None


@both_numbers
def test_whoever_is_over_does_not_answer_and_those_that_come_later_do(
    others: list[ExcludedNetworks],
) -> None:
    access = internet(ELSEWHERE, WIDE, *others)
    ids = list(access._ids)
    ends = {one: Ends(5.0) for one in ids}
    ends["01"] = Ends(None)
    before, after = Liveness(ends, 4.0), Liveness(ends, 5.0)
    assert access.best(ASKED, is_public=True, liveness=before) == (True, "00")
    assert access.best(ASKED, is_public=True, liveness=after) == (False, "01")
    access.put("00+", WIDE)
    ends["00+"] = Ends(None)
    assert access.best(ASKED, is_public=True, liveness=after) == (False, "01")
    # Above those that are over, and nothing has been removed so far.
    access.put("zz", ELSEWHERE)
    ends["zz"] = Ends(6.0)
    assert access.best(ASKED, is_public=True, liveness=after) == (True, "zz")
    later = Liveness(ends, 6.0)
    assert access.best(ASKED, is_public=True, liveness=later) == (False, "01")
    # Withdrawn one after the other, an address may be asked about after each.
    for resource_id in [*ids, "zz"]:
        access.remove(resource_id)
        left = "01" if "01" in access._ids else "00+"
        assert access.best(ASKED, is_public=True, liveness=later) == (False, left)
    access.put("00+", ELSEWHERE)
    assert access.best(ASKED, is_public=True) == (True, "00+")
