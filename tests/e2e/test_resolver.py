"""Names for clients that know nothing of a gateway: they only have a name server."""

import signal
import socket
from pathlib import Path
from typing import Final

import dns.exception
import dns.flags
import dns.message
import dns.query
import dns.rcode
import pytest

from tests.e2e.janitor import FILES_OF_NAMESPACES
from tests.e2e.network import FILES, TUNNELS
from tests.e2e.policies import PING, Json, policy, tcp, udp
from tests.e2e.programs import PATIENCE, inside, python, wait_for
from tests.e2e.site import Site
from tests.e2e.talk import CURL, both_families, fetch
from tests.e2e.zone import ELSEWHERE, GIT, LONG, PIECES, WIKI

TYPES: Final = ("A", "AAAA")
RANGES: Final = ("100.", "fd00:2021:1111:8")

EXAMPLES: Json = {
    "resource": {
        "type": "dns",
        "id": "examples",
        "address": "*.example.com",
        "filters": [tcp(80)],
    }
}


def names(**clients: list[Json]) -> Json:
    """Return a policy by which clients may ask for names, and only answers reach them."""
    options = {"own_filters": [PING, udp(53), tcp(53)], "stateful": True}
    return policy(**clients) | {"options": options}


def options(site: Site, others: str = "refuse") -> tuple[str, ...]:
    """Return how the gateway is told to answer."""
    file = str(site.policy_path.with_name("names.db"))
    servers = ("--name-server", FILES[0], "--name-server", FILES[1])
    return ("--resolver", others, "--names", file, *servers, "--metrics", "9100")


@pytest.fixture
def answering(site: Site) -> Site:
    """Return a site where Alice may reach names, and Bob none."""
    site.start("host", *python("tests.e2e.zone")).says("serving")
    site.start_gateway(names(alice=[EXAMPLES], bob=[]), *options(site))
    return site


def question(  # noqa: PLR0913 - as many as a question has parts
    site: Site, client: str, name: str, kind: str, *, family: int = 0, by_tcp: bool = False
) -> dns.message.Message:
    """Ask the gateway once, and wait long."""
    query = dns.message.make_query(name, kind)
    ask = dns.query.tcp if by_tcp else dns.query.udp
    with inside(site.network[client].name):
        return ask(query, TUNNELS["gateway"][family], timeout=PATIENCE)


def proxies(reply: dns.message.Message) -> list[str]:
    """Return the addresses that an answer has."""
    return [record.to_text() for rrset in reply.answer for record in rrset]


def reaches(site: Site, client: str, name: str, proxy: str) -> bool:
    """Tell whether a client fetches a page from what a name has led to."""
    address = f"[{proxy}]" if ":" in proxy else proxy
    where = (f"http://{name}/", "--resolve", f"{name}:80:{address}", "-m", "5")
    status, says = fetch(site.network[client], *where)
    return (status, says.startswith(f"{name} asked from")) == (0, True)


@both_families
def test_a_name_leads_to_its_resource(answering: Site, family: int) -> None:
    kind = TYPES[family]
    found = [
        question(answering, "alice", GIT, kind, family=family, by_tcp=by_tcp)
        for by_tcp in (False, True)
    ]
    (proxy,) = proxies(found[0])
    assert proxies(found[1]) == [proxy]
    assert proxy.startswith(RANGES[family])
    assert reaches(answering, "alice", GIT, proxy)
    page = answering.network["gateway"].run(*CURL, "http://127.0.0.1:9100/").stdout
    assert "\nfirezone_filter_resolver_own_total 2\n" in page


@pytest.fixture
def configured(answering: Site) -> Path:
    """Return the /etc/resolv.conf of Alice's machine, which has no more to it than that."""
    # `ip netns exec` lays it over that of /etc.
    own = FILES_OF_NAMESPACES / answering.network["alice"].name
    own.mkdir(parents=True)
    return own / "resolv.conf"


@both_families
@pytest.mark.parametrize("how", ["", "options use-vc\n"], ids=["udp", "tcp"])
def test_a_client_needs_nothing_but_the_address_of_its_name_server(
    answering: Site, configured: Path, family: int, how: str
) -> None:
    configured.write_text(f"nameserver {TUNNELS['gateway'][family]}\n{how}")
    status, says = fetch(answering.network["alice"], f"http://{GIT}/", f"-{'46'[family]}")
    assert (status, says) == (0, f"{GIT} asked from {TUNNELS['alice'][family]}")


@both_families
def test_a_connection_takes_several_questions_and_long_answers(
    answering: Site, family: int
) -> None:
    short = question(answering, "alice", LONG, "TXT", family=family)
    assert short.flags & dns.flags.TC
    alice, gateway = answering.network["alice"], TUNNELS["gateway"][family]
    with inside(alice.name):
        sock = socket.create_connection((gateway, 53), timeout=PATIENCE)
    with sock:
        for kind, count in (("TXT", PIECES), ("A", 0), ("TXT", PIECES)):
            query = dns.message.make_query(LONG, kind)
            reply = dns.query.tcp(query, gateway, timeout=PATIENCE, sock=sock)
            assert len(proxies(reply)) == count


@pytest.mark.parametrize("others", ["forward", "refuse"])
def test_other_names_are_forwarded_or_refused(site: Site, others: str) -> None:
    site.start("host", *python("tests.e2e.zone")).says("serving")
    site.start_gateway(names(alice=[EXAMPLES]), *options(site, others))
    reply = question(site, "alice", ELSEWHERE, "A")
    assert (reply.rcode(), proxies(reply)) == (
        (dns.rcode.NOERROR, ["198.51.100.7"]) if others == "forward" else (dns.rcode.REFUSED, [])
    )


def test_a_restart_keeps_what_addresses_mean(answering: Site) -> None:
    found = {
        (name, kind): proxies(question(answering, "alice", name, kind))
        for name in (GIT, WIKI)
        for kind in TYPES
    }
    answering.gateway.end(signal.SIGKILL)
    answering.start_again(*options(answering))
    # Nobody asks again: the gateway finds out by itself where they lead.
    for (name, _), (proxy,) in found.items():
        wait_for(name, lambda: reaches(answering, "alice", name, proxy))  # noqa: B023 - at once
    for (name, kind), before in found.items():
        assert proxies(question(answering, "alice", name, kind)) == before


def test_who_is_not_permitted_gets_no_address(answering: Site) -> None:
    (alices,) = proxies(question(answering, "alice", GIT, "A"))
    assert question(answering, "bob", GIT, "A").rcode() == dns.rcode.REFUSED
    assert not reaches(answering, "bob", GIT, alices)
    answering.authorize(names(bob=[EXAMPLES]))
    (bobs,) = proxies(question(answering, "bob", GIT, "A"))
    assert reaches(answering, "bob", GIT, bobs)
    # Alice is not connected any more: nobody answers her.
    query, own = dns.message.make_query(GIT, "A"), TUNNELS["gateway"][0]
    with inside(answering.network["alice"].name), pytest.raises(dns.exception.Timeout):
        dns.query.udp(query, own, timeout=1)


def test_without_the_port_in_own_filters_nobody_can_ask(site: Site) -> None:
    site.start_gateway(policy(alice=[EXAMPLES]), *options(site))
    for protocol in ("UDP", "TCP"):
        assert site.gateway.lines(f"do not permit {protocol} to port 53: clients cannot ask")
    with inside(site.network["alice"].name), pytest.raises(OSError, match="No route to host"):
        dns.query.tcp(dns.message.make_query(GIT, "A"), TUNNELS["gateway"][0], timeout=PATIENCE)


def test_a_second_answerer_on_the_port_is_said(site: Site) -> None:
    site.start("gateway", *python("tests.e2e.zone")).says("serving")
    site.write(names(alice=[EXAMPLES]))
    done = site.network["gateway"].run(*site.command(*options(site)))
    said = f"Address already in use: '{TUNNELS['gateway'][0]} port 53'"
    assert (done.returncode, said in done.stdout) == (2, True), done.stdout
