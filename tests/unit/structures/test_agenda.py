"""`Agenda`: as a sorted list of moments and numbers would have it."""

import math
import random

import pytest

from firezone_filter.structures.agenda import Agenda


@pytest.mark.parametrize("seed", range(10))
def test_an_agenda_is_as_a_sorted_list(seed: int) -> None:
    draw = random.Random(seed)
    agenda: Agenda[str] = Agenda()
    model: list[tuple[float, int, str]] = []
    for number in range(2_000):
        # It grows, then it shrinks, and it is mostly taken from the front.
        if not model or draw.random() < (0.7 if number < 1_000 else 0.3):
            item = (float(draw.randrange(50)), number, f"item-{number}")
            agenda.add(*item)
            model = sorted([*model, item])
        else:
            at, removed, _ = gone = model[0] if draw.random() < 0.7 else draw.choice(model)
            agenda.remove(at, removed)
            model.remove(gone)
        assert (len(agenda), agenda.first()) == (len(model), model[0] if model else None)
        assert agenda.last() == (model[-1][0] if model else math.inf)
        now = draw.choice((-1.0, float(draw.randrange(50)), 25.5, 50.0))
        assert agenda.next_after(now) == min((at for at, _, _ in model if at > now), default=None)
