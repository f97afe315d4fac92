"""What the tests in policies claim, and whether it is so, packet by packet (section 9)."""

import random
from ipaddress import ip_network
from typing import Final, NamedTuple

from firezone_filter import Policy
from tests.model.packets import ECHO_REPLY, ECHO_REQUEST
from tests.model.values import ICMP, Given
from tests.numbers import TCP, UDP
from tests.property.brute import (
    Asked,
    Brute,
    addresses_of,
    edges,
    numbers_of,
    own_of,
    ports_beside,
)
from tests.property.small_policies import NETWORKS

WORDS: Final = {"tcp": TCP, "udp": UDP}
PROTOCOLS: Final = ("tcp", "tcp", "udp", "udp", "ping", "icmp", "47", "132")
WITH_TYPES: Final = {
    4: (*PROTOCOLS, "icmp/8", "icmp/13", "icmp/14", "icmp/40"),
    6: (*PROTOCOLS, "icmp/129", "icmp/139", "icmp/140", "icmp/200"),
}


Wanted = tuple[int, int | None, int | None]
"""A protocol, the port or type out, and the one in."""


class Claim(NamedTuple):
    """One entry of `allow` or `deny`."""

    word: str
    """`tcp`, `udp`, `ping`, `icmp`, `icmp/13` or a protocol's number."""

    target: Given
    """An address, a network or a name."""

    ports: tuple[int, int] | None

    def text(self, *, brackets: bool = False) -> str:
        """Write it as a policy file has it."""
        target = str(self.target)
        if ":" in target and (brackets or self.ports is not None):
            target = f"[{target}]"
        if self.ports is None:
            return f"{self.word} {target}"
        first, last = self.ports
        return f"{self.word} {target}:{first}" + (f"-{last}" if last != first else "")


def claims(chance: random.Random, policy: Policy, client_id: str, most: int) -> list[Claim]:
    """Choose what to claim: mostly of what the policy itself has."""
    own, _ = addresses_of(policy)
    [client] = [one for one in policy.clients if one.id == client_id]
    names = [
        domain.name
        for one in client.authorizations
        for domain in one.domains or ()
        if domain.proxy_addresses and domain.resolved_addresses
    ]
    networks = [
        *NETWORKS,
        *(ip_network((one, one.max_prefixlen - 1), strict=False) for one in own),
    ]
    numbers = numbers_of(policy)
    found = []
    for _ in range(most):
        pool = chance.choice((own, own, networks, names or own))
        target = chance.choice(pool)
        word = chance.choice(PROTOCOLS if isinstance(target, str) else WITH_TYPES[target.version])
        ports = None
        if word in WORDS and chance.random() < 0.8:
            first = chance.choice(numbers[WORDS[word]])
            last = chance.choice(numbers[WORDS[word]]) if chance.random() < 0.3 else first
            ports = (min(first, last), max(first, last))
        found.append(Claim(word, target, ports))
    return found


def all_of(claim: Claim, brute: Brute, client_id: str) -> list[tuple[Asked, Asked]]:
    """Return what a claim names: for each what goes out, and what would come in from there.

    Of addresses and ports those at the edges, which stand for all.
    """
    return [
        (Asked(address, protocol, out), Asked(address, protocol, back))
        for address in addresses_in(claim, brute, client_id)
        for protocol, out, back in wanted(claim, address, brute)
    ]


def addresses_in(claim: Claim, brute: Brute, client_id: str) -> list[Given]:
    if isinstance(claim.target, str):
        return brute.targets(client_id, claim.target)
    if not hasattr(claim.target, "prefixlen"):
        return [claim.target]
    several = {*brute.addresses, *edges(claim.target)}
    # The gateway's own counts only where it is named by itself.
    return [one for one in several if one in claim.target and one not in own_of(brute.policy)]


def wanted(claim: Claim, address: Given, brute: Brute) -> list[Wanted]:
    """Return what a claim wants of an address."""
    version = address.version
    if claim.word in WORDS:
        protocol = WORDS[claim.word]
        first, last = claim.ports or (0, 65_535)
        edges_of_all = {
            *brute.numbers[protocol],
            *ports_beside(first, first),
            *ports_beside(last, last),
        }
        return [(protocol, one, one) for one in sorted(edges_of_all) if first <= one <= last]
    if claim.word == "ping":
        return [(ICMP[version], ECHO_REQUEST[version], ECHO_REPLY[version])]
    if claim.word == "icmp":
        is_proxy = any(address in one for one in brute.policy.address_plan.dns_resources)
        # Through the NAT there are only pings.
        types = [ECHO_REQUEST[version]] if is_proxy else brute.numbers[ICMP[version]]
        return [(ICMP[version], one, one) for one in types]
    if claim.word.startswith("icmp/"):
        number = int(claim.word.removeprefix("icmp/"))
        return [(ICMP[version], number, number)]
    return [(int(claim.word), None, None)]


def holds(claim: Claim, policy: Policy, client_id: str, at: float | None, *, allow: bool) -> bool:
    """Tell whether what a test claims is so."""
    brute = Brute(policy, at)
    several = all_of(claim, brute, client_id)
    if allow:
        return all(brute.answers(client_id, out) for out, _ in several)
    return not any(
        brute.comes(client_id, back) or brute.out(client_id, out) for out, back in several
    )
