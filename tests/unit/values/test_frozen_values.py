"""The contract of every value: frozen, without a `__dict__`, equal to its copies."""

import copy
import pickle
from ipaddress import ip_network
from typing import Any, TypeAlias

import attrs
import pytest
from attrs.exceptions import FrozenInstanceError

from firezone_filter.access.table import Match
from firezone_filter.policy import Policy, PolicyAuthorization, PolicyClient, PolicyDomain
from firezone_filter.portal import PortalEvent, PortalReply
from firezone_filter.values.addresses import AddressPlan, TunnelAddresses
from firezone_filter.values.counters import Counters
from firezone_filter.values.decisions import (
    Direction,
    Drop,
    Forward,
    Reason,
    Reject,
    Translate,
    make_reject,
    make_translate,
)
from firezone_filter.values.domains import DomainPattern
from firezone_filter.values.events import (
    AccessExhausted,
    AuthorizationExpired,
)
from firezone_filter.values.filters import Icmp, PortRange, Protocol, Tcp, Udp
from firezone_filter.values.options import GatewayOptions
from firezone_filter.values.resources import CidrResource, DnsResource, InternetResource
from tests.flow_events import ENDED, REFUSED, STARTED

Given: TypeAlias = Any

CIDR = CidrResource("db", "10.0.0.0/8", [Tcp(5432), Icmp.echo()], "Database", ["10.1.0.0/16"])
DNS = DnsResource("web", "*.example.com", [Udp(443), Icmp()], "Web")
INTERNET = InternetResource("internet", "Internet", ["8.8.8.0/24"])
PEER = TunnelAddresses("100.64.0.2", "fd00:2021:1111::2")
DOMAIN = PolicyDomain("a.example.com", ["100.96.0.1"], ["10.0.0.1"])
AUTHORIZATION = PolicyAuthorization(DNS, 1.0, [DOMAIN])
CLIENT = PolicyClient("alice", PEER, [AUTHORIZATION])
COUNTERS = Counters(
    allowed={(Direction.INBOUND, "translate"): 6},
    refusals={(Direction.OUTBOUND, Reason.ICMP): 7},
    clients=1,
    authorizations=2,
    cached_flows=3,
    nat_sessions=4,
    fragments=5,
)

HASHABLE = [
    *(PEER, AddressPlan(), DomainPattern.parse("*.example.com"), GatewayOptions()),
    *(PortRange(1, 9), Tcp(443), Udp(53), Icmp(), Icmp.echo(), Protocol(47), CIDR, DNS, INTERNET),
    *(DOMAIN, AUTHORIZATION, CLIENT, Policy(TunnelAddresses("100.64.0.1"), clients=[CLIENT])),
    *(Forward("alice", "db"), Reject(b"unreachable", Reason.TCP_PORT, "alice")),
    *(Translate(b"translated", "alice", "git"), make_translate(b"translated", "alice", "git")),
    make_reject(b"unreachable", Reason.TCP_PORT, "alice"),
    *(Drop(Reason.FRAGMENT, "alice"), Drop(Reason.MALFORMED, None)),
    *(Match("db", ip_network("10.0.0.0/8"), None), AccessExhausted("alice")),
    *(AuthorizationExpired("alice", "db", 10.0), STARTED, ENDED, REFUSED),
]
VALUES = [*HASHABLE, COUNTERS, PortalEvent("x", {"a": 1}), PortalReply("y", {"ref": "r"})]


def kind(value: object) -> str:
    return type(value).__name__


@pytest.mark.parametrize("value", VALUES, ids=kind)
def test_a_value_is_frozen(value: Given) -> None:
    with pytest.raises(FrozenInstanceError):
        value.client_id = "eve"
    for field in attrs.fields(type(value)):
        with pytest.raises(FrozenInstanceError):
            setattr(value, field.name, None)


@pytest.mark.parametrize("value", VALUES, ids=kind)
def test_a_value_has_no_dict(value: object) -> None:
    assert not hasattr(value, "__dict__")


@pytest.mark.parametrize("value", VALUES, ids=kind)
def test_a_value_equals_its_copies(value: object) -> None:
    assert copy.deepcopy(value) == value
    assert pickle.loads(pickle.dumps(value)) == value  # noqa: S301 - our own bytes


@pytest.mark.parametrize("value", HASHABLE, ids=kind)
def test_a_value_hashes_as_its_copies(value: object) -> None:
    again = pickle.loads(pickle.dumps(value))  # noqa: S301 - our own bytes
    assert hash(value) == hash(copy.deepcopy(value)) == hash(again)


def test_values_of_different_content_differ() -> None:
    # The two ways to a translation make one value, and those to a rejection.
    assert len(set(HASHABLE)) == len(HASHABLE) - 2


@pytest.mark.parametrize("resource", [CIDR, DNS, INTERNET], ids=kind)
def test_a_pickled_resource_leaves_its_cached_hash_behind(
    resource: CidrResource | DnsResource | InternetResource,
) -> None:
    # Another process hashes texts in another way.
    fresh = pickle.dumps(attrs.evolve(resource))
    hash(resource)
    assert pickle.dumps(resource) == fresh


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (PortRange(1, 9), "PortRange(first=1, last=9)"),
        (Tcp(443), "Tcp(ports=PortRange(first=443, last=443))"),
        (Icmp(), "Icmp()"),
        (
            CidrResource("db", "10.0.0.0/8", name="DB"),
            (
                "CidrResource(id='db', network=IPv4Network('10.0.0.0/8'), filters=(), "
                "name='DB', exclude=())"
            ),
        ),
        (Forward("alice", "db"), "Forward(client_id='alice', resource_id='db')"),
        (AccessExhausted("alice"), "AccessExhausted(client_id='alice')"),
        (
            TunnelAddresses("100.64.0.2"),
            "TunnelAddresses(ipv4=IPv4Address('100.64.0.2'), ipv6=None)",
        ),
    ],
    ids=kind,
)
def test_a_value_shows_its_fields(value: object, text: str) -> None:
    assert repr(value) == text
