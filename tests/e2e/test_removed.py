"""What others remove is laid again at once, and what they lay has no say.

All the while Alice sends what she may not, and somebody behind sends her what nobody may.
"""

import signal
from collections.abc import Iterator

import pytest

from firezone_filter.host.rules import ENTRY, FIRST, INBOUND_TABLE, LAST, OUTBOUND_TABLE
from tests.e2e.capture import Capture
from tests.e2e.network import FILES, TUNNELS
from tests.e2e.policies import cidr, policy, tcp
from tests.e2e.programs import python, wait_for
from tests.e2e.site import Site
from tests.e2e.talk import both_families, fetch, url, with_wireguard
from tests.e2e.tunnels import WireGuard

FILES_BY_HTTP = policy(alice=[cidr(f"files of {one}", one, tcp(80)) for one in FILES])

TO_RESOURCES, TO_CLIENTS = "4001", "4002"

once = pytest.mark.parametrize("tunnel", ["plain"], indirect=True)
"""Tells a story with a plain interface alone: rules and routes do not know what is behind it."""

SEEN = ("rule", "route show table all", "address show dev ff-out", "address show dev ff-in")


class Flooded:
    """A site in which datagrams are sent in both directions that nobody permits."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self._captures: list[Capture] = []

    def begin(self) -> None:
        """Send, and count what arrives."""
        site = self.site
        self._captures = [
            site.capture("host", "eth", "udp and dst port", TO_RESOURCES),
            site.capture("alice", "tun", "udp and dst port", TO_CLIENTS),
        ]
        flood = "tests.e2e.flood"
        site.start("alice", *python(flood, TO_RESOURCES, *FILES)).says("flooding")
        site.start("host", *python(flood, TO_CLIENTS, *TUNNELS["alice"])).says("flooding")

    def arrived(self) -> int:
        """Return how many have arrived."""
        return sum(len(one.packets()) for one in self._captures)

    def look(self) -> list[str]:
        """Return rules, routes and addresses of the gateway."""
        gateway = self.site.network["gateway"]
        shown = [
            gateway.run("ip", f"-{family}", *what.split()).stdout.splitlines()
            for family in "46"
            for what in SEEN
        ]
        # Of equal priorities, what was laid later comes later.
        return sorted(line for lines in shown for line in lines)

    def fetches(self, family: int = 0) -> bool:
        """Tell whether Alice gets what she may."""
        return fetch(self.site.network["alice"], url(FILES[family]), "-m", "5")[0] == 0


@pytest.fixture
def flooded(site: Site) -> Iterator[Flooded]:
    """Return a site with a gateway at work, and datagrams on the way."""
    flooded = Flooded(site)
    site.start_gateway(FILES_BY_HTTP)
    flooded.begin()
    yield flooded
    assert flooded.arrived() == 0


@once
@both_families
@pytest.mark.parametrize("priority", [ENTRY, *range(FIRST, LAST + 1)])
def test_a_rule_is_laid_again(flooded: Flooded, priority: int, family: int) -> None:
    before, gateway = flooded.look(), flooded.site.network["gateway"]
    gateway.ip(f"-{'46'[family]}", "rule", "del", "priority", str(priority))
    laid = flooded.site.gateway.logs("Somebody has removed what is laid again")
    wait_for("the rule", lambda: flooded.look() == before)
    assert laid[0]["message"].endswith(f": rule {priority}")
    assert flooded.fetches(family)


@once
@both_families
@pytest.mark.parametrize("table", [OUTBOUND_TABLE, INBOUND_TABLE])
def test_so_are_the_routes_of_a_table(flooded: Flooded, table: int, family: int) -> None:
    before, gateway = flooded.look(), flooded.site.network["gateway"]
    gateway.ip(f"-{'46'[family]}", "route", "flush", "table", str(table))
    wait_for("the routes", lambda: flooded.look() == before)
    assert flooded.fetches(family)


@once
@pytest.mark.parametrize("device", ["ff-out", "ff-in"])
@pytest.mark.parametrize("command", ["link set dev {} down", "address flush dev {}"])
def test_a_device_gets_back_what_it_has_lost(flooded: Flooded, command: str, device: str) -> None:
    before, gateway = flooded.look(), flooded.site.network["gateway"]
    gateway.ip(*command.format(device).split())
    wait_for("the device", lambda: flooded.look() == before)
    assert all(flooded.fetches(family) for family in (0, 1))


@once
@both_families
@pytest.mark.parametrize("where", [(), ("priority", "0")], ids=["no priority", "priority 0"])
def test_rules_of_others_do_not_come_before(
    flooded: Flooded, where: tuple[str, ...], family: int
) -> None:
    site, gateway = flooded.site, flooded.site.network["gateway"]
    # As wg-quick does for a tunnel that takes everything.
    rule = (f"-{'46'[family]}", "rule", "add", *where, "not", "fwmark", "51820", "lookup", "main")
    gateway.ip(*rule)
    (line,) = site.gateway.logs("is without effect beside the filter")
    assert line["severity"] == "WARN"
    assert flooded.fetches(family)
    # The kernel leads all packets to the other rule that has this priority.
    before = flooded.look()
    gateway.ip(f"-{'46'[family]}", "rule", "del", "priority", str(FIRST))
    wait_for("the rule", lambda: flooded.look() == before)
    # They are there at the next start as well, and keep nobody from it.
    site.gateway.end(signal.SIGKILL)
    site.start_again()
    assert flooded.fetches(family)


OTHERS = (
    "add {files} dev {out} table {to_resources}",
    "replace default dev {out} metric 1 table {to_resources}",
    "append default dev {out} metric 1 table {to_resources}",
    "replace default dev {out} metric 2147483648 table {to_resources}",
    "add table {to_resources} default metric 9 nexthop via {near} nexthop via {far}",
    "add {alice} dev {tunnel} table {to_clients}",
)


@once
@both_families
@pytest.mark.parametrize("route", OTHERS, ids=lambda route: route.split(" dev")[0])
def test_routes_of_others_do_not_stay(site: Site, route: str, family: int) -> None:
    network, gateway = site.network, site.network["gateway"]
    words = {
        "files": FILES[family],
        "alice": TUNNELS["alice"][family],
        "out": network.device("net"),
        "tunnel": network.tunnel.interfaces(network)[0],
        "near": ("10.0.0.2", "fd10:a::2")[family],
        "far": ("10.0.0.3", "fd10:a::3")[family],
        "to_resources": OUTBOUND_TABLE,
        "to_clients": INBOUND_TABLE,
    }
    lay = (f"-{'46'[family]}", "route", *route.format(**words).split())
    site.start_gateway(FILES_BY_HTTP)
    flooded = Flooded(site)

    def look() -> list[str]:
        # The devices of the next gateway have other numbers.
        return [line for line in flooded.look() if " table 2021111" in line]

    before = look()
    gateway.ip(*lay)
    (line,) = site.gateway.logs("Routes of others are removed")
    assert line["severity"] == "WARN"
    wait_for("the routes", lambda: look() == before)
    # What has come while nobody was there is gone before the next one begins.
    site.gateway.end(signal.SIGKILL)
    gateway.ip(*lay)
    site.start_again()
    flooded.begin()
    assert look() == before
    assert flooded.fetches(family)
    assert flooded.arrived() == 0


@once
def test_the_table_local_does_not_come_first_again(flooded: Flooded) -> None:
    before, gateway = flooded.look(), flooded.site.network["gateway"]
    gateway.ip("rule", "add", "priority", "0", "lookup", "local")
    wait_for("the rules", lambda: flooded.look() == before)


@once
def test_what_keeps_clients_from_shouting_is_laid_again(flooded: Flooded) -> None:
    site = flooded.site
    (interface, *_), gateway = (
        site.network.tunnel.interfaces(site.network),
        site.network["gateway"],
    )
    show = ("tc", "filter", "show", "dev", interface, "ingress")
    before = gateway.run(*show).stdout
    gateway.run("tc", "qdisc", "del", "dev", interface, "clsact")
    wait_for("the classifier", lambda: gateway.run(*show).stdout.count("pref 211"))
    assert before.count("pref 211") == gateway.run(*show).stdout.count("pref 211")


@with_wireguard
def test_an_interface_may_go_and_come_again(flooded: Flooded) -> None:
    network = flooded.site.network
    tunnel, gateway = network.tunnel, network["gateway"]
    assert isinstance(tunnel, WireGuard)
    (interface,) = tunnel.interfaces(network)
    assert flooded.fetches()
    gateway.ip("link", "del", "dev", interface)
    tunnel.begin(network)
    for client in ("alice", "bob"):
        tunnel.admit(network, client)
    show = ("tc", "filter", "show", "dev", interface, "ingress")
    wait_for("the classifier", lambda: "pref 211" in gateway.run(*show).stdout)
    wait_for("the handshake", flooded.fetches)


@once
def test_without_a_gateway_it_all_arrives(site: Site) -> None:
    flooded = Flooded(site)
    flooded.begin()
    for family in (0, 1) * 5:
        assert flooded.fetches(family)
    assert flooded.arrived() > 0
