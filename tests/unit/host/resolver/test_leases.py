"""Which address a name gets; that none means two names is the machine's of tests/property."""

from ipaddress import ip_address, ip_network

import pytest

from firezone_filter import AddressPlan
from firezone_filter.host.resolver.leases import LEASE, Lease, Leases
from firezone_filter.values.addresses import Address

PLAN = AddressPlan()


def leases(*ranges: str) -> Leases:
    return Leases([ip_network(one) for one in ranges] or PLAN.dns_resources)


def grant(
    of: Leases, name: str, wanted: int = 1, *, client_id: str = "alice", now: float = 0.0
) -> list[str]:
    given = of.choose(client_id, name, 4, wanted=wanted, now=now)
    if given:
        of.hold(client_id, name, 4, given, now)
    return [str(address) for address in given]


def test_an_address_is_computed_from_client_and_name() -> None:
    # Written down, since a running client may have them from the version before.
    assert grant(leases(), "git.example.com") == grant(leases(), "git.example.com")
    assert grant(leases(), "git.example.com") == ["100.106.75.170"]
    assert grant(leases(), "git.example.com", client_id="bob") != ["100.106.75.170"]
    assert grant(leases(), "www.example.com") != ["100.106.75.170"]


def test_an_address_of_ipv6_is_in_the_range_of_ipv6() -> None:
    (address,) = leases().choose("alice", "git.example.com", 6, wanted=1, now=0.0)
    assert address in PLAN.dns_resources[1]


def test_first_and_last_address_of_a_range_are_left_out() -> None:
    small = leases("10.0.0.0/30", "10.0.1.0/30", "10.0.2.0/31", "10.0.3.0/32")
    names = [grant(small, name)[0] for name in ("a", "b", "c", "d")]
    assert sorted(names) == ["10.0.0.1", "10.0.0.2", "10.0.1.1", "10.0.1.2"]
    assert grant(small, "e") == []


def test_there_may_be_no_range_of_a_version() -> None:
    assert grant(leases("fd00::/64"), "git.example.com") == []


def test_a_name_gets_four_addresses_at_most_and_keeps_those_it_has() -> None:
    of = leases()
    one = grant(of, "git.example.com")
    four = grant(of, "git.example.com", 9)
    assert (len(four), four[:1]) == (4, one)
    assert grant(of, "git.example.com", 1) == four


def test_what_others_know_to_be_taken_is_not_given() -> None:
    of = leases("10.0.0.0/30")
    one = grant(of, "a")
    (other,) = of.choose("alice", "a", 4, wanted=1, now=0.0, is_free=lambda a: [str(a)] != one)
    of.hold("alice", "a", 4, [other], 0.0)
    assert str(other) not in one
    assert of.holder("alice", other) == "a"
    # What was answered before may be cached still, so it is nobody else's either.
    assert grant(of, "b") == []
    assert sorted(grant(of, "a")) == sorted([*one, str(other)])


def test_a_client_has_1024_addresses_at_most() -> None:
    of = leases()
    given = [grant(of, f"n{n}", 4) for n in range(256)]
    assert sum(map(len, given)) == 1024
    assert grant(of, "one-more") == []
    assert grant(of, "n7") == given[7]
    assert grant(of, "one-more", now=LEASE) != []


@pytest.mark.parametrize(
    ("later", "until"),
    [(0.0, LEASE), (LEASE / 2, LEASE), (LEASE / 2 + 1, LEASE * 1.5 + 1), (LEASE * 3, LEASE * 4)],
)
def test_a_lease_is_prolonged_in_its_second_half(later: float, until: float) -> None:
    of = leases()
    grant(of, "git.example.com")
    grant(of, "git.example.com", now=later)
    (lease,) = of.of_client("alice")
    assert lease.until == until


def test_an_address_of_a_lease_that_is_over_goes_to_who_wants_it() -> None:
    of = leases("10.0.0.0/30")
    both = grant(of, "a", 2)
    assert grant(of, "b") == []
    (b,) = grant(of, "b", now=LEASE)
    assert [
        str(a) for lease in of.of_client("alice") for a in lease.addresses if lease.name == "a"
    ] == [one for one in both if one != b]
    assert sorted([*grant(of, "c", now=LEASE), b]) == sorted(both)
    assert of.get("alice", "a", 4) is None


def test_leases_that_are_over_are_forgotten() -> None:
    of = leases()
    grant(of, "a")
    grant(of, "b", now=10.0)
    assert [lease.name for lease in of.forget_over(LEASE)] == ["a"]
    assert of.forget_over(LEASE) == []
    assert [lease.name for lease in of.forget_over(LEASE + 10.0)] == ["b"]
    assert of.of_client("alice") == ()


def test_of_what_was_kept_only_addresses_of_the_ranges_come_back() -> None:
    def lease(name: str, *several: str) -> Lease:
        addresses: tuple[Address, ...] = tuple(map(ip_address, several))
        return Lease("alice", name, 4, addresses, LEASE)

    kept = [lease("a", "100.96.0.1", "10.0.0.1"), lease("b", "10.0.0.2")]
    of = Leases(PLAN.dns_resources, kept=kept)
    assert of.of_client("alice") == (lease("a", "100.96.0.1"),)


class FailingStore:
    """A disk that is full."""

    def save(self, lease: Lease) -> None:
        raise OSError(str(lease))

    def remove(self, until: float) -> None:
        raise OSError(str(until))


def test_what_cannot_be_written_down_is_not_given() -> None:
    of = Leases(PLAN.dns_resources, FailingStore())
    with pytest.raises(OSError, match=r"git\.example\.com"):
        grant(of, "git.example.com")
    assert of.of_client("alice") == ()


def test_what_cannot_be_removed_from_the_file_is_over_all_the_same() -> None:
    kept = Lease("alice", "a", 4, (ip_address("100.96.0.1"),), 5.0)
    of = Leases(PLAN.dns_resources, FailingStore(), [kept])
    assert of.forget_over(4.0) == []
    assert of.forget_over(6.0) == [kept]
    with pytest.raises(OSError, match="6"):
        of.remove_stored(6.0)
    assert of.of_client("alice") == ()
