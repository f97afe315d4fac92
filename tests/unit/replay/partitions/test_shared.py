"""Arrays go through shared memory if there is room, and through the pipe if there is none."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from firezone_filter.replay.partitions.shared import SLOT, Sender, shared_slots, unpacked

SLOTS = shared_slots(1)


@pytest.mark.parametrize(
    ("size", "is_shared"), [(0, True), (1, True), (SLOT // 8, True), (SLOT // 8 + 1, False)]
)
def test_what_is_sent_arrives(size: int, is_shared: bool) -> None:  # noqa: FBT001 - a table
    sender = Sender(SLOTS)
    message = {"text": "whatever", "numbers": np.arange(size), "none": np.zeros(0, np.uint8)}
    packed = sender.packed(message)
    assert (len(packed) < 1_000) == (is_shared or not size)
    arrived = unpacked(packed, SLOTS)
    assert isinstance(arrived, dict)
    assert arrived["text"] == "whatever"
    assert_array_equal(arrived["numbers"], message["numbers"])


def test_a_slot_is_used_again_when_it_is_free() -> None:
    sender = Sender(SLOTS)
    first, second = (sender.packed(np.arange(1_000)) for _ in range(2))
    assert len(first) < 1_000 < len(second)
    sender.done()
    third = sender.packed(np.arange(1_000) + 1)
    assert len(third) < 1_000
    assert_array_equal(unpacked(second, SLOTS), np.arange(1_000))
    assert_array_equal(unpacked(third, SLOTS), np.arange(1_000) + 1)
    sender.done()
    sender.done()
    assert len(sender.packed(np.arange(1_000))) < 1_000
