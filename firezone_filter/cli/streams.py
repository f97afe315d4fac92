"""The standard streams of a run: complaints go out safely, and a closed pipe is no error."""

import io
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, Final, cast

from firezone_filter.cli.terminal import printable

PROGRAM: Final = "firezone-filter"


def say(line: str) -> None:
    """Complain on standard error, in one line."""
    # If standard error itself cannot be written, there is no place left to complain.
    with suppress(OSError):
        sys.stderr.write(f"{PROGRAM}: {printable(line)}\n")


def prepare_streams() -> None:
    """Make sure that there are streams, and that they take every character."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            # The shell closed it (`>&-`), so Python made no stream for it.
            nowhere = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - stays open
            setattr(sys, name, nowhere)
        elif isinstance(stream, io.TextIOWrapper):
            # A name that the terminal's encoding lacks must not stop the run.
            stream.reconfigure(errors="backslashreplace")


class _Lively(io.BufferedIOBase):
    """Writes to a terminal what it gets, at once."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def write(self, data: Any) -> int:  # noqa: ANN401 - a buffer, which has no type yet
        written = self._stream.write(data)
        self._stream.flush()
        return written


def standard_output() -> BinaryIO:
    """Return standard output for bytes; what goes to a terminal is seen at once."""
    sys.stdout.flush()
    stream = sys.stdout.buffer
    return cast("BinaryIO", _Lively(stream)) if sys.stdout.isatty() else stream


def finish_output() -> None:
    """Flush standard output, or discard what is left if it cannot be written.

    Otherwise Python would try once more at exit, and print a traceback.
    """
    try:
        sys.stdout.flush()
    except OSError:
        with Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), sys.stdout.fileno())
