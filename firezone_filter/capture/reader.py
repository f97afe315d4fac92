"""Reads capture files as a stream: pcap and pcapng in, `Record`s or chunks of `Frames` out.

It owns framing and time stamps, looks into no packet, and holds one packet or chunk at a time,
so that memory does not grow with the capture. A file that is damaged or cut short raises
`DamagedCaptureError` after its last good record.
"""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, BinaryIO, Final

from firezone_filter.capture import formats
from firezone_filter.capture.damage import (
    DamagedCaptureError,
    NotACaptureError,
    UnreadableCaptureError,
)
from firezone_filter.capture.pcap import Pcap
from firezone_filter.capture.pcapng import Pcapng
from firezone_filter.capture.stream import ByteStream, Record

if TYPE_CHECKING:
    from firezone_filter.capture.frames import Frames

_MAGIC_SIZE: Final = 4

_FOREIGN: Final = {
    b"BZh": "compressed with bzip2; unpack it first",
    b"snoo": "a snoop capture; only pcap and pcapng are supported",
}


class Capture:
    """A capture that is being read, forward only: iterate it once, or its `chunks`."""

    def __init__(self, stream: BinaryIO) -> None:
        """Read the file header; *stream* stays the caller's to close.

        What is compressed with gzip, zstd, xz or lz4 is unpacked, whatever its name.

        Raises:
            MissingExtraError: What unpacks it is not installed.
            UnreadableCaptureError: It is no capture, or its format is not supported.
        """
        try:
            self._stream = ByteStream(stream)
            self._reader = _reader(self._stream)
        except DamagedCaptureError as error:
            # Without a header there is no link type, so not one packet can be read.
            raise UnreadableCaptureError(f"no capture can be read: {error}") from None
        self._link_type = self._reader.link_type if isinstance(self._reader, Pcap) else None
        self._records = self._reader.records()

    @property
    def link_type(self) -> int | None:
        """The link type of all records; `None` if each interface has its own (pcapng)."""
        return self._link_type

    @property
    def position(self) -> int:
        """Bytes of the file read so far; of a compressed one, compressed bytes."""
        return self._stream.file_position

    def __iter__(self) -> Iterator[Record]:
        """Yield the records, whatever their time stamps are.

        Raises:
            DamagedCaptureError: After the last good record, if the file is damaged there.
            UnreadableCaptureError: A section of a pcapng file has an unknown version.
        """
        return self._records

    def chunks(self, size: Callable[[], int] | None = None) -> "Iterator[Frames]":
        """Yield the records in chunks, of about 8 MiB unless *size* says how many bytes.

        Of a stream that is still being written, a chunk is what has come by then. It needs numpy.

        Raises:
            DamagedCaptureError: After the last good record, if the file is damaged there.
            UnreadableCaptureError: A section of a pcapng file has an unknown version.
        """
        from firezone_filter.capture.chunks import chunks  # noqa: PLC0415 - it needs numpy

        return chunks(self._stream, self._reader, size)


def _reader(stream: ByteStream) -> Pcap | Pcapng:
    magic = stream.take(_MAGIC_SIZE)
    if magic == formats.PCAPNG_MAGIC:
        return Pcapng(stream)
    if magic in formats.PCAP_FORMATS:
        return Pcap(stream, magic)
    raise NotACaptureError(_diagnosis(magic))


def _diagnosis(magic: bytes) -> str:
    if not magic:
        return "not a capture: it is empty"
    for start, name in _FOREIGN.items():
        if magic.startswith(start):
            return f"not a capture: {name}"
    return "not a capture: it is neither pcap nor pcapng"
