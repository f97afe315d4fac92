"""Flow handlers: the interface between the flow cache, the NAT and the accounting."""

from collections.abc import Callable
from typing import Protocol

from firezone_filter.packet.headers import Headers
from firezone_filter.values.decisions import Forward, Translate

CountFragment = Callable[[Headers, bytes, float], None]
"""Counts a later fragment for a flow record, given its headers, the packet and the time."""


class FlowHandler(Protocol):
    """Decides about the next packets of an established flow, each of which has an effect.

    A handler is for one flow in one direction, and is made when its first packet has been
    allowed. That of a translated flow prolongs the session, that of a tracked one (`stateful`)
    the flow; that of a counted one adds to the flow record. It checks no permission, so it must
    be invalidated when the client's permissions change.
    """

    client_id: str
    """The client at the near end."""

    def handle(self, packet: bytes, now: float) -> Forward | Translate | None:
        """Decide about a packet, and apply its effect; return `None` to have it judged.

        The caller has checked that lengths, options and fragment bits are those of a whole
        packet with this flow key.
        """
