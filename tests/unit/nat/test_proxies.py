"""`ProxyTable`: the real address behind a proxy address, and the resources it is for."""

from collections.abc import Sequence
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firezone_filter.nat.proxies import (
    MAX_PROXIES,
    ProxyAddress,
    ProxyTable,
    Resolution,
    Withdrawal,
)
from tests.translations import N4, N6, Names, both_names
from tests.unit.reading import packed

NOTHING_LEFT = Withdrawal([], 0, is_done=True)


def resolution(
    proxies: Sequence[str], real: Sequence[str] = (), *, domain: str = "app.example.com"
) -> Resolution:
    return Resolution(domain, packed(*proxies), packed(*real))


def numbered(first: int, last: int, *, domain: str = "app.example.com") -> Resolution:
    """Name the proxy addresses first to last, half of each family."""
    base = {0: ip_address("100.96.0.0"), 1: ip_address("fd00:2021:1111:8000::")}
    proxies = tuple((base[number % 2] + number).packed for number in range(first, last + 1))
    return Resolution(domain, proxies, packed(N4.real[0]))


def targets(table: ProxyTable, names: Names) -> list[bytes | None]:
    found = [table.by_address.get(address) for address in packed(*names.proxies)]
    return [None if proxy is None else proxy.target for proxy in found]


def test_the_limit_is_that_of_the_rules() -> None:
    assert MAX_PROXIES == 1_024


def test_a_new_table_is_empty() -> None:
    table = ProxyTable()
    assert (len(table), table.by_address, table.withdraw("app")) == (
        0,
        {},
        NOTHING_LEFT,
    )
    assert table.count_after(resolution(N4.proxies)) == 4
    assert not table.is_renumbered_by(resolution(N4.proxies))


resolutions = st.builds(
    resolution,
    st.lists(st.sampled_from(["100.96.0.1", "100.96.0.2", "fd00:2021:1111:8000::1"]), unique=True),
    st.lists(st.sampled_from(["10.0.0.1", "10.0.0.2", "2001:db8::1"])),
    domain=st.sampled_from(["a.example.com", "b.example.com"]),
)


@given(st.lists(st.tuples(st.sampled_from("rs"), resolutions), min_size=1, max_size=4))
def test_it_knows_when_an_assignment_would_change_nothing(
    told: list[tuple[str, Resolution]],
) -> None:
    table = ProxyTable()
    for resource_id, one in told[:-1]:
        table.assign(resource_id, one)
    before = show(table)
    has = table.has(*told[-1])
    assert show(table) == before
    table.assign(*told[-1])
    # (That an address of one name is another's, its owner sees before: it is a renumbering.)
    renamed = any(
        before[address][0] != told[-1][1].domain
        for address in told[-1][1].proxies
        if address in before
    )
    assert has == (show(table) == before and not renamed)


def show(table: ProxyTable) -> dict[bytes, tuple[str, bytes | None, list[str]]]:
    return {
        address: (one.domain, one.target, list(one.resources))
        for address, one in table.by_address.items()
    }


# --- Round robin ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("count", "order"),
    [(0, None), (1, [0, 0, 0, 0]), (2, [0, 1, 0, 1]), (3, [0, 1, 2, 0])],
    ids=["none", "one", "two", "three"],
)
@both_names
def test_proxies_take_the_addresses_round_robin(
    names: Names, count: int, order: list[int] | None
) -> None:
    table = ProxyTable()
    table.assign("app", resolution(names.proxies, names.real[:count]))
    real = packed(*names.real)
    assert targets(table, names) == ([None] * 4 if order is None else [real[at] for at in order])


@both_names
def test_the_order_is_numeric_and_an_address_told_twice_counts_once(names: Names) -> None:
    first, second, third = names.real
    for told in ((second, third, first), (third, first, second, first), (first, second, third)):
        table = ProxyTable()
        table.assign("app", resolution(names.proxies[:3], told))
        assert targets(table, names)[:3] == list(packed(first, second, third))


@both_names
def test_proxies_keep_the_order_in_which_they_were_given(names: Names) -> None:
    table = ProxyTable()
    table.assign("app", resolution(names.proxies[::-1], names.real[:2]))
    assert targets(table, names) == [*packed(*names.real[1::-1])] * 2


def test_each_family_is_counted_by_itself() -> None:
    table = ProxyTable()
    mixed = (N6.proxies[0], N4.proxies[0], N6.proxies[1], N4.proxies[1])
    table.assign("app", resolution(mixed, (*N6.real[:2], *N4.real[:2])))
    assert targets(table, N4)[:2] == list(packed(*N4.real[:2]))
    assert targets(table, N6)[:2] == list(packed(*N6.real[:2]))


def test_a_family_without_addresses_has_proxies_without_targets() -> None:
    table = ProxyTable()
    table.assign("app", resolution((*N4.proxies, *N6.proxies), N4.real[:1]))
    assert targets(table, N4) == list(packed(N4.real[0])) * 4
    assert targets(table, N6) == [None] * 4
    assert len(table) == 8


@both_names
def test_the_last_call_that_names_a_proxy_decides_and_others_stay(names: Names) -> None:
    table = ProxyTable()
    table.assign("app", resolution(names.proxies[:2], names.real[:1]))
    table.assign("app", resolution(names.proxies[1:2], names.real[1:2]))
    assert targets(table, names)[:2] == list(packed(*names.real[:2]))
    table.assign("app", resolution(names.proxies[1:2]))
    assert targets(table, names)[:2] == [*packed(names.real[0]), None]


# --- For whom ------------------------------------------------------------------------------


@both_names
def test_a_proxy_lives_as_long_as_one_of_its_resources(names: Names) -> None:
    table = ProxyTable()
    table.assign("app", resolution(names.proxies[:2], names.real[:1]))
    table.assign("other", resolution(names.proxies[1:3], names.real[:1]))
    assert table.withdraw("app").ended == list(packed(names.proxies[0]))
    assert table.withdraw("app") == NOTHING_LEFT
    assert len(table) == 2
    assert sorted(table.withdraw("other").ended) == list(packed(*names.proxies[1:3]))
    assert len(table) == 0


@both_names
def test_only_another_domain_renumbers(names: Names) -> None:
    table = ProxyTable()
    table.assign("app", resolution(names.proxies[:1], names.real[:1]))
    for proxies, domain, expected in (
        (names.proxies[:1], "app.example.com", False),
        (names.proxies[:1], "db.example.com", True),
        (names.proxies[:2], "db.example.com", True),
        (names.proxies[1:], "db.example.com", False),
        ((), "db.example.com", False),
    ):
        assert table.is_renumbered_by(resolution(proxies, domain=domain)) == expected


def test_clear_takes_all_away() -> None:
    table = ProxyTable()
    table.assign("app", resolution(N4.proxies, N4.real))
    table.clear()
    assert (len(table), table.by_address) == (0, {})


# --- 1,024 ---------------------------------------------------------------------------------


def test_proxies_that_stay_count_and_those_named_again_count_once() -> None:
    table = ProxyTable()
    assert table.count_after(numbered(1, 1_025)) == 1_025
    table.assign("app", numbered(1, 1_000))
    assert table.count_after(numbered(1_001, 1_024)) == 1_024
    assert table.count_after(numbered(1_001, 1_025)) == 1_025
    assert table.count_after(numbered(1, 1_024)) == 1_024
    assert table.count_after(numbered(2, 1_025)) == 1_025
    assert table.count_after(numbered(5, 5)) == 1_000
    assert len(table) == 1_000


def test_after_renumbering_only_the_new_proxies_count() -> None:
    table = ProxyTable()
    table.assign("app", numbered(1, 1_024))
    assert table.count_after(numbered(1_024, 2_047, domain="db.example.com")) == 1_024
    assert table.count_after(numbered(1_024, 2_048, domain="db.example.com")) == 1_025
    assert table.count_after(numbered(1_025, 1_025, domain="db.example.com")) == 1_025


# --- Withdrawn in steps --------------------------------------------------------------------


def test_proxies_are_withdrawn_as_many_at_a_time_as_asked_for() -> None:
    table = ProxyTable()
    table.assign("app", resolution(N4.proxies))
    table.assign("other", resolution(N4.proxies[2:3]))
    first, second, third, fourth = packed(*N4.proxies)
    assert table.withdraw("app", 1) == Withdrawal([fourth], 1, is_done=False)
    # The third is for another resource too, and lives on.
    assert table.withdraw("app", 2) == Withdrawal([second], 2, is_done=False)
    assert [*table.by_address] == [first, third]
    assert table.withdraw("app", 9) == Withdrawal([first], 1, is_done=True)
    assert table.withdraw("app", 9) == Withdrawal([], 0, is_done=True)
    assert table.by_address[third].resources == ["other"]
    assert table.withdraw("other") == Withdrawal([third], 1, is_done=True)


def test_a_resource_that_is_withdrawn_in_part_can_be_given_proxies_again() -> None:
    table = ProxyTable()
    table.assign("app", numbered(1, 3))
    table.withdraw("app", 1)
    table.assign("app", numbered(2, 4))
    assert len(table) == 4
    assert sorted(table.withdraw("app").ended) == sorted(numbered(1, 4).proxies)


# --- Shared by many ------------------------------------------------------------------------


class Permits(set[str]):
    """What the resources of a proxy address permit together, as far as the table knows it."""

    def add(self, resource_id: str) -> None:
        if resource_id == "bad":
            raise LookupError(resource_id)
        super().add(resource_id)


def shared_by(*resource_ids: str) -> tuple[ProxyTable, ProxyAddress]:
    """Give one proxy address to resources, by a table that shares their permits."""
    table = ProxyTable()
    table.share_permits = Permits
    for resource_id in resource_ids:
        table.assign(resource_id, resolution(N4.proxies[:1]))
    (proxy,) = table.by_address.values()
    return table, proxy


def known_to(proxy: ProxyAddress) -> object:
    """Return the resources whose permits are shared; `None` if none are."""
    return proxy.permits


def test_permits_are_shared_by_many_and_follow_until_they_are_few_again() -> None:
    table, proxy = shared_by(*"dbca")
    assert known_to(proxy) is None
    table.assign("e", resolution(N4.proxies[:1]))
    assert known_to(proxy) == set("abcde")
    table.assign("e", resolution(N4.proxies[:1]))
    assert (known_to(proxy), table.shared_permits("e")) == (set("abcde"), [proxy.permits])
    for resource_id, left in (("b", "acde"), ("e", "acd")):
        table.withdraw(resource_id)
        assert known_to(proxy) == set(left)
    table.assign("f", resolution(N4.proxies[:2]))
    assert known_to(proxy) == set("acdf")
    assert table.shared_permits("f") == [proxy.permits]
    for resource_id in "ca":
        table.withdraw(resource_id)
    assert (known_to(proxy), table.shared_permits("f")) == (None, [])
    assert proxy.resources == ["d", "f"]


@pytest.mark.parametrize(
    ("resource_ids", "permits"),
    [("abcd", None), ("abcde", set("abcde")), ("abcdef", set("abcdef"))],
)
def test_if_permits_cannot_be_shared_nothing_is_assigned(
    resource_ids: str, permits: set[str] | None
) -> None:
    table, proxy = shared_by(*resource_ids)
    with pytest.raises(LookupError):
        table.assign("bad", resolution(N4.proxies, N4.real))
    assert (known_to(proxy), proxy.resources, proxy.target) == (permits, [*resource_ids], None)
    assert (len(table), table.withdraw("bad")) == (1, NOTHING_LEFT)


def test_permits_that_were_shared_already_are_taken_back_if_others_cannot_be() -> None:
    table, proxy = shared_by(*"abcdeg")
    few, _, fails = N4.proxies[1:4]
    for resource_id in "abcd":
        table.assign(resource_id, resolution((few, fails)))
    table.by_address[packed(fails)[0]].permits = Failing()
    with pytest.raises(LookupError):
        table.assign("f", resolution(N4.proxies))
    assert known_to(proxy) == set("abcdeg")
    assert known_to(table.by_address[packed(few)[0]]) == set("abcd")


class Failing(Permits):
    def add(self, resource_id: str) -> None:
        raise LookupError(resource_id)
