"""The files that a replay reads: the policy and the capture."""

import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from firezone_filter.capture.errors import UnreadableCaptureError
from firezone_filter.capture.link import link_reader
from firezone_filter.capture.reader import Capture
from firezone_filter.cli.exit import UnusableError
from firezone_filter.cli.outputs import STANDARD
from firezone_filter.policy import Policy, load_policy
from firezone_filter.values.errors import InvalidPolicy


def read_policy(name: str) -> Policy:
    """Return the policy in the file *name*.

    Raises:
        UnusableError: It cannot be read, or is no valid policy: a line for each fault.
    """
    try:
        return load_policy(Path(name).read_bytes())
    except OSError as error:
        raise UnusableError(f"{name}: {error.strerror}") from None
    except InvalidPolicy as error:
        raise UnusableError(*(f"{name}: {line}" for line in str(error).splitlines())) from None


def display_name(name: str) -> str:
    """Return the name of an input in messages, which is not `-`."""
    return "standard input" if name == STANDARD else name


@contextmanager
def opened_capture(name: str) -> Iterator[tuple[Capture, int | None]]:
    """Open the capture in the file *name*; also return its size in bytes, if known.

    Raises:
        UnusableError: It cannot be read, is no capture, or has an unsupported link type.
    """
    if name == STANDARD:
        if sys.stdin is None:
            raise UnusableError(f"{display_name(name)}: it is closed")
        yield _capture(name, sys.stdin.buffer), None
        return
    try:
        stream = Path(name).open("rb")  # noqa: SIM115 - only errors of opening it are handled here
    except OSError as error:
        raise UnusableError(f"{name}: {error.strerror}") from None
    with stream:
        yield _capture(name, stream), _size(stream)


def _capture(name: str, stream: BinaryIO) -> Capture:
    try:
        capture = Capture(stream)
        if capture.link_type is not None:
            link_reader(capture.link_type)
    except UnreadableCaptureError as error:
        raise UnusableError(f"{display_name(name)}: {error}") from None
    return capture


def _size(stream: BinaryIO) -> int | None:
    status = os.fstat(stream.fileno())
    return status.st_size if stat.S_ISREG(status.st_mode) else None
