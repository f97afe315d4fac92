"""A plain model of the effects of portal messages, which shares no code with the library.

It takes well-formed messages as parsed JSON, and tells whether the library will accept them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any, TypeAlias

Json: TypeAlias = Any
Address = IPv4Address | IPv6Address

TUNNEL = [ip_network("100.64.0.0/11"), ip_network("fd00:2021:1111::/107")]
PROXIES = [ip_network("100.96.0.0/11"), ip_network("fd00:2021:1111:8000::/107")]
FIFTY_YEARS = 50 * 31_557_600
KEYS = [
    "fiAjSBWDgQfD1CFJkTwOf4zg+1QhH0eTT+oLaVIMpH8=",
    "sMeTuiJ3mezfpVdan948CmisIWbwBZ1z7jBNnbVtfVg=",
]


@dataclass
class Held:
    """An authorization: the resource as the portal wrote it, and its end."""

    resource: Json
    expires_at: float | None


@dataclass
class Client:
    """A tunnel session."""

    addresses: tuple[Address, ...]
    held: dict[str, Held] = field(default_factory=dict)


class Model:
    """Who is connected and what each may reach."""

    def __init__(self) -> None:
        self.now: float | None = None
        self.own: tuple[Address, ...] = (
            ip_address("100.64.0.1"),
            ip_address("fd00:2021:1111::1"),
        )
        self.clients: dict[str, Client] = {}
        self.keys: dict[str, str] = {}
        # At most one waits of a kind, about the same; of `AccessExhausted` there is no more
        # to say than whose it is.
        self.expired: dict[tuple[str, str], float] = {}
        self.exhausted: set[str] = set()

    # --- What the host does ---------------------------------------------------------------

    def at(self, now: float) -> float:
        return now if self.now is None else max(now, self.now)

    def advance(self, now: float) -> None:
        self.now = self.at(now)
        for client_id, client in self.clients.items():
            for resource_id, held in list(client.held.items()):
                if held.expires_at is not None and held.expires_at <= self.now:
                    del client.held[resource_id]
                    self.expired[client_id, resource_id] = held.expires_at
                    self.exhaust(client_id)

    def connect(self, client_id: str, addresses: tuple[Address, ...]) -> None:
        self.disconnect(client_id)
        self.clients[client_id] = Client(addresses)

    def disconnect(self, client_id: str) -> None:
        self.clients.pop(client_id, None)
        self.expired = {key: end for key, end in self.expired.items() if key[0] != client_id}
        self.exhausted.discard(client_id)

    def exhaust(self, client_id: str) -> None:
        if not self.clients[client_id].held:
            self.exhausted.add(client_id)

    # --- What the portal says ----------------------------------------------------------------

    def receive(self, message: Json, now: float) -> None:
        self.advance(now)
        payload = message["payload"]
        match message["event"]:
            case "init":
                self.init(payload)
            case "create_authorization" | "authorize_flow":
                self.grant(payload, payload["client"], key_of(payload["client"]))
            case "allow_access":
                described = {
                    "id": payload["client_id"],
                    "ipv4": payload["client_ipv4"],
                    "ipv6": payload["client_ipv6"],
                }
                self.grant(payload, described, None)
            case "reject_access":
                self.reject(payload["client_id"], payload["resource_id"])
            case "resource_updated":
                for client in self.clients.values():
                    if payload["id"] in client.held:
                        refilter(client.held[payload["id"]], payload)
            case "access_authorization_expiry_updated":
                self.extend(payload)

    def init(self, payload: Json) -> None:
        interface = payload["interface"]
        self.own = (ip_address(interface["ipv4"]), ip_address(interface["ipv6"]))
        listed = {
            (one["client_id"], one["resource_id"]): one
            for one in payload.get("authorizations", [])
        }
        for client_id, client in self.clients.items():
            for resource_id in list(client.held):
                if (client_id, resource_id) not in listed:
                    self.reject(client_id, resource_id)
        for one in listed.values():
            self.extend(one)

    def grant(self, payload: Json, described: Json, key: str | None) -> None:
        client_id = described["id"]
        if not self.goes_on(described, key):
            self.connect(client_id, pair_of(described))
            self.keys.pop(client_id, None)
        if key is not None:
            self.keys[client_id] = key
        client, sent = self.clients[client_id], payload["resource"]
        held = client.held.setdefault(sent["id"], Held(dict(sent), None))
        refilter(held, sent)
        held.expires_at = payload.get("expires_at")
        self.exhausted.discard(client_id)
        self.advance(self.now or 0)

    def goes_on(self, described: Json, key: str | None) -> bool:
        client = self.clients.get(described["id"])
        if client is None or client.addresses != pair_of(described):
            return False
        return key is None or self.keys.get(described["id"], key) == key

    def reject(self, client_id: str, resource_id: str) -> None:
        client = self.clients.get(client_id)
        if client is not None and client.held.pop(resource_id, None) is not None:
            self.exhaust(client_id)

    def extend(self, payload: Json) -> None:
        client = self.clients.get(payload["client_id"])
        if client is not None and payload["resource_id"] in client.held:
            client.held[payload["resource_id"]].expires_at = payload["expires_at"]
            self.advance(self.now or 0)

    # --- Whether it will be accepted ------------------------------------------------------------

    def objects(self, message: Json, now: float) -> bool:
        """Tell whether a message that is well formed says what cannot be."""
        payload, at = message["payload"], self.at(now)
        if (payload.get("expires_at") or 0) > at + FIFTY_YEARS:
            return True
        match message["event"]:
            case "init":
                ends = [one["expires_at"] for one in payload.get("authorizations", [])]
                return max(ends, default=0) > at + FIFTY_YEARS or self.cannot_have(
                    None, pair_of(payload["interface"])
                )
            case "create_authorization" | "authorize_flow":
                return self.objects_to_grant(payload["client"], payload["resource"], at)
            case "resource_updated":
                return any(self.contradicts(one, payload, at) for one in self.clients.values())
        return False

    def objects_to_grant(self, described: Json, sent: Json, at: float) -> bool:
        client_id = described["id"]
        if self.cannot_have(client_id, pair_of(described)):
            return True
        goes_on = self.goes_on(described, key_of(described))
        return goes_on and self.contradicts(self.clients[client_id], sent, at)

    def cannot_have(self, client_id: str | None, addresses: tuple[Address, ...]) -> bool:
        others = set() if client_id is None else set(self.own)
        for name, client in self.clients.items():
            if name != client_id:
                others |= set(client.addresses)
        inside = all(any(address in network for network in TUNNEL) for address in addresses)
        return not inside or not others.isdisjoint(addresses)

    def contradicts(self, client: Client, sent: Json, at: float) -> bool:
        held = client.held.get(sent["id"])
        if held is None or (held.expires_at is not None and held.expires_at <= at):
            return False
        return bool(held.resource["type"] != sent["type"])

    # --- What it takes away though it is refused ---------------------------------------------

    def withdraw(self, message: Json, now: float) -> set[str]:
        """Take away what a refused message takes; return the clients that lose something."""
        payload, at = message["payload"], self.at(now)
        match message["event"]:
            case "init":
                return self.withdraw_unlisted(payload.get("authorizations", []), at)
            case "create_authorization" | "authorize_flow":
                described = payload["client"]
                client_id = described["id"]
                if client_id in self.clients and not self.goes_on(described, key_of(described)):
                    self.advance(at)
                    self.disconnect(client_id)
                    self.keys.pop(client_id, None)
                    return {client_id}
                return self.withdraw_time(client_id, payload, at)
        return set()

    def withdraw_time(self, client_id: str, payload: Json, at: float) -> set[str]:
        end, resource_id = payload.get("expires_at"), payload["resource"]["id"]
        client = self.clients.get(client_id)
        held = None if client is None else client.held.get(resource_id)
        if held is None or end is None or end > at + FIFTY_YEARS:
            return set()
        before = held.expires_at
        if before is not None and (before <= at or before <= end):
            return set()
        self.advance(at)
        self.extend({"client_id": client_id, "resource_id": resource_id, "expires_at": end})
        return {client_id}

    def withdraw_unlisted(self, listed: list[Json], at: float) -> set[str]:
        last = {(one["client_id"], one["resource_id"]): one["expires_at"] for one in listed}
        lost, ends = [], []
        for client_id, client in self.clients.items():
            for resource_id, held in client.held.items():
                key, before = (client_id, resource_id), held.expires_at
                if before is not None and before <= at:
                    continue
                if key not in last:
                    lost.append(key)
                elif last[key] <= at + FIFTY_YEARS and (before is None or last[key] < before):
                    ends.append(key)
        if lost or ends:
            self.advance(at)
        for key in lost:
            self.reject(*key)
        for client_id, resource_id in ends:
            end = last[client_id, resource_id]
            self.extend({"client_id": client_id, "resource_id": resource_id, "expires_at": end})
        return {client_id for client_id, _ in lost + ends}

    # --- What follows for packets ----------------------------------------------------------------

    def permits(self, near: str, far: str, protocol: str, port: int) -> bool:
        """Tell whether a client may exchange packets with an address."""
        for client in self.clients.values():
            if ip_address(near) in client.addresses:
                return ip_address(far) in self.own or any(
                    covers(held.resource, far) and has(held.resource, protocol, port)
                    for held in client.held.values()
                )
        return False

    def timeout(self) -> float | None:
        ends = [held.expires_at for one in self.clients.values() for held in one.held.values()]
        return min((end for end in ends if end is not None), default=None)


def key_of(described: Json) -> str | None:
    """Return the public key of a client, or `None` if it is not one of those that are drawn."""
    key = described.get("public_key")
    return key if key in KEYS else None


def pair_of(described: Json) -> tuple[Address, ...]:
    return ip_address(described["ipv4"]), ip_address(described["ipv6"])


def refilter(held: Held, sent: Json) -> None:
    if held.resource["type"] != "internet":
        held.resource["filters"] = sent["filters"]


def covers(resource: Json, far: str) -> bool:
    address = ip_address(far)
    if any(address in network for network in TUNNEL + PROXIES):
        return False
    match resource["type"]:
        case "cidr":
            return address in ip_network(resource["address"])
        case "internet":
            return far in ("1.1.1.1", "2606:4700::1111")
    return False


def has(resource: Json, protocol: str, port: int) -> bool:
    filters = [] if resource["type"] == "internet" else resource["filters"]
    return not filters or any(
        one["protocol"] == protocol
        and (
            protocol == "icmp"
            or one.get("port_range_start", 0) <= port <= one.get("port_range_end", 65_535)
        )
        for one in filters
    )
