"""Addresses: the gateway's plan and tunnel addresses, and reading what users hand in.

Inside the library an address is its packed `bytes` (4 or 16, network byte order), since a
dict finds `bytes` three times as fast as an `ipaddress` object. Objects stand at the edges.
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

from firezone_filter.values.errors import InvalidAddress, shown

# After the slash stands anything but a number of bits.
_MASK = re.compile(r"/.*[^0-9]")

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


def to_address(value: str | Address) -> Address:
    """Return the address that *value* names.

    Raises:
        InvalidAddress: not an address, or one with a scope (`fe80::1%eth0`): a scope is a
            matter of the host's links, and packets do not carry it.
        TypeError: neither `str` nor an `ipaddress` address.
    """
    address = _parse(value)
    if _has_scope(address):
        raise InvalidAddress(f"{value!r} has a scope, which no packet carries", value)
    return address


def _parse(value: str | Address) -> Address:
    _check_kind("an address", value, str, IPv4Address, IPv6Address)
    try:
        return ip_address(value)
    except ValueError:
        raise InvalidAddress(f"{value!r} is not an IP address", value) from None


def _has_scope(address: Address) -> bool:
    return isinstance(address, IPv6Address) and address.scope_id is not None


def _check_kind(name: str, value: object, *kinds: type) -> None:
    # An interface is an address to Python, but it is a network too: which is meant?
    if isinstance(value, IPv4Interface | IPv6Interface) or not isinstance(value, kinds):
        raise TypeError(f"{name} is a str or an ipaddress object, not {shown(value)}")


def to_network(value: str | Network | Address) -> Network:
    """Return the network that *value* names; a single address is a network of its own.

    Raises:
        InvalidAddress: not a network, one with host bits set, or one with a mask in the
            place of the prefix length. `10.0.0.5/8` is more often a slip than a wish for
            `10.0.0.0/8`, and Python takes `/0.0.0.255` for `/24`, a mask turned round:
            each may open 16 million addresses that nobody meant.
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


def to_networks(values: Iterable[str | Network]) -> tuple[Network, ...]:
    """Return the networks that *values* name, in their order.

    Raises:
        InvalidAddress: as `to_network`.
        TypeError: not an iterable, or a network by itself.
    """
    _check_several(values)
    return tuple(to_network(value) for value in values)


def to_addresses(values: Iterable[str | Address]) -> tuple[Address, ...]:
    """Return the addresses that *values* name, in their order.

    Raises:
        InvalidAddress: as `to_address`.
        TypeError: not an iterable, or an address by itself.
    """
    _check_several(values)
    return tuple(to_address(value) for value in values)


def to_resolved(values: Iterable[str | Address]) -> tuple[Address, ...]:
    """Return the addresses that a name resolved to; those with a scope are left out.

    Only link-local addresses have one, and a resolver hands them out as it finds them.
    """
    _check_several(values)
    return tuple(address for value in values if not _has_scope(address := _parse(value)))


def _check_several(values: object) -> None:
    """Refuse what is iterable only by accident: texts, single networks, mappings."""
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


@frozen
class TunnelAddresses:
    """The addresses of one peer inside the tunnel: at least one, at most one a family.

    Raises:
        InvalidAddress: not an address, of the other family, or none at all.
        TypeError: neither `str` nor an `ipaddress` address.
    """

    ipv4: IPv4Address | None = field(default=None, converter=_to_ipv4)
    """The tunnel IPv4 address, or `None`."""

    ipv6: IPv6Address | None = field(default=None, converter=_to_ipv6)
    """The tunnel IPv6 address, or `None`."""

    def __attrs_post_init__(self) -> None:
        if self.ipv4 is None and self.ipv6 is None:
            raise InvalidAddress("a peer has an IPv4 address, an IPv6 address or both", None)

    def present(self) -> tuple[Address, ...]:
        """Return the addresses that there are, IPv4 first."""
        return tuple(address for address in (self.ipv4, self.ipv6) if address is not None)

    def packed(self) -> tuple[bytes, ...]:
        """Return the addresses that there are in network byte order, IPv4 first."""
        return tuple(address.packed for address in self.present())


@frozen
class AddressPlan:
    """Which addresses mean clients, and which stand for DNS resources.

    The defaults are Firezone's own: the two halves of 100.64.0.0/10 (RFC 6598), and the
    like of them in a unique local IPv6 prefix (RFC 4193).

    Raises:
        InvalidAddress: not a network, host bits set, or the two kinds overlap.
        TypeError: not an iterable of networks.
    """

    tunnel: tuple[Network, ...] = field(
        default=("100.64.0.0/11", "fd00:2021:1111::/107"), converter=to_networks
    )
    """Where tunnel addresses are: those of clients, and the gateway's own."""

    dns_resources: tuple[Network, ...] = field(
        default=("100.96.0.0/11", "fd00:2021:1111:8000::/107"), converter=to_networks
    )
    """Where proxy addresses are, which stand for DNS resources inside the tunnel."""

    def __attrs_post_init__(self) -> None:
        for tunnel in self.tunnel:
            for dns in self.dns_resources:
                # An address that were both a peer and a proxy would be judged by
                # whichever check came first.
                if tunnel.version == dns.version and tunnel.overlaps(dns):
                    raise InvalidAddress(
                        f"tunnel range {tunnel} and DNS range {dns} overlap", (tunnel, dns)
                    )
