"""Reads pcapng: sections, interfaces, and the three kinds of packet blocks.

Each section has its own byte order, each interface its own link type and time resolution
(draft-ietf-opsawg-pcapng). Other blocks hold names, statistics and secrets, but no packets:
they are skipped.
"""

from collections.abc import Callable, Iterator
from struct import Struct
from typing import Final

from attrs import define, field, frozen

from firezone_filter.capture import formats
from firezone_filter.capture.damage import DamagedCaptureError, UnreadableCaptureError
from firezone_filter.capture.formats import PcapngFormat
from firezone_filter.capture.stream import NS_PER_S, ByteStream, Record, check_size

MAX_BLOCK: Final = 16 * 1024 * 1024
"""The longest block, in bytes: libpcap's limit. A larger length field is damage, and must not
become an allocation."""

MAX_INTERFACES: Final = 65_536
"""The most interfaces of one section: as many as the older packet block can number. A file
full of interface blocks must not exhaust the memory."""

_MICROSECONDS: Final = 1_000_000


@frozen
class _Interface:
    """One interface of a pcapng section: how to read its packets and their times."""

    link_type: int
    snap_length: int
    """0 means no limit."""

    ticks_per_second: int
    offset_ns: int

    def time_ns(self, high: int, low: int) -> int:
        return (high << 32 | low) * NS_PER_S // self.ticks_per_second + self.offset_ns


@define
class Pcapng:
    """Reads the blocks of a pcapng file, from behind its first four bytes on."""

    _stream: ByteStream
    _format: PcapngFormat = field(init=False)
    _interfaces: list[_Interface] = field(init=False, factory=list)
    _time_ns: int = field(init=False, default=0)

    def __attrs_post_init__(self) -> None:
        self._read_section()

    def records(self) -> Iterator[Record]:
        """Yield the packets of all sections.

        Raises:
            DamagedCaptureError: After the last good packet, if the file is damaged there.
            UnreadableCaptureError: A later section has an unknown version.
        """
        readers: dict[int, Callable[[bytes], Record]] = {
            formats.ENHANCED_PACKET_BLOCK: self._enhanced_packet,
            formats.PACKET_BLOCK: self._packet,
            formats.SIMPLE_PACKET_BLOCK: self._simple_packet,
        }
        while (block := self._next_block()) is not None:
            kind, data = block
            if kind == formats.INTERFACE_BLOCK:
                self._add_interface(data)
            elif (reader := readers.get(kind)) is not None:
                record = reader(data)
                self._time_ns = record.time_ns
                yield record

    def _next_block(self) -> tuple[int, bytes] | None:
        """Return type and bytes of the next block, after reading any section headers."""
        while start := self._stream.take(len(formats.PCAPNG_MAGIC)):
            if start == formats.PCAPNG_MAGIC:
                self._read_section()
                continue
            start += self._stream.need(self._format.block.size - len(start))
            kind, length = self._format.block.unpack(start)
            return kind, self._rest_of_block(start, length)
        return None

    def _read_section(self) -> None:
        # The byte order comes after the length, but is needed to read it.
        length_and_order = self._stream.need(8)
        order = length_and_order[4:]
        if order not in formats.PCAPNG_FORMATS:
            raise DamagedCaptureError("a section of it has no byte order")
        self._format = formats.PCAPNG_FORMATS[order]
        self._interfaces.clear()
        (length,) = self._format.length.unpack(length_and_order[:4])
        start = formats.PCAPNG_MAGIC + length_and_order
        fields = self._fields(self._format.section, self._rest_of_block(start, length))
        major, minor = fields[3], fields[4]
        if (major, minor) not in {(1, 0), (1, 2)}:
            raise UnreadableCaptureError(f"pcapng version {major}.{minor} is not supported")

    def _rest_of_block(self, start: bytes, length: int) -> bytes:
        """Return the block that begins with *start*, without the repeated length at its end."""
        tail = self._format.length
        if length % 4 or not len(start) + tail.size <= length <= MAX_BLOCK:
            raise self._damage(f"claims {length} bytes")
        rest = self._stream.need(length - len(start))
        if tail.unpack(rest[-tail.size :]) != (length,):
            raise self._damage("ends with another length than it begins with")
        return start + rest[: -tail.size]

    def _damage(self, what: str) -> DamagedCaptureError:
        return DamagedCaptureError(f"the block before byte {self._stream.position} {what}")

    def _fields(self, layout: Struct, block: bytes) -> tuple[int, ...]:
        if len(block) < layout.size:
            raise self._damage("is too short for its kind")
        return layout.unpack_from(block)

    def _add_interface(self, block: bytes) -> None:
        layout = self._format.interface
        _, _, link_type, _, snap_length = self._fields(layout, block)
        if len(self._interfaces) == MAX_INTERFACES:
            raise self._damage(f"is more than the {MAX_INTERFACES}th interface")
        ticks, offset_ns = _MICROSECONDS, 0
        for code, value in self._options(block, layout.size):
            if code == formats.OPTION_TIME_RESOLUTION:
                ticks = self._ticks_per_second(value)
            elif code == formats.OPTION_TIME_OFFSET:
                offset_ns = self._seconds(value) * NS_PER_S
        self._interfaces.append(_Interface(link_type, snap_length, ticks, offset_ns))

    def _options(self, block: bytes, start: int) -> Iterator[tuple[int, bytes]]:
        # dpkt decodes comments as it reads options, and raises over one that is not
        # UTF-8: it would cost a good capture.
        layout = self._format.option
        while start + layout.size <= len(block):
            code, length = layout.unpack_from(block, start)
            if code == formats.OPTION_END:
                return
            start += layout.size
            if start + length > len(block):
                raise self._damage("has an option that is longer than itself")
            yield code, block[start : start + length]
            start += length + -length % 4

    def _ticks_per_second(self, value: bytes) -> int:
        if len(value) != 1:
            raise self._damage("has a time resolution that is not one byte")
        exponent = value[0] & 0x7F
        # The other seven bits are the negative exponent; the highest one selects the base.
        return int(2**exponent if value[0] & 0x80 else 10**exponent)

    def _seconds(self, value: bytes) -> int:
        layout = self._format.time_offset
        if len(value) != layout.size:
            raise self._damage("has a time offset that is not eight bytes")
        return int(layout.unpack(value)[0])

    def _interface(self, number: int) -> _Interface:
        if number >= len(self._interfaces):
            raise self._damage(f"is of interface {number}, which nothing describes")
        return self._interfaces[number]

    def _enhanced_packet(self, block: bytes) -> Record:
        layout = self._format.enhanced_packet
        _, _, number, high, low, captured, original = self._fields(layout, block)
        interface = self._interface(number)
        frame = self._frame(block, layout.size, captured)
        return Record(interface.time_ns(high, low), interface.link_type, frame, original)

    def _packet(self, block: bytes) -> Record:
        layout = self._format.packet
        _, _, number, _, high, low, captured, original = self._fields(layout, block)
        interface = self._interface(number)
        frame = self._frame(block, layout.size, captured)
        return Record(interface.time_ns(high, low), interface.link_type, frame, original)

    def _simple_packet(self, block: bytes) -> Record:
        layout = self._format.simple_packet
        _, _, original = self._fields(layout, block)
        interface = self._interface(0)
        captured = min(original, interface.snap_length or original)
        frame = self._frame(block, layout.size, captured)
        # This block has no time stamp: it gets that of the packet before it.
        return Record(self._time_ns, interface.link_type, frame, original)

    def _frame(self, block: bytes, start: int, captured: int) -> bytes:
        check_size(captured, self._stream)
        if start + captured > len(block):
            raise self._damage(f"is too short for a packet of {captured} bytes")
        return block[start : start + captured]
