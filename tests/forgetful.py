"""The flow cache as tests see it: emptied, or asked whether it answers.

A cache is invisible, so these helpers look inside; no other test has to.
"""

from unittest.mock import patch

from firezone_filter import Direction, Gateway


def forget_everything_remembered(gateway: Gateway) -> None:
    """Empty the flow cache, of all clients and both directions.

    Nothing else: sessions, first fragments and flow records are state, not memory.
    """
    for client in gateway._clients.by_id.values():
        client.flow_cache.invalidate()


def remembers(
    gateway: Gateway, direction: Direction, packet: bytes, client_id: str | None = None
) -> bool:
    """Tell whether a packet is decided without a judge, alone and in a batch."""
    # Without clients the first packet of a flow finds none, and is the judge's.
    with (
        patch.object(gateway, "_judge", None),
        patch.dict(gateway._clients.by_address, clear=True),
    ):
        try:
            gateway.handle_packet(direction, packet, client_id=client_id)
            gateway.handle_packets(direction, [packet], client_id=client_id)
        except AttributeError:
            return False
    return True
