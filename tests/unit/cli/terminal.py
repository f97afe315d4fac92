"""The output of a run, and a closed pipe for it."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from attrs import frozen


@frozen
class Said:
    """The lines of a run on standard output and on standard error."""

    out: list[str]
    err: list[str]


@contextmanager
def closed_pipe(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Make standard output a pipe without a reader.

    Closing it in the end raises an error if the run has left anything in it, as Python would
    at exit. This is no fixture because pytest sets standard output after the fixtures.
    """
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w", encoding="utf-8") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        yield
