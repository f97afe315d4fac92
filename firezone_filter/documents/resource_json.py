"""Resources as JSON, in the shape in which the portal sends them, read and written.

In a policy file a field that neither this library nor the portal knows is a fault: a misspelt
`exclude` would open what it should close. In the portal's messages unknown fields are ignored,
as Firezone's own gateway ignores them: a newer portal may add some. Where a missing field would
mean more access, it is a fault in both: `filters` are required, and `null` never means
"everything".
"""

import re
from collections.abc import Callable, Hashable
from functools import partial
from typing import Final, assert_never

from attrs import frozen

from firezone_filter.documents.faults import Faults
from firezone_filter.documents.filter_json import read_filters, read_sent_filters, write_filters
from firezone_filter.documents.nodes import Fields, Node, build_if_complete
from firezone_filter.values.addresses import Network, to_network
from firezone_filter.values.domains import DomainPattern, to_domain_pattern
from firezone_filter.values.errors import InvalidAddress
from firezone_filter.values.filters import Filter
from firezone_filter.values.resources import (
    CidrResource,
    DnsResource,
    InternetResource,
    Resource,
    check_excluded,
    to_id,
)

# Neither a mask (10.0.0.0/255.0.0.0), which is easily mistaken for its inverse, nor a scope
# (fe80::%eth0/64), which belongs to the host's links: packets carry none.
_WITH_LENGTH = re.compile(r"[^/%]+/[0-9]{1,3}")

_Filters = Callable[[Node], tuple[Filter, ...] | None]
"""Reads a list of filters."""


# --- Reading ------------------------------------------------------------------------------


@frozen
class ResourceUpdate:
    """What can change of a resource while a client has it, and how to find it."""

    kind: str
    """Its type, which cannot change."""

    id: str

    filters: tuple[Filter, ...]
    """Its new filters; none for the Internet, which has no filters."""


def read_resource(node: Node, *, among: Hashable, from_portal: bool = False) -> Resource | None:
    """Read a resource: `{"type": "cidr", "id": "db", "address": "10.0.0.0/24", …}`.

    `type` (`cidr`, `dns`, `internet`) and `id` are required; for `cidr` and `dns` so are
    `address` and `filters`. `name` may be missing or `null`; it affects no decision. For
    `internet` the portal sends nothing else. Extensions of this library are `name` for
    `internet`, and `exclude`, a list of networks, for `cidr` and `internet`.

    Args:
        node: the resource.
        among: the scope of its id: another resource of the same id in it is a fault.
        from_portal: whether it stands in a message of the portal. There this library's
            extensions and every other field are ignored, and so is a name that is not a text;
            in a policy file an unknown field is a fault.
    """
    fields = node.fields()
    if fields is None:
        return None
    form = fields.require("type").one_of(_FORMS)
    if not from_portal:
        # Of a type that cannot be read, only what no resource has is known to be wrong.
        fields.refuse_others(_EVERY_FIELD if form is None else form.sent + form.extensions)
    elif form is not None:
        fields = fields.without(form.extensions)
    resource_id = read_id(fields.require("id"), among=among)
    name = (_take_name if from_portal else _read_name)(fields.get_unless_null("name"))
    if form is None:
        return None
    return form.read(fields, resource_id, name, read_sent_filters if from_portal else read_filters)


def read_resource_update(fields: Fields) -> ResourceUpdate | None:
    """Read `type`, `id` and, unless it is the Internet, `filters`; no other field matters."""
    kind = fields.require("type").one_of(_KINDS)
    resource_id = read_id(fields.require("id"), among=None)
    has_filters = kind in {"cidr", "dns"}
    filters = read_sent_filters(fields.require("filters")) if has_filters else ()
    return build_if_complete(ResourceUpdate, kind=kind, id=resource_id, filters=filters)


def peek_kind(node: Node) -> tuple[str | None, DomainPattern | None]:
    """Return the type of a resource and, for a DNS resource, its pattern, without any report.

    Each is `None` if it is faulty itself; faults of other fields do not matter.
    `read_resource` reports them all.
    """
    fields = Node(node.value, node.place, Faults()).fields()
    if fields is None:
        return None, None
    kind = fields.require("type").one_of(_KINDS)
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


def _read_name(node: Node | None) -> str | None:
    return "" if node is None else node.text(str)


def _take_name(node: Node | None) -> str | None:
    """Return the name, or none at all: no name is a reason to refuse a portal's message."""
    return "" if node is None else Node(node.value, node.place, Faults()).text(str) or ""


def _read_cidr(
    fields: Fields, resource_id: str | None, name: str | None, filters: _Filters
) -> Resource | None:
    network = read_network(fields.require("address"))
    return build_if_complete(
        CidrResource,
        id=resource_id,
        network=network,
        filters=filters(fields.require("filters")),
        name=name,
        exclude=_read_exclude(fields, lambda node: _read_excluded(node, network)),
    )


def _read_dns(
    fields: Fields, resource_id: str | None, name: str | None, filters: _Filters
) -> Resource | None:
    return build_if_complete(
        DnsResource,
        id=resource_id,
        address=fields.require("address").text(to_domain_pattern),
        filters=filters(fields.require("filters")),
        name=name,
    )


def _read_internet(
    fields: Fields, resource_id: str | None, name: str | None, _: _Filters
) -> Resource | None:
    return build_if_complete(
        InternetResource,
        id=resource_id,
        name=name,
        exclude=_read_exclude(fields, read_network),
    )


def _read_exclude(
    fields: Fields, read: Callable[[Node], Network | None]
) -> tuple[Network, ...] | None:
    node = fields.get("exclude")
    # Only a missing field excludes nothing: taking `null` for it would open what somebody
    # may have meant to exclude.
    return () if node is None else node.each(read)


def _read_excluded(node: Node, network: Network | None) -> Network | None:
    """Read a part of *network*; without one, because it is faulty, nothing is outside it."""
    excluded = read_network(node)
    if excluded is None or network is None:
        return excluded
    return node.attempt(partial(_part_of, network), excluded)


def _part_of(network: Network, excluded: Network) -> Network:
    check_excluded(network, (excluded,))
    return excluded


def _to_network(text: str) -> Network:
    if not _WITH_LENGTH.fullmatch(text):
        raise InvalidAddress(f"{text!r} is not a network with a prefix length", text)
    return to_network(text)


@frozen
class _Form:
    """How the resources of one type are written."""

    read: Callable[[Fields, str | None, str | None, _Filters], Resource | None]
    """Takes the fields, the id, the name, and the reader of filters."""

    sent: tuple[str, ...]
    """The fields that the portal sends."""

    extensions: tuple[str, ...] = ()
    """The fields that only policy files have."""


_FORMS: Final = {
    "cidr": _Form(_read_cidr, ("type", "id", "name", "address", "filters"), ("exclude",)),
    "dns": _Form(_read_dns, ("type", "id", "name", "address", "filters")),
    # `filters` is unknown here: whoever writes it believes that it restricts something.
    "internet": _Form(_read_internet, ("type", "id"), ("name", "exclude")),
}
RESOURCE_FIELDS: Final = {name: form.sent + form.extensions for name, form in _FORMS.items()}
"""The fields of resources in policy files, by their type."""

_KINDS: Final = {kind: kind for kind in _FORMS}
_EVERY_FIELD: Final = tuple(
    {name: None for form in _FORMS.values() for name in form.sent + form.extensions}
)


# --- Writing ------------------------------------------------------------------------------


def write_resource(resource: Resource) -> dict[str, object]:
    """Return *resource* in the form that `read_resource` reads in a policy file."""
    match resource:
        case CidrResource():
            return {
                **_written("cidr", resource),
                "address": str(resource.network),
                "filters": write_filters(resource.filters),
                **_write_exclude(resource.exclude),
            }
        case DnsResource():
            return {
                **_written("dns", resource),
                "address": resource.address,
                "filters": write_filters(resource.filters),
            }
        case InternetResource():
            return {**_written("internet", resource), **_write_exclude(resource.exclude)}
        case _:
            assert_never(resource)


def write_networks(networks: tuple[Network, ...]) -> list[str]:
    """Return *networks*, each in the form that `read_network` reads."""
    return [str(network) for network in networks]


def _written(kind: str, resource: Resource) -> dict[str, object]:
    return {"type": kind, "id": resource.id, "name": resource.name}


def _write_exclude(networks: tuple[Network, ...]) -> dict[str, object]:
    return {"exclude": write_networks(networks)} if networks else {}
