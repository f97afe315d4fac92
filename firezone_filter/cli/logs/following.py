"""Keeps reading a file that grows, also after it is truncated or replaced in a log rotation."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from firezone_filter.cli.exit import UnusableError
from firezone_filter.cli.logs.entries import Entry
from firezone_filter.cli.logs.source import Source, is_file, open_source


class Followed:
    """A file to keep reading, whatever its name refers to later."""

    def __init__(
        self, name: str, complain: Callable[[str], None], before_reading: Callable[[], None]
    ) -> None:
        """Open the file *name*.

        Raises:
            UnusableError: It cannot be opened, or is not a regular file.
        """
        self._name = name
        self._complain = complain
        self._before_reading = before_reading
        self._source = self._open()

    def entries(self) -> Iterator[Entry]:
        """Yield the entries that have come since the last call."""
        yield from self._source.entries()
        successor = self._successor()
        if successor is None:
            return
        # Lines may have come between the last read and the rotation.
        yield from self._source.entries()
        yield from self._source.finish()
        self._source.close()
        self._source = successor
        yield from self._source.entries()

    def close(self) -> None:
        """Close the file."""
        self._source.close()

    def _open(self) -> Source:
        try:
            # Before opening it: opening a pipe blocks until it has a writer.
            can_grow = is_file(Path(self._name).stat())
        except OSError as error:
            raise UnusableError(f"{self._name}: {error.strerror}") from None
        if not can_grow:
            raise UnusableError(f"{self._name}: it is not a file, and cannot be followed")
        return open_source(self._name, self._complain, self._before_reading)

    def _successor(self) -> Source | None:
        """Open the file anew if it was truncated, or if the name refers to another file now."""
        try:
            there = Path(self._name).stat()
            is_held = os.path.samestat(there, self._source.status())
            if is_held and there.st_size >= self._source.position:
                return None
            return self._open()
        except (OSError, UnusableError):
            # No such file at the moment; perhaps next time.
            return None
