"""Addresses: the address plan, tunnel addresses, and the conversion of users' arguments.

Inside the library an address is its packed `bytes` (4 or 16, in network byte order), since a dict
finds `bytes` three times as fast as an `ipaddress` object. Objects are used at the edges alone.
"""

import re
from collections.abc import Iterable, Mapping
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
    ip_address,
    ip_network,
)

from attrs import field, frozen

from firezone_filter.structures.attribute_docs import documented
from firezone_filter.values.errors import InvalidAddress, shown

# A slash that anything but a prefix length follows.
_MASK = re.compile(r"/.*[^0-9]")

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


def to_address(value: str | Address) -> Address:
    """Return *value* as an address object.

    Raises:
        InvalidAddress: not an address, or one with a scope (`fe80::1%eth0`), which names a link
            of the host and is not part of any packet.
        TypeError: neither `str` nor an `ipaddress` address.
    """
    address = _parse(value)
    if _has_scope(address):
        raise InvalidAddress(f"{value!r} has a scope, which no packet carries", value)
    return address


def _parse(value: str | Address) -> Address:
    # An object is taken as it is: by way of its text it would cost 2 µs.
    if type(value) is IPv4Address or type(value) is IPv6Address:
        return value
    if type(value) is not str:
        _check_kind("an address", value, str, IPv4Address, IPv6Address)
    try:
        return _read(value) if type(value) is str else ip_address(value)
    except ValueError:
        raise InvalidAddress(f"{value!r} is not an IP address", value) from None


def _read(text: str) -> Address:
    # `ip_address` would try IPv4 first, and take 2 µs to find that it is IPv6.
    return IPv6Address(text) if ":" in text else IPv4Address(text)


def _has_scope(address: Address) -> bool:
    return isinstance(address, IPv6Address) and address.scope_id is not None


def _check_kind(name: str, value: object, *kinds: type) -> None:
    # An interface is an address to Python and a network as well, so it would be ambiguous.
    if isinstance(value, IPv4Interface | IPv6Interface) or not isinstance(value, kinds):
        raise TypeError(f"{name} is a str or an ipaddress object, not {shown(value)}")


def to_network(value: str | Network | Address) -> Network:
    """Return *value* as a network object; a single address is a full-length prefix.

    Raises:
        InvalidAddress: not a network, one with host bits set, or one with a mask instead of a
            prefix length. `10.0.0.5/8` is more likely a mistake than `10.0.0.0/8`, and Python
            reads `/0.0.0.255`, an inverted mask, as `/24`: each can open far more addresses
            than intended, 16 million of them in the first case.
        TypeError: neither `str` nor an `ipaddress` network or address.
    """
    if isinstance(value, IPv4Network | IPv6Network):
        return _without_scope(value, value)
    _check_kind("a network", value, str, IPv4Address, IPv6Address)
    if isinstance(value, str) and _MASK.search(value):
        raise InvalidAddress(f"{value!r} has no number of bits behind the slash", value)
    try:
        network = ip_network(value)
    except ValueError as error:
        raise InvalidAddress(f"{value!r} is not a network: {error}", value) from None
    return _without_scope(network, value)


def _without_scope(network: Network, value: object) -> Network:
    if _has_scope(network.network_address):
        raise InvalidAddress(f"{value!r} has a scope, which no packet carries", value)
    return network


def to_networks(values: Iterable[str | Network | Address]) -> tuple[Network, ...]:
    """Return *values* as network objects, in their order.

    Raises:
        InvalidAddress: as `to_network`.
        TypeError: not an iterable, or a single network.
    """
    _check_several(values)
    return tuple(to_network(value) for value in values)


def to_addresses(values: Iterable[str | Address]) -> tuple[Address, ...]:
    """Return *values* as address objects, in their order.

    Raises:
        InvalidAddress: as `to_address`.
        TypeError: not an iterable, or a single address.
    """
    _check_several(values)
    return tuple(to_address(value) for value in values)


def to_resolved(values: Iterable[str | Address]) -> tuple[Address, ...]:
    """Return the addresses that a name resolved to as objects, without those with a scope.

    Those are link-local, which no real address may be, and resolvers do return them: so they
    are no mistake of the caller.
    """
    _check_several(values)
    return tuple(address for value in values if not _has_scope(address := _parse(value)))


def _check_several(values: object) -> None:
    """Refuse values that are iterable only by accident: texts, single networks, mappings."""
    single = (str, bytes, bytearray, memoryview, Mapping, IPv4Network, IPv6Network)
    if isinstance(values, single) or not isinstance(values, Iterable):
        raise TypeError(f"several addresses or networks are an iterable, not {shown(values)}")


def _to_ipv4(value: str | IPv4Address | None) -> IPv4Address | None:
    if value is None:
        return None
    address = to_address(value)
    if isinstance(address, IPv6Address):
        raise InvalidAddress(f"{value!r} is not an IPv4 address", value)
    return address


def _to_ipv6(value: str | IPv6Address | None) -> IPv6Address | None:
    if value is None:
        return None
    address = to_address(value)
    if isinstance(address, IPv4Address):
        raise InvalidAddress(f"{value!r} is not an IPv6 address", value)
    return address


@documented
@frozen
class TunnelAddresses:
    """The tunnel addresses of a client or of the gateway: IPv4, IPv6, or one of each.

    Raises:
        InvalidAddress: not an address, one of the other family, or none of either.
        TypeError: neither `str` nor an `ipaddress` address.
    """

    ipv4: IPv4Address | None = field(default=None, converter=_to_ipv4)
    """The IPv4 address, or `None`."""

    ipv6: IPv6Address | None = field(default=None, converter=_to_ipv6)
    """The IPv6 address, or `None`."""

    def __attrs_post_init__(self) -> None:
        if self.ipv4 is None and self.ipv6 is None:
            raise InvalidAddress("a peer has an IPv4 address, an IPv6 address or both", None)

    def present(self) -> tuple[Address, ...]:
        """Return the addresses as objects, IPv4 first; one or two."""
        return tuple(address for address in (self.ipv4, self.ipv6) if address is not None)

    def packed(self) -> tuple[bytes, ...]:
        """Return the addresses as bytes in network byte order, IPv4 first; one or two."""
        return tuple(address.packed for address in self.present())


@documented
@frozen
class AddressPlan:
    """The ranges of tunnel addresses, and the ranges of proxy addresses.

    The defaults are Firezone's: the two halves of 100.64.0.0/10 (RFC 6598), and two /107
    networks of a unique local IPv6 prefix (RFC 4193).

    Raises:
        InvalidAddress: not a network, one with host bits set, or ranges of the two kinds
            overlap.
        TypeError: not an iterable of networks.
    """

    tunnel: tuple[Network, ...] = field(
        default=("100.64.0.0/11", "fd00:2021:1111::/107"), converter=to_networks
    )
    """The tunnel ranges: addresses of clients, and the gateway's own."""

    dns_resources: tuple[Network, ...] = field(
        default=("100.96.0.0/11", "fd00:2021:1111:8000::/107"), converter=to_networks
    )
    """The DNS ranges: proxy addresses, which stand for names of DNS resources."""

    def __attrs_post_init__(self) -> None:
        for tunnel in self.tunnel:
            for dns in self.dns_resources:
                # An address in both would be a client's and a proxy address at once, and the
                # order of checks would decide which rules apply to it.
                if tunnel.version == dns.version and tunnel.overlaps(dns):
                    raise InvalidAddress(
                        f"tunnel range {tunnel} and DNS range {dns} overlap", (tunnel, dns)
                    )
