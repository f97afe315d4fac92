"""Ctrl-C while a capture is read: it ends between two packets, not in the middle of one."""

import signal
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Generic, TypeVar

T = TypeVar("T")


class Interruptible(Generic[T]):
    """Iterates over records, and raises `KeyboardInterrupt` only while it waits for the next."""

    def __init__(self, records: Iterable[T]) -> None:
        self._records = iter(records)
        self._is_waiting = False
        self._is_interrupted = False

    def __iter__(self) -> Iterator[T]:
        """Return itself."""
        return self

    def __next__(self) -> T:
        """Return the next record.

        Raises:
            KeyboardInterrupt: Ctrl-C was pressed, now or since the last record.
        """
        self._is_waiting = True
        try:
            if self._is_interrupted:
                raise KeyboardInterrupt
            return next(self._records)
        finally:
            self._is_waiting = False

    def interrupt(self, *_: int | FrameType | None) -> None:
        """Handle the signal.

        Raises:
            KeyboardInterrupt: It waits for a record, or the user presses Ctrl-C once more.
        """
        if self._is_waiting or self._is_interrupted:
            raise KeyboardInterrupt
        self._is_interrupted = True


@contextmanager
def interruptible(records: Iterable[T]) -> Iterator[Iterable[T]]:
    """Give *records*, and let Ctrl-C end them between two."""
    wrapped = Interruptible(records)
    try:
        before = signal.signal(signal.SIGINT, wrapped.interrupt)
    except ValueError:  # not the main thread, which alone gets signals
        yield wrapped
        return
    try:
        yield wrapped
    finally:
        signal.signal(signal.SIGINT, before)
