"""Unpacks compressed captures and logs, recognised by their first bytes and not by their names.

Output comes in chunks of bounded size, however much a few compressed bytes stand for.
"""

import lzma
import zlib
from collections.abc import Callable, Iterator
from typing import Any, Final, Protocol

from firezone_filter.capture.extras import module_of

UNPACKED_CHUNK: Final = 1 << 16
"""The most bytes to unpack at a time."""

_GZIP: Final = b"\x1f\x8b"  # RFC 1952, section 2.3.1
_ZSTD: Final = (
    b"\x28\xb5\x2f\xfd",  # RFC 8878, section 3.1.1
    # Skippable frames, section 3.1.2: parallel compressors begin with one.
    *(bytes([0x50 + number]) + b"\x2a\x4d\x18" for number in range(16)),
)
_XZ: Final = b"\xfd7zXZ\0"  # the .xz file format, section 2.1.1.1
_LZ4: Final = b"\x04\x22\x4d\x18"  # the LZ4 frame format; its skippable frames are those of zstd
_MAGICS: Final = (_GZIP, *_ZSTD, _XZ, _LZ4)

_XZ_MEMORY: Final = 256 << 20
"""The most bytes of memory to unpack xz with: its strongest setting needs a quarter. A file can
ask for 4 GiB."""


class UnpackingError(Exception):
    """Compressed data cannot be unpacked, or not further."""


class _Frame(Protocol):
    """One gzip member, zstd or lz4 frame or xz stream, with the interface that `lzma` has."""

    @property
    def eof(self) -> bool:
        """Whether its end has been reached."""

    @property
    def needs_input(self) -> bool:
        """Whether everything that is known of it has been unpacked."""

    @property
    def unused_data(self) -> bytes:
        """The bytes behind its end."""

    def decompress(self, data: bytes, max_length: int) -> bytes:
        """Unpack *data*, but not more than *max_length* bytes at once."""


class Unpacker:
    """Takes the bytes of a file in chunks, and yields those that they stand for."""

    __slots__ = ("_frames", "_head")

    def __init__(self) -> None:
        self._head: bytes | None = b""
        self._frames: _Frames | None = None

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Yield what *chunk* stands for.

        Raises:
            MissingExtraError: What unpacks it is not installed.
            UnpackingError: The compressed data is damaged.
        """
        if self._head is not None:
            chunk = self._head + chunk
            if _is_undecided(chunk):
                self._head = chunk
                return
            self._head = None
            self._frames = _frames(chunk)
        if self._frames is None:
            yield chunk
        else:
            yield from self._frames.feed(chunk)

    def finish(self) -> Iterator[bytes]:
        """Yield what is left at the end of the file.

        Raises:
            UnpackingError: The compressed data is cut short.
        """
        if self._head:
            yield self._head
        self._head = None
        if self._frames is not None:
            self._frames.finish()


class _Frames:
    """Frames behind each other, as appending to a compressed file makes them."""

    def __init__(self, new: Callable[[], _Frame], error: type[Exception], padding: bytes) -> None:
        self._new = new
        self._error = error
        self._padding = padding
        self._frame: _Frame | None = None

    def feed(self, data: bytes) -> Iterator[bytes]:
        while True:
            if self._frame is None:
                data = data.lstrip(self._padding)
                if not data:
                    return
                self._frame = self._new()
            try:
                unpacked = self._frame.decompress(data, UNPACKED_CHUNK)
            except self._error as error:
                raise UnpackingError(f"the compressed data is damaged ({error})") from None
            if unpacked:
                yield unpacked
            data = b""
            if self._frame.eof:
                data = self._frame.unused_data or b""  # lz4 says None
                self._frame = None
            elif self._frame.needs_input:
                return

    def finish(self) -> None:
        if self._frame is not None:
            raise UnpackingError("the compressed data is cut short")


class _GzipMember:
    """A gzip member: `zlib` has another interface than the other modules."""

    def __init__(self) -> None:
        self._inflate = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)  # 16: with gzip's header
        self.needs_input = True

    @property
    def eof(self) -> bool:
        return self._inflate.eof

    @property
    def unused_data(self) -> bytes:
        return self._inflate.unused_data

    def decompress(self, data: bytes, max_length: int) -> bytes:
        rest = self._inflate.unconsumed_tail
        unpacked = self._inflate.decompress(rest + data, max_length)
        # zlib may hold back output even if it has taken all input.
        self.needs_input = not self._inflate.unconsumed_tail and len(unpacked) < max_length
        return unpacked


def is_compressed(head: bytes) -> bool:
    """Tell whether a file that begins with *head*, of six bytes or more, is compressed."""
    return head.startswith(_MAGICS)


def _is_undecided(head: bytes) -> bool:
    """Tell whether a file that begins with *head* may be compressed or not."""
    return any(len(head) < len(magic) and magic.startswith(head) for magic in _MAGICS)


def _frames(head: bytes) -> _Frames | None:
    """Return how to unpack a file that begins with *head*; `None` if it is not compressed."""
    if head.startswith(_GZIP):
        # Tapes and some programs fill up the last block with zeros.
        return _Frames(_GzipMember, zlib.error, padding=b"\0")
    if head.startswith(_ZSTD):
        zstd = zstd_module()
        return _Frames(zstd.ZstdDecompressor, zstd.ZstdError, padding=b"")
    if head.startswith(_XZ):
        # Streams are padded to a multiple of four bytes.
        return _Frames(_new_xz_stream, lzma.LZMAError, padding=b"\0")
    if head.startswith(_LZ4):
        lz4: Any = module_of("replay", "lz4.frame")
        return _Frames(lz4.LZ4FrameDecompressor, RuntimeError, padding=b"")
    return None


def _new_xz_stream() -> lzma.LZMADecompressor:
    return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY)


def zstd_module() -> Any:  # noqa: ANN401 - a module
    """Import what compresses and unpacks zstd: the standard library has it from Python 3.14 on.

    Raises:
        MissingExtraError: It is not installed.
    """
    return module_of("cli", "compression.zstd", "backports.zstd")
