"""What finds flows in C finds those that Python finds, in any bytes."""

import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firezone_filter.capture.frames import Frames
from firezone_filter.compiled.twins import IS_COMPILED, PLAIN
from firezone_filter.replay.columns import flow_table
from firezone_filter.replay.columns.flow_table import FlowTable, nothing_found
from firezone_filter.replay.columns.links import ASK, place_ethernet
from tests.columns import frames_of
from tests.property.captured import random_policy, random_records

pytestmark = pytest.mark.skipif(not IS_COMPILED, reason="there is no extension module")

PLACES = np.array([0], dtype=np.int64)


def random_frames(draw: random.Random) -> Frames:
    records = random_records(draw, random_policy(draw), 60)
    return frames_of(records, gap=draw.choice((0, 16)))


def found_by(table: Any, parts: list[tuple[Frames, Any]]) -> list[object]:  # noqa: ANN401 - a twin
    seen: list[object] = []
    first = 0
    for frames, places in parts:
        found = nothing_found(len(frames))
        new = table.find(frames, places, first, found)
        first += new
        seen += [found.flows.tolist(), found.lengths.tolist(), found.is_cut.tolist()]
        seen += [found.new[:new].tolist()]
    return seen


@given(st.integers(0, 2**64))
def test_flows_are_numbered_alike(seed: int) -> None:
    draw = random.Random(seed)
    parts = []
    for _ in range(3):
        frames = random_frames(draw)
        places = frames.starts + np.array([draw.choice((0, 4, 14, 14, 16)) for _ in frames.starts])
        places[draw.randrange(len(places))] = -1
        parts.append((frames, places))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(flow_table, "_FEW", 4)
        plain: Any = PLAIN["FlowTable"]
        table, other = FlowTable(), plain()
        assert found_by(table, parts) == found_by(other, parts)
        table.clear()
        other.clear()
        assert found_by(table, parts) == found_by(other, parts)


def test_tables_grow_alike() -> None:
    records = random_records(random.Random(1), random_policy(random.Random(1)), 1)
    frame = bytes.fromhex("4500001c0000000040110000") + bytes(12) + bytes(20)
    count = 5_000
    data = bytearray(frame * count)
    for number in range(count):
        data[number * len(frame) + 12 : number * len(frame) + 16] = number.to_bytes(4, "big")
    one = frames_of(records)
    starts = np.arange(count, dtype=np.int64) * len(frame)
    sizes = np.full(count, len(frame), dtype=np.int64)
    frames = Frames(
        np.frombuffer(bytes(data), dtype=np.uint8), starts, sizes, sizes, starts, 101, 1
    )
    plain: Any = PLAIN["FlowTable"]
    parts = [(frames, starts), (one, one.starts), (frames, starts)]
    assert found_by(FlowTable(), parts) == found_by(plain(), parts)


@given(st.integers(0, 2**64))
def test_packets_of_ethernet_are_found_alike(seed: int) -> None:
    frames = random_frames(random.Random(seed))
    rows = np.flatnonzero(frames.captured >= 14)
    starts, captured = frames.starts[rows], frames.captured[rows]
    found = [np.empty(len(rows), dtype=np.int64) for _ in range(2)]
    plain: Any = PLAIN["place_ethernet"]
    for way, places in zip((place_ethernet, plain), found, strict=True):
        way(frames.data, starts, captured, places, ASK)
    assert found[0].tolist() == found[1].tolist()


def test_arrays_that_do_not_fit_are_refused() -> None:
    frames = random_frames(random.Random(1))
    with pytest.raises(ValueError, match="not so many frames"):
        FlowTable().find(frames, PLACES, 0, nothing_found(len(frames)))
    with pytest.raises(ValueError, match="not so many frames"):
        place_ethernet(frames.data, frames.starts, frames.captured, PLACES.copy(), ASK)
