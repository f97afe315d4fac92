"""docs/how-to/gateway.md: its lines bring a client to its resource, as they stand there."""

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.e2e.network import FILES, TUNNELS
from tests.e2e.programs import ROOT
from tests.e2e.site import Site
from tests.e2e.talk import COULD_NOT_CONNECT, fetch, ping, url
from tests.e2e.tunnels import Quick, Tunnel, lacking, program
from tests.snippets import blocks

GUIDE = ROOT / "docs/how-to/gateway.md"
INSTALL, GATEWAY, RELEASE, SERVICE = blocks(GUIDE, "sh")
(WG0,) = blocks(GUIDE, "ini")
(POLICY,) = blocks(GUIDE, "json")

# `firezone-filter` is that of the Python that runs the tests.
PATH = f"PATH={Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
NO_MODULE = f"WG_QUICK_USERSPACE_IMPLEMENTATION={program()}"


def shell(script: str) -> tuple[str, ...]:
    return ("env", PATH, f"PYTHONPATH={ROOT}", NO_MODULE, "bash", "-euo", "pipefail", "-c", script)


@pytest.fixture
def tunnel() -> Tunnel:
    if (reason := lacking()) is not None:
        pytest.skip(reason)
    return Quick()


@pytest.fixture
def configured(site: Site) -> Iterator[Site]:
    """Let the gateway's machine have the configuration of the guide, and nothing at work."""
    assert isinstance(site.network.tunnel, Quick)
    configuration = WG0
    for what, key in site.network.tunnel.keys().items():
        configuration = configuration.replace(what, key)
    # `ip netns exec` lays these files over those of /etc.
    own = Path("/etc/netns", site.network["gateway"].name)
    (own / "wireguard").mkdir(parents=True)
    (own / "wireguard/wg0.conf").touch(0o600)
    (own / "wireguard/wg0.conf").write_text(configuration)
    site.policy_path.write_text(POLICY)
    yield site
    shutil.rmtree(own)
    with suppress(OSError):  # there are others'
        own.parent.rmdir()


def test_ten_lines_are_a_filtering_gateway(configured: Site) -> None:
    assert len((INSTALL + GATEWAY).splitlines()) <= 10
    site, gateway = configured, configured.network["gateway"]
    script = f"cd {site.policy_path.parent}\n{GATEWAY}wait"
    site.gateway = site.start_logging("gateway", shell(script))
    site.gateway.logs("Client connected")
    alice = site.network["alice"]
    assert ping(alice, FILES[0])[0] == 0
    assert fetch(alice, url(FILES[0])) == (0, f"{FILES[0]} asked from {TUNNELS['alice'][0]}")
    assert fetch(alice, url(FILES[0], 8080))[0] == COULD_NOT_CONNECT
    warnings = [one["message"] for one in site.gateway.lines() if one["severity"] != "INFO"]
    # Until wg0 is there, nobody has peers to read.
    assert all("wg0" in warning or "no peer" in warning for warning in warnings), warnings
    released = gateway.run(*shell(RELEASE))
    assert (released.returncode, "released" in released.stdout) == (0, True), released.stdout
    down = gateway.run(*shell("wg-quick down wg0"))
    assert down.returncode == 0, down.stdout
