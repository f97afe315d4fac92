"""The record, the byte stream and the size limit that both readers of captures share."""

from typing import BinaryIO, Final

from attrs import define, frozen

from firezone_filter.capture.damage import DamagedCaptureError
from firezone_filter.capture.formats import MAX_PACKET

NS_PER_S: Final = 1_000_000_000

TIME_END_NS: Final = (1 << 32) * NS_PER_S
"""The end of usual time stamps, in 2106: seconds in a classic capture file have 32 bits."""


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

    @property
    def seconds(self) -> float:
        """Unix time, as exact as a float can be."""
        return self.time_ns / NS_PER_S


@define
class ByteStream:
    """A stream that is read forward only, and counts the bytes."""

    _stream: BinaryIO
    position: int = 0
    """Bytes read so far."""

    def take(self, size: int) -> bytes:
        """Return the next *size* bytes; fewer only at the end of the stream.

        Raises:
            DamagedCaptureError: Reading fails.
        """
        try:
            data = self._stream.read(size)
        except OSError as error:
            raise DamagedCaptureError(f"reading stops: {error.strerror or error}") from None
        self.position += len(data)
        return data

    def need(self, size: int) -> bytes:
        """Return the next *size* bytes.

        Raises:
            DamagedCaptureError: The stream ends before, or reading fails.
        """
        data = self.take(size)
        if len(data) < size:
            raise DamagedCaptureError(f"it is cut short at byte {self.position}")
        return data


def check_size(captured: int, stream: ByteStream) -> None:
    """Check the length of the packet whose header ends at the position of *stream*.

    Raises:
        DamagedCaptureError: *captured* is more than `MAX_PACKET`.
    """
    if captured > MAX_PACKET:
        raise DamagedCaptureError(
            f"the packet before byte {stream.position} claims {captured} bytes"
        )
