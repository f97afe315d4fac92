"""What handles the next packets of an established flow whose every packet has an effect."""

from typing import Protocol

from firezone_filter.values.decisions import Forward, Translate


class FlowHandler(Protocol):
    """Decides about the packets of one flow in one direction, and does what follows.

    Made with the first of them, once it has been allowed: a translated flow's handler
    prolongs its session, a counted one's adds to its record.
    """

    client_id: str

    def handle(self, packet: bytes, now: float) -> Forward | Translate | None:
        """Decide about a packet; `None` if it has to be judged like the first of a flow."""
