"""Random stories, told in single packets and in batches: not one difference."""

import random
from unittest.mock import patch

import pytest

from tests.property import story
from tests.property.batched import Batched, Recording
from tests.property.many_flows import ManyFlows
from tests.property.story import Story


@pytest.mark.parametrize("stateful", [False, True], ids=["stateless", "stateful"])
@pytest.mark.parametrize("twins", [Batched, Recording])
@pytest.mark.parametrize("kind", [Story, ManyFlows])
def test_packets_are_decided_alike_however_they_are_handed_in(
    kind: type[Story], twins: type[Batched], *, stateful: bool, thorough: bool
) -> None:
    longest = 0
    for seed in range(50_000, 50_060 if thorough else 50_008):
        with patch.object(story, "Twins", twins):
            one = kind(random.Random(seed), stateful=stateful)
        assert isinstance(one.twins, Batched)
        one.twins.log.insert(0, f"{kind.__name__} {seed}")
        one.tell(200)
        one.twins.hand_in()
        longest = max(longest, one.twins.longest)
    assert longest >= 20
