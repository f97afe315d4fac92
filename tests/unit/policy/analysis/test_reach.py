"""`Policy.reach` and `Policy.who`: how answers look, and what cannot be asked."""

from collections.abc import Callable
from ipaddress import ip_address, ip_network

import pytest
from attrs import evolve

from firezone_filter import (
    CidrResource,
    DnsResource,
    GatewayOptions,
    Icmp,
    InternetResource,
    InvalidAddress,
    InvalidPolicy,
    InvalidTime,
    Policy,
    PolicyAuthorization,
    PolicyClient,
    PolicyDomain,
    Protocol,
    Resource,
    Tcp,
    TunnelAddresses,
    Udp,
    UnknownClient,
)

BOTH = TunnelAddresses("100.64.0.2", "fd00:2021:1111::2")
GIT = PolicyAuthorization(
    DnsResource("git", "*.example.com", [Tcp(443), Icmp.echo()]),
    domains=[
        PolicyDomain("git.example.com", ["100.96.0.1", "fd00:2021:1111:8000::1"], ["10.0.0.1"])
    ],
)


def policy(*given: Resource | PolicyAuthorization, addresses: TunnelAddresses = BOTH) -> Policy:
    authorizations = [
        one if isinstance(one, PolicyAuthorization) else PolicyAuthorization(one) for one in given
    ]
    return Policy(
        TunnelAddresses("100.64.0.1"),
        clients=[PolicyClient("alice", addresses, authorizations)],
        options=GatewayOptions(own_filters=[Icmp.echo()]),
    )


def lines(asked: Policy) -> list[str]:
    return [f"{box} ({box.resource_id})" for box in asked.reach("alice")]


# What every client may reach here.
OWN = "icmp/0,8 100.64.0.1 (None)"

TEXTS = {
    "a network, and a port": (
        [CidrResource("db", "10.0.0.0/24", [Tcp(5432)])],
        ["tcp 10.0.0.0/24:5432 (db)", OWN],
    ),
    "addresses that are no network": (
        [CidrResource("db", "10.0.0.0/24", [Udp("1-9")], exclude=["10.0.0.0/32"])],
        ["udp 10.0.0.1-10.0.0.255:1-9 (db)", OWN],
    ),
    "ports that another resource would permit too": (
        [
            CidrResource("wide", "10.0.0.4/31", [Tcp(50)]),
            CidrResource("host", "10.0.0.5/32", [Tcp("1-100")]),
        ],
        ["tcp 10.0.0.4:50 (wide)", "tcp 10.0.0.5:1-100 (host)", OWN],
    ),
    "addresses with a gap": (
        [CidrResource("db", "10.0.0.0/30", [Udp(1)], exclude=["10.0.0.1/32"])],
        ["udp 10.0.0.0:1 (db)", "udp 10.0.0.2/31:1 (db)", OWN],
    ),
    "every port, every type that may pass": (
        [CidrResource("all", "10.0.0.5/32", [Tcp(), Icmp()])],
        ["icmp 10.0.0.5 (all)", "tcp 10.0.0.5 (all)", OWN],
    ),
    "types, of which errors are none": (
        [CidrResource("time", "10.0.0.5/32", [Icmp([3, 13])])],
        ["icmp/13,14 10.0.0.5 (time)", OWN],
    ),
    "many types, in a row as one": (
        [CidrResource("all", "10.0.0.5/32"), CidrResource("ping", "10.0.0.5/32", [Icmp.echo()])],
        [
            "icmp/0,8 10.0.0.5 (ping)",
            "icmp/1,2,6,7,13-255 10.0.0.5 (all)",
            "* 10.0.0.5 (all)",
            OWN,
        ],
    ),
    "another protocol": (
        [CidrResource("gre", "10.0.0.5/32", [Protocol(47)])],
        ["47 10.0.0.5 (gre)", OWN],
    ),
    "every protocol": (
        [CidrResource("all", "10.0.0.5/32")],
        ["* 10.0.0.5 (all)", OWN],
    ),
    "every protocol but what another resource answers for": (
        [CidrResource("all", "10.0.0.4/31"), CidrResource("web", "10.0.0.5/32", [Tcp(80)])],
        [
            "* 10.0.0.4 (all)",
            "tcp 10.0.0.5:0-79 (all)",
            "tcp 10.0.0.5:80 (web)",
            "tcp 10.0.0.5:81-65535 (all)",
            "* 10.0.0.5 (all)",
            OWN,
        ],
    ),
    "neighbours as one, whose resource is the same": (
        [
            CidrResource("a", "10.0.0.0/24", [Tcp(80), Udp(53)]),
            CidrResource("b", "10.0.0.0/25", [Udp(53)]),
        ],
        [
            "tcp 10.0.0.0/24:80 (a)",
            "udp 10.0.0.0/25:53 (b)",
            "udp 10.0.0.128/25:53 (a)",
            OWN,
        ],
    ),
    "IPv6 in brackets where a port follows": (
        [
            CidrResource("web", "2001:db8::/32", [Tcp(80)]),
            CidrResource("ping", "2001:db8::1/128", [Icmp.echo()]),
        ],
        [OWN, "tcp [2001:db8::/32]:80 (web)", "icmp/128,129 2001:db8::1 (ping)"],
    ),
    "proxy addresses with a translation": (
        [GIT],
        [OWN, "icmp/8 100.96.0.1 (git)", "tcp 100.96.0.1:443 (git)"],
    ),
    "a name without filters": (
        [evolve(GIT, resource=DnsResource("git", "*.example.com"))],
        [OWN, "icmp/8 100.96.0.1 (git)", "tcp 100.96.0.1 (git)", "udp 100.96.0.1 (git)"],
    ),
    "a protocol that no IPv6 packet has": (
        [CidrResource("fragments", "2001:db8::/32", [Protocol(44)])],
        [OWN],
    ),
}


@pytest.mark.parametrize(("given", "expected"), TEXTS.values(), ids=TEXTS)
def test_boxes_read_like_targets(given: list[Resource], expected: list[str]) -> None:
    assert lines(policy(*given)) == expected


def test_the_internet_is_what_is_public() -> None:
    boxes = policy(InternetResource("web", exclude=["8.8.8.0/24"])).reach("alice")
    assert ip_network("1.0.0.0/8") in boxes[0].networks
    assert boxes[0].first == ip_address("1.0.0.0")
    assert boxes[0].last == ip_address("8.8.7.255")


def test_a_family_in_which_the_client_has_no_address_has_no_boxes() -> None:
    given = CidrResource("four", "10.0.0.0/24"), CidrResource("six", "2001:db8::/32")
    asked = policy(*given, addresses=TunnelAddresses("100.64.0.2"))
    assert lines(asked) == ["* 10.0.0.0/24 (four)", OWN]


def test_every_other_protocol_is_no_box_where_all_are_named() -> None:
    named = {1, 6, 17, 58}
    others = [Protocol(number) for number in range(256) if number not in named]
    asked = policy(
        CidrResource("all", "10.0.0.0/24"),
        CidrResource("named", "10.0.0.5/32", [Tcp(), Udp(), Icmp(), *others]),
    )
    (unnamed,) = [box for box in asked.reach("alice") if box.first == ip_address("10.0.0.0")]
    assert unnamed.last == ip_address("10.0.0.4")
    assert None not in {
        box.protocol for box in asked.reach("alice") if box.first == ip_address("10.0.0.5")
    }


@pytest.mark.parametrize(("at", "reached"), [(None, True), (99.5, True), (100, False)])
def test_what_has_expired_permits_nothing(at: float | None, *, reached: bool) -> None:
    ending = PolicyAuthorization(CidrResource("db", "10.0.0.0/24"), 100.0)
    assert ("db" in {box.resource_id for box in policy(ending).reach("alice", at)}) is reached


ASKED = policy(CidrResource("db", "10.0.0.0/24", [Tcp(5432)]), GIT)

QUESTIONS = {
    "any port": (("10.0.0.5", "tcp"), [("alice", "db")]),
    "its port": (("10.0.0.5", 6, 5432), [("alice", "db")]),
    "the port below": (("10.0.0.5", "tcp", 5431), []),
    "the port above": (("10.0.0.5", "tcp", 5433), []),
    "another protocol": (("10.0.0.5", 47), []),
    "an address as an object": ((ip_address("10.0.0.5"), "tcp"), [("alice", "db")]),
    "the gateway": (("100.64.0.1", "icmp", None, 8), [("alice", None)]),
    "the gateway, by another type": (("100.64.0.1", "icmp", None, 13), []),
    "a name, however written": (("GIT.example.com.", "tcp", 443), [("alice", "git")]),
    "a name, by the other family's ICMP": (("git.example.com", 58), []),
    "a proxy address": (("100.96.0.1", "icmp"), [("alice", "git")]),
    "a name that nobody has": (("wiki.example.com", "tcp"), []),
    "an address that nobody reaches": (("10.9.0.5", "tcp"), []),
    "another client": (("100.64.0.2", "tcp"), []),
    "multicast": (("224.0.0.1", "udp"), []),
}


@pytest.mark.parametrize(("question", "expected"), QUESTIONS.values(), ids=QUESTIONS)
def test_who_may_reach_a_target(
    question: tuple[str, str], expected: list[tuple[str, str | None]]
) -> None:
    assert ASKED.who(*question) == tuple(expected)


def test_who_has_no_address_of_the_family_reaches_nothing_in_it() -> None:
    asked = policy(CidrResource("all", "::/0"), addresses=TunnelAddresses("100.64.0.2"))
    assert asked.who("2001:db8::1", "tcp") == ()


FAULTY: dict[str, tuple[Callable[[], object], type[Exception], str]] = {
    "a client that is not there": (lambda: ASKED.reach("bob"), UnknownClient, "'bob'"),
    "a client that is no text": (lambda: ASKED.reach(5), TypeError, "client_id"),  # type: ignore[arg-type]
    "a moment without end": (lambda: ASKED.reach("alice", float("inf")), InvalidTime, "inf"),
    "a misspelt IPv4 address": (lambda: ASKED.who("10.0.0.300", "tcp"), InvalidAddress, "300"),
    "a misspelt IPv6 address": (lambda: ASKED.who("2001::db8::1", 6), InvalidAddress, "2001"),
    "a network": (lambda: ASKED.who("10.0.0.0/24", "tcp"), InvalidAddress, "/24"),
    "what is no name": (lambda: ASKED.who("not a name", "tcp"), InvalidPolicy, "not a name"),
    "no target": (lambda: ASKED.who(None, "tcp"), TypeError, "None"),  # type: ignore[arg-type]
    "another word for a protocol": (lambda: ASKED.who("10.0.0.5", "gre"), InvalidPolicy, "'gre'"),
    "no protocol": (lambda: ASKED.who("10.0.0.5", None), TypeError, "None"),  # type: ignore[arg-type]
    "no protocol number": (lambda: ASKED.who("10.0.0.5", 256), InvalidPolicy, "256"),
    "no port": (lambda: ASKED.who("10.0.0.5", "tcp", 65_536), InvalidPolicy, "65536"),
    "no ICMP type": (lambda: ASKED.who("10.0.0.5", 1, None, 256), InvalidPolicy, "256"),
    "a port of ICMP": (lambda: ASKED.who("10.0.0.5", "icmp", 80), InvalidPolicy, "ports"),
    "a type of TCP": (lambda: ASKED.who("10.0.0.5", "tcp", 80, 8), InvalidPolicy, "types"),
    "a moment that is no number": (
        lambda: ASKED.who("10.0.0.5", "tcp", at="now"),  # type: ignore[arg-type]
        TypeError,
        "now",
    ),
}


@pytest.mark.parametrize(("ask", "error", "says"), FAULTY.values(), ids=FAULTY)
def test_what_cannot_be_asked_is_an_error(
    ask: Callable[[], object], error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        ask()
