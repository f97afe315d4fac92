"""However little upkeep a call does, decisions and events are those of doing all at once."""

import random
from collections.abc import Iterator

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from firezone_filter.gateway import clients, flow_cache, gateway
from tests.property.much_waiting import HOWS, MuchWaiting, Size, acts

SMALL = (Size(2, 3, 4, 6), Size(1, 8, 3, 12), Size(5, 1, 3, 2), Size(1, 0, 9, 0))


@pytest.fixture(params=[2, 3], ids="steps-{}".format, scope="module")
def steps(request: pytest.FixtureRequest) -> Iterator[int]:
    """Let each call do so many steps at most, and mark remembered flows even if they are few."""
    most: int = request.param
    with pytest.MonkeyPatch.context() as patch:
        for module in (clients, gateway):
            patch.setattr(module, "STEPS_OF_A_PACKET", most)
            patch.setattr(module, "STEPS_OF_A_TIMEOUT", most)
        patch.setattr(flow_cache, "AT_ONCE", 0)
        patch.setattr(flow_cache, "ENTRIES_A_STEP", 1)
        yield most


@example(
    seed=0,
    size=Size(1, 8, 3, 12),
    how="clock",
    recorded=True,
    limits=False,
    acts=[("batch", 0), ("again", 0), ("fetch", 0)],
)
@given(
    seed=st.integers(0, 2**16),
    size=st.sampled_from(SMALL),
    how=st.sampled_from(HOWS),
    recorded=st.booleans(),
    limits=st.booleans(),
    acts=acts,
)
def test_a_story_told_in_the_smallest_steps_is_the_same(  # noqa: PLR0913 - what makes a story
    *,
    steps: int,
    seed: int,
    size: Size,
    how: str,
    recorded: bool,
    limits: bool,
    acts: list[tuple[str, int]],
) -> None:
    assert steps == clients.STEPS_OF_A_PACKET
    story = MuchWaiting(random.Random(seed), size, recorded=recorded, limits=limits)
    story.end(how)
    for kind, particulars in acts:
        story.act(kind, particulars)
    story.finish()
