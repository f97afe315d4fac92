"""`replay --flows`: flow records of a capture, as JSON lines."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from firezone_filter.cli.command import run
from firezone_filter.cli.exit import ExitStatus
from firezone_filter.testing import icmp_echo
from tests.captures import CLIENT, POLICY, REFUSED, RESOURCE, pcap

OFFICE = Path(__file__).parents[3] / "examples/office"
PING = icmp_echo(f"{CLIENT} > {RESOURCE}", payload=b"1234")
PONG = icmp_echo(f"{RESOURCE} > {CLIENT}", payload=b"1234", reply=True)

Line = dict[str, Any]


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "policy.json").write_text(json.dumps(POLICY))
    (tmp_path / "office.pcap").write_bytes(pcap(PING, PONG, REFUSED))
    return tmp_path


def run_in(folder: Path, *options: str | Path) -> int:
    capture, policy_file = folder / "office.pcap", folder / "policy.json"
    arguments = ["replay", capture, "--policy", policy_file, *options]
    return run([str(argument) for argument in arguments])


def lines_of(path: Path) -> list[Line]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_flows_may_go_to_standard_output(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_in(files, "--flows", "-") == ExitStatus.DONE
    said = capsys.readouterr()
    assert [json.loads(one)["event"] for one in said.out.splitlines()] == [
        "flow-started",
        "flow-ended",
        "flow-refused",
    ]
    assert said.err.startswith(f"{files / 'office.pcap'}: 3 packets")


def test_flows_go_to_a_file_beside_decisions_and_packets(files: Path) -> None:
    names = {"flows": "f.jsonl", "decisions": "d.jsonl", "forwarded": "f.pcap"}
    outputs = {option: files / name for option, name in names.items()}
    options = [part for name, path in outputs.items() for part in (f"--{name}", path)]
    assert run_in(files, *options) == ExitStatus.DONE
    kinds = Counter(one["event"] for one in lines_of(outputs["flows"]))
    assert kinds == {"flow-started": 1, "flow-ended": 1, "flow-refused": 1}
    decisions = [one["decision"] for one in lines_of(outputs["decisions"])]
    assert decisions == ["forward", "forward", "reject"]
    assert outputs["forwarded"].stat().st_size


def test_the_file_of_a_capture_without_packets_is_empty(files: Path) -> None:
    (files / "office.pcap").write_bytes(pcap())
    assert run_in(files, "--flows", files / "flows.jsonl") == ExitStatus.DONE
    assert (files / "flows.jsonl").read_text() == ""


def test_help_names_the_option(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["replay", "--help"]) == ExitStatus.DONE
    assert "--flows FILE" in capsys.readouterr().out


# --- The example --------------------------------------------------------------------------------

Office = tuple[list[Line], list[Line]]
"""The flow records of the example, and its decisions."""


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Office:
    folder = tmp_path_factory.mktemp("office")
    arguments = ["replay", OFFICE / "office.pcap", "--policy", OFFICE / "policy.json"]
    options = ["--flows", folder / "flows.jsonl", "--decisions", folder / "decisions.jsonl"]
    assert run([str(argument) for argument in [*arguments, *options]]) == ExitStatus.DONE
    return lines_of(folder / "flows.jsonl"), lines_of(folder / "decisions.jsonl")


def test_every_flow_of_the_example_starts_and_ends(office: Office) -> None:
    flows, _ = office
    kinds = Counter(one["event"] for one in flows)
    assert kinds["flow-started"] == kinds["flow-ended"] >= 10


def test_an_expiry_ends_a_download_in_the_example(office: Office) -> None:
    flows, _ = office
    (download,) = (
        one for one in flows if one["event"] == "flow-ended" and one["resource_id"] == "downloads"
    )
    assert (download["cause"], download["inner_dst_port"]) == ("expired", 8080)


def test_every_refused_packet_of_the_example_is_in_one_record(office: Office) -> None:
    flows, decisions = office
    told: Counter[tuple[str, str]] = Counter()
    for one in flows:
        if one["event"] == "flow-refused":
            told[one["direction"], one["reason"]] += one["packets"]
    refused = [one for one in decisions if one["reason"] is not None]
    assert told == Counter((one["direction"], one["reason"]) for one in refused)


def test_every_allowed_ping_of_the_example_is_in_one_record(office: Office) -> None:
    flows, decisions = office
    ended = [one for one in flows if one["event"] == "flow-ended"]
    counted = sum(
        one["tx_packets"] + one["rx_packets"]
        for one in ended
        if (one["resource_id"], one["protocol"]) == ("files", 1)
    )
    passed = [one for one in decisions if (one["resource"], one["protocol"]) == ("files", 1)]
    # Fragments included.
    assert counted == len(passed) >= 8


def test_flows_of_the_example_start_at_the_times_of_its_packets(office: Office) -> None:
    flows, decisions = office
    times = {one["time"] for one in decisions}
    starts = {one["flow_start"] for one in flows if one["event"] == "flow-started"}
    assert starts <= times
