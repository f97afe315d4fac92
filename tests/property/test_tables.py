"""Filter tables by themselves, against a linear scan; several at a time."""

from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from firezone_filter import ClientFilterTable, Filter
from tests.model.policy import FilterTable
from tests.numbers import ESP, GRE, ICMPV4, ICMPV6, TCP, UDP
from tests.property.pools import FAR, PORTS
from tests.property.strategies import filters

Network = IPv4Network | IPv6Network

UNNAMED = 41
"""A protocol that no filter here names."""

which = st.integers(0, 1)
# More than are asked in turn, and often of one network.
IDS = "abcdefgh"
ids = st.sampled_from(IDS)
addresses = st.sampled_from((*FAR[4][:4], "10.0.0.4", "0.0.0.0", *FAR[6][:4], "fd10::4", "::"))  # noqa: S104
networks = st.one_of(
    st.sampled_from((ip_network("10.0.0.0/24"), ip_network("0.0.0.0/0"), ip_network("fd10::/16"))),
    st.tuples(addresses, st.integers(0, 32)).map(
        lambda end: ip_network(end if ":" not in end[0] else (end[0], 4 * end[1]), strict=False)
    ),
)
left_out = st.integers(0, 3)


def parts_of(network: Network, number: int) -> list[Network]:
    """Choose what a network excludes: nothing, one half or the other, or a single address."""
    if network.prefixlen == network.max_prefixlen or not number:
        return []
    if number == 3:
        return [ip_network(network[5 if network.prefixlen < 29 else 0])]
    halves: list[Network] = [*network.subnets()]
    return [halves[number - 1]]


class Tables(RuleBasedStateMachine):
    """Two tables: what one allows is nothing to the other."""

    def __init__(self) -> None:
        super().__init__()
        self.tables = [ClientFilterTable() for _ in range(2)]
        self.models = [FilterTable() for _ in range(2)]

    @rule(number=which, network=networks, permitted=st.lists(filters, min_size=8, max_size=8))
    def allow_all(
        self, number: int, network: Network, permitted: list[tuple[Filter, ...]]
    ) -> None:
        for place, (resource_id, of_one) in enumerate(zip(IDS, permitted, strict=True)):
            self.allow(number, network, resource_id, of_one, place % 4)

    @rule(number=which, network=networks, resource_id=ids, permitted=filters, left_out=left_out)
    def allow(
        self,
        number: int,
        network: Network,
        resource_id: str,
        permitted: tuple[Filter, ...],
        left_out: int,
    ) -> None:
        exclude = parts_of(network, left_out)
        self.tables[number].allow(network, resource_id, permitted, exclude)
        self.models[number].allow(network, resource_id, permitted, exclude)

    @rule(number=which, resource_id=ids)
    def revoke(self, number: int, resource_id: str) -> None:
        expected = self.models[number].revoke(resource_id)

        assert self.tables[number].revoke(resource_id) is expected

    @rule(number=which)
    def clear(self, number: int) -> None:
        self.tables[number].clear()
        self.models[number] = FilterTable()

    @rule(
        address=addresses,
        protocol=st.sampled_from((TCP, UDP, ICMPV4, ICMPV4, ICMPV6, ICMPV6, ESP, GRE)),
        port=st.one_of(st.none(), st.sampled_from(PORTS)),
        kind=st.one_of(st.none(), st.sampled_from((0, 8, 14, 40, 128, 139, 200))),
    )
    def match(self, address: str, protocol: int, port: int | None, kind: int | None) -> None:
        for table, model in zip(self.tables, self.models, strict=True):
            expected = model.match(ip_address(address), protocol, port, icmp_type=kind)
            match = table.match(address, protocol, port, icmp_type=kind)

            found = None if match is None else (match.resource_id, match.network, match.reason)
            assert found == expected
            assert table.permits(address, protocol, port, icmp_type=kind) is model.permits(
                ip_address(address), protocol, port, icmp_type=kind
            )

    @invariant()
    def entries_are_the_same(self) -> None:
        for table, model in zip(self.tables, self.models, strict=True):
            entries = {
                (one.network, one.resource_id): (list(one.filters), list(one.exclude))
                for one in table
            }
            assert entries == model.entries
            assert len(table) == len(model.entries)
            for resource_id in IDS:
                assert (resource_id in table) == any(key[1] == resource_id for key in entries)


TestTables = Tables.TestCase


@given(filters, addresses)
def test_icmp_of_the_other_family_is_like_any_other_protocol(
    permitted: tuple[Filter, ...], address: str
) -> None:
    table = ClientFilterTable()
    table.allow("::/0" if ":" in address else "0.0.0.0/0", "a", permitted)
    other = ICMPV4 if ":" in address else ICMPV6

    assert table.match(address, other) == table.match(address, UNNAMED)
