"""Resources that are reached by name, through proxy addresses."""

import pytest

from tests.e2e.network import FILES, TUNNELS
from tests.e2e.policies import named, policy, tcp, udp
from tests.e2e.resource import CLOSED_PORT, ECHO_PORT
from tests.e2e.site import Site
from tests.e2e.talk import ask, both_families, datagrams, fails_to_fetch, fetch

GIT = ("100.96.0.1", "fd00:2021:1111:8000::1")
WIKI = ("100.96.0.2", "fd00:2021:1111:8000::2")

TWO_NAMES = policy(
    alice=[
        named("git", "git.example.com", [*GIT], [*FILES], tcp(80), udp(ECHO_PORT, CLOSED_PORT)),
        named("wiki", "wiki.example.com", [*WIKI], [*FILES], tcp(8080), udp(ECHO_PORT)),
    ]
)


@pytest.fixture
def by_name(site: Site) -> Site:
    """Return a site where Alice may reach two names of one host."""
    site.start_gateway(policy(alice=[]))
    site.authorize(TWO_NAMES)
    return site


def at(name: str, port: int, proxy: str) -> tuple[str, ...]:
    """Return how curl is told the address of a name."""
    address = f"[{proxy}]" if ":" in proxy else proxy
    return (f"http://{name}:{port}/", "--resolve", f"{name}:{port}:{address}")


@both_families
def test_http_works_through_proxy_addresses(by_name: Site, family: int) -> None:
    alice, client = by_name.network["alice"], TUNNELS["alice"][family]
    for name, port, proxy in (("git", 80, GIT), ("wiki", 8080, WIKI)):
        where, *options = at(f"{name}.example.com", port, proxy[family])
        status, says = fetch(alice, where, *options, "-w", " at %{remote_ip}")
        host = f"{name}.example.com" + ("" if port == 80 else f":{port}")
        assert (status, says) == (0, f"{host} asked from {client} at {proxy[family]}")


@both_families
def test_two_names_of_one_address_have_their_own_permissions(by_name: Site, family: int) -> None:
    for name, port, proxy in (("git", 8080, GIT), ("wiki", 80, WIKI)):
        where, *options = at(f"{name}.example.com", port, proxy[family])
        fails, says = fails_to_fetch(by_name.network["alice"], where, family, *options)
        assert fails, says


@both_families
def test_two_names_of_one_address_answer_apart(by_name: Site, family: int) -> None:
    alice = by_name.network["alice"]
    with (
        datagrams(alice, GIT[family], ECHO_PORT, local_port=5000) as git,
        datagrams(alice, WIKI[family], ECHO_PORT, local_port=5000) as wiki,
    ):
        # Only what comes from its own proxy address arrives at a connected socket.
        assert (ask(git, b"git"), ask(wiki, b"wiki")) == (b"git", b"wiki")


@both_families
def test_a_closed_port_of_a_name_refuses_at_once(by_name: Site, family: int) -> None:
    alice = by_name.network["alice"]
    with datagrams(alice, GIT[family], CLOSED_PORT) as sock, pytest.raises(ConnectionRefusedError):
        ask(sock, b"anybody there?")
