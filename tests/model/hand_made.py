"""Inputs for the model's own tests: stand-ins for the library's values, packets by hand."""

from __future__ import annotations

import enum
import struct
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network

from .gateway import Model
from .packets import checksum, pseudo_header
from .values import ICMP, Address, Given

FIN, SYN, RST, ACK = 0x01, 0x02, 0x04, 0x10


class Direction(enum.Enum):
    OUTBOUND = 1
    INBOUND = 2


OUT, IN = Direction.OUTBOUND, Direction.INBOUND


@dataclass(frozen=True)
class TunnelAddresses:
    ipv4: Given = None
    ipv6: Given = None


@dataclass(frozen=True)
class AddressPlan:
    tunnel: Given = (ip_network("100.64.0.0/11"), ip_network("fd00:2021:1111::/107"))
    dns_resources: Given = (
        ip_network("100.96.0.0/11"),
        ip_network("fd00:2021:1111:8000::/107"),
    )


@dataclass(frozen=True)
class Options:
    reject: bool = True
    reject_rate: float = 100.0
    reject_burst: int = 100
    own_filters: Given = field(
        default_factory=lambda: (
            Icmp((0, 8), (128, 129)),
            Udp(Ports(53_535, 53_535)),
            Tcp(Ports(53_535, 53_535)),
        )
    )
    max_sessions_per_client: int = 16_384
    max_sessions: int = 1_048_576
    stateful: bool = False
    max_flows_per_client: int = 16_384
    max_flows: int = 1_048_576


@dataclass(frozen=True)
class Ports:
    first: int = 0
    last: int = 65_535


@dataclass(frozen=True)
class Tcp:
    ports: Ports = field(default_factory=Ports)


@dataclass(frozen=True)
class Udp:
    ports: Ports = field(default_factory=Ports)


@dataclass(frozen=True)
class Icmp:
    types: Given = None
    types_v6: Given = None


@dataclass(frozen=True)
class Protocol:
    number: int


@dataclass(frozen=True)
class CidrResource:
    id: str
    network: Given
    filters: Given = ()
    name: str = ""
    exclude: Given = ()


@dataclass(frozen=True)
class DnsResource:
    id: str
    address: str
    filters: Given = ()
    name: str = ""


@dataclass(frozen=True)
class InternetResource:
    id: str
    exclude: Given = ()
    name: str = ""


def addresses(*texts: str) -> TunnelAddresses:
    return TunnelAddresses(
        **{f"ipv{ip_address(text).version}": ip_address(text) for text in texts}
    )


def permit_tcp(first: int, last: int | None = None) -> tuple[Tcp]:
    return (Tcp(Ports(first, first if last is None else last)),)


def cidr(
    network: str, filters: tuple[object, ...] = (), resource_id: str = "cidr"
) -> CidrResource:
    return CidrResource(resource_id, ip_network(network), filters)


def dns(
    pattern: str = "example.com", filters: tuple[object, ...] = (), resource_id: str = "dns"
) -> DnsResource:
    return DnsResource(resource_id, pattern, filters)


GATEWAY = addresses("100.64.0.1", "fd00:2021:1111::1")
ALICE = addresses("100.64.0.2", "fd00:2021:1111::2")
BOB = addresses("100.64.0.3")


def gateway(**options: Given) -> Model:
    """A gateway at time 1000 with Alice connected."""
    model = Model(GATEWAY, address_plan=AddressPlan(), options=Options(**options))
    model.client_connected("alice", ALICE, 1000)
    return model


def resolved(
    model: Model, *proxies: str, to: tuple[str, ...], domain: str = "example.com"
) -> None:
    model.domain_resolved("alice", "dns", domain, proxy_addresses=proxies, resolved_addresses=to)


def translating(filters: tuple[object, ...] = (), **options: Given) -> Model:
    """A gateway where 100.96.0.1 stands for 93.184.216.34, and the same in IPv6."""
    model = gateway(**options)
    model.authorize("alice", dns(filters=filters))
    resolved(
        model,
        "100.96.0.1",
        "fd00:2021:1111:8000::1",
        to=("93.184.216.34", "2606:2800::34"),
    )
    return model


# Packets -----------------------------------------------------------------------------


def ends(flow: str) -> tuple[tuple[Address, int], tuple[Address, int]]:
    """Read `10.0.0.1:80 > 10.0.0.2:443`, or `[fd00::1]:80 > …`."""
    first, second = ((end.rpartition(":")) for end in flow.split(" > "))
    return (
        (ip_address(first[0].strip("[]")), int(first[2])),
        (ip_address(second[0].strip("[]")), int(second[2])),
    )


def ip(  # noqa: PLR0913 - the fields of a header
    source: Address,
    destination: Address,
    protocol: int,
    payload: bytes,
    *,
    options: bytes = b"",
    identification: int = 0,
    fragment_bits: int = 0,
    ttl: int = 60,
) -> bytes:
    """Put an IP header in front, with the correct IPv4 header checksum."""
    if source.version == 6:
        head = struct.pack("!IHBB", 6 << 28, len(payload), protocol, ttl)
        return head + source.packed + destination.packed + payload
    length = 20 + len(options)
    head = struct.pack(
        "!BBHHHBBH4s4s",
        *(0x40 | length // 4, 0, length + len(payload), identification, fragment_bits),
        *(ttl, protocol, 0, source.packed, destination.packed),
    )
    head += options
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + payload


def summed(source: Address, destination: Address, protocol: int, data: bytes, at: int) -> bytes:
    pseudo = pseudo_header(source, destination, protocol, len(data))
    value = checksum((b"" if protocol == 1 else pseudo) + data)
    return data[:at] + struct.pack("!H", value) + data[at + 2 :]


def tcp(flow: str, flags: int = ACK, payload: bytes = b"", **header: Given) -> bytes:
    (source, near), (destination, far) = ends(flow)
    data = struct.pack("!HHIIBBHHH", near, far, 1, 2, 0x50, flags, 512, 0, 0) + payload
    return ip(source, destination, 6, summed(source, destination, 6, data, 16), **header)


def udp(flow: str, payload: bytes = b"", **header: Given) -> bytes:
    (source, near), (destination, far) = ends(flow)
    data = struct.pack("!HHHH", near, far, 8 + len(payload), 0) + payload
    return ip(source, destination, 17, summed(source, destination, 17, data, 6), **header)


def icmp(path: str, kind: int, code: int = 0, rest: int = 0, payload: bytes = b"") -> bytes:
    """`rest` is the second word; an echo id is its upper half."""
    source, destination = (ip_address(text) for text in path.split(" > "))
    data = struct.pack("!BBHI", kind, code, 0, rest) + payload
    protocol = ICMP[source.version]
    return ip(source, destination, protocol, summed(source, destination, protocol, data, 2))


def echo(path: str, identifier: int, *, reply: bool = False, payload: bytes = b"ping") -> bytes:
    kinds = (129, 128) if ":" in path else (0, 8)
    return icmp(path, kinds[0] if reply else kinds[1], 0, identifier << 16 | 7, payload)


def fragment(  # noqa: PLR0913 - the fields of a header
    path: str,
    protocol: int,
    data: bytes,
    *,
    offset: int = 0,
    more: bool = False,
    identification: int = 77,
) -> bytes:
    """Make a fragment in the family of `path`."""
    source, destination = (ip_address(text) for text in path.split(" > "))
    if source.version == 4:
        bits = offset // 8 | (0x2000 if more else 0)
        return ip(
            *(source, destination, protocol, data),
            identification=identification,
            fragment_bits=bits,
        )
    head = struct.pack("!BBHI", protocol, 0, offset | more, identification)
    return ip(source, destination, 44, head + data)


def payload_of(packet: bytes) -> bytes:
    return packet[40:] if packet[0] >> 4 == 6 else packet[(packet[0] & 15) * 4 :]
