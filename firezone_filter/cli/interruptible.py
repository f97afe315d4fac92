"""Ctrl-C while a capture is read: it ends between two packets, not in the middle of one."""

import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TypeVar

from firezone_filter.capture.damage import DamagedCaptureError
from firezone_filter.cli.exit import UnusableError

T = TypeVar("T")


class Interrupts:
    """Raises `KeyboardInterrupt` only while a capture is waited for, unless the user insists."""

    def __init__(self, *, reads_on: bool) -> None:
        """Expect no Ctrl-C yet; if it *reads_on*, the second ends the reading, not the first."""
        self._presses = 0
        self._last_press = 2 if reads_on else 1
        self._is_waiting = False

    @contextmanager
    def heeded(self) -> Iterator[None]:
        """Handle Ctrl-C in this way."""
        try:
            before = signal.signal(signal.SIGINT, self.interrupt)
        except ValueError:  # not the main thread, which alone gets signals
            yield
            return
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)

    def interrupt(self, *_: int | FrameType | None) -> None:
        """Handle the signal.

        Raises:
            KeyboardInterrupt: It ends the reading and something is being read, or the user
                presses Ctrl-C once more than that.
        """
        self._presses += 1
        if self._presses >= self._last_press + (not self._is_waiting):
            raise KeyboardInterrupt

    def wait_for(self, read: Callable[[], T]) -> T:
        """Return what *read* returns.

        Raises:
            KeyboardInterrupt: Ctrl-C ends the reading; or it was pressed, and then the input
                ended, wherever that was.
            Exception: Anything else that *read* raises.
        """
        self._is_waiting = True
        try:
            if self._presses >= self._last_press:
                raise KeyboardInterrupt
            return read()
        except (StopIteration, DamagedCaptureError, UnusableError):
            if self._presses:
                raise KeyboardInterrupt from None
            raise
        finally:
            self._is_waiting = False

    def records(self, records: Iterable[T]) -> Iterator[T]:
        """Yield each of *records*.

        Raises:
            KeyboardInterrupt: as `wait_for`, between two of them.
        """
        following = iter(records).__next__
        while True:
            try:
                record = self.wait_for(following)
            except StopIteration:
                return
            yield record
