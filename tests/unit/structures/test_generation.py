"""`Generation`: what was prepared at another number is out of date."""

from firezone_filter.structures.generation import Generation


def test_every_generation_begins_at_the_same_number_and_counts_by_itself() -> None:
    one, other = Generation(), Generation()
    prepared_at = one.number
    assert prepared_at == other.number
    one.number += 1
    assert prepared_at != one.number
    assert prepared_at == other.number
