"""The files that captures are read from: by name, directory, pattern or URL, or standard input.

Any number of files may be read at once with few of them open: one that was not read for long is
closed, and opened again where it was left.
"""

import os
import re
import stat
import sys
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from glob import glob, has_magic
from io import FileIO
from pathlib import Path
from typing import BinaryIO, Final, cast

from attrs import define, field, frozen

from firezone_filter.capture.damage import UnreadableCaptureError
from firezone_filter.capture.extras import MissingExtraError
from firezone_filter.capture.locations import find_urls, is_url, open_url, size_of_url

CaptureSource = str | os.PathLike[str] | BinaryIO
"""The name of captures, or a stream of the bytes of one, which its owner closes."""

STANDARD_INPUT: Final = "-"

MOST_OPEN: Final = 64
"""Files that are open at a time: systems allow a process some hundred."""

_digits: Final = re.compile(r"([0-9]+)").split


@frozen
class Source:
    """A place to read a capture from."""

    path: str
    """A file or a URL; `-` is standard input, and nothing stands for a stream."""

    is_chosen: bool = True
    """Whether somebody named it, or a pattern that it fits. (Of a directory, files that are no
    captures are left out.)"""

    stream: BinaryIO | None = None
    """What is read, if not a file; whoever has opened it closes it."""

    @property
    def is_file(self) -> bool:
        """Whether it is ours to open, as often as we like."""
        return self.stream is None and self.path != STANDARD_INPUT

    @property
    def name(self) -> str:
        """The name for messages."""
        if self.stream is not None and self.stream is not getattr(sys.stdin, "buffer", None):
            return "the stream"
        return self.path if self.is_file else "standard input"


def each_source(sources: Iterable[CaptureSource] | CaptureSource) -> list[CaptureSource]:
    """Return *sources*, one or several, as a list."""
    # A stream can be iterated too, by lines.
    if isinstance(sources, str | os.PathLike) or hasattr(sources, "read"):
        return [cast("CaptureSource", sources)]
    return list(sources)


def find_sources(captures: Iterable[CaptureSource]) -> list[Source]:
    """Return the sources that *captures* stand for, in this order, each once, whatever its names.

    A stream or a file stands for itself, a directory for the files in it (but not those that
    begin with a dot, or in directories below), a pattern (`*`, `?`, `[…]`, `**`) for the files
    that fit; those are in order of their names, with numbers in them as numbers. A URL names
    one of them likewise (see `find_urls`).

    Raises:
        UnreadableCaptureError: There is no such file, or none in a directory or for a pattern;
            or no such URL can be searched.
        MissingExtraError: A URL is to be searched, and fsspec is not installed.
    """
    found: dict[object, Source] = {}
    for capture in captures:
        if isinstance(capture, str | os.PathLike):
            for source in _sources(os.fspath(capture)):
                found.setdefault(_identity(source.path), source)
        else:
            found.setdefault(id(capture), Source("", stream=capture))
    return list(found.values())


def _identity(path: str) -> object:
    """Return what all names of a file have in common."""
    if path == STANDARD_INPUT or is_url(path):
        return path
    try:
        status = Path(path).stat()
    except (OSError, ValueError):  # complained about when it is opened
        return path
    return status.st_dev, status.st_ino


def _sources(name: str) -> list[Source]:
    if name == STANDARD_INPUT:
        return [Source(name)]
    if is_url(name):
        return _sources_at(name)
    path = Path(name)
    try:
        if path.is_dir():
            files = sorted(map(str, _files(path)), key=_natural)
            if not files:
                raise UnreadableCaptureError(f"{name}: there are no files in this directory")
            return [Source(file, is_chosen=False) for file in files]
        if has_magic(name) and not path.exists():
            files = sorted(filter(os.path.isfile, glob(name, recursive=True)), key=_natural)  # noqa: PTH207 - a pattern may be absolute
            if not files:
                raise UnreadableCaptureError(f"{name}: no file fits")
            return [Source(file) for file in files]
    except OSError as error:
        raise _unreadable(name, error) from None
    return [Source(name)]


def _sources_at(url: str) -> list[Source]:
    try:
        files = find_urls(url)
    except OSError as error:
        raise _unreadable(url, error) from None
    except MissingExtraError as error:
        raise error.of(url) from error
    except UnreadableCaptureError as error:
        raise UnreadableCaptureError(f"{url}: {error}") from None
    if files is None:
        return [Source(url)]
    is_directory = url.endswith("/")
    if not files:
        raise UnreadableCaptureError(
            f"{url}: there are no files in this directory"
            if is_directory
            else f"{url}: no file fits"
        )
    return [Source(file, is_chosen=not is_directory) for file in sorted(files, key=_natural)]


def _files(directory: Path) -> Iterator[Path]:
    return (path for path in directory.iterdir() if path.is_file() and path.name[0] != ".")


def _natural(name: str) -> list[str | int]:
    # `tcpdump -C` counts: big.pcap2 comes before big.pcap10. (Every second part has digits.)
    return [int(part) if part.isdecimal() else part for part in _digits(name)]


def _unreadable(name: str, error: OSError) -> UnreadableCaptureError:
    return UnreadableCaptureError(f"{name}: {error.strerror or error}")


@define(eq=False)
class Files:
    """The files that are open."""

    _open: "OrderedDict[PooledFile, FileIO]" = field(init=False, factory=OrderedDict)

    def open(self, source: Source) -> BinaryIO:
        """Open *source*; whoever reads it closes it.

        Raises:
            MissingExtraError: It is at a URL, and fsspec is not installed.
            UnreadableCaptureError: It cannot be opened.
        """
        if source.stream is not None:
            return source.stream
        if source.path == STANDARD_INPUT:
            return _standard_input(source.name)
        try:
            if is_url(source.path):
                return open_url(source.path)
            if Path(source.path).is_file():
                pooled = PooledFile(self, source.path)
                self.get(pooled)
                return cast("BinaryIO", pooled)
            return Path(source.path).open("rb")
        except OSError as error:
            raise _unreadable(source.name, error) from None
        except MissingExtraError as error:
            raise error.of(source.name) from error
        except UnreadableCaptureError as error:
            raise UnreadableCaptureError(f"{source.name}: {error}") from None

    def get(self, pooled: "PooledFile") -> FileIO:
        """Return the file, open and at its position.

        Raises:
            OSError: It cannot be opened again.
        """
        file = self._open.get(pooled)
        if file is not None:
            self._open.move_to_end(pooled)
            return file
        while len(self._open) >= MOST_OPEN:
            _, oldest = self._open.popitem(last=False)
            oldest.close()
        file = FileIO(pooled.path)
        file.seek(pooled.position)
        self._open[pooled] = file
        return file

    def close(self, pooled: "PooledFile") -> None:
        """Close the file, if it is open."""
        if (file := self._open.pop(pooled, None)) is not None:
            file.close()


@define(eq=False)
class PooledFile:
    """A file that is read forward only, and closed meanwhile if others need to be open."""

    _files: Files
    path: str
    position: int = field(init=False, default=0)

    def read(self, size: int) -> bytes:
        """Return the next *size* bytes; fewer only at the end."""
        data = self._files.get(self).read(size)
        self.position += len(data)
        return data

    def read_some(self, view: memoryview) -> int:
        """Fill *view*, or its start at the end of the file; return how many bytes that are."""
        size = self._files.get(self).readinto(view)
        self.position += size
        return size

    def fileno(self) -> int:
        """Return the file descriptor, for the next moment."""
        return self._files.get(self).fileno()

    def close(self) -> None:
        """Close it."""
        self._files.close(self)


def _standard_input(name: str) -> BinaryIO:
    if sys.stdin is None:
        raise UnreadableCaptureError(f"{name}: it is closed")
    return sys.stdin.buffer


def size_of(source: Source) -> int | None:
    """Return the size of a file in bytes; `None` if it is none or has none."""
    if is_url(source.path):
        return size_of_url(source.path)
    try:
        if source.stream is not None:
            status = os.fstat(source.stream.fileno())
        elif source.path == STANDARD_INPUT:
            status = os.fstat(sys.stdin.fileno())
        else:
            status = Path(source.path).stat()
    except (AttributeError, OSError, ValueError):  # standard input is closed, or no file
        return None
    return status.st_size if stat.S_ISREG(status.st_mode) else None
