"""docs/how-to/gateway.md: its lines bring a client to its resource, as they stand there."""

import json
import os
import signal
import sys
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from firezone_filter import load_policy
from tests.e2e.janitor import FILES_OF_NAMESPACES
from tests.e2e.network import CARRIERS, FILES, TUNNELS
from tests.e2e.programs import ROOT, run
from tests.e2e.site import Site
from tests.e2e.talk import COULD_NOT_CONNECT, fetch, ping, url
from tests.e2e.tunnels import Quick, Tunnel, lacking, program
from tests.snippets import blocks, fenced

GUIDE = ROOT / "docs/how-to/gateway.md"
INSTALL, GATEWAY, RELEASE, SERVICE = blocks(GUIDE, "sh")
WG0 = dict(zip(("gateway", "alice"), blocks(GUIDE, "ini"), strict=True))
(POLICY,) = blocks(GUIDE, "json")
(OTHER_ADDRESSES,) = (
    one.text for one in fenced(GUIDE) if (one.language, one.label) == ("json", "shown")
)
ENDPOINT = "gateway.example.com"

# `firezone-filter` is what INSTALL has installed, or that of the Python that runs the tests.
PATH = f"PATH={os.environ['PATH']}{os.pathsep}{Path(sys.executable).parent}"
NO_MODULE = f"WG_QUICK_USERSPACE_IMPLEMENTATION={program()}"

# On two machines both may have a `wg0`; here they have one file system.
APART = "mkdir -p /run/wireguard; mount -t tmpfs tmpfs /run/wireguard\n"


def shell(script: str) -> tuple[str, ...]:
    return ("env", PATH, NO_MODULE, "bash", "-euo", "pipefail", "-c", script)


@pytest.fixture
def tunnel() -> Tunnel:
    if (reason := lacking()) is not None:
        pytest.skip(reason)
    return Quick()


@pytest.fixture
def configured(site: Site) -> Site:
    """Let both machines have the configuration of the guide, and nothing at work."""
    assert isinstance(site.network.tunnel, Quick)
    for role, text in WG0.items():
        # `ip netns exec` lays these files over those of /etc.
        own = FILES_OF_NAMESPACES / site.network[role].name / "wireguard"
        own.mkdir(parents=True)
        (own / "wg0.conf").touch(0o600)
        gaps = site.network.tunnel.gaps(role) | {ENDPOINT: CARRIERS["alice"][0]}
        (own / "wg0.conf").write_text(filled(text, gaps))
    site.policy_path.write_text(POLICY)
    return site


def filled(text: str, gaps: dict[str, str]) -> str:
    for gap, what in gaps.items():
        text = text.replace(gap, what)
    return text


def test_ten_lines_are_a_filtering_gateway(configured: Site) -> None:
    assert len((INSTALL + GATEWAY).splitlines()) <= 10
    site = configured
    script = f"{APART}cd {site.policy_path.parent}\n{GATEWAY}wait\nsleep 1000"
    site.gateway = site.start_logging("gateway", shell(script))
    site.gateway.logs("Client connected")
    alice = site.network["alice"]
    up = alice.run(*shell(APART + "wg-quick up wg0"))
    assert up.returncode == 0, up.stdout
    assert ping(alice, FILES[0])[0] == 0
    assert fetch(alice, url(FILES[0])) == (0, f"{FILES[0]} asked from {TUNNELS['alice'][0]}")
    assert fetch(alice, url(FILES[0], 8080))[0] == COULD_NOT_CONNECT
    assert ping(alice, TUNNELS["gateway"][0])[0] == 0
    warnings = [one["message"] for one in site.gateway.lines() if one["severity"] != "INFO"]
    # Until wg0 is there, nobody has peers to read.
    assert all("wg0" in warning or "no peer" in warning for warning in warnings), warnings
    (started,) = site.gateway.lines("Started")
    os.kill(started["pid"], signal.SIGTERM)
    site.gateway.logs("Stopped")
    there = ("nsenter", "--mount", "--net", "--target", str(site.gateway.pid))
    released = run(*there, *shell(RELEASE))
    assert (released.returncode, "released" in released.stdout) == (0, True), released.stdout
    down = run(*there, *shell("wg-quick down wg0"))
    assert down.returncode == 0, down.stdout


def test_a_tunnel_may_have_other_addresses() -> None:
    plan = json.loads(f"{{{OTHER_ADDRESSES}}}")
    other = json.loads(POLICY.replace("100.64.0", "10.8.0")) | plan
    assert load_policy(json.dumps(other)).addresses.ipv4 == IPv4Address("10.8.0.1")
