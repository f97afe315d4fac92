"""The results of `PortalSession.receive`: replies to send, and events for the host."""

import json
from collections.abc import Mapping
from typing import Final

from attrs import frozen

from firezone_filter.structures.attribute_docs import documented
from firezone_filter.values.json_types import to_dict, to_json_type

TOPIC: Final = "gateway"
"""The only topic of the channel between a gateway and the portal."""


@documented
@frozen
class PortalReply:
    """A reply that the portal waits for: send its `to_json()` over the channel."""

    event: str
    """The reply's name: `authorization_created`."""

    payload: Mapping[str, object]
    """Its payload: `{"ref": …}`, the reference that the portal sent along."""

    def to_json(self) -> str:
        """Return the text of the whole message, in ASCII."""
        return json.dumps(self.to_dict())

    def to_dict(self) -> dict[str, object]:
        """Return the whole message in JSON types."""
        payload = to_json_type(self.payload)
        return {"event": self.event, "ref": None, "topic": TOPIC, "payload": payload}


@documented
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

    def to_dict(self) -> dict[str, object]:
        """Return the fields in JSON types, the payload whole: it may hold keys and passwords."""
        return to_dict(self)
