"""The Internet checksum, changed along with what it covers, against sums from scratch."""

from random import Random

import pytest

from firezone_filter.packet.checksums import adjust, adjust_udp, difference
from tests.builders import internet_checksum, patched

# RFC 1624, section 4: a checksum of 0xdd2f over data in which 0x5555 becomes 0x3285.
CHECKSUM_OF_THE_RFC = 0xDD2F
CHANGE_OF_THE_RFC = difference(b"\x55\x55", b"\x32\x85")


def test_the_example_of_rfc_1624_comes_out_as_zero_and_not_as_minus_zero() -> None:
    assert adjust(CHECKSUM_OF_THE_RFC, CHANGE_OF_THE_RFC) == 0x0000


def test_in_udp_a_checksum_that_would_become_zero_is_sent_as_ones() -> None:
    assert adjust_udp(CHECKSUM_OF_THE_RFC, CHANGE_OF_THE_RFC) == 0xFFFF


@pytest.mark.parametrize("change", [0, 1, CHANGE_OF_THE_RFC, 0xFFFE])
def test_in_udp_zero_says_that_there_is_no_checksum_and_stays(change: int) -> None:
    assert adjust_udp(0, change) == 0


def test_in_udp_every_other_checksum_changes_as_elsewhere() -> None:
    for checksum in range(1, 0x1_0000):
        changed = adjust(checksum, CHANGE_OF_THE_RFC)
        assert adjust_udp(checksum, CHANGE_OF_THE_RFC) == (changed or 0xFFFF)


@pytest.mark.parametrize("data", [b"", b"\x00", b"\xff", b"\xff\xff", b"odd", bytes(range(40))])
def test_what_does_not_change_makes_no_difference(data: bytes) -> None:
    assert difference(data, data) == 0


def test_without_a_difference_every_checksum_stays_as_it_is() -> None:
    for checksum in range(0x1_0000):
        assert adjust(checksum, 0) == checksum


@pytest.mark.parametrize("change", [1, 2, 0x7FFF, 0x8000, CHANGE_OF_THE_RFC, 0xFFFD, 0xFFFE])
def test_a_change_and_its_reverse_leave_every_checksum_as_it_was(change: int) -> None:
    for checksum in range(0xFFFF):
        there = adjust(checksum, change)
        assert 0 <= there <= 0xFFFF
        assert adjust(there, 0xFFFF - change) == checksum


@pytest.mark.parametrize("size", [2, 4, 16])
def test_an_adjusted_checksum_equals_one_from_scratch(size: int) -> None:
    random = Random(size)
    for _ in range(500):
        data = random.randbytes(60)
        place = random.randrange(0, 60 - size, 2)
        changed = patched(data, place, random.randbytes(size))
        change = difference(data[place : place + size], changed[place : place + size])
        assert adjust(internet_checksum(data), change) == internet_checksum(changed)


@pytest.mark.parametrize("size", [1, 3, 41])
def test_an_odd_end_counts_as_if_a_zero_followed(size: int) -> None:
    random = Random(size)
    for _ in range(100):
        head, old, new = random.randbytes(20), random.randbytes(size), random.randbytes(size)
        before, after = internet_checksum(head + old), internet_checksum(head + new)
        assert adjust(before, difference(old, new)) == after


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"\x00\x00", b"\xff\xff"),
        (b"\xff\xff", b"\x00\x00"),
        (bytes(4), b"\xff\xff\xff\xff"),
        (bytes(16), b"\xff" * 16),
    ],
)
def test_zeros_and_ones_are_the_same_to_a_sum(old: bytes, new: bytes) -> None:
    assert difference(old, new) == 0
    assert internet_checksum(b"more" + old) == internet_checksum(b"more" + new)


@pytest.mark.parametrize("wrong_by", [1, 0x1234, 0xFFFE])
def test_a_wrong_checksum_stays_as_wrong_as_it_was(wrong_by: int) -> None:
    random = Random(wrong_by)
    for _ in range(200):
        data, new = random.randbytes(40), random.randbytes(4)
        change = difference(data[8:12], new)
        wrong = adjust(internet_checksum(data), wrong_by)
        right = internet_checksum(patched(data, 8, new))
        assert adjust(wrong, change) == adjust(right, wrong_by)
