"""No proxy address means two names while an answer with it may be cached, whatever happens.

The model is a list of all answers that were ever given, and looks through it from end to end.
"""

from ipaddress import ip_network
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from firezone_filter.host.resolver.lease_file import LeaseFile
from firezone_filter.host.resolver.leases import LEASE, MOST_OF_A_NAME, Leases
from firezone_filter.values.addresses import Address

# So few addresses that names compete for them all the time.
RANGES = (ip_network("10.0.0.0/29"), ip_network("10.0.1.0/30"), ip_network("fd00::/126"))
ROOM = {4: 8, 6: 2}

CLIENTS = st.sampled_from(["alice", "bob"])
NAMES = st.sampled_from([f"{letter}.example.com" for letter in "abcdef"])
VERSIONS = st.sampled_from([4, 4, 4, 6])


class Answer(NamedTuple):
    client_id: str
    name: str
    version: int
    addresses: tuple[Address, ...]
    cached_until: float


class LeaseMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = TemporaryDirectory()
        self.path = Path(self.folder.name) / "names.db"
        self.now = 1_000.0
        self.answers: list[Answer] = []
        # What the gateway has for other names: it is asked of each address.
        self.elsewhere: dict[tuple[str, Address], str] = {}
        self.file = LeaseFile(self.path)
        self.leases = Leases(RANGES, self.file)

    def teardown(self) -> None:
        self.file.close()
        self.folder.cleanup()

    def cached(self) -> list[Answer]:
        return [one for one in self.answers if one.cached_until > self.now]

    @rule(
        client_id=CLIENTS,
        name=NAMES,
        version=VERSIONS,
        wanted=st.integers(1, 6),
        ttl=st.sampled_from([0.0, 1.0, 300.0]),
    )
    def ask(self, client_id: str, name: str, version: int, wanted: int, ttl: float) -> None:
        before = [one for one in self.cached() if one[:3] == (client_id, name, version)]
        given = self.leases.grant(
            client_id,
            name,
            version,
            wanted=wanted,
            now=self.now,
            ttl=ttl,
            is_free=lambda a: self.elsewhere.get((client_id, a), name) == name,
        )
        assert len(given) == len(set(given)) <= MOST_OF_A_NAME
        assert all(one.version == version for one in given)
        assert all(any(one in network for network in RANGES) for one in given)
        stay = {a for earlier in before for a in earlier.addresses}
        assert {a for a in stay if (client_id, a) not in self.elsewhere} <= set(given)
        assert all(self.elsewhere.get((client_id, a), name) == name for a in given)
        assert given or self.is_full(client_id, name, version)
        self.answers.append(Answer(client_id, name, version, given, self.now + ttl))

    def is_full(self, client_id: str, name: str, version: int) -> bool:
        """Tell whether everything is taken, by leases of other names or elsewhere."""
        taken = {
            address
            for lease in self.leases.of_client(client_id)
            if lease.until > self.now and lease.version == version and lease.name != name
            for address in lease.addresses
        } | {
            address
            for (client, address), other in self.elsewhere.items()
            if client == client_id and other != name and address.version == version
        }
        return len(taken) == ROOM[version]

    @rule(seconds=st.sampled_from([0.5, 299.0, 301.0, LEASE / 2, LEASE, LEASE * 2]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def forget(self) -> None:
        over = self.leases.forget_over(self.now)
        assert all(lease.until <= self.now for lease in over)

    @rule()
    def restart(self) -> None:
        """As kill -9 would: nothing is said to anybody before."""
        self.file.close()
        self.file = LeaseFile(self.path)
        kept = self.file.load()
        before = {
            (client_id, *one) for client_id in ("alice", "bob") for one in self.living(client_id)
        }
        self.leases = Leases(RANGES, self.file, [one for one in kept if one.until > self.now])
        after = {
            (client_id, *one) for client_id in ("alice", "bob") for one in self.living(client_id)
        }
        assert before == after

    def living(self, client_id: str) -> list[tuple[object, ...]]:
        return [
            (one.name, one.version, one.addresses, one.until)
            for one in self.leases.of_client(client_id)
            if one.until > self.now
        ]

    @precondition(lambda self: self.given())
    @rule(data=st.data(), name=NAMES)
    def policy_takes(self, data: st.DataObject, name: str) -> None:
        """The policy gives an address to a name itself, which it may."""
        self.elsewhere[data.draw(st.sampled_from(self.given()))] = name

    def given(self) -> list[tuple[str, Address]]:
        return [(one.client_id, address) for one in self.answers for address in one.addresses]

    @rule()
    def policy_gives_back(self) -> None:
        # Whoever was told something else before may have it cached still: that was the policy.
        self.answers = [
            one
            for one in self.answers
            if not any((one.client_id, address) in self.elsewhere for address in one.addresses)
        ]
        self.elsewhere.clear()

    @invariant()
    def no_address_means_two_names(self) -> None:
        meanings = {
            (one.client_id, address, one.name)
            for one in self.cached()
            for address in one.addresses
            if (one.client_id, address) not in self.elsewhere
        }
        assert len({meaning[:2] for meaning in meanings}) == len(meanings)
        assert all(self.leases.holder(*meaning[:2]) == meaning[2] for meaning in meanings)


TestLeases = LeaseMachine.TestCase
TestLeases.settings = settings(stateful_step_count=30)
