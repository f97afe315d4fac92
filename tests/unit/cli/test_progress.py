"""The bar for whoever waits at a terminal."""

import io
from collections.abc import Callable

from rich.console import Console

from firezone_filter.capture.reader import Capture
from firezone_filter.cli.progress import PATIENCE_S, STEP, watched
from tests.captures import pcap

FRAMES = [b"E"] * (2 * STEP + 1)


def shown(clock: Callable[[], float], *, terminal: bool = True, size: int | None = 1000) -> str:
    """Return what is shown while a capture is read."""
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=terminal, force_interactive=terminal)
    with watched(Capture(io.BytesIO(pcap(*FRAMES))), size, console, clock=clock) as records:
        assert sum(1 for _ in records) == len(FRAMES)
    return stream.getvalue()


def slow() -> Callable[[], float]:
    """Return a clock that shows the end of all patience from its second reading on."""
    readings = iter([0.0, PATIENCE_S, PATIENCE_S, PATIENCE_S])
    return lambda: next(readings)


def test_a_long_wait_has_a_bar() -> None:
    assert "0/1" in shown(slow(), size=1024)


def test_a_long_wait_for_something_of_unknown_size_has_a_bar_too() -> None:
    assert "bytes" in shown(slow(), size=None)


def test_a_short_wait_has_none() -> None:
    assert shown(lambda: 0.0) == ""


def test_where_there_is_no_terminal_there_is_none() -> None:
    assert shown(slow(), terminal=False) == ""
