"""The commands in the example's README work as they stand there."""

import os
import re
import sys
from pathlib import Path

from tests.e2e.programs import ROOT
from tests.e2e.site import Site
from tests.e2e.talk import COULD_NOT_CONNECT

README = (ROOT / "examples/tun_gateway/README.md").read_text()
BLOCK = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
ROUTER, GATEWAY, CLIENT, CURL, AUTHORIZE = BLOCK.findall(README)

# `python` is the one that runs the tests.
PATH = f"PATH={Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"


def shell(script: str) -> tuple[str, ...]:
    return ("env", PATH, "bash", "-euo", "pipefail", "-c", script)


def test_its_commands_bring_a_client_to_its_resource(site: Site) -> None:
    assert site.network["gateway"].run(*shell(ROUTER)).returncode == 0
    gateway = site.start_logging("gateway", shell(GATEWAY))
    (started,) = gateway.logs("Started")
    site.start_logging("alice", shell(CLIENT)).logs("Registered")
    alice = site.network["alice"]
    assert alice.run(*shell(CURL)).returncode == COULD_NOT_CONNECT
    hang_up, fetch = AUTHORIZE.replace("4711", str(started["pid"])).splitlines()
    assert site.network["gateway"].run(*shell(hang_up)).returncode == 0
    gateway.logs("Policy read")
    done = alice.run(*shell(fetch))
    assert (done.returncode, done.stdout) == (0, "10.20.0.10 asked from 100.64.0.2")
