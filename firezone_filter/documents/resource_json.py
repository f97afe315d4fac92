"""Resources and filters as JSON, in the shape in which the portal sends them, read and written.

Unknown fields are ignored, as Firezone's own gateway ignores them: a newer portal may add
some. Where a missing field would mean more access, it is a fault all the same: `filters` are
required, and `null` never means "everything".
"""

import re
from collections.abc import Callable, Hashable
from typing import Final, assert_never

from attrs import frozen

from firezone_filter.documents.faults import Faults
from firezone_filter.documents.nodes import Fields, Node, build_if_complete
from firezone_filter.packet.numbers import MAX_PORT
from firezone_filter.values.addresses import Network, to_network
from firezone_filter.values.domains import DomainPattern, to_domain_pattern
from firezone_filter.values.errors import InvalidAddress
from firezone_filter.values.resources import (
    ALL_PORTS,
    CidrResource,
    DnsResource,
    Filter,
    Icmp,
    InternetResource,
    PortRange,
    Resource,
    Tcp,
    Udp,
    to_id,
)

# Neither a mask (10.0.0.0/255.0.0.0), which is easily mistaken for its inverse, nor a scope
# (fe80::%eth0/64), which belongs to the host's links: packets carry none.
_WITH_LENGTH = re.compile(r"[^/%]+/[0-9]{1,3}")


# --- Reading ------------------------------------------------------------------------------


@frozen
class ResourceUpdate:
    """What can change of a resource while a client has it, and how to find it."""

    kind: str
    """Its type, which cannot change."""

    id: str

    filters: tuple[Filter, ...]
    """Its new filters; none for the Internet, which has no filters."""


def read_resource(node: Node, *, among: Hashable, with_extensions: bool = True) -> Resource | None:
    """Read a resource: `{"type": "cidr", "id": "db", "address": "10.0.0.0/24", …}`.

    `type` (`cidr`, `dns`, `internet`) and `id` are required; for `cidr` and `dns` so are
    `address` and `filters`. `name` may be missing or `null`. For `internet` the portal sends
    nothing else; `name` and `exclude`, a list of networks, are extensions of this library.
    A name affects no decision.

    Args:
        node: the resource.
        among: the scope of its id: another resource of the same id in it is a fault.
        with_extensions: whether to read this library's extensions; if not, they are ignored as
            unknown fields, and so is a name that is not a text.
    """
    fields = node.fields()
    if fields is None:
        return None
    read = fields.require("type").one_of(_RESOURCES)
    resource_id = read_id(fields.require("id"), among=among)
    if read is _read_internet and not with_extensions:
        return build_if_complete(InternetResource, id=resource_id)
    name = (_read_name if with_extensions else _take_name)(fields.get_unless_null("name"))
    return None if read is None else read(fields, resource_id, name)


def read_resource_update(fields: Fields) -> ResourceUpdate | None:
    """Read `type`, `id` and, unless it is the Internet, `filters`; no other field matters."""
    kind = fields.require("type").one_of({kind: kind for kind in _RESOURCES})
    resource_id = read_id(fields.require("id"), among=None)
    has_filters = kind in {"cidr", "dns"}
    filters = read_filters(fields.require("filters")) if has_filters else ()
    return build_if_complete(ResourceUpdate, kind=kind, id=resource_id, filters=filters)


def peek_kind(node: Node) -> tuple[str | None, DomainPattern | None]:
    """Return the type of a resource and, for a DNS resource, its pattern, without any report.

    Each is `None` if it is faulty itself; faults of other fields do not matter.
    `read_resource` reports them all.
    """
    fields = Node(node.value, node.place, Faults()).fields()
    if fields is None:
        return None, None
    kind = fields.require("type").one_of({kind: kind for kind in _RESOURCES})
    if kind != "dns":
        return kind, None
    return kind, fields.require("address").text(DomainPattern.parse)


def read_id(node: Node, *, among: Hashable) -> str | None:
    """Read the id of a client or resource; a second one of the scope *among* is a fault."""
    value = node.text(to_id)
    if value is not None:
        node.require_unique(among, value)
    return value


def read_network(node: Node) -> Network | None:
    """Read a network with a prefix length and without host bits: `10.0.0.0/24`."""
    return node.text(_to_network)


def read_filters(node: Node) -> tuple[Filter, ...] | None:
    """Read a list of filters. An empty one permits everything; `null` is a fault."""
    return node.each(_read_filter)


def _read_name(node: Node | None) -> str | None:
    return "" if node is None else node.text(str)


def _take_name(node: Node | None) -> str | None:
    """Return the name, or none at all: no name is a reason to refuse a portal's message."""
    return "" if node is None else Node(node.value, node.place, Faults()).text(str) or ""


def _read_cidr(fields: Fields, resource_id: str | None, name: str | None) -> Resource | None:
    network = read_network(fields.require("address"))
    filters = read_filters(fields.require("filters"))
    return build_if_complete(
        CidrResource, id=resource_id, network=network, filters=filters, name=name
    )


def _read_dns(fields: Fields, resource_id: str | None, name: str | None) -> Resource | None:
    address = fields.require("address").text(to_domain_pattern)
    filters = read_filters(fields.require("filters"))
    return build_if_complete(
        DnsResource, id=resource_id, address=address, filters=filters, name=name
    )


def _read_internet(fields: Fields, resource_id: str | None, name: str | None) -> Resource | None:
    node = fields.get("exclude")
    # Only a missing field excludes nothing: taking `null` for it would open what somebody
    # may have meant to exclude.
    exclude = () if node is None else node.each(read_network)
    return build_if_complete(InternetResource, id=resource_id, name=name, exclude=exclude)


_RESOURCES: Final[dict[str, Callable[[Fields, str | None, str | None], Resource | None]]] = {
    "cidr": _read_cidr,
    "dns": _read_dns,
    "internet": _read_internet,
}


def _read_filter(node: Node) -> Filter | None:
    fields = node.fields()
    if fields is None:
        return None
    read = fields.require("protocol").one_of(_FILTERS)
    return None if read is None else read(fields)


def _read_tcp(fields: Fields) -> Filter | None:
    return build_if_complete(Tcp, ports=_read_ports(fields))


def _read_udp(fields: Fields) -> Filter | None:
    return build_if_complete(Udp, ports=_read_ports(fields))


def _read_icmp(_: Fields) -> Filter:
    return Icmp()


_FILTERS: Final[dict[str, Callable[[Fields], Filter | None]]] = {
    "tcp": _read_tcp,
    "udp": _read_udp,
    "icmp": _read_icmp,
}


def _read_ports(fields: Fields) -> PortRange | None:
    end = fields.get("port_range_end")
    first = _read_port(fields.get("port_range_start"), ALL_PORTS.first)
    last = _read_port(end, ALL_PORTS.last)
    if first is None or last is None:
        return None
    if end is not None and first > last:
        end.refuse(f"is below port_range_start, {first}")
        return None
    return PortRange(first, last)


def _read_port(node: Node | None, missing: int) -> int | None:
    """Read a port; *missing* is the default that the portal leaves out."""
    return missing if node is None else node.whole("a port", MAX_PORT)


def _to_network(text: str) -> Network:
    if not _WITH_LENGTH.fullmatch(text):
        raise InvalidAddress(f"{text!r} is not a network with a prefix length", text)
    return to_network(text)


# --- Writing ------------------------------------------------------------------------------


def write_resource(resource: Resource) -> dict[str, object]:
    """Return *resource* in the form that `read_resource` reads."""
    match resource:
        case CidrResource():
            return {
                **_written("cidr", resource),
                "address": str(resource.network),
                "filters": write_filters(resource.filters),
            }
        case DnsResource():
            return {
                **_written("dns", resource),
                "address": resource.address,
                "filters": write_filters(resource.filters),
            }
        case InternetResource():
            exclude = write_networks(resource.exclude)
            return _written("internet", resource) | ({"exclude": exclude} if exclude else {})
        case _:
            assert_never(resource)


def write_networks(networks: tuple[Network, ...]) -> list[str]:
    """Return *networks*, each in the form that `read_network` reads."""
    return [str(network) for network in networks]


def write_filters(filters: tuple[Filter, ...]) -> list[dict[str, object]]:
    """Return *filters* in the form that `read_filters` reads."""
    return [written for one in filters for written in _write_filter(one)]


def _written(kind: str, resource: Resource) -> dict[str, object]:
    return {"type": kind, "id": resource.id, "name": resource.name}


def _write_filter(one: Filter) -> list[dict[str, object]]:
    """Return a filter as the portal writes it: an object for each range of ports."""
    match one:
        case Tcp():
            return [{"protocol": "tcp", **_write_ports(ports)} for ports in one.ranges]
        case Udp():
            return [{"protocol": "udp", **_write_ports(ports)} for ports in one.ranges]
        case Icmp():
            return [{"protocol": "icmp"}]
        case _:
            assert_never(one)


def _write_ports(ports: PortRange) -> dict[str, object]:
    if ports == ALL_PORTS:
        return {}
    return {"port_range_start": ports.first, "port_range_end": ports.last}
