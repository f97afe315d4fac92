"""The results of `PortalSession.receive`: replies to send, and events for the host."""

import json
from collections.abc import Mapping
from typing import Final

from attrs import frozen

TOPIC: Final = "gateway"
"""The only topic of the channel between a gateway and the portal."""


@frozen
class PortalReply:
    """A reply that the portal waits for: send its `to_json()` over the channel."""

    event: str
    """The reply's name: `authorization_created`."""

    payload: Mapping[str, object]
    """Its payload: `{"ref": …}`, the reference that the portal sent along."""

    def to_json(self) -> str:
        """Return the text of the whole message, in ASCII."""
        return json.dumps(
            {"event": self.event, "ref": None, "topic": TOPIC, "payload": self.payload}
        )


@frozen
class PortalEvent:
    """A message that is not, or not only, about filtering: ICE, keys, relays, names to resolve.

    The library has checked the envelope and the fields that it acted on, nothing else. Many of
    the others are secrets, and `repr` shows them: log the name of the event alone.
    """

    event: str
    """The message's name: `ice_candidates`."""

    payload: Mapping[str, object]
    """Its payload, unchanged."""
