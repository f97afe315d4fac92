"""Large datagrams, in fragments, and large transfers over a path with a narrow part."""

from pathlib import Path

import pytest

from tests.e2e.network import FILES, NARROW, NARROW_MTU, PROXIES
from tests.e2e.policies import cidr, named, policy, tcp, udp
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


@both_families
def test_tracepath_finds_out_the_mtu_of_the_path(site: Site, family: int) -> None:
    site.start_gateway(policy(alice=[]))
    site.authorize(policy(alice=[cidr("narrow", NARROW[family], udp(1, 65_535))]))
    path = site.network["alice"].run("tracepath", "-n", NARROW[family]).stdout
    assert f"Resume: pmtu {NARROW_MTU} " in path
