"""Counters for dashboards and alarms: the gateway's state in numbers, and its refusals."""

from collections.abc import Mapping
from typing import Literal

from attrs import frozen

from firezone_filter.structures.attribute_docs import documented
from firezone_filter.values.decisions import Direction, Reason
from firezone_filter.values.json_types import to_dict

AllowedKind = Literal["forward", "translate"]
"""The decisions that let a packet through."""


@documented
@frozen(kw_only=True)
class Counters:
    """The result of `Gateway.counters`: present numbers, and totals since its creation."""

    allowed: Mapping[tuple[Direction, AllowedKind], int]
    """Total of allowed packets, by direction and decision (`"forward"`, `"translate"`). All four
    pairs are keys, even with 0."""

    refusals: Mapping[tuple[Direction, Reason], int]
    """Total of refused packets. Every pair of direction and reason is a key, even with 0."""

    clients: int
    """Connected clients."""

    authorizations: int
    """Authorizations of all clients together."""

    cached_flows: int
    """Entries in the flow cache, decisions and handlers. Each direction of a flow is one."""

    nat_sessions: int
    """Live sessions of translated flows."""

    fragments: int
    """First fragments whose decision is kept for their later fragments."""

    flows: int = 0
    """Live flows of `GatewayOptions.stateful`; 0 without it."""

    clock_steps_back: int = 0
    """How often a call brought a `now` that was earlier than the latest, since the start."""

    clock_step_back_max: float = 0.0
    """Seconds by which it was earlier at most."""

    recorded_flows: int | None = None
    """Open flow records. This and the four totals below are `None` unless
    `GatewayOptions.flow_records` is on."""

    tx_packets: int | None = None
    """Total of packets from clients, as counted by flow records."""

    tx_bytes: int | None = None
    """Total of their payload, in bytes, without IP and transport headers."""

    rx_packets: int | None = None
    """Total of packets to clients, as counted by flow records."""

    rx_bytes: int | None = None
    """Total of their payload, in bytes, without IP and transport headers."""

    flow_events_lost: int = 0
    """Total of flow events lost because 65,536 were waiting already."""

    def to_dict(self) -> dict[str, object]:
        """Return the fields in JSON types, with `"kind": "counters"`.

        `refusals` is an object of objects: direction, then reason.
        """
        return to_dict(self, kind="counters")
