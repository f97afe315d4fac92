"""A pass over captures: chunks of frames through whatever decides about them."""

from collections.abc import Iterable, Iterator
from typing import Protocol, TypeVar

from firezone_filter.capture.damage import DamagedCaptureError
from firezone_filter.capture.frames import Frames, sliced
from firezone_filter.replay.summary import Summary

T = TypeVar("T")


class Engine(Protocol):
    """Decides about frames in the order of the capture."""

    @property
    def step(self) -> int:
        """How many frames it should be given at most, to be done with them in no time."""

    @property
    def summary(self) -> Summary:
        """The counts so far; those of the clock come in the end."""

    def add(self, frames: Frames) -> None:
        """Decide about *frames*, or keep them until it is known when the capture begins."""

    def finish(self) -> None:
        """Handle everything that expires by the end of the capture, after its last packet."""


def steps(engine: Engine, chunks: Iterable[Frames]) -> Iterator[None]:
    """Give *chunks* to *engine*; yield after each, and once in the end.

    The summary gets `damage` if they end in a `DamagedCaptureError`, and `interrupted` if they
    end in a `KeyboardInterrupt`.
    """
    try:
        for frames in until_interrupted(chunks, engine.summary):
            engine.add(frames)
            yield
    except DamagedCaptureError as damage:
        engine.summary.damage = str(damage)
    engine.finish()
    yield


def in_steps(chunks: Iterable[Frames], step: int) -> Iterator[Frames]:
    """Yield *chunks* in parts of at most *step* frames."""
    for frames in chunks:
        for first in range(0, len(frames), step):
            yield sliced(frames, first, first + step)


def until_interrupted(iterable: Iterable[T], summary: Summary) -> Iterator[T]:
    """Yield what *iterable* does, until it is interrupted; *summary* is told."""
    # Only while it waits for more: a packet that is being decided is not half counted.
    iterator = iter(iterable)
    while True:
        try:
            following = next(iterator)
        except StopIteration:
            return
        except KeyboardInterrupt:
            summary.interrupted = True
            return
        yield following
