"""The portal's messages: what they ask of a gateway, and what they are answered with.

From the bottom up: `answers` are what a host gets back, `shapes` knows the parts of messages
that are no resources, `moment` tells what a gateway would refuse, `messages` reads one
whole, `session` acts on it. The messages are those of Firezone's portal; no socket is opened
here.
"""

from firezone_filter.portal.answers import PortalEvent, PortalReply
from firezone_filter.portal.session import PortalSession

__all__ = ["PortalEvent", "PortalReply", "PortalSession"]
