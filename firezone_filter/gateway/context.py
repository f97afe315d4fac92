"""What holds for every client of a gateway: its options, its plan, its own addresses."""

from collections.abc import Callable

from firezone_filter.access.permits import compile_filters
from firezone_filter.access.special_ranges import address_flags
from firezone_filter.accounting.event_queue import EventQueue
from firezone_filter.accounting.flow_records import FlowLog
from firezone_filter.accounting.refusals import RefusalLog
from firezone_filter.gateway.flow_cache import FlowTables
from firezone_filter.nat.sessions import Lifetimes
from firezone_filter.structures.timers import Deadlines, Keeper
from firezone_filter.values.addresses import AddressPlan, TunnelAddresses
from firezone_filter.values.options import GatewayOptions


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
