"""A change of what a client may do that fails half-way has changed nothing.

Each call into a lower layer fails once, in turn, and then not at all.
"""

import math
from collections.abc import Callable
from ipaddress import ip_address
from itertools import count
from typing import Any

import pytest

from firezone_filter.access import authorizations, table
from firezone_filter.access.authorizations import ClientAccess
from firezone_filter.access.excluding import ExcludedNetworks
from firezone_filter.access.internet import InternetAccess
from firezone_filter.access.permit_index import FEW, PermitIndex
from firezone_filter.access.special_ranges import address_flags
from firezone_filter.access.table import ClientFilterTable, NetworkTree
from firezone_filter.nat.proxies import ProxyTable, Resolution
from firezone_filter.packet.numbers import ICMPV4, TCP, UDP
from firezone_filter.values.addresses import AddressPlan
from firezone_filter.values.filters import Filter, Icmp, Protocol, Tcp
from firezone_filter.values.resources import (
    CidrResource,
    DnsResource,
    InternetResource,
    Resource,
)
from tests.numbers import GRE

FLAGS = address_flags(AddressPlan())
ADDRESSES = (
    "10.0.0.5",
    "10.0.0.200",
    "10.5.0.5",
    "169.254.1.1",
    "9.9.9.9",
    "8.8.8.8",
    "100.96.0.1",
)
PROXIES = tuple(ip_address(f"100.96.0.{number}").packed for number in (1, 2, 3))
QUESTIONS = ((TCP, 443), (TCP, 80), (TCP, 22), (UDP, 53), (ICMPV4, 8), (ICMPV4, 13), (GRE, -1))
OLD: list[Filter] = [Tcp(443)]
NEW: list[Filter] = [Tcp(80), Icmp.echo(), Protocol(GRE)]

few_or_many = pytest.mark.parametrize("others", [0, 1, 2, FEW - 1, FEW, FEW + 1, 2 * FEW])


class FaultError(Exception):
    """What the lower layer raises."""


class Fuse:
    """Lets the nth call fail."""

    def __init__(self) -> None:
        self.left: int | None = None

    def __call__(self) -> None:
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                self.left = None
                raise FaultError

    def before(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def fused(*arguments: object) -> object:
            self()
            return function(*arguments)

        return fused


class FusedRadix:
    """A tree of py-radix, each of whose changing calls may fail."""

    def __init__(self, tree: Any, fuse: Fuse) -> None:  # noqa: ANN401 - py-radix has no types
        self.search_best = tree.search_best
        self.add = fuse.before(tree.add)
        self.delete = fuse.before(tree.delete)
        self.search_exact = fuse.before(tree.search_exact)


@pytest.fixture
def fuse(monkeypatch: pytest.MonkeyPatch) -> Fuse:
    """Put a fuse before every call into a lower layer."""
    fuse = Fuse()
    for owner, name in (
        (PermitIndex, "put"),
        (PermitIndex, "remove"),
        (InternetAccess, "put"),
        (InternetAccess, "remove"),
        (ExcludedNetworks, "nodes"),
        (authorizations, "compile_resource"),
        (table, "compile_filters"),
    ):
        monkeypatch.setattr(owner, name, fuse.before(getattr(owner, name)))
    begin = NetworkTree.__init__

    def fused_begin(tree: NetworkTree[object]) -> None:
        fuse()
        begin(tree)
        tree.tree = FusedRadix(tree.tree, fuse)

    monkeypatch.setattr(NetworkTree, "__init__", fused_begin)
    return fuse


def fail_each_call(
    make: Callable[[], Any],
    change: Callable[[Any], object],
    state: Callable[[Any], object],
    fuse: Fuse,
) -> None:
    """Let each lower call of *change* fail, and then repeat the change."""
    changed = make()
    change(changed)
    expected = state(changed)
    for nth in count():  # pragma: no branch
        subject = make()
        before = state(subject)
        fuse.left = nth
        try:
            change(subject)
        except FaultError:
            assert state(subject) == before
            change(subject)
            assert state(subject) == expected
        else:
            break
    fuse.left = None
    assert nth > 0


# --- The access of a client --------------------------------------------------------------


def cidr(resource_id: str, filters: list[Filter]) -> Resource:
    return CidrResource(resource_id, "10.0.0.0/24", filters)


def excluding(resource_id: str, filters: list[Filter]) -> Resource:
    exclude = "10.0.0.0/29" if filters is NEW else "10.0.0.128/25"
    return CidrResource(resource_id, "10.0.0.0/24", filters, exclude=[exclude])


def local(resource_id: str, filters: list[Filter]) -> Resource:
    return CidrResource(resource_id, "169.254.0.0/16", filters)


def internet(resource_id: str, filters: list[Filter]) -> Resource:
    return InternetResource(resource_id, exclude=["9.9.9.0/24"] if filters is NEW else ["8.8.8.8"])


def dns(resource_id: str, filters: list[Filter]) -> Resource:
    return DnsResource(resource_id, "*.example.com", filters)


Kind = Callable[[str, list[Filter]], Resource]


class Client:
    """A client with others of the same kind around the resource in question."""

    def __init__(self, kind: Kind, others: int) -> None:
        self.access = ClientAccess("alice")
        self.table = ProxyTable()
        self.access.use_proxies(self.table)
        for number in range(others):
            self.authorize(kind(f"{'az'[number % 2]}{number}", [Tcp(22)]))

    def authorize(self, resource: Resource) -> None:
        self.access.authorize(resource)
        if isinstance(resource, DnsResource):
            self.resolve(resource.id)

    def resolve(self, resource_id: str) -> None:
        self.table.assign(resource_id, Resolution("a.example.com", PROXIES, ()))

    def state(self) -> object:
        """Return all that it answers, and all that it says of itself."""
        far = [ip_address(address).packed for address in ADDRESSES]
        asked = [(one, FLAGS.flags(one), *question) for one in far for question in QUESTIONS]
        resources = {key: held.resource for key, held in self.access.authorizations.items()}
        return (
            [self.access.permission(*one, 0.0) for one in asked],
            # From the first expiry on, here that of none, it asks who lives.
            [self.access.permission(*one, math.inf) for one in asked],
            resources,
            {address: list(one.resources) for address, one in self.table.by_address.items()},
        )


kinds = pytest.mark.parametrize("kind", [cidr, excluding, local, internet, dns])


@kinds
@few_or_many
def test_authorizing(kind: Kind, others: int, fuse: Fuse) -> None:
    fail_each_call(
        lambda: Client(kind, others),
        lambda client: client.access.authorize(kind("m", OLD)),
        Client.state,
        fuse,
    )


@kinds
@few_or_many
def test_replacing(kind: Kind, others: int, fuse: Fuse) -> None:
    def make() -> Client:
        client = Client(kind, others)
        client.authorize(kind("m", OLD))
        return client

    fail_each_call(
        make, lambda client: client.access.authorize(kind("m", NEW)), Client.state, fuse
    )


@pytest.mark.parametrize("kind", [cidr, excluding, local, internet])
@few_or_many
def test_revoking(kind: Kind, others: int, fuse: Fuse) -> None:
    def make() -> Client:
        client = Client(kind, others)
        client.authorize(kind("m", OLD))
        return client

    fail_each_call(make, lambda client: client.access.revoke("m"), Client.state, fuse)


@pytest.mark.parametrize("others", [FEW, FEW + 1, 2 * FEW])
def test_sharing_proxy_addresses(others: int, fuse: Fuse) -> None:
    def make() -> Client:
        client = Client(dns, others)
        client.access.authorize(dns("m", OLD))
        return client

    fail_each_call(make, lambda client: client.resolve("m"), Client.state, fuse)


# --- A table by itself -------------------------------------------------------------------

NETWORKS = ("10.0.0.0/24", "10.0.0.0/8", "9.9.9.0/24", "0.0.0.0/0")


def table_with(others: int) -> ClientFilterTable:
    filled = ClientFilterTable()
    for network in NETWORKS[:3]:
        filled.allow(network, "m", OLD)
        for number in range(others):
            filled.allow(network, f"{'az'[number % 2]}{number}", [Tcp(22)])
    return filled


def told(filled: ClientFilterTable) -> object:
    answers = [filled.match(one, *asked) for one in ADDRESSES for asked in ((TCP, 443), (TCP, 80))]
    return answers, set(filled), len(filled), "m" in filled


@few_or_many
@pytest.mark.parametrize("network", NETWORKS)
def test_allowing(network: str, others: int, fuse: Fuse) -> None:
    fail_each_call(
        lambda: table_with(others), lambda filled: filled.allow(network, "m", NEW), told, fuse
    )


@few_or_many
@pytest.mark.parametrize("before", [[], ["10.0.0.0/29"], ["10.0.0.128/25"]])
def test_excluding(before: list[str], others: int, fuse: Fuse) -> None:
    def make() -> ClientFilterTable:
        filled = table_with(others)
        filled.allow("10.0.0.0/24", "m", OLD, before)
        return filled

    fail_each_call(
        make, lambda filled: filled.allow("10.0.0.0/24", "m", NEW, ["10.0.0.0/30"]), told, fuse
    )


@few_or_many
def test_revoking_all_networks_of_a_resource(others: int, fuse: Fuse) -> None:
    fail_each_call(lambda: table_with(others), lambda filled: filled.revoke("m"), told, fuse)
