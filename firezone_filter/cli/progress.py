"""How far a long replay has come, for whoever waits for it at a terminal."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn

from firezone_filter.cli.capture import Capture
from firezone_filter.cli.stream import Record

PATIENCE_S: Final = 2.0
"""Shorter waits need no bar."""

STEP: Final = 4096
"""Records between two looks at the clock."""


@contextmanager
def watched(
    capture: Capture,
    size: int | None,
    console: Console,
    *,
    clock: Callable[[], float] = monotonic,
) -> Iterator[Iterable[Record]]:
    """Give the records of *capture*, and show on *console* how far they have been read.

    Args:
        capture: What is being read.
        size: Its size in bytes, `None` if that is not known.
        console: Nothing is shown if it is no terminal, or the end comes soon.
        clock: Seconds.
    """
    if not console.is_interactive:
        yield capture
        return
    columns = (BarColumn(), DownloadColumn(), TimeRemainingColumn())
    bar = Progress(*columns, console=console, transient=True, auto_refresh=False)
    try:
        yield _watched(capture, size, bar, clock)
    finally:
        bar.stop()


def _watched(
    capture: Capture, size: int | None, bar: Progress, clock: Callable[[], float]
) -> Iterator[Record]:
    task = bar.add_task("", total=size)
    patient_until = clock() + PATIENCE_S
    for number, record in enumerate(capture):
        if number % STEP == 0 and clock() >= patient_until:
            bar.start()
            bar.update(task, completed=capture.position, refresh=True)
        yield record
