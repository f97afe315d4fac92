"""The access of one client, against a linear scan: many resources that share a network, a proxy
address or the Internet, and authorizations that are over while they wait to be withdrawn."""

import math
from ipaddress import ip_address
from typing import Final

from hypothesis import assume, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from firezone_filter import (
    AddressPlan,
    CidrResource,
    DnsResource,
    Filter,
    Forward,
    Icmp,
    InternetResource,
    Protocol,
    Resource,
    Tcp,
    Udp,
)
from firezone_filter.access.authorizations import ClientAccess
from firezone_filter.access.permit_index import FEW
from firezone_filter.access.special_ranges import address_flags
from firezone_filter.nat.proxies import ProxyTable, Resolution
from tests.model.policy import OTHER, best, candidate, proxied
from tests.numbers import GRE, ICMPV4, ICMPV6, TCP, UDP

PLAN: Final = AddressPlan()
FLAGS: Final = address_flags(PLAN)

MANY: Final = FEW + 3

PLACES: Final = {
    "n": "10.0.0.0/24",  # in the middle of the two that follow
    "o": "10.0.0.0/8",
    "p": "0.0.0.0/0",
    "q": "9.9.9.0/24",
    "l": "169.254.0.0/16",
    "v": "2600::/16",
}
LEFT_OUT: Final = {
    "n": ("10.0.0.4/30",),
    "o": ("10.0.0.0/24", "10.200.0.0/16"),
    "p": ("9.9.9.0/25", "8.8.8.8/32", "10.0.1.0/24"),
    "q": ("9.9.9.128/25",),
    "v": ("2600:1::/32",),
}
"""What a network excludes, if it does."""

CIDR_IDS: Final = tuple(f"{place}{n}" for place in PLACES for n in range(MANY))
DNS_IDS: Final = tuple(f"d{n}" for n in range(MANY))
INTERNET_IDS: Final = tuple(f"{letter}{n}" for letter in "ax" for n in range(MANY - 3))
IDS: Final = CIDR_IDS + DNS_IDS + INTERNET_IDS

PROXIES: Final = ("100.96.0.1", "100.96.0.2", "fd00:2021:1111:8000::1")
ADDRESSES: Final = (
    *PROXIES,
    "10.0.0.5",
    "10.0.1.5",
    "9.9.9.9",
    "9.9.9.200",
    "8.8.8.8",
    "169.254.1.1",
    "127.0.0.1",
    "2600::8",
    "2600:1::",
    "fd12::1",
)
QUESTIONS: Final = (
    *((TCP, port) for port in (22, 443, 65_535)),
    (UDP, 53),
    *((ICMPV4, kind) for kind in (8, 13)),
    *((ICMPV6, kind) for kind in (128, 139)),
    (GRE, -1),
)
"""Protocols, and the port or ICMP type."""

which = st.sampled_from(IDS)
one_filter: st.SearchStrategy[Filter] = st.sampled_from(
    (
        *(Tcp(443), Tcp("1-7999"), Tcp("23-65535"), Tcp(), Udp(53), Udp("53,60-70")),
        *(Icmp(), Icmp.echo(), Icmp([14]), Icmp(types_v6=[139]), Protocol(47), Protocol(50)),
    )
)
filters = st.one_of(
    st.just((Tcp(1),)), st.lists(one_filter, min_size=1, max_size=3), st.just(())
).map(tuple)
excludes = st.lists(
    st.sampled_from(
        ("9.9.9.0/24", "9.9.9.128/25", "9.9.9.9", "0.0.0.0/1", "8.0.0.0/6", "2600::/31", "::/0")
    ),
    max_size=3,
)
lifetimes = st.none() | st.sampled_from((1.0, 2.0, 3.0))


def resource(resource_id: str, permitted: tuple[Filter, ...], exclude: list[str]) -> Resource:
    if resource_id in DNS_IDS:
        return DnsResource(resource_id, "**.example.com", permitted)
    if resource_id in INTERNET_IDS:
        return InternetResource(resource_id, exclude=exclude)
    place = resource_id[0]
    left_out = LEFT_OUT.get(place, ()) if len(exclude) > 1 else ()
    return CidrResource(resource_id, PLACES[place], permitted, exclude=left_out)


class Access(RuleBasedStateMachine):
    """A client's access, used as a gateway uses it, next to a list of what it should know."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.access = ClientAccess("alice")
        self.table = ProxyTable()
        self.access.use_proxies(self.table)
        self.held: dict[str, tuple[Resource, float | None]] = {}
        self.proxied: dict[str, set[str]] = {proxy: set() for proxy in PROXIES}

    def is_over(self, resource_id: str) -> bool:
        expires_at = self.held[resource_id][1]
        return expires_at is not None and expires_at <= self.now

    def put(self, new: Resource, lifetime: float | None) -> None:
        if new.id in self.held and self.is_over(new.id):
            self.withdraw(new.id)
        expires_at = None if lifetime is None else self.now + lifetime
        self.access.authorize(new).expires_at = expires_at
        self.held[new.id] = (new, expires_at)

    def withdraw(self, resource_id: str) -> None:
        self.table.withdraw(resource_id)
        self.access.revoke(resource_id)
        del self.held[resource_id]
        for ids in self.proxied.values():
            ids.discard(resource_id)

    @initialize(
        ids=st.sets(which, min_size=len(IDS) // 2),
        permitted=st.lists(filters, min_size=3, max_size=3),
        exclude=st.lists(excludes, min_size=3, max_size=3),
        lifetime=st.lists(lifetimes, min_size=4, max_size=4),
    )
    def many(
        self,
        ids: set[str],
        permitted: list[tuple[Filter, ...]],
        exclude: list[list[str]],
        lifetime: list[float | None],
    ) -> None:
        for number, resource_id in enumerate(sorted(ids)):
            new = resource(resource_id, permitted[number % 3], exclude[number % 3])
            self.put(new, lifetime[number % 4])
            if resource_id in DNS_IDS:
                self.resolve(resource_id, {PROXIES[number % 2], PROXIES[2]})

    @rule(resource_id=which, permitted=filters, exclude=excludes, lifetime=lifetimes)
    def authorize(
        self,
        resource_id: str,
        permitted: tuple[Filter, ...],
        exclude: list[str],
        lifetime: float | None,
    ) -> None:
        self.put(resource(resource_id, permitted, exclude), lifetime)

    @rule(resource_id=st.sampled_from(DNS_IDS), proxies=st.sets(st.sampled_from(PROXIES)))
    def resolve(self, resource_id: str, proxies: set[str]) -> None:
        assume(resource_id in self.held and not self.is_over(resource_id))
        packed = tuple(ip_address(proxy).packed for proxy in sorted(proxies))
        self.table.assign(resource_id, Resolution("a.example.com", packed, ()))
        for proxy in proxies:
            self.proxied[proxy].add(resource_id)

    @rule(ids=st.sets(which, max_size=MANY))
    def revoke(self, ids: set[str]) -> None:
        for resource_id in sorted(ids & self.held.keys()):
            self.withdraw(resource_id)

    @rule(resource_id=which, lifetime=lifetimes)
    def extend(self, resource_id: str, lifetime: float | None) -> None:
        assume(resource_id in self.held and not self.is_over(resource_id))
        expires_at = None if lifetime is None else self.now + lifetime
        self.access.authorizations[resource_id].expires_at = expires_at
        self.held[resource_id] = (self.held[resource_id][0], expires_at)

    @rule(seconds=st.sampled_from((0.5, 1.0, 1.0)))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(resource_id=st.sampled_from(DNS_IDS))
    def withdraw_a_proxy(self, resource_id: str) -> None:
        assume(resource_id in self.held and self.is_over(resource_id))
        self.table.withdraw(resource_id, 1)  # pragma: no cover - by chance

    @rule(most=st.integers(1, 2 * MANY))
    def withdraw_some(self, most: int) -> None:
        for resource_id in [one for one in self.held if self.is_over(one)][:most]:
            self.withdraw(resource_id)

    @invariant()
    def every_answer_is_that_of_the_scan(self) -> None:
        living = {one: held[0] for one, held in self.held.items() if not self.is_over(one)}
        ends = [math.inf if at is None else at for _, at in self.held.values()]
        self.access.first_expiry = min(ends, default=math.inf)
        self.access.last_expiry = max(ends, default=math.inf)
        for text in ADDRESSES:
            address = ip_address(text)
            far, given = address.packed, self.proxied.get(text)
            foreign = ICMPV6 if address.version == 4 else ICMPV4
            for protocol, port in QUESTIONS:
                wanted = (OTHER if protocol == foreign else protocol, port)
                found = (
                    [candidate(one, PLAN, address, wanted) for one in living.values()]
                    if given is None
                    else [proxied(living[one], address, wanted) for one in given & living.keys()]
                )
                answer = best([one for one in found if one is not None])
                expected = answer.reason or Forward("alice", answer.resource_id)
                question = (far, FLAGS.flags(far), protocol, port, self.now)
                assert self.access.permission(*question) == expected


TestAccess = Access.TestCase
# Each step is followed by all questions, and the first has a lot to do with each other already.
TestAccess.settings = settings(stateful_step_count=20)
