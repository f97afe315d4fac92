"""Very much ends at one moment, and hardly anything follows: decisions and events stay exact."""

import random

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.property.much_waiting import ACTS, END, HOWS, MuchWaiting, Size, acts

SMALL = (Size(3, 12, 12, 24), Size(1, 40, 0, 80), Size(12, 2, 6, 6), Size(2, 1, 0, 120))
"""So few that many stories can be told, but more than a few calls forget."""

LARGE = (
    Size(clients=2, names=40, networks=10, sessions=2_500),
    Size(clients=1, names=500, networks=1_500, sessions=1_000),
    Size(clients=120, names=4, networks=10, sessions=6),
)


@settings(max_examples=2 * settings().max_examples)
@given(
    seed=st.integers(0, 2**16),
    size=st.sampled_from(SMALL),
    how=st.sampled_from(HOWS),
    recorded=st.booleans(),
    limits=st.booleans(),
    stateful=st.booleans(),
    acts=acts,
)
def test_nobody_notices_what_still_waits(  # noqa: PLR0913 - what makes a story
    *,
    seed: int,
    size: Size,
    how: str,
    recorded: bool,
    limits: bool,
    stateful: bool,
    acts: list[tuple[str, int]],
) -> None:
    story = MuchWaiting(
        random.Random(seed), size, recorded=recorded, limits=limits, stateful=stateful
    )
    story.end(how)
    for kind, particulars in acts:
        story.act(kind, particulars)
    story.finish()


@pytest.mark.parametrize("kind", ["plain", "recorded", "stateful"])
@pytest.mark.parametrize("size", LARGE, ids=str)
def test_nobody_notices_thousands_that_wait(size: Size, kind: str, *, thorough: bool) -> None:
    if not thorough:  # pragma: no branch
        size = evolve(size, sessions=max(size.sessions // 2, 6), networks=size.networks // 2)
    draw = random.Random(size.ends)
    story = MuchWaiting(
        draw,
        size,
        recorded=kind == "recorded",
        limits=size.clients < 100,
        stateful=kind == "stateful",
    )
    assert story.sessions_at_the_end >= 0.9 * size.clients * size.sessions

    story.end(draw.choice(HOWS))
    for act in draw.choices(sorted(ACTS), k=60):
        story.act(act, draw.randrange(2**16))
    story.finish()


@pytest.mark.parametrize("act", sorted(ACTS))
@pytest.mark.parametrize("how", ["packet", "timeout"])
def test_each_thing_may_come_first(act: str, how: str) -> None:
    for seed in range(2):
        story = MuchWaiting(
            random.Random(seed), SMALL[seed], limits=seed == 1, stateful=how == "timeout"
        )
        story.end(how)
        story.act(act, seed)
        story.act("talk on", seed)
        story.finish()


@pytest.mark.parametrize("stateful", [False, True], ids=["stateless", "stateful"])
def test_the_stories_end_what_they_are_about(*, stateful: bool) -> None:
    size = Size(clients=2, names=5, networks=5, sessions=30)
    story = MuchWaiting(random.Random(0), size, stateful=stateful)
    assert story.now < END
    before = story.twins.gateway.counters()
    assert before.nat_sessions == 60
    # Those of the sessions; of each client three that are direct, and three of fragments.
    assert before.flows == (60 + 2 * 6 if stateful else 0)
    assert before.fragments > 0
    assert before.authorizations == 2 * 10 + 2
    story.end("packet")
    after = story.twins.gateway.counters()
    assert (after.nat_sessions, after.fragments, after.authorizations) == (0, 0, 2)
    assert story.twins.fetch(100, story.now) == 20 + 1
    story.finish()


def test_what_is_remembered_of_all_clients_has_a_limit() -> None:
    story = MuchWaiting(random.Random(1), Size(12, 2, 6, 6), limits=True)
    # What is prepared for a session, either way, does not count.
    assert story.twins.gateway.counters().cached_flows <= 8 + 2 * story.sessions_at_the_end
    story.finish()
