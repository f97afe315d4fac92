"""Captures in other places than files of this machine: whatever fsspec opens, by its URL."""

import re
from typing import Any, BinaryIO, Final, cast

from firezone_filter.capture.damage import UnreadableCaptureError
from firezone_filter.capture.extras import MissingExtraError, module_of

# (A drive of Windows has one letter.)
_URL: Final = re.compile(r"[a-z][a-z0-9+.-]+:(//|:)", re.IGNORECASE)

_LINK: Final = "::"
"""Between the links of a chain, such as `simplecache::s3://captures/office.pcap`."""


def is_url(name: str) -> bool:
    """Return whether *name* is a URL, such as `s3://captures/office.pcap`."""
    return _URL.match(name) is not None


def find_urls(url: str) -> list[str] | None:
    """Return the URLs of the files that *url* stands for, or `None` if it names a single one.

    What ends in a slash is a directory. `*`, `**` and `[…]` make a pattern, but not `?`, which
    has another meaning in URLs.

    Raises:
        MissingExtraError: fsspec is not installed.
        UnreadableCaptureError: no such URL can be opened, or a package is missing for it.
        OSError: the place cannot be searched.
    """
    links = url.split(_LINK)
    place = next((place for place, link in enumerate(links) if "://" in link), 0)
    link = links[place]
    is_directory = link.endswith("/")
    if not is_directory and not set(link) & set("*["):
        return None
    system, path = _system(_LINK.join(links[place:]))
    entries = (
        {entry["name"]: entry for entry in system.ls(path, detail=True)}
        if is_directory
        else system.glob(path, detail=True)
    )
    return [
        _LINK.join([*links[:place], system.unstrip_protocol(name), *links[place + 1 :]])
        for name, entry in entries.items()
        if entry["type"] == "file"
        and not (is_directory and name.rpartition("/")[2].startswith("."))
    ]


def open_url(url: str) -> BinaryIO:
    """Open what is at *url* for reading.

    Raises:
        MissingExtraError: fsspec is not installed.
        UnreadableCaptureError: no such URL can be opened, or a package is missing for it.
        OSError: it cannot be opened.
    """
    system, path = _system(url)
    return cast("BinaryIO", system.open(path, "rb"))


def size_of_url(url: str) -> int | None:
    """Return the size of what is at *url* in bytes; `None` if that cannot be told."""
    try:
        system, path = _system(url)
        size: int | None = system.size(path)
    except (MissingExtraError, OSError, UnreadableCaptureError):
        return None
    return size


def _system(url: str) -> tuple[Any, str]:
    """Return the file system of *url*, and the path there."""
    fsspec: Any = module_of("cluster", "fsspec")
    try:
        found: tuple[Any, str] = fsspec.core.url_to_fs(url)
    except (ImportError, ValueError) as error:
        # (fsspec says which package opens such a URL, and which URLs there are.)
        raise UnreadableCaptureError(str(error)) from None
    return found
