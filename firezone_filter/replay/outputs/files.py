"""Files that get their names when they are complete, so that no half of one has its name.

Whatever ends the process before, SIGKILL included, an older file of that name stays as it was.
What is no file, but a pipe or a device, is written in place: others wait for it already.
"""

import gzip
import os
import stat
from contextlib import suppress
from pathlib import Path
from secrets import token_hex
from typing import BinaryIO, Final, assert_never, cast

from firezone_filter.capture.compression import zstd_module
from firezone_filter.replay.outputs.endings import Compression

PART: Final = ".part"
"""The ending of what is not complete."""

_BUFFER: Final = 1 << 18
_PERMISSIONS: Final = 0o666
_SYSTEM_FOLDERS: Final = ("/dev/", "/proc/")


def is_in_place(name: str) -> bool:
    """Tell whether *name* is a pipe, a device or a stream, which is written in place."""
    if os.path.abspath(name).startswith(_SYSTEM_FOLDERS):  # noqa: PTH100 - links are to stay
        return True
    try:
        mode = os.stat(name).st_mode  # noqa: PTH116 - beside `realpath`, below
    except OSError:
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)


def identity(name: str) -> object:
    """Return what all names of a file have in common, whether it is there or not."""
    try:
        status = os.stat(name)  # noqa: PTH116 - as in `is_in_place`
    except OSError:
        return os.path.realpath(name)
    return status.st_dev, status.st_ino


class OutputFile:
    """A file that is being written."""

    def __init__(self, name: str) -> None:
        """Open it.

        Raises:
            OSError: It cannot be written.
        """
        self.name: Final = name
        self._part: str | None = None
        try:
            self.stream: BinaryIO = self._open(name)
        except OSError as error:
            error.filename = name
            raise

    def _open(self, name: str) -> BinaryIO:
        if is_in_place(name):
            return Path(name).open("wb")
        # What a link leads to is replaced, and not the link.
        self._target = os.path.realpath(name)
        mode = _mode_of(name)
        folder, base = os.path.split(self._target)
        part = os.path.join(folder, f".{base}.{token_hex(6)}{PART}")  # noqa: PTH118
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _PERMISSIONS)
        self._part = part
        if mode is not None:
            with suppress(OSError):
                os.chmod(descriptor, mode)  # noqa: PTH101 - by its number
        return os.fdopen(descriptor, "wb", _BUFFER)

    @property
    def is_in_place(self) -> bool:
        """Whether what has been written cannot be taken back."""
        return self._part is None

    def complete(self) -> None:
        """Close the file and give it its name.

        Raises:
            OSError: The rest of it could not be written; then it does not get the name.
        """
        self.settle()
        self.publish()

    def settle(self) -> None:
        """Write all of the file, and close it; it does not have its name yet.

        Raises:
            OSError: The rest of it could not be written.
        """
        if self._part is not None:
            self.stream.flush()
            # Otherwise a machine that crashes may find the name without the bytes.
            os.fsync(self.stream.fileno())
            self.stream.close()

    def publish(self) -> None:
        """Give a file that is settled its name; close one that is written in place.

        Raises:
            OSError: It cannot have the name, or the rest could not be written in place.
        """
        if self._part is None:
            self.stream.close()
        else:
            os.replace(self._part, self._target)  # noqa: PTH105 - as `open` above

    def discard(self) -> None:
        """Close the file, and remove what there is of it."""
        with suppress(OSError):
            self.stream.close()
        if self._part is not None:
            with suppress(OSError):
                os.unlink(self._part)  # noqa: PTH108 - as `open` above


def compressing(stream: BinaryIO, compression: Compression) -> BinaryIO:
    """Return a stream that compresses into *stream*, and has to be closed before that.

    Raises:
        MissingExtraError: What compresses is not installed.
    """
    match compression:
        case Compression.NONE:
            return stream
        case Compression.GZIP:
            # Without time and name, so that the same replay gives the same bytes.
            packed = gzip.GzipFile("", "wb", compresslevel=6, fileobj=stream, mtime=0)
            return cast("BinaryIO", packed)
        case Compression.ZSTD:
            return cast("BinaryIO", zstd_module().ZstdFile(stream, "wb"))
        case _:
            assert_never(compression)


def _mode_of(name: str) -> int | None:
    """Return the permissions of the file *name*, which has to be writable if it is there.

    Raises:
        OSError: It cannot be written.
    """
    try:
        descriptor = os.open(name, os.O_WRONLY)
    except FileNotFoundError:
        return None
    try:
        return stat.S_IMODE(os.fstat(descriptor).st_mode)
    finally:
        os.close(descriptor)
