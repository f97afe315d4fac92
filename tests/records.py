"""The cast of the flow record tests: gateways that record flows, and what they report."""

from typing import Final, TypeVar, Unpack, assert_never

from attrs import evolve

from firezone_filter import (
    AccessExhausted,
    AuthorizationExpired,
    Direction,
    Event,
    FlowEnd,
    FlowEnded,
    FlowRefused,
    FlowStarted,
    Gateway,
    GatewayOptions,
    Resource,
)
from firezone_filter.testing import ACK, FIN, RST, SYN, Layout, icmp_echo, ip, tcp, udp
from tests.numbers import ESP
from tests.scenes import INBOUND, Family, gateway_for_alice

E = TypeVar("E", bound=Event)

RECORDING: Final = GatewayOptions(flow_records=True)

OPENING: Final = {
    "syn": SYN,
    "syn-ack": SYN | ACK,
    "nothing": 0,
    "push": 0x08,
}
"""Flags with which a TCP packet without payload begins a record."""

CLOSING: Final = {
    "fin": FIN,
    "fin-ack": FIN | ACK,
    "rst": RST,
    "rst-ack": RST | ACK,
    "syn-fin": SYN | FIN,
    "syn-rst": SYN | RST,
}
"""Flags with which none does, payload or not."""


def packet(  # noqa: PLR0913 - as many fields as it has
    family: Family,
    direction: Direction,
    kind: str = "udp",
    size: int = 24,
    *,
    far: str | None = None,
    flags: int = SYN,
    **layout: Unpack[Layout],
) -> bytes:
    """Build a packet of some kind between Alice and the resource; TCP has a SYN."""
    flow, payload = family.flow(direction, 443, far=far), bytes(size)
    ends = family.flow(direction, far=far)
    match kind:
        case "tcp":
            return tcp(flow, payload, flags=flags, **layout)
        case "udp":
            return udp(flow, payload, **layout)
        case "echo":
            reply = direction is INBOUND
            return icmp_echo(ends, reply=reply, identifier=77, payload=payload, **layout)
        case _:
            return ip(ends, ESP, payload, **layout)


def recording(
    *resources: Resource, options: GatewayOptions = RECORDING, now: float | None = 0.0
) -> Gateway:
    """Connect Alice and Bob to a gateway that records flows; authorize Alice alone."""
    return gateway_for_alice(*resources, options=evolve(options, flow_records=True), now=now)


def fetched(gateway: Gateway) -> list[Event]:
    return list(iter(gateway.poll_event, None))


def only(kind: type[E], events: list[Event]) -> list[E]:
    return [event for event in events if isinstance(event, kind)]


def closed(gateway: Gateway) -> list[FlowEnded]:
    """Let Alice go, and return all records that nobody has fetched."""
    gateway.client_disconnected("alice")
    return only(FlowEnded, fetched(gateway))


def the_record(gateway: Gateway) -> FlowEnded:
    """Let Alice go, and return the one record that there is."""
    (record,) = closed(gateway)
    return record


def refusals(gateway: Gateway, now: float = 60.0) -> list[FlowRefused]:
    """Let time come to *now*, and return what is reported of refused packets."""
    gateway.handle_timeout(now)
    return only(FlowRefused, fetched(gateway))


def ends(gateway: Gateway) -> list[tuple[FlowEnd, float]]:
    """Return why and when the flows ended that are reported."""
    return [(event.cause, event.flow_end) for event in only(FlowEnded, fetched(gateway))]


def sums(record: FlowEnded) -> tuple[int, int, int, int]:
    """Return packets and bytes, first those that were sent, then those that came."""
    return record.tx_packets, record.tx_bytes, record.rx_packets, record.rx_bytes


def names(gateway: Gateway) -> list[str]:
    """Return what is reported, by its kind; of ends also the cause."""
    return [_name(event) for event in fetched(gateway)]


def told(gateway: Gateway) -> list[str]:
    """Return what is reported of flows: that they started, or why and when they ended."""
    return [
        f"{event.cause} {event.flow_end:g}" if isinstance(event, FlowEnded) else _name(event)
        for event in fetched(gateway)
    ]


def _name(event: Event) -> str:
    match event:
        case FlowEnded():
            return f"ended: {event.cause}"
        case FlowStarted():
            return "started"
        case FlowRefused():
            return "refused"
        case AuthorizationExpired():
            return "authorization expired"
        case AccessExhausted():
            return "access exhausted"
        case _:
            assert_never(event)
