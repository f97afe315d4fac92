"""A window on the bytes of a capture: a long piece of it, in which headers are walked at once."""

from typing import Final

import numpy as np
from attrs import define, field
from numpy.typing import NDArray

from firezone_filter.capture.damage import DamagedCaptureError
from firezone_filter.capture.stream import ByteStream

_SMALLEST: Final = 256


@define(eq=False)
class Window:
    """Bytes that were read ahead, and those taken from them (`Bytes`).

    Whoever walks in `data` moves `at`. An array that was read into is not used again, so chunks
    may keep it.
    """

    _stream: ByteStream

    size: int
    """How many bytes to hold; more only for a block that is longer. It may be changed."""

    data: NDArray[np.uint8] = field(init=False, factory=lambda: np.empty(0, np.uint8))
    at: int = field(init=False, default=0)
    """The index in `data` of the next byte to take."""

    end: int = field(init=False, default=0)
    """The index behind the last byte."""

    _failure: DamagedCaptureError | None = field(init=False, default=None)

    @property
    def position(self) -> int:
        """Bytes taken so far."""
        return self._stream.position - (self.end - self.at)

    def refill(self) -> bool:
        """Read on, into a new array that begins with the bytes that are left.

        It waits for some bytes, and takes what is there without waiting for more: a live capture
        is passed on as it comes.

        Returns:
            `False` if nothing came: the stream has ended, or reading failed, which the next
            `take` of more than is left raises.
        """
        if self._failure is not None:
            return False
        left = self.end - self.at
        # Twice, lest a long block be copied for every few bytes of it.
        data = np.empty(max(self.size, 2 * left, _SMALLEST), np.uint8)
        data[:left] = self.data[self.at : self.end]
        view, end = data.data, left
        try:
            while end < len(data) and (end == left or self._stream.is_ready):
                if not (size := self._stream.read_into(view[end:])):
                    break
                end += size
        except DamagedCaptureError as failure:
            self._failure = failure
        if end == left:
            return False
        self.data, self.at, self.end = data, 0, end
        return True

    def take(self, size: int) -> bytes:
        """Return the next *size* bytes; fewer only at the end of the stream.

        Raises:
            DamagedCaptureError: Reading fails.
        """
        while self.end - self.at < size:
            if not self.refill():
                break
        if self._failure is not None and self.end - self.at < size:
            raise self._failure
        at = self.at
        self.at = min(at + size, self.end)
        return self.data[at : self.at].tobytes()

    def need(self, size: int) -> bytes:
        """Return the next *size* bytes.

        Raises:
            DamagedCaptureError: The stream ends before, or reading fails.
        """
        data = self.take(size)
        if len(data) < size:
            raise DamagedCaptureError(f"it is cut short at byte {self.position}")
        return data
