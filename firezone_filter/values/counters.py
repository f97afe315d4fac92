"""Counters: how many there are of everything, and what was refused, for dashboards and alarms."""

from collections.abc import Mapping

from attrs import frozen

from firezone_filter.values.decisions import Direction, Reason


@frozen(kw_only=True)
class Counters:
    """What `Gateway.counters` returns: totals since the gateway was made, and what there is."""

    refusals: Mapping[tuple[Direction, Reason], int]
    """Refused packets since the start; every direction and reason is there, also with 0."""

    clients: int
    """Connected clients."""

    authorizations: int
    """Authorizations of all clients."""

    cached_flows: int
    """Flows whose decision is remembered, each direction for itself."""

    nat_sessions: int
    """Live sessions of translated flows."""

    fragments: int
    """First fragments whose decision is remembered."""

    recorded_flows: int | None = None
    """Flow records that are open; `None` where flows are not recorded, as below."""

    tx_packets: int | None = None
    """Packets from clients that flow records count, since the start."""

    tx_bytes: int | None = None
    """Their payload."""

    rx_packets: int | None = None
    """Packets to clients that flow records count, since the start."""

    rx_bytes: int | None = None
    """Their payload."""

    flow_events_lost: int = 0
    """Flow events since the start for which there was no room: nobody had fetched the others."""
