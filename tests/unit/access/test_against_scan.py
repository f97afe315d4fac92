"""A `ClientFilterTable` and a client's access, with excluded networks, ICMP types and other
protocols, against `scan`: many entries of few networks, which come, change and go."""

import math
from ipaddress import ip_address, ip_network
from typing import Final

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from firezone_filter.access.authorizations import ClientAccess
from firezone_filter.access.permit_index import FEW
from firezone_filter.access.special_ranges import address_flags
from firezone_filter.access.table import ClientFilterTable
from firezone_filter.packet.numbers import ICMPV4, ICMPV6, TCP, UDP
from firezone_filter.values.addresses import AddressPlan
from firezone_filter.values.decisions import Forward, Reason
from firezone_filter.values.filters import Filter, Icmp, Protocol, Tcp, Udp
from firezone_filter.values.resources import CidrResource
from tests.numbers import GRE
from tests.unit.access.scan import Covering, best

FLAGS: Final = address_flags(AddressPlan())

# Networks by the first letter of an id, and what may be excluded from each. Of one network there
# are more resources than are asked in turn.
PLACES: Final = {
    "n": ("10.0.0.0/24", ("10.0.0.0/25", "10.0.0.5", "10.0.0.4/30", "10.0.0.128/25")),
    "w": ("10.0.0.0/8", ("10.0.0.0/24", "10.0.0.0/15", "10.0.0.5", "10.128.0.0/9", "10.0.0.0/9")),
    "v": ("fd12::/32", ("fd12::/64", "fd12::5", "fd12::4/126", "fd12:0:8000::/33")),
}
IDS: Final = tuple(f"{place}{number}" for place in PLACES for number in range(2 * FEW))
ADDRESSES: Final = tuple(
    map(ip_address, ("10.0.0.5", "10.0.0.6", "10.0.0.200", "10.0.1.5", "10.200.0.5"))
) + tuple(map(ip_address, ("fd12::5", "fd12::6", "fd12:0:9000::1")))
QUESTIONS: Final = (
    *((TCP, port) for port in (22, 443, None)),
    (UDP, 53),
    *((icmp, number) for icmp in (ICMPV4, ICMPV6) for number in (0, 8, 128, None)),
    (GRE, None),
    (50, None),
)

one_filter: st.SearchStrategy[Filter] = st.sampled_from(
    (
        *(Tcp(443), Tcp("1-100"), Tcp(), Udp(53), Protocol(GRE), Protocol(50)),
        *(Icmp(), Icmp.echo(), Icmp([8]), Icmp(types_v6=[128]), Icmp(range(200), range(9))),
    )
)
filters = st.one_of(st.just(()), st.lists(one_filter, min_size=1, max_size=3).map(tuple))
ends = st.none() | st.sampled_from((1.0, 2.0, 3.0))


@st.composite
def resources(draw: st.DrawFn, resource_id: str | None = None) -> CidrResource:
    resource_id = resource_id or draw(st.sampled_from(IDS))
    network, holes = PLACES[resource_id[0]]
    exclude = draw(st.just([]) | st.lists(st.sampled_from(holes), max_size=3))
    return CidrResource(resource_id, network, draw(filters), exclude=exclude)


class Scanned(RuleBasedStateMachine):
    """One client's permissions: by a table, by its access, and by what is held."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.table = ClientFilterTable()
        self.access = ClientAccess("alice")
        self.held: dict[str, tuple[CidrResource, float]] = {}

    def put(self, new: CidrResource, expires_at: float | None) -> None:
        # What is over must not live again, so it is withdrawn first.
        self.revoke(
            {one for one, (_, end) in self.held.items() if one == new.id and end <= self.now}
        )
        self.table.allow(new.network, new.id, new.filters, new.exclude)
        self.access.authorize(new).expires_at = expires_at
        self.held[new.id] = (new, math.inf if expires_at is None else expires_at)

    @initialize(drawn=st.tuples(*(resources(one) for one in IDS)), ends=st.lists(ends, min_size=3))
    def many(self, drawn: tuple[CidrResource, ...], ends: list[float | None]) -> None:
        for number, new in enumerate(drawn):
            self.put(new, ends[number % 3])

    @rule(new=resources(), end=ends)
    def authorize(self, new: CidrResource, end: float | None) -> None:
        self.put(new, None if end is None else self.now + end)

    @rule(ids=st.sets(st.sampled_from(IDS), max_size=2 * FEW))
    def revoke(self, ids: set[str]) -> None:
        for resource_id in sorted(ids & self.held.keys()):
            self.access.revoke(resource_id)
            assert self.table.revoke(resource_id)
            del self.held[resource_id]

    @rule()
    def wait(self) -> None:
        self.now += 1.0

    @invariant()
    def the_table_answers_as_the_scan_does(self) -> None:
        entries = [Covering(*entry) for entry in self.table]
        assert {one.resource_id: one for one in entries} == {
            key: Covering(one.network, one.id, one.filters, one.exclude)
            for key, (one, _) in self.held.items()
        }
        for address in ADDRESSES:
            for protocol, number in QUESTIONS:
                found = self.table.match(address, protocol, number, icmp_type=_type(number))
                told = found if found is None else (found.resource_id, found.network, found.reason)
                assert told == best(entries, address, protocol, number)

    @invariant()
    def the_access_answers_as_a_scan_of_the_living_does(self) -> None:
        over = [end for _, end in self.held.values()]
        self.access.first_expiry = min(over, default=math.inf)
        self.access.last_expiry = max(over, default=math.inf)
        living = [
            Covering(one.network, one.id, one.filters, one.exclude)
            for one, end in self.held.values()
            if end > self.now
        ]
        for address in ADDRESSES:
            far = address.packed
            for protocol, number in QUESTIONS:
                if number is None and protocol in (TCP, ICMPV4, ICMPV6):
                    continue  # every packet has one
                asked = -1 if number is None else number
                answer = best(living, address, protocol, number)
                expected: object = (
                    Reason.NO_RESOURCE
                    if answer is None
                    else answer[2] or Forward("alice", answer[0])
                )
                found = self.access.permission(far, FLAGS.flags(far), protocol, asked, self.now)
                assert found == expected


def _type(number: int | None) -> int | None:
    return None if number is None else min(number, 255)


TestScanned = Scanned.TestCase
# Each step is followed by all questions, and the first has a lot to do with each other already.
TestScanned.settings = settings(stateful_step_count=10)


def test_networks_to_exclude_lie_inside() -> None:
    for network, holes in PLACES.values():
        assert all(ip_network(hole).subnet_of(ip_network(network)) for hole in holes)  # type: ignore[arg-type]
