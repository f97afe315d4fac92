"""Events, which a host fetches with `Gateway.poll_event`. Times are on the host's clock.

Each has `to_dict` for machines: JSON types only, with the kind of event as `kind`.
"""

import enum
from ipaddress import IPv4Address, IPv6Address

from attrs import frozen

from firezone_filter.structures.attribute_docs import documented, documented_members
from firezone_filter.values.decisions import Direction, Reason
from firezone_filter.values.json_types import to_dict


@documented
@frozen
class AuthorizationExpired:
    """An authorization has reached its `expires_at`, and has ended."""

    client_id: str
    """The client that was authorized."""

    resource_id: str
    """The resource that it was authorized for."""

    expired_at: float
    """The authorization's `expires_at`, in seconds."""

    def to_dict(self) -> dict[str, object]:
        """Return the fields in JSON types, with `"kind": "authorization-expired"`."""
        return to_dict(self, kind="authorization-expired")


@documented
@frozen
class AccessExhausted:
    """The last authorization of a client has ended, so it may reach no resource any more.

    Firezone's Gateway closes the client's connection at this point. The library keeps the
    client connected until the host disconnects it or authorizes it again; an `authorize` before
    the event is polled withdraws it.
    """

    client_id: str
    """The client without authorizations."""

    def to_dict(self) -> dict[str, object]:
        """Return the fields in JSON types, with `"kind": "access-exhausted"`."""
        return to_dict(self, kind="access-exhausted")


@documented_members
class FlowEnd(enum.StrEnum):
    """The cause that closed a flow record.

    The string values are stable; logs may rely on them.
    """

    FIN = "fin"
    """TCP: both sides have sent a FIN."""

    RST = "rst"
    """TCP: one side has sent a RST."""

    IDLE = "idle"
    """There was no packet for more than 120 s."""

    RESTARTED = "restarted"
    """The client began a new flow with the same ends: by a SYN of TCP, or to another name with
    the same real address."""

    REVOKED = "revoked"
    """The authorization was revoked."""

    EXPIRED = "expired"
    """The authorization expired."""

    DISCONNECTED = "disconnected"
    """The client was disconnected, or connected anew."""

    CROWDED_OUT = "crowded-out"
    """The client began another flow at its limit of 4,096 open records."""


@documented
@frozen(kw_only=True)
class _Flow:
    """The identity of a recorded flow."""

    client_id: str
    """The client, the initiator of the flow."""

    resource_id: str
    """The resource that permits it."""

    protocol: int
    """IANA protocol number."""

    inner_src_ip: IPv4Address | IPv6Address
    """The client's tunnel address."""

    inner_src_port: int | None
    """The client's port or echo id as the resource sees it, after translation; `None` where the
    protocol has none."""

    inner_dst_ip: IPv4Address | IPv6Address
    """The resource's address, after translation."""

    inner_dst_port: int | None
    """The resource's port; `None` where the protocol has none."""

    domain: str | None
    """The name behind the proxy address, in lower case; `None` if the flow is not translated."""

    flow_start: float
    """The time of its first packet, in seconds."""


@frozen(kw_only=True)
class FlowStarted(_Flow):
    """A flow record has begun: a client sends packets to a resource.

    Reported with `GatewayOptions(flow_records=True)`. The fields are those of Firezone's flow
    record.
    """

    def to_dict(self) -> dict[str, object]:
        """Return the fields in JSON types, with `"kind": "flow-started"`."""
        return to_dict(self, kind="flow-started")


@documented
@frozen(kw_only=True)
class FlowEnded(_Flow):
    """A flow record has been closed, with the traffic of the whole flow.

    Reported with `GatewayOptions(flow_records=True)`.
    """

    last_packet: float
    """The time of its last packet, in seconds."""

    flow_end: float
    """The time at which it ended, in seconds; which time that is depends on `cause`."""

    tx_packets: int
    """Packets from the client to the resource."""

    tx_bytes: int
    """Their payload in bytes, without IP and transport headers."""

    rx_packets: int
    """Packets from the resource to the client."""

    rx_bytes: int
    """Their payload in bytes, without IP and transport headers."""

    cause: FlowEnd
    """Why it was closed."""

    def to_dict(self) -> dict[str, object]:
        """Return the fields in JSON types, with `"kind": "flow-ended"`."""
        return to_dict(self, kind="flow-ended")


@documented
@frozen(kw_only=True)
class FlowRefused:
    """Packets of one client and far address were refused for one reason, within 60 s.

    Reported with `GatewayOptions(flow_records=True)`. Eight far addresses are told apart at a
    time for each client, direction and reason; packets with further ones share one record, so
    a scan causes few events.
    """

    client_id: str | None
    """The client; `None` where none was found."""

    direction: Direction
    """The direction of the packets."""

    reason: Reason
    """Why they were refused."""

    far_ip: IPv4Address | IPv6Address | None
    """The far address as it stands in the packets; `None` if they differ, or if their headers
    cannot be read."""

    protocol: int | None
    """IANA protocol number; `None` if the packets differ, or if their headers cannot be
    read."""

    far_port: int | None
    """The far port; `None` if the packets differ, or where the protocol has none."""

    first_packet: float
    """The time of the first packet, in seconds."""

    last_packet: float
    """The time of the last packet, in seconds."""

    packets: int
    """The number of packets."""

    ip_bytes: int
    """Their size in bytes, headers included."""

    def to_dict(self) -> dict[str, object]:
        """Return the fields in JSON types, with `"kind": "flow-refused"`."""
        return to_dict(self, kind="flow-refused")


AccessEvent = AuthorizationExpired | AccessExhausted
"""Events about authorizations; they are always reported."""

FlowEvent = FlowStarted | FlowEnded | FlowRefused
"""Events about traffic, reported only with `GatewayOptions(flow_records=True)`."""

Event = AccessEvent | FlowEvent
"""The events that `Gateway.poll_event` returns."""
