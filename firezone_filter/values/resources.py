"""Resources, which a client can be authorized to reach."""

from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network

from attrs import field, frozen

from firezone_filter.structures.attribute_docs import documented
from firezone_filter.values.addresses import Network, to_network, to_networks
from firezone_filter.values.domains import DomainPattern, to_domain_pattern
from firezone_filter.values.errors import InvalidAddress, InvalidPolicy, shown
from firezone_filter.values.filters import Filter, to_filters


def check_excluded(network: Network, exclude: Iterable[Network]) -> None:
    """Raise `InvalidAddress` unless each excluded network lies inside *network* and is not it.

    One outside takes nothing away: more likely a mistake, which leaves open what was meant.
    """
    for one in exclude:
        if (
            one.version != network.version
            or one.prefixlen <= network.prefixlen
            or one.network_address not in network
        ):
            raise InvalidAddress(f"{one} is not inside {network}, or is all of it", one)


def to_id(value: str) -> str:
    """Return *value* if it can be the id of a client or a resource.

    Raises:
        InvalidPolicy: it is empty.
        TypeError: not a `str`.
    """
    if not isinstance(value, str):
        raise TypeError(f"an id is a str, not {shown(value)}")
    if not value:
        raise InvalidPolicy("an id is not empty", value)
    # A plain `str`, since a subclass may compare and hash in any way, or not at all.
    return str.__str__(value)


def _to_name(value: str) -> str:
    if not isinstance(value, str):
        raise TypeError(f"a name is a str, not {shown(value)}")
    return str.__str__(value)


def _to_address(value: str) -> str:
    return str.__str__(to_domain_pattern(value))


# `cache_hash`, because each `authorize` looks its resource up by hash: 7 µs with four filters.


@documented
@frozen(cache_hash=True)
class CidrResource:
    """A network, or a single address, that a client can be authorized to reach.

    Raises:
        InvalidAddress: `network` or an entry of `exclude` is not a network, or has host bits set;
            or an entry of `exclude` does not lie inside `network`, or is all of it.
        InvalidPolicy: `id` is empty.
        TypeError: a wrong type, also `None` or a single filter for `filters`, and `None` or a
            single network for `exclude`.
    """

    id: str = field(converter=to_id)
    """The id by which authorizations name the resource; not empty."""

    network: IPv4Network | IPv6Network = field(converter=to_network)
    """The addresses that it covers. A `Gateway` never lets it cover special addresses, such as
    the tunnel and DNS ranges, loopback and multicast, however wide it is."""

    filters: tuple[Filter, ...] = field(default=(), converter=to_filters)
    """The permitted protocols and ports. **Without any, every protocol is permitted.** A filter
    of several port ranges is kept as one filter for each."""

    name: str = field(default="", converter=_to_name)
    """A name for people, which affects no decision."""

    exclude: tuple[Network, ...] = field(default=(), converter=to_networks)
    """Networks inside `network` that it does not cover, as if they were no part of it. This is
    no rule that denies: another resource, or a name, may permit an address there all the same."""

    def __attrs_post_init__(self) -> None:
        check_excluded(self.network, self.exclude)


@documented
@frozen(cache_hash=True)
class DnsResource:
    """A domain name, or a pattern of names, that a client can be authorized to reach.

    It covers no address but the proxy addresses given to `Gateway.domain_resolved`.

    Raises:
        InvalidPolicy: `id` is empty, or `address` is neither a name nor a pattern.
        TypeError: a wrong type, also `None` or a single filter for `filters`.
    """

    id: str = field(converter=to_id)
    """The id by which authorizations name the resource; not empty."""

    address: str = field(converter=_to_address)
    """A name (`gitlab.example.com`), or a pattern. In a pattern `?` stands for one character of
    a label, `*` for any characters of a label or none, and `**` for any number of labels or
    none; a leading `*.` also matches no label (`*.example.com` matches `example.com`)."""

    filters: tuple[Filter, ...] = field(default=(), converter=to_filters)
    """The permitted protocols and ports. **Without any, every protocol that can be translated is
    permitted:** TCP, UDP and ICMP echo. A filter of several port ranges is kept as one filter for
    each."""

    name: str = field(default="", converter=_to_name)
    """A name for people, which affects no decision."""

    def pattern(self) -> DomainPattern:
        """Return the compiled pattern of `address`."""
        return DomainPattern.parse(self.address)


@documented
@frozen(cache_hash=True)
class InternetResource:
    """The public Internet, with every protocol.

    Private, shared and special addresses do not belong to it (rules.md, section 5, rule 5).

    Raises:
        InvalidAddress: an entry of `exclude` is not a network, or has host bits set.
        InvalidPolicy: `id` is empty.
        TypeError: a wrong type.
    """

    id: str = field(converter=to_id)
    """The id by which authorizations name the resource; not empty."""

    name: str = field(default="", converter=_to_name)
    """A name for people, which affects no decision."""

    exclude: tuple[Network, ...] = field(default=(), converter=to_networks)
    """Public networks that it does not permit, such as an organization's own."""


Resource = CidrResource | DnsResource | InternetResource
"""A resource of any kind, which a client can be authorized to reach."""


def same_place(one: Resource, other: Resource) -> bool:
    """Tell whether two resources are of the same kind, with the same network or pattern.

    These never change under one id: a client that is authorized for "db" must not end up with
    access to another network under that id.
    """
    match one, other:
        case (CidrResource(), CidrResource()):
            return one.network == other.network
        case (DnsResource(), DnsResource()):
            return one.pattern() == other.pattern()
        case (InternetResource(), InternetResource()):
            return True
    return False
