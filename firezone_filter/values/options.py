"""`GatewayOptions`: the settings of a gateway that come from the host, not from the portal."""

from typing import Any

import attrs
from attrs import field, frozen

from firezone_filter.structures.attribute_docs import documented
from firezone_filter.values.errors import InvalidPolicy, shown
from firezone_filter.values.filters import Filter, Icmp, Tcp, Udp, to_filters
from firezone_filter.values.times import is_finite


def _switch(_: object, attribute: "attrs.Attribute[Any]", value: object) -> None:
    if not isinstance(value, bool):
        raise TypeError(f"{attribute.name} is a bool, not {shown(value)}")


def _rate(_: object, attribute: "attrs.Attribute[Any]", value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{attribute.name} is a number, not {shown(value)}")
    _check_amount(attribute.name, value)


def _count(_: object, attribute: "attrs.Attribute[Any]", value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{attribute.name} is an int, not {shown(value)}")
    _check_amount(attribute.name, value)


def _check_amount(name: str, value: float) -> None:
    if value < 0 or not is_finite(value):
        raise InvalidPolicy(f"{name}: {shown(value)} is negative or not finite", value)


@documented
@frozen
class GatewayOptions:
    """The settings of a gateway that come from the host, not from the portal.

    Raises:
        InvalidPolicy: a number is negative or not finite.
        TypeError: a wrong type, also `None` or a single filter for `own_filters`.
    """

    reject: bool = field(default=True, validator=_switch)
    """Whether refused packets of clients are answered with an ICMP error (`Reject`). With
    `False` they are dropped, and the client's connections time out instead of failing at
    once."""

    reject_rate: float = field(default=100.0, validator=_rate)
    """Maximum replies a second to one client, on average (RFC 4443, section 2.4)."""

    reject_burst: int = field(default=100, validator=_count)
    """Maximum replies to one client at once."""

    own_filters: tuple[Filter, ...] = field(
        default=(Icmp.echo(), Udp(53535), Tcp(53535)), converter=to_filters
    )
    """The filters for packets between clients and the gateway's own tunnel address: unless the
    host says otherwise, pings (no other ICMP), and questions to Firezone's name server on port
    53535. **None at all permit every protocol.**"""

    max_sessions_per_client: int = field(default=16_384, validator=_count)
    """Maximum NAT sessions of one client. For another, one of its own gives way that is closing,
    that it has closed from its side, or that was never answered. Without such a one the packet
    is dropped as `NAT_EXHAUSTED`."""

    max_sessions: int = field(default=1_048_576, validator=_count)
    """Maximum NAT sessions of all clients together. For another, one of the client that has most
    gives way, in the same manner."""

    max_remembered: int = field(default=1_048_576, validator=_count)
    """Maximum decisions remembered for all clients together, at 100 to 150 bytes each; of one
    client at most 4,096 a direction. For another, the client that has most forgets its oldest.
    The number changes no decision; 0 remembers none."""

    stateful: bool = field(default=False, validator=_switch)
    """Whether only answers come back: an inbound packet passes only if the client began the
    flow that it belongs to (rules.md, section 7). Otherwise, what a client may reach may
    also speak to it unasked. stateful.md says when to use it, and what it does not do."""

    max_flows_per_client: int = field(default=16_384, validator=_count)
    """Maximum flows of one client, with `stateful`. For another, one of its own gives way that is
    closing, that it has closed from its side, or that was never answered. Without such a one
    the packet is dropped as `FLOWS_EXHAUSTED`."""

    max_flows: int = field(default=1_048_576, validator=_count)
    """Maximum flows of all clients together, with `stateful`. For another, one of the client that
    has most gives way, in the same manner."""

    flow_records: bool = field(default=False, validator=_switch)
    """Whether flows are recorded: `Gateway.poll_event` then also returns `FlowStarted`,
    `FlowEnded` and `FlowRefused`, and `Counters` has totals of traffic. Counting makes a packet
    up to two and a half times as expensive."""
