"""The host of docs/how-to/asyncio.md passes packets both ways, and takes up a changed policy.

(`test_pages` runs it as a program.)
"""

import asyncio
import json
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

from firezone_filter import CidrResource, DecisionLog, Event, Gateway, load_policy
from firezone_filter.aio import GatewayTimer
from firezone_filter.testing import tcp
from tests.snippets import ROOT, fenced

PAGE: Final = ROOT / "docs" / "how-to" / "asyncio.md"
HOST, POLICY = (block.text for block in fenced(PAGE) if block.is_file)
OUT: Final = tcp("100.64.0.2:40000 > 10.0.0.5:5432")
BACK: Final = tcp("10.0.0.5:5432 > 100.64.0.2:40000")
STRAY: Final = tcp("10.0.0.5:22 > 100.64.0.2:40000")


def defined_by(program: str) -> dict[str, Any]:
    names: dict[str, Any] = {"__name__": "docs"}
    exec(compile(program, "docs", "exec"), names)  # noqa: S102 - ours
    return names


def told(story: Callable[[Any], None]) -> list[Any]:
    """Run a story with a host, and return what the host has sent and reported."""
    seen: list[Any] = []

    def on_event(event: Event, _: float) -> None:
        seen.append(type(event).__name__)

    async def run() -> None:
        gateway = load_policy(POLICY).gateway(now=time.time())
        log = DecisionLog(logging.getLogger("docs"))
        with GatewayTimer(gateway, on_event, log) as timer:
            send = {"to_client": lambda *sent: seen.append(sent), "to_network": seen.append}
            story(defined_by(HOST)["Host"](gateway, log, timer, **send))

    asyncio.run(run())
    return seen


def test_packets_pass_both_ways_and_strays_do_not() -> None:
    def story(host: Any) -> None:  # noqa: ANN401 - the page's
        host.from_tunnel("alice", OUT)
        host.from_network(BACK)
        host.from_network(STRAY)

    assert told(story) == [OUT, ("alice", BACK)]


def test_a_changed_policy_is_taken_up_while_it_runs(tmp_path: Path) -> None:
    policy = json.loads(POLICY)
    policy["clients"][0]["authorizations"] = []
    path = tmp_path / "policy.json"
    path.write_text(json.dumps(policy))

    def story(host: Any) -> None:  # noqa: ANN401 - the page's
        host.reload(path)
        host.from_network(BACK)

    assert told(story) == ["AccessExhausted"]


def test_a_policy_that_cannot_be_read_changes_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "policy.json"
    path.write_text("{}")

    def story(host: Any) -> None:  # noqa: ANN401 - the page's
        host.reload(path)
        host.reload(tmp_path / "none.json")
        host.from_network(BACK)

    assert told(story) == [("alice", BACK)]
    assert [record.message for record in caplog.records] == ["The old policy stays"] * 2


def test_nothing_is_left_of_the_session_before() -> None:
    policy = load_policy(POLICY)

    def story(host: Any) -> None:  # noqa: ANN401 - the page's
        host.gateway.authorize("alice", CidrResource("more", "10.9.0.0/24"))
        host.session_began("alice", policy)
        assert list(host.gateway.authorizations("alice")) == ["db"]
        host.from_tunnel("alice", OUT)

    assert told(story) == [OUT]


def test_all_that_has_come_is_read_from_a_device_and_decided(
    capsys: pytest.CaptureFixture[str],
) -> None:
    (program,) = (block.text for block in fenced(PAGE) if block[:2] == ("python", ""))
    gateway: Gateway = load_policy(POLICY).gateway(now=time.time())
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    os.write(writing, BACK)
    try:
        defined_by(program)["read_all"](gateway, reading)
    finally:
        os.close(reading)
        os.close(writing)
    assert capsys.readouterr().out == f"{BACK!r}\n"
