"""Where packets come from and go to, and what users say about it."""

from collections.abc import Iterable, Sequence
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_network,
)
from typing import Final, Literal, TypedDict

from attrs import frozen
from hypothesis import strategies as st

from firezone_filter import PortRange, TunnelAddresses
from firezone_filter.packet.numbers import ICMPV4, ICMPV6, IPV4, IPV6, MAX_BYTE, MAX_PORT, TCP, UDP

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

Target = str | Address | Network | TunnelAddresses
"""An address or a network, also as text; or the addresses of a peer."""

Targets = Target | Iterable[Target]
"""One or several."""

Kind = Literal["tcp", "udp", "icmp"] | int
"""A protocol: one of the three, the ICMP of either family, or another one's IANA number."""

ANYWHERE: Final[Targets] = ("0.0.0.0/0", "::/0")

KINDS: Final[tuple[Kind, ...]] = ("tcp", "udp", "icmp", 47, 50, 132)  # GRE, ESP, SCTP
_NAMED: Final[dict[Kind, Kind]] = {TCP: "tcp", UDP: "udp", ICMPV4: "icmp", ICMPV6: "icmp"}
_WALKED: Final = frozenset({0, 43, 44, 51, 60})
"""Numbers that are no protocol over IPv6, but extension headers."""

_any_port = st.sampled_from((443, 53, 22, 80)) | st.integers(0, MAX_PORT)
_offsets = st.integers(-(2**128), 2**128)
"""In a network, from its first address on, or from its end back; as often as it takes."""


class Choices(TypedDict, total=False):
    """What every strategy of packets takes besides source and destination."""

    protocols: Iterable[Kind]
    """Of which protocols: any of `"tcp"`, `"udp"` and `"icmp"`, and numbers of others. All three
    and three others (GRE, ESP, SCTP) if not given."""

    source_ports: Iterable[int | PortRange]
    """TCP and UDP ports at the source's end. All if not given, a few usual ones often."""

    destination_ports: Iterable[int | PortRange]
    """TCP and UDP ports at the destination's end, likewise."""


@frozen
class Ends:
    """From where to where, over which protocol: what is drawn for each packet first."""

    source: Address
    destination: Address
    kind: Kind
    source_port: int
    destination_port: int

    @property
    def version(self) -> int:
        """The IP version."""
        return self.source.version

    def flow(self) -> str:
        """Write the flow for builders."""
        return flow_between(self.source, self.destination, self.source_port, self.destination_port)


def flow_between(
    source: str | Address,
    destination: str | Address,
    source_port: int = 0,
    destination_port: int = 0,
) -> str:
    """Write a flow as the builders read it.

    Args:
        source: the source address.
        destination: the destination address, of the same family.
        source_port: the TCP or UDP port at the source's end.
        destination_port: that at the destination's end.
    """
    return f"{_end(source, source_port)} > {_end(destination, destination_port)}"


def _end(address: str | Address, port: int) -> str:
    return f"[{address}]:{port}" if ":" in str(address) else f"{address}:{port}"


def addresses(targets: Targets = ANYWHERE) -> st.SearchStrategy[Address]:
    """Draw an address that is one of *targets*, or in one of them.

    It shrinks towards the first address of the first target.

    Args:
        targets: addresses and networks.

    Raises:
        ValueError: there are none, or one is neither.
    """
    return _in(_networks("targets", targets))


def ends(sources: Targets, destinations: Targets, choices: Choices) -> st.SearchStrategy[Ends]:
    """Draw ends of one family.

    Raises:
        ValueError: there are none: an argument is empty or malformed, or no source is of the
            family of a destination that a protocol goes with.
    """
    near, far = _networks("sources", sources), _networks("destinations", destinations)
    kinds = [_NAMED.get(kind, kind) for kind in choices.get("protocols", KINDS)]
    for kind in kinds:
        if kind not in ("tcp", "udp", "icmp") and not (
            isinstance(kind, int) and 0 <= kind <= MAX_BYTE
        ):
            raise ValueError(f"a protocol is 'tcp', 'udp', 'icmp' or a number, not {kind!r}")
    ports = (
        _ports("source_ports", choices.get("source_ports")),
        _ports("destination_ports", choices.get("destination_ports")),
    )
    found = []
    for version in (IPV4, IPV6):
        here = [one for one in near if one.version == version]
        there = [one for one in far if one.version == version]
        fit = [kind for kind in kinds if version == IPV4 or kind not in _WALKED]
        if here and there and fit:
            found.append(st.builds(Ends, _in(here), _in(there), st.sampled_from(fit), *ports))
    if not found:
        raise ValueError(
            f"no packet goes from {sources!r} to {destinations!r} over {kinds}: "
            "they have no family in common"
        )
    return st.one_of(found)


def _networks(name: str, targets: Targets) -> list[Network]:
    single = (str, IPv4Address, IPv6Address, IPv4Network, IPv6Network, TunnelAddresses)
    several = (targets,) if isinstance(targets, single) else targets
    found: list[Network] = []
    for one in several:
        parts = one.present() if isinstance(one, TunnelAddresses) else (one,)
        found += [ip_network(part) for part in parts]
    if not found:
        raise ValueError(f"{name} are at least one address or network")
    return found


def _in(networks: Sequence[Network]) -> st.SearchStrategy[Address]:
    # One strategy for all of them: to build one for each costs more than to draw from it.
    return st.builds(_at, st.sampled_from(networks), _offsets)


def _at(network: Network, offset: int) -> Address:
    return network[offset % network.num_addresses]


def _ports(name: str, given: Iterable[int | PortRange] | None) -> st.SearchStrategy[int]:
    if given is None:
        return _any_port
    ranges = [one if isinstance(one, PortRange) else PortRange(one) for one in given]
    if not ranges:
        raise ValueError(f"{name} are at least one port")
    single = [one.first for one in ranges if one.first == one.last]
    wide = [st.integers(one.first, one.last) for one in ranges if one.first != one.last]
    return st.one_of([*([st.sampled_from(single)] if single else []), *wide])
