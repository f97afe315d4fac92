"""Messages as Firezone's portal sends them, a gateway for them, and snapshots of its state."""

import copy
import json
import math
from collections.abc import Mapping
from typing import Any, Final, TypeAlias

from firezone_filter import (
    AddressPlan,
    Direction,
    Gateway,
    GatewayOptions,
    InvalidMessage,
    PortalSession,
    Resource,
    TunnelAddresses,
)
from firezone_filter.testing import icmp_echo, tcp, udp

Json: TypeAlias = Any

OUTBOUND, INBOUND = Direction.OUTBOUND, Direction.INBOUND

EXPIRY: Final = 1729813989
NOW: Final = EXPIRY - 3600.0

ALICE: Final = "3abd725a-733b-4801-ac16-72f26cd98a24"
CORP: Final = "c7793628-8579-465b-83e3-1a5d4af4db3b"
NAMED: Final = "57f9ebbb-21d5-4f9f-bf86-b25122fc7a43"
INTERNET: Final = "1106047c-cd5d-4151-b679-96b93da7383b"

# The gateway that the messages are for has its addresses outside the default plan.
PLAN = AddressPlan(
    tunnel=("100.64.0.0/11", "100.112.0.0/12", "fd00:2021:1111::/106"),
    dns_resources=("100.96.0.0/12", "fd00:2021:1111:8000::/107"),
)
OWN = TunnelAddresses("100.64.0.1", "fd00:2021:1111::1")
ALICES = TunnelAddresses("100.93.74.51", "fd00:2021:1111::f:853b")
BOBS = TunnelAddresses("100.64.0.3", "fd00:2021:1111::3")


# --- Messages, word for word ---------------------------------------------------------------

INIT = """{"event":"init","ref":null,"topic":"gateway","payload":{
 "interface":{"ipv4":"100.115.164.78","ipv6":"fd00:2021:1111::2c:f6ab"},
 "config":{"ipv4_masquerade_enabled":true,"ipv6_masquerade_enabled":true},
 "relays":[],"account_slug":"acme",
 "authorizations":[{"client_id":"3abd725a-733b-4801-ac16-72f26cd98a24","resource_id":"c7793628-8579-465b-83e3-1a5d4af4db3b","expires_at":1729813989}],
 "flow_logs":{"api_url":"https://flow-api.firezone.dev","upload_interval_secs":60,"upload_batch_size":1000}}}
"""

CREATE = """{"event":"create_authorization","ref":null,"topic":"gateway","payload":{
 "ref":"signed-reference",
 "client":{"id":"3abd725a-733b-4801-ac16-72f26cd98a24","ipv4":"100.93.74.51","ipv6":"fd00:2021:1111::f:853b",
           "public_key":"fiAjSBWDgQfD1CFJkTwOf4zg+1QhH0eTT+oLaVIMpH8=","preshared_key":"BzPiNE9qszKczZcZzGsyieLYeJ2EQfkfdibls/l3beM="},
 "resource":{"id":"c7793628-8579-465b-83e3-1a5d4af4db3b","name":"MyCorp Network","type":"cidr","address":"172.20.0.0/16","filters":[]},
 "client_ice_credentials":{"username":"u1","password":"p1"},"gateway_ice_credentials":{"username":"u2","password":"p2"},
 "expires_at":1729813989,"use_iceless":false,"flow_logs_ingest_token":"<header>.<claims>.<signature>"}}
"""  # noqa: E501 - word for word

REJECT = """{"event":"reject_access","ref":null,"topic":"gateway","payload":{"client_id":"3abd725a-733b-4801-ac16-72f26cd98a24","resource_id":"c7793628-8579-465b-83e3-1a5d4af4db3b"}}
"""  # noqa: E501 - word for word

UPDATED = """{"event":"resource_updated","ref":null,"topic":"gateway","payload":{"id":"57f9ebbb-21d5-4f9f-bf86-b25122fc7a43","name":"?.httpbin","type":"dns","address":"?.httpbin","filters":[{"protocol":"icmp"},{"protocol":"tcp"}]}}
"""  # noqa: E501 - word for word

EXTENDED = """{"event":"access_authorization_expiry_updated","ref":null,"topic":"gateway","payload":{"client_id":"3abd725a-733b-4801-ac16-72f26cd98a24","resource_id":"c7793628-8579-465b-83e3-1a5d4af4db3b","expires_at":1729813989}}
"""  # noqa: E501 - word for word

ALLOW = """{"event":"allow_access","ref":null,"topic":"gateway","payload":{"ref":"r","client_id":"3abd725a-733b-4801-ac16-72f26cd98a24","client_ipv4":"100.93.74.51","client_ipv6":"fd00:2021:1111::f:853b",
 "resource":{"id":"57f9ebbb-21d5-4f9f-bf86-b25122fc7a43","type":"dns","name":"gitlab","address":"gitlab.mycorp.com","filters":[]},
 "expires_at":1729813989,"payload":{"name":"gitlab.mycorp.com","proxy_ips":["100.96.0.1","fd00:2021:1111:8000::1"]}}}
"""  # noqa: E501 - word for word

ACTED_ON = {
    "init": INIT,
    "create_authorization": CREATE,
    "reject_access": REJECT,
    "resource_updated": UPDATED,
    "access_authorization_expiry_updated": EXTENDED,
    "allow_access": ALLOW,
}

# Every resource and filter shape.
RESOURCES: list[dict[str, Json]] = json.loads("""[
 {"id":"c7793628-8579-465b-83e3-1a5d4af4db3b","type":"cidr","name":"MyCorp Network","address":"172.20.0.0/16","filters":[]},
 {"id":"57f9ebbb-21d5-4f9f-bf86-b25122fc7a43","type":"dns","name":"httpbin","address":"?.httpbin","filters":[{"protocol":"icmp"},{"protocol":"tcp"},{"protocol":"udp","port_range_start":10,"port_range_end":20}]},
 {"id":"1106047c-cd5d-4151-b679-96b93da7383b","type":"internet"}
]""")  # noqa: E501 - word for word

REMOVED: Final = object()


def message(text: str, **changes: object) -> Json:
    """Parse a message and change fields of its payload."""
    changed = json.loads(text)
    for path, value in changes.items():
        changed = with_value(changed, f"payload.{path}", value)
    return changed


def with_value(document: Json, path: str, value: object) -> Json:
    """Return a copy of *document* with another value at *path*, or without any."""
    changed = copy.deepcopy(document)
    *way, last = path.replace("[", ".").replace("]", "").split(".")
    inside = changed
    for step in way:
        inside = inside[int(step) if step.isdigit() else step]
    if value is REMOVED:
        del inside[last]
    else:
        inside[last] = value
    return changed


def grant(resource: Mapping[str, Json] | None = None, **client: object) -> Json:
    """Write a `create_authorization` of Alice for *resource*, without an expiry."""
    changed = message(CREATE, expires_at=None)
    changed["payload"]["resource"] = dict(resource or corp())
    changed["payload"]["client"] |= client
    return changed


def updated(resource: Mapping[str, Json]) -> Json:
    """Write a `resource_updated`."""
    return {"event": "resource_updated", "payload": dict(resource)}


def corp(*filters: Mapping[str, Json], **fields: object) -> dict[str, Json]:
    """Describe the network of the messages."""
    return RESOURCES[0] | {"filters": list(filters)} | fields


def named(*filters: Mapping[str, Json], **fields: object) -> dict[str, Json]:
    """Describe the name of the messages."""
    return RESOURCES[1] | {"filters": list(filters)} | fields


TCP_443 = {"protocol": "tcp", "port_range_start": 443, "port_range_end": 443}
ICMP = {"protocol": "icmp"}
OTHER_KEY = "sMeTuiJ3mezfpVdan948CmisIWbwBZ1z7jBNnbVtfVg="
BOB: Final[dict[str, Json]] = {
    "id": "bob",
    "ipv4": str(BOBS.ipv4),
    "ipv6": str(BOBS.ipv6),
    "public_key": OTHER_KEY,
}


# --- The gateway --------------------------------------------------------------------------


def gateway() -> Gateway:
    """Return a gateway before any message; it rejects nothing, so that no reply limit matters,
    and every protocol reaches its own addresses."""
    return Gateway(OWN, address_plan=PLAN, options=GatewayOptions(reject=False, own_filters=()))


def session(*messages: Json, now: float = NOW) -> tuple[Gateway, PortalSession]:
    """Return a gateway that has carried out *messages*, and its session."""
    told = gateway()
    portal = PortalSession(told)
    for one in messages:
        portal.receive(one, now)
    return told, portal


def held(told: Gateway, resource_id: str) -> Resource:
    """Return the resource that Alice is authorized for."""
    authorization = told._clients.authorization(ALICE, resource_id, told._now)
    assert authorization is not None
    return authorization.resource


def resolve(told: Gateway, name: str) -> None:
    """Resolve a name for Alice."""
    told.domain_resolved(
        ALICE, NAMED, name, proxy_addresses=["100.96.0.1"], resolved_addresses=["10.0.0.80"]
    )


def reaches(told: Gateway, far: str = "172.20.0.5:443", near: str = "100.93.74.51:5401") -> bool:
    """Tell whether TCP passes between Alice and a resource: both ways or neither."""
    outbound = told.handle_packet(OUTBOUND, tcp(f"{near} > {far}")).allowed
    inbound = told.handle_packet(INBOUND, tcp(f"{far} > {near}")).allowed
    assert outbound is inbound
    return outbound


PROBES: Final = tuple(
    (direction, packet)
    for near in ("100.93.74.51:5401", "100.64.0.3:5401")
    for far in ("172.20.0.5", "10.0.0.5", "1.1.1.1", "100.96.0.1", "100.64.0.1", "100.115.164.78")
    for port in (15, 443)
    for direction, flow in (
        (OUTBOUND, f"{near} > {far}:{port}"),
        (INBOUND, f"{far}:{port} > {near}"),
    )
    for packet in (tcp(flow), udp(flow))
) + tuple(
    (direction, icmp_echo(flow, reply=direction is INBOUND))
    for direction, flow in (
        (OUTBOUND, "100.93.74.51 > 172.20.0.5"),
        (INBOUND, "172.20.0.5 > 100.93.74.51"),
        (OUTBOUND, "fd00:2021:1111::f:853b > fd00:2021:1111:8000::1"),
    )
)


def snapshot(told: Gateway) -> dict[str, object]:
    """Return everything that a message could change: decisions, state, events and time."""
    clients = told._clients.by_id
    return {
        "decisions": [told.handle_packet(direction, packet) for direction, packet in PROBES],
        "own addresses": told._context.addresses,
        "clients": {client_id: client.addresses for client_id, client in clients.items()},
        "sessions": {client_id: id(client) for client_id, client in clients.items()},
        "authorizations": {
            client_id: {
                resource_id: (held.resource, held.expires_at, id(held))
                for resource_id, held in client.access.authorizations.items()
            }
            for client_id, client in clients.items()
        },
        "timeout": told.poll_timeout(),
        "events": told._clients.events.waiting(),
        "time": repr(told),
    }


def story() -> tuple[Gateway, PortalSession]:
    """Let Alice reach a network, a name and the Internet, and Bob the network."""
    return session(
        grant(), grant(named(address="*.mycorp.com")), grant(RESOURCES[2]), grant(**BOB)
    )


def rights(told: Gateway) -> dict[tuple[str, str], tuple[Resource, float]]:
    """Return what each client may reach, and until when."""
    return {
        (client_id, resource_id): (
            held.resource,
            math.inf if held.expires_at is None else held.expires_at,
        )
        for client_id, client in told._clients.by_id.items()
        for resource_id, held in client.access.authorizations.items()
    }


def refusal_of(portal: PortalSession, sent: Json, now: float) -> InvalidMessage | None:
    """Hand in a message, and return its error after checking that it has granted nothing.

    It may have revoked, but only from the clients that the error names; if it names none,
    nothing has changed. `None` if the message is not refused.
    """
    told = portal._gateway
    before, keys, had = snapshot(told), dict(portal._public_keys), rights(told)
    connected, own = told._clients.by_id.copy(), told._context.addresses
    try:
        portal.receive(sent, now)
    except InvalidMessage as error:
        if not error.revoked_from:
            assert str(error) == "\n".join(error.faults)  # noqa: PT017 - or no error
            assert (snapshot(told), portal._public_keys) == (before, keys)
            return error
        has = rights(told)
        for key, (resource, end) in has.items():
            assert had[key][0] == resource
            assert had[key][1] >= end
        assert told._clients.by_id.items() <= connected.items()
        assert told._context.addresses == own
        assert portal._public_keys.items() <= keys.items()
        lost = {key[0] for key, right in had.items() if has.get(key) != right and right[1] > now}
        gone = connected.keys() - told._clients.by_id.keys()
        assert {*lost, *gone} == set(error.revoked_from)  # noqa: PT017 - or no error
        *faults, taken = str(error).splitlines()
        assert (tuple(faults), taken[:11]) == (error.faults, "taken away ")  # noqa: PT017
        return error
    return None


def fault_of(sent: Json, now: float = NOW + 5) -> InvalidMessage:
    """Return the error of a message, after checking that it has granted nothing."""
    error = refusal_of(story()[1], sent, now)
    assert error is not None
    return error
