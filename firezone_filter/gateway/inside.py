"""What a gateway has compiled of its policy, for rooms that ask about it instead of deciding.

What a policy means is computed from the very objects that decide (`policy.analysis`), and a replay
asks them once about all packets of a flow (`replay.columns`). Whoever asks only reads.
"""

from collections.abc import Mapping
from typing import NamedTuple, final

from firezone_filter.gateway.client import Client
from firezone_filter.gateway.context import GatewayContext
from firezone_filter.gateway.gateway import Gateway
from firezone_filter.gateway.judge import Judge
from firezone_filter.structures.deadline import Deadline


@final
class Inside(NamedTuple):
    """The parts of a gateway that know what is permitted."""

    context: GatewayContext
    """What all clients share: the range map, the own addresses and filters."""

    clients: Mapping[str, Client]
    """The connected clients by id, in the order of their connection."""

    judge: Judge
    """Judges packets without any effect."""

    expiries: Deadline
    """Before its `next`, nothing that permits is over, and none waits to be taken apart."""


def inside(gateway: Gateway) -> Inside:
    """Return the parts of a gateway that know what is permitted. Nothing may change them."""
    context, clients, judge = gateway._context, gateway._clients, gateway._judge  # noqa: SLF001 - the door of this room
    return Inside(context, clients.by_id, judge, clients.expiries)
