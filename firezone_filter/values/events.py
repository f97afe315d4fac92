"""What happened by itself: events that a host fetches with `Gateway.poll_event`."""

import enum
from ipaddress import IPv4Address, IPv6Address

from attrs import frozen

from firezone_filter.values.decisions import Direction, Reason


@frozen
class AuthorizationExpired:
    """An authorization reached its `expires_at` and is gone."""

    client_id: str
    """Whose authorization it was."""

    resource_id: str
    """What it had been for."""

    expired_at: float
    """The `expires_at` that it had, on the host's clock."""


@frozen
class AccessExhausted:
    """The last authorization of a client has gone; it may reach no resource any more.

    Firezone's Gateway closes the client's connection at this point. The library keeps the
    client connected, with nothing allowed, until the host says otherwise.
    """

    client_id: str
    """The client that has nothing left."""


class FlowEnd(enum.StrEnum):
    """Why the record of a flow was closed. The values are stable; logs may rely on them."""

    FIN = "fin"
    """TCP: both ends were done sending."""

    RST = "rst"
    """TCP: one end broke off."""

    IDLE = "idle"
    """No packet for more than two minutes."""

    RESTARTED = "restarted"
    """Another flow with the same ends began, and another record: by a SYN of TCP, or to
    another name with the same address."""

    REVOKED = "revoked"
    """The client is not authorized for the resource any more."""

    EXPIRED = "expired"
    """The authorization expired."""

    DISCONNECTED = "disconnected"
    """The client has gone, or has begun another tunnel session."""

    CROWDED_OUT = "crowded-out"
    """The client has begun more flows than are recorded at a time."""


@frozen(kw_only=True)
class _Flow:
    """What tells one recorded flow from another."""

    client_id: str
    """The client, the initiator of the flow."""

    resource_id: str
    """The resource that permits it."""

    protocol: int
    """IANA protocol number."""

    inner_src_ip: IPv4Address | IPv6Address
    """The client's tunnel address."""

    inner_src_port: int | None
    """The client's port or echo id, as the resource sees it: after translation. `None` where
    the protocol has none."""

    inner_dst_ip: IPv4Address | IPv6Address
    """The resource's real address: after translation."""

    inner_dst_port: int | None
    """The resource's port. `None` where the protocol has none."""

    domain: str | None
    """The name that the client asked for, if the resource is reached by name."""

    flow_start: float
    """When its first packet was decided about."""


@frozen(kw_only=True)
class FlowStarted(_Flow):
    """A client has begun to exchange packets with a resource (`GatewayOptions.flow_records`).

    The fields are those of Firezone's flow record. Times are on the host's clock.
    """


@frozen(kw_only=True)
class FlowEnded(_Flow):
    """A recorded flow is over; what it was, and what went through it."""

    last_packet: float
    """When its last packet was decided about."""

    flow_end: float
    """When it was over."""

    tx_packets: int
    """Packets from the client to the resource."""

    tx_bytes: int
    """Their payload, without IP and transport headers."""

    rx_packets: int
    """Packets from the resource to the client."""

    rx_bytes: int
    """Their payload, without IP and transport headers."""

    cause: FlowEnd
    """Why it is over."""


@frozen(kw_only=True)
class FlowRefused:
    """Packets that were refused for one reason, of one client and far end, within a minute.

    A client that tries many far ends fills a few of these records: from the ninth on they are
    one, with what its packets have in common.
    """

    client_id: str | None
    """The client; `None` where none was found."""

    direction: Direction
    """Which way the packets were going."""

    reason: Reason
    """Why they were refused."""

    far_ip: IPv4Address | IPv6Address | None
    """The other end, as it stood in the packets; `None` for several, or for none that could
    be read."""

    protocol: int | None
    """IANA protocol number; `None` for several, or for none that could be read."""

    far_port: int | None
    """The other end's port; `None` for several, or where the protocol has none."""

    first_packet: float
    """When the first was refused."""

    last_packet: float
    """When the last was refused."""

    packets: int
    """How many were refused."""

    ip_bytes: int
    """Their size, headers included."""


AccessEvent = AuthorizationExpired | AccessExhausted
"""What is reported of authorizations."""

FlowEvent = FlowStarted | FlowEnded | FlowRefused
"""What is reported only with `GatewayOptions(flow_records=True)`."""

Event = AccessEvent | FlowEvent
"""What `Gateway.poll_event` returns."""
