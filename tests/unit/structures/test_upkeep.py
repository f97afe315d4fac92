"""`UpkeepQueue`: keepers forget what is over in bounded steps, the earliest first."""

from math import inf

from hypothesis import given
from hypothesis import strategies as st

from firezone_filter.structures.heaps import NO_PLACE
from firezone_filter.structures.upkeep import UpkeepQueue


class Moments:
    """Keeps moments, each until it has come."""

    def __init__(self) -> None:
        self.deadline = NO_PLACE
        self.kept: list[float] = []

    def due(self) -> float | None:
        return min(self.kept, default=None)

    def forget(self, now: float, most: int) -> int:
        over = sorted(at for at in self.kept if at <= now)[:most]
        for at in over:
            self.kept.remove(at)
        return len(over)


def keep(queue: UpkeepQueue[Moments], keeper: Moments, at: float) -> None:
    first = keeper.due()
    keeper.kept.append(at)
    if first is None or at < first:
        queue.announce(keeper, at)


moments = st.integers(0, 20).map(float)


@given(
    st.lists(st.tuples(st.integers(0, 3), moments), max_size=30),
    st.lists(st.tuples(moments, st.integers(0, 5)), max_size=10),
    st.sampled_from([0.0, -7.5, 100.0]),
)
def test_everything_that_is_over_is_forgotten_in_bounded_steps(
    kept: list[tuple[int, float]], calls: list[tuple[float, int]], by: float
) -> None:
    queue: UpkeepQueue[Moments] = UpkeepQueue()
    keepers = [Moments() for _ in range(4)]
    for number, at in kept:
        keep(queue, keepers[number], at)
    for keeper in keepers:
        keeper.kept = [at + by for at in keeper.kept]
    queue.shift(by)
    for at, most in calls:
        now = at + by
        waiting = {keeper for keeper in keepers if any(one <= now for one in keeper.kept)}
        assert set(queue.waiting(now)) == waiting
        before = sum(len(keeper.kept) for keeper in keepers)
        steps = queue.forget(now, most)
        assert before - sum(len(keeper.kept) for keeper in keepers) <= steps <= most
        if steps < most:
            assert not any(one <= now for keeper in keepers for one in keeper.kept)
        left = min((at for keeper in keepers for at in keeper.kept), default=None)
        assert (queue.earliest(), queue.next) == (left, inf if left is None else left)


def test_a_keeper_that_is_announced_too_early_takes_a_step_in_vain() -> None:
    queue: UpkeepQueue[Moments] = UpkeepQueue()
    keeper, idle = Moments(), Moments()
    keep(queue, keeper, 5.0)
    keep(queue, idle, 5.0)
    keeper.kept = [9.0]
    idle.kept = []
    assert queue.forget(5.0, 3) == 2
    assert (queue.next, idle.deadline) == (9.0, NO_PLACE)
    queue.set(keeper, None)
    queue.set(idle, None)
    assert (queue.earliest(), keeper.deadline) == (None, NO_PLACE)
