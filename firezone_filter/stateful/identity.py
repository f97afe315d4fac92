"""Flow identities: which flow of a client a packet belongs to (rules.md, section 7).

A flow is what the client sees of it. So both directions have one identity, written as the client
sends: near and far address, then what tells flows between them apart, then the protocol:

- TCP and UDP: the client's port, the far port;
- ICMP echo: the echo id, the type of the request;
- other ICMP requests: the type of the request;
- other protocols: nothing more.

The lengths differ, so none equals another by chance. All else of ICMP belongs to no flow: a
request that comes in, an answer that goes out, an error, and every message that nobody answers.
"""

from typing import Final, NamedTuple

from firezone_filter.packet.headers import Headers
from firezone_filter.packet.icmp import ECHO_ID_AT, ECHO_REQUEST, ICMP_ANSWERS
from firezone_filter.packet.numbers import (
    ICMPV4,
    ICMPV6,
    IPV4_LENGTH,
    IPV6_LENGTH,
    TCP,
    UDP,
)

_BYTE: Final = tuple(bytes([number]) for number in range(256))

_PORT_BYTES: Final = 2

# By protocol and type of a message, the type of the request that begins its flow.
_OUTBOUND: Final = {
    protocol: {request: request for request in pairs} for protocol, pairs in ICMP_ANSWERS.items()
}
_INBOUND: Final = {
    protocol: {answer: request for request, answer in pairs.items()}
    for protocol, pairs in ICMP_ANSWERS.items()
}


def identify(headers: Headers, packet: bytes, *, outbound: bool) -> bytes | None:
    """Return the identity of the flow that a packet belongs to, or would begin.

    Args:
        headers: its headers; not those of a later fragment.
        packet: the packet.
        outbound: whether the client sends it.

    Returns:
        The identity; `None` if it belongs to no flow.
    """
    protocol = headers.protocol
    near, far = headers.source, headers.destination
    near_port, far_port = headers.source_port, headers.destination_port
    if not outbound:
        near, far, near_port, far_port = far, near, far_port, near_port
    if protocol in {TCP, UDP}:
        ports = near_port << 16 | far_port
        return near + far + ports.to_bytes(4) + _BYTE[protocol]
    if protocol not in {ICMPV4, ICMPV6}:
        return near + far + _BYTE[protocol]
    request = (_OUTBOUND if outbound else _INBOUND)[protocol].get(headers.icmp_type)
    if request is None:
        return None
    if request == ECHO_REQUEST[protocol]:
        at = headers.transport + ECHO_ID_AT
        return near + far + packet[at : at + 2] + _BYTE[request] + _BYTE[protocol]
    return near + far + _BYTE[request] + _BYTE[protocol]


def identify_key(key: bytes, protocol: int, *, outbound: bool) -> bytes:
    """Return the same for a TCP or UDP packet by its flow key, which is quicker."""
    if outbound:
        return key + _BYTE[protocol]
    length = len(key) // 2 - _PORT_BYTES
    addresses = key[length : 2 * length] + key[:length]
    return addresses + key[-2:] + key[-4:-2] + _BYTE[protocol]


def translated(identity: bytes, proxy: bytes, port: int) -> bytes:
    """Return the identity of a packet to the client as the NAT translates it.

    Args:
        identity: that of the packet as it came.
        proxy: the proxy address in the place of the far address.
        port: the client's own port or echo id.
    """
    length = len(proxy)
    rest = identity[2 * length + _PORT_BYTES :]
    return identity[:length] + proxy + port.to_bytes(_PORT_BYTES) + rest


class FlowEnds(NamedTuple):
    """What the identity of a flow says."""

    protocol: int
    near: bytes
    far: bytes
    near_port: int | None = None
    far_port: int | None = None
    request: int | None = None
    """The type of an ICMP request."""
    echo_id: int | None = None


def far_end(identity: bytes) -> bytes:
    """Return the far address in the identity of a flow."""
    length = _address_length(identity)
    return identity[length : 2 * length]


def _address_length(identity: bytes) -> int:
    return IPV6_LENGTH if len(identity) > 2 * IPV6_LENGTH else IPV4_LENGTH


def read_identity(identity: bytes) -> FlowEnds:
    """Return what the identity of a flow says."""
    length = _address_length(identity)
    protocol, rest = identity[-1], identity[2 * length : -1]
    ends = FlowEnds(protocol, identity[:length], identity[length : 2 * length])
    if protocol in {TCP, UDP}:
        ports = int.from_bytes(rest[:_PORT_BYTES]), int.from_bytes(rest[_PORT_BYTES:])
        return ends._replace(near_port=ports[0], far_port=ports[1])
    if rest:
        echo_id = int.from_bytes(rest[:-1]) if rest[:-1] else None
        return ends._replace(request=rest[-1], echo_id=echo_id)
    return ends
