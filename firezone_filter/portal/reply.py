"""What `PortalSession.receive` returns: what to send, and what is left to the host."""

import json
from collections.abc import Mapping
from typing import Final

from attrs import frozen

TOPIC: Final = "gateway"
"""The one topic of the channel between a gateway and the portal."""


@frozen
class PortalReply:
    """What the portal waits for: send it, `to_json()`, over the channel."""

    event: str
    """The reply's name: `authorization_created`."""

    payload: Mapping[str, object]
    """What it says: `{"ref": …}`, which the portal had sent along."""

    def to_json(self) -> str:
        """Return the text of the whole message, in ASCII."""
        return json.dumps(
            {"event": self.event, "ref": None, "topic": TOPIC, "payload": self.payload}
        )


@frozen
class PortalEvent:
    """A message, or what is in it besides filtering: ICE, relays, names to resolve.

    The library has checked the envelope, and what it acted on; nothing else.
    """

    event: str
    """The message's name: `ice_candidates`."""

    payload: Mapping[str, object]
    """Its payload, untouched."""
