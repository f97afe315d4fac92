"""Asking why changes nothing, and what is foretold happens: over any story, at any moment."""

import random
from collections import Counter
from unittest.mock import patch

import pytest

from firezone_filter import Decision, Direction, Gateway
from firezone_filter.values.arguments import Packet
from tests.property import recorded, story, twins
from tests.property.asked import ROWS, Asked, Crowded
from tests.property.many_flows import Vanishing
from tests.property.much_waiting import ACTS, END, HOWS, MuchWaiting, Size
from tests.property.story import Story

STEPS = 120
KINDS = (Story, Crowded, Vanishing)
QUICK, THOROUGH = 48, 480


@pytest.fixture(scope="module")
def tally(*, thorough: bool) -> Counter[str]:
    """Tell the stories, and count what was asked."""
    hit: Counter[str] = Counter()
    for seed in range(THOROUGH if thorough else QUICK):
        kind, stateful = KINDS[seed % len(KINDS)], seed // len(KINDS) % 2 == 1
        with patch.object(story, "Twins", Asked):
            one = kind(random.Random(9_000 + seed), stateful=stateful)
        told = one.twins
        assert isinstance(told, Asked)
        told.log.insert(0, f"seed {seed}")
        one.tell(STEPS)
        told.events()
        told.count()
        hit["asked"] += told.asked
        hit.update(told.tally)
    return hit


def test_a_gateway_that_is_asked_and_one_that_is_not_stay_equal(
    tally: Counter[str], *, thorough: bool
) -> None:
    assert tally["asked"] >= (200_000 if thorough else 15_000)


@pytest.mark.parametrize(
    ("direction", "row"),
    [
        (direction.value, row)
        for direction, rows in ROWS.items()
        for row in rows
        if row != "session"
    ],
)
def test_stories_are_decided_by_each_row(direction: str, row: str, tally: Counter[str]) -> None:
    assert tally[f"{direction} decided by {row}"] >= 1


class Asking(Gateway):
    """A gateway that asks itself about each packet, also for a moment when nothing is left."""

    def handle_packet(
        self,
        direction: Direction,
        packet: Packet,
        now: float | None = None,
        client_id: str | None = None,
    ) -> Decision:
        for moment in (2 * END, now):
            foretold = self.explain(direction, packet, moment, client_id).decision
        decision = super().handle_packet(direction, packet, now, client_id)
        assert foretold == decision, f"{foretold} foretold, {decision} made"
        return decision


@pytest.mark.parametrize("recorded_too", [False, True], ids=["plain", "recorded"])
@pytest.mark.parametrize("stateful", [False, True], ids=["stateless", "stateful"])
def test_what_is_foretold_happens_also_while_very_much_waits_to_be_taken_apart(
    *, stateful: bool, recorded_too: bool, thorough: bool
) -> None:
    sizes = Size(3, 12, 12, 24), Size(1, 40, 0, 80), Size(12, 2, 6, 6), Size(2, 1, 0, 120)
    with patch.object(twins, "Gateway", Asking), patch.object(recorded, "Gateway", Asking):
        for seed in range(40 if thorough else 6):
            draw = random.Random(seed)
            waiting = MuchWaiting(
                draw,
                sizes[seed % len(sizes)],
                recorded=recorded_too,
                limits=seed % 3 == 0,
                stateful=stateful,
            )
            waiting.end(draw.choice(HOWS))
            for _ in range(12):
                waiting.act(draw.choice(sorted(ACTS)), draw.randrange(2**16))
            waiting.finish()
