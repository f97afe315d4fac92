"""Which resource refused a packet, as decisions of a whole replay tell it."""

from typing import Any
from unittest.mock import patch

import pytest
from attrs import define, evolve, field

from firezone_filter import CidrResource, Gateway, InternetResource, Tcp
from firezone_filter.policy import Policy, PolicyAuthorization, load_policy
from firezone_filter.replay.by_packet import replay_packets
from firezone_filter.replay.summary import Decided
from firezone_filter.testing import icmp_echo, tcp, udp
from tests.captures import CLIENT, CLIENT_6, GATEWAY, START_S, ipv4, record

EXPIRY_S = START_S + 100
PROXY, PROXY_2, PROXY_3 = "100.96.0.1", "100.96.0.2", "100.96.0.3"
PROXY_6 = "fd00:2021:1111:8000::1"
REAL = "10.9.0.80"


def ports(protocol: str, port: int) -> dict[str, object]:
    return {"protocol": protocol, "port_range_start": port, "port_range_end": port}


def resource(kind: str, resource_id: str, **more: object) -> dict[str, object]:
    return {"resource": {"type": kind, "id": resource_id, **more}}


def name(resource_id: str, *filters: object, **domain: object) -> dict[str, object]:
    given = resource("dns", resource_id, address="*.example.com", filters=filters)
    return {**given, "domains": [{"name": "a.example.com", **domain}]}


def icmp(source: str, destination: str, kind: int) -> bytes:
    return ipv4(source, destination, 1, bytes([kind, *bytes(7)]))


AUTHORIZATIONS: list[dict[str, Any]] = [
    resource("cidr", "wide", address="10.0.0.0/8", filters=[ports("tcp", 80)]),
    resource("cidr", "net", address="10.1.0.0/16", filters=[ports("tcp", 81)]),
    resource("cidr", "web", address="10.1.0.0/16", filters=[ports("tcp", 82), ports("udp", 5)]),
    resource(
        "cidr",
        "pings",
        address="10.3.0.0/16",
        filters=[{"protocol": "icmp", "types": [8]}, {"protocol": 47}],
        exclude=["10.3.9.0/24"],
    ),
    resource("cidr", "six", address="2001:db8::/32", filters=[ports("tcp", 80)]),
    {**resource("cidr", "brief", address="10.1.1.0/24", filters=[]), "expires_at": EXPIRY_S},
    name("git", ports("tcp", 443), proxy_addresses=[PROXY, PROXY_6], resolved_addresses=[REAL]),
    name("all", proxy_addresses=[PROXY, PROXY_2], resolved_addresses=[REAL]),
    name(
        "stamps",
        {"protocol": "icmp", "types": [13]},
        proxy_addresses=[PROXY_3],
        resolved_addresses=["10.9.0.81"],
    ),
    name("tls", ports("tcp", 443), proxy_addresses=[PROXY_3], resolved_addresses=["10.9.0.81"]),
    resource("internet", "internet-a"),
    resource("internet", "internet-b"),
]

POLICY = load_policy(
    {
        "gateway": {"ipv4": GATEWAY},
        "clients": [
            {"id": "alice", "ipv4": CLIENT, "ipv6": CLIENT_6, "authorizations": AUTHORIZATIONS}
        ],
    }
)


@define
class Log:
    seen: list[Decided] = field(factory=list)

    def add(self, decided: Decided) -> None:
        self.seen.append(decided)


def refused_by(*packets: bytes, seconds: float = START_S) -> tuple[str | None, str | None]:
    """Return the resource and the reason of the refusal of the last packet."""
    log = Log()
    replay_packets([record(packet, seconds) for packet in packets], POLICY, [log])
    last = log.seen[-1]
    return last.resource_id, getattr(last.decision, "reason", None)


@pytest.mark.parametrize(
    ("packet", "resource_id", "reason"),
    [
        pytest.param(tcp(f"{CLIENT}:1 > 10.2.0.1:22"), "wide", "tcp-port", id="one"),
        pytest.param(tcp(f"{CLIENT}:1 > 10.1.0.1:22"), "web", "tcp-port", id="greatest id"),
        pytest.param(tcp(f"10.1.0.1:22 > {CLIENT}:1"), "web", "tcp-port", id="inbound"),
        pytest.param(udp(f"{CLIENT}:1 > 10.1.0.1:6"), "web", "udp-port", id="UDP"),
        pytest.param(icmp_echo(f"{CLIENT} > 10.1.0.1"), "web", "icmp", id="ICMP"),
        pytest.param(ipv4(CLIENT, "10.2.0.1", 47), "wide", "protocol", id="GRE"),
        pytest.param(icmp(CLIENT, "10.3.0.1", 13), "pings", "icmp", id="type of ICMP"),
        pytest.param(ipv4(CLIENT, "10.3.0.1", 50), "pings", "protocol", id="ESP"),
        pytest.param(icmp(CLIENT, "10.3.9.1", 13), "wide", "icmp", id="excluded"),
        pytest.param(tcp(f"[{CLIENT_6}]:1 > [2001:db8::1]:22"), "six", "tcp-port", id="IPv6"),
        pytest.param(
            tcp(f"{CLIENT}:1 > 192.168.0.1:22"), "internet-b", "not-internet", id="Internet"
        ),
        pytest.param(
            tcp(f"[{CLIENT_6}]:1 > [{PROXY_6}]:22"), "git", "tcp-port", id="proxy address"
        ),
        pytest.param(
            tcp(f"[{CLIENT_6}]:1 > [{PROXY_6}]:443"), "git", "no-translation", id="untranslated"
        ),
        pytest.param(ipv4(CLIENT, PROXY, 47), "all", "protocol", id="not translated"),
        pytest.param(
            icmp(CLIENT, PROXY_3, 13), "stamps", "protocol", id="type that is not translated"
        ),
        pytest.param(icmp(CLIENT, PROXY_3, 8), "tls", "icmp", id="type of a proxy address"),
    ],
)
def test_a_refusal_names_the_resource_that_won(
    packet: bytes, resource_id: str, reason: str
) -> None:
    assert refused_by(packet) == (resource_id, reason)


@pytest.mark.parametrize(
    ("packet", "reason"),
    [
        pytest.param(tcp(f"{CLIENT}:1 > 100.96.0.9:22"), "no-resource", id="nothing covers it"),
        pytest.param(tcp(f"{CLIENT}:1 > 100.64.0.9:22"), "peer-address", id="a peer"),
        pytest.param(
            ipv4(CLIENT, "10.1.0.1", 17, bytes(8), fragment=9), "fragment", id="later fragment"
        ),
        pytest.param(
            b"\x45" + tcp(f"{CLIENT}:1 > 10.1.0.1:80")[1:39], "malformed", id="malformed"
        ),
        pytest.param(
            ipv4(CLIENT, "10.1.0.1", 1, b"\x09" + bytes(7)), "icmp", id="router advertisement"
        ),
    ],
)
def test_a_refusal_that_no_resource_makes_names_none(packet: bytes, reason: str) -> None:
    assert refused_by(packet) == (None, reason)


def test_what_passes_names_its_resource() -> None:
    assert refused_by(tcp(f"{CLIENT}:1 > 10.1.1.1:22")) == ("brief", None)
    assert refused_by(icmp(CLIENT, "10.3.0.1", 8)) == ("pings", None)
    assert refused_by(ipv4(CLIENT, "10.3.0.1", 47)) == ("pings", None)


def test_an_expired_resource_refuses_nothing() -> None:
    packet = tcp(f"{CLIENT}:1 > 10.1.1.1:22")
    assert refused_by(packet, seconds=EXPIRY_S) == ("web", "tcp-port")


def without(*resource_ids: str, **options: object) -> Policy:
    kept = [one for one in AUTHORIZATIONS if one["resource"]["id"] not in resource_ids]
    return load_policy(
        {
            "gateway": {"ipv4": GATEWAY},
            "options": options,
            "clients": [{"id": "alice", "ipv4": CLIENT, "authorizations": kept}],
        }
    )


@pytest.mark.parametrize("stateful", [False, True], ids=["stateless", "stateful"])
def test_a_packet_of_a_session_is_refused_by_the_resource_of_its_name_while_that_lives(
    *, stateful: bool
) -> None:
    opened, answer = tcp(f"{CLIENT}:1 > {PROXY}:443"), tcp(f"{REAL}:22 > {CLIENT}:1")
    log = Log()
    packets = [answer, answer, opened, answer, answer, answer, answer, answer]
    seconds = [0, 1, 2, 3, 4, 62, 302, 303]
    replay_packets(
        [record(one, START_S + at) for one, at in zip(packets, seconds, strict=True)],
        without("all", stateful=stateful),
        [log],
    )
    assert [one.resource_id for one in log.seen] == [
        *("wide", "wide", "git", "git", "git"),
        None,  # of a session that has just ended
        *("wide", "wide"),
    ]


def test_what_is_known_of_a_far_end_is_asked_once_until_something_expires() -> None:
    packets = [tcp(f"{CLIENT}:{port} > 10.1.1.1:22") for port in (1, 2, 3)]
    policy = without("wide", "net", "web")
    # It permits nothing but one port, and then it is not there.
    brief = CidrResource("brief", "10.1.1.0/24", [Tcp(80)])
    policy = evolve(
        policy,
        clients=[
            evolve(
                policy.clients[0],
                authorizations=[
                    PolicyAuthorization(brief, expires_at=EXPIRY_S),
                    PolicyAuthorization(InternetResource("web")),
                ],
            )
        ],
    )
    log = Log()
    with patch.object(Gateway, "explain", autospec=True, side_effect=Gateway.explain) as asked:
        replay_packets(
            [record(packet, second) for second in (START_S, EXPIRY_S) for packet in packets],
            policy,
            [log],
        )
    assert [one.resource_id for one in log.seen] == ["brief"] * 3 + ["web"] * 3
    assert asked.call_count == 2


def test_what_is_remembered_is_bounded() -> None:
    log = Log()
    with patch("firezone_filter.replay.refused_by._MOST", 2):
        replay_packets(
            [record(tcp(f"{CLIENT}:1 > 10.2.0.1:{port}")) for port in (1, 2, 3, 1)], POLICY, [log]
        )
    assert [one.resource_id for one in log.seen] == ["wide"] * 4


def test_nobody_is_asked_where_nobody_writes_it_down() -> None:
    with patch.object(Gateway, "explain") as asked:
        replay_packets([record(tcp(f"{CLIENT}:1 > 10.2.0.1:22"))], POLICY)
    assert not asked.called
