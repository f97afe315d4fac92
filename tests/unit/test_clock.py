import math
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction

import pytest
from attrs import define

from firezone_filter.structures.timers import NO_DEADLINE, Deadlines
from firezone_filter.values.errors import InvalidTime
from firezone_filter.values.times import MAX_AHEAD, to_time


@define(eq=False)
class Alarm:
    """Neither equal nor ordered, as authorizations are."""

    deadline: int = NO_DEADLINE


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(0, id="zero"),
        pytest.param(-1.5, id="before the start of the clock"),
        pytest.param(1_750_000_000.25, id="Unix time"),
        pytest.param(2**1023, id="greatest power of two that is finite"),
    ],
)
def test_a_finite_number_is_a_time_and_kept_as_it_is(value: float) -> None:
    assert to_time(value) is value


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(float("nan"), id="nan"),
        pytest.param(float("inf"), id="inf"),
        pytest.param(float("-inf"), id="-inf"),
        pytest.param(2**1024, id="int beyond float"),
        pytest.param(-(2**1024), id="int below float"),
        pytest.param(10**5_000, id="int that Python does not write out"),
    ],
)
def test_what_is_not_finite_is_no_time(value: float) -> None:
    with pytest.raises(InvalidTime):
        to_time(value)


def test_the_error_carries_the_time() -> None:
    with pytest.raises(InvalidTime) as caught:
        to_time(float("-inf"))
    assert caught.value.value == float("-inf")


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(True, id="bool"),
        pytest.param("0", id="str"),
        pytest.param(None, id="None"),
        pytest.param(Decimal(1), id="Decimal"),
        pytest.param(Fraction(1), id="Fraction"),
        pytest.param(1j, id="complex"),
    ],
)
def test_only_int_and_float_are_times(value: object) -> None:
    with pytest.raises(TypeError):
        to_time(value)  # type: ignore[arg-type]


def test_an_expiry_may_lie_fifty_years_ahead() -> None:
    assert MAX_AHEAD == 1_577_880_000


def test_without_deadlines_there_is_no_earliest() -> None:
    assert Deadlines[Alarm]().earliest() is None


def test_without_deadlines_nothing_is_due() -> None:
    assert list(Deadlines[Alarm]().due(1e18)) == []


def test_the_earliest_deadline_is_told_whatever_the_order_of_setting() -> None:
    deadlines = Deadlines[Alarm]()
    deadlines.set(Alarm(), 20.0)
    deadlines.set(Alarm(), 10.0)
    deadlines.set(Alarm(), 30.0)
    assert deadlines.earliest() == 10.0


def test_a_deadline_is_not_due_just_before_it() -> None:
    deadlines = Deadlines[Alarm]()
    deadlines.set(Alarm(), 10.0)
    assert list(deadlines.due(9.999)) == []


def test_a_deadline_is_due_at_its_moment() -> None:
    deadlines, alarm = Deadlines[Alarm](), Alarm()
    deadlines.set(alarm, 10.0)
    assert list(deadlines.due(10.0)) == [alarm]


def test_what_is_due_comes_by_its_deadline() -> None:
    deadlines, first, second, third = Deadlines[Alarm](), Alarm(), Alarm(), Alarm()
    deadlines.set(third, 30.0)
    deadlines.set(first, 10.0)
    deadlines.set(second, 20.0)
    assert list(deadlines.due(30.0)) == [first, second, third]


def test_deadlines_of_one_moment_come_in_the_order_of_setting() -> None:
    deadlines, alarms = Deadlines[Alarm](), [Alarm() for _ in range(20)]
    for alarm in alarms:
        deadlines.set(alarm, 10.0)
    assert list(deadlines.due(10.0)) == alarms


def test_setting_again_for_the_same_moment_goes_behind_the_others() -> None:
    deadlines, first, second = Deadlines[Alarm](), Alarm(), Alarm()
    deadlines.set(first, 10.0)
    deadlines.set(second, 10.0)
    deadlines.set(first, 10.0)
    assert list(deadlines.due(10.0)) == [second, first]


def test_what_was_due_is_due_once() -> None:
    deadlines = Deadlines[Alarm]()
    deadlines.set(Alarm(), 10.0)
    list(deadlines.due(10.0))
    assert list(deadlines.due(11.0)) == []


def test_what_was_due_has_no_deadline_any_more() -> None:
    deadlines, alarm = Deadlines[Alarm](), Alarm()
    deadlines.set(alarm, 10.0)
    assert [due.deadline for due in deadlines.due(10.0)] == [NO_DEADLINE]


def test_what_was_due_can_get_a_new_deadline() -> None:
    deadlines, alarm = Deadlines[Alarm](), Alarm()
    deadlines.set(alarm, 10.0)
    list(deadlines.due(10.0))
    deadlines.set(alarm, 20.0)
    assert list(deadlines.due(20.0)) == [alarm]


def test_what_is_later_stays_for_later() -> None:
    deadlines, later = Deadlines[Alarm](), Alarm()
    deadlines.set(Alarm(), 10.0)
    deadlines.set(later, 20.0)
    list(deadlines.due(10.0))
    assert deadlines.earliest() == 20.0


def test_a_cancelled_deadline_is_not_the_earliest() -> None:
    deadlines, alarm = Deadlines[Alarm](), Alarm()
    deadlines.set(alarm, 10.0)
    deadlines.set(Alarm(), 20.0)
    deadlines.set(Alarm(), 30.0)
    deadlines.set(alarm, None)
    assert deadlines.earliest() == 20.0


def test_a_cancelled_deadline_is_not_due() -> None:
    deadlines, cancelled, kept = Deadlines[Alarm](), Alarm(), Alarm()
    deadlines.set(kept, 10.0)
    deadlines.set(cancelled, 10.0)
    deadlines.set(cancelled, None)
    assert list(deadlines.due(10.0)) == [kept]


def test_cancelling_the_only_deadline_leaves_none() -> None:
    deadlines, alarm = Deadlines[Alarm](), Alarm()
    deadlines.set(alarm, 10.0)
    deadlines.set(alarm, None)
    assert deadlines.earliest() is None


def test_cancelling_twice_is_as_cancelling_once() -> None:
    deadlines, alarm, kept = Deadlines[Alarm](), Alarm(), Alarm()
    deadlines.set(kept, 20.0)
    deadlines.set(alarm, 10.0)
    deadlines.set(alarm, None)
    deadlines.set(alarm, None)
    assert list(deadlines.due(20.0)) == [kept]


def test_cancelling_what_has_no_deadline_changes_nothing() -> None:
    deadlines = Deadlines[Alarm]()
    deadlines.set(Alarm(), 10.0)
    deadlines.set(Alarm(), None)
    assert deadlines.earliest() == 10.0


@pytest.mark.parametrize("moved_to", [pytest.param(5.0, id="back"), pytest.param(30.0, id="on")])
def test_a_new_deadline_takes_the_place_of_the_old(moved_to: float) -> None:
    deadlines, alarm = Deadlines[Alarm](), Alarm()
    deadlines.set(alarm, 10.0)
    deadlines.set(Alarm(), 40.0)
    deadlines.set(Alarm(), 50.0)
    deadlines.set(alarm, moved_to)
    assert deadlines.earliest() == moved_to


def test_what_is_cancelled_while_others_are_due_does_not_come() -> None:
    deadlines, first, second = Deadlines[Alarm](), Alarm(), Alarm()
    deadlines.set(first, 10.0)
    deadlines.set(second, 10.0)
    due = deadlines.due(10.0)
    next(due)
    deadlines.set(second, None)
    assert list(due) == []


# --- Many at once ------------------------------------------------------------------------
#
# More than one in eight of those that wait are taken in another way than a few.


def ringing(count: int, *, at: Callable[[int], float]) -> tuple[Deadlines[Alarm], list[Alarm]]:
    """Return alarms with their deadlines, in the order in which those were set."""
    deadlines, alarms = Deadlines[Alarm](), [Alarm() for _ in range(count)]
    for number, alarm in enumerate(alarms):
        deadlines.set(alarm, at(number))
    return deadlines, alarms


def test_many_come_by_their_deadlines_and_then_in_the_order_of_setting() -> None:
    deadlines, alarms = ringing(1_000, at=lambda number: float(-number % 7))
    assert list(deadlines.due(7.0)) == [
        alarms[number] for number in sorted(range(1_000), key=lambda number: -number % 7)
    ]


def test_when_many_are_due_what_is_later_stays_for_later() -> None:
    deadlines, alarms = ringing(1_000, at=lambda number: float(1_000 - number))
    assert list(deadlines.due(900.0)) == alarms[:99:-1]
    assert deadlines.earliest() == 901.0
    assert list(deadlines.due(1_000.0)) == alarms[99::-1]


def test_when_many_are_due_the_last_moment_counts_and_not_the_next() -> None:
    deadlines, alarms = ringing(100, at=lambda _: 10.0)
    assert list(deadlines.due(9.999)) == []
    assert list(deadlines.due(10.0)) == alarms


def test_when_many_are_due_what_was_cancelled_does_not_come() -> None:
    deadlines, alarms = ringing(100, at=lambda _: 10.0)
    for alarm in alarms[::3]:
        deadlines.set(alarm, None)
    assert list(deadlines.due(10.0)) == [alarms[n] for n in range(100) if n % 3]


def test_when_many_are_due_what_is_cancelled_meanwhile_does_not_come() -> None:
    deadlines, alarms = ringing(100, at=lambda _: 10.0)
    due = deadlines.due(10.0)
    first = [next(due) for _ in range(50)]
    for alarm in alarms[60:]:
        deadlines.set(alarm, None)
    assert first + list(due) == alarms[:60]


def test_when_many_are_due_what_is_set_meanwhile_comes_too() -> None:
    deadlines, alarms = ringing(100, at=lambda _: 10.0)
    due, late, later = deadlines.due(10.0), Alarm(), Alarm()
    first = [next(due) for _ in range(50)]
    deadlines.set(late, 10.0)
    deadlines.set(later, 11.0)
    assert first + list(due) == [*alarms, late]
    assert deadlines.earliest() == 11.0


@pytest.mark.parametrize("cancelled", [1, 12, 13, 49])
def test_however_many_at_the_top_were_cancelled_the_next_is_the_earliest(cancelled: int) -> None:
    deadlines, alarms = ringing(100, at=float)
    for alarm in alarms[:cancelled]:
        deadlines.set(alarm, None)
    assert deadlines.earliest() == cancelled
    assert (deadlines._cancelled, len(deadlines._heap)) == (0, 100 - cancelled)
    assert list(deadlines.due(100.0)) == alarms[cancelled:]


def test_when_many_are_due_each_has_no_deadline_any_more() -> None:
    deadlines, _ = ringing(100, at=lambda _: 10.0)
    assert {alarm.deadline for alarm in deadlines.due(10.0)} == {NO_DEADLINE}


def test_after_many_were_due_cancelled_ones_still_make_up_at_most_half_of_the_heap() -> None:
    deadlines, alarms = ringing(1_000, at=lambda number: float(number % 2))
    for alarm in alarms[::4]:
        deadlines.set(alarm, None)
    list(deadlines.due(0.0))
    assert (deadlines._cancelled, len(deadlines._heap)) == (0, 500)
    for alarm in alarms[1::4]:
        deadlines.set(alarm, None)
    assert (deadlines._cancelled, len(deadlines._heap)) == (250, 500)


# --- What comes next ---------------------------------------------------------------------


def started() -> Deadlines[Alarm]:
    deadlines = Deadlines[Alarm]()
    deadlines.start_clock()
    return deadlines


def test_before_the_clock_starts_anything_may_come_next() -> None:
    assert Deadlines[Alarm]().next == -math.inf


def test_without_deadlines_nothing_comes_next() -> None:
    assert started().next == math.inf


def test_what_comes_next_is_the_earliest_deadline() -> None:
    deadlines = started()
    deadlines.set(Alarm(), 20.0)
    deadlines.set(Alarm(), 10.0)
    deadlines.set(Alarm(), 30.0)
    assert deadlines.next == 10.0


def test_what_comes_next_may_be_early_but_is_never_late() -> None:
    deadlines, alarm = started(), Alarm()
    deadlines.set(alarm, 10.0)
    deadlines.set(Alarm(), 20.0)
    deadlines.set(alarm, None)
    assert deadlines.next <= 20.0


def test_what_comes_next_is_exact_once_what_is_due_was_taken() -> None:
    deadlines, alarm = started(), Alarm()
    deadlines.set(alarm, 10.0)
    deadlines.set(Alarm(), 20.0)
    deadlines.set(alarm, None)
    list(deadlines.due(10.0))
    assert deadlines.next == 20.0


def test_nothing_comes_next_once_everything_was_due() -> None:
    deadlines = started()
    deadlines.set(Alarm(), 10.0)
    list(deadlines.due(10.0))
    assert deadlines.next == math.inf


def test_a_deadline_set_while_others_are_due_comes_next() -> None:
    deadlines, alarm = started(), Alarm()
    deadlines.set(alarm, 10.0)
    for due in deadlines.due(10.0):
        deadlines.set(due, 15.0)
    assert deadlines.next == 15.0


def test_renewing_one_deadline_for_ever_keeps_the_heap_small() -> None:
    deadlines, alarm = Deadlines[Alarm](), Alarm()
    sizes = []
    for at in range(1_000):
        deadlines.set(alarm, float(at))
        sizes.append(len(deadlines._heap))
    assert max(sizes) <= 2


def test_cancelled_deadlines_make_up_at_most_half_of_the_heap() -> None:
    deadlines, alarms = Deadlines[Alarm](), [Alarm() for _ in range(100)]
    for alarm in alarms:
        deadlines.set(alarm, 10.0)
    sizes = []
    for left, alarm in zip(range(99, -1, -1), alarms, strict=True):
        deadlines.set(alarm, None)
        sizes.append((len(deadlines._heap), left))
    assert [size for size, left in sizes if size > 2 * left] == []


def test_order_survives_compaction() -> None:
    deadlines, alarms = Deadlines[Alarm](), [Alarm() for _ in range(100)]
    for at, alarm in enumerate(alarms):
        deadlines.set(alarm, float(at % 7))
    for alarm in alarms[:60]:
        deadlines.set(alarm, None)
    kept = sorted(range(60, 100), key=lambda at: at % 7)
    assert list(deadlines.due(7.0)) == [alarms[at] for at in kept]


def test_what_comes_to_the_top_cancelled_counts_no_longer_as_cancelled() -> None:
    deadlines, alarm = Deadlines[Alarm](), Alarm()
    deadlines.set(alarm, 10.0)
    deadlines.set(Alarm(), 20.0)
    deadlines.set(alarm, None)
    deadlines.earliest()
    assert (deadlines._cancelled, len(deadlines._heap)) == (0, 1)
