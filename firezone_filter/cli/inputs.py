"""The files that commands read: policies and captures."""

import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from firezone_filter.capture.damage import UnreadableCaptureError
from firezone_filter.capture.extras import MissingExtraError
from firezone_filter.capture.reader import Capture
from firezone_filter.cli.exit import UnusableError
from firezone_filter.cli.outputs import STANDARD
from firezone_filter.policy import Policy, load_policy
from firezone_filter.values.errors import InvalidPolicy


def read_policy(name: str) -> Policy:
    """Return the policy in the file *name*; `-` is standard input.

    Raises:
        UnusableError: It cannot be read, or is no valid policy: a line for each fault.
    """
    shown = display_name(name)
    try:
        data = standard_input().read() if name == STANDARD else Path(name).read_bytes()
        return load_policy(data)
    except OSError as error:
        raise UnusableError(f"{shown}: {error.strerror}") from None
    except InvalidPolicy as error:
        raise UnusableError(*(f"{shown}: {line}" for line in str(error).splitlines())) from None


def display_name(name: str) -> str:
    """Return the name of an input in messages, which is not `-`."""
    return "standard input" if name == STANDARD else name


@contextmanager
def opened_capture(name: str) -> Iterator[tuple[Capture, int | None]]:
    """Open the capture in the file *name*; also return its size in bytes, if known.

    Raises:
        UnusableError: It cannot be read, or is no capture.
    """
    if name == STANDARD:
        yield _capture(name, standard_input()), None
        return
    try:
        stream = Path(name).open("rb")  # noqa: SIM115 - only errors of opening it are handled here
    except OSError as error:
        raise UnusableError(f"{name}: {error.strerror}") from None
    with stream:
        yield _capture(name, stream), _size(stream)


def is_pipe(name: str) -> bool:
    """Return whether *name* is standard input, and that is a pipe."""
    if name != STANDARD or sys.stdin is None:
        return False
    try:
        return stat.S_ISFIFO(os.fstat(sys.stdin.fileno()).st_mode)
    except (OSError, ValueError):  # not a file, or closed
        return False


def standard_input() -> BinaryIO:
    """Return the bytes of standard input.

    Raises:
        UnusableError: It is closed.
    """
    if sys.stdin is None:
        raise UnusableError(f"{display_name(STANDARD)}: it is closed")
    return sys.stdin.buffer


def _capture(name: str, stream: BinaryIO) -> Capture:
    try:
        return Capture(stream)
    except (MissingExtraError, UnreadableCaptureError) as error:
        raise UnusableError(f"{display_name(name)}: {error}") from None


def _size(stream: BinaryIO) -> int | None:
    status = os.fstat(stream.fileno())
    return status.st_size if stat.S_ISREG(status.st_mode) else None
