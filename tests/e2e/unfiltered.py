"""A gateway with the founding bug: filters judge only what comes from clients.

python -m tests.e2e.unfiltered gateway run …
"""

from functools import partial

from firezone_filter import Decision, Direction, Drop, Forward, Gateway
from firezone_filter.cli import main
from firezone_filter.host import daemon


class Unfiltered(Gateway):
    """Forwards whatever arrives for a connected client."""

    def handle_packet(
        self,
        direction: Direction,
        packet: bytes | bytearray | memoryview,
        now: float | None = None,
        client_id: str | None = None,
    ) -> Decision:
        decision = super().handle_packet(direction, packet, now, client_id=client_id)
        if direction is Direction.INBOUND and isinstance(decision, Drop) and decision.client_id:
            return Forward(decision.client_id, None)
        return decision


if __name__ == "__main__":
    daemon.run = partial(daemon.run, make_gateway=Unfiltered)
    main()
