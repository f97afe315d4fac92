"""The ruling: a judge's answer about one packet, and what follows from it."""

from typing import NamedTuple, final

from firezone_filter.gateway.client import Client
from firezone_filter.gateway.fragments import Verdict
from firezone_filter.nat.nat import TranslatedFlow
from firezone_filter.packet.headers import Headers
from firezone_filter.values.decisions import Decision


@final
class Ruling(NamedTuple):
    """A decision, with what committing it needs. Nothing has changed by then.

    The decision alone tells most of it: a refusal is counted, a `Reject` takes a reply token,
    a `Forward` or `Translate` is remembered and counted by its headers.
    """

    decision: Decision
    """What the packet gets."""

    client: Client | None = None
    """The client that it concerns; `None` where none was found."""

    headers: Headers | None = None
    """The packet's headers, from the row of fragments on; `None` where an earlier row decided,
    and for ICMP errors, which belong to no flow."""

    key: bytes | None = None
    """The flow key of an allowed packet, if it has one; else it is not remembered."""

    flow: TranslatedFlow | None = None
    """The translated flow that it belongs to. Its session may be a new one."""

    followed: Verdict | None = None
    """The verdict about its first fragment, if it is a later one."""
