"""Lint beside gateways: what it calls unreachable or redundant can go, and nothing else can.

Policies are so small that every packet which may be decided differently can be tried: filters name
few ports and types, networks have few addresses. Gateways are the judges, at every moment at
which something ends.
"""

import re
from collections.abc import Callable, Collection, Iterable, Iterator
from functools import cache
from ipaddress import ip_address
from typing import Final, NamedTuple

from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from firezone_filter import (
    CidrResource,
    Direction,
    DnsResource,
    Filter,
    GatewayOptions,
    Icmp,
    InternetResource,
    Policy,
    PolicyAuthorization,
    PolicyClient,
    PolicyDomain,
    Protocol,
    Resource,
    Tcp,
    Translate,
    TunnelAddresses,
    Udp,
)
from firezone_filter.policy.analysis.findings import Finding
from firezone_filter.testing import icmp, ip, tcp, udp

Authorizations = tuple[PolicyAuthorization, ...]

# --- What may be in a policy --------------------------------------------------------------

NAME: Final = "git.example.com"
PROXIES: Final = ("100.96.0.1", "100.96.0.2", "fd00:2021:1111:8000::1")
RESOLVED: Final = ("10.0.0.0", "10.0.0.1", "fd10::1", "127.0.0.1")

FILTERS: Final[tuple[Filter, ...]] = (
    Tcp(1),
    Tcp("1-2"),
    Tcp(),
    Udp(1),
    Icmp(),
    Icmp.echo(),
    Icmp([8]),
    Icmp([3, 13]),
    Icmp([3], [133]),
    Icmp([], [128]),
    Protocol(47),
    Protocol(51),
)

NETWORKS: Final = (
    ("10.0.0.0/30", ("10.0.0.0/31", "10.0.0.1/32", "10.0.0.2/31")),
    ("10.0.0.0/31", ("10.0.0.0/32", "10.0.0.1/32")),
    ("10.0.0.2/31", ("10.0.0.2/32",)),
    ("10.0.0.1/32", ()),
    ("9.9.9.8/31", ("9.9.9.8/32",)),
    ("0.0.0.0/0", ("10.0.0.0/31", "128.0.0.0/1", "0.0.0.0/1")),
    ("127.0.0.0/30", ()),
    ("100.96.0.0/31", ()),
    ("169.254.0.0/15", ("169.255.0.0/16",)),
    ("169.254.0.0/31", ()),
    ("fd10::/127", ("fd10::1/128",)),
    ("::/0", ("fd10::/127",)),
)
"""Networks, and what may be excluded of them."""

INTERNET_EXCLUDES: Final = ("9.9.9.8/31", "10.0.0.0/31", "0.0.0.0/0", "::/0")

# One of each kind that the above tells apart, and all addresses of the small networks.
ADDRESSES: Final = (
    *("10.0.0.0", "10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4", "9.9.9.8", "9.9.9.9"),
    *("9.9.9.10", "200.0.0.1", "192.168.0.1", "127.0.0.1", "100.96.0.0", "169.254.0.0"),
    *("169.254.0.1", "169.254.0.2", "169.255.0.1", "fd10::", "fd10::1", "fd10::2", "2600::1"),
    *PROXIES,
)

END: Final = 10.0
MOMENTS: Final = (0.0, END, 2 * END)

OPTIONS: Final = GatewayOptions(reject=False)

filters = st.lists(st.sampled_from(FILTERS), min_size=1, max_size=3)
ends = st.sampled_from((None, None, END, 2 * END))


def subset(values: Iterable[str], most: int) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(tuple(values)), max_size=most, unique=True)


@st.composite
def cidr_resources(draw: st.DrawFn, id: str) -> CidrResource:  # noqa: A002
    network, inside = draw(st.sampled_from(NETWORKS))
    exclude = draw(subset(inside, 2)) if inside else []
    return CidrResource(id, network, draw(filters), exclude=exclude)


@st.composite
def authorizations(draw: st.DrawFn, number: int) -> PolicyAuthorization:
    id_, end = f"resource-{number}", draw(ends)
    kind = draw(st.sampled_from(("cidr", "cidr", "cidr", "dns", "dns", "internet")))
    if kind == "cidr":
        return PolicyAuthorization(draw(cidr_resources(id_)), end)
    if kind == "internet":
        exclude = draw(subset(INTERNET_EXCLUDES, 2))
        return PolicyAuthorization(InternetResource(id_, exclude=exclude), end)
    name = PolicyDomain(NAME, draw(subset(PROXIES, 3)), draw(subset(RESOLVED, 2)))
    domains = [name] * draw(st.integers(0, 1))
    return PolicyAuthorization(DnsResource(id_, NAME, draw(filters)), end, domains)


@st.composite
def clients(draw: st.DrawFn) -> PolicyClient:
    number = draw(st.integers(1, 4))
    family = draw(st.sampled_from(("46", "46", "4", "6")))
    addresses = TunnelAddresses(
        "100.64.0.2" if "4" in family else None, "fd00:2021:1111::2" if "6" in family else None
    )
    return PolicyClient("alice", addresses, [draw(authorizations(n)) for n in range(number)])


# --- What gateways permit -----------------------------------------------------------------


class Probe(NamedTuple):
    """A packet to an address, of one protocol with one port or type."""

    address: str
    protocol: int
    number: int


def probes() -> Iterator[Probe]:
    for address in ADDRESSES:
        own = 58 if ":" in address else 1
        yield from (Probe(address, 6, port) for port in (1, 2, 3))
        yield from (Probe(address, 17, port) for port in (1, 2))
        types = (128, 129, 139) if own == 58 else (0, 8, 13, 14, 17)
        yield from (Probe(address, own, kind) for kind in types)
        yield from (Probe(address, protocol, 0) for protocol in (47, 50, 51))


PROBES: Final = tuple(probes())


@cache
def packet_of(probe: Probe, moment: int) -> bytes:
    """Return a packet of a flow that only this moment has."""
    own, far = ("[fd00:2021:1111::2]", f"[{probe.address}]")
    if ":" not in probe.address:
        own, far = "100.64.0.2", probe.address
    ends_ = f"{own}:{5401 + moment} > {far}:{probe.number}"
    if probe.protocol in (6, 17):
        return (tcp if probe.protocol == 6 else udp)(ends_)
    if probe.protocol in (1, 58):
        return icmp(ends_, probe.number, rest=bytes((0, moment + 1, 0, 0)))
    return ip(ends_, probe.protocol, bytes(40))


Permitted = dict[tuple[float, Probe], bytes | None]
"""What is permitted, by moment; with the real address that a proxy address leads to."""


def permitted(client: PolicyClient, given: Authorizations) -> Permitted:
    """Return what a gateway permits that knows the client with some authorizations."""
    policy = policy_of(evolve(client, authorizations=given))
    gateway = policy.gateway(MOMENTS[0], options=OPTIONS)
    found: Permitted = {}
    for number, moment in enumerate(MOMENTS):
        for probe in PROBES:
            packet = packet_of(probe, number)
            decision = gateway.handle_packet(Direction.OUTBOUND, packet, moment, "alice")
            if isinstance(decision, Translate):
                new = decision.packet
                found[moment, probe] = new[24:40] if ":" in probe.address else new[16:20]
            elif decision.allowed:
                found[moment, probe] = None
    return found


def policy_of(client: PolicyClient) -> Policy:
    return Policy(TunnelAddresses("100.64.0.1", "fd00:2021:1111::1"), clients=[client])


def muted(resource: Resource) -> Resource:
    """Return a resource in its place that permits none of the packets."""
    if isinstance(resource, InternetResource):
        return evolve(resource, exclude=["0.0.0.0/0", "::/0"])
    return evolve(resource, filters=[Icmp([3])])


def mute(given: Authorizations, which: Callable[[int], bool]) -> Authorizations:
    """Return authorizations of which some permit nothing, while their names stay."""
    return tuple(
        evolve(one, resource=muted(one.resource)) if which(n) else one
        for n, one in enumerate(given)
    )


def without(given: Authorizations, numbers: Collection[int]) -> Authorizations:
    return tuple(one for n, one in enumerate(given) if n not in numbers)


class Findings:
    """The findings of a policy with one client, by their places."""

    def __init__(self, findings: Iterable[Finding]) -> None:
        self.all = [(one.code, one.place) for one in findings]

    def codes(self, number: int, inside: str = "") -> set[str]:
        """Return the codes at one place of an authorization."""
        at = f"clients[0].authorizations[{number}]{inside}"
        return {code for code, place in self.all if place == at}

    def numbers(self, number: int, code: str, field: str) -> set[int]:
        """Return the numbers of an authorization's filters, excludes or names with a code."""
        found = re.compile(rf"clients\[0\]\.authorizations\[{number}\]\.{field}\[(\d+)\]")
        matches = (found.match(place) for one, place in self.all if one == code)
        return {int(match[1]) for match in matches if match}


# --- Authorizations -----------------------------------------------------------------------


def redundant(
    permits: list[Permitted], ends_: list[float | None], same_without: Callable[[list[int]], bool]
) -> set[int]:
    """Return which of several can go, each by itself; of equals the later."""
    removable = [n for n, own in enumerate(permits) if own and same_without([n])]
    return {
        n
        for n in removable
        if same_without(
            [n]
            + [m for m in removable if m > n and permits[m] == permits[n] and ends_[m] == ends_[n]]
        )
    }


@given(clients())
def test_an_authorization_is_redundant_exactly_if_it_can_go(client: PolicyClient) -> None:
    every = client.authorizations
    all_of_it = permitted(client, every)
    own = [permitted(client, mute(every, n.__ne__)) for n in range(len(every))]
    expected = redundant(
        own,
        [one.expires_at for one in every],
        lambda gone: permitted(client, without(every, gone)) == all_of_it,
    )
    findings = Findings(policy_of(client).lint())
    assert {n for n in range(len(every)) if "FZ102" in findings.codes(n)} == expected


@given(clients())
def test_an_authorization_that_permits_nothing_is_found_and_no_other(
    client: PolicyClient,
) -> None:
    findings = Findings(policy_of(client).lint())
    for n, one in enumerate(client.authorizations):
        permits = bool(permitted(client, mute(client.authorizations, n.__ne__)))
        whole = findings.codes(n) | findings.codes(n, ".resource.exclude")
        whole |= findings.codes(n, ".resource.address")
        assert not (permits and whole & {"FZ101", "FZ203", "FZ205", "FZ206"})
        explained = {"FZ101", "FZ203", "FZ205", "FZ206"} & whole or (
            _all_filters_found(findings, n, one) or _all_names_found(findings, n, one)
        )
        assert permits or explained


def _all_filters_found(findings: Findings, number: int, one: PolicyAuthorization) -> bool:
    if isinstance(one.resource, InternetResource):
        return False
    found = {
        n
        for code in ("FZ103", "FZ302", "FZ303")
        for n in findings.numbers(number, code, "resource.filters")
    }
    return found == set(range(len(one.resource.filters)))


def _all_names_found(findings: Findings, number: int, one: PolicyAuthorization) -> bool:
    found = {
        n
        for code in ("FZ501", "FZ503", "FZ504")
        for n in findings.numbers(number, code, "domains")
    }
    return bool(one.domains) and found == set(range(len(one.domains or ())))


@given(clients())
def test_a_client_without_access_is_found_and_no_other(client: PolicyClient) -> None:
    has_access = any(moment == 0 for moment, _ in permitted(client, client.authorizations))
    codes = {finding.code for finding in policy_of(client).lint()}
    assert ("FZ107" in codes) is not has_access


@given(clients(), st.sampled_from(MOMENTS))
def test_at_a_moment_only_what_has_not_expired_is_looked_at(
    client: PolicyClient, moment: float
) -> None:
    living = [
        n
        for n, one in enumerate(client.authorizations)
        if one.expires_at is None or moment < one.expires_at
    ]
    rest = evolve(client, authorizations=[client.authorizations[n] for n in living])
    found = [one for one in policy_of(client).lint(moment) if one.code != "FZ106"]
    expected = policy_of(rest).lint()
    assert [(one.code, one.message) for one in found] == [
        (one.code, one.message) for one in expected
    ]


# --- Filters ------------------------------------------------------------------------------


class OneFilter(NamedTuple):
    """A filter of an authorization: their numbers."""

    authorization: int
    filter: int


def filters_of(one: PolicyAuthorization) -> tuple[Filter, ...]:
    return () if isinstance(one.resource, InternetResource) else one.resource.filters


def only(given: Authorizations, which: Callable[[OneFilter], bool]) -> Authorizations:
    """Return authorizations with some of their filters; without any left they permit nothing."""
    changed = []
    for n, one in enumerate(given):
        kept = [f for m, f in enumerate(filters_of(one)) if which(OneFilter(n, m))]
        if isinstance(one.resource, InternetResource):
            changed.append(one)
        elif kept:
            changed.append(evolve(one, resource=evolve(one.resource, filters=kept)))
        else:
            changed.append(evolve(one, resource=muted(one.resource)))
    return tuple(changed)


@given(clients())
def test_a_filter_that_permits_nothing_or_nothing_of_its_own_is_found_and_no_other(
    client: PolicyClient,
) -> None:
    findings = Findings(policy_of(client).lint())
    for n, one in enumerate(client.authorizations):
        alone = mute(client.authorizations, n.__ne__)
        if not filters_of(one) or not permitted(client, alone) or "FZ102" in findings.codes(n):
            continue
        all_of_it = permitted(client, alone)
        own = [
            permitted(client, only(alone, lambda f, m=m, n=n: f == (n, m)))  # type: ignore[misc]
            for m in range(len(filters_of(one)))
        ]
        nothing = {m for m, permits in enumerate(own) if not permits}
        dead = findings.numbers(n, "FZ103", "resource.filters")
        dead |= findings.numbers(n, "FZ303", "resource.filters")
        partly = findings.numbers(n, "FZ302", "resource.filters")
        assert dead <= nothing <= dead | partly
        assert findings.numbers(n, "FZ104", "resource.filters") == redundant(
            own,
            [None] * len(own),
            lambda gone, n=n, alone=alone, all_of_it=all_of_it: (  # type: ignore[misc]
                permitted(
                    client, only(alone, lambda f: f.authorization != n or f.filter not in gone)
                )
                == all_of_it
            ),
        )


@given(clients())
def test_a_filter_is_permitted_elsewhere_exactly_if_it_can_go(client: PolicyClient) -> None:
    findings = Findings(policy_of(client).lint())
    given_ = mute(client.authorizations, lambda n: "FZ102" in findings.codes(n))
    all_of_it = permitted(client, given_)
    several = [
        OneFilter(n, m)
        for n, one in enumerate(given_)
        if len(filters_of(one)) > 1
        for m in range(len(filters_of(one)))
    ]
    own = [
        permitted(client, only(mute(given_, f.authorization.__ne__), f.__eq__)) for f in several
    ]
    can_go = redundant(
        own,
        [given_[f.authorization].expires_at for f in several],
        lambda gone: (
            permitted(client, only(given_, lambda f: f not in [several[n] for n in gone]))
            == all_of_it
        ),
    )
    expected = {several[n] for n in can_go}
    found = {
        OneFilter(n, m)
        for n in range(len(given_))
        # (Of a resource whose names lead nowhere yet, filters are compared all the same.)
        if permitted(client, mute(given_, n.__ne__))
        for code in ("FZ104", "FZ105")
        for m in findings.numbers(n, code, "resource.filters")
    }
    assert found == expected


# --- Excludes -----------------------------------------------------------------------------


def reached(client: PolicyClient, given: Authorizations) -> set[tuple[float, Probe]]:
    """Return what is permitted, with real addresses in the place of proxy addresses."""
    return {
        (moment, probe if real is None else probe._replace(address=spelled(real)))
        for (moment, probe), real in permitted(client, given).items()
    }


def spelled(real: bytes) -> str:
    return str(ip_address(real))


@given(clients())
def test_an_exclude_is_found_exactly_if_others_permit_what_it_takes_away(
    client: PolicyClient,
) -> None:
    findings = Findings(policy_of(client).lint())
    every = client.authorizations
    for n, one in enumerate(every):
        if (
            isinstance(one.resource, DnsResource)
            or "FZ102" in findings.codes(n)
            or not permitted(client, mute(every, n.__ne__))
        ):
            continue
        others = reached(client, mute(every, n.__eq__))
        for m, excluded in enumerate(one.resource.exclude):
            open_ = evolve(one, resource=evolve(one.resource, exclude=()))
            alone = mute((*every[:n], open_, *every[n + 1 :]), n.__ne__)
            taken = {
                (moment, probe)
                for moment, probe in permitted(client, alone)
                if ip_address(probe.address) in excluded
            }
            at_first = {(moment, probe) for moment, probe in taken if moment == 0}
            expected = set()
            if at_first & others:
                expected = {"FZ201" if taken <= others else "FZ202"}
            assert expected == {
                code
                for code in ("FZ201", "FZ202")
                if m in findings.numbers(n, code, "resource.exclude")
            }
