"""No proxy address means two names while an answer with it may be cached, whatever happens.

All of the resolver but its sockets answers two clients, whose caches are the model. They keep what
they are told as long as they may, through restarts, other policies, clocks that are set, and disks
that are full.
"""

import asyncio
from ipaddress import ip_address
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from firezone_filter import (
    AddressPlan,
    DnsResource,
    PolicyAuthorization,
    PolicyDomain,
)
from firezone_filter.host.resolver.lease_file import LeaseFile, LeaseFileError
from firezone_filter.host.resolver.leases import LEASE, MAX_TTL, MOST_OF_A_NAME, Lease, Leases
from firezone_filter.packet.numbers import IPV4, IPV6
from firezone_filter.testing import tcp
from firezone_filter.values.addresses import Address
from firezone_filter.values.states import ProxyState
from tests.scenes import OUTBOUND
from tests.unit.host.resolver.world import ALICE, BOB, GIT, World

# So few addresses that names compete for them all the time: five of IPv4, two of IPv6.
PLAN = AddressPlan(
    dns_resources=["100.96.0.0/30", "100.96.1.0/30", "100.96.2.0/32", "fd00:2021:1111:8000::/126"]
)
POOL = ("100.96.0.1", "100.96.0.2", "100.96.1.1", "100.96.1.2", "100.96.2.0")

CLIENTS = st.sampled_from(["alice", "bob"])
NAMES = [f"{letter}.example.com" for letter in "abcde"]
WIDE = DnsResource("wide", "**.com")


class Answer(NamedTuple):
    client_id: str
    name: str
    addresses: frozenset[Address]
    cached_until: float


class Disk(LeaseFile):
    """Where leases are kept, as long as there is room."""

    is_full = False

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        # The story has restarts, and no power failures.
        self._database.execute("PRAGMA synchronous=OFF")

    def save(self, lease: Lease) -> None:
        if self.is_full:
            raise LeaseFileError("no space left on device")
        super().save(lease)


class NamesMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = TemporaryDirectory()
        self.path = Path(self.folder.name) / "names.db"
        self.disk = Disk(self.path)
        self.now = 1_000_000.0  # which no clock needs to show
        self.policy: tuple[PolicyAuthorization, ...] = (PolicyAuthorization(GIT),)
        self.real = {name: [f"10.0.{place}.1"] for place, name in enumerate(NAMES)}
        self.ttl = dict.fromkeys(NAMES, 300)
        self.cached: list[Answer] = []
        self.given_by_policy: set[str] = set()
        self.restart(0.0)

    def teardown(self) -> None:
        self.disk.close()
        self.folder.cleanup()

    @rule(clock=st.sampled_from([0.0, 0.0, -5e5, LEASE - 200.0, LEASE, 1e9]))
    def restart(self, clock: float) -> None:
        """As after kill -9, with a clock that is as wrong as that."""
        self.disk.close()
        self.disk = Disk(self.path)
        leases = Leases(PLAN.dns_resources, self.disk, self.disk.load(self.now + clock))
        self.world = World(
            ("alice", ALICE, self.policy), ("bob", BOB, self.policy), leases=leases, plan=PLAN
        )
        self.wrong = clock
        self.world.clock.now = self.now + clock
        for name in NAMES:
            self.say(name)
        self.changed()

    def changed(self) -> None:
        """Do what the host does after a change."""
        self.world.names.refresh()
        self.world.renewal.changed()

    @rule()
    def renew(self) -> None:
        """Do what the resolver does within a second after a change."""
        asyncio.run(self.world.renewal.step())
        for one in self.cached:
            if self.real[one.name] and self.world.names.is_open(one.client_id, one.name):
                assert one.addresses <= self.meanings(one.client_id).keys() | self.listed().keys()

    def say(self, name: str) -> None:
        """Have upstream say what it says now."""
        for kind, start in (("A", ""), ("AAAA", "2001:db8::")):
            texts = [start + text for text in self.real[name]]
            if texts:
                self.world.zone.put(name, kind, *texts, ttl=self.ttl[name])
            else:
                self.world.zone.drop(name, kind)

    @rule(
        name=st.sampled_from(NAMES),
        count=st.integers(0, 5),
        ttl=st.sampled_from([0, 300, 300, 2**31 - 1]),
    )
    def upstream_changes(self, name: str, count: int, ttl: int) -> None:
        place = NAMES.index(name)
        self.real[name] = [f"10.0.{place}.{number}" for number in range(1, count + 1)]
        self.ttl[name] = ttl
        self.say(name)

    @rule(
        client_id=CLIENTS,
        name=st.sampled_from(NAMES),
        kind=st.sampled_from(["A", "A", "A", "AAAA"]),
        is_full=st.sampled_from([False, False, False, True]),
        again=st.booleans(),
    )
    def ask(
        self,
        client_id: str,
        name: str,
        kind: str,
        is_full: bool,  # noqa: FBT001
        again: bool = True,  # noqa: FBT001, FBT002
    ) -> None:
        """Ask; if the disk is full, perhaps again when it is not any more."""
        self.disk.is_full = is_full
        self.ask_once(client_id, name, kind)
        self.disk.is_full = False
        if is_full and again:
            self.ask_once(client_id, name, kind)

    def ask_once(self, client_id: str, name: str, kind: str) -> None:
        reply = asyncio.run(self.world.ask(client_id, name, kind))
        if not reply.answer:
            return
        (found,) = reply.answer
        given = frozenset(ip_address(record.to_text()) for record in found)
        listed = self.listed()
        answer = Answer(client_id, name, given, self.now + found.ttl)
        assert found.ttl <= MAX_TTL
        if name in listed.values():
            # What the policy itself moves to another name, it has taken from the one before.
            self.cached = [one for one in self.cached if not self.is_moved(one, answer)]
        else:
            meanings = self.meanings(client_id)
            assert {meanings[address].name for address in given} == {name}
            assert {meanings[address].real_address is None for address in given} == {False}
            assert not given & {address for address in listed if listed[address] != name}
            version = {address.version for address in given}.pop()
            stay = {
                address
                for one in self.cached
                if one[:2] == (client_id, name)
                for address in one.addresses
                if address.version == version and listed.get(address, name) == name
            }
            assert stay <= given
            assert len(given) <= max(MOST_OF_A_NAME, len(stay))
        self.cached.append(answer)

    @staticmethod
    def is_moved(one: Answer, by: Answer) -> bool:
        return (
            one.client_id == by.client_id
            and one.name != by.name
            and bool(one.addresses & by.addresses)
        )

    def listed(self) -> dict[Address, str]:
        """Return the addresses that the policy itself gives now, and to which names."""
        return {
            address: domain.name
            for one in self.policy
            for domain in one.domains or ()
            for address in domain.proxy_addresses
        }

    def meanings(self, client_id: str) -> dict[Address, ProxyState]:
        return {one.address: one for one in self.world.gateway.client(client_id).proxies}

    @rule(seconds=st.sampled_from([1.0, 299.0, 301.0, LEASE / 2 - 100, LEASE / 2, LEASE]))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.cached = [one for one in self.cached if one.cached_until > self.now]
        self.world.clock.now = self.now + self.wrong
        self.world.gateway.handle_timeout(self.world.clock.now)
        asyncio.run(self.world.renewal.step())

    @precondition(lambda self: self.cached)
    @rule(place=st.integers(0, 9))
    def use(self, place: int) -> None:
        """Begin a session, whatever becomes of it: a name in use is not taken back."""
        one = self.cached[place % len(self.cached)]
        address = min(one.addresses, key=str)
        source = {"alice": ALICE, "bob": BOB}[one.client_id].present()[address.version == IPV6]
        packet = tcp(f"[{source}]:40000 > [{address}]:443")
        self.world.gateway.handle_packet(OUTBOUND, packet, client_id=one.client_id)

    @rule()
    def forget(self) -> None:
        asyncio.run(self.world.renewal.forget_over())
        listed = self.listed()
        for client_id in ("alice", "bob"):
            for address, one in self.meanings(client_id).items():
                if address not in listed and self.world.names.is_open(client_id, one.name):
                    lease = self.world.leases.get(client_id, one.name, address.version)
                    assert one.real_address is None or (lease and address in lease.addresses)

    @rule(
        is_open=st.booleans(),
        listed=st.dictionaries(st.sampled_from(POOL), st.sampled_from(NAMES), max_size=2),
    )
    def policy_changes(self, is_open: bool, listed: dict[str, str]) -> None:  # noqa: FBT001
        # These may stay for ever, unless somebody asks for the name.
        self.given_by_policy.update(listed.values())
        domains = [
            PolicyDomain(name, [one for one in listed if listed[one] == name], ["10.9.9.9"])
            for name in sorted(set(listed.values()))
        ]
        fixed = PolicyAuthorization(WIDE, domains=domains)
        self.policy = (fixed, *((PolicyAuthorization(GIT),) if is_open else ()))
        self.apply()

    @precondition(lambda self: self.cached)
    @rule(place=st.integers(0, 9), name=st.sampled_from(NAMES))
    def policy_takes(self, place: int, name: str) -> None:
        """The policy gives an address to another name than it has been given to, which it may."""
        several = sorted({str(address) for one in self.cached for address in one.addresses})
        self.policy_changes(True, {several[place % len(several)]: name})  # noqa: FBT003

    @rule()
    def policy_is_open_again(self) -> None:
        self.policy = (PolicyAuthorization(GIT),)
        self.apply()

    def apply(self) -> None:
        self.world.apply(*self.policy)

    @rule(client_id=CLIENTS)
    def connect_anew(self, client_id: str) -> None:
        self.world.gateway.client_disconnected(client_id)
        self.apply()

    @invariant()
    def no_address_means_two_names(self) -> None:
        meanings = {
            (one.client_id, address, one.name) for one in self.cached for address in one.addresses
        }
        assert len({meaning[:2] for meaning in meanings}) == len(meanings)

    @invariant()
    def every_answer_has_a_lease_that_lasts_longer(self) -> None:
        for one in self.cached:
            for address in one.addresses:
                lease = self.world.leases.get(one.client_id, one.name, address.version)
                assert lease is not None
                assert address in lease.addresses
                assert self.world.leases.holder(one.client_id, address) == one.name
                assert lease.until >= one.cached_until + self.wrong

    @invariant()
    def the_gateway_leads_to_the_same_name_or_nowhere(self) -> None:
        listed = self.listed()
        for one in self.cached:
            meanings = self.meanings(one.client_id)
            for address in one.addresses & (meanings.keys() - listed.keys()):
                assert meanings[address].name == one.name

    @invariant()
    def what_the_policy_gives_leads_where_it_says(self) -> None:
        for address in self.listed():
            wanted = "10.9.9.9" if address.version == IPV4 else "None"
            for client_id in ("alice", "bob"):
                assert str(self.meanings(client_id)[address].real_address) == wanted

    @invariant()
    def what_the_gateway_has_beyond_leases_is_taken_back_some_day(self) -> None:
        """A client that keeps its key for months has room for names all the time."""
        for client_id in ("alice", "bob"):
            for name in {one.name for one in self.meanings(client_id).values()}:
                assert (
                    any(self.world.leases.get(client_id, name, version) for version in (4, 6))
                    or (client_id, name) in self.world.given._left
                    or name in self.given_by_policy
                )


def test_a_story_with_everything() -> None:
    """What the machine may do, so that all of it is done whatever chance draws."""
    machine = NamesMachine()
    for name in NAMES[:3]:
        machine.ask("alice", name, "A", is_full=True)
    machine.policy_takes(0, NAMES[3])
    machine.ask("alice", NAMES[3], "A", is_full=False)
    machine.upstream_changes(NAMES[0], 0, 0)
    machine.wait(1.0)
    machine.policy_is_open_again()
    for name in NAMES:
        machine.ask("alice", name, "A", is_full=False)
    machine.connect_anew("alice")
    machine.use(0)
    machine.restart(-5e5)
    machine.renew()
    machine.forget()
    machine.no_address_means_two_names()
    machine.every_answer_has_a_lease_that_lasts_longer()
    machine.the_gateway_leads_to_the_same_name_or_nowhere()
    assert machine.cached
    machine.teardown()


TestNames = NamesMachine.TestCase
TestNames.settings = settings(stateful_step_count=40)
