"""What the ending of an output's name says: the format, and whether it is compressed."""

from enum import StrEnum
from typing import Final

from attrs import frozen

from firezone_filter.replay.errors import UnknownEndingError


class Format(StrEnum):
    """What a file has in it."""

    JSON_LINES = ".jsonl"
    CSV = ".csv"
    PARQUET = ".parquet"
    PCAP = ".pcap"
    PCAPNG = ".pcapng"
    HTML = ".html"


class Compression(StrEnum):
    """What a whole file is compressed with."""

    NONE = ""
    GZIP = ".gz"
    ZSTD = ".zst"


TABLES: Final = (Format.JSON_LINES, Format.CSV, Format.PARQUET)
"""The formats of decisions and of flow events; the first is that of a pipe."""

FORWARDED: Final = (Format.PCAP, Format.PCAPNG)
"""The formats of packets that passed."""

REFUSED: Final = (Format.PCAPNG,)
"""The format of refused frames."""

PAGES: Final = (Format.HTML,)
"""The format of reports."""


@frozen
class Ending:
    """A format, compressed or not."""

    format: Format
    compression: Compression = Compression.NONE


def ending_of(name: str, formats: tuple[Format, ...]) -> Ending:
    """Return what *name* ends in, whatever its case.

    Raises:
        UnknownEndingError: It is none of *formats*.
    """
    rest, compression = name.lower(), Compression.NONE
    for each in (Compression.GZIP, Compression.ZSTD):
        if rest.endswith(each):
            rest, compression = rest.removesuffix(each), each
            break
    for kind in formats:
        if rest.endswith(kind):
            return Ending(kind, compression)
    raise UnknownEndingError(
        f"{name}: its name has to end in {_listed(formats)}, also followed by .gz or .zst", name
    )


def _listed(formats: tuple[Format, ...]) -> str:
    *first, last = formats
    return f"{', '.join(first)} or {last}" if first else str(last)
