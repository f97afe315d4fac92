"""A compressed stream as the capture that is in it."""

from collections.abc import Iterator
from typing import BinaryIO, Final

from firezone_filter.capture.compression import Unpacker, UnpackingError

_PACKED_CHUNK: Final = 1 << 16
"""Compressed bytes to read at a time: the capacity of a pipe."""


class Unpacked:
    """Reads what a compressed stream stands for, forward only."""

    def __init__(self, stream: BinaryIO, head: bytes) -> None:
        """Continue behind *head*, which was read already; *stream* stays the caller's to close."""
        self.position: int = len(head)
        """Compressed bytes read so far."""
        self._stream = stream
        self._pieces = self._unpack(head)
        self._piece = memoryview(b"")
        self._failure: OSError | UnpackingError | None = None

    def read(self, size: int) -> bytes:
        """Return the next *size* bytes; fewer only at the end.

        Raises:
            UnpackingError: It is damaged or cut short before.
            OSError: Reading fails.
        """
        data = b""
        while len(data) < size and self._has_piece():
            data += self._take(size - len(data))
        return data

    def read_some(self, view: memoryview) -> int:
        """Fill the start of *view* with bytes as soon as there are any; return how many.

        Raises:
            UnpackingError: It is damaged or cut short here.
            OSError: Reading fails.
        """
        data = self._take(len(view)) if self._has_piece() else b""
        view[: len(data)] = data
        return len(data)

    def _take(self, size: int) -> memoryview:
        data, self._piece = self._piece[:size], self._piece[size:]
        return data

    def _has_piece(self) -> bool:
        if not self._piece:
            self._piece = memoryview(next(self._pieces, b""))
            # What was unpacked before it comes first.
            if not self._piece and self._failure is not None:
                raise self._failure
        return bool(self._piece)

    def _unpack(self, chunk: bytes) -> Iterator[bytes]:
        unpacker = Unpacker()
        read = getattr(self._stream, "read1", self._stream.read)
        try:
            while chunk:
                yield from unpacker.feed(chunk)
                chunk = read(_PACKED_CHUNK)
                self.position += len(chunk)
            yield from unpacker.finish()
        except (OSError, UnpackingError) as error:
            self._failure = error
