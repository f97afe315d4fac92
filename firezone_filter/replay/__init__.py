"""Replays captures through a policy.

    from firezone_filter.replay import replay

    run = replay("office.pcap", policy)
    print(run.summary.frames.packets)

Only the names in `__all__` are public.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from firezone_filter.capture.extras import MissingExtraError
    from firezone_filter.replay.captured_packet import CapturedPacket
    from firezone_filter.replay.errors import (
        AlreadyReadError,
        OutputClashError,
        UnknownEndingError,
        WorkersError,
    )
    from firezone_filter.replay.five_tuple import FiveTuple
    from firezone_filter.replay.run import Replay, replay
    from firezone_filter.replay.summary import ClientSummary, Decided, Refusals, Summary, Tally
else:
    from firezone_filter.capture.extras import MissingExtraError, missing

    # Imported when it is first asked for: whoever takes a module of this room needs not all.

    def __getattr__(name: str) -> object:
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        try:
            match name:
                case "CapturedPacket":
                    from firezone_filter.replay import captured_packet as module
                case "FiveTuple":
                    from firezone_filter.replay import five_tuple as module
                case "Replay" | "replay":
                    from firezone_filter.replay import run as module
                case "ClientSummary" | "Decided" | "Refusals" | "Summary" | "Tally":
                    from firezone_filter.replay import summary as module
                case _:
                    from firezone_filter.replay import errors as module
        except ModuleNotFoundError as error:
            # Of what it needs, numpy alone is not there for everybody.
            raise missing("replay", error.name, error) from error
        return globals().setdefault(name, getattr(module, name))

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})


__all__ = [
    "AlreadyReadError",
    "CapturedPacket",
    "ClientSummary",
    "Decided",
    "FiveTuple",
    "MissingExtraError",
    "OutputClashError",
    "Refusals",
    "Replay",
    "Summary",
    "Tally",
    "UnknownEndingError",
    "WorkersError",
    "replay",
]
