"""What WireGuard binds to whom, read from `wg show NAME dump`, and held against a policy.

AllowedIPs bind inner source addresses to keys, and a policy gives addresses to clients. So a
peer is the client whose addresses it has, and no policy needs to know a key. What does not bind
is said, and its client stays disconnected: nobody is to be taken for somebody else.

The output has private and preshared keys in it, which go no further than `parse_dump`.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Final

from attrs import frozen

from firezone_filter import Policy, PolicyClient
from firezone_filter.values.addresses import Address, Network, to_network
from firezone_filter.values.errors import InvalidAddress

_INTERFACE_FIELDS: Final = 4
_PEER_FIELDS: Final = 8


class UnreadablePeersError(Exception):
    """The peers cannot be read: `wg` is missing, fails, or says something unknown."""


@frozen
class Peer:
    """A peer of a WireGuard interface. A handshake or another endpoint makes no other one."""

    interface: str
    """The interface that it is a peer of."""

    key: str
    """Its public key."""

    allowed: tuple[Network, ...]
    """Its AllowedIPs: where its packets may come from."""

    def __str__(self) -> str:
        return f"peer {self.key} of {self.interface}"


@frozen
class Bound:
    """Which clients of a policy have a peer, and what is not as it should be."""

    keys: Mapping[str, str]
    """By client, the public key of its peer: another one is another session."""

    faults: tuple[str, ...]
    """What is not bound, a sentence each."""


def parse_dump(interface: str, text: str) -> tuple[Peer, ...]:
    """Return the peers that `wg show` *interface* `dump` lists.

    Raises:
        UnreadablePeersError: this is not what it says.
    """
    # First private key, public key, port and fwmark of the interface; then, of each peer, public
    # key, preshared key, endpoint, allowed-ips, times and numbers.
    first, *lines = [line.split("\t") for line in text.splitlines()] or [[]]
    if len(first) != _INTERFACE_FIELDS or any(len(line) != _PEER_FIELDS for line in lines):
        raise UnreadablePeersError(f"{interface}: wg says what nobody has foreseen")
    return tuple(Peer(interface, line[0], _networks(interface, line[3])) for line in lines)


def _networks(interface: str, text: str) -> tuple[Network, ...]:
    try:
        return _parsed(text)
    except InvalidAddress as error:
        raise UnreadablePeersError(f"{interface}: {error}") from None


# Peers are read every two seconds while packets wait, and their AllowedIPs hardly ever change:
# of 1,000 peers this saves 13 ms of 16.
@lru_cache(maxsize=1 << 14)
def _parsed(text: str) -> tuple[Network, ...]:
    return () if text == "(none)" else tuple(map(to_network, text.split(",")))


def bind(policy: Policy, dump: Mapping[str, Sequence[Peer]]) -> Bound:
    """Return which clients of *policy* the peers of each interface are.

    One peer, one client: a peer has all addresses of its client, each as a single address, and
    none of another client. A network in which such an address lies does no harm in the same
    interface, where WireGuard asks for the longest prefix; but in another one it lets its peer
    send from that address.
    """
    faults: list[str] = []
    peers = [peer for one in dump.values() for peer in one]
    owners, wide = _owners(peers), _wide(peers)
    clients_of: defaultdict[Peer, list[str]] = defaultdict(list)
    bound: dict[str, Peer] = {}
    for client in policy.clients:
        having = {owner for address in client.addresses.present() for owner in owners[address]}
        for peer in having:
            clients_of[peer].append(client.id)
        having |= {
            peer
            for address in client.addresses.present()
            for peer in _beside(address, owners[address], wide)
        }
        missing = [one for one in client.addresses.present() if not owners[one]]
        if len(having) == 1 and not missing:
            bound[client.id] = next(iter(having))
        else:
            faults.append(_why_not(client, having, missing, wide))
    for peer, clients in clients_of.items():
        if len(clients) > 1:
            faults.append(f"{peer} has addresses of {_listed(clients)}: they are not connected")
            for client_id in clients:
                bound.pop(client_id, None)
    faults += _foreign(policy, peers)
    return Bound({client_id: peer.key for client_id, peer in bound.items()}, tuple(faults))


def _owners(peers: Iterable[Peer]) -> defaultdict[Address, list[Peer]]:
    """Return who has which single address. In one interface that is one peer at most."""
    owners: defaultdict[Address, list[Peer]] = defaultdict(list)
    for peer in peers:
        for network in peer.allowed:
            if network.prefixlen == network.max_prefixlen:
                owners[network.network_address].append(peer)
    return owners


def _wide(peers: Iterable[Peer]) -> list[tuple[Network, Peer]]:
    return [
        (network, peer)
        for peer in peers
        for network in peer.allowed
        if network.prefixlen != network.max_prefixlen
    ]


def _beside(
    address: Address, owners: Sequence[Peer], wide: Iterable[tuple[Network, Peer]]
) -> Iterator[Peer]:
    """Yield who may send from an address that others have, by an interface of its own."""
    interfaces = {owner.interface for owner in owners}
    for network, peer in wide:
        if interfaces and peer.interface not in interfaces and address in network:
            yield peer


def _why_not(
    client: PolicyClient,
    having: set[Peer],
    missing: list[Address],
    wide: Sequence[tuple[Network, Peer]],
) -> str:
    if len(having) > 1:
        said = f"its addresses are with {_listed(sorted(map(str, having)))}"
    elif (found := _only_in(missing, wide)) is not None:
        address, network, peer = found
        said = f"{address} is only in {network} of {peer}, and has to be in its AllowedIPs itself"
    else:
        said = f"no peer has {_listed([str(one) for one in missing])} in its AllowedIPs"
    return f"client {client.id} is not connected: {said}"


def _only_in(
    missing: Iterable[Address], wide: Sequence[tuple[Network, Peer]]
) -> tuple[Address, Network, Peer] | None:
    found = (
        (address, network, peer)
        for address in missing
        for network, peer in wide
        if address in network
    )
    return next(found, None)


def _foreign(policy: Policy, peers: Iterable[Peer]) -> list[str]:
    """Say which peers may send from where no client is; the filter drops that."""
    known = {address for client in policy.clients for address in client.addresses.present()}
    return [
        f"{peer}: {network} is no client's address, what comes from there is dropped"
        for peer in peers
        for network in peer.allowed
        if network.prefixlen != network.max_prefixlen or network.network_address not in known
    ]


def _listed(names: Sequence[str]) -> str:
    return " and ".join(names)
