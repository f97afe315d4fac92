"""The example host without decisions: whatever comes is forwarded.

    python -m benches.tun_gateway.everything POLICY …

What is left is what moving packets costs: reading, finding the client, writing.
"""

from examples.tun_gateway.gateway import main
from firezone_filter import Decision, Direction, Forward, Gateway, TunnelAddresses


class Everything(Gateway):
    """Forwards everything that comes from its one client, or for it."""

    forward = Forward("nobody", None)

    def client_connected(
        self, client_id: str, addresses: TunnelAddresses, now: float | None = None
    ) -> None:
        super().client_connected(client_id, addresses, now)
        self.forward = Forward(client_id, None)

    def handle_packet(
        self,
        direction: Direction,  # noqa: ARG002 - it makes no difference
        packet: bytes | bytearray | memoryview,  # noqa: ARG002 - nor does this
        now: float | None = None,  # noqa: ARG002 - nor this
        client_id: str | None = None,  # noqa: ARG002 - there is one client
    ) -> Decision:
        return self.forward


if __name__ == "__main__":
    main(Everything)
