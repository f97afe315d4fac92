"""Who runs these tests, and the network that all of them share."""

import os
import secrets
import shutil
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.e2e.network import FILES, NARROW, OTHER, Namespace, Network
from tests.e2e.programs import Program, python
from tests.e2e.site import Site
from tests.e2e.tunnels import Plain, Tunnel, WireGuard, lacking

PROGRAMS = ("curl", "ip", "nstat", "ping", "sysctl", "tcpdump", "tracepath")


def missing() -> str | None:
    """Return what these tests need and do not have, or `None`."""
    if os.geteuid() != 0:
        return "only root can make network namespaces"
    if find_spec("pyroute2") is None:
        return "pyroute2 is not installed: pip install '.[gateway]'"
    if lacking := [program for program in PROGRAMS if shutil.which(program) is None]:
        return f"not installed: {', '.join(lacking)}"
    try:
        os.close(os.open("/dev/net/tun", os.O_RDWR))
        Namespace(f"ff-{secrets.token_hex(3)}-probe").remove()
    except (OSError, RuntimeError) as error:
        return f"no TUN devices, or no network namespaces: {error}"
    return None


@pytest.fixture(scope="session")
def able() -> None:
    """Skip unless asked to run; then fail where it cannot be done."""
    # They make network namespaces and TUN devices: nothing that a test run does unasked.
    if os.environ.get("E2E") != "required":
        pytest.skip("stories with real kernels need root, and E2E=required to run")
    if (reason := missing()) is not None:
        pytest.fail(reason)


@pytest.fixture(params=["plain", "wireguard"])
def tunnel(request: pytest.FixtureRequest) -> Tunnel:
    """Tell a story once with a plain interface, and once with WireGuard."""
    if request.param == "plain":
        return Plain()
    if (reason := lacking()) is not None:
        pytest.skip(reason)
    return WireGuard()


@pytest.fixture
def site(able: None, tmp_path: Path, tunnel: Tunnel) -> Iterator[Site]:  # noqa: ARG001 - a condition
    """Return a network, in which the host serves, and nobody else is at work yet.

    Each story has its own: kernels go on for minutes with what a story has left behind.
    """
    serve = python("tests.e2e.resource", *FILES, *OTHER, *NARROW)
    with (
        Network(tunnel) as network,
        Program(network["host"].name, serve, tmp_path / "host.txt") as host,
        Site(network, tmp_path) as site,
    ):
        host.says("serving")
        yield site
