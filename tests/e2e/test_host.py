"""The example host itself: how it starts and ends, and what it does with what is wrong."""

import json
import signal

import pytest

from tests.e2e.network import CARRIERS, DNS_RANGES, FILES, NETWORKS
from tests.e2e.policies import cidr, named, policy, tcp, udp
from tests.e2e.programs import python
from tests.e2e.resource import ECHO_PORT
from tests.e2e.site import GATEWAY, Site
from tests.e2e.talk import COULD_NOT_CONNECT, ask, datagrams, fetch, ping, url

FILES_BY_HTTP = policy(alice=[cidr("files", FILES[0], tcp(80))])


@pytest.fixture
def at_work(site: Site) -> Site:
    """Return a site where Alice may fetch files."""
    site.start_gateway(policy(alice=[]), "--metrics", "9100")
    site.connect("alice", *NETWORKS)
    site.authorize(FILES_BY_HTTP)
    return site


def fetches(site: Site) -> bool:
    """Tell whether Alice can fetch a file."""
    return fetch(site.network["alice"], url(FILES[0]))[0] == 0


def errors(site: Site) -> list[str]:
    """Return what the gateway has logged as errors."""
    return [line["message"] for line in site.gateway.lines() if line["severity"] == "ERROR"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_and_nothing_stays_behind(site: Site, number: int) -> None:
    gateway = site.start_gateway(policy())
    gateway.logs("Started")
    assert (gateway.end(number), gateway.lines()[-1]["message"]) == (0, "Stopped")
    assert site.network.device("tun") not in site.network["gateway"].run("ip", "link").stdout


def test_when_it_is_killed_its_device_goes_too(site: Site) -> None:
    gateway = site.start_gateway(policy())
    gateway.logs("Started")
    assert gateway.end(signal.SIGKILL) == -signal.SIGKILL
    assert site.network.device("tun") not in site.network["gateway"].run("ip", "link").stdout


def test_a_faulty_policy_is_reported_and_the_old_one_stays(at_work: Site) -> None:
    faulty = policy(alice=[cidr("files", FILES[0], tcp(80_000)), cidr("", FILES[0])])
    at_work.write(faulty)
    at_work.gateway.send_signal(signal.SIGHUP)
    first, *_, last = at_work.gateway.logs("The old policy stays", 3)
    assert "clients[0].authorizations[0].resource.filters[0].port_range_start" in first["message"]
    assert "clients[0].authorizations[1].resource.id" in last["message"]
    assert fetches(at_work)


def test_without_a_policy_the_old_one_stays(at_work: Site) -> None:
    at_work.policy_path.unlink()
    at_work.gateway.send_signal(signal.SIGHUP)
    assert "No such file" in at_work.gateway.logs("The old policy stays")[0]["message"]
    assert fetches(at_work)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (FILES_BY_HTTP | {"gateway": {"ipv4": "100.64.0.9"}}, "restart for that"),
        (policy(alice=[cidr("files", FILES[0], expires_at=8e9)]), "50 years"),
    ],
    ids=["own address", "expiry"],
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
    assert [line["cid"] for line in at_work.gateway.lines("Client disconnected")] == ["alice"]
    at_work.authorize(FILES_BY_HTTP)
    # Nobody is there: nothing comes back, not even a refusal.
    status, says = ping(at_work.network["alice"], FILES[0], "-W", "1")
    assert (status, "100% packet loss" in says) == (1, True), says


def test_reading_a_policy_again_disturbs_no_translation(site: Site) -> None:
    names = {"git": "100.96.0.1", "wiki": "100.96.0.2"}
    both = [
        named(name, f"{name}.example.com", [proxy], [FILES[0]], udp(ECHO_PORT))
        for name, proxy in names.items()
    ]
    site.start_gateway(policy(alice=[]))
    site.connect("alice", *DNS_RANGES)
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


def test_strangers_and_garbage_are_ignored(at_work: Site) -> None:
    gateway, port = CARRIERS["bob"][0], 51820
    forged = b"\x45\0\0\x14" + bytes(16)
    stranger = b"\0" * 9 + b"mallory"
    garbage = [b"", b"\0", b"\0" * 9, b"\0" * 9 + b"\xff", b"\xff" * 65_507, forged, stranger]
    with datagrams(at_work.network["bob"], gateway, port) as sock:
        for datagram in garbage * 20:
            sock.send(datagram)
        # Whoever says that he is Bob is Bob; what he sends then is judged.
        at_work.authorize(policy(alice=[cidr("files", FILES[0], tcp(80))], bob=[]))
        registration = b"\0" * 9 + b"bob"
        assert ask(sock, registration) == registration
        for datagram in garbage * 20:
            sock.send(datagram)
        at_work.gateway.logs("Refused packet")
    assert (fetches(at_work), errors(at_work)) == (True, [])


def test_the_last_one_to_register_has_the_session(at_work: Site) -> None:
    assert fetches(at_work)
    gateway = CARRIERS["bob"][0]
    with datagrams(at_work.network["bob"], gateway, 51820) as sock:
        registration = b"\0" * 9 + b"alice"
        assert ask(sock, registration) == registration
    assert at_work.gateway.logs("Client connected", 2)[1]["cid"] == "alice"
    at_work.authorize(FILES_BY_HTTP)
    status, says = ping(at_work.network["alice"], FILES[0], "-W", "1")
    assert (status, "100% packet loss" in says) == (1, True), says


def test_a_registration_that_is_repeated_begins_no_new_session(at_work: Site) -> None:
    with datagrams(at_work.network["bob"], CARRIERS["bob"][0], 51820) as sock:
        at_work.authorize(policy(alice=[], bob=[]))
        registration = b"\0" * 9 + b"bob"
        assert [ask(sock, registration), ask(sock, registration)] == [registration] * 2
    bobs = [line for line in at_work.gateway.lines("Client connected") if line["cid"] == "bob"]
    assert len(bobs) == 1


def test_the_counters_are_served_on_loopback(at_work: Site) -> None:
    assert fetch(at_work.network["alice"], url(FILES[0], 8080))[0] == COULD_NOT_CONNECT
    assert at_work.refused("outbound", "tcp-port") == 1


@pytest.mark.parametrize(
    ("policy_path", "options", "message"),
    [
        ("/nowhere.json", (), "No such file"),
        ("README.md", (), "line 1, column 1"),
        ("{}", (), "Address already in use"),
        ("{}", ("--listen", "192.0.2.77"), "Cannot assign requested address"),
        ("{}", ("--port", "1", "--device", "lo"), "Invalid argument"),
        ("{}", ("--port", "1", "--device", "{}"), "Device or resource busy"),
        ("{}", ("--port", "1", "--device", "other"), "File exists"),
        ("{}", ("--port", "1", "--device", "a-name-too-long!"), "File name too long"),
        ("{}", ("--port", "1", "--device", "other", "--mtu", "10"), "Invalid argument"),
    ],
)
def test_what_keeps_it_from_starting_is_said(
    at_work: Site, policy_path: str, options: tuple[str, ...], message: str
) -> None:
    command = python(GATEWAY, policy_path.format(at_work.policy_path), "--listen", "0.0.0.0")
    ours = [option.format(at_work.network.device("tun")) for option in options]
    done = at_work.network["gateway"].run(*command, *ours)
    (line,) = done.stdout.splitlines()
    assert (done.returncode, message in json.loads(line)["message"]) == (1, True), line
