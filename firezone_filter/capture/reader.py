"""Reads capture files as a stream: pcap and pcapng in, `Record`s out.

It owns framing and time stamps, looks into no packet, and holds one packet at a time, so
that memory does not grow with the capture. A file that is damaged or cut short raises
`DamagedCaptureError` after its last good record.
"""

from collections.abc import Iterator
from typing import BinaryIO, Final

from firezone_filter.capture import formats
from firezone_filter.capture.damage import DamagedCaptureError, UnreadableCaptureError
from firezone_filter.capture.formats import PcapFormat
from firezone_filter.capture.pcapng import Pcapng
from firezone_filter.capture.stream import NS_PER_S, ByteStream, Record, check_size

_MAGIC_SIZE: Final = 4
_LINK_TYPE_BITS: Final = 0x03FF_FFFF
"""libpcap's LT_LINKTYPE: the bits above describe frame check sequences."""

_FOREIGN: Final = {
    b"\x1f\x8b": "compressed with gzip; unpack it first",
    b"\x28\xb5\x2f\xfd": "compressed with zstd; unpack it first",
    b"\xfd7zX": "compressed with xz; unpack it first",
    b"snoo": "a snoop capture; only pcap and pcapng are supported",
}


class Capture:
    """A capture that is being read, forward only; iterate it once."""

    link_type: int | None
    """The link type of all records; `None` if each interface has its own (pcapng)."""

    def __init__(self, stream: BinaryIO) -> None:
        """Read the file header; *stream* stays the caller's to close.

        Raises:
            UnreadableCaptureError: It is no capture, or its format is not supported.
        """
        self._stream = ByteStream(stream)
        self.link_type, self._records = _start(self._stream)

    @property
    def position(self) -> int:
        """Bytes read so far."""
        return self._stream.position

    def __iter__(self) -> Iterator[Record]:
        """Yield the records, whatever their time stamps are.

        Raises:
            DamagedCaptureError: After the last good record, if the file is damaged there.
            UnreadableCaptureError: A section of a pcapng file has an unknown version.
        """
        return self._records


def _start(stream: ByteStream) -> tuple[int | None, Iterator[Record]]:
    try:
        magic = stream.take(_MAGIC_SIZE)
        if magic == formats.PCAPNG_MAGIC:
            return None, Pcapng(stream).records()
        if magic in formats.PCAP_FORMATS:
            return _pcap(stream, magic, formats.PCAP_FORMATS[magic])
    except DamagedCaptureError as error:
        # Without a header there is no link type, so not one packet can be read.
        raise UnreadableCaptureError(f"no capture can be read: {error}") from None
    raise UnreadableCaptureError(_diagnosis(magic))


def _diagnosis(magic: bytes) -> str:
    if not magic:
        return "not a capture: it is empty"
    for start, name in _FOREIGN.items():
        if magic.startswith(start):
            return f"not a capture: {name}"
    return "not a capture: it is neither pcap nor pcapng"


def _pcap(stream: ByteStream, magic: bytes, kind: PcapFormat) -> tuple[int, Iterator[Record]]:
    header = magic + stream.need(kind.file_header.size - _MAGIC_SIZE)
    _, major, minor, _, _, _, link = kind.file_header.unpack(header)
    # Before 2.4, some writers swapped the two lengths of a packet.
    if (major, minor) < (2, 4) or major > 2:  # noqa: PLR2004 - the version's number
        raise UnreadableCaptureError(f"pcap version {major}.{minor} is not supported")
    link_type = link & _LINK_TYPE_BITS
    return link_type, _pcap_records(stream, kind, link_type)


def _pcap_records(stream: ByteStream, kind: PcapFormat, link_type: int) -> Iterator[Record]:
    layout = kind.packet_header
    ns_per_tick = kind.ns_per_tick
    while head := stream.take(layout.size):
        if len(head) < layout.size:
            raise DamagedCaptureError(f"it is cut short at byte {stream.position}")
        seconds, ticks, captured, original = layout.unpack(head)[:4]
        check_size(captured, stream)
        time_ns = seconds * NS_PER_S + ticks * ns_per_tick
        yield Record(time_ns, link_type, stream.need(captured), original)
