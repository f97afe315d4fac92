"""The layout of capture files: magic numbers and `struct` layouts, those that dpkt has.

dpkt itself is not used. To import it takes as long as to read and decide about 30,000 packets.
Its readers drop the original length of a packet, return the rest of a file that is cut short
as if it were a whole packet, round time stamps to a float, allocate as much as a length
field asks for, and know only one interface of a pcapng file.
"""

from collections.abc import Iterator
from struct import Struct
from typing import BinaryIO, Final, Literal

from attrs import frozen

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

    is_big_endian: bool


_MICROSECONDS: Final = 0xA1B2C3D4
_NANOSECONDS: Final = 0xA1B23C4D
_MODIFIED: Final = 0xA1B2CD34
"""That of Alexey Kuznetsov, with more in each packet header."""

_VERSION: Final = 2, 4


def _pcap_formats() -> Iterator[tuple[bytes, PcapFormat]]:
    order: ByteOrder
    for order in (">", "<"):
        for magic in (_MICROSECONDS, _NANOSECONDS, _MODIFIED):
            yield (
                magic.to_bytes(4, "big" if order == ">" else "little"),
                PcapFormat(
                    Struct(order + "IHHIIII"),
                    Struct(order + ("IIIIIHBB" if magic == _MODIFIED else "IIII")),
                    1 if magic == _NANOSECONDS else 1_000,
                    order == ">",
                ),
            )


PCAP_FORMATS: Final[dict[bytes, PcapFormat]] = dict(_pcap_formats())
"""By the first four bytes of the file."""

PCAPNG_MAGIC: Final[bytes] = b"\n\r\r\n"
"""The type of a section header: the same in both byte orders."""

SECTION_BLOCK: Final[int] = 0x0A0D0D0A
INTERFACE_BLOCK: Final[int] = 1
PACKET_BLOCK: Final[int] = 2
SIMPLE_PACKET_BLOCK: Final[int] = 3
ENHANCED_PACKET_BLOCK: Final[int] = 6

OPTION_END: Final[int] = 0
OPTION_TIME_RESOLUTION: Final[int] = 9
OPTION_TIME_OFFSET: Final[int] = 14


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

    is_big_endian: bool


def _pcapng_format(order: ByteOrder) -> PcapngFormat:
    return PcapngFormat(
        block=Struct(order + "II"),
        length=Struct(order + "I"),
        section=Struct(order + "IIIHHq"),
        interface=Struct(order + "IIHHI"),
        packet=Struct(order + "IIHHIIII"),
        enhanced_packet=Struct(order + "IIIIIII"),
        simple_packet=Struct(order + "III"),
        option=Struct(order + "HH"),
        time_offset=Struct(order + "q"),
        is_big_endian=order == ">",
    )


PCAPNG_FORMATS: Final[dict[bytes, PcapngFormat]] = {
    b"\x1a\x2b\x3c\x4d": _pcapng_format(">"),
    b"\x4d\x3c\x2b\x1a": _pcapng_format("<"),
}
"""By the byte-order magic of the section header."""


class PcapWriter:
    """Writes raw IP packets to a classic capture file with nanosecond time stamps."""

    _FORMAT: Final = PCAP_FORMATS[_NANOSECONDS.to_bytes(4, "little")]

    def __init__(self, stream: BinaryIO) -> None:
        """Write the file header; *stream* stays the caller's to close."""
        self._stream = stream
        # Without dpkt's writer, which takes the captured for the original length.
        header = self._FORMAT.file_header
        stream.write(
            header.pack(
                _NANOSECONDS,
                *_VERSION,
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
