"""Which packets of a capture concern a client, and which way they travel.

A capture knows no tunnel and no interface, only addresses: they stand in for both.
"""

from firezone_filter.policy import Policy
from firezone_filter.replay.five_tuple import read_addresses
from firezone_filter.values.decisions import Direction


class ClientAddresses:
    """The tunnel addresses of a policy's clients."""

    def __init__(self, policy: Policy) -> None:
        self._packed = frozenset(
            address for client in policy.clients for address in client.addresses.packed()
        )

    def direction(self, packet: bytes) -> Direction | None:
        """Return which way *packet* travels, or `None` if it concerns no client.

        A client's own packets are outbound, also those to another client or to the
        gateway; what others, the gateway among them, send to a client is inbound. A packet
        without addresses concerns nobody.
        """
        addresses = read_addresses(packet)
        if addresses is None:
            return None
        source, destination = addresses
        if source in self._packed:
            return Direction.OUTBOUND
        return Direction.INBOUND if destination in self._packed else None
