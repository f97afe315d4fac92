"""Any number of captures as one: merged by time, and what is chosen of them."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from types import TracebackType
from typing import Self

from firezone_filter.capture.choice import Choice, FrameSelection
from firezone_filter.capture.damage import (
    DamagedCaptureError,
    NotACaptureError,
    UnreadableCaptureError,
)
from firezone_filter.capture.frames import Frames
from firezone_filter.capture.merge import merged
from firezone_filter.capture.part import Part
from firezone_filter.capture.sources import CaptureSource, Files, Source, each_source, find_sources
from firezone_filter.capture.stream import Record


def open_captures(
    sources: Iterable[CaptureSource] | CaptureSource,
    *,
    since: datetime | float | None = None,
    until: datetime | float | None = None,
    count: int | None = None,
    filter: str | None = None,  # noqa: A002 - its name everywhere
) -> "Captures":
    """Open captures, to be read as one that `mergecap` would have made of them.

    Their frames are in order of time; of equal times those of the earlier source come first. A
    frame that is earlier than one before it in its own file follows that at once. All frames are
    numbered from 1 in this order, whatever is chosen of them.

    Args:
        sources: Files, directories, patterns such as `office-*.pcap.gz`, or `-` for standard
            input; or streams of bytes, which stay the caller's to close. A directory stands for
            all captures in it, without those in directories below. Any of them may be a URL that
            fsspec opens, such as `s3://captures/office-*.pcap` (extra `cluster`); that of a
            directory ends in a slash.
        since: Choose frames captured then or later: Unix seconds, or a time with a zone.
        until: Choose frames captured before then.
        count: Choose the first so many of those that are chosen otherwise, and read no more.
        filter: Choose frames that fit this filter, in the language of `tcpdump`. It needs the
            extra `filter`.

    Raises:
        UnreadableCaptureError: A file cannot be opened or is no capture; there is none.
        InvalidFilterError: libpcap does not take the filter.
        MissingExtraError: What the filter, a URL or the compression of a file needs is not
            installed. No such file of a directory is left out: it may be a capture.
        ValueError: A time has no zone, or *count* is negative.
    """
    return open_selected(sources, FrameSelection.of(since, until, count, filter))


def open_selected(
    sources: Iterable[CaptureSource] | CaptureSource, selection: FrameSelection
) -> "Captures":
    """Do as `open_captures`, for a *selection* that somebody made before."""
    return Captures(find_sources(each_source(sources)), selection.choice())


class Captures:
    """Captures that are being read as one, forward only: iterate it once.

    It is a context manager, and closes the files at its end.
    """

    _is_begun = False
    _is_closed = False

    def __init__(self, sources: Iterable[Source], choice: Choice) -> None:
        """Look at all of *sources* (see `open_captures`)."""
        files = Files()
        self._choice = choice
        self._parts: list[Part] = []
        left_out = []
        sources = list(sources)
        for source in sources:
            part = Part(source, files)
            try:
                part.look(ahead=len(sources) > 1)
                if part.link_type is not None and choice.packet_filter is not None:
                    choice.packet_filter.check(part.link_type)
            except NotACaptureError:
                if source.is_chosen:
                    self.close()
                    raise
                left_out.append(source.name)
            except BaseException:
                part.close()
                self.close()
                raise
            else:
                self._parts.append(part)
        self._names = tuple(part.source.name for part in self._parts)
        self._left_out = tuple(left_out)
        if not self._parts:
            raise UnreadableCaptureError(
                f"no captures among {len(left_out)} files" if left_out else "no captures to read"
            )

    @property
    def names(self) -> Sequence[str]:
        """The names of what is read, in this order."""
        return self._names

    @property
    def left_out(self) -> Sequence[str]:
        """The names of files in directories that are no captures."""
        return self._left_out

    @property
    def size(self) -> int | None:
        """The bytes of all files together; `None` if one is none, such as a pipe."""
        sizes = [part.size for part in self._parts]
        return None if None in sizes else sum(size for size in sizes if size is not None)

    @property
    def position(self) -> int:
        """Bytes of all files read so far; of compressed ones, compressed bytes."""
        return sum(part.position for part in self._parts)

    @property
    def damage(self) -> dict[str, str]:
        """What is wrong with files that could not be read to their ends, by name, so far."""
        return {part.source.name: part.damage for part in self._parts if part.damage is not None}

    def chunks(self) -> Iterator[Frames]:
        """Yield the frames that are chosen, in chunks of at most 65,536; none is empty.

        A file that is damaged is read as far as it is good, and so are the others.

        Raises:
            DamagedCaptureError: After the last frame, if any file is damaged: `damage` says which.
            UnreadableCaptureError: A file cannot be opened any more, or has a section of an
                unknown version.
            InvalidFilterError: libpcap does not take the filter for a link type of a later frame.
            ValueError: They were read before, or are closed.
        """
        if self._is_begun or self._is_closed:
            raise ValueError("captures are read once: open them again")
        self._is_begun = True
        return self._chunks()

    def _chunks(self) -> Iterator[Frames]:
        try:
            for frames in () if self._choice.is_done() else merged(self._parts):
                if len(found := self._choice.of(frames)):
                    yield found
                if self._choice.is_done() or self._is_closed:
                    return
        finally:
            self.close()
        if damage := self.damage:
            if len(self._parts) == 1:
                raise DamagedCaptureError(*damage.values())
            raise DamagedCaptureError("; ".join(f"{name}: {why}" for name, why in damage.items()))

    def records(self) -> Iterator[Record]:
        """Yield the frames that are chosen, one by one.

        Raises:
            Exception: What `chunks` raises.
        """
        for frames in self.chunks():
            yield from frames.records()

    def numbered(self) -> Iterator[tuple[int, Record]]:
        """Yield the frames that are chosen, one by one, each with its number.

        Raises:
            Exception: What `chunks` raises.
        """
        for frames in self.chunks():
            yield from zip(frames.numbers.tolist(), frames.records(), strict=True)

    def close(self) -> None:
        """Close the files; standard input is not ours to close. Nothing more is read then."""
        self._is_closed = True
        for part in self._parts:
            part.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
