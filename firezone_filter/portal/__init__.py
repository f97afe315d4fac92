"""The portal's messages: read, checked against a gateway, carried out and replied to.

From the bottom up: `message_fields` reads the fields that have nothing to do with filtering,
`preflight` finds what a gateway would refuse, `commands` holds the messages as values,
`messages` reads them, `session` carries them out, and `reply` holds what the host gets back.
No socket is opened here.
"""

from firezone_filter.portal.reply import PortalEvent, PortalReply
from firezone_filter.portal.session import PortalSession

__all__ = ["PortalEvent", "PortalReply", "PortalSession"]
