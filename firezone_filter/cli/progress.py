"""A progress bar for long reads, if a person waits at a terminal.

It tells how much has been read, how many packets (or lines) a second, and the time left.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

from attrs import define, field
from rich.console import Console

if TYPE_CHECKING:
    from rich.progress import Progress

PATIENCE_S: Final = 2.0
"""Seconds without a bar: shorter reads need none."""

REFRESH_S: Final = 0.1
"""Seconds between two pictures of the bar."""

STEP: Final = 4096
"""Records between two readings of the clock."""

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Readable(Protocol[T_co]):
    """An iterable that knows its position in the files it reads."""

    @property
    def position(self) -> int:
        """Bytes read so far."""

    def __iter__(self) -> Iterator[T_co]:
        """Yield the records."""


@define
class Meter:
    """The bar of one read, for whoever knows how far it is."""

    _bar: "Progress"
    _size: int | None
    _noun: str
    _clock: Callable[[], float]
    _begun: float = field(init=False)
    _next: float = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._begun = self._clock()
        self._next = self._begun + PATIENCE_S
        self._bar.add_task("", total=self._size, speed="")

    def show(self, number: int, position: int) -> None:
        """Show that *number* records and *position* bytes have been read, if it is time to."""
        now = self._clock()
        if now < self._next:
            return
        self._next = now + REFRESH_S
        speed = f"{number / (now - self._begun):,.0f} {self._noun}/s"
        self._bar.start()
        self._bar.update(self._bar.task_ids[0], completed=position, speed=speed, refresh=True)


@contextmanager
def metered(
    size: int | None,
    console: Console,
    noun: str = "packets",
    clock: Callable[[], float] = monotonic,
) -> Iterator[Meter | None]:
    """Give a meter for a read of *size* bytes; `None` if nobody watches *console*.

    Args:
        size: The bytes of all files together, `None` if unknown.
        console: Shows the bar, if it is a terminal and the read takes longer than `PATIENCE_S`.
        noun: What is counted.
        clock: Returns seconds.
    """
    if not console.is_interactive:
        yield None
        return
    # Imported only where there is a bar: that takes as long as reading 10,000 packets.
    from rich.progress import (  # noqa: PLC0415
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (
        BarColumn(),
        DownloadColumn(),
        TextColumn("{task.fields[speed]}"),
        TimeRemainingColumn(),
    )
    bar = Progress(*columns, console=console, transient=True, auto_refresh=False)
    try:
        yield Meter(bar, size, noun, clock)
    finally:
        bar.stop()


@contextmanager
def watched(
    readable: Readable[T],
    size: int | None,
    console: Console,
    noun: str = "packets",
    *,
    clock: Callable[[], float] = monotonic,
) -> Iterator[Iterable[T]]:
    """Give the records of *readable*, and show on *console* how much of it has been read.

    The arguments are those of `metered`.
    """
    with metered(size, console, noun, clock) as meter:
        yield readable if meter is None else _watched(readable, meter)


def _watched(readable: Readable[T], meter: Meter) -> Iterator[T]:
    for number, record in enumerate(readable):
        if number % STEP == 0:
            meter.show(number, readable.position)
        yield record
