"""The state that all clients of a gateway share: options, plan, addresses, upkeep, logs."""

from collections.abc import Callable

from firezone_filter.access.permits import PermitCheck, compile_filters
from firezone_filter.access.special_ranges import RangeMap, address_flags
from firezone_filter.accounting.event_queue import EventQueue
from firezone_filter.accounting.flow_log import FlowLog
from firezone_filter.accounting.refusals import RefusalLog
from firezone_filter.gateway.flow_cache import FlowCache
from firezone_filter.nat.sessions import Session
from firezone_filter.packet.numbers import ICMPV4, ICMPV6
from firezone_filter.stateful.flows import Flow
from firezone_filter.structures.upkeep import Keeper, UpkeepQueue
from firezone_filter.tracking.sessions import SessionPool
from firezone_filter.values.addresses import AddressPlan, TunnelAddresses
from firezone_filter.values.decisions import Reason
from firezone_filter.values.options import GatewayOptions


class GatewayContext:
    """The gateway's side of every decision. Of the configuration only the addresses change."""

    __slots__ = (
        "_addresses",
        "cleanup",
        "events",
        "flags",
        "flow_cache",
        "flow_log",
        "flow_pool",
        "logs",
        "options",
        "own",
        "own_check",
        "plan",
        "ranges",
        "refusal_log",
        "session_pool",
    )

    def __init__(
        self, addresses: TunnelAddresses, plan: AddressPlan, options: GatewayOptions
    ) -> None:
        self.options: GatewayOptions = options
        self.plan: AddressPlan = plan
        self.ranges: RangeMap = address_flags(plan)
        self.flags: Callable[[bytes], int] = self.ranges.flags
        self.flow_cache: FlowCache = FlowCache(options.max_remembered)
        self.events: EventQueue = EventQueue()
        self.flow_log: FlowLog | None = FlowLog(self.events) if options.flow_records else None
        self.refusal_log: RefusalLog | None = (
            RefusalLog(self.events) if options.flow_records else None
        )
        self.logs: tuple[FlowLog | RefusalLog, ...] = tuple(
            log for log in (self.flow_log, self.refusal_log) if log is not None
        )
        self.cleanup: UpkeepQueue[Keeper] = UpkeepQueue()
        self.session_pool: SessionPool[Session] = SessionPool(
            options.max_sessions_per_client, options.max_sessions
        )
        self.flow_pool: SessionPool[Flow] = SessionPool(
            options.max_flows_per_client, options.max_flows
        )
        self.own_check: PermitCheck = compile_filters(options.own_filters)
        self.own: frozenset[bytes] = frozenset()
        self.addresses = addresses

    @property
    def addresses(self) -> TunnelAddresses:
        """The gateway's own tunnel addresses."""
        return self._addresses

    @addresses.setter
    def addresses(self, addresses: TunnelAddresses) -> None:
        self._addresses = addresses
        self.own = frozenset(addresses.packed())

    def own_refusal(self, protocol: int, number: int) -> Reason | None:
        """Return why `own_filters` refuse a packet, or `None` if they permit it.

        Args:
            protocol: IANA protocol number.
            number: the gateway's port for TCP and UDP, the type for ICMP and ICMPv6; ignored for
                other protocols.
        """
        # ICMP of the wrong IP version was refused as malformed, so the number at hand is
        # that of the packet's version.
        icmp = ICMPV6 if protocol == ICMPV6 else ICMPV4
        return self.own_check.refusal(protocol, number, icmp)
