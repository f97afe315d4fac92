"""The progress bar of a long read."""

import io
import re
from collections.abc import Callable

from rich.console import Console

from firezone_filter.capture.captures import open_captures
from firezone_filter.capture.reader import Capture
from firezone_filter.cli.progress import PATIENCE_S, REFRESH_S, STEP, Meter, watched
from firezone_filter.cli.replay_job import metered_chunks
from firezone_filter.replay.engine import in_steps
from tests.captures import pcap

FRAMES = [b"E"] * (2 * STEP + 1)


def bar(clock: Callable[[], float], *, terminal: bool = True, size: int | None = 1000) -> str:
    """Return the output on the console while a capture is read."""
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=terminal, force_interactive=terminal)
    with watched(Capture(io.BytesIO(pcap(*FRAMES))), size, console, clock=clock) as records:
        assert sum(1 for _ in records) == len(FRAMES)
    return stream.getvalue()


def slow() -> Callable[[], float]:
    """Return a clock that reaches the end of patience at its second reading."""
    readings = iter([0.0, PATIENCE_S, PATIENCE_S, PATIENCE_S])
    return lambda: next(readings)


def test_the_bar_tells_packets_a_second_and_the_time_left() -> None:
    readings = iter([0.0, 0.0, PATIENCE_S, 2 * PATIENCE_S])
    text = bar(lambda: next(readings), size=10_000_000)
    assert f"{STEP / PATIENCE_S:,.0f} packets/s" in text
    assert re.search(r"\d:\d\d:\d\d", text)


def test_a_bar_is_not_drawn_more_often_than_anyone_looks() -> None:
    readings = iter([0.0, PATIENCE_S, PATIENCE_S + REFRESH_S / 2, PATIENCE_S + REFRESH_S / 2])
    assert bar(lambda: next(readings)).count("packets/s") <= 2


def test_a_long_read_has_a_bar_whether_or_not_its_size_is_known() -> None:
    assert "0/1" in bar(slow(), size=1024)
    assert "bytes" in bar(slow(), size=None)


def test_neither_a_short_read_nor_a_pipe_has_a_bar() -> None:
    assert bar(lambda: 0.0) == ""
    assert bar(slow(), terminal=False) == ""


def test_a_replay_shows_packets_and_position_before_each_chunk() -> None:
    shown: list[tuple[int, int]] = []
    capture = io.BytesIO(pcap(*FRAMES))
    size = len(capture.getvalue())

    class Shown(Meter):
        def __init__(self) -> None:
            pass

        def show(self, number: int, position: int) -> None:
            shown.append((number, position))

    captures = open_captures(capture)
    chunks = in_steps(captures.chunks(), STEP)
    assert sum(len(frames) for frames in metered_chunks(chunks, captures, Shown())) == len(FRAMES)
    assert shown == [(0, size), (STEP, size), (2 * STEP, size)]
