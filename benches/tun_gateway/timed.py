"""The example host, with a watch at the library: how long do decisions take?

    python -m benches.tun_gateway.timed POLICY …

At its end it prints the number of decisions, and their nanoseconds in all.
"""

import atexit
import json
import time
from statistics import median

from examples.tun_gateway.gateway import main
from firezone_filter import Decision, Direction, Gateway

_NOW = time.thread_time_ns  # CPU time: it stands still while others have the processor


class Timed(Gateway):
    """Measures its own decisions, as the host sees them."""

    decisions = 0
    nanoseconds = 0

    def handle_packet(
        self,
        direction: Direction,
        packet: bytes | bytearray | memoryview,
        now: float | None = None,
        client_id: str | None = None,
    ) -> Decision:
        before = _NOW()
        decision = super().handle_packet(direction, packet, now, client_id=client_id)
        Timed.nanoseconds += _NOW() - before
        Timed.decisions += 1
        return decision


def watch() -> float:
    """Return the nanoseconds that looking at the watch takes."""
    return median(-(_NOW() - _NOW()) for _ in range(10_000))


def tell() -> None:
    """Print what has been measured, without the watch."""
    nanoseconds = Timed.nanoseconds - Timed.decisions * watch()
    line = {"decisions": Timed.decisions, "nanoseconds": nanoseconds, "message": "Measured"}
    print(json.dumps(line), flush=True)  # noqa: T201 - who has started it reads it


if __name__ == "__main__":
    atexit.register(tell)
    main(Timed)
