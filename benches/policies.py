"""Policies of a whole company: many clients, each with many resources of some groups.

The networks nest and overlap as in a company that has grown: a site's network with a few
protocols, its departments, single hosts; each kind of host with filters of its own. Every client
has the Internet, names with proxy addresses, and permissions that end. The same numbers give the
same policy.
"""

from typing import Final

from benches.scenes import GATEWAY, addresses_of
from firezone_filter import (
    CidrResource,
    DnsResource,
    Filter,
    Icmp,
    InternetResource,
    Policy,
    PolicyAuthorization,
    PolicyClient,
    PolicyDomain,
    Tcp,
    Udp,
)

END: Final = 1_790_000_000.0
"""When the first permissions end."""

_NAMES: Final = 6
"""Names of a client; the Internet is one resource more, all others are networks."""

_SITES: Final = 40
_HOSTS: Final = 2_000


def company(clients: int, resources: int) -> Policy:
    """Return a policy.

    Args:
        clients: how many there are, at most 50,000.
        resources: how many each has, at least 8.
    """
    return Policy(
        GATEWAY,
        clients=[_client(number, resources) for number in range(clients)],
    )


def _client(number: int, resources: int) -> PolicyClient:
    networks = resources - _NAMES - 1
    # Each has a place in the company of its own, and so other networks than its neighbours.
    picked = {(number * 7 + n * (13 + number % 5)) % (_SITES + _HOSTS) for n in range(networks)}
    more = iter(range(_SITES + _HOSTS))
    while len(picked) < networks:
        picked.add(next(more))
    return PolicyClient(
        f"client-{number}",
        addresses_of(number),
        [
            PolicyAuthorization(InternetResource("internet", exclude=["198.41.0.0/24"])),
            *(PolicyAuthorization(_network(n), _end(n)) for n in sorted(picked)),
            *(_name(number, n) for n in range(_NAMES)),
        ],
    )


def _end(number: int) -> float | None:
    return END + number * 60 if number % 5 == 0 else None


def _network(number: int) -> CidrResource:
    if number < _SITES:
        return CidrResource(f"site-{number}", f"10.{number}.0.0/16", [Icmp.echo(), Udp(53)])
    host = number - _SITES
    site, department = host % _SITES, host // _SITES
    if host % 8 == 0:
        network = f"10.{site}.{department}.0/24"
        return CidrResource(
            f"net-{host}", network, _filters(host), exclude=[network[:-4] + "0/30"]
        )
    if host % 8 == 1:
        return CidrResource(f"six-{host}", f"fd10:{site:x}:{department:x}::/64", _filters(host))
    return CidrResource(f"host-{host}", f"10.{site}.{department}.{host % 200}", _filters(host))


def _filters(number: int) -> list[Filter]:
    several: list[Filter] = [Tcp(443), Tcp(f"{8_000 + number % 100}-8200"), Icmp()]
    return several if number % 3 else [Tcp(22), Tcp(5_432 + number % 50), Udp("4000-4009")]


def _name(client: int, number: int) -> PolicyAuthorization:
    name = f"app-{number}.example.com"
    place = client * _NAMES + number
    return PolicyAuthorization(
        DnsResource(f"app-{number}", name, [Tcp([80, 443]), Icmp.echo()]),
        domains=[
            PolicyDomain(
                name,
                [f"100.96.{number}.{n}" for n in range(4)]
                + [f"fd00:2021:1111:8000::{number:x}:{n}" for n in range(4)],
                [f"172.16.{number}.{place % 200}", f"fd20:{number:x}::{place % 200:x}"],
            )
        ],
    )
