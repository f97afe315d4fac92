"""How far something long has come, for whoever waits for it at a terminal."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Final, Protocol, TypeVar

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn

PATIENCE_S: Final = 2.0
"""Shorter waits need no bar."""

STEP: Final = 4096
"""Records between two looks at the clock."""

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Readable(Protocol[T_co]):
    """What is being read, and knows how far it has come."""

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
    """Give the records of *readable*, and show on *console* how far they have been read.

    Args:
        readable: What is being read.
        size: Its size in bytes, `None` if that is not known.
        console: Nothing is shown if it is no terminal, or the end comes soon.
        clock: Seconds.
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
