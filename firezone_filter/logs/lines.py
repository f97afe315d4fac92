"""The wording of log lines: their message, severity and fields.

Fields have Firezone's names: `cid` is the id of a client, `rid` that of a resource. Unknown
values are left out, and readers see `null` for them.
"""

import enum
import logging
from collections.abc import Mapping
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final, NamedTuple, assert_never

from attrs import asdict

from firezone_filter.logs.suppression import ClientKey, FarEnd, Overflow, SuppressedCount
from firezone_filter.logs.timestamps import format_time
from firezone_filter.packet.headers import NO_PORT, Headers
from firezone_filter.packet.icmp import ICMP_CODE_AT
from firezone_filter.packet.numbers import ICMPV4, ICMPV6, TCP, UDP
from firezone_filter.values.addresses import TunnelAddresses
from firezone_filter.values.decisions import Direction, Drop, Reason, Reject
from firezone_filter.values.events import (
    AccessExhausted,
    AuthorizationExpired,
    Event,
    FlowEnded,
    FlowEvent,
    FlowRefused,
    FlowStarted,
)
from firezone_filter.values.resources import (
    CidrResource,
    DnsResource,
    InternetResource,
    Resource,
)

# A client spoofs its source address or tries to reach another client, or there is no room left
# for permitted traffic: an operator should look.
_SERIOUS: Final = frozenset(
    {
        Reason.SOURCE_NOT_ALLOWED,
        Reason.PEER_ADDRESS,
        Reason.NAT_EXHAUSTED,
        Reason.FLOWS_EXHAUSTED,
    }
)

# Every laptop discovers its neighbours by multicast, the kernel routes us packets of no client,
# and late packets of closed connections come all day: nothing is wrong.
_ROUTINE: Final = frozenset(
    {
        Reason.MULTICAST,
        Reason.NOT_A_PEER,
        Reason.EXPIRED_NAT_SESSION,
        Reason.UNSOLICITED,
    }
)

_PROTOCOLS: Final = {ICMPV4: "icmp", TCP: "tcp", UDP: "udp", ICMPV6: "icmpv6"}
_TIMES: Final = frozenset({"flow_start", "flow_end", "first_packet", "last_packet"})


class Line(NamedTuple):
    """A line for `logging` to write."""

    level: int
    """The level, as a number of `logging`."""

    message: str
    """The message, with a `%d` for each of *numbers*."""

    numbers: tuple[int, ...]
    """The numbers in the message."""

    fields: Mapping[str, object]
    """The fields in their order; a value of `None` is left out."""


def refused(
    direction: Direction, refusal: Reject | Drop, packet: bytes, headers: Headers | None
) -> Line:
    """Return the line of one refused packet; its *headers* are `None` if they cannot be read."""
    fields = _refusal(refusal.client_id, direction, refusal.reason)
    if headers is not None:
        fields |= {
            "protocol": _protocol(headers.protocol),
            "src": str(ip_address(headers.source)),
            "src_port": _port(headers.source_port),
            "dst": str(ip_address(headers.destination)),
            "dst_port": _port(headers.destination_port),
        }
        if headers.icmp_type != NO_PORT:
            fields["icmp_type"] = headers.icmp_type
            fields["icmp_code"] = packet[headers.transport + ICMP_CODE_AT]
    return Line(_level(refusal.reason), "Refused packet", (), fields)


def suppressed(count: SuppressedCount) -> Line:
    """Return the line that counts packets without a line of their own."""
    fields = _refusal(count.client, count.direction, count.reason)
    message = "Refused %d packets" if count.packets > 1 else "Refused %d packet"
    if count.client is Overflow.CLIENTS:
        message += " of further clients"
    elif count.far_end is Overflow.FAR_ENDS:
        message += " of further far ends"
    elif isinstance(count.far_end, FarEnd):
        fields |= _far_end(count.direction, count.far_end)
    fields["suppressed"] = count.packets
    return Line(_level(count.reason), message, (count.packets,), fields)


def happened(event: Event) -> Line:
    """Return the line of *event*."""
    match event:
        case AuthorizationExpired():
            fields = {
                "cid": event.client_id,
                "rid": event.resource_id,
                "expired_at": format_time(event.expired_at),
            }
            return Line(logging.INFO, "Authorization expired", (), fields)
        case AccessExhausted():
            return Line(logging.INFO, "No authorization is left", (), {"cid": event.client_id})
        case FlowStarted():
            return Line(logging.INFO, "Flow started", (), _flow(event))
        case FlowEnded():
            return Line(logging.INFO, "Flow ended", (), _flow(event))
        case FlowRefused():
            return Line(_level(event.reason), "Flow refused", (), _flow(event))
        case _:
            assert_never(event)


def connected(client_id: str, addresses: TunnelAddresses) -> Line:
    """Return the line of a new tunnel session."""
    ipv4, ipv6 = (address and str(address) for address in (addresses.ipv4, addresses.ipv6))
    return Line(
        logging.INFO, "Client connected", (), {"cid": client_id, "ipv4": ipv4, "ipv6": ipv6}
    )


def disconnected(client_id: str) -> Line:
    """Return the line of the end of a tunnel session."""
    return Line(logging.INFO, "Client disconnected", (), {"cid": client_id})


def authorized(client_id: str, resource: Resource, expires_at: float | None) -> Line:
    """Return the line of an authorization."""
    fields = {
        "cid": client_id,
        "rid": resource.id,
        "resource_name": resource.name or None,
        "resource_address": _address(resource),
        "expires_at": None if expires_at is None else format_time(expires_at),
    }
    return Line(logging.INFO, "Client authorized", (), fields)


def revoked(client_id: str, resource_id: str) -> Line:
    """Return the line of an authorization that was revoked before it expired."""
    fields = {"cid": client_id, "rid": resource_id}
    return Line(logging.INFO, "Authorization revoked", (), fields)


def _refusal(client: ClientKey, direction: Direction, reason: Reason) -> dict[str, object]:
    return {
        "cid": client if isinstance(client, str) else None,
        "reason": reason.value,
        "direction": direction.value,
    }


def _far_end(direction: Direction, far_end: FarEnd) -> dict[str, object]:
    end = "dst" if direction is Direction.OUTBOUND else "src"
    return {
        "protocol": _protocol(far_end.protocol),
        end: str(ip_address(far_end.address)),
        f"{end}_port": _port(far_end.port),
    }


def _flow(event: FlowEvent) -> dict[str, object]:
    """Return all fields of *event*, first the two ids, which have other names in logs."""
    fields = asdict(event, recurse=False)
    names = {"cid": fields.pop("client_id"), "rid": fields.pop("resource_id", None)}
    return names | {name: _formatted(name, value) for name, value in fields.items()}


def _formatted(name: str, value: object) -> object:
    match value:
        case float() | int() if name in _TIMES:
            return format_time(value)
        case int() if name == "protocol":
            return _protocol(value)
        case IPv4Address() | IPv6Address():
            return str(value)
        case enum.Enum():
            return value.value
        case _:
            return value


def _protocol(number: int) -> str:
    return _PROTOCOLS.get(number, str(number))


def _port(port: int) -> int | None:
    return None if port == NO_PORT else port


def _address(resource: Resource) -> str | None:
    match resource:
        case CidrResource():
            return str(resource.network)
        case DnsResource():
            return resource.address
        case InternetResource():
            return None
        case _:
            assert_never(resource)


def _level(reason: Reason) -> int:
    if reason in _SERIOUS:
        return logging.WARNING
    return logging.DEBUG if reason in _ROUTINE else logging.INFO
