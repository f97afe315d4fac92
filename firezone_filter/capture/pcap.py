"""Reads classic capture files: one link type, one time resolution, one packet behind the other."""

from collections.abc import Iterator
from typing import Final

from attrs import define, field

from firezone_filter.capture import formats
from firezone_filter.capture.damage import DamagedCaptureError, UnreadableCaptureError
from firezone_filter.capture.formats import PcapFormat
from firezone_filter.capture.interface import MICROSECONDS, NANOSECONDS, Interface
from firezone_filter.capture.stream import NS_PER_S, Bytes, Record, check_size

_LINK_TYPE_BITS: Final = 0x03FF_FFFF
"""libpcap's LT_LINKTYPE: the bits above describe frame check sequences."""


@define
class Pcap:
    """Reads the packets of a pcap file, from behind its first four bytes, *magic*, on."""

    _stream: Bytes
    _magic: bytes
    format: PcapFormat = field(init=False)
    link_type: int = field(init=False)
    interface: Interface = field(init=False)

    def __attrs_post_init__(self) -> None:
        """Read the file header.

        Raises:
            DamagedCaptureError: The file ends before.
            UnreadableCaptureError: It has an unknown version.
        """
        self.format = formats.PCAP_FORMATS[self._magic]
        layout = self.format.file_header
        header = self._magic + self._stream.need(layout.size - len(self._magic))
        _, major, minor, _, _, snap_length, link = layout.unpack(header)
        # Before 2.4, some writers swapped the two lengths of a packet.
        if (major, minor) < (2, 4) or major > 2:  # noqa: PLR2004 - the version's number
            raise UnreadableCaptureError(f"pcap version {major}.{minor} is not supported")
        self.link_type = link & _LINK_TYPE_BITS
        resolution = NANOSECONDS if self.format.ns_per_tick == 1 else MICROSECONDS
        self.interface = Interface(self.link_type, snap_length, resolution)

    def read_ahead(self, window: Bytes) -> None:
        """Take the bytes that follow from *window*."""
        self._stream = window

    def records(self) -> Iterator[Record]:
        """Yield the packets.

        Raises:
            DamagedCaptureError: After the last good packet, if the file is damaged there.
        """
        stream, layout, link_type = self._stream, self.format.packet_header, self.link_type
        interface, ns_per_tick = self.interface, self.format.ns_per_tick
        while head := stream.take(layout.size):
            if len(head) < layout.size:
                raise DamagedCaptureError(f"it is cut short at byte {stream.position}")
            seconds, ticks, captured, original = layout.unpack(head)[:4]
            check_size(captured, stream)
            time_ns = seconds * NS_PER_S + ticks * ns_per_tick
            yield Record(time_ns, link_type, stream.need(captured), original, interface)
