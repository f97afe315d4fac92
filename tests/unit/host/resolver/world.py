"""A gateway with clients, a zone in the place of upstream, a clock, and a resolver."""

import asyncio
from collections.abc import Callable, Iterable
from ipaddress import ip_address
from typing import Any

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset
from attrs import evolve

from firezone_filter import (
    AddressPlan,
    DnsResource,
    Gateway,
    Policy,
    PolicyAuthorization,
    PolicyClient,
    Tcp,
    TunnelAddresses,
)
from firezone_filter.host.resolver.access import ResolverClient
from firezone_filter.host.resolver.answering import Resolver
from firezone_filter.host.resolver.gateway_names import GatewayNames
from firezone_filter.host.resolver.given_names import GivenNames
from firezone_filter.host.resolver.leases import Leases
from firezone_filter.host.resolver.renewal import Renewal
from firezone_filter.host.resolver.resolutions import Resolutions
from firezone_filter.host.resolver.upstream import NoAnswerError

OWN = TunnelAddresses("100.64.0.1", "fd00:2021:1111::1")
ALICE = TunnelAddresses("100.64.0.2", "fd00:2021:1111::2")
BOB = TunnelAddresses("100.64.0.3")

PLAN = AddressPlan()

GIT = DnsResource("git", "*.example.com", [Tcp(443)])


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self, now: float = 1_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class Zone:
    """Answers as an upstream that knows these records, and nothing else."""

    def __init__(self) -> None:
        self._records: dict[tuple[dns.name.Name, dns.rdatatype.RdataType], dns.rrset.RRset] = {}
        self.asked: list[tuple[str, str]] = []
        self.silent: set[str] = set()
        self.negative_ttl: int | None = 900

    def put(self, name: str, kind: str, *texts: str, ttl: int = 60) -> None:
        rrset = dns.rrset.from_text(f"{name}.", ttl, "IN", kind, *texts)
        self._records[rrset.name, rrset.rdtype] = rrset

    def drop(self, name: str, kind: str) -> None:
        self._records.pop((dns.name.from_text(name), dns.rdatatype.from_text(kind)), None)

    async def ask(
        self,
        name: dns.name.Name,
        rdtype: dns.rdatatype.RdataType,
        *,
        dnssec_ok: bool = False,
        checking_disabled: bool = False,
    ) -> dns.message.QueryMessage:
        self.asked.append((name.to_text(omit_final_dot=True), rdtype.name))
        await asyncio.sleep(0)
        if name.to_text(omit_final_dot=True) in self.silent:
            raise NoAnswerError("nobody says anything")
        query = dns.message.make_query(name, rdtype, want_dnssec=dnssec_ok)
        answer = dns.message.make_response(query)
        answer.flags |= dns.flags.CD if checking_disabled else dns.flags.AD
        self._fill(answer, name, rdtype)
        # What has been read has an index of its records, which `resolve_chaining` looks into.
        read = dns.message.from_wire(answer.to_wire())
        assert isinstance(read, dns.message.QueryMessage)
        return read

    def _fill(
        self, answer: dns.message.Message, name: dns.name.Name, rdtype: dns.rdatatype.RdataType
    ) -> None:
        for _ in range(20):
            alias = self._records.get((name, dns.rdatatype.CNAME))
            if alias is None:
                break
            answer.answer.append(alias)
            name = alias[0].target
        found = self._records.get((name, rdtype))
        if found is not None:
            answer.answer.append(found)
        elif all(known != name for known, _ in self._records):
            answer.set_rcode(dns.rcode.NXDOMAIN)
        if found is None and self.negative_ttl is not None:
            soa = f"ns. host. 1 1 1 1 {self.negative_ttl}"
            answer.authority.append(dns.rrset.from_text("com.", 3600, "IN", "SOA", soa))


class CountingGateway(Gateway):
    """Counts how often it is told of a name."""

    told = 0

    def domain_resolved(self, *args: Any, **named: Any) -> None:  # noqa: ANN401 - passed on
        self.told += 1
        super().domain_resolved(*args, **named)


class World:
    """All parts, for tests without sockets."""

    def __init__(
        self,
        *clients: tuple[str, TunnelAddresses, Iterable[PolicyAuthorization]],
        others: str = "refuse",
        leases: Leases | None = None,
        plan: AddressPlan = PLAN,
    ) -> None:
        self.policy = Policy(
            OWN,
            plan,
            [PolicyClient(name, addresses, may) for name, addresses, may in clients],
        )
        self.clock = Clock()
        self.events = 0
        self.gateway = CountingGateway(OWN, address_plan=plan)
        self.policy.apply(self.gateway, self.clock.now, connect=True)
        self.names = GatewayNames(self.gateway, self.policy, after=self._fetch)
        self.zone = Zone()
        self.leases = Leases(self.names.ranges) if leases is None else leases
        self.given = GivenNames(self.names, self.leases, self.clock)
        self.resolutions = Resolutions(self.zone, self.names.admits, self.clock)
        self.renewal = Renewal(self.names, self.given, self.resolutions, self.clock)
        self.resolver = Resolver(
            self.names,
            self.given,
            self.resolutions,
            self.renewal,
            self.zone,
            others="forward" if others == "forward" else "refuse",
            clock=self.clock,
        )

    def apply(self, *authorizations: PolicyAuthorization) -> None:
        """Give all clients another policy, as the host does."""
        self.policy = evolve(
            self.policy,
            clients=[evolve(one, authorizations=authorizations) for one in self.policy.clients],
        )
        self.policy.apply(self.gateway, self.clock.now, connect=True)
        self.names.policy = self.policy
        self.names.refresh()
        self.renewal.changed()

    def _fetch(self) -> None:
        while self.gateway.poll_event() is not None:
            self.events += 1

    @property
    def hooks(self) -> int:
        """How often the gateway has been told of a name."""
        return self.gateway.told

    def client(self, client_id: str) -> ResolverClient:
        address = self.gateway.client(client_id).addresses.present()[0]
        client = self.names.client_of(address)
        assert client is not None
        return client

    async def ask(
        self,
        client_id: str,
        name: str,
        kind: str = "A",
        *,
        tcp: bool = False,
        query: dns.message.Message | None = None,
    ) -> dns.message.Message:
        query = dns.message.make_query(name, kind) if query is None else query
        wire = await self.resolver.answer(self.client(client_id), query.to_wire(), tcp=tcp)
        assert wire is not None
        answer = dns.message.from_wire(wire)
        assert query.is_response(answer)
        return answer

    def leads_to(self, client_id: str) -> dict[str, str | None]:
        """Return where the proxy addresses of a client lead, by address."""
        return {
            str(one.address): None if one.real_address is None else str(one.real_address)
            for one in self.gateway.client(client_id).proxies
        }


def world(others: str = "refuse", leases: Leases | None = None) -> World:
    """Return a world in which Alice and Bob may reach `*.example.com`, and git is there."""
    made = World(
        ("alice", ALICE, [PolicyAuthorization(GIT)]),
        ("bob", BOB, [PolicyAuthorization(GIT)]),
        others=others,
        leases=leases,
    )
    made.zone.put("git.example.com", "A", "10.0.0.80")
    return made


async def until(holds: Callable[[], object]) -> None:
    """Let others work until something holds."""
    while not holds():  # noqa: ASYNC110 - what is waited for knows nothing of tests
        await asyncio.sleep(0.001)


def texts(answer: dns.message.Message) -> list[str]:
    """Return the records of an answer, without their names."""
    return [record.to_text() for rrset in answer.answer for record in rrset]


def proxies(answer: dns.message.Message) -> list[str]:
    """Return the addresses of an answer, each of which is in the DNS ranges."""
    found = texts(answer)
    ranges = AddressPlan().dns_resources
    assert all(any(ip_address(text) in one for one in ranges) for text in found)
    return found
