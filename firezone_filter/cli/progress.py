"""A progress bar for long reads, if a person waits at a terminal."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Final, Protocol, TypeVar

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn

PATIENCE_S: Final = 2.0
"""Seconds without a bar: shorter reads need none."""

STEP: Final = 4096
"""Records between two readings of the clock."""

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Readable(Protocol[T_co]):
    """An iterable that knows its position in the file it reads."""

    @property
    def position(self) -> int:
        """Bytes read so far."""

    def __iter__(self) -> Iterator[T_co]:
        """Yield the records."""


@contextmanager
def watched(
    readable: Readable[T],
    size: int | None,
    console: Console,
    *,
    clock: Callable[[], float] = monotonic,
) -> Iterator[Iterable[T]]:
    """Give the records of *readable*, and show on *console* how much of it has been read.

    Args:
        readable: The file that is being read.
        size: Its size in bytes, `None` if unknown.
        console: Shows the bar, if it is a terminal and the read takes longer than `PATIENCE_S`.
        clock: Returns seconds.
    """
    if not console.is_interactive:
        yield readable
        return
    columns = (BarColumn(), DownloadColumn(), TimeRemainingColumn())
    bar = Progress(*columns, console=console, transient=True, auto_refresh=False)
    try:
        yield _watched(readable, size, bar, clock)
    finally:
        bar.stop()


def _watched(
    readable: Readable[T], size: int | None, bar: Progress, clock: Callable[[], float]
) -> Iterator[T]:
    task = bar.add_task("", total=size)
    patient_until = clock() + PATIENCE_S
    for number, record in enumerate(readable):
        if number % STEP == 0 and clock() >= patient_until:
            bar.start()
            bar.update(task, completed=readable.position, refresh=True)
        yield record
