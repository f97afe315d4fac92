"""The headers of captures are walked in C as in the plain form, through any bytes."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firezone_filter.capture.walk import walk_pcap, walk_pcapng
from firezone_filter.compiled.twins import IS_COMPILED, PLAIN
from tests.captures import ByteOrder, enhanced, pcap_record

pytestmark = pytest.mark.skipif(not IS_COMPILED, reason="the extension module is not in use")

ORDERS: st.SearchStrategy[ByteOrder] = st.sampled_from(["<", ">"])
NUMBERS = st.integers(0, 2**32 - 1)
PLACES = st.integers(-2, 300)


@st.composite
def data(draw: st.DrawFn, order: ByteOrder, *, is_pcapng: bool) -> bytes:
    """Draw packets with their headers, with a few other bytes, cut off or continued."""
    made = bytearray()
    for frame in draw(st.lists(st.binary(max_size=20), max_size=8)):
        if is_pcapng:
            ticks, number = draw(st.integers(0, 2**64 - 1)), draw(st.integers(0, 2))
            made += enhanced(frame, ticks, number=number, order=order, wire_length=draw(NUMBERS))
        else:
            times = draw(NUMBERS), draw(NUMBERS)
            made += pcap_record(frame, *times, order=order, wire_length=draw(NUMBERS))
    for _ in range(draw(st.integers(0, 2)) if made else 0):
        made[draw(st.integers(0, len(made) - 1))] = draw(st.integers(0, 255))
    return bytes(made[: draw(st.none() | PLACES)]) + draw(st.binary(max_size=40))


def walked(walk: Any, some: bytes, *arguments: Any) -> object:  # noqa: ANN401 - two functions
    """Return what a walk says and writes."""
    at, end, most, filled, *rest = arguments
    rows = np.full((5, most), -7, np.int64)
    try:
        found = walk(np.frombuffer(some, np.uint8), at, end, rows, filled, *rest)
    except ValueError:
        return ValueError
    shown = 5 if walk.__name__ == "walk_pcapng" else 4
    return found, rows[:shown].tolist()


@given(st.data(), ORDERS, PLACES | st.just(0), st.none() | PLACES, st.integers(0, 9))
def test_pcap(drawn: st.DataObject, order: ByteOrder, at: int, end: int | None, most: int) -> None:
    some = drawn.draw(data(order, is_pcapng=False))
    rest = order == ">", drawn.draw(st.sampled_from([1, 1_000]))
    header = drawn.draw(st.sampled_from([16, 16, 24]))
    filled = drawn.draw(st.just(0) | st.integers(-1, 10))
    arguments = at, len(some) if end is None else end, most, filled, header, *rest
    expected = walked(PLAIN["walk_pcap"], some, *arguments)
    assert walked(walk_pcap, some, *arguments) == expected


@given(st.data(), ORDERS, PLACES | st.just(0), st.none() | PLACES, st.integers(0, 9))
def test_pcapng(
    drawn: st.DataObject, order: ByteOrder, at: int, end: int | None, most: int
) -> None:
    some = drawn.draw(data(order, is_pcapng=True))
    filled = drawn.draw(st.just(0) | st.integers(-1, 10))
    interfaces = drawn.draw(st.integers(0, 4))
    arguments = at, len(some) if end is None else end, most, filled, order == ">", interfaces
    expected = walked(PLAIN["walk_pcapng"], some, *arguments)
    assert walked(walk_pcapng, some, *arguments) == expected


def test_what_is_not_contiguous_or_read_only_is_refused() -> None:
    some = np.frombuffer(pcap_record(b"E") * 2, np.uint8)
    arguments: tuple[Any, ...] = 0, 16, np.empty((5, 9), np.int64)[:, ::2], 0, 16, False, 1
    with pytest.raises(ValueError, match="not C-contiguous"):
        walk_pcap(some, *arguments)
    fixed = np.frombuffer(bytes(5 * 8), np.int64).reshape(5, 1)
    with pytest.raises(ValueError, match="read-only"):
        walk_pcap(some, 0, 17, fixed, 0, 16, False, 1)  # noqa: FBT003
    with pytest.raises(ValueError, match="16 bytes or more"):
        walk_pcap(some, 0, 17, np.empty((5, 1), np.int64), 0, 8, False, 1)  # noqa: FBT003
