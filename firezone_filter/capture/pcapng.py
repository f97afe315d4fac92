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
from firezone_filter.capture.interface import MICROSECONDS, Interface, ticks_per_second
from firezone_filter.capture.stream import NS_PER_S, Bytes, Record, check_size

MAX_BLOCK: Final = 16 * 1024 * 1024
"""The longest block, in bytes: libpcap's limit. A larger length field is damage, and must not
become an allocation."""

MAX_INTERFACES: Final = 65_536
"""The most interfaces of one section: as many as the older packet block can number. A file
full of interface blocks must not exhaust the memory."""

_LASTING_OPTIONS: Final = frozenset({2, 3, 4, 5, 6, 7, 11, 12, 13, 15})
"""Options of an interface that mean the same in any file: texts and strings of bytes, such as its
name. Numbers of several bytes are in the byte order of the section, and comments are notes about
one file."""


@frozen
class TimedInterface:
    """One interface of a pcapng section: how to read its packets and their times."""

    described: Interface
    ticks_per_second: int
    offset_ns: int

    def time_ns(self, ticks: int) -> int:
        """Return the nanoseconds of Unix time at *ticks*."""
        return ticks * NS_PER_S // self.ticks_per_second + self.offset_ns

    def record(self, time_ns: int, frame: bytes, wire_length: int) -> Record:
        """Return the record of a frame that was captured here."""
        return Record(time_ns, self.described.link_type, frame, wire_length, self.described)


@define
class Pcapng:
    """Reads the blocks of a pcapng file, from behind its first four bytes on."""

    _stream: Bytes
    format: PcapngFormat = field(init=False)
    """That of the current section."""

    interfaces: list[TimedInterface] = field(init=False, factory=list)
    """Those of the current section so far."""

    time_ns: int = field(init=False, default=0)
    """The time of the last packet: a simple packet block has none of its own."""

    frame_before: int = field(init=False, default=0)
    """How many bytes before the end of its block the frame of the last record began."""

    _readers: dict[int, Callable[[bytes], Record]] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._readers = {
            formats.ENHANCED_PACKET_BLOCK: self._enhanced_packet,
            formats.PACKET_BLOCK: self._packet,
            formats.SIMPLE_PACKET_BLOCK: self._simple_packet,
        }
        self._read_section()

    def read_ahead(self, window: Bytes) -> None:
        """Take the bytes that follow from *window*."""
        self._stream = window

    def records(self) -> Iterator[Record]:
        """Yield the packets of all sections.

        Raises:
            DamagedCaptureError: After the last good packet, if the file is damaged there.
            UnreadableCaptureError: A later section has an unknown version.
        """
        while (block := self.next_block()) is not None:
            if isinstance(block, Record):
                yield block

    def next_block(self) -> Record | int | None:
        """Read one block.

        Returns:
            The record in it; if there is none, the type of the block; `None` at the end.

        Raises:
            DamagedCaptureError: The file is damaged here.
            UnreadableCaptureError: It begins a section of an unknown version.
        """
        start = self._stream.take(len(formats.PCAPNG_MAGIC))
        if not start:
            return None
        if start == formats.PCAPNG_MAGIC:
            self._read_section()
            return formats.SECTION_BLOCK
        start += self._stream.need(self.format.block.size - len(start))
        kind, length = self.format.block.unpack(start)
        block = self._rest_of_block(start, length)
        if kind == formats.INTERFACE_BLOCK:
            self._add_interface(block)
        elif (reader := self._readers.get(kind)) is not None:
            record = reader(block)
            self.time_ns = record.time_ns
            return record
        return int(kind)

    def _read_section(self) -> None:
        # The byte order comes after the length, but is needed to read it.
        length_and_order = self._stream.need(8)
        order = length_and_order[4:]
        if order not in formats.PCAPNG_FORMATS:
            raise DamagedCaptureError("a section of it has no byte order")
        self.format = formats.PCAPNG_FORMATS[order]
        self.interfaces.clear()
        (length,) = self.format.length.unpack(length_and_order[:4])
        start = formats.PCAPNG_MAGIC + length_and_order
        fields = self._fields(self.format.section, self._rest_of_block(start, length))
        major, minor = fields[3], fields[4]
        if (major, minor) not in {(1, 0), (1, 2)}:
            raise UnreadableCaptureError(f"pcapng version {major}.{minor} is not supported")

    def _rest_of_block(self, start: bytes, length: int) -> bytes:
        """Return the block that begins with *start*, without the repeated length at its end."""
        tail = self.format.length
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
        layout = self.format.interface
        _, _, link_type, _, snap_length = self._fields(layout, block)
        if len(self.interfaces) == MAX_INTERFACES:
            raise self._damage(f"is more than the {MAX_INTERFACES}th interface")
        resolution, offset_ns, lasting = MICROSECONDS, 0, []
        for code, value in self._options(block, layout.size):
            if code == formats.OPTION_TIME_RESOLUTION:
                resolution = self._resolution(value)
            elif code == formats.OPTION_TIME_OFFSET:
                offset_ns = self._seconds(value) * NS_PER_S
            elif code in _LASTING_OPTIONS:
                lasting.append((code, value))
        described = Interface(link_type, snap_length, resolution, tuple(lasting))
        self.interfaces.append(TimedInterface(described, ticks_per_second(resolution), offset_ns))

    def _options(self, block: bytes, start: int) -> Iterator[tuple[int, bytes]]:
        # dpkt decodes comments as it reads options, and raises over one that is not
        # UTF-8: it would cost a good capture.
        layout = self.format.option
        while start + layout.size <= len(block):
            code, length = layout.unpack_from(block, start)
            if code == formats.OPTION_END:
                return
            start += layout.size
            if start + length > len(block):
                raise self._damage("has an option that is longer than itself")
            yield code, block[start : start + length]
            start += length + -length % 4

    def _resolution(self, value: bytes) -> int:
        if len(value) != 1:
            raise self._damage("has a time resolution that is not one byte")
        return value[0]

    def _seconds(self, value: bytes) -> int:
        layout = self.format.time_offset
        if len(value) != layout.size:
            raise self._damage("has a time offset that is not eight bytes")
        return int(layout.unpack(value)[0])

    def _interface(self, number: int) -> TimedInterface:
        if number >= len(self.interfaces):
            raise self._damage(f"is of interface {number}, which nothing describes")
        return self.interfaces[number]

    def _enhanced_packet(self, block: bytes) -> Record:
        layout = self.format.enhanced_packet
        _, _, number, high, low, captured, original = self._fields(layout, block)
        interface = self._interface(number)
        frame = self._frame(block, layout.size, captured)
        return interface.record(interface.time_ns(high << 32 | low), frame, original)

    def _packet(self, block: bytes) -> Record:
        layout = self.format.packet
        _, _, number, _, high, low, captured, original = self._fields(layout, block)
        interface = self._interface(number)
        frame = self._frame(block, layout.size, captured)
        return interface.record(interface.time_ns(high << 32 | low), frame, original)

    def _simple_packet(self, block: bytes) -> Record:
        layout = self.format.simple_packet
        _, _, original = self._fields(layout, block)
        interface = self._interface(0)
        captured = min(original, interface.described.snap_length or original)
        frame = self._frame(block, layout.size, captured)
        # This block has no time stamp: it gets that of the packet before it.
        return interface.record(self.time_ns, frame, original)

    def _frame(self, block: bytes, start: int, captured: int) -> bytes:
        check_size(captured, self._stream)
        if start + captured > len(block):
            raise self._damage(f"is too short for a packet of {captured} bytes")
        self.frame_before = len(block) - start + self.format.length.size
        return block[start : start + captured]
