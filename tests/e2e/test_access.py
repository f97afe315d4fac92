"""What is permitted works, and what is not fails at once, as programs and kernels see it."""

from tests.e2e.network import FILES, OTHER, ROUTER, TUNNELS
from tests.e2e.policies import PING, cidr, policy, tcp, udp
from tests.e2e.programs import wait_for
from tests.e2e.site import Site
from tests.e2e.talk import (
    COULD_NOT_CONNECT,
    PING_SAYS,
    both_families,
    fails_to_fetch,
    fetch,
    ping,
    stateful_or_not,
    url,
    with_wireguard,
)

HEADERS = (28, 48)  # of IP and ICMP, in bytes


@both_families
def test_at_first_nothing_is_allowed_and_fails_at_once(site: Site, family: int) -> None:
    site.start_gateway(policy(alice=[]))
    alice = site.network["alice"]
    status, says = ping(alice, FILES[family])
    assert (status, PING_SAYS[family] in says) == (1, True), says
    fails, says = fails_to_fetch(alice, url(FILES[family]), family)
    assert fails, says


@both_families
@stateful_or_not
def test_what_is_authorized_works_and_nothing_else(
    site: Site, family: int, options: tuple[str, ...]
) -> None:
    site.start_gateway(policy(alice=[]), *options)
    site.authorize(policy(alice=[cidr("files", FILES[family], tcp(80), PING)]))
    alice = site.network["alice"]
    assert ping(alice, FILES[family])[0] == 0
    status, says = fetch(alice, url(FILES[family]))
    assert (status, f"asked from {TUNNELS['alice'][family]}" in says) == (0, True), says
    for closed in (url(FILES[family], 8080), url(OTHER[family])):
        fails, says = fails_to_fetch(alice, closed, family)
        assert fails, says


@both_families
def test_nothing_reaches_a_client_unasked_through_a_stateful_gateway(
    site: Site, family: int
) -> None:
    site.start_gateway(policy(alice=[]), "--metrics", "9100", "--stateful")
    site.authorize(policy(alice=[cidr("files", FILES[family], PING)]))
    alice, host = site.network["alice"], site.network["host"]
    assert ping(alice, FILES[family])[0] == 0
    from_files = ("-I", FILES[family], "-W", "1")
    status, says = ping(host, TUNNELS["alice"][family], *from_files)
    assert (status, "100% packet loss" in says) == (1, True), says
    wait_for("the refusal", lambda: site.refused("inbound", "unsolicited") == 1)


@both_families
def test_what_is_revoked_fails_at_once(site: Site, family: int) -> None:
    site.start_gateway(policy(alice=[]))
    alice = site.network["alice"]
    site.authorize(policy(alice=[cidr("files", FILES[family], tcp(80))]))
    assert fetch(alice, url(FILES[family]))[0] == 0
    site.authorize(policy(alice=[]))
    assert fetch(alice, url(FILES[family]))[0] == COULD_NOT_CONNECT


@with_wireguard
@both_families
def test_nothing_arrives_that_is_sent_from_another_clients_address(
    site: Site, family: int
) -> None:
    everything = [cidr("files", FILES[family])]
    site.start_gateway(policy(alice=[], bob=[]))
    site.authorize(policy(alice=everything, bob=everything))
    alice, bob = site.network["alice"], site.network["bob"]
    own, another = TUNNELS["bob"][family], TUNNELS["alice"][family]
    bob.ip("address", "add", another, "dev", site.network.device("tun"))
    capture = site.capture("host", "eth", "icmp or icmp6")
    assert ping(bob, FILES[family], "-s", "100", "-I", own)[0] == 0
    status, says = ping(bob, FILES[family], "-s", "200", "-I", another, "-W", "1")
    assert (status, "100% packet loss" in says) == (1, True), says
    assert ping(alice, FILES[family], "-s", "300")[0] == 0
    sizes = {seen.size - HEADERS[family] for seen in capture.packets()}
    assert (100 in sizes, 200 in sizes, 300 in sizes) == (True, False, True)


@both_families
def test_no_client_reaches_another_client(site: Site, family: int) -> None:
    site.start_gateway(policy(alice=[], bob=[]))
    everything = [cidr("all-ipv4", "0.0.0.0/0"), cidr("all-ipv6", "::/0")]
    site.authorize(policy(alice=everything, bob=everything))
    # Bob's own kernel may still be telling which groups it is in.
    capture = site.capture("bob", "tun", "not ip6 multicast")
    status, says = ping(site.network["alice"], TUNNELS["bob"][family])
    assert (status, PING_SAYS[family] in says) == (1, True), says
    fails, says = fails_to_fetch(site.network["alice"], url(TUNNELS["bob"][family]), family)
    assert fails, says
    # The capture works: Bob's own packets are in it.
    assert ping(site.network["bob"], FILES[family])[0] == 0
    ends = {end for seen in capture.packets() for end in (seen.source, seen.destination)}
    assert ends == {TUNNELS["bob"][family], FILES[family]}


@both_families
def test_clients_may_ping_the_gateway_itself_and_nothing_else_of_it(
    site: Site, family: int
) -> None:
    site.start_gateway(policy(alice=[]))
    alice, own = site.network["alice"], TUNNELS["gateway"][family]
    assert ping(alice, own)[0] == 0
    fails, says = fails_to_fetch(alice, url(own), family)
    assert fails, says


@both_families
@stateful_or_not
def test_tracepath_finds_the_way(site: Site, family: int, options: tuple[str, ...]) -> None:
    site.start_gateway(policy(alice=[]), *options)
    site.authorize(policy(alice=[cidr("files", FILES[family], udp(1, 65_535))]))
    path = site.network["alice"].run("tracepath", "-n", FILES[family]).stdout
    hops = [line.split()[1] for line in path.splitlines() if line.lstrip()[0].isdigit()]
    way = [TUNNELS["gateway"][family], ROUTER[family], FILES[family]]
    assert ([hop for hop in way if hop in hops], "reached" in path) == (way, True), path
