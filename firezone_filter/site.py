"""What holds for every client of a gateway: its options, its plan, its own addresses."""

from collections.abc import Callable
from typing import Any

import attrs
from attrs import field, frozen

from firezone_filter.addresses import AddressPlan, TunnelAddresses, address_flags
from firezone_filter.clock import Deadlines, Keeper, is_finite
from firezone_filter.errors import InvalidPolicy, shown
from firezone_filter.events import EventQueue
from firezone_filter.flowcache import FlowTables
from firezone_filter.flows import FlowLog
from firezone_filter.refusals import RefusalLog
from firezone_filter.resources import Filter, compile_filters, to_filters
from firezone_filter.sessions import Lifetimes


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


@frozen
class GatewayOptions:
    """How a gateway behaves where the portal has no say.

    Raises:
        InvalidPolicy: a number that is negative or not finite.
        TypeError: a wrong type; `own_filters` that are `None` or a filter by itself.
    """

    reject: bool = field(default=True, validator=_switch)
    """Whether refused packets of clients are answered with an ICMP error. Without answers
    (`False`) connections to what is refused time out instead of failing at once."""

    reject_rate: float = field(default=100.0, validator=_rate)
    """Replies a second for one client, on average (RFC 4443, section 2.4)."""

    reject_burst: int = field(default=100, validator=_count)
    """Replies at once for one client."""

    own_filters: tuple[Filter, ...] = field(default=(), converter=to_filters)
    """What clients may send to the gateway's own tunnel address. **None at all permit
    every protocol.**"""

    max_sessions_per_client: int = field(default=16_384, validator=_count)
    """Translated flows of one client at a time."""

    max_sessions: int = field(default=1_048_576, validator=_count)
    """Translated flows of all clients at a time."""

    flow_records: bool = field(default=False, validator=_switch)
    """Whether `Gateway.poll_event` reports flows too: `FlowStarted`, `FlowEnded`,
    `FlowRefused`. Then every packet is counted, which makes it up to two and a half times as
    expensive."""


class Site:
    """The gateway's own side, shared by all its clients; only the addresses change."""

    __slots__ = (
        "_addresses",
        "events",
        "flags",
        "flow_log",
        "flows",
        "lifetimes",
        "logs",
        "options",
        "own",
        "own_check",
        "ranges",
        "refusal_log",
        "reminders",
    )

    def __init__(
        self, addresses: TunnelAddresses, plan: AddressPlan, options: GatewayOptions
    ) -> None:
        self.options = options
        self.ranges = address_flags(plan)
        self.flags: Callable[[bytes], int] = self.ranges.flags
        self.flows = FlowTables()
        self.events = EventQueue()
        self.flow_log = FlowLog(self.events) if options.flow_records else None
        self.refusal_log = RefusalLog(self.events) if options.flow_records else None
        self.logs = tuple(log for log in (self.flow_log, self.refusal_log) if log is not None)
        self.reminders: Deadlines[Keeper] = Deadlines()
        self.lifetimes = Lifetimes(self.reminders)
        self.own_check = compile_filters(options.own_filters)
        self.own: frozenset[bytes] = frozenset()
        self.addresses = addresses

    @property
    def limits(self) -> tuple[int, int]:
        """How many sessions one client may have, and all together."""
        return self.options.max_sessions_per_client, self.options.max_sessions

    @property
    def addresses(self) -> TunnelAddresses:
        """The gateway's own tunnel addresses."""
        return self._addresses

    @addresses.setter
    def addresses(self, addresses: TunnelAddresses) -> None:
        self._addresses = addresses
        self.own = frozenset(addresses.packed())
