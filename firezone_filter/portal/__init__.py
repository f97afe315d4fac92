"""The portal's messages: read, checked against a gateway, carried out and replied to.

From the bottom up: `commands` holds the messages as values, `message_fields` keeps the fields
that filtering uses, `preflight` finds what a gateway would refuse, `messages` reads messages,
`withdrawals` reads what a refused one takes away, `session` carries them out, and `reply` holds
what the host gets back. No socket is opened here.
"""

from firezone_filter.portal.reply import PortalEvent, PortalReply
from firezone_filter.portal.session import PortalSession

__all__ = ["PortalEvent", "PortalReply", "PortalSession"]
