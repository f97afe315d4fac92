"""Writes pcapng: one section, the interfaces as they are met, and packets with comments.

Everything is in little-endian order (draft-ietf-opsawg-pcapng).
"""

from struct import Struct
from typing import BinaryIO, Final

from firezone_filter.capture import formats
from firezone_filter.capture.interface import NANOSECONDS, Interface, ticks_per_second
from firezone_filter.capture.stream import NS_PER_S

_BYTE_ORDER: Final = 0x1A2B3C4D
_SECTION_BLOCK: Final = 0x0A0D0D0A
_ANY_LENGTH: Final = -1

_COMMENT: Final = 1
_USER_APPLICATION: Final = 4
_END: Final = b"\0\0\0\0"
_MAX_OPTION: Final = 0xFFFF

_OPTION: Final = Struct("<HH")
_LENGTH: Final = Struct("<I")
_SECTION: Final = Struct("<IHHq")
_INTERFACE: Final = Struct("<HHI")
_PACKET: Final = Struct("<IIIII")


class PcapngWriter:
    """Writes frames, each with the interface on which it was captured."""

    def __init__(self, stream: BinaryIO) -> None:
        """Write the section header; *stream* stays the caller's to close."""
        self._stream = stream
        self._numbers: dict[Interface, tuple[int, int]] = {}
        self._write(
            _SECTION_BLOCK,
            _SECTION.pack(_BYTE_ORDER, 1, 0, _ANY_LENGTH)
            + _options((_USER_APPLICATION, b"firezone-filter")),
        )

    def write(
        self,
        interface: Interface,
        time_ns: int,
        frame: bytes,
        wire_length: int,
        comment: str | None = None,
    ) -> None:
        """Append one frame, which had *wire_length* bytes before a snap length cut it.

        *time_ns* is at least 0 and less than `stream.TIME_END_NS`. Reading it gives the same,
        if the interface has that resolution.
        """
        number, ticks_per_s = self._numbers.get(interface) or self._add(interface)
        # Readers round down, so this rounds up.
        ticks = -(-time_ns * ticks_per_s // NS_PER_S)
        head = _PACKET.pack(number, ticks >> 32, ticks & 0xFFFF_FFFF, len(frame), wire_length)
        padding = bytes(-len(frame) % 4)
        options = b"" if comment is None else _options((_COMMENT, _text(comment)))
        self._write(formats.ENHANCED_PACKET_BLOCK, head + frame + padding + options)

    def _add(self, interface: Interface) -> tuple[int, int]:
        resolution = interface.resolution
        # Times are in nanoseconds here, and finer ticks up to 2106 need not fit into 64 bits.
        if ticks_per_second(resolution) > NS_PER_S:
            resolution = NANOSECONDS
        self._write(
            formats.INTERFACE_BLOCK,
            _INTERFACE.pack(interface.link_type, 0, interface.snap_length)
            + _options((formats.OPTION_TIME_RESOLUTION, bytes([resolution])), *interface.options),
        )
        added = len(self._numbers), ticks_per_second(resolution)
        self._numbers[interface] = added
        return added

    def _write(self, kind: int, body: bytes) -> None:
        length = _LENGTH.pack(len(body) + 12)
        self._stream.write(_LENGTH.pack(kind) + length + body + length)


def _options(*options: tuple[int, bytes]) -> bytes:
    parts = (
        _OPTION.pack(code, len(value)) + value + bytes(-len(value) % 4) for code, value in options
    )
    return b"".join(parts) + _END


def _text(comment: str) -> bytes:
    data = comment.encode(errors="backslashreplace")[:_MAX_OPTION]
    return data.decode(errors="ignore").encode()
