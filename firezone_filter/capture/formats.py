"""The layout of capture files, taken from dpkt: the only module here that imports it.

Only magic numbers and `struct` layouts leave this module, typed. dpkt's readers are not
used: they drop the original length of a packet, return the rest of a file that is cut short
as if it were a whole packet, round time stamps to a float, allocate as much as a length
field asks for, and know only one interface of a pcapng file.
"""

from struct import Struct
from typing import Any, BinaryIO, Final, Literal

from attrs import frozen
from dpkt import pcap, pcapng

ByteOrder = Literal["<", ">"]

LINK_RAW_IP: Final = 101

MAX_PACKET: Final = 262_144
"""The longest captured packet, in bytes: libpcap's MAXIMUM_SNAPLEN. A larger length field is
damage, and must not become an allocation."""


@frozen
class PcapFormat:
    """One of the six kinds of classic capture files; the magic number tells which."""

    file_header: Struct
    """Magic, version (major, minor), zone, accuracy, snap length, link type."""

    packet_header: Struct
    """Seconds, fraction, captured length, original length; modified formats have more."""

    ns_per_tick: int
    """Nanoseconds in one unit of the fraction."""


def _pcap_formats() -> dict[bytes, PcapFormat]:
    nanosecond = {pcap.TCPDUMP_MAGIC_NANO, pcap.PMUDPCT_MAGIC_NANO}
    return {
        magic.to_bytes(4, "big"): PcapFormat(
            # dpkt lists magic numbers in big-endian order, and only its packet headers
            # have the byte order of the file.
            Struct(header.__hdr_fmt__[0] + pcap.FileHdr.__hdr_fmt__[1:]),
            Struct(header.__hdr_fmt__),
            1 if magic in nanosecond else 1_000,
        )
        for magic, header in pcap.MAGIC_TO_PKT_HDR.items()
    }


PCAP_FORMATS: Final[dict[bytes, PcapFormat]] = _pcap_formats()
"""By the first four bytes of the file."""

PCAPNG_MAGIC: Final[bytes] = pcapng.PCAPNG_BT_SHB.to_bytes(4, "big")
"""The type of a section header: the same in both byte orders."""

INTERFACE_BLOCK: Final[int] = pcapng.PCAPNG_BT_IDB
PACKET_BLOCK: Final[int] = pcapng.PCAPNG_BT_PB
SIMPLE_PACKET_BLOCK: Final[int] = pcapng.PCAPNG_BT_SPB
ENHANCED_PACKET_BLOCK: Final[int] = pcapng.PCAPNG_BT_EPB

OPTION_END: Final[int] = pcapng.PCAPNG_OPT_ENDOFOPT
OPTION_TIME_RESOLUTION: Final[int] = pcapng.PCAPNG_OPT_IF_TSRESOL
OPTION_TIME_OFFSET: Final[int] = pcapng.PCAPNG_OPT_IF_TSOFFSET


@frozen
class PcapngFormat:
    """How the blocks of a pcapng section begin, in the byte order of the section.

    Every layout begins with the block's type and length, and leaves out the repetition of
    the length at the block's end.
    """

    block: Struct
    """Type, length."""

    length: Struct
    """The repeated length alone."""

    section: Struct
    """Then: byte-order magic, version (major, minor), section length."""

    interface: Struct
    """Then: link type, reserved, snap length."""

    packet: Struct
    """Then: interface, drops, time (high, low), captured length, original length."""

    enhanced_packet: Struct
    """Then: interface, time (high, low), captured length, original length."""

    simple_packet: Struct
    """Then: original length."""

    option: Struct
    """Code, length."""

    time_offset: Struct
    """The value of the time offset option: seconds."""


def _pcapng_format(order: ByteOrder) -> PcapngFormat:
    def layout(block: Any) -> Struct:  # noqa: ANN401 - dpkt has no types
        # The last field is the repeated length, which comes after the variable part.
        return Struct(order + block.__hdr_fmt__[1:-1])

    return PcapngFormat(
        block=Struct(order + "II"),
        length=Struct(order + "I"),
        section=layout(pcapng.SectionHeaderBlock),
        interface=layout(pcapng.InterfaceDescriptionBlock),
        packet=layout(pcapng.PacketBlock),
        enhanced_packet=layout(pcapng.EnhancedPacketBlock),
        simple_packet=Struct(order + "III"),  # the one block that dpkt does not know
        option=Struct(order + pcapng.PcapngOption.__hdr_fmt__[1:]),
        time_offset=Struct(order + "q"),
    )


PCAPNG_FORMATS: Final[dict[bytes, PcapngFormat]] = {
    pcapng.BYTE_ORDER_MAGIC.to_bytes(4, "big"): _pcapng_format(">"),
    pcapng.BYTE_ORDER_MAGIC_LE.to_bytes(4, "big"): _pcapng_format("<"),
}
"""By the byte-order magic of the section header."""


class PcapWriter:
    """Writes raw IP packets to a classic capture file with nanosecond time stamps."""

    _FORMAT: Final = PCAP_FORMATS[pcap.PMUDPCT_MAGIC_NANO.to_bytes(4, "big")]

    def __init__(self, stream: BinaryIO) -> None:
        """Write the file header; *stream* stays the caller's to close."""
        self._stream = stream
        # Without dpkt's writer, which takes the captured for the original length.
        header = self._FORMAT.file_header
        stream.write(
            header.pack(
                pcap.TCPDUMP_MAGIC_NANO,
                pcap.PCAP_VERSION_MAJOR,
                pcap.PCAP_VERSION_MINOR,
                0,
                0,
                MAX_PACKET,
                LINK_RAW_IP,
            )
        )

    def write(self, time_ns: int, packet: bytes, wire_length: int) -> None:
        """Append one packet, which had *wire_length* bytes before a snap length cut it.

        *time_ns* is less than `stream.TIME_END_NS`.
        """
        seconds, ns = divmod(time_ns, 1_000_000_000)
        head = self._FORMAT.packet_header.pack(seconds, ns, len(packet), wire_length)
        self._stream.write(head + packet)
