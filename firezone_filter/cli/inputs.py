"""The files that a run reads: the policy, and the capture."""

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
        UnusableError: It cannot be read, or is no policy: one line for each fault in it.
    """
    try:
        return load_policy(Path(name).read_bytes())
    except OSError as error:
        raise UnusableError(f"{name}: {error.strerror}") from None
    except InvalidPolicy as error:
        raise UnusableError(*(f"{name}: {line}" for line in str(error).splitlines())) from None


def display_name(name: str) -> str:
    """Return what to call the capture *name*."""
    return "standard input" if name == STANDARD else name


@contextmanager
def opened_capture(name: str) -> Iterator[tuple[Capture, int | None]]:
    """Give the capture in the file *name*, and its size in bytes if that is known.

    Raises:
        UnusableError: It cannot be read, is no capture, or has a link type that is not
            supported.
    """
    if name == STANDARD:
        if sys.stdin is None:
            raise UnusableError(f"{display_name(name)}: it is closed")
        yield _capture(name, sys.stdin.buffer), None
        return
    try:
        stream = Path(name).open("rb")  # noqa: SIM115 - what is done with it may fail too
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
