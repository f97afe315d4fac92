"""What a run says, and a terminal that has gone."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from attrs import frozen


@frozen
class Said:
    """What a run said: lines on standard output, and on standard error."""

    out: list[str]
    err: list[str]


@contextmanager
def closed_pipe(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Make standard output a pipe whose reader has gone.

    Closing it in the end shows that nothing is left in it, as Python would as it exits. It
    is no fixture, since pytest sets its own standard output after those.
    """
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w", encoding="utf-8") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        yield
