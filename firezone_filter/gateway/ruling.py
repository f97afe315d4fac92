"""The ruling: the judge's answer about one packet, with what committing it needs."""

from typing import NamedTuple, final

from firezone_filter.gateway.client import Client
from firezone_filter.gateway.fragments import Verdict
from firezone_filter.nat.flows import TranslatedFlow
from firezone_filter.packet.headers import Headers
from firezone_filter.stateful.handlers import TrackedFlow
from firezone_filter.values.decisions import Decision


@final
class Ruling(NamedTuple):
    """A decision, and what follows from it. Nothing has changed yet.

    Most of that follows from the kind of decision: a refusal is counted, a `Reject` takes a
    reply token, a `Forward` or `Translate` is remembered, and counted by its headers.
    """

    decision: Decision
    """The decision about the packet."""

    client: Client | None = None
    """The client at the near end; `None` where none was found."""

    headers: Headers | None = None
    """The packet's headers; `None` if a row before that of fragments decided, and for ICMP
    errors, which belong to no flow: then nothing follows from an allowed packet."""

    key: bytes | None = None
    """The flow key of an allowed packet; `None` for one that must not be remembered."""

    flow: TranslatedFlow | None = None
    """The translated flow that the packet belongs to. Its session may be a new one."""

    tracked: TrackedFlow | None = None
    """With `stateful`, the flow that the packet belongs to, which may be a new one; `None` if it
    belongs to none, and then it must not be remembered."""

    followed: Verdict | None = None
    """For an allowed later fragment, the verdict that it follows."""
