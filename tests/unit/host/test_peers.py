"""What WireGuard binds, and what it does not."""

import pytest

from firezone_filter import Policy, PolicyClient, TunnelAddresses
from firezone_filter.host.peers import Bound, Peer, UnreadablePeersError, bind, parse_dump
from firezone_filter.values.addresses import to_network

OWN = TunnelAddresses("100.64.0.1", "fd00:2021:1111::1")
ALICE = ("100.64.0.2/32", "fd00:2021:1111::2/128")
BOB = ("100.64.0.3/32",)
POLICY = Policy(
    OWN,
    clients=[
        PolicyClient("alice", TunnelAddresses("100.64.0.2", "fd00:2021:1111::2")),
        PolicyClient("bob", TunnelAddresses("100.64.0.3")),
    ],
)

# As `wg show wg0 dump` says it, with tabs; the secrets are made up.
INTERFACE = "private\tpublic\t51820\toff"
PEERS = """
key-a	preshared	192.0.2.2:51820	100.64.0.2/32,fd00:2021:1111::2/128	0	0	0	off
key-b	(none)	(none)	(none)	0	0	0	25
"""
DUMP = INTERFACE + PEERS


def peer(key: str, *allowed: str, interface: str = "wg0") -> Peer:
    return Peer(interface, key, tuple(map(to_network, allowed)))


def bound(*peers: Peer) -> Bound:
    return bind(POLICY, {"wg0": peers})


def test_peers_are_read_and_secrets_are_not_kept() -> None:
    assert parse_dump("wg0", DUMP) == (peer("key-a", *ALICE), peer("key-b"))
    assert parse_dump("wg0", INTERFACE) == ()


def test_a_handshake_and_another_endpoint_make_no_other_peer() -> None:
    moved = DUMP.replace("192.0.2.2:51820", "[2001:db8::2]:7").replace("\t0\t0\t0", "\t17\t9\t9")
    assert parse_dump("wg0", moved) == parse_dump("wg0", DUMP)


@pytest.mark.parametrize(
    "text",
    ["", "private\tpublic\t51820", INTERFACE + "\nkey-a\tx", DUMP.replace("/32", "/33")],
    ids=["nothing", "interface", "peer", "network"],
)
def test_what_is_not_understood_is_said_without_the_secrets(text: str) -> None:
    with pytest.raises(UnreadablePeersError, match=r"^wg0: ") as error:
        parse_dump("wg0", text)
    assert "private" not in str(error.value)


def test_a_peer_is_the_client_whose_addresses_it_has() -> None:
    assert bound(peer("a", *ALICE), peer("b", *BOB)) == Bound({"alice": "a", "bob": "b"}, ())


def test_peers_of_several_interfaces_count() -> None:
    other = peer("b", *BOB, interface="wg1")
    both = bind(POLICY, {"wg0": [peer("a", *ALICE)], "wg1": [other]})
    assert both == Bound({"alice": "a", "bob": "b"}, ())


@pytest.mark.parametrize(
    ("peers", "keys", "faults"),
    [
        (
            [peer("a", *ALICE)],
            {"alice": "a"},
            ["client bob is not connected: no peer has 100.64.0.3 in its AllowedIPs"],
        ),
        (
            [peer("a", ALICE[0]), peer("b", *BOB)],
            {"bob": "b"},
            ["client alice is not connected: no peer has fd00:2021:1111::2 in its AllowedIPs"],
        ),
        (
            [peer("a", ALICE[0]), peer("x", ALICE[1]), peer("b", *BOB)],
            {"bob": "b"},
            [
                (
                    "client alice is not connected: its addresses are with peer a of wg0 and "
                    "peer x of wg0"
                ),
            ],
        ),
        (
            [peer("a", *ALICE, *BOB)],
            {},
            ["peer a of wg0 has addresses of alice and bob: they are not connected"],
        ),
        (
            [peer("a", *ALICE), peer("b", "100.64.0.0/24")],
            {"alice": "a"},
            [
                (
                    "client bob is not connected: 100.64.0.3 is only in 100.64.0.0/24 of peer b "
                    "of wg0, and has to be in its AllowedIPs itself"
                ),
                (
                    "peer b of wg0: 100.64.0.0/24 is no client's address, what comes from there "
                    "is dropped"
                ),
            ],
        ),
        (
            [peer("a", *ALICE), peer("b", *BOB, "100.64.0.9/32")],
            {"alice": "a", "bob": "b"},
            [
                (
                    "peer b of wg0: 100.64.0.9/32 is no client's address, what comes from there "
                    "is dropped"
                ),
            ],
        ),
    ],
    ids=["absent", "half", "two peers", "two clients", "wide", "foreign"],
)
def test_what_does_not_bind_is_said_and_nobody_is_taken_for_somebody_else(
    peers: list[Peer], keys: dict[str, str], faults: list[str]
) -> None:
    assert bound(*peers) == Bound(keys, tuple(faults))


def test_an_address_that_two_interfaces_have_is_nobodys() -> None:
    twice = bind(
        POLICY,
        {"wg0": [peer("a", *ALICE), peer("b", *BOB)], "wg1": [peer("c", *BOB, interface="wg1")]},
    )
    assert twice.keys == {"alice": "a"}
    assert twice.faults == (
        "client bob is not connected: its addresses are with peer b of wg0 and peer c of wg1",
    )


def test_a_network_in_another_interface_lets_its_peer_send_from_there() -> None:
    wide = peer("c", "100.64.0.2/31", interface="wg1")
    beside = bind(POLICY, {"wg0": [peer("a", *ALICE), peer("b", *BOB)], "wg1": [wide]})
    assert beside.keys == {}
    assert beside.faults[:2] == (
        "client alice is not connected: its addresses are with peer a of wg0 and peer c of wg1",
        "client bob is not connected: its addresses are with peer b of wg0 and peer c of wg1",
    )
