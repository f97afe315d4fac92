"""The portal's messages: what each asks of a gateway, and the replies that the portal expects.

From the bottom up: `reply` holds what a host gets back, `message_fields` reads the fields
that have nothing to do with filtering, `preflight` tells what a gateway would refuse, `commands`
are the messages as values, `messages` reads whole messages, `session` acts on them. No socket
is opened here.
"""

from firezone_filter.portal.reply import PortalEvent, PortalReply
from firezone_filter.portal.session import PortalSession

__all__ = ["PortalEvent", "PortalReply", "PortalSession"]
