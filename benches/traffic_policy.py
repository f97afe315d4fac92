"""Who is in a made-up capture: its clients, what they may reach, and the policy that says so."""

import json
from ipaddress import IPv4Address, IPv6Address
from typing import Final

CLIENTS: Final = 16
"""More than a few, and each of them with traffic enough."""

SCANNER: Final = 7
"""The client that tries every port of a host, towards the end."""

TRIAL: Final = 5
"""The client that has something for a while only."""

START: Final = 1_790_000_000
"""Unix time of the first packet."""

TRIAL_ENDS: Final = START + 240
"""When that is over: about the middle of a million packets."""

WEB, WEB6, DATABASE, METRICS = "10.20.0.0", "fd10:20::", "10.30.1.0", "10.40.0.53"
WIKI, WIKI6 = "10.50.0.7", "fd10:50::7"
PROXY, PROXY6 = "100.96.0.1", "fd00:2021:1111:8000::1"
TRIAL_HOST: Final = "10.60.0.5"
STRANGER, STRANGER6 = "10.99.0.5", "fd10:99::5"

_FIRST_IPV4: Final = IPv4Address("100.64.1.0")
_FIRST_IPV6: Final = IPv6Address("fd00:2021:1111::1:0")


def client_id(number: int) -> str:
    return f"client-{number}"


def client_ipv4(number: int) -> str:
    return str(_FIRST_IPV4 + number + 1)


def client_ipv6(number: int) -> str:
    return str(_FIRST_IPV6 + number + 1)


def policy_text() -> str:
    """Return the policy, as a file has it."""
    return json.dumps(
        {
            "gateway": {"ipv4": "100.64.0.1", "ipv6": "fd00:2021:1111::1"},
            "clients": [
                {
                    "id": client_id(number),
                    "ipv4": client_ipv4(number),
                    "ipv6": client_ipv6(number),
                    "authorizations": _authorizations(number),
                }
                for number in range(CLIENTS)
            ],
        },
        indent=1,
    )


def _authorizations(number: int) -> list[dict[str, object]]:
    icmp: dict[str, object] = {"protocol": "icmp"}
    web = [_ports("tcp", 443), _ports("tcp", 8000, 8100), _ports("udp", 443), icmp]
    several: list[dict[str, object]] = [
        _cidr("web", "Web", f"{WEB}/16", *web),
        _cidr("web-ipv6", "Web, over IPv6", f"{WEB6}/64", *web),
        _cidr("db", "Database", f"{DATABASE}/24", _ports("tcp", 5432)),
        _cidr("metrics", "Metrics", f"{METRICS}/32", _ports("udp", 8125)),
        {
            "resource": _resource("wiki", "Wiki", "dns", "wiki.example.com", *web),
            "domains": [
                {
                    "name": "wiki.example.com",
                    "proxy_addresses": [PROXY, PROXY6],
                    "resolved_addresses": [WIKI, WIKI6],
                }
            ],
        },
    ]
    if number == TRIAL:
        trial = _cidr("trial", "On trial", f"{TRIAL_HOST}/32", _ports("tcp", 443))
        several.append(trial | {"expires_at": TRIAL_ENDS})
    return several


def _cidr(
    resource_id: str, name: str, network: str, *filters: dict[str, object]
) -> dict[str, object]:
    return {"resource": _resource(resource_id, name, "cidr", network, *filters)}


def _resource(
    resource_id: str, name: str, kind: str, address: str, *filters: dict[str, object]
) -> dict[str, object]:
    return {
        "type": kind,
        "id": resource_id,
        "name": name,
        "address": address,
        "filters": list(filters),
    }


def _ports(protocol: str, first: int, last: int | None = None) -> dict[str, object]:
    last = first if last is None else last
    return {"protocol": protocol, "port_range_start": first, "port_range_end": last}
