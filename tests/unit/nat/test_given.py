"""What a client's resources have been told of names is kept within bounds."""

from itertools import pairwise

from firezone_filter.nat.given import MAX_PLACES, GivenName, GivenNames
from firezone_filter.nat.proxies import MAX_PROXIES, Resolution

ADDRESSES = [number.to_bytes(4) for number in range(MAX_PROXIES)]


def told(*several: tuple[str, str, list[bytes], list[bytes]]) -> GivenNames:
    names = GivenNames()
    for resource_id, domain, proxies, resolved in several:
        names.add(resource_id, Resolution(domain, tuple(proxies), (), tuple(resolved)))
    return names


def places(names: GivenNames) -> int:
    return sum(1 + len(one.proxies) + len(one.resolved) for one in names)


def test_the_numbers_are_those_of_the_docs() -> None:
    assert MAX_PLACES == 32_768


def test_what_stays_is_in_the_order_in_which_it_was_given() -> None:
    names = told(
        ("b", "x.example.com", ADDRESSES[:2], []),
        ("a", "y.example.com", ADDRESSES[2:3], []),
        ("b", "y.example.com", ADDRESSES[2:3], []),
        ("b", "x.example.com", ADDRESSES[:1], []),
        ("a", "y.example.com", ADDRESSES[2:4], []),
    )
    assert [(one.resource_id, len(one.proxies)) for one in names] == [
        ("b", 2),
        ("b", 1),
        ("b", 1),
        ("a", 2),
    ]
    names.forget("b")
    names.forget("nothing")
    assert [one.resource_id for one in names] == ["a"]
    names.clear()
    assert list(names) == []


def test_of_too_many_the_oldest_are_forgotten() -> None:
    """A list that is ever the last but one is replaced by none, of one resource or of several."""
    names = GivenNames()
    for number in range(2 * MAX_PROXIES):
        proxies = tuple(ADDRESSES[number % MAX_PROXIES :])
        names.add(f"r{number % 2}", Resolution("x.example.com", proxies, ()))
        kept = [one.number for one in names]
        assert places(names) <= MAX_PLACES
        assert kept[-1] == number
        assert all(after > before for before, after in pairwise(kept))
    assert places(names) > MAX_PLACES // 2
    # As many may come again as were forgotten.
    for resource_id in ("r0", "r1"):
        names.forget(resource_id)
    assert list(names) == []
    names.add("r0", Resolution("x.example.com", (), (), tuple(ADDRESSES)))
    assert len(list(names)) == 1


def test_names_without_proxies_are_forgotten_too() -> None:
    names = GivenNames()
    for number in range(MAX_PLACES + 1):
        names.add("r", Resolution(f"{number}.example.com", (), ()))
    assert MAX_PLACES // 2 < len(list(names)) < MAX_PLACES
    assert max(names) == GivenName(MAX_PLACES, "r", f"{MAX_PLACES}.example.com", (), ())


def test_one_that_is_too_long_by_itself_is_not_kept() -> None:
    names = told(("r", "x.example.com", [], [bytes(4)] * MAX_PLACES))
    assert list(names) == []


def test_what_is_forgotten_makes_room() -> None:
    names = told(("kept", "x.example.com", ADDRESSES, []))
    for _ in range(MAX_PLACES // MAX_PROXIES * 2):
        names.add("r", Resolution("y.example.com", (), (), tuple(ADDRESSES)))
        names.forget("r")
    assert [one.resource_id for one in names] == ["kept"]
