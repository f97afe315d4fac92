"""`TimerQueue`: deadlines in their order, cancelled or moved, few or many at once."""

import math
from collections.abc import Callable
from random import Random

import pytest
from attrs import define

from firezone_filter.structures.timers import NO_DEADLINE, TimerQueue


@define(eq=False)
class Alarm:
    """Neither equal nor ordered, as authorizations are."""

    deadline: int = NO_DEADLINE


Queue = TimerQueue[Alarm]


def queue_of(*moments: float) -> tuple[Queue, list[Alarm]]:
    """Return alarms with their deadlines, in the order in which those were set."""
    queue, alarms = Queue(), [Alarm() for _ in moments]
    for alarm, at in zip(alarms, moments, strict=True):
        queue.set(alarm, at)
    return queue, alarms


# --- Order -----------------------------------------------------------------------------------


def test_an_empty_queue_has_no_earliest_deadline_and_nothing_is_due() -> None:
    queue = Queue()
    assert queue.earliest() is None
    assert list(queue.due(1e18)) == []


def test_the_earliest_deadline_does_not_depend_on_the_order_of_setting() -> None:
    queue, _ = queue_of(20.0, 10.0, 30.0)
    assert queue.earliest() == 10.0


def test_an_alarm_is_due_from_its_moment_on_and_once() -> None:
    queue, (alarm, later) = queue_of(10.0, 20.0)
    assert list(queue.due(9.999)) == []
    assert list(queue.due(10.0)) == [alarm]
    assert (alarm.deadline, list(queue.due(11.0)), queue.earliest()) == (NO_DEADLINE, [], 20.0)
    queue.set(alarm, 15.0)
    assert list(queue.due(20.0)) == [alarm, later]


@pytest.mark.parametrize("size", [3, 1_000], ids=["few", "many"])
def test_alarms_come_by_their_deadlines_then_in_the_order_of_setting(size: int) -> None:
    moments = [float(-number % 7) for number in range(size)]
    queue, alarms = queue_of(*moments)
    expected = sorted(range(size), key=moments.__getitem__)
    assert list(queue.due(7.0)) == [alarms[number] for number in expected]


def test_setting_the_same_moment_again_puts_an_alarm_behind_the_others() -> None:
    queue, (first, second) = queue_of(10.0, 10.0)
    queue.set(first, 10.0)
    assert list(queue.due(10.0)) == [second, first]


# --- Cancelled and moved -----------------------------------------------------------------------


def test_a_cancelled_alarm_is_neither_due_nor_the_earliest() -> None:
    queue, (cancelled, *kept) = queue_of(10.0, 20.0, 30.0)
    for _ in range(2):  # twice is as once
        queue.set(cancelled, None)
    assert queue.earliest() == 20.0
    assert list(queue.due(30.0)) == kept


def test_cancelling_the_only_alarm_leaves_none_and_cancelling_no_alarm_changes_nothing() -> None:
    queue, (alarm,) = queue_of(10.0)
    queue.set(Alarm(), None)
    assert queue.earliest() == 10.0
    queue.set(alarm, None)
    assert queue.earliest() is None


@pytest.mark.parametrize("moved_to", [5.0, 30.0])
def test_a_new_deadline_takes_the_place_of_the_old(moved_to: float) -> None:
    queue, (alarm, *_) = queue_of(10.0, 40.0, 50.0)
    queue.set(alarm, moved_to)
    assert queue.earliest() == moved_to


# --- While others are due --------------------------------------------------------------------
#
# More than one in eight of those that wait are taken in another way than a few.


@pytest.mark.parametrize(("size", "taken", "cancelled_from"), [(2, 1, 1), (100, 50, 60)])
def test_an_alarm_cancelled_while_others_are_due_does_not_come(
    size: int, taken: int, cancelled_from: int
) -> None:
    queue, alarms = queue_of(*[10.0] * size)
    due = queue.due(10.0)
    first = [next(due) for _ in range(taken)]
    for alarm in alarms[cancelled_from:]:
        queue.set(alarm, None)
    assert first + list(due) == alarms[:cancelled_from]


def test_an_alarm_set_while_others_are_due_comes_too_if_it_is_due() -> None:
    queue, alarms = queue_of(*[10.0] * 100)
    due, late, later = queue.due(10.0), Alarm(), Alarm()
    first = [next(due) for _ in range(50)]
    queue.set(late, 10.0)
    queue.set(later, 11.0)
    assert first + list(due) == [*alarms, late]
    assert queue.earliest() == 11.0


def test_of_many_only_those_come_that_are_due_and_not_cancelled() -> None:
    queue, alarms = queue_of(*[float(1_000 - number) for number in range(1_000)])
    for alarm in alarms[::3]:
        queue.set(alarm, None)
    due = list(queue.due(900.0))
    assert (
        due == [alarm for number, alarm in enumerate(alarms) if number >= 100 and number % 3][::-1]
    )
    assert {alarm.deadline for alarm in due} == {NO_DEADLINE}
    assert queue.earliest() == 902.0


# --- The next moment ---------------------------------------------------------------------------


def test_in_an_empty_queue_nothing_is_next() -> None:
    assert Queue().next == math.inf


def test_the_next_moment_is_never_late_and_exact_once_due_alarms_were_taken() -> None:
    queue, alarm = Queue(), Alarm()
    for one, at in ((Alarm(), 20.0), (alarm, 10.0), (Alarm(), 30.0)):
        queue.set(one, at)
    assert queue.next == 10.0
    queue.set(alarm, None)
    assert queue.next <= 20.0
    list(queue.due(10.0))
    assert queue.next == 20.0
    for due in queue.due(20.0):
        queue.set(due, 25.0)
    assert queue.next == 25.0
    list(queue.due(30.0))
    assert queue.next == math.inf


# --- One by one ------------------------------------------------------------------------------


def test_alarms_are_popped_one_by_one_and_the_next_moment_is_exact_after_the_last() -> None:
    queue, (later, first, second, cancelled) = queue_of(30.0, 10.0, 10.0, 5.0)
    queue.set(cancelled, None)
    assert queue.pop(10.0 - 0.5) is None
    assert queue.next == 10.0
    assert [queue.pop(20.0), queue.pop(20.0), queue.pop(20.0)] == [first, second, None]
    assert (first.deadline, queue.next) == (NO_DEADLINE, 30.0)
    # One that is set meanwhile comes too.
    queue.set(first, 29.0)
    assert [queue.pop(30.0), queue.pop(30.0), queue.pop(30.0)] == [first, later, None]
    assert queue.next == math.inf


@pytest.mark.parametrize("seed", range(5))
def test_waiting_tells_the_due_ones_and_leaves_them_there(seed: int) -> None:
    random = Random(seed)
    queue, alarms = queue_of(*[float(random.randrange(50)) for _ in range(200)])
    cancelled = random.sample(alarms, 60)
    moments = {alarm: at for at, _, alarm in queue._heap if alarm not in cancelled}
    for alarm in cancelled:
        queue.set(alarm, None)
    for now in (-1.0, 0.0, 7.0, 25.0, 100.0):
        due = {alarm for alarm, at in moments.items() if at <= now}
        waiting = list(queue.waiting(now))
        assert (len(waiting), set(waiting)) == (len(due), due)
    assert set(queue.due(100.0)) == set(moments)


# --- The clock -------------------------------------------------------------------------------


@pytest.mark.parametrize("by", [-1_000.0, 0.0, 1_790_000_000.0])
def test_all_deadlines_move_with_the_clock_and_keep_their_order(by: float) -> None:
    queue, (second, third, first, cancelled) = queue_of(10.0, 10.0, 5.0, 1.0)
    queue.set(cancelled, None)
    queue.shift(by)
    assert queue.next <= by + 5.0
    assert queue.earliest() == by + 5.0
    queue.set(third, by + 20.0)
    assert list(queue.due(by + 10.0)) == [first, second]
    assert queue.next == by + 20.0


def test_deadlines_that_rounding_makes_equal_come_in_the_order_of_setting() -> None:
    queue, (late, early) = queue_of(2e-9, 1e-9)
    queue.shift(1e9)
    assert list(queue.due(2e9)) == [late, early]


# --- How much it takes -------------------------------------------------------------------------


def test_renewing_one_deadline_for_ever_keeps_the_heap_small() -> None:
    queue, alarm = Queue(), Alarm()
    for at in range(1_000):
        queue.set(alarm, float(at))
        assert len(queue._heap) <= 2


def test_cancelled_alarms_make_up_at_most_half_of_the_heap() -> None:
    queue, alarms = queue_of(*[10.0] * 100)
    for left, alarm in zip(range(99, -1, -1), alarms, strict=True):
        queue.set(alarm, None)
        assert len(queue._heap) <= 2 * left


def test_cancelled_alarms_that_were_taken_along_with_many_due_count_no_more() -> None:
    queue, alarms = queue_of(*[10.0] * 100, *[20.0] * 100)
    # So few, and none at the top, that they stay in the heap; of the later ones too.
    for alarm in (*alarms[50:55], *alarms[150:155]):
        queue.set(alarm, None)
    assert list(queue.due(10.0)) == alarms[:50] + alarms[55:100]
    assert (queue._cancelled, len(queue._heap)) == (5, 100)
    assert list(queue.due(20.0)) == alarms[100:150] + alarms[155:]
    assert (queue._cancelled, len(queue._heap)) == (0, 0)


@pytest.mark.parametrize("cancelled", [1, 12, 13, 49])
def test_cancelled_alarms_at_the_top_are_removed_and_counted_no_more(cancelled: int) -> None:
    queue, alarms = queue_of(*map(float, range(100)))
    for alarm in alarms[:cancelled]:
        queue.set(alarm, None)
    assert queue.earliest() == cancelled
    assert (queue._cancelled, len(queue._heap)) == (0, 100 - cancelled)
    assert list(queue.due(100.0)) == alarms[cancelled:]


# --- All of it against a list -------------------------------------------------------------------


@pytest.mark.parametrize(
    "at", [lambda random: random.randrange(50), lambda _: 10], ids=["spread", "one-moment"]
)
@pytest.mark.parametrize("seed", range(5))
def test_a_queue_says_the_same_as_a_sorted_list(seed: int, at: Callable[[Random], int]) -> None:
    random, queue, alarms = Random(seed), Queue(), [Alarm() for _ in range(40)]
    listed: list[tuple[float, int, Alarm]] = []
    for step in range(2_000):
        alarm, moment = random.choice(alarms), random.choice((None, float(at(random))))
        listed = [entry for entry in listed if entry[2] is not alarm]
        if moment is not None:
            listed.append((moment, step, alarm))
        queue.set(alarm, moment)
        assert queue.earliest() == min((at for at, _, _ in listed), default=None)
        # Every so often, so that many gather.
        if step % 100 == 99:
            now = float(random.randrange(50))
            assert list(queue.due(now)) == [one for at, _, one in sorted(listed) if at <= now]
            listed = [entry for entry in listed if entry[0] > now]
