"""The record, the byte stream and the size limit that both readers of captures share."""

from select import select
from typing import BinaryIO, Final, Protocol, runtime_checkable

from attrs import define, field, frozen

from firezone_filter.capture.compression import UnpackingError, is_compressed
from firezone_filter.capture.damage import DamagedCaptureError
from firezone_filter.capture.formats import MAX_PACKET
from firezone_filter.capture.interface import Interface
from firezone_filter.capture.unpacked import Unpacked
from firezone_filter.structures.attribute_docs import documented

_MAGIC_SIZE: Final = 6

NS_PER_S: Final = 1_000_000_000

TIME_END_NS: Final = (1 << 32) * NS_PER_S
"""The end of usual time stamps, in 2106: seconds in a classic capture file have 32 bits."""


@documented
@frozen
class Record:
    """One captured frame."""

    time_ns: int
    """Nanoseconds of Unix time, as the capture has them: of any year, even a negative one."""

    link_type: int
    """LINKTYPE number: the kind of header at the start of *frame*."""

    frame: bytes
    """The captured bytes."""

    wire_length: int
    """The length of the frame on the wire; more than *frame* has if the snap length cut it."""

    interface: Interface | None = field(default=None, eq=False, repr=False)
    """Where it was captured; `None` if the capture does not say."""

    @property
    def seconds(self) -> float:
        """Unix time, as exact as a float can be."""
        return self.time_ns / NS_PER_S


class Bytes(Protocol):
    """The bytes of a capture, taken in order."""

    @property
    def position(self) -> int:
        """Bytes taken so far; of a compressed capture, those that it stands for."""

    def take(self, size: int) -> bytes:
        """Return the next *size* bytes; fewer only at the end.

        Raises:
            DamagedCaptureError: Reading fails.
        """

    def need(self, size: int) -> bytes:
        """Return the next *size* bytes.

        Raises:
            DamagedCaptureError: The capture ends before, or reading fails.
        """


@runtime_checkable
class _ReadsSome(Protocol):
    """Our own streams, which read into an array."""

    def read_some(self, view: memoryview) -> int:
        """Fill the start of *view* with bytes as soon as there are any; return how many."""
        ...


@define
class ByteStream:
    """A stream that is read forward only, unpacked if it is compressed, and counts the bytes."""

    _stream: BinaryIO
    position: int = 0
    """Bytes taken so far; of a compressed capture, those that it stands for."""

    _head: bytes = field(init=False, default=b"")
    _unpacked: Unpacked | None = field(init=False, default=None)
    _source: BinaryIO | Unpacked = field(init=False)

    def __attrs_post_init__(self) -> None:
        """Look at the first bytes.

        Raises:
            DamagedCaptureError: Reading fails.
        """
        self._source = self._stream
        try:
            self._head = self._stream.read(_MAGIC_SIZE)
        except OSError as error:
            raise _damage(error) from None
        if is_compressed(self._head):
            self._source = self._unpacked = Unpacked(self._stream, self._head)
            self._head = b""

    @property
    def file_position(self) -> int:
        """How far the file has been read, in its own bytes."""
        return self.position if self._unpacked is None else self._unpacked.position

    def take(self, size: int) -> bytes:
        """Return the next *size* bytes; fewer only at the end of the stream.

        Raises:
            DamagedCaptureError: Reading fails.
        """
        if self._head:
            return self._take_head(size)
        try:
            data = self._source.read(size)
        except (OSError, UnpackingError) as error:
            raise _damage(error) from None
        self.position += len(data)
        return data

    def _take_head(self, size: int) -> bytes:
        head, self._head = self._head[:size], self._head[size:]
        self.position += len(head)
        return head + self.take(size - len(head)) if len(head) < size else head

    def need(self, size: int) -> bytes:
        """Return the next *size* bytes.

        Raises:
            DamagedCaptureError: The stream ends before, or reading fails.
        """
        data = self.take(size)
        if len(data) < size:
            raise DamagedCaptureError(f"it is cut short at byte {self.position}")
        return data

    def read_into(self, view: memoryview) -> int:
        """Fill the start of *view* as soon as there are bytes; return how many, 0 at the end.

        Raises:
            DamagedCaptureError: Reading fails.
        """
        # (The header of the file has taken the first bytes.)
        try:
            size = self._read_some(view)
        except (OSError, UnpackingError) as error:
            raise _damage(error) from None
        self.position += size
        return size

    def _read_some(self, view: memoryview) -> int:
        source = self._source
        if isinstance(source, _ReadsSome):
            return source.read_some(view)
        # Not `readinto1`, which waits for more even if some bytes are there already.
        read = getattr(source, "read1", source.read)
        data: bytes = read(len(view))
        view[: len(data)] = data
        return len(data)

    @property
    def is_ready(self) -> bool:
        """Whether reading on would not wait; `False` if nobody knows."""
        try:
            return bool(select([self._stream], [], [], 0)[0])
        except (OSError, TypeError, ValueError):  # no file, closed, or nothing that can wait
            return False


def _damage(error: OSError | UnpackingError) -> DamagedCaptureError:
    if isinstance(error, UnpackingError):
        return DamagedCaptureError(str(error))
    return DamagedCaptureError(f"reading stops: {error.strerror or error}")


def check_size(captured: int, stream: Bytes) -> None:
    """Check the length of the packet whose header ends at the position of *stream*.

    Raises:
        DamagedCaptureError: *captured* is more than `MAX_PACKET`.
    """
    if captured > MAX_PACKET:
        raise DamagedCaptureError(
            f"the packet before byte {stream.position} claims {captured} bytes"
        )
