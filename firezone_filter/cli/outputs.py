"""The files that a run writes: never over its own inputs, and never incomplete in silence."""

import os
import stat
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, BinaryIO, Final, Self, TextIO, cast

from attrs import define, field, frozen

from firezone_filter.cli.exit import UnusableError

STANDARD: Final = "-"
"""The name that stands for standard input or output."""


@frozen
class _Use:
    """A file or stream that the run reads or writes."""

    name: str
    """The name for messages."""

    status: os.stat_result | None
    """The status of the file; `None` if it does not exist (yet)."""

    path: str
    """The real path, to compare files that do not exist yet."""

    def destroys(self, other: "_Use") -> bool:
        """Tell whether writing to this one would destroy *other*."""
        if self.status is None or other.status is None:
            return self.status is other.status and self.path == other.path
        # Only regular files can be destroyed: naming /dev/null twice is fine.
        return os.path.samestat(self.status, other.status) and stat.S_ISREG(self.status.st_mode)


def refuse_clashes(inputs: Sequence[str], outputs: Sequence[str]) -> None:
    """Make sure that no output would destroy an input or another output.

    Standard input can be one of the inputs only, and standard output one of the outputs.

    The standard streams count as well, since the shell may have redirected them to a file that
    is also named: the summary or more goes to standard output, complaints to standard error.

    Raises:
        UnusableError: An output is the same file as another of the names, or as a stream; or
            a standard stream stands for two of them.
    """
    if inputs.count(STANDARD) > 1:
        raise UnusableError("standard input: can be named only once")
    taken = [
        _stream("standard input", sys.stdin) if name == STANDARD else _file(name)
        for name in inputs
    ]
    standard = _stream("standard output", sys.stdout)
    _refuse(standard, taken)
    taken += [standard, _stream("standard error", sys.stderr)]
    for name in outputs:
        if name != STANDARD:
            use = _file(name)
            _refuse(use, taken)
            taken.append(use)
    if outputs.count(STANDARD) > 1:
        raise _clash(STANDARD, STANDARD)


def _refuse(use: _Use, taken: Iterable[_Use]) -> None:
    for other in taken:
        if use.destroys(other):
            raise _clash(use.name, other.name)


def _clash(name: str, other: str) -> UnusableError:
    return UnusableError(f"{name}: cannot be written, it is in use as {other}")


def _file(name: str) -> _Use:
    try:
        status = Path(name).stat()
    except OSError:
        status = None
    # Not Path.resolve(), which raises for a loop of links up to Python 3.12.
    return _Use(name, status, os.path.realpath(name))


def _stream(name: str, stream: TextIO | None) -> _Use:
    try:
        status = None if stream is None else os.fstat(stream.fileno())
    except (OSError, ValueError):  # not a file, or closed
        status = None
    return _Use(name, status, f"<{name}>")


@define
class Outputs:
    """Opens files for writing, closes them when the run ends, and names incomplete ones."""

    _say: Callable[[str], None]
    _files: list[tuple[str, IO[bytes] | IO[str]]] = field(init=False, factory=list)

    def text(self, name: str) -> TextIO:
        """Open *name* for text; `-` is standard output.

        Raises:
            UnusableError: It cannot be opened.
        """
        return sys.stdout if name == STANDARD else cast("TextIO", self._open(name, "w", "utf-8"))

    def binary(self, name: str) -> BinaryIO:
        """Open *name* for bytes; `-` is standard output.

        Raises:
            UnusableError: It cannot be opened.
        """
        if name == STANDARD:
            return sys.stdout.buffer
        return cast("BinaryIO", self._open(name, "wb", None))

    def _open(self, name: str, mode: str, encoding: str | None) -> IO[bytes] | IO[str]:
        try:
            stream = Path(name).open(mode, encoding=encoding)  # noqa: SIM115 - see __exit__
        except OSError as error:
            raise UnusableError(f"{name}: {error.strerror}") from None
        self._files.append((name, stream))
        return stream

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close all files.

        Raises:
            OSError: The rest of a file could not be written, after a run without errors.
        """
        failure = error
        for name, stream in self._files:
            try:
                stream.close()
            except OSError as late:
                failure = failure or late
            if failure is not None:
                self._say(f"{name}: incomplete")
        if error is None and failure is not None:
            raise failure
