"""The files that a run writes: never one that it reads, and never half of one in silence."""

import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import IO, BinaryIO, Final, Self, TextIO, cast

from attrs import define, field

from firezone_filter.cli.faults import UnusableError

STANDARD: Final = "-"
"""The name that means standard input or output."""


def refuse_clashes(inputs: Iterable[str], outputs: Iterable[str]) -> None:
    """Make sure that no output would destroy an input or another output.

    Raises:
        UnusableError: An output is the same file as another of the names.
    """
    taken = [(name, _path(name, "/dev/stdin")) for name in inputs]
    for name in outputs:
        path = _path(name, "/dev/stdout")
        for other, other_path in taken:
            if (path == other_path and name == STANDARD) or _same_file(path, other_path):
                raise UnusableError(f"{name}: cannot be written, it is in use as {other}")
        taken.append((name, path))


def _path(name: str, standard: str) -> Path:
    # A redirection may lead to a file that is named as well.
    return Path(standard if name == STANDARD else name)


def _same_file(one: Path, other: Path) -> bool:
    try:
        # Only files are destroyed: /dev/null may well be named twice.
        return one.samefile(other) and one.is_file()
    except OSError:
        return one.resolve() == other.resolve()


@define
class Outputs:
    """Opens files to write; closes them when the run ends, and says if it ended badly."""

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
            OSError: What was left to write could not be written, after a run without errors.
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
