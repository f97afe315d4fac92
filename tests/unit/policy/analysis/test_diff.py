"""`Policy.diff`: what is told apart, and who is said to answer on both sides."""

import pytest
from attrs import evolve

from firezone_filter import (
    AddressPlan,
    CidrResource,
    DnsResource,
    GatewayOptions,
    Icmp,
    InternetResource,
    InvalidTime,
    Policy,
    PolicyAuthorization,
    PolicyClient,
    PolicyDomain,
    Resource,
    Tcp,
    TunnelAddresses,
    Udp,
)
from firezone_filter.policy.analysis.areas import Surveyor
from firezone_filter.policy.analysis.changes import ClientDiff

Given = Resource | PolicyAuthorization
DB = CidrResource("db", "10.0.0.0/24", [Tcp(5432)])
PROXIES = "100.96.0.1", "100.96.0.2"
ALICE = TunnelAddresses("100.64.0.2")


def alice(*given: Given, addresses: TunnelAddresses = ALICE) -> PolicyClient:
    authorizations = [
        one if isinstance(one, PolicyAuthorization) else PolicyAuthorization(one) for one in given
    ]
    return PolicyClient("alice", addresses, authorizations)


def policy(*clients: PolicyClient) -> Policy:
    return Policy(
        TunnelAddresses("100.64.0.1"),
        clients=clients,
        options=GatewayOptions(own_filters=[Icmp.echo()]),
    )


def name(*resolved: str, proxies: tuple[str, ...] = ("100.96.0.1",)) -> PolicyAuthorization:
    domain = PolicyDomain("a.example.com", proxies, resolved)
    return PolicyAuthorization(
        DnsResource("name", "*.example.com", [Tcp("80, 443")]), domains=[domain]
    )


def lines(diff: ClientDiff) -> list[str]:
    return [
        f"{sign} {box} ({box.before} > {box.after})"
        for sign, boxes in (("-", diff.lost), ("+", diff.gained))
        for box in boxes
    ]


CHANGES: dict[str, tuple[list[Given], list[Given], list[str]]] = {
    "a new resource": ([], [DB], ["+ tcp 10.0.0.0/24:5432 (None > db)"]),
    "another port": (
        [DB],
        [evolve(DB, filters=[Tcp("5430-5431")])],
        ["- tcp 10.0.0.0/24:5432 (db > db)", "+ tcp 10.0.0.0/24:5430-5431 (db > db)"],
    ),
    "what a wider one still permits": (
        [DB, CidrResource("wide", "10.0.0.0/8", [Tcp(5432)])],
        [CidrResource("wide", "10.0.0.0/8", [Tcp(5432)])],
        [],
    ),
    "an exclude": (
        [DB],
        [evolve(DB, exclude=["10.0.0.0/31"])],
        ["- tcp 10.0.0.0/31:5432 (db > None)"],
    ),
    "every protocol, but for what was permitted before": (
        [DB],
        [CidrResource("all", "10.0.0.0/24")],
        [
            "+ tcp 10.0.0.0/24:0-5431 (db > all)",
            "+ tcp 10.0.0.0/24:5433-65535 (db > all)",
            "+ * 10.0.0.0/24 (db > all)",
        ],
    ),
    "every protocol that was not there yet": (
        [CidrResource("tcp", "10.0.0.0/25", [Tcp()])],
        [CidrResource("all", "10.0.0.0/24")],
        [
            # It leaves out TCP, which the first policy names here, and not there.
            "+ * 10.0.0.0/25 (tcp > all)",
            "+ * 10.0.0.128/25 (None > all)",
        ],
    ),
    "a refusal of the Internet": (
        [InternetResource("web")],
        [InternetResource("web"), CidrResource("own", "192.168.0.0/16", [Udp(53)])],
        ["+ udp 192.168.0.0/16:53 (web > own)"],
    ),
    "what the Internet excludes": (
        [InternetResource("web", exclude=["8.8.8.0/24"])],
        [InternetResource("web", exclude=["8.8.8.0/25"])],
        ["+ * 8.8.8.128/25 (web > web)"],
    ),
    "some types": (
        [CidrResource("ping", "10.0.0.5/32", [Icmp.echo()])],
        [CidrResource("ping", "10.0.0.5/32", [Icmp([8, 13])])],
        ["+ icmp/13,14 10.0.0.5 (ping > ping)"],
    ),
    "a translation that is there no more": (
        [name("10.0.0.1")],
        [name("2001:db8::1")],
        ["- tcp 100.96.0.1:80 (name > name)", "- tcp 100.96.0.1:443 (name > name)"],
    ),
    "a translation of names that share a proxy address": (
        [
            name("10.0.0.1"),
            PolicyAuthorization(
                DnsResource("other", "a.example.com", [Tcp(80)]),
                domains=[PolicyDomain("a.example.com", ["100.96.0.1"], ["10.0.0.1"])],
            ),
        ],
        [
            name(),
            PolicyAuthorization(
                DnsResource("other", "a.example.com", [Tcp(80)]),
                domains=[PolicyDomain("a.example.com", ["100.96.0.1"], [])],
            ),
        ],
        # Each port is refused by the resource that would permit it.
        ["- tcp 100.96.0.1:80 (other > other)", "- tcp 100.96.0.1:443 (name > name)"],
    ),
    "a proxy address": (
        [name("10.0.0.1")],
        [name("10.0.0.1", proxies=("100.96.0.1", "100.96.0.2"))],
        [
            "+ tcp 100.96.0.2:80 (None > name)",
            "+ tcp 100.96.0.2:443 (None > name)",
        ],
    ),
}


@pytest.mark.parametrize(("before", "after", "expected"), CHANGES.values(), ids=CHANGES)
def test_boxes_name_what_is_gained_and_lost_and_who_answers(
    before: list[Given], after: list[Given], expected: list[str]
) -> None:
    clients = policy(alice(*before)).diff(policy(alice(*after))).clients
    assert [line for client in clients for line in lines(client)] == expected
    assert {client.change for client in clients} <= {"changed"}


def test_clients_come_and_go() -> None:
    bob = PolicyClient("bob", TunnelAddresses("100.64.0.3"))
    diff = policy(alice(DB), bob).diff(policy(bob, PolicyClient("carol", ALICE)))
    assert [(one.client_id, one.change) for one in diff.clients] == [
        ("alice", "removed"),
        ("carol", "added"),
    ]
    assert lines(diff.clients[0]) == [
        "- tcp 10.0.0.0/24:5432 (db > None)",
        "- icmp/0,8 100.64.0.1 (None > None)",
    ]


def test_another_address_of_the_client_is_a_difference_by_itself() -> None:
    before = policy(alice(DB))
    (moved,) = before.diff(policy(alice(DB, addresses=TunnelAddresses("100.64.0.9")))).clients
    assert (moved.change, lines(moved)) == ("readdressed", [])
    both = TunnelAddresses("100.64.0.2", "fd00:2021:1111::2")
    six = CidrResource("six", "2001:db8::/32", [Udp(53)])
    (more,) = policy(alice(six)).diff(policy(alice(six, addresses=both))).clients
    assert (more.change, lines(more)) == (
        "readdressed",
        ["+ udp [2001:db8::/32]:53 (None > six)"],
    )


def test_a_name_that_leads_elsewhere_has_moved() -> None:
    before = policy(alice(name("10.0.0.1", "10.0.0.9", proxies=PROXIES)))
    after = policy(alice(name("10.0.0.2", "10.0.0.9", proxies=PROXIES)))
    (client,) = before.diff(after).clients
    assert [(str(one.address), str(one.before), str(one.after)) for one in client.moved] == [
        ("100.96.0.1", "10.0.0.1", "10.0.0.2")
    ]
    assert lines(client) == []


def test_what_only_ends_at_another_time_is_no_box() -> None:
    before = policy(alice(PolicyAuthorization(DB, 100.0)))
    after = policy(alice(PolicyAuthorization(DB)))
    (client,) = before.diff(after, at=50.0).clients
    (expiry,) = client.expiries
    assert (expiry.resource_id, expiry.before, expiry.after) == ("db", 100.0, None)
    assert lines(client) == []
    # Once it is over, it is no longer there to end at another time.
    (client,) = before.diff(after, at=100.0).clients
    assert not client.expiries
    assert lines(client) == ["+ tcp 10.0.0.0/24:5432 (None > db)"]


def test_an_id_for_another_network_is_another_authorization() -> None:
    before = policy(alice(PolicyAuthorization(DB, 100.0)))
    after = policy(alice(CidrResource("db", "10.1.0.0/24", [Tcp(5432)])))
    (client,) = before.diff(after).clients
    assert not client.expiries
    assert lines(client) == [
        "- tcp 10.0.0.0/24:5432 (db > None)",
        "+ tcp 10.1.0.0/24:5432 (None > db)",
    ]


def test_what_changes_nothing_is_not_listed() -> None:
    wide = CidrResource("wide", "10.0.0.0/8", [Tcp(5432)])
    before, after = policy(alice(DB, wide)), policy(alice(wide, evolve(DB, name="the database")))
    assert before != after
    assert not before.diff(after)


def test_a_gateway_with_other_addresses_plan_or_options_is_a_difference() -> None:
    before = policy(alice(DB))
    other_plan = AddressPlan(dns_resources=("100.96.0.0/12", "fd00:2021:1111:8000::/107"))
    stateful = evolve(before.options, stateful=True)
    own = TunnelAddresses("100.64.0.7")
    for after, (addresses, plan, options) in (
        (evolve(before, addresses=own), ((before.addresses, own), None, None)),
        (evolve(before, address_plan=other_plan), (None, (AddressPlan(), other_plan), None)),
        (evolve(before, options=stateful), (None, None, (before.options, stateful))),
    ):
        diff = before.diff(after)
        assert diff
        assert (diff.addresses, diff.address_plan, diff.options) == (addresses, plan, options)
    (client,) = before.diff(evolve(before, addresses=own)).clients
    assert lines(client) == [
        "- icmp/0,8 100.64.0.1 (None > None)",
        "+ icmp/0,8 100.64.0.7 (None > None)",
    ]
    assert not before.diff(evolve(before, options=stateful)).clients


def test_another_plan_can_be_a_difference_for_a_client() -> None:
    narrow = AddressPlan(dns_resources=("100.96.0.0/12", "fd00:2021:1111:8000::/107"))
    before = policy(alice(CidrResource("more", "100.112.0.0/16", [Tcp(80)])))
    (client,) = before.diff(evolve(before, address_plan=narrow)).clients
    assert lines(client) == ["+ tcp 100.112.0.0/16:80 (None > more)"]


def test_a_witness_is_an_ordinary_packet_where_there_is_a_choice() -> None:
    (client,) = policy(alice()).diff(policy(alice(CidrResource("all", "10.0.0.0/24")))).clients
    (box,) = client.gained
    assert [str(network) for network in box.networks] == ["10.0.0.0/24"]
    _, packet = box.witness
    assert packet[9] == 6
    assert packet[22:24] == (443).to_bytes(2)


def test_a_witness_that_is_none_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Surveyor, "permits", lambda *_: True)
    with pytest.raises(RuntimeError, match="a bug"):
        policy(alice()).diff(policy(alice(DB)))


def test_what_cannot_be_compared_is_an_error() -> None:
    with pytest.raises(TypeError, match="other"):
        policy().diff(None)  # type: ignore[arg-type]
    with pytest.raises(InvalidTime):
        policy().diff(policy(), float("nan"))
