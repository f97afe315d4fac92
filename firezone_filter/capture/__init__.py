"""Reads captures: pcap and pcapng, compressed or not, one or many, by packets or in chunks.

Only the names in `__all__` are public. Chunks and several captures need numpy, which comes with
the extra `cli` or `replay`.
"""

from typing import TYPE_CHECKING

from firezone_filter.capture.damage import (
    DamagedCaptureError,
    NotACaptureError,
    UnreadableCaptureError,
)
from firezone_filter.capture.extras import MissingExtraError, missing
from firezone_filter.capture.interface import Interface
from firezone_filter.capture.reader import Capture
from firezone_filter.capture.stream import Record

if TYPE_CHECKING:
    from firezone_filter.capture.captures import Captures, open_captures
    from firezone_filter.capture.frames import Frames
    from firezone_filter.capture.packet_filter import InvalidFilterError
else:
    # Packet by packet a capture is read without numpy, and many commands need none (PEP 562).

    def __getattr__(name: str) -> object:
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        try:
            match name:
                case "Frames":
                    from firezone_filter.capture import frames as room
                case "InvalidFilterError":
                    from firezone_filter.capture import packet_filter as room
                case _:
                    from firezone_filter.capture import captures as room
        except ModuleNotFoundError as error:
            raise missing("cli", error.name, error) from error
        return globals().setdefault(name, getattr(room, name))

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})


__all__ = [
    "Capture",
    "Captures",
    "DamagedCaptureError",
    "Frames",
    "Interface",
    "InvalidFilterError",
    "MissingExtraError",
    "NotACaptureError",
    "Record",
    "UnreadableCaptureError",
    "open_captures",
]
