"""`Ranking`: the thing with the greatest count, however counts grow, shrink and leave."""

import random

import pytest

from firezone_filter.structures.heaps import NO_PLACE
from firezone_filter.structures.ranking import Ranking


class Thing:
    """A thing that ranks as `Counted` asks for: before it grows beyond what it has announced."""

    def __init__(self, ranking: "Ranking[Thing]") -> None:
        self.ranking = ranking
        self.rank = NO_PLACE
        self.count = 0
        self.bound = 0

    def grow(self, by: int) -> None:
        self.count += by
        if self.count > self.bound:
            self.bound = self.count + self.count // 4
            self.ranking.put(self, self.bound)

    def expect_growth(self) -> None:
        self.bound = 0


def test_of_nothing_there_is_no_greatest() -> None:
    ranking: Ranking[Thing] = Ranking()
    assert ranking.greatest() is None
    ranking.leave(Thing(ranking))
    assert ranking.greatest() is None


@pytest.mark.parametrize("seed", range(10))
def test_the_greatest_has_the_greatest_count(seed: int) -> None:
    draw = random.Random(seed)
    ranking: Ranking[Thing] = Ranking()
    things = [Thing(ranking) for _ in range(20)]
    for _ in range(3_000):
        thing, what = draw.choice(things), draw.random()
        if what < 0.5:
            thing.grow(draw.choice((1, 1, 5, 60)))
        elif what < 0.8:
            thing.count = draw.randint(0, thing.count)
        elif what < 0.85:
            ranking.leave(thing)
            thing.count = thing.bound = 0
        else:
            greatest = ranking.greatest()
            most = max(one.count for one in things)
            assert (0 if greatest is None else greatest.count) == most
    assert len(ranking) <= len(things)


def test_where_very_many_bounds_are_too_high_the_search_ends_all_the_same() -> None:
    ranking: Ranking[Thing] = Ranking()
    things = [Thing(ranking) for _ in range(100)]
    for number, thing in enumerate(things):
        thing.count = number
        ranking.put(thing, 1_000 - number)
    greatest = ranking.greatest()
    assert greatest is not None
    assert greatest.count > 0
    # Each search corrects some of them.
    for _ in range(5):
        greatest = ranking.greatest()
    assert greatest is things[-1]
