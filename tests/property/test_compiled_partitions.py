"""What cuts chunks in C cuts them as Python does, in any bytes."""

import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firezone_filter.capture.frames import Frames
from firezone_filter.compiled.twins import IS_COMPILED, PLAIN
from firezone_filter.replay.partitions.excerpts import copy_frames
from firezone_filter.replay.partitions.owners import Owners, nothing_owned
from tests.gathering import gathered
from tests.random_captures import policy_of, records_of

pytestmark = pytest.mark.skipif(not IS_COMPILED, reason="there is no extension module")


def some_frames(seed: int) -> tuple[Frames, list[tuple[bytes, int]]]:
    rng = random.Random(seed)
    policy = policy_of(rng)
    (frames,) = gathered(list(records_of(rng, 200)))
    pairs = [
        (address, place)
        for place, client in enumerate(policy.clients)
        for address in client.addresses.packed()
    ]
    return frames, rng.sample(pairs, rng.randrange(len(pairs)))


@given(seed=st.integers(0, 1 << 32))
def test_owners_are_found_alike(seed: int) -> None:
    frames, pairs = some_frames(seed)
    rng = random.Random(seed)
    skipped = np.array([rng.choice((0, 14)) for _ in range(len(frames))])
    places = np.where(skipped <= frames.captured, frames.starts + skipped, -1)
    seen = []
    plain: Any = PLAIN["Owners"]
    for owners in (Owners(pairs), plain(pairs)):
        found = nothing_owned(len(frames))
        owners.find(frames, places, found)
        seen.append([found.owners.tolist(), found.is_outbound.tolist(), found.needed.tolist()])
    assert seen[0] == seen[1]


@given(seed=st.integers(0, 1 << 32))
def test_frames_are_copied_alike(seed: int) -> None:
    frames, _ = some_frames(seed)
    rng = np.random.default_rng(seed)
    sizes = np.where(
        rng.random(len(frames)) < 0.6,
        np.minimum(frames.captured, rng.choice((0, 20, 54))),
        rng.integers(0, frames.captured + 1),
    )
    seen = []
    plain: Any = PLAIN["copy_frames"]
    for copy in (copy_frames, plain):
        room, starts = np.zeros(int(sizes.sum()), np.uint8), np.empty(len(frames), np.int64)
        copy(frames, sizes, room, starts)
        seen.append([room.tobytes(), starts.tolist()])
        with pytest.raises(ValueError, match="no room for the frames"):
            copy(frames, frames.captured, np.zeros(9, np.uint8), starts.copy())
    assert seen[0] == seen[1]
    ends = starts + sizes
    for row, (start, end) in enumerate(zip(starts.tolist(), ends.tolist(), strict=True)):
        first = int(frames.starts[row])
        assert room[start:end].tobytes() == frames.data[first : first + end - start].tobytes()


def test_arrays_that_do_not_fit_are_refused() -> None:
    frames, pairs = some_frames(1)
    short = frames.starts[:-1].copy()
    with pytest.raises(ValueError, match="not so many frames"):
        Owners(pairs).find(frames, short, nothing_owned(len(frames)))
    with pytest.raises(ValueError, match="not so many frames"):
        copy_frames(frames, short, np.zeros(0, np.uint8), short.copy())
