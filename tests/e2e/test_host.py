"""The host itself: how it starts and ends, and what it does with what is wrong."""

import json
import os
import shutil
import signal
import socket
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.e2e.network import FILES, TUNNELS
from tests.e2e.policies import cidr, named, policy, tcp, udp
from tests.e2e.programs import PATIENCE, inside, python, wait_for
from tests.e2e.resource import ECHO_PORT
from tests.e2e.site import Site
from tests.e2e.talk import (
    COULD_NOT_CONNECT,
    CURL,
    ask,
    both_families,
    datagrams,
    fetch,
    ping,
    shout,
    url,
)

FILES_BY_HTTP = policy(alice=[cidr("files", FILES[0], tcp(80))])


@pytest.fixture
def at_work(site: Site) -> Site:
    """Return a site where Alice may fetch files."""
    site.start_gateway(FILES_BY_HTTP, "--metrics", "9100")
    return site


def fetches(site: Site) -> bool:
    """Tell whether Alice can fetch a file."""
    return fetch(site.network["alice"], url(FILES[0]))[0] == 0


def errors(site: Site) -> list[str]:
    """Return what the gateway has logged as errors."""
    return [line["message"] for line in site.gateway.lines() if line["severity"] == "ERROR"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_however_it_ends_its_devices_go_and_nothing_goes_around(
    at_work: Site, number: int
) -> None:
    router = at_work.capture("router", "up", "ip host", TUNNELS["alice"][0])
    assert at_work.gateway.end(number) == (-number if number == signal.SIGKILL else 0)
    gateway, alice = at_work.network["gateway"], at_work.network["alice"]
    assert " ff-in:" not in gateway.run("ip", "link").stdout
    for address in (FILES[0], TUNNELS["gateway"][0], "10.0.0.1"):
        status, says = ping(alice, address, "-W", "1")
        assert (status, "100% packet loss" in says) == (1, True), says
    assert router.packets() == []


def test_when_it_was_killed_it_starts_again_and_connections_go_on(at_work: Site) -> None:
    alice = at_work.network["alice"]
    with datagrams(alice, FILES[0], 80):
        page = at_work.path("page")
        where = url(FILES[0], path="/trickle/400000")
        download = at_work.start("alice", *CURL, "-o", str(page), where)
        wait_for("the download", lambda: page.exists() and page.stat().st_size > 50_000)
        at_work.gateway.end(signal.SIGKILL)
        at_work.start_again("--metrics", "9100")
        assert (download.wait(), page.stat().st_size) == (0, 400_000)
    assert errors(at_work) == []


@both_families
@pytest.mark.parametrize("filters", [0, 1, 2])
def test_release_leaves_nothing_behind(site: Site, family: int, filters: int) -> None:
    gateway = site.network["gateway"]
    # Of its owner, who may have another one for new interfaces.
    gateway.set(ipv4__conf__default__rp_filter="1")
    for interface in site.network.tunnel.interfaces(site.network):
        gateway.set(**{f"ipv4__conf__{interface}__rp_filter": str(filters)})

    def look() -> str:
        routing = [("rule",), ("route", "show", "table", "all"), ("link",), ("address",)]
        shown = [gateway.run("ip", "-d", f"-{'46'[family]}", *what).stdout for what in routing]
        settings = gateway.run("sysctl", "-a", "-r", r"^net\.ipv4\.conf\..*").stdout
        lines = ("".join(shown) + settings + gateway.run("tc", "qdisc").stdout).splitlines()
        # `ip` looks for the peers of links in all namespaces, of which others' may be going.
        return "\n".join(line for line in lines if "Peer netns reference is invalid" not in line)

    before = look()
    site.start_gateway(FILES_BY_HTTP)
    during = look()
    site.gateway.end(signal.SIGKILL)
    release = python("firezone_filter", "gateway", "release")
    done = [gateway.run(*release) for _ in range(2)]
    assert [(one.returncode, one.stdout) for one in done] == [
        (0, "firezone-filter: released: nothing is filtered\n"),
        (0, "firezone-filter: there is nothing to release\n"),
    ]
    assert during != before
    assert look() == before
    # And now everything goes around.
    assert fetch(site.network["alice"], url(FILES[family], 8080))[0] == 0


def test_release_takes_nothing_from_a_gateway_at_work(at_work: Site) -> None:
    gateway = at_work.network["gateway"]
    before = gateway.run("ip", "rule").stdout
    done = gateway.run(*python("firezone_filter", "gateway", "release"))
    assert (done.returncode, "a gateway is at work" in done.stdout) == (2, True), done.stdout
    assert gateway.run("ip", "rule").stdout == before
    assert fetches(at_work)


@both_families
def test_clients_reach_no_address_of_the_gateways_machine_that_is_not_permitted(
    site: Site, family: int
) -> None:
    outside = ("10.0.0.1", "fd10:a::1")[family]
    site.start("gateway", *python("tests.e2e.resource", outside)).says("serving")
    site.start_gateway(policy(alice=[]))
    alice = site.network["alice"]
    assert fetch(alice, url(outside))[0] == COULD_NOT_CONNECT
    site.authorize(policy(alice=[cidr("outside", outside, tcp(80))]))
    status, says = fetch(alice, url(outside))
    assert (status, f"asked from {TUNNELS['alice'][family]}" in says) == (0, True), says


FOR_ALL = [("255.255.255.255", "224.0.0.1"), ("ff02::1", "fe80::1")]


@both_families
def test_neither_do_broadcast_and_multicast_go_around_the_rules(site: Site, family: int) -> None:
    gateway, own = site.network["gateway"], TUNNELS["gateway"][family]
    gateway.ip(
        "address", "add", "fe80::1/64", "dev", site.network.tunnel.interfaces(site.network)[0]
    )
    site.start_gateway(policy(alice=[]) | {"options": {"own_filters": [udp(ECHO_PORT)]}})
    alice, device = site.network["alice"], site.network.device("tun")
    alice.ip("-6", "route", "replace", "fe80::/64", "dev", device)
    alice.ip("-6", "route", "replace", "multicast", "ff00::/8", "dev", device, "table", "local")
    with inside(gateway.name):
        listens = socket.socket((socket.AF_INET, socket.AF_INET6)[family], socket.SOCK_DGRAM)
    with listens, datagrams(alice, own, ECHO_PORT) as sock:
        listens.settimeout(PATIENCE)
        listens.bind(("", ECHO_PORT))
        for address in FOR_ALL[family]:
            shout(alice, device, address, ECHO_PORT)
        sock.send(b"you")
        assert listens.recv(100) == b"you"


@both_families
def test_the_gateways_machine_still_reaches_itself(site: Site, family: int) -> None:
    own = TUNNELS["gateway"][family]
    site.start("gateway", *python("tests.e2e.resource", own)).says("serving")
    site.start_gateway(policy(alice=[]))
    assert fetch(site.network["gateway"], url(own))[0] == 0


@pytest.mark.skipif(shutil.which("setpriv") is None, reason="setpriv is not installed")
def test_it_needs_no_privilege_but_to_administer_the_network(site: Site) -> None:
    site.write(FILES_BY_HTTP)
    sets = [f"--{name}-caps=-all,+net_admin" for name in ("inh", "ambient")]
    alone = ("setpriv", "--securebits=+noroot", *sets, "--bounding-set=-all,+net_admin")
    site.gateway = site.start_logging("gateway", (*alone, *site.command()))
    site.gateway.logs("Started")
    assert fetches(site)


def test_a_faulty_policy_is_reported_and_the_old_one_stays(at_work: Site) -> None:
    faulty = policy(alice=[cidr("files", FILES[0], tcp(80_000)), cidr("", FILES[0])])
    at_work.write(faulty)
    at_work.gateway.send_signal(signal.SIGHUP)
    first, *_, last = at_work.gateway.logs("The old policy stays", 3)
    assert "clients[0].authorizations[0].resource.filters[0].port_range_start" in first["message"]
    assert "clients[0].authorizations[1].resource.id" in last["message"]
    assert fetches(at_work)


def test_a_policy_that_hangs_holds_up_neither_packets_nor_the_end(at_work: Site) -> None:
    at_work.policy_path.unlink()
    os.mkfifo(at_work.policy_path)
    at_work.gateway.send_signal(signal.SIGHUP)
    # It has begun to read as soon as somebody can be at the other end.
    with ExitStack() as stack:
        wait_for("the reading", lambda: _open_if_read(at_work.policy_path, stack))
        assert fetches(at_work)
        assert at_work.gateway.end(signal.SIGTERM) == 0


def _open_if_read(path: Path, stack: ExitStack) -> bool:
    """Open a FIFO to write to if somebody reads from it; tell whether it was so."""
    try:
        stack.callback(os.close, os.open(path, os.O_WRONLY | os.O_NONBLOCK))
    except OSError:
        return False
    return True


def test_without_a_policy_the_old_one_stays(at_work: Site) -> None:
    at_work.policy_path.unlink()
    at_work.gateway.send_signal(signal.SIGHUP)
    assert "No such file" in at_work.gateway.logs("The old policy stays")[0]["message"]
    assert fetches(at_work)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (FILES_BY_HTTP | {"gateway": {"ipv4": "100.64.0.9"}}, "restart for that"),
        (FILES_BY_HTTP | {"options": {"stateful": True}}, "restart for that"),
        (policy(alice=[cidr("files", FILES[0], expires_at=8e9)]), "50 years"),
    ],
    ids=["own address", "options", "expiry"],
)
def test_a_policy_that_cannot_be_carried_out_changes_nothing(
    at_work: Site, change: dict[str, object], message: str
) -> None:
    at_work.write(change)
    at_work.gateway.send_signal(signal.SIGHUP)
    assert message in at_work.gateway.logs("The old policy stays")[0]["message"]
    assert fetches(at_work)


def test_a_client_that_the_policy_has_no_more_is_disconnected(at_work: Site) -> None:
    at_work.authorize(policy(bob=[]))
    # Nobody is there: nothing comes back, not even a refusal.
    status, says = ping(at_work.network["alice"], FILES[0], "-W", "1")
    assert (status, "100% packet loss" in says) == (1, True), says
    assert [line["cid"] for line in at_work.gateway.lines("Client disconnected")] == ["alice"]
    at_work.authorize(FILES_BY_HTTP)
    assert fetches(at_work)


def test_reading_a_policy_again_disturbs_no_translation(site: Site) -> None:
    names = {"git": "100.96.0.1", "wiki": "100.96.0.2"}
    both = [
        named(name, f"{name}.example.com", [proxy], [FILES[0]], udp(ECHO_PORT))
        for name, proxy in names.items()
    ]
    site.start_gateway(policy(alice=[]))
    site.authorize(policy(alice=both))
    alice, capture = site.network["alice"], site.capture("host", "eth", "udp and dst port 4000")
    with (
        datagrams(alice, names["git"], ECHO_PORT, local_port=5000) as git,
        datagrams(alice, names["wiki"], ECHO_PORT, local_port=5000) as wiki,
    ):
        ask(git, b"git")
        ask(wiki, b"wiki")  # from another port: 5000 is taken
        site.authorize(policy(alice=[*both, cidr("files", FILES[0])]))
        site.authorize(policy(alice=both))
        ask(wiki, b"wiki")
        ask(git, b"git")
    ports = [int.from_bytes(seen.payload[:2]) for seen in capture.packets()]
    assert ports == [5000, ports[1], ports[1], 5000]
    assert ports[1] != 5000


def test_the_counters_are_served_on_loopback(at_work: Site) -> None:
    assert fetch(at_work.network["alice"], url(FILES[0], 8080))[0] == COULD_NOT_CONNECT
    assert at_work.refused("outbound", "tcp-port") == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--policy", "/nowhere.json"), "No such file"),
        (("--policy", "README.md"), "line 1, column 1"),
        ((), "ff-out: Device or resource busy"),
    ],
    ids=["no file", "no policy", "twice"],
)
def test_what_keeps_it_from_starting_is_said(
    at_work: Site, words: tuple[str, ...], message: str
) -> None:
    done = at_work.network["gateway"].run(*at_work.command(*words))
    line = json.loads(done.stdout.splitlines()[-1])
    assert (done.returncode, message in line["message"]) == (2, True), line
    assert fetches(at_work)


def test_it_does_not_start_behind_rules_of_others(site: Site) -> None:
    site.network["gateway"].ip("rule", "add", "priority", "0", "lookup", "main")
    site.write(FILES_BY_HTTP)
    done = site.network["gateway"].run(*site.command())
    line = json.loads(done.stdout.splitlines()[-1])
    assert (done.returncode, "a rule has priority 0" in line["message"]) == (2, True), line


@pytest.mark.parametrize("tunnel", ["plain"], indirect=True)
@pytest.mark.parametrize("how", ["port", "name"])
def test_it_does_not_start_where_rules_see_nothing(site: Site, how: str) -> None:
    gateway, (interface, *_) = (
        site.network["gateway"],
        site.network.tunnel.interfaces(site.network),
    )
    site.write(FILES_BY_HTTP)
    command = site.command()
    if how == "port":
        bridge(site, interface)
    else:
        gateway.ip("link", "property", "add", "dev", interface, "altname", "another")
        command = (*command, "--interface", "another")
    line = json.loads(gateway.run(*command).stdout.splitlines()[-1])
    says = f"{interface} is a port of" if how == "port" else f"is {interface} by another name"
    assert says in line["message"], line


@pytest.mark.parametrize("tunnel", ["plain"], indirect=True)
def test_what_becomes_a_port_later_brings_nothing_until_it_is_none(at_work: Site) -> None:
    network = at_work.network
    gateway, alice = network["gateway"], network["alice"]
    (interface, *_) = network.tunnel.interfaces(network)
    # The bridge has the interface's own address of the link layer, so it takes what comes.
    arrives = at_work.capture("host", "eth", "udp and dst port 4001")
    device = bridge(at_work, interface)
    at_work.gateway.logs(f"Interface {interface} is a port of")
    with datagrams(alice, FILES[0], 4001) as sock:
        for _ in range(5):
            sock.send(b"around")
        assert fetch(alice, url(FILES[0]), "-m", "1")[0] != 0
        gateway.ip("link", "set", interface, "nomaster")
        gateway.ip("link", "del", device)
        wait_for("the interface", lambda: fetch(alice, url(FILES[0]), "-m", "1")[0] == 0)
    assert arrives.packets() == []


def bridge(site: Site, interface: str) -> str:
    """Make an interface the port of a bridge, and return the name of that."""
    gateway, name = site.network["gateway"], f"{interface}b"
    link = json.loads(gateway.run("ip", "-j", "link", "show", interface).stdout)[0]
    gateway.ip("link", "add", name, "address", link["address"], "type", "bridge")
    gateway.ip("link", "set", name, "up")
    gateway.ip("link", "set", interface, "master", name)
    return name


@pytest.mark.parametrize("switch", ["udp_early_demux", "tcp_early_demux"])
def test_it_does_not_start_where_packets_get_around_the_rules(site: Site, switch: str) -> None:
    gateway = site.network["gateway"]
    before = gateway.run("ip", "rule").stdout
    gateway.set(**{f"ipv4__{switch}": "1"})
    site.write(FILES_BY_HTTP)
    done = gateway.run(*site.command())
    line = json.loads(done.stdout.splitlines()[-1])
    says = f"sysctl --write net.ipv4.{switch}=0"
    assert (done.returncode, says in line["message"]) == (2, True), line
    assert gateway.run("ip", "rule").stdout == before


def test_a_switch_that_is_turned_on_later_is_said(at_work: Site) -> None:
    at_work.network["gateway"].set(ipv4__udp_early_demux="1")
    (line,) = at_work.gateway.logs("udp_early_demux is 1")
    assert line["severity"] == "WARN"
