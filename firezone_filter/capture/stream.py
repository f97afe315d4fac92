"""What the readers of capture files share: the record, the stream, and the limits."""

from typing import BinaryIO, Final

from attrs import define, frozen

from firezone_filter.capture.errors import DamagedCaptureError
from firezone_filter.capture.formats import MAX_PACKET

NS_PER_S: Final = 1_000_000_000


@frozen
class Record:
    """One captured frame."""

    time_ns: int
    """Nanoseconds of Unix time."""

    link_type: int
    """LINKTYPE number: how *frame* starts."""

    frame: bytes
    """The bytes that were captured."""

    wire_length: int
    """The bytes that the frame had; more than *frame* if the snap length cut it."""

    @property
    def seconds(self) -> float:
        """Unix time, as exact as a float can be."""
        return self.time_ns / NS_PER_S

    @property
    def is_cut(self) -> bool:
        """Whether the snap length cut the frame."""
        return self.wire_length > len(self.frame)


@define
class ByteStream:
    """A stream that is read forward and knows how far it has come."""

    _stream: BinaryIO
    position: int = 0

    def take(self, size: int) -> bytes:
        """Return the next *size* bytes; fewer only at the end of the stream."""
        try:
            data = self._stream.read(size)
        except OSError as error:
            raise DamagedCaptureError(f"reading stops: {error.strerror or error}") from None
        self.position += len(data)
        return data

    def need(self, size: int) -> bytes:
        """Return the next *size* bytes.

        Raises:
            DamagedCaptureError: There are fewer.
        """
        data = self.take(size)
        if len(data) < size:
            raise DamagedCaptureError(f"it is cut short at byte {self.position}")
        return data


def check_size(captured: int, stream: ByteStream) -> None:
    """Refuse a packet of *captured* bytes, which was announced where *stream* stands.

    Raises:
        DamagedCaptureError: No packet is that long.
    """
    if captured > MAX_PACKET:
        raise DamagedCaptureError(
            f"the packet before byte {stream.position} claims {captured} bytes"
        )
