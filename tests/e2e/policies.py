"""Policy files, in few words."""

from typing import Any

from tests.e2e.network import TUNNELS

Json = dict[str, Any]

PING: Json = {"protocol": "icmp"}


def tcp(first: int, last: int | None = None) -> Json:
    """Permit TCP ports."""
    return {"protocol": "tcp", "port_range_start": first, "port_range_end": last or first}


def udp(first: int, last: int | None = None) -> Json:
    """Permit UDP ports."""
    return {"protocol": "udp", "port_range_start": first, "port_range_end": last or first}


def cidr(resource_id: str, network: str, *filters: Json, expires_at: float | None = None) -> Json:
    """Authorize for a network, or for a single address."""
    prefix = "" if "/" in network else "/128" if ":" in network else "/32"
    resource: Json = {"type": "cidr", "id": resource_id, "address": network + prefix}
    return {"resource": resource | {"filters": list(filters)}, "expires_at": expires_at}


def named(
    resource_id: str, name: str, proxies: list[str], real: list[str], *filters: Json
) -> Json:
    """Authorize for a name, with what it has resolved to."""
    resource: Json = {"type": "dns", "id": resource_id, "address": name}
    domain = {"name": name, "proxy_addresses": proxies, "resolved_addresses": real}
    return {"resource": resource | {"filters": list(filters)}, "domains": [domain]}


def policy(**clients: list[Json]) -> Json:
    """Return a policy in which these clients have these authorizations."""
    return {
        "gateway": _addresses("gateway"),
        "clients": [
            {"id": client, **_addresses(client), "authorizations": authorizations}
            for client, authorizations in clients.items()
        ],
    }


def _addresses(role: str) -> Json:
    ipv4, ipv6 = TUNNELS[role]
    return {"ipv4": ipv4, "ipv6": ipv6}
