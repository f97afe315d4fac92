"""Slots for the first few keys."""

from firezone_filter.structures.key_slots import KeySlots


def full() -> KeySlots[str]:
    slots: KeySlots[str] = KeySlots(2)
    assert slots.take("a")
    assert slots.take("b")
    return slots


def test_the_last_slot_is_given_away_and_no_more() -> None:
    slots = full()
    assert not slots.take("c")
    assert len(slots) == 2


def test_a_key_keeps_its_slot_when_all_are_taken() -> None:
    slots = full()
    assert [slots.take(key) for key in "abcab"] == [True, True, False, True, True]


def test_a_released_slot_goes_to_the_next_key() -> None:
    slots = full()
    slots.release("a")
    assert slots.take("c")
    assert not slots.take("a")


def test_releasing_a_key_without_a_slot_frees_none() -> None:
    slots = full()
    slots.release("c")
    assert len(slots) == 2


def test_without_slots_every_key_is_one_of_the_rest() -> None:
    slots: KeySlots[str] = KeySlots(0)
    assert not slots.take("a")
    assert len(slots) == 0
