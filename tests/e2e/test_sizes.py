"""Large datagrams, in fragments, and large transfers over a path with a narrow part."""

from pathlib import Path

import pytest

from tests.e2e.network import FILES, NARROW, NARROW_MTU, PROXIES
from tests.e2e.policies import cidr, named, policy, tcp, udp
from tests.e2e.programs import wait_for
from tests.e2e.resource import ECHO_PORT
from tests.e2e.site import Site
from tests.e2e.talk import ask, both_families, datagrams, fetch, stateful_or_not, url

LARGE = bytes(range(250)) * 32

REASSEMBLED = ("IpReasmOKs", "Ip6ReasmOKs")
TOO_BIG = ("IpFragFails", "Ip6InTooBigErrors")
SIZE = 3_000_000


@both_families
@pytest.mark.parametrize("addresses", [FILES, PROXIES], ids=["direct", "translated"])
@stateful_or_not
def test_datagrams_of_8000_bytes_pass_both_ways(
    site: Site, family: int, addresses: tuple[str, str], options: tuple[str, ...]
) -> None:
    site.start_gateway(policy(alice=[]), *options)
    files = cidr("files", FILES[family], udp(ECHO_PORT))
    echo = named("echo", "echo.example.com", [*PROXIES], [*FILES], udp(ECHO_PORT))
    site.authorize(policy(alice=[files, echo]))
    ends = site.network["alice"], site.network["host"]
    before = [end.counter(REASSEMBLED[family]) for end in ends]
    with datagrams(site.network["alice"], addresses[family], ECHO_PORT) as sock:
        assert ask(sock, LARGE) == LARGE
    after = [end.counter(REASSEMBLED[family]) for end in ends]
    assert all(more > less for more, less in zip(after, before, strict=True))


@both_families
@pytest.mark.parametrize(
    "options",
    [(), ("--stateful",), ("--no-offload",)],
    ids=["stateless", "stateful", "no-offload"],
)
def test_a_large_upload_finds_out_the_mtu_of_its_path(
    site: Site, family: int, options: tuple[str, ...], tmp_path: Path
) -> None:
    site.start_gateway(policy(alice=[]), *options)
    site.authorize(policy(alice=[cidr("narrow", NARROW[family], tcp(80))]))
    alice, router = site.network["alice"], site.network["router"]
    upload = tmp_path / "upload"
    upload.write_bytes(bytes(SIZE))
    before = router.counter(TOO_BIG[family])
    # TCP says "don't fragment"; what is too big for the router is answered with an ICMP error.
    assert fetch(alice, url(NARROW[family]), "-T", str(upload)) == (0, f"{SIZE} bytes")
    assert router.counter(TOO_BIG[family]) > before
    assert f"mtu {NARROW_MTU}" in alice.run("ip", "route", "get", NARROW[family]).stdout


@pytest.mark.parametrize("tunnel", ["plain"], indirect=True)
@pytest.mark.parametrize("before", [1200, 1280], ids=["at the start", "later"])
def test_a_small_mtu_takes_ipv6_and_a_larger_one_brings_it_back(site: Site, before: int) -> None:
    gateway, interfaces = site.network["gateway"], site.network.tunnel.interfaces(site.network)

    def mtu(size: int) -> None:
        for one in interfaces:
            gateway.ip("link", "set", one, "mtu", str(size))

    def has(text: str) -> bool:
        return text in gateway.run("ip", "address", "show", "dev", "ff-out").stdout

    mtu(before)
    site.start_gateway(policy(alice=[cidr("files", FILES[0], tcp(80))]))
    mtu(1200)
    wait_for("the small MTU", lambda: has("mtu 1200") and not has("inet6"))
    assert fetch(site.network["alice"], url(FILES[0]))[0] == 0
    mtu(1300)
    wait_for("IPv6", lambda: has("mtu 1300") and has("inet6"))
    wait_for("its routes", lambda: len(routes(site)) == 2)
    assert not has("fe80:")
    assert not [line for line in site.gateway.lines() if "refuses" in line["message"]]


def routes(site: Site) -> list[str]:
    """Return the IPv6 routes that lead into the gateway's devices."""
    shown = site.network["gateway"].run("ip", "-6", "route", "show", "table", "all").stdout
    return [line for line in shown.splitlines() if line.startswith("default dev ff-")]


@both_families
def test_tracepath_finds_out_the_mtu_of_the_path(site: Site, family: int) -> None:
    site.start_gateway(policy(alice=[]))
    site.authorize(policy(alice=[cidr("narrow", NARROW[family], udp(1, 65_535))]))
    path = site.network["alice"].run("tracepath", "-n", NARROW[family]).stdout
    assert f"Resume: pmtu {NARROW_MTU} " in path
