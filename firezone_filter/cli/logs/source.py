"""Reads the entries of one log: a file, or standard input."""

import os
import stat
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, Protocol, cast

from attrs import define, field

from firezone_filter.capture.compression import Unpacker, UnpackingError
from firezone_filter.capture.extras import MissingExtraError
from firezone_filter.cli.exit import UnusableError
from firezone_filter.cli.inputs import display_name
from firezone_filter.cli.logs.entries import Entry, EntryReader
from firezone_filter.cli.logs.splitter import Splitter
from firezone_filter.cli.outputs import STANDARD

CHUNK: Final = 1 << 16
"""Bytes to read at a time: the capacity of a pipe."""


class Stream(Protocol):
    """The part of a binary file that a source uses."""

    def read1(self, size: int, /) -> bytes:
        """Return at most *size* bytes, as soon as any have come; none at the end."""

    def fileno(self) -> int:
        """Return the file descriptor, or raise an `OSError`."""

    def close(self) -> None:
        """Close it."""


@define(eq=False)
class Source:
    """A log that is being read, forward only."""

    name: str
    """The name for messages."""

    _stream: Stream

    _complain: Callable[[str], None]
    """Gets a line if reading fails."""

    _before_reading: Callable[[], None]
    """Called before each read, which may block."""

    position: int = 0
    """Bytes read so far, compressed ones as they are."""

    _unpacker: Unpacker = field(init=False, factory=Unpacker)
    _splitter: Splitter = field(init=False, factory=Splitter)
    _reader: EntryReader = field(init=False)
    _broken: bool = field(init=False, default=False)

    def __attrs_post_init__(self) -> None:
        self._reader = EntryReader(self.name)

    def entries(self) -> Iterator[Entry]:
        """Yield the entries that have come, up to the last finished line; call again for more."""
        while chunk := self._take():
            yield from self._unpacked(self._unpacker.feed(chunk))

    def finish(self) -> Iterator[Entry]:
        """Yield the entries of an unfinished last line, after the end of the file."""
        if not self._broken:
            yield from self._unpacked(self._unpacker.finish())
        for piece in self._splitter.finish():
            yield from self._reader.read(piece)

    def status(self) -> os.stat_result:
        """Return the status of the open file.

        Raises:
            OSError: The stream is not a file.
        """
        return os.fstat(self._stream.fileno())

    def close(self) -> None:
        """Close the file; standard input is not ours to close."""
        if self._stream is not getattr(sys.stdin, "buffer", None):
            self._stream.close()

    def _unpacked(self, chunks: Iterator[bytes]) -> Iterator[Entry]:
        try:
            for chunk in chunks:
                for piece in self._splitter.feed(chunk):
                    yield from self._reader.read(piece)
        except (MissingExtraError, UnpackingError) as error:
            self._stop(str(error))

    def _take(self) -> bytes:
        if self._broken:
            return b""
        self._before_reading()
        try:
            chunk = self._stream.read1(CHUNK)
        except OSError as error:
            self._stop(error.strerror or str(error))
            return b""
        self.position += len(chunk)
        return chunk

    def _stop(self, why: str) -> None:
        self._broken = True
        self._complain(f"{self.name}: reading stops: {why}")


def open_source(
    name: str, complain: Callable[[str], None], before_reading: Callable[[], None]
) -> Source:
    """Open the log in the file *name*; `-` is standard input.

    Raises:
        UnusableError: It cannot be opened.
    """
    if name == STANDARD:
        if sys.stdin is None:
            raise UnusableError(f"{display_name(name)}: it is closed")
        return Source(
            display_name(name), cast("Stream", sys.stdin.buffer), complain, before_reading
        )
    try:
        stream = Path(name).open("rb")  # noqa: SIM115 - the source closes it
    except OSError as error:
        raise UnusableError(f"{name}: {error.strerror}") from None
    return Source(name, stream, complain, before_reading)


def is_file(status: os.stat_result) -> bool:
    """Tell whether *status* is that of a regular file: it has a size, and reads never block."""
    return stat.S_ISREG(status.st_mode)
