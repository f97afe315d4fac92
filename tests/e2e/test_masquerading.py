"""The rules of gateway.md let a gateway masquerade whose clients the networks do not know."""

import shutil

import pytest

from tests.e2e.network import FILES, TUNNEL_RANGES
from tests.e2e.policies import cidr, policy, tcp
from tests.e2e.programs import ROOT
from tests.e2e.site import Site
from tests.e2e.talk import COULD_NOT_CONNECT, both_families, fetch, url
from tests.e2e.transfers import POLICY, exchange_datagrams, exchange_streams
from tests.snippets import blocks

(RULES,) = blocks(ROOT / "docs/how-to/gateway.md", "nft")
OUTSIDE = ("10.0.0.1", "fd10:a::1")

pytestmark = pytest.mark.skipif(shutil.which("nft") is None, reason="nftables is not installed")


def masquerade(site: Site) -> None:
    """Let the gateway masquerade, and nobody behind it know the clients."""
    for version, network in zip("46", TUNNEL_RANGES, strict=True):
        site.network["router"].ip(f"-{version}", "route", "del", network)
    ends = ", ".join(f'"{one}"' for one in site.network.tunnel.interfaces(site.network))
    path = site.path("nft")
    path.write_text(RULES.replace('"wg0"', ends))
    done = site.network["gateway"].run("nft", "-f", str(path))
    assert done.returncode == 0, done.stdout


@both_families
def test_answers_come_back_to_a_client_that_nobody_knows(site: Site, family: int) -> None:
    site.start_gateway(policy(alice=[cidr("files", FILES[family], tcp(80))]), "--stateful")
    masquerade(site)
    alice = site.network["alice"]
    answer = (0, f"{('10.20.0.10', '[fd10:14::10]')[family]} asked from {OUTSIDE[family]}")
    for _ in range(2):
        assert fetch(alice, url(FILES[family])) == answer
    assert fetch(alice, url(FILES[family], 8080))[0] == COULD_NOT_CONNECT


@pytest.mark.parametrize("options", [(), ("--no-offload",)], ids=["offload", "no-offload"])
def test_the_same_bytes_come_and_go_with_offload_and_without(
    site: Site, options: tuple[str, ...]
) -> None:
    site.start_gateway(POLICY, "--stateful", *options)
    masquerade(site)
    exchange_streams(site)
    exchange_datagrams(site)
