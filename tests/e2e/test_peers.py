"""What WireGuard binds: who is there, who is not, and what is a new session."""

import pytest

from tests.e2e.network import FILES, TUNNELS
from tests.e2e.policies import Json, cidr, policy, tcp
from tests.e2e.programs import must, wait_for
from tests.e2e.site import Site
from tests.e2e.talk import fetch, ping, url, with_wireguard
from tests.e2e.tunnels import WireGuard

pytestmark = with_wireguard

FILES_BY_HTTP = policy(alice=[cidr("files", FILES[0], tcp(80))])


@pytest.fixture
def wireguard(site: Site) -> WireGuard:
    assert isinstance(site.network.tunnel, WireGuard)
    return site.network.tunnel


def fetches(site: Site) -> bool:
    """Tell whether Alice can fetch a file."""
    return fetch(site.network["alice"], url(FILES[0]), "-m", "5")[0] == 0


def warnings(site: Site) -> list[str]:
    """Return what the gateway has logged as not as it should be."""
    return [line["message"] for line in site.gateway.lines() if line["severity"] == "WARN"]


def clients(site: Site, what: str) -> list[str]:
    """Return the clients of which the gateway has logged something, in order."""
    return [line["cid"] for line in site.gateway.lines(what)]


def test_a_policy_may_name_a_peer_that_is_not_there(site: Site) -> None:
    carol: Json = {"id": "carol", "ipv4": "100.64.0.9", "authorizations": []}
    both = policy(alice=[cidr("files", FILES[0], tcp(80))], bob=[])
    both["clients"].append(carol)
    site.start_gateway(both)
    assert fetches(site)
    assert warnings(site) == [
        "Client carol is not connected: no peer has 100.64.0.9 in its AllowedIPs"
    ]


def test_a_peer_comes_and_goes_without_a_word_to_the_gateway(
    site: Site, wireguard: WireGuard
) -> None:
    wireguard.bar(site.network, "alice")
    site.start_gateway(FILES_BY_HTTP)
    assert clients(site, "Client connected") == []
    wireguard.admit(site.network, "alice")
    site.gateway.logs("Client connected")
    wait_for("the handshake", lambda: fetches(site))
    wireguard.bar(site.network, "alice")
    site.gateway.logs("Client disconnected")
    assert not fetches(site)


def test_a_handshake_and_another_endpoint_are_no_new_session(site: Site) -> None:
    site.start_gateway(FILES_BY_HTTP, "--stateful")
    assert fetches(site)
    must("wg", "set", site.network.device("wg-alice"), "listen-port", "40000")
    assert fetches(site)
    site.authorize(FILES_BY_HTTP)
    assert clients(site, "Client connected") == ["alice"]
    assert clients(site, "Client disconnected") == []


def test_a_peer_with_the_addresses_of_two_clients_is_neither(
    site: Site, wireguard: WireGuard
) -> None:
    site.start_gateway(policy(alice=[cidr("files", FILES[0])], bob=[]))
    assert fetches(site)
    addresses = ",".join(f"{one}" for role in ("alice", "bob") for one in TUNNELS[role])
    device, key = site.network.device("wg"), wireguard.public_key("alice")
    must("wg", "set", device, "peer", key, "allowed-ips", addresses)
    site.gateway.logs("Client disconnected", 2)
    site.gateway.logs(
        f"Peer {key} of {device} has addresses of alice and bob: they are not connected"
    )
    status, says = ping(site.network["alice"], FILES[0], "-W", "1")
    assert (status, "100% packet loss" in says) == (1, True), says
