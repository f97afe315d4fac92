"""One of several captures that are read as one."""

from collections.abc import Callable, Iterator
from typing import BinaryIO

from attrs import define, field

from firezone_filter.capture.damage import DamagedCaptureError, UnreadableCaptureError
from firezone_filter.capture.extras import MissingExtraError
from firezone_filter.capture.frames import Frames, clamped
from firezone_filter.capture.reader import Capture
from firezone_filter.capture.sources import Files, Source, size_of


@define(eq=False)
class Part:
    """A capture that is looked at first, and read when its turn has come."""

    source: Source

    _files: Files

    damage: str | None = field(init=False, default=None)
    """Why it could not be read to its end."""

    first_ns: int | None = field(init=False, default=None)
    """The time of its first frame; `None` if that is not known before it is read."""

    link_type: int | None = field(init=False, default=None)
    """That of its first frame; `None` if that is not known before it is read."""

    size: int | None = field(init=False)
    """Its size in bytes; `None` if it is no file."""

    _stream: BinaryIO | None = field(init=False, default=None)
    _capture: Capture | None = field(init=False, default=None)
    _read: int = field(init=False, default=0)

    def __attrs_post_init__(self) -> None:
        self.size = size_of(self.source)

    @property
    def position(self) -> int:
        """Bytes of it read so far."""
        return self._read if self._capture is None else self._capture.position

    def look(self, *, ahead: bool) -> None:
        """Look whether it is a capture; if *ahead*, also when it begins.

        Raises:
            MissingExtraError: What opens or unpacks it is not installed.
            UnreadableCaptureError: It cannot be opened, or is no capture.
        """
        capture = self._opened()
        self.link_type = capture.link_type
        if self.size is None or not self.source.is_file:
            self._capture = capture  # it is read only once
            return
        if ahead or self.link_type is None:
            try:
                record = next(iter(capture), None)
            except (DamagedCaptureError, UnreadableCaptureError):
                record = None  # whoever reads it will be told
            if record is not None:
                self.first_ns, self.link_type = clamped(record.time_ns), record.link_type
        self.close()
        self._read = 0

    def chunks(self, size: Callable[[], int]) -> Iterator[Frames]:
        """Yield its frames, in chunks of about so many bytes as *size* returns; note its damage.

        Raises:
            UnreadableCaptureError: It cannot be opened any more, or read further.
        """
        if self._capture is None:
            self._capture = self._opened()
        try:
            yield from self._capture.chunks(size)
        except DamagedCaptureError as damage:
            self.damage = str(damage)
        except UnreadableCaptureError as error:
            raise UnreadableCaptureError(f"{self.source.name}: {error}") from None
        finally:
            self.close()

    def close(self) -> None:
        """Close the file; standard input is not ours to close."""
        if self._stream is not None and self.source.is_file:
            self._stream.close()
        if self._capture is not None:
            self._read = self._capture.position
        self._stream = self._capture = None

    def _opened(self) -> Capture:
        self._stream = self._files.open(self.source)
        try:
            return Capture(self._stream)
        except MissingExtraError as error:
            self.close()
            raise error.of(self.source.name) from error
        except UnreadableCaptureError as error:
            self.close()
            raise type(error)(f"{self.source.name}: {error}") from None
