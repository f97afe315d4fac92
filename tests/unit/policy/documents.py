"""Policy documents to vary: one client with a DNS resource, another with nothing."""

import copy
from ipaddress import IPv4Address
from typing import Any, TypeAlias

import pytest

from firezone_filter.policy import load_policy
from firezone_filter.values.errors import InvalidPolicy

Json: TypeAlias = Any

REMOVED = object()

# Resolved addresses that a gateway leaves out: a name server could give access to them.
REBINDING = ["127.0.0.1", "100.64.0.3", "100.96.0.1", "fe80::1", "::ffff:10.0.0.1", "224.0.0.1"]

# As in the issue that asked for policy files.
EXAMPLE = """
{"gateway": {"ipv4": "100.64.0.1", "ipv6": "fd00:2021:1111::1"},
 "address_plan": {"tunnel": ["100.64.0.0/11"], "dns_resources": ["100.96.0.0/11"]},
 "clients": [{"id": "alice", "ipv4": "100.64.0.2", "authorizations": [
   {"resource": {"type": "cidr", "id": "db", "name": "Database", "address": "10.0.0.0/24",
                 "filters": [{"protocol": "tcp", "port_range_start": 5432, "port_range_end": 5432}, {"protocol": "icmp"}]},
    "expires_at": 1790000000}]}]}
"""  # noqa: E501 - word for word
EXPIRY = 1_790_000_000.0

DOMAIN: Json = {
    "name": "git.example.com",
    "proxy_addresses": ["100.96.0.1", "fd00:2021:1111:8000::1"],
    "resolved_addresses": ["10.20.0.10"],
}


def resource(kind: str = "dns", **fields: object) -> Json:
    kinds: Json = {
        "dns": {"address": "*.example.com", "filters": []},
        "cidr": {"address": "10.0.0.0/24", "filters": []},
        "internet": {},
    }
    return {"type": kind, "id": kind, **kinds[kind], **fields}


def authorization(*domains: object, **fields: object) -> Json:
    return {"resource": resource(), "domains": list(domains)} | fields


def client(*authorizations: object, **fields: object) -> Json:
    return {"id": "alice", "ipv4": "100.64.0.2", "authorizations": list(authorizations)} | fields


def bob(*authorizations: object) -> Json:
    return client(*authorizations, id="bob", ipv4="100.64.0.3")


def document(*clients: object, **fields: object) -> Json:
    return {"gateway": {"ipv4": "100.64.0.1"}, "clients": list(clients)} | fields


def domain(**fields: object) -> Json:
    return copy.deepcopy(DOMAIN) | fields


def domains(*counts: int) -> list[Json]:
    """Return domains with so many proxy addresses each, all of them different."""
    first = IPv4Address("100.96.0.0")
    return [
        domain(
            name=f"n{n}.example.com",
            proxy_addresses=[str(first + sum(counts[:n]) + one) for one in range(count)],
        )
        for n, count in enumerate(counts)
    ]


def with_value(whole: Json, path: str, value: object) -> Json:
    """Return a copy of *whole* with another value at *path*, or without any."""
    changed = copy.deepcopy(whole)
    *way, last = path.replace("[", ".").replace("]", "").split(".")
    inside = changed
    for step in way:
        inside = inside[int(step) if step.isdigit() else step]
    if value is REMOVED:
        del inside[last]
    else:
        inside[int(last) if last.isdigit() else last] = value
    return changed


def error_of(source: Json) -> InvalidPolicy:
    with pytest.raises(InvalidPolicy) as caught:
        load_policy(source)
    return caught.value


def faults_of(source: Json) -> tuple[str, ...]:
    return error_of(source).faults


EVERYTHING: Json = document(
    client(
        authorization(DOMAIN),
        {"resource": resource("cidr", filters=[{"protocol": "tcp"}]), "expires_at": EXPIRY},
        {"resource": resource("internet")},
    ),
    bob(),
    address_plan={"tunnel": ["100.64.0.0/11"], "dns_resources": ["100.96.0.0/11"]},
)
"""A document with something of every kind."""
