"""The host with a look at the watch before and after each decision.

    python -m benches.watched_host gateway run …

At its end it logs how long all decisions took.
"""

import json
import time
from functools import partial
from statistics import median
from typing import Final

from firezone_filter import Decision, Direction, Gateway
from firezone_filter.cli import main
from firezone_filter.host import daemon

_NOW: Final = time.thread_time_ns  # CPU time: it stands still while others have the processor


class Watched(Gateway):
    """Adds up what its decisions take."""

    packets = nanoseconds = 0

    def handle_packet(
        self,
        direction: Direction,
        packet: bytes | bytearray | memoryview,
        now: float | None = None,
        client_id: str | None = None,
    ) -> Decision:
        before = _NOW()
        decision = super().handle_packet(direction, packet, now, client_id)
        Watched.nanoseconds += _NOW() - before
        Watched.packets += 1
        return decision


def watch() -> float:
    """Return the nanoseconds that looking at the watch takes."""
    return median(-(_NOW() - _NOW()) for _ in range(10_000))


if __name__ == "__main__":
    daemon.run = partial(daemon.run, make_gateway=Watched)
    try:
        main()
    finally:
        seconds = (Watched.nanoseconds - Watched.packets * watch()) / 1e9
        print(json.dumps({"message": "Decided", "seconds": seconds}), flush=True)  # noqa: T201
