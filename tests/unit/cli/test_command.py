"""`firezone-filter replay`, from its arguments to its exit status."""

import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Self

import click
import dpkt
import pytest
from attrs import frozen

from firezone_filter.capture.reader import Capture
from firezone_filter.cli import command
from firezone_filter.cli.command import run
from firezone_filter.cli.exit import ExitStatus
from firezone_filter.cli.interruptible import Interrupts
from tests.captures import (
    ALLOWED,
    ANSWER,
    FOREIGN,
    GATEWAY,
    POLICY,
    REFUSED,
    START_S,
    enhanced,
    ethernet,
    interface,
    ipv6,
    pcap,
    pcap_header,
    pcap_record,
    ports,
    section,
    simple,
    tcp,
)

from .terminal import Said, closed_pipe

FULL = Path("/dev/full")
needs_full_disk = pytest.mark.skipif(not FULL.exists(), reason="no /dev/full on this system")
OUTPUTS = ["--decisions", "--forwarded", "--flows", "--refused"]
ENDINGS = {
    "--decisions": ".jsonl",
    "--forwarded": ".pcap",
    "--flows": ".jsonl",
    "--refused": ".pcapng",
}
STOPS = "firezone-filter: writing stops: No space left on device"


@frozen
class Files:
    """A policy and a capture in an empty folder."""

    folder: Path

    @property
    def capture(self) -> Path:
        return self.folder / "office.pcap"

    @property
    def policy(self) -> Path:
        return self.folder / "policy.json"

    def replay(self, *options: str | Path) -> int:
        return self.replay_of(self.capture, *options)

    def replay_of(self, capture: str | Path, *options: str | Path) -> int:
        arguments = ["replay", capture, "--policy", self.policy, *options]
        return run([str(argument) for argument in arguments])


@pytest.fixture
def files(tmp_path: Path) -> Files:
    written = Files(tmp_path)
    written.policy.write_text(json.dumps(POLICY))
    written.capture.write_bytes(pcap(ALLOWED, ANSWER, REFUSED, FOREIGN))
    return written


class Interrupted(io.BytesIO):
    """Standard input at whose end, instead of typing, the user presses Ctrl-C."""

    @property
    def buffer(self) -> Self:
        return self

    def read(self, size: int | None = -1) -> bytes:
        data = super().read(size)
        if not data:
            signal.raise_signal(signal.SIGINT)
        return data

    read1 = read


# --- The outputs -------------------------------------------------------------------------


def test_a_replay_prints_a_summary_and_no_complaint(
    files: Files, said: Callable[[], Said]
) -> None:
    assert files.replay() == ExitStatus.DONE
    printed = said()
    assert printed.out[0] == f"{files.capture}: 4 packets, 160 bytes"
    assert printed.err == []


def test_the_summary_may_be_json(files: Files, capsys: pytest.CaptureFixture[str]) -> None:
    files.replay("--json")
    summary = json.loads(capsys.readouterr().out)
    assert summary["decisions"]["outbound"]["forward"] == {"packets": 1, "bytes": 40}


def test_decisions_go_to_a_file(files: Files) -> None:
    decisions = files.folder / "decisions.jsonl"
    files.replay("--decisions", decisions)
    lines = [json.loads(line) for line in decisions.read_text().splitlines()]
    assert [line["decision"] for line in lines] == ["forward", "forward", "reject"]


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_decisions_may_take_standard_output_from_the_summary(
    files: Files, said: Callable[[], Said], options: list[str]
) -> None:
    files.replay("--decisions", "-", *options)
    printed = said()
    assert [json.loads(line)["protocol"] for line in printed.out] == [6, 6, 6]
    assert len(printed.err) > 10


def test_allowed_packets_go_to_a_capture(files: Files) -> None:
    forwarded = files.folder / "forwarded.pcap"
    files.replay("--forwarded", forwarded)
    with forwarded.open("rb") as stream:
        packets = [(float(time), packet) for time, packet in dpkt.pcap.Reader(stream)]
    assert packets == [(1_700_000_000.0, ALLOWED), (1_700_000_001.0, ANSWER)]


def test_allowed_packets_may_go_to_standard_output(
    files: Files, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    files.replay("--forwarded", "-")
    capture = Capture(io.BytesIO(capsysbinary.readouterr().out))
    assert [record.frame for record in capture] == [ALLOWED, ANSWER]


@pytest.mark.parametrize("columns", ["0", "²"])
def test_impossible_columns_do_not_hide_the_summary(
    files: Files, said: Callable[[], Said], monkeypatch: pytest.MonkeyPatch, columns: str
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    assert files.replay() == ExitStatus.DONE
    assert said().out[0] == f"{files.capture}: 4 packets, 160 bytes"


# --- The capture -------------------------------------------------------------------------


def test_a_capture_may_come_from_standard_input(
    files: Files, said: Callable[[], Said], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(pcap(ALLOWED))))
    assert files.replay_of("-") == ExitStatus.DONE
    assert said().out[0] == "standard input: 1 packet, 40 bytes"


def test_a_policy_may_come_from_standard_input(
    files: Files, said: Callable[[], Said], monkeypatch: pytest.MonkeyPatch
) -> None:
    document = io.BytesIO(json.dumps(POLICY).encode())
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(document))
    assert run(["replay", str(files.capture), "--policy", "-"]) == ExitStatus.DONE
    assert said().err == []


@pytest.mark.parametrize(
    ("document", "complaint"),
    [
        (b"{", "standard input: "),
        (json.dumps(POLICY).replace("1700000100", "9999999999").encode(), "standard input: "),
    ],
    ids=["no policy", "another time"],
)
def test_a_policy_from_standard_input_that_cannot_be_used_is_named(
    files: Files,
    said: Callable[[], Said],
    monkeypatch: pytest.MonkeyPatch,
    document: bytes,
    complaint: str,
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(document)))
    assert run(["replay", str(files.capture), "--policy", "-"]) == ExitStatus.UNUSABLE
    assert said().err[0].startswith(f"firezone-filter: {complaint}")


def test_standard_input_is_not_both_the_capture_and_the_policy(said: Callable[[], Said]) -> None:
    assert run(["replay", "-", "--policy", "-"]) == ExitStatus.UNUSABLE
    complaint = "standard input: can be named only once"
    assert said().err == [f"firezone-filter: {complaint}"]


def test_interfaces_of_several_kinds_make_one_replay(
    files: Files, said: Callable[[], Said]
) -> None:
    frames = enhanced(ALLOWED, number=0), enhanced(ethernet(0x0800, ANSWER), number=1)
    files.capture.write_bytes(b"".join([section(), interface(101), interface(1), *frames]))
    files.replay("--decisions", "-")
    assert [json.loads(line)["direction"] for line in said().out] == ["outbound", "inbound"]


def test_a_capture_without_packets_is_no_error(files: Files, said: Callable[[], Said]) -> None:
    files.capture.write_bytes(pcap())
    assert files.replay() == ExitStatus.DONE
    assert said().err == []


def test_a_capture_cut_short_is_decided_up_to_the_cut_with_a_warning(
    files: Files, said: Callable[[], Said]
) -> None:
    files.capture.write_bytes(pcap(ALLOWED, ANSWER)[:-1])
    decisions = files.folder / "decisions.jsonl"
    assert files.replay("--decisions", decisions) == ExitStatus.DAMAGED
    assert len(decisions.read_text().splitlines()) == 1
    warning = f"{files.capture}: it is cut short at byte 135; decided up to there"
    assert said().err == [f"firezone-filter: {warning}"]


# --- Arguments, help and version ---------------------------------------------------------


def test_workers_are_here_or_on_a_cluster(files: Files, said: Callable[[], Said]) -> None:
    options = ("--workers", "2", "--scheduler", "tcp://10.0.0.9:8786")
    assert files.replay(*options) == ExitStatus.UNUSABLE
    assert said().err[0].endswith("give one of them")


@pytest.mark.parametrize(
    ("arguments", "complaint", "command_path"),
    [
        ([], "Missing command.", ""),
        (["--nonsense"], "No such option", ""),
        (["play"], "No such command 'play'.", ""),
        (["--json=yes"], "No such option", ""),
        (["replay"], "Missing argument 'CAPTURE...'.", " replay"),
        (["replay", "a"], "Missing option '--policy'.", " replay"),
        (["replay", "--nonsense"], "No such option", " replay"),
        (["replay", "a", "--policy", "b", "--since", "c"], "Invalid value for '--s", " replay"),
        (["replay", "a", "--policy", "b", "--count", "-1"], "Invalid value for '--c", " replay"),
        (["replay", "a", "--policy"], "Option '--policy' requires an argument", " replay"),
        (["replay", "a", "--policy", "b", "--client", "c"], "Invalid value for '--cl", " replay"),
        (["logs", "--severity"], "Option '--severity' requires an argument", " logs"),
        (["logs", "--nonsense"], "No such option", " logs"),
        (["logs", "--severity", "loud"], "Invalid value for '--severity'", " logs"),
        (["logs", "--grep", "("], "Invalid value for '--grep'", " logs"),
    ],
)
def test_bad_arguments_are_reported_in_one_line_that_names_the_help_of_the_command(
    said: Callable[[], Said], arguments: list[str], complaint: str, command_path: str
) -> None:
    assert run(arguments) == ExitStatus.UNUSABLE
    (line,) = said().err
    assert line.startswith(f"firezone-filter: {complaint}")
    assert line.endswith(f" (see firezone-filter{command_path} --help)")


def test_an_error_without_a_command_names_the_help_of_all(
    said: Callable[[], Said], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: str) -> str:
        raise click.ClickException("it fails")

    monkeypatch.setattr("importlib.metadata.version", fail)
    assert run(["--version"]) == ExitStatus.UNUSABLE
    assert said().err == ["firezone-filter: it fails (see firezone-filter --help)"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_gets_its_completion(
    said: Callable[[], Said], monkeypatch: pytest.MonkeyPatch, shell: str
) -> None:
    # click starts bash to ask for its version.
    monkeypatch.setattr("click.shell_completion.BashComplete._check_version", lambda *_: None)
    monkeypatch.setenv("_FIREZONE_FILTER_COMPLETE", f"{shell}_source")
    assert run([]) == ExitStatus.DONE
    assert any("_FIREZONE_FILTER_COMPLETE" in line for line in said().out)


@pytest.mark.parametrize(
    ("words", "completed"),
    [
        ("firezone-filter rep", ["plain,replay"]),
        ("firezone-filter replay --fo", ["plain,--forwarded"]),
        ("firezone-filter replay off", ["file,off"]),
        ("firezone-filter replay --policy pol", ["file,pol"]),
    ],
)
def test_a_shell_completes_commands_options_and_files(
    said: Callable[[], Said], monkeypatch: pytest.MonkeyPatch, words: str, completed: list[str]
) -> None:
    monkeypatch.setenv("_FIREZONE_FILTER_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(words.count(" ")))
    assert run([]) == ExitStatus.DONE
    assert said().out == completed


@pytest.mark.parametrize("argument", ["--help", "-h"])
def test_there_is_help(said: Callable[[], Said], argument: str) -> None:
    assert run([argument]) == ExitStatus.DONE
    assert said().out[0] == "Usage: firezone-filter [OPTIONS] COMMAND [ARGS]..."


def test_help_lists_the_exit_statuses(said: Callable[[], Said]) -> None:
    assert run(["replay", "--help"]) == ExitStatus.DONE
    assert any("Exit status: " in line for line in said().out)


def test_the_version_is_printed(said: Callable[[], Said], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.metadata.version", lambda _: "1.2.3")
    for is_compiled, build in ((True, "compiled"), (False, "plain")):
        monkeypatch.setattr(command, "IS_COMPILED", is_compiled)
        assert run(["--version"]) == ExitStatus.DONE
        assert said().out == [f"firezone-filter 1.2.3 ({build})"]


def test_a_checkout_that_is_not_installed_has_no_version(
    said: Callable[[], Said], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "PACKAGE", "firezone-filter-that-is-not-installed")
    monkeypatch.setattr(command, "IS_COMPILED", False)
    run(["--version"])
    assert said().out == ["firezone-filter (not installed) (plain)"]


# --- Files that cannot be used -----------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "printed"), [("no.pcap", "no.pcap"), ("no\n.pcap", r"no\n.pcap")]
)
def test_a_missing_capture_is_reported_in_one_line(
    files: Files, said: Callable[[], Said], name: str, printed: str
) -> None:
    assert files.replay_of(name) == ExitStatus.UNUSABLE
    assert said().err == [f"firezone-filter: {printed}: No such file or directory"]


def test_a_missing_policy_is_reported_in_one_line(files: Files, said: Callable[[], Said]) -> None:
    files.policy.unlink()
    assert files.replay() == ExitStatus.UNUSABLE
    assert said().err == [f"firezone-filter: {files.policy}: No such file or directory"]


def test_every_fault_of_a_policy_is_reported_in_its_line(
    files: Files, said: Callable[[], Said]
) -> None:
    files.policy.write_text('{"gateway": {}, "clients": [{}, {}]}')
    assert files.replay() == ExitStatus.UNUSABLE
    assert len(said().err) >= 3


def test_a_policy_for_other_times_is_reported_in_one_line(
    files: Files, said: Callable[[], Said]
) -> None:
    files.policy.write_text(json.dumps(POLICY).replace("1700000100", "8000000000"))
    assert files.replay() == ExitStatus.UNUSABLE
    assert len(said().err) == 1


def test_a_capture_without_right_time_stamps_has_a_summary(
    files: Files, said: Callable[[], Said]
) -> None:
    files.capture.write_bytes(section() + interface() + simple(ALLOWED) + simple(ANSWER))
    assert files.replay() == ExitStatus.DAMAGED
    printed = said()
    assert printed.out[0] == f"{files.capture}: 2 packets, 80 bytes"
    (line,) = printed.err
    assert "2 packets with a time stamp outside 1970 to 2106" in line


# --- What is odd about a capture -----------------------------------------------------------


def test_one_interface_of_an_unsupported_link_type_does_not_end_a_replay(
    files: Files, said: Callable[[], Said]
) -> None:
    frames = [enhanced(ALLOWED, number=n % 2) for n in range(5)]
    files.capture.write_bytes(b"".join([section(), interface(105), interface(101), *frames]))
    decisions = files.folder / "decisions.jsonl"
    assert files.replay("--decisions", decisions) == ExitStatus.DAMAGED
    assert len(decisions.read_text().splitlines()) == 2
    printed = said()
    assert "link type 105 (IEEE 802.11): 3 packets, 120 bytes" in printed.out
    warning = "3 packets of link type 105 (IEEE 802.11), which is not supported; raw IP, "
    (line,) = printed.err
    assert line.startswith(f"firezone-filter: {files.capture}: {warning}")


def test_a_capture_of_an_unsupported_link_type_has_a_summary(
    files: Files, said: Callable[[], Said]
) -> None:
    files.capture.write_bytes(pcap(ALLOWED, link_type=147))
    assert files.replay() == ExitStatus.DAMAGED
    printed = said()
    assert "link type 147: 1 packet, 40 bytes" in printed.out
    assert "1 packet of link type 147, which is not supported; " in printed.err[0]


@pytest.mark.parametrize(
    ("seconds", "warning"),
    [
        ([START_S, 0, START_S + 1], "1 packet with a time stamp outside 1970 to 2106, or "),
        ([START_S, START_S - 60], "1 packet earlier than one before, by at most 60.000000 s; "),
        (
            [START_S, START_S - 1500, START_S - 2],
            "2 packets earlier than one before, by at most 1,500.000000 s; ",
        ),
    ],
    ids=["odd", "one", "two"],
)
def test_odd_time_stamps_are_told_with_a_summary(
    files: Files, said: Callable[[], Said], seconds: list[int], warning: str
) -> None:
    records = [pcap_record(ALLOWED, second) for second in seconds]
    files.capture.write_bytes(pcap_header() + b"".join(records))
    assert files.replay() == ExitStatus.DAMAGED
    printed = said()
    assert printed.out[0] == f"{files.capture}: {len(seconds)} packets, {len(seconds) * 40} bytes"
    (line,) = printed.err
    assert line.startswith(f"firezone-filter: {files.capture}: {warning}")


def test_a_capture_without_a_client_says_how_to_make_one(
    files: Files, said: Callable[[], Said]
) -> None:
    other = tcp(40000, 5432, "10.0.0.9", "10.0.0.8")
    files.capture.write_bytes(pcap(FOREIGN, other))
    assert files.replay() == ExitStatus.DONE
    name = f"firezone-filter: {files.capture}: "
    assert said().err == [
        name + "no client of the policy appears in it",
        name + "the policy's clients: alice 100.64.0.2, alice fd00:2021:1111::2",
        name + "its most frequent addresses: 10.0.0.9 (2), 10.0.0.5 (1), 10.0.0.8 (1)",
        name + "--client alice=10.0.0.9 makes an address of the capture the client's",
    ]


def test_a_capture_without_ip_has_no_addresses_to_name(
    files: Files, said: Callable[[], Said]
) -> None:
    files.capture.write_bytes(pcap(ethernet(0x0806, bytes(28)), link_type=1))
    assert files.replay() == ExitStatus.DONE
    assert len(said().err) == 2


@pytest.mark.parametrize(
    ("clients", "text", "lines"), [(0, "none", 3), (4, "c0 100.64.1.0, c1 100.64.1.1", 4)]
)
def test_a_policy_of_any_size_names_few_of_its_clients(
    files: Files, said: Callable[[], Said], clients: int, text: str, lines: int
) -> None:
    many = [
        {"id": f"c{n}", "ipv4": f"100.64.1.{n}", "ipv6": f"fd00:2021:1111::{n + 9}"}
        for n in range(clients)
    ]
    for client in many:
        client["authorizations"] = []  # type: ignore[assignment]
    files.policy.write_text(json.dumps({**POLICY, "clients": many}))
    files.capture.write_bytes(pcap(FOREIGN))
    files.replay()
    told = said().err
    assert len(told) == lines
    assert told[1].endswith("and 3 more" if clients else text)


def test_a_client_may_get_an_address_of_the_capture(
    files: Files, said: Callable[[], Said]
) -> None:
    home = [tcp(1, 5432, "192.168.1.5"), tcp(5432, 1, "10.0.0.5", "192.168.1.5")]
    home_6 = ipv6("2001:db8:7::5", "2001:db8:8::1", 6, ports(1, 5432))
    files.capture.write_bytes(pcap(*home, home_6))
    options = ["--client", "alice=192.168.1.5", "--client", "alice=2001:db8:7::5"]
    assert files.replay(*options, "--decisions", "-") == ExitStatus.DONE
    decided = [json.loads(line)["decision"] for line in said().out]
    assert decided == ["forward", "forward", "reject"]


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        ("eve=192.168.1.5", "--client: 'eve' is no client of the policy; its clients: 'alice'"),
        ("alice=100.96.0.1", "--client: 100.96.0.1 is in the DNS ranges of the address plan"),
        (f"alice={GATEWAY}", "--client: clients[0].ipv4: '100.64.0.1' is already gateway.ipv4"),
        (
            "alice",
            "Invalid value for '--client': 'alice' is not ID=ADDRESS (see firezone-filter r",
        ),
        ("=10.0.0.1", "Invalid value for '--client': '=10.0.0.1' is not ID=ADDRESS"),
        ("alice=home", "Invalid value for '--client': 'home' is not an IP address"),
        ("alice=10.0.0.0/8", "Invalid value for '--client': '10.0.0.0/8' is not an IP address"),
    ],
)
def test_an_address_that_cannot_be_a_clients_is_reported_in_one_line(
    files: Files, said: Callable[[], Said], value: str, complaint: str
) -> None:
    assert files.replay("--client", value) == ExitStatus.UNUSABLE
    (line,) = said().err
    assert line.startswith(f"firezone-filter: {complaint}")


def test_an_id_may_have_an_equals_sign(files: Files) -> None:
    files.policy.write_text(json.dumps(POLICY).replace("alice", "a=b"))
    assert files.replay("--client", "a=b=192.168.1.5") == ExitStatus.DONE


@pytest.mark.parametrize("option", ["CAPTURE", "--policy", *OUTPUTS])
def test_a_loop_of_links_is_reported_in_one_line(
    files: Files, said: Callable[[], Said], option: str
) -> None:
    loop = files.folder / f"loop{ENDINGS.get(option, '')}"
    loop.symlink_to(loop)
    new = files.folder / "new.jsonl"
    status = (
        files.replay_of(loop, "--decisions", new)
        if option == "CAPTURE"
        else files.replay(option, loop)
    )
    assert status == ExitStatus.UNUSABLE
    assert said().err == [f"firezone-filter: {loop}: Too many levels of symbolic links"]


# --- Outputs that would destroy something ------------------------------------------------


@pytest.mark.parametrize("option", OUTPUTS)
def test_an_output_destroys_neither_the_capture_nor_the_policy(
    files: Files, said: Callable[[], Said], option: str
) -> None:
    for path in (files.capture, files.policy):
        before = path.read_bytes()
        assert files.replay(option, path) == ExitStatus.UNUSABLE
        assert path.read_bytes() == before
        assert "cannot be written, it is in use" in said().err[0]


@pytest.mark.parametrize(("one", "other"), list(combinations(OUTPUTS, 2)))
def test_two_outputs_are_neither_one_file_nor_both_standard_output(
    files: Files, one: str, other: str
) -> None:
    new = files.folder / "new"
    for name in (new, "-"):
        assert files.replay(one, name, other, name) == ExitStatus.UNUSABLE
    assert not new.exists()


@pytest.mark.parametrize("option", OUTPUTS)
def test_an_output_is_not_the_file_of_the_summary(
    files: Files, said: Callable[[], Said], monkeypatch: pytest.MonkeyPatch, option: str
) -> None:
    out = files.folder / "out"
    with out.open("w", encoding="utf-8") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        assert files.replay(option, out) == ExitStatus.UNUSABLE
    complaint = f"{out}: cannot be written, it is in use as standard output"
    assert said().err == [f"firezone-filter: {complaint}"]


def test_the_summary_is_not_appended_to_the_capture(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = files.capture.read_bytes()
    with files.capture.open("a", encoding="utf-8") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        assert files.replay() == ExitStatus.UNUSABLE
    assert files.capture.read_bytes() == before


@pytest.mark.parametrize("option", OUTPUTS)
def test_an_unusable_capture_leaves_an_output_as_it_was(files: Files, option: str) -> None:
    output = files.folder / f"out{ENDINGS[option]}"
    output.write_text("precious")
    files.capture.write_bytes(pcap(ALLOWED)[:20])
    files.replay(option, output)
    assert output.read_text() == "precious"


# --- Outputs that fail -------------------------------------------------------------------


@pytest.mark.parametrize("option", OUTPUTS)
def test_an_output_in_a_missing_folder_is_reported_in_one_line(
    files: Files, said: Callable[[], Said], option: str
) -> None:
    nowhere = files.folder / "no" / f"out{ENDINGS[option]}"
    assert files.replay(option, nowhere) == ExitStatus.UNUSABLE
    assert said().err == [f"firezone-filter: {nowhere}: No such file or directory"]


def test_an_error_after_the_start_names_the_output_that_is_missing(
    files: Files, said: Callable[[], Said]
) -> None:
    later = section(version=(9, 9))
    files.capture.write_bytes(section() + interface() + enhanced(ALLOWED) + later)
    decisions = files.folder / "decisions.jsonl"
    assert files.replay("--decisions", decisions) == ExitStatus.UNUSABLE
    assert f"firezone-filter: {decisions}: not written" in said().err
    assert not decisions.exists()


@needs_full_disk
def test_a_full_disk_is_reported_with_the_incomplete_output(
    files: Files, said: Callable[[], Said]
) -> None:
    assert files.replay("--decisions", FULL) == ExitStatus.UNUSABLE
    assert said().err == ["firezone-filter: /dev/full: incomplete", STOPS]


@needs_full_disk
def test_what_is_written_in_place_is_complete_before_a_file_has_its_name(
    files: Files, said: Callable[[], Said]
) -> None:
    decisions = files.folder / "decisions.jsonl"
    assert files.replay("--decisions", decisions, "--flows", FULL) == ExitStatus.UNUSABLE
    names = ["/dev/full: incomplete", f"{decisions}: not written"]
    assert said().err == [*(f"firezone-filter: {name}" for name in names), STOPS]
    assert not decisions.exists()


@needs_full_disk
@pytest.mark.parametrize("arguments", [[], ["--version"], ["--help"], ["replay", "--help"]])
def test_a_full_disk_behind_standard_output_is_reported_once(
    files: Files,
    said: Callable[[], Said],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
) -> None:
    with FULL.open("w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        assert (run(arguments) if arguments else files.replay()) == ExitStatus.UNUSABLE
    assert said().err == [STOPS]


@pytest.mark.parametrize("arguments", [["--version"], ["--help"], ["replay", "--help"]])
def test_help_into_a_closed_pipe_ends_in_silence(
    said: Callable[[], Said], monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    with closed_pipe(monkeypatch):
        assert run(arguments) == ExitStatus.CLOSED_PIPE
    assert said().err == []


@pytest.mark.parametrize("options", [[], ["--json"], ["--decisions", "-"], ["--forwarded", "-"]])
def test_a_replay_into_a_closed_pipe_ends_in_silence(
    files: Files,
    said: Callable[[], Said],
    monkeypatch: pytest.MonkeyPatch,
    options: list[str],
) -> None:
    with closed_pipe(monkeypatch):
        assert files.replay(*options) == ExitStatus.CLOSED_PIPE
    assert said().err == []


def test_an_error_before_the_closed_pipe_gives_the_status(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks = section(), interface(), *[enhanced(ALLOWED)] * 8, section(version=(9, 9))
    files.capture.write_bytes(b"".join(blocks))
    with closed_pipe(monkeypatch):
        assert files.replay("--decisions", "-") == ExitStatus.UNUSABLE


def test_complaints_into_a_closed_pipe_are_dropped(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closed_pipe(monkeypatch):
        monkeypatch.setattr(sys, "stderr", sys.stdout)
        assert files.replay_of("no.pcap") == ExitStatus.UNUSABLE


# --- Ctrl-C ------------------------------------------------------------------------------


@pytest.mark.parametrize("begun", [b"", pcap()[:4], pcap()])
def test_ctrl_c_before_the_first_packet_prints_a_summary_of_none(
    files: Files, said: Callable[[], Said], monkeypatch: pytest.MonkeyPatch, begun: bytes
) -> None:
    monkeypatch.setattr(sys, "stdin", Interrupted(begun))
    assert files.replay_of("-") == ExitStatus.INTERRUPTED
    printed = said()
    assert (printed.out[0], printed.err) == ("standard input: 0 packets, 0 bytes", [])


def test_ctrl_c_before_the_policy_ends_in_silence(
    files: Files, said: Callable[[], Said], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", Interrupted())
    arguments = ["replay", str(files.capture), "--policy", "-"]
    assert run(arguments) == ExitStatus.INTERRUPTED
    assert said() == Said([], [])


@pytest.mark.parametrize("flushed", [b"", pcap()[:-1], pcap(), pcap(ALLOWED, ANSWER, ANSWER)])
@pytest.mark.parametrize("presses", [1, 2])
def test_ctrl_c_in_a_pipeline_reads_what_its_writer_flushes(
    files: Files,
    said: Callable[[], Said],
    monkeypatch: pytest.MonkeyPatch,
    flushed: bytes,
    presses: int,
) -> None:
    reading, writing = os.pipe()
    with open(reading, encoding="latin-1") as stdin:  # noqa: PTH123 - a descriptor
        monkeypatch.setattr(sys, "stdin", stdin)

        interrupt, before = Interrupts.interrupt, signal.getsignal(signal.SIGINT)
        handled = threading.Semaphore(0)

        def interrupt_and_tell(interrupts: Interrupts, *_: object) -> None:
            handled.release()
            interrupt(interrupts)

        def press() -> None:
            while signal.getsignal(signal.SIGINT) == before:
                time.sleep(0.01)
            main = threading.main_thread().ident or 0
            for _ in range(presses):
                # A signal just before a blocking read waits for the next one.
                time.sleep(0.1)
                signal.pthread_kill(main, signal.SIGINT)
                if not handled.acquire(timeout=5):  # pragma: no cover - that rarely happens
                    signal.pthread_kill(main, signal.SIGINT)
                    handled.acquire(timeout=5)
            os.write(writing, flushed)
            os.close(writing)

        monkeypatch.setattr(Interrupts, "interrupt", interrupt_and_tell)
        writer = threading.Thread(target=press, daemon=True)
        writer.start()
        try:
            assert files.replay_of("-") == ExitStatus.INTERRUPTED
        finally:
            writer.join(timeout=20)
    packets = 3 if presses == 1 and len(flushed) > len(pcap()) else 0
    printed = said()
    assert printed.out[0] == f"standard input: {packets} packets, {packets * 40} bytes"
    assert printed.err == []


@pytest.mark.parametrize("count", [1, 20])
def test_ctrl_c_ends_a_live_capture_with_its_summary(
    files: Files, said: Callable[[], Said], monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    monkeypatch.setattr(sys, "stdin", Interrupted(pcap(*[ALLOWED] * count)))
    outputs = {option: files.folder / f"{option}{ENDINGS[option]}" for option in OUTPUTS}
    options = [part for pair in outputs.items() for part in pair]
    assert files.replay_of("-", "--json", *options) == ExitStatus.INTERRUPTED
    printed = said()
    summary = json.loads("\n".join(printed.out))
    assert (summary["frames"]["packets"], summary["complete"]) == (count, False)
    assert printed.err == []
    assert len(outputs["--decisions"].read_text().splitlines()) == count
    assert "disconnected" in outputs["--flows"].read_text()


def test_ctrl_c_while_tcpdump_waits_prints_the_summary(files: Files) -> None:
    command = [sys.executable, "-m", "firezone_filter", "replay", "-", "--policy"]
    with subprocess.Popen(  # noqa: S603 - ourselves
        [*command, str(files.policy), "--decisions", "/dev/stderr"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdin is not None
        assert process.stderr is not None
        # Enough for the first line to leave its buffer.
        process.stdin.write(pcap(*[ALLOWED] * 60))
        process.stdin.flush()
        process.stderr.readline()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
    assert process.returncode == ExitStatus.INTERRUPTED
    assert out.startswith(b"standard input: ")
    assert b"Traceback" not in err


def test_ctrl_c_before_the_start_has_the_same_status(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_: str) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr("importlib.metadata.version", interrupt)
    assert run(["--version"]) == ExitStatus.INTERRUPTED


# --- Streams -----------------------------------------------------------------------------


def test_closed_streams_do_not_stop_a_run(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    assert files.replay() == ExitStatus.DONE
    for stream in (sys.stdout, sys.stderr):
        stream.close()


def test_a_name_beyond_the_encoding_of_the_terminal_is_escaped(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(out, encoding="ascii"))
    capture = files.capture.rename(files.folder / "büro.pcap")
    assert files.replay_of(capture) == ExitStatus.DONE
    assert rb"b\xfcro.pcap: 4 packets" in out.getvalue()


def test_a_stream_of_another_kind_is_left_alone(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = io.StringIO()
    monkeypatch.setattr(sys, "stdout", out)
    assert files.replay() == ExitStatus.DONE
    assert "4 packets" in out.getvalue()
