"""Why two decisions are not equal: shown when an assertion about them fails.

Without it pytest shows two values of hundreds of bytes each, and leaves the search to the reader.
"""

from collections.abc import Iterator, Sequence
from ipaddress import ip_address
from typing import Final, TypeGuard

from attrs import fields

from firezone_filter import Decision, Drop, Forward, Reject, Translate
from tests.numbers import ICMPV4, ICMPV6, TCP, UDP

DECISIONS: Final = (Forward, Translate, Reject, Drop)
WIDTH: Final = 16
"""Bytes in a line of a packet's hex."""

Field = tuple[int, str]
"""Where in its header a field begins."""

IPV4_FIELDS: Final[list[Field]] = [
    (0, "version and length"),
    (1, "type of service"),
    (2, "total length"),
    (4, "identification"),
    (6, "flags and offset"),
    (8, "TTL"),
    (9, "protocol"),
    (10, "header checksum"),
    (12, "source"),
    (16, "destination"),
    (20, "options"),
]
IPV6_FIELDS: Final[list[Field]] = [
    (0, "version and flow label"),
    (4, "payload length"),
    (6, "next header"),
    (7, "hop limit"),
    (8, "source"),
    (24, "destination"),
    (40, "extension headers"),
]
_ICMP_FIELDS: Final[list[Field]] = [(0, "type"), (1, "code"), (2, "checksum"), (4, "rest")]
TRANSPORTS: Final[dict[int, tuple[str, list[Field]]]] = {
    TCP: (
        "TCP",
        [
            (0, "source port"),
            (2, "destination port"),
            (4, "sequence numbers"),
            (12, "offset and flags"),
            (14, "window"),
            (16, "checksum"),
            (18, "urgent pointer"),
            (20, "payload"),
        ],
    ),
    UDP: (
        "UDP",
        [
            (0, "source port"),
            (2, "destination port"),
            (4, "length"),
            (6, "checksum"),
            (8, "payload"),
        ],
    ),
    ICMPV4: ("ICMP", [*_ICMP_FIELDS, (8, "body")]),
    ICMPV6: ("ICMPv6", [*_ICMP_FIELDS, (8, "body")]),
}


def explain(left: object, right: object) -> list[str] | None:
    """Return what differs in two decisions, or in two rows of them; `None` of anything else."""
    if isinstance(left, DECISIONS) and isinstance(right, DECISIONS):
        return list(_of_decisions(left, right))
    if _are_decisions(left) and _are_decisions(right):
        return list(_of_rows(left, right))
    return None


def _are_decisions(value: object) -> TypeGuard[Sequence[Decision]]:
    return (
        isinstance(value, list | tuple)
        and bool(value)
        and all(isinstance(one, DECISIONS) for one in value)
    )


def _of_rows(left: Sequence[Decision], right: Sequence[Decision]) -> Iterator[str]:
    pairs = enumerate(zip(left, right, strict=False))
    first = next((place for place, (one, other) in pairs if one != other), None)
    if len(left) != len(right):
        yield f"{len(left)} decisions != {len(right)}"
    if first is None:
        return
    yield f"decisions differ first at index {first}:"
    yield from _of_decisions(left[first], right[first])


def _of_decisions(left: Decision, right: Decision) -> Iterator[str]:
    yield f"{_summary(left)} != {_summary(right)}"
    if type(left) is not type(right):
        for side, decision in (("left", left), ("right", right)):
            packet = getattr(decision, "packet", None) or getattr(decision, "reply", None)
            if packet is not None:
                yield f"  {side}: {describe(packet)}"
        return
    for field in fields(type(left)):
        one, other = (getattr(decision, field.name) for decision in (left, right))
        if one == other:
            continue
        if isinstance(one, bytes):
            yield from _of_packets(field.name, one, other)
        else:
            yield f"  {field.name}: {one!r} != {other!r}"


def _summary(decision: Decision) -> str:
    shown = [
        f"{field.name}={value!s}"
        for field in fields(type(decision))
        if not isinstance(value := getattr(decision, field.name), bytes)
    ]
    return f"{type(decision).__name__}({', '.join(shown)})"


def _of_packets(name: str, left: bytes, right: bytes) -> Iterator[str]:
    place = next(
        (n for n, (one, other) in enumerate(zip(left, right, strict=False)) if one != other),
        min(len(left), len(right)),
    )
    longer = max(left, right, key=len)
    yield f"  {name}: they differ first at byte {place}, {field_at(longer, place)}"
    start = max(0, place // WIDTH - 1) * WIDTH
    for side, packet in (("left", left), ("right", right)):
        yield f"  {side}: {describe(packet)}"
        for line in range(start, min(start + 3 * WIDTH, len(packet)), WIDTH):
            yield f"    {line:4}  {packet[line : line + WIDTH].hex(' ')}"


def describe(packet: bytes) -> str:
    """Return the headers of a packet in one line, as far as they are there."""
    ends = _ends(packet)
    if ends is None:
        return f"{len(packet)} bytes, no IP packet"
    header, protocol, source, destination = ends
    name, _ = TRANSPORTS.get(protocol, (f"protocol {protocol}", []))
    text = f"{len(packet)} bytes, {source} > {destination}, {name}"
    transport = packet[header:]
    if protocol in (TCP, UDP) and len(transport) >= 4:
        ports = int.from_bytes(transport[:2]), int.from_bytes(transport[2:4])
        text += " {} > {}".format(*ports)
    elif protocol in (ICMPV4, ICMPV6) and len(transport) >= 2:
        text += f" type {transport[0]} code {transport[1]}"
        if _ends(transport[8:]) is not None:
            text += f", quoting {describe(transport[8:])}"
    return text


def field_at(packet: bytes, place: int) -> str:
    """Name the field of a header to which a byte of a packet belongs."""
    ends = _ends(packet)
    if ends is None:
        return "of no IP packet"
    header, protocol, _, _ = ends
    if place < header:
        is_ipv4 = packet[0] >> 4 == 4
        return f"IP {_name(IPV4_FIELDS if is_ipv4 else IPV6_FIELDS, place)}"
    name, known = TRANSPORTS.get(protocol, (f"protocol {protocol}", [(0, "payload")]))
    behind = place - header
    quote = packet[header + 8 :]
    if protocol in (ICMPV4, ICMPV6) and behind >= 8 and _ends(quote) is not None:
        return f"{name} quote: {field_at(quote, behind - 8)}"
    return f"{name} {_name(known, behind)}"


def _name(known: Sequence[Field], place: int) -> str:
    return [name for start, name in known if start <= place][-1]


def _ends(packet: bytes) -> tuple[int, int, str, str] | None:
    """Return header length, protocol and addresses; extension headers count as payload."""
    if len(packet) >= 20 and packet[0] >> 4 == 4:
        header, protocol, addresses = (packet[0] & 15) * 4, packet[9], packet[12:20]
    elif len(packet) >= 40 and packet[0] >> 4 == 6:
        header, protocol, addresses = 40, packet[6], packet[8:40]
    else:
        return None
    half = len(addresses) // 2
    source, destination = ip_address(addresses[:half]), ip_address(addresses[half:])
    return header, protocol, str(source), str(destination)
