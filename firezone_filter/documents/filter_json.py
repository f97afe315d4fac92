"""Filters as JSON, in the shape in which the portal sends them, read and written.

ICMP types (`types`, `types_v6`) and other protocols by their number are extensions of this
library, which only policy files have.

In a policy file an unknown field is a fault: a misspelt `port_range_end` would permit every port
up to the last. In the portal's messages it is ignored, as Firezone's own gateway ignores it: a
newer portal may add some.
"""

from collections.abc import Callable
from typing import Final, assert_never

from attrs import frozen

from firezone_filter.documents.nodes import Fields, Node, build_if_complete, to_whole
from firezone_filter.packet.numbers import ICMPV4, ICMPV6, MAX_BYTE, MAX_PORT, TCP, UDP
from firezone_filter.values.filters import (
    ALL_PORTS,
    Filter,
    Icmp,
    PortRange,
    Protocol,
    Tcp,
    Udp,
)

# --- Reading ------------------------------------------------------------------------------


def read_filters(node: Node) -> tuple[Filter, ...] | None:
    """Read a list of filters of a policy file. An empty one permits everything; `null` is a fault.

    Any field besides those of its protocol is a fault.
    """
    return node.each(_read_filter)


def read_sent_filters(node: Node) -> tuple[Filter, ...] | None:
    """Read a list of filters that the portal sent. An empty one permits everything.

    This library's extensions and all unknown fields are ignored. An unknown protocol is a fault:
    a filter that got lost on the way could leave none, which permits everything.
    """
    return node.each(_read_sent_filter)


def _read_filter(node: Node) -> Filter | None:
    fields = node.fields()
    if fields is None:
        return None
    form = _read_form(fields.require("protocol"))
    # Of a protocol that cannot be read, only what no filter has is known to be wrong.
    fields.refuse_others(_EVERY_FIELD if form is None else form.sent + form.extensions)
    return None if form is None else form.read(fields)


def _read_form(node: Node) -> "_Form | None":
    """Read a protocol: the name of one that has a filter of its own, or another's number."""
    value = node.value
    if isinstance(value, str) and value in _FORMS:
        return _FORMS[value]
    number = to_whole(value)
    if number is not None and 0 <= number <= MAX_BYTE:
        if number not in NAMED_PROTOCOLS:
            return _NUMBERED
        node.refuse(f"is written {NAMED_PROTOCOLS[number]!r}")
    else:
        names = ", ".join(map(repr, _FORMS))
        node.refuse(f"is not {names} or the number of another protocol")
    return None


def _read_sent_filter(node: Node) -> Filter | None:
    fields = node.fields()
    if fields is None:
        return None
    form = fields.require("protocol").one_of(_FORMS)
    return None if form is None else form.read(fields.without(form.extensions))


def _read_tcp(fields: Fields) -> Filter | None:
    return build_if_complete(Tcp, ports=_read_ports(fields))


def _read_udp(fields: Fields) -> Filter | None:
    return build_if_complete(Udp, ports=_read_ports(fields))


def _read_icmp(fields: Fields) -> Filter | None:
    # A missing list permits every type only if both are missing; `null` is a fault.
    types = {
        name: node.each(_read_type) for name in _TYPES if (node := fields.get(name)) is not None
    }
    if None in types.values():
        return None
    return fields.node.attempt(lambda given: Icmp(**given), types)


def _read_type(node: Node) -> int | None:
    return node.whole("an ICMP type", MAX_BYTE)


def _read_numbered(fields: Fields) -> Filter | None:
    number = fields.require("protocol").whole("a protocol", MAX_BYTE)
    return None if number is None else Protocol(number)


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
    if node is None:
        return missing
    in_quotes = isinstance(node.value, str) and node.value.isdecimal()
    return node.whole("a port (write a number)" if in_quotes else "a port", MAX_PORT)


@frozen
class _Form:
    """How the filters of one protocol are written."""

    read: Callable[[Fields], Filter | None]

    sent: tuple[str, ...]
    """The fields that the portal sends."""

    extensions: tuple[str, ...] = ()
    """The fields that only policy files have."""


_PORTS: Final = ("protocol", "port_range_start", "port_range_end")
_TYPES: Final = ("types", "types_v6")
_FORMS: Final = {
    "tcp": _Form(_read_tcp, _PORTS),
    "udp": _Form(_read_udp, _PORTS),
    "icmp": _Form(_read_icmp, ("protocol",), _TYPES),
}
_NUMBERED: Final = _Form(_read_numbered, (), ("protocol",))
FILTER_FIELDS: Final = {name: form.sent + form.extensions for name, form in _FORMS.items()}
"""The fields of filters in policy files, by the name of their protocol."""

NAMED_PROTOCOLS: Final = {TCP: "tcp", UDP: "udp", ICMPV4: "icmp", ICMPV6: "icmp"}
"""The protocols that are written by name, by their numbers."""

_EVERY_FIELD: Final = tuple(
    {name: None for form in _FORMS.values() for name in form.sent + form.extensions}
)


# --- Writing ------------------------------------------------------------------------------


def write_filters(filters: tuple[Filter, ...]) -> list[dict[str, object]]:
    """Return *filters* in the form that `read_filters` reads."""
    return [written for one in filters for written in _write_filter(one)]


def _write_filter(one: Filter) -> list[dict[str, object]]:
    """Return a filter as the portal writes it: an object for each range of ports."""
    match one:
        case Tcp():
            return [{"protocol": "tcp", **_write_ports(ports)} for ports in one.ranges]
        case Udp():
            return [{"protocol": "udp", **_write_ports(ports)} for ports in one.ranges]
        case Icmp():
            return [{"protocol": "icmp", **_write_types(one)}]
        case Protocol():
            return [{"protocol": one.number}]
        case _:
            assert_never(one)


def _write_ports(ports: PortRange) -> dict[str, object]:
    if ports == ALL_PORTS:
        return {}
    return {"port_range_start": ports.first, "port_range_end": ports.last}


def _write_types(one: Icmp) -> dict[str, object]:
    # Every type: neither list. Some of one family: the other list is missing or empty.
    given = {"types": one.types, "types_v6": one.types_v6}
    return {name: list(types) for name, types in given.items() if types}
