"""What policies permit, by asking the model about packet after packet (section 9).

Between two neighbouring edges of all networks, excludes, names and constants every address is
treated alike, and so are ports between the edges of all ranges: so the edges stand for all.
"""

import random
from collections.abc import Iterable, Iterator
from functools import cache
from ipaddress import ip_address
from itertools import pairwise, product
from struct import pack
from typing import Final, NamedTuple

from firezone_filter import (
    CidrResource,
    DnsResource,
    Icmp,
    InternetResource,
    Policy,
    Tcp,
    Udp,
)
from firezone_filter.testing import SYN, icmp, ip, tcp, udp
from tests.model import Model
from tests.model.packets import EXTENSIONS, ICMP_ERRORS, LINK_ONLY
from tests.model.policy import LOCAL_SERVICES, NAT64, NOT_INTERNET, PUBLIC_IPV6, SPECIAL, normal
from tests.model.values import ICMP, Given
from tests.numbers import TCP, UDP
from tests.property.pools import INBOUND, OUTBOUND
from tests.property.wire import ANSWERS, turned

OTHERS: Final = (0, 2, 43, 44, 47, 50, 51, 59, 60, 132, 135, 255)
PORTS: Final = (0, 65_535)
TYPES: Final = {
    version: tuple(
        kind
        for kind in range(256)
        if kind not in ICMP_ERRORS[version] and kind not in LINK_ONLY[version]
    )
    for version in (4, 6)
}
"""Those that may pass at all."""

SOME: Final = {4: (0, 8, 13, 14, 16, 40, 255), 6: (128, 129, 139, 140, 161, 200, 255)}
"""Types that stand for others: requests, answers, neither."""


class Asked(NamedTuple):
    """What a packet is about."""

    address: Given
    protocol: int
    number: int | None
    """The port, or the ICMP type."""


def model_of(policy: Policy, at: float | None = None) -> Model:
    """Build the model of a gateway that has been told a policy, and what lives at a moment."""
    model = Model(policy.addresses, address_plan=policy.address_plan, options=policy.options)
    for client in policy.clients:
        model.client_connected(client.id, client.addresses, 0.0)
        for one in client.authorizations:
            if at is not None and one.expires_at is not None and at >= one.expires_at:
                continue
            model.authorize(client.id, one.resource)
            for domain in one.domains or ():
                model.domain_resolved(
                    client.id,
                    one.resource.id,
                    domain.name,
                    proxy_addresses=domain.proxy_addresses,
                    resolved_addresses=domain.resolved_addresses,
                )
    return model


# --- Packets -------------------------------------------------------------------------------


def end(address: Given, port: int) -> str:
    return f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"


def packet(near: Given, asked: Asked, *, inbound: bool = False, near_port: int = 40_000) -> bytes:
    """Build a packet between a client's address and what is asked about."""
    ends = [end(near, near_port), end(asked.address, asked.number or 0)]
    flow = " > ".join(ends[::-1] if inbound else ends)
    if asked.protocol == TCP:
        return tcp(flow, flags=SYN)
    if asked.protocol == UDP:
        return udp(flow)
    if asked.protocol == ICMP[near.version]:
        assert asked.number is not None
        return icmp(flow, asked.number, rest=pack("!HH", near_port, 1))
    return ip(flow, asked.protocol, bytes(8))


def outgoing(policy: Policy, near: Given, asked: Asked) -> bytes:
    """Build a packet out; through the NAT from another port, so that no session is in the way."""
    is_proxy = any(asked.address in one for one in policy.address_plan.dns_resources)
    return packet(near, asked, near_port=50_000 if is_proxy else 40_000)


def near_of(policy: Policy, client_id: str, version: int) -> Given:
    """Return a client's own address of a family; `None` if it has none."""
    [addresses] = [one.addresses for one in policy.clients if one.id == client_id]
    return addresses.ipv4 if version == 4 else addresses.ipv6


def is_refused(decision: Given) -> bool:
    return decision[0] in ("drop", "reject")


class Brute:
    """A policy, asked about single packets."""

    def __init__(self, policy: Policy, at: float | None = None) -> None:
        self.policy = policy
        self.numbers = numbers_of(policy)
        own, fixed = addresses_of(policy)
        self.addresses = [*own, *fixed]
        self.model = model_of(policy, at)
        self.idle = model_of(policy, at)
        """Of nothing that went out, so that what comes in is no answer."""

    def out(self, client_id: str, asked: Asked) -> tuple[str | None] | None:
        """Say which resource permits a packet out, in a tuple; `None`: it is refused."""
        near = near_of(self.policy, client_id, asked.address.version)
        if near is None:
            return None
        decision = self.send(client_id, near, asked)[1]
        return None if is_refused(decision) else (decision[-1],)

    def send(self, client_id: str, near: Given, asked: Asked) -> tuple[bytes, Given]:
        """Send a packet, and say what goes on of it, and the decision."""
        sent = outgoing(self.policy, near, asked)
        decision = self.model.handle_packet(OUTBOUND, sent, client_id=client_id)
        return (decision[1] if decision[0] == "translate" else sent), decision

    def answers(self, client_id: str, asked: Asked) -> bool:
        """Tell whether a packet out is permitted, and what answers it would come back."""
        near = near_of(self.policy, client_id, asked.address.version)
        if near is None:
            return False
        sent, decision = self.send(client_id, near, asked)
        if is_refused(decision):
            return False
        if asked.protocol == ICMP[near.version] and asked.number not in ANSWERS[near.version]:
            return True  # nothing answers it
        back = self.model.handle_packet(INBOUND, turned(sent), client_id=client_id)
        return not is_refused(back)

    def comes(self, client_id: str, asked: Asked) -> bool:
        """Tell whether a packet from there comes in that nobody has asked for."""
        near = near_of(self.policy, client_id, asked.address.version)
        if near is None:
            return False
        came = packet(near, asked, inbound=True, near_port=30_000)
        return not is_refused(self.idle.handle_packet(INBOUND, came, client_id=client_id))

    def winner(self, client_id: str, asked: Asked) -> str | None:
        """Say which resource answers for a packet out, be it that it refuses; `None`: none."""
        if client_id not in {one.id for one in self.policy.clients}:
            return None
        near = near_of(self.policy, client_id, asked.address.version)
        if near is None:
            return None
        sent = outgoing(self.policy, near, asked)
        account = self.idle.explain(OUTBOUND, sent, client_id=client_id).account
        return account.candidates[0].resource_id if account.candidates else None

    def leads(self, client_id: str) -> dict[Given, Given]:
        """Return what each proxy address of a client that has a translation leads to."""
        proxies = self.model._clients[client_id].proxies
        return {one: entry.target for one, entry in proxies.items() if entry.target is not None}

    def targets(self, client_id: str, name: str) -> list[Given]:
        """Return the proxy addresses of a name that have a translation."""
        proxies = self.model._clients[client_id].proxies
        leads = self.leads(client_id)
        return [one for one in leads if proxies[one].domain == normal(name)]


# --- Edges ---------------------------------------------------------------------------------


def networks_of(policies: Iterable[Policy]) -> Iterator[Given]:
    """Yield every network and address that policies name."""
    for policy in policies:
        yield from (*policy.address_plan.tunnel, *policy.address_plan.dns_resources)
        yield from own_of(policy)
        for client in policy.clients:
            for one in client.authorizations:
                if isinstance(one.resource, CidrResource):
                    yield one.resource.network
                if isinstance(one.resource, (CidrResource, InternetResource)):
                    yield from one.resource.exclude
                for domain in one.domains or ():
                    yield from domain.proxy_addresses


def own_of(policy: Policy) -> list[Given]:
    own = (policy.addresses.ipv4, policy.addresses.ipv6)
    return [one for one in own if one is not None]


def edges(network: Given) -> set[Given]:
    """Return the first and last address of a network or address, and those beside it."""
    first, last = (network[0], network[-1]) if hasattr(network, "prefixlen") else (network,) * 2
    return edges_between(first, last)


def edges_between(first: Given, last: Given) -> set[Given]:
    numbers = (int(first) - 1, int(first), int(last), int(last) + 1)
    kind, most = type(first), 2**first.max_prefixlen - 1
    return {kind(number) for number in numbers if 0 <= number <= most}


@cache
def constants(*ranges: Given) -> set[Given]:
    """Return the edges of all that is special under every plan, and of some ranges."""
    ranges = (*ranges, *SPECIAL, *LOCAL_SERVICES, *NOT_INTERNET, PUBLIC_IPV6, NAT64)
    found = {address for one in ranges for address in edges(one)}
    for one in list(found):
        # The forms in which IPv6 carries them (RFC 6052, RFC 3056).
        if one.version == 4:
            found.add(ip_address(int(NAT64[0]) + int(one)))
            six_to_four = 0x2002 << 112 | int(one) << 80
            found |= {ip_address(six_to_four), ip_address(six_to_four + 2**80 - 1)}
    return found


def addresses_of(*policies: Policy) -> tuple[list[Given], list[Given]]:
    """Return the edges that policies have, and all others there are."""
    own = {address for one in networks_of(policies) for address in edges(one)}
    plans = [one.address_plan for one in policies]
    fixed = constants(*(net for one in plans for net in (*one.tunnel, *one.dns_resources)))
    return sorted(own, key=place), sorted(fixed - own, key=place)


def place(address: Given) -> tuple[int, int]:
    return address.version, int(address)


def numbers_of(*policies: Policy) -> dict[int, list[int]]:
    """Return the ports at the edges of all ranges, and types of every sort, by protocol."""
    found = {TCP: set(PORTS), UDP: set(PORTS), **{ICMP[one]: {*SOME[one]} for one in (4, 6)}}
    for policy in policies:
        filters = list(policy.options.own_filters)
        for client in policy.clients:
            for one in client.authorizations:
                if isinstance(one.resource, (CidrResource, DnsResource)):
                    filters += one.resource.filters
        for permitted in filters:
            if isinstance(permitted, (Tcp, Udp)):
                protocol = TCP if isinstance(permitted, Tcp) else UDP
                for span in permitted.ranges:
                    found[protocol] |= ports_beside(span.first, span.last)
            elif isinstance(permitted, Icmp):
                found[ICMP[4]] |= {*(permitted.types or ())}
                found[ICMP[6]] |= {*(permitted.types_v6 or ())}
    for version in (4, 6):
        found[ICMP[version]] &= {*TYPES[version]}
    return {protocol: sorted(numbers) for protocol, numbers in found.items()}


def ports_beside(first: int, last: int) -> set[int]:
    return {port for port in (first - 1, first, last, last + 1) if 0 <= port <= 65_535}


def kinds(version: int, numbers: dict[int, list[int]]) -> list[tuple[int, int | None]]:
    """Return every protocol of a family, with the ports or types that it has."""
    others = [one for one in OTHERS if version == 4 or one not in EXTENSIONS]
    return [
        *((one, number) for one in (TCP, UDP, ICMP[version]) for number in numbers[one]),
        *((protocol, None) for protocol in others),
    ]


def questions(chance: random.Random, most: int, *policies: Policy) -> list[Asked]:
    """Choose what to ask about policies: of their own edges more than of all others."""
    own, fixed = addresses_of(*policies)
    numbers = numbers_of(*policies)
    addresses = own + chance.sample(fixed, min(len(fixed), 12))
    found = []
    for address in addresses:
        several = kinds(address.version, numbers)
        share = max(8, most // len(addresses))
        few = chance.sample(several, min(len(several), share))
        found += [Asked(address, protocol, number) for protocol, number in few]
    return found


def about(chance: random.Random, boxes: Iterable[Given], most: int) -> list[Asked]:
    """Choose what to ask about boxes: their corners, and what is beside them."""
    found = []
    several = list(boxes)
    for box in chance.sample(several, min(len(several), 40)):
        version = box.first.version
        if box.ports is not None:
            numbers: list[int | None] = [*ports_beside(box.ports.first, box.ports.last)]
        elif box.protocol == ICMP[version]:
            numbers = [*chance.sample(TYPES[version], 6), *(box.icmp_types or ())]
        else:
            numbers = [None]
        protocols = [47, 132] if box.protocol is None else [box.protocol]
        corners = product(edges_between(box.first, box.last), protocols, numbers)
        found += [Asked(*one) for one in corners]
    return found if len(found) <= most else chance.sample(found, most)


# --- Boxes ---------------------------------------------------------------------------------


def has_address(box: Given, address: Given) -> bool:
    if box.first.version != address.version:
        return False
    return bool(box.first <= address <= box.last)


def holding(boxes: Iterable[Given], asked: Asked) -> list[Given]:
    """Return the boxes that have a packet: those of no protocol have what no other names."""
    here = [box for box in boxes if has_address(box, asked.address)]
    named = {box.protocol for box in here}
    protocol = asked.protocol if asked.protocol in named else None
    return [box for box in here if box.protocol == protocol and has_number(box, asked.number)]


def has_number(box: Given, number: int | None) -> bool:
    if box.ports is not None:
        assert number is not None
        return bool(box.ports.first <= number <= box.ports.last)
    return box.icmp_types is None or number in box.icmp_types


def is_well_formed(box: Given) -> bool:
    """Tell whether a box has what its protocol has, and its networks are its addresses."""
    icmp_protocol = ICMP[box.first.version]
    has_ports = box.protocol in (TCP, UDP)
    fits = (box.ports is not None) is has_ports and (
        box.icmp_types is None or (box.protocol == icmp_protocol and bool(box.icmp_types))
    )
    networks = list(box.networks)
    together = all(int(one[-1]) + 1 == int(other[0]) for one, other in pairwise(networks))
    return fits and together and networks[0][0] == box.first and networks[-1][-1] == box.last
