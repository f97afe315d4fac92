"""Which packets of a capture belong to a client, and which way they travel.

A capture records neither the tunnel nor the interface of a packet, so its addresses have to
stand for both.
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
        """Return which way *packet* travels, or `None` if it belongs to no client.

        A packet from a client is outbound, even to another client or to the gateway; a packet
        to a client from anyone else, the gateway included, is inbound. A packet too broken to
        have addresses belongs to no client.
        """
        addresses = read_addresses(packet)
        if addresses is None:
            return None
        source, destination = addresses
        if source in self._packed:
            return Direction.OUTBOUND
        return Direction.INBOUND if destination in self._packed else None
