"""`ProxyTable`: the real address behind a proxy address, and the resources it is for."""

from ipaddress import ip_address

import pytest

from firezone_filter.nat.proxies import MAX_PROXIES, ProxyTable, Resolution
from tests.translations import N4, N6, Names, both_names
from tests.unit.reading import packed


def resolution(
    proxies: tuple[str, ...], real: tuple[str, ...] = (), *, domain: str = "app.example.com"
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
    assert (len(table), table.by_address, table.revoke("app")) == (0, {}, [])
    assert table.count_after(resolution(N4.proxies)) == 4
    assert not table.is_renumbered_by(resolution(N4.proxies))


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
    assert table.revoke("app") == list(packed(names.proxies[0]))
    assert table.revoke("app") == []
    assert len(table) == 2
    assert sorted(table.revoke("other")) == list(packed(*names.proxies[1:3]))
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
