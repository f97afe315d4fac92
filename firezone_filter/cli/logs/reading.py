"""Puts the entries of all files of one run in order."""

import os
import sys
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, closing
from heapq import merge
from itertools import chain
from operator import attrgetter
from pathlib import Path
from typing import Final, TypeVar

from attrs import define, field

from firezone_filter.cli.exit import UnusableError
from firezone_filter.cli.logs.entries import Entry
from firezone_filter.cli.logs.following import Followed
from firezone_filter.cli.logs.source import Source, is_file, open_source
from firezone_filter.cli.outputs import STANDARD

POLL_S: Final = 0.25
"""Seconds between two reads of followed files."""

T = TypeVar("T")

_key: Final = attrgetter("key")


@define
class Reading:
    """Yields the entries of all files; iterate it once.

    A file that cannot be read gets a complaint, and the others are read all the same.
    """

    _names: Sequence[str]

    _by_time: bool
    """Whether to merge the entries by time, which takes each file to be in order; otherwise they
    come file by file."""

    _say: Callable[[str], None]

    _before_waiting: Callable[[], None]
    """Called before anything that may block."""

    complaints: int = field(init=False, default=0)
    """The number of files that could not be opened or read to their end."""

    _sources: list[Source] = field(init=False, factory=list)

    @property
    def position(self) -> int:
        """Bytes read so far."""
        return sum(source.position for source in self._sources)

    def size(self) -> int | None:
        """Return the bytes of all files together; `None` if unknown."""
        sizes = [_size(name) for name in self._names]
        return None if None in sizes else sum(size for size in sizes if size is not None)

    def __iter__(self) -> Iterator[Entry]:
        """Yield the entries of all files to their ends."""
        with ExitStack() as stack:
            if self._by_time:
                sources = [stack.enter_context(closing(each)) for each in self._sources_opened()]
                yield from merge(*map(_whole, sources), key=_key)
                return
            for source in self._sources_opened():
                with closing(source):
                    yield from _whole(source)

    def follow(self, sleep: Callable[[float], None]) -> Generator[Entry]:
        """Yield the entries, now and as they come, until *sleep* raises.

        Raises:
            Exception: Anything that *sleep* raises.
        """
        with ExitStack() as stack:
            files = [stack.enter_context(closing(each)) for each in self._opened(self._followed)]
            while files:
                news = [file.entries() for file in files]
                yield from merge(*news, key=_key) if self._by_time else chain.from_iterable(news)
                self._before_waiting()
                sleep(POLL_S)

    def _sources_opened(self) -> Iterator[Source]:
        for source in self._opened(self._source):
            self._sources.append(source)
            yield source

    def _opened(self, opener: Callable[[str], T]) -> Iterator[T]:
        for name in self._names:
            try:
                opened = opener(name)
            except UnusableError as error:
                self._complain(str(error))
            else:
                yield opened

    def _source(self, name: str) -> Source:
        return open_source(name, self._complain, self._before_waiting)

    def _followed(self, name: str) -> Followed:
        return Followed(name, self._complain, self._before_waiting)

    def _complain(self, line: str) -> None:
        self.complaints += 1
        self._say(line)


def _whole(source: Source) -> Iterator[Entry]:
    yield from source.entries()
    yield from source.finish()


def _size(name: str) -> int | None:
    try:
        status = os.fstat(sys.stdin.fileno()) if name == STANDARD else Path(name).stat()
    except (AttributeError, OSError, ValueError):  # closed: no file, or ValueError
        return None
    return status.st_size if is_file(status) else None
