"""`replay` with the options of the policy file, and what the command line adds to them."""

import json
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import pytest

from firezone_filter.cli import replay_job
from firezone_filter.cli.command import run
from firezone_filter.cli.exit import ExitStatus
from firezone_filter.policy import Policy
from firezone_filter.replay.engine import Engine
from firezone_filter.replay.engines import engine_for
from firezone_filter.replay.partitions.spread import Spread
from firezone_filter.values.filters import Icmp
from firezone_filter.values.options import GatewayOptions
from tests.captures import ALLOWED, POLICY, REFUSED, pcap

from .terminal import Said

Replay = Callable[..., int]
Opened = AbstractContextManager[Engine]


@pytest.fixture
def replay(tmp_path: Path) -> Replay:
    """Return a function that replays a capture with options in the policy file."""
    capture, policy = tmp_path / "office.pcap", tmp_path / "policy.json"
    capture.write_bytes(pcap(ALLOWED, REFUSED))

    def replay_with(options: dict[str, object] | None, *arguments: str) -> int:
        policy.write_text(json.dumps(POLICY | ({} if options is None else {"options": options})))
        return run(["replay", str(capture), "--policy", str(policy), *arguments])

    return replay_with


@pytest.fixture
def policies(monkeypatch: pytest.MonkeyPatch) -> list[Policy]:
    """Collect the policies that captures are replayed through."""
    seen: list[Policy] = []

    def engine(_: Spread, policy: Policy, *__: object, **___: object) -> Opened:
        seen.append(policy)
        return nullcontext(engine_for(policy))

    monkeypatch.setattr(replay_job, "engine_over", engine)
    return seen


@pytest.mark.parametrize(
    ("in_file", "arguments", "expected"),
    [
        (None, [], GatewayOptions()),
        (None, ["--stateful"], GatewayOptions(stateful=True)),
        ({"stateful": True}, [], GatewayOptions(stateful=True)),
        ({"stateful": True}, ["--stateful"], GatewayOptions(stateful=True)),
        (
            {"stateful": False, "max_flows": 5, "own_filters": [{"protocol": "icmp"}]},
            ["--stateful"],
            GatewayOptions(stateful=True, max_flows=5, own_filters=[Icmp()]),
        ),
        (
            {"reject": False},
            ["--client", "alice=192.168.1.5", "--stateful"],
            GatewayOptions(stateful=True, reject=False),
        ),
    ],
)
def test_stateful_is_added_to_the_options_of_the_policy(
    in_file: dict[str, object] | None,
    arguments: list[str],
    expected: GatewayOptions,
    replay: Replay,
    policies: list[Policy],
) -> None:
    assert replay(in_file, *arguments) == ExitStatus.DONE
    assert [policy.options for policy in policies] == [expected]


@pytest.mark.parametrize(("in_file", "kind"), [(None, "reject"), ({"reject": False}, "drop")])
def test_the_options_of_the_policy_decide(
    in_file: dict[str, object] | None,
    kind: str,
    replay: Replay,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert replay(in_file, "--json") == ExitStatus.DONE
    decisions = json.loads(capsys.readouterr().out)["decisions"]["outbound"]
    assert (decisions["forward"]["packets"], decisions[kind]["packets"]) == (1, 1)


def test_flow_records_in_a_policy_without_flows_change_nothing(
    replay: Replay, capsys: pytest.CaptureFixture[str]
) -> None:
    said = []
    for options in (None, {"flow_records": True}):
        assert replay(options) == ExitStatus.DONE
        said.append(capsys.readouterr())
    assert said[0] == said[1]


def test_a_misspelt_option_ends_the_command(replay: Replay, said: Callable[[], Said]) -> None:
    assert replay({"statefull": True}) == ExitStatus.UNUSABLE
    (line,) = said().err
    assert line.endswith("options.statefull: unknown field, did you mean 'stateful'?")


def test_help_names_the_option(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["replay", "--help"]) == ExitStatus.DONE
    assert "--stateful" in capsys.readouterr().out
