"""`firezone-filter explain`, from its arguments to its exit status."""

import io
import json
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

from firezone_filter.cli.command import run
from firezone_filter.cli.exit import ExitStatus
from firezone_filter.packet.building import build_packet
from firezone_filter.values.decisions import Direction
from tests import captures
from tests.captures import pcap
from tests.unit.cli.terminal import Said

from .asking import (
    ALICE,
    ESCAPE,
    ESCAPED,
    OFFICE,
    POLICY,
    ask,
    cidr,
    client,
    document,
    loaded,
    written,
)

PACKET = build_packet(bytes([100, 64, 0, 2]), bytes([10, 0, 0, 5]), 6, 22)

Explained = dict[str, Any]


@pytest.fixture
def explained(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, Explained]]:
    """Return a function that explains a packet of alice; it returns the status and the JSON."""

    def explain(*arguments: object, policy: object = POLICY) -> tuple[int, Explained]:
        status = ask("explain", "--policy", policy, "--client", "alice", "--json", *arguments)
        return status, json.loads(capsys.readouterr().out)

    return explain


# --- What is printed -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("at", "status"),
    [([], 0), (["--at", "1798761599"], 0), (["--at", "2027-01-01"], 1)],
    ids=["ever", "before", "after"],
)
def test_what_has_expired_by_then_permits_nothing(at: list[str], status: int) -> None:
    target = ["--client", "contractor", "tcp", "10.0.1.7:443"]
    assert ask("explain", "--policy", POLICY, *at, *target) == status


END = "2027-01-01T00:00:00Z"


@pytest.mark.parametrize(
    ("at", "told"),
    [
        (
            [],
            [f"db ends {END}: --at asks about a time", f"net ends {END}: --at asks about a time"],
        ),
        (["--at", "2026-12-31"], []),
        (["--at", "2027-01-01"], [f"db 10.0.0.0/24 ended {END}", f"net ended {END}"]),
    ],
    ids=["ever", "before", "after"],
)
@pytest.mark.parametrize(
    "question", [["tcp", "10.0.0.5:22"], ["--packet", PACKET.hex()]], ids=["target", "packet"]
)
def test_what_ends_there_is_told_behind_the_explanation(
    question: list[str], at: list[str], told: list[str], tmp_path: Path, said: Callable[[], Said]
) -> None:
    internet = {"resource": {"type": "internet", "id": "net", "name": ""}}
    ends = {"expires_at": 1_798_761_600}
    elsewhere = cidr("elsewhere", "10.1.0.0/16") | ends
    access = [cidr("db", "10.0.0.0/24") | ends, internet | ends, cidr("ever", "10.0.0.0/8")]
    policy = written(tmp_path, document(client("alice", "100.64.0.2", *access, elsewhere)))
    assert ask("explain", "--policy", policy, "--client", "alice", *at, *question) == 0
    printed = said().out
    (decision,) = (n for n, line in enumerate(printed) if line.startswith("forward: "))
    assert printed[decision + 1 :] == told


def test_people_read_the_explanation_and_machines_its_fields(
    capsys: pytest.CaptureFixture[str], said: Callable[[], Said]
) -> None:
    gateway = loaded(POLICY).gateway(1_790_000_000)
    explanation = gateway.explain(Direction.OUTBOUND, PACKET, client_id="alice")
    arguments = ["explain", "--policy", POLICY, "--client", "alice", "--packet", PACKET.hex()]
    assert ask(*arguments) == ExitStatus.NEGATIVE
    assert said() == Said(str(explanation).split("\n"), [])
    assert ask(*arguments, "--json") == ExitStatus.NEGATIVE
    assert json.loads(capsys.readouterr().out) == explanation.to_dict()


def test_without_a_client_the_source_tells_whose_packet_it_is(
    capsys: pytest.CaptureFixture[str],
) -> None:
    ask("explain", "--policy", POLICY, "--packet", PACKET.hex(":"), "--json")
    assert json.loads(capsys.readouterr().out)["client_id"] == "alice"


def test_ids_cannot_move_the_cursor(tmp_path: Path, said: Callable[[], Said]) -> None:
    policy = written(
        tmp_path, document(client("alice", "100.64.0.2", cidr(ESCAPE, "10.0.0.5/32")))
    )
    assert ask("explain", "--policy", policy, "--client", "alice", "tcp", "10.0.0.5:1") == 0
    printed = said().out
    assert printed[-1] == f"forward: alice may reach {ESCAPED}"


# --- Targets -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "status", "packet"),
    [
        (["tcp", "10.0.0.5:5432"], 0, "tcp 100.64.0.2:49152 > 10.0.0.5:5432"),
        (["tcp 10.0.0.5:5432"], 0, "tcp 100.64.0.2:49152 > 10.0.0.5:5432"),
        (["--from-port", "7", "udp", "10.0.0.5:53"], 1, "udp 100.64.0.2:7 > 10.0.0.5:53"),
        (["udp", "[2001:db8::1]:53"], 1, "udp [fd00:2021:1111::2]:49152 > [2001:db8::1]:53"),
        (["ping", "10.0.0.5"], 0, "icmp type 8 code 0 100.64.0.2 > 10.0.0.5"),
        (["icmp", "10.0.0.5"], 0, "icmp type 8 code 0 100.64.0.2 > 10.0.0.5"),
        (["icmp/13", "10.0.0.5"], 1, "icmp type 13 code 0 100.64.0.2 > 10.0.0.5"),
        (["47", "10.0.0.5"], 1, "gre 100.64.0.2 > 10.0.0.5"),
        (["tcp", "git.example.com:443"], 0, "tcp 100.64.0.2:49152 > 100.96.0.1:443"),
        (["--inbound", "tcp", "10.0.0.5:5432"], 0, "tcp 10.0.0.5:5432 > 100.64.0.2:49152"),
        (["--inbound", "ping", "10.0.0.5"], 0, "icmp type 0 code 0 10.0.0.5 > 100.64.0.2"),
        (["--inbound", "tcp", "10.0.0.5:22"], 1, "tcp 10.0.0.5:22 > 100.64.0.2:49152"),
        (
            ["--inbound", "ping", "2001:db8::1"],
            1,
            "icmpv6 type 129 code 0 2001:db8::1 > fd00:2021:1111::2",
        ),
        # What a name's host sends comes from where the name leads.
        (["--inbound", "tcp", "git.example.com:443"], 0, "tcp 10.20.0.10:443 > 100.64.0.2:49152"),
        # It does not answer what does not reach it.
        (["--inbound", "tcp", "git.example.com:22"], 1, "tcp 100.64.0.2:49152 > 100.96.0.1:22"),
    ],
)
def test_a_target_is_the_packet_that_begins_or_its_answer(
    said: Callable[[], Said], words: list[str], status: int, packet: str
) -> None:
    assert ask("explain", "--policy", POLICY, "--client", "alice", *words) == status
    assert said().out[0].rpartition(", ")[0] == packet


def test_an_answer_belongs_to_the_flow_that_the_client_has_begun(
    explained: Callable[..., tuple[int, Explained]],
) -> None:
    status, answer = explained("--stateful", "--inbound", "tcp", "10.0.0.5:5432")
    assert (status, answer["checks"][-1]["name"]) == (0, "flow")
    status, nothing_before = explained(
        "--stateful",
        "--inbound",
        "--packet",
        captures.tcp(5432, 9, "10.0.0.5", "100.64.0.2").hex(),
    )
    assert (status, nothing_before["decision"]["reason"]) == (1, "unsolicited")


@pytest.mark.parametrize("ping", [False, True], ids=["port", "id"])
def test_an_answer_comes_to_the_port_that_the_session_has(
    explained: Callable[..., tuple[int, Explained]], tmp_path: Path, *, ping: bool
) -> None:
    policy = with_names(tmp_path, ["100.96.0.1"], ["10.20.0.10"])
    target = ["ping", "git.example.com"] if ping else ["udp", "git.example.com:53"]
    # Port 0 is never given: the session translates it to another.
    port = [] if ping else ["--from-port", "0"]
    status, answer = explained("--inbound", *port, *target, policy=policy)
    assert (status, answer["decision"]["decision"]) == (0, "translate")
    assert answer["packet"]["destination_port"] == (None if ping else 1)


def with_names(
    folder: Path,
    proxies: list[str],
    resolved: list[str],
    besides: Iterable[Mapping[str, object]] = (),
    **more: object,
) -> str:
    """Write a policy with one name, which permits everything; *more* is of its authorization.

    The client has the authorizations *besides*, too.
    """
    git = {
        "resource": {
            "type": "dns",
            "id": "git",
            "name": "",
            "address": "*.example.com",
            "filters": [],
        },
        "domains": [
            {
                "name": "other.example.com",
                "proxy_addresses": ["100.96.0.99"],
                "resolved_addresses": ["10.20.0.99"],
            },
            {
                "name": "git.example.com",
                "proxy_addresses": proxies,
                "resolved_addresses": resolved,
            },
        ],
        **more,
    }
    addresses = {"ipv6": "fd00:2021:1111::2"}
    return written(folder, document(client("alice", "100.64.0.2", git, *besides, **addresses)))


def test_of_a_name_the_first_proxy_address_with_a_translation_is_taken(
    explained: Callable[..., tuple[int, Explained]], tmp_path: Path
) -> None:
    proxies = ["100.96.0.1", "fd00:2021:1111:8000::1"]
    policy = with_names(tmp_path, proxies, ["2001:db8::1"])
    _, answer = explained("tcp", "git.example.com:443", policy=policy)
    assert answer["packet"]["destination"] == "fd00:2021:1111:8000::1"


def test_a_name_is_explained_after_its_end_as_well(
    tmp_path: Path, said: Callable[[], Said]
) -> None:
    ended = with_names(tmp_path, ["100.96.0.1"], ["10.20.0.1"], expires_at=1_798_761_600)
    question = ["--client", "alice", "--at", "2027-01-01", "tcp", "git.example.com:443"]
    assert ask("explain", "--policy", ended, *question) == 1
    printed = said().out
    assert any("no resource of alice covers 100.96.0.1" in line for line in printed)
    assert printed[-1] == f"git 100.96.0.1 ended {END}"


def test_a_name_that_resolves_to_nothing_is_explained_as_such(
    explained: Callable[..., tuple[int, Explained]], tmp_path: Path
) -> None:
    proxies = ["100.96.0.1", "fd00:2021:1111:8000::1"]
    policy = with_names(tmp_path, proxies, ["2001:db8::1"])
    # An extension header in IPv6, where the name leads somewhere, and no protocol.
    status, answer = explained("43", "git.example.com", policy=policy)
    assert (status, answer["packet"]["destination"]) == (1, "100.96.0.1")
    policy = with_names(tmp_path, ["100.96.0.1"], [])
    status, answer = explained("tcp", "git.example.com:443", policy=policy)
    assert (status, answer["decision"]["reason"]) == (1, "no-translation")


# --- Captures ------------------------------------------------------------------------------


def test_a_frame_is_explained_after_all_before_it(capsys: pytest.CaptureFixture[str]) -> None:
    capture, policy = OFFICE / "office.pcap", OFFICE / "policy.json"
    ask("replay", capture, "--policy", policy, "--decisions", "-")
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    reasons = {line["reason"]: line for line in lines if line["decision"] != "forward"}
    for line in [*reasons.values(), *lines[::25]]:
        arguments = "explain", "--policy", policy, "--capture", capture, "--frame", line["frame"]
        status = ask(*arguments, "--json")
        answer = json.loads(capsys.readouterr().out)
        decision = answer["decision"]
        assert (decision["decision"], decision.get("reason")) == (line["decision"], line["reason"])
        assert status == (line["decision"] != "forward")
        assert answer["client_id"] == line["client"]


def test_a_client_may_get_an_address_of_the_capture(tmp_path: Path) -> None:
    capture = tmp_path / "home.pcap"
    capture.write_bytes(pcap(captures.tcp(40_000, 5432, "192.168.1.5")))
    arguments = [
        "--policy",
        written(tmp_path, document(ALICE)),
        "--capture",
        capture,
        "--frame",
        1,
    ]
    assert ask("explain", *arguments, "--client", "alice=192.168.1.5") == 0


@pytest.mark.parametrize(
    ("frame", "status", "told"),
    [(1, 0, []), (2, 1, ["db 10.0.0.0/24 ended 2023-11-14T22:13:21Z"])],
    ids=["before", "after"],
)
def test_what_has_ended_by_the_time_of_a_frame_is_told(
    frame: int, status: int, told: list[str], tmp_path: Path, said: Callable[[], Said]
) -> None:
    capture = tmp_path / "home.pcap"
    packet = captures.tcp(40_000, 5432, "192.168.1.5")
    capture.write_bytes(pcap(packet, packet))
    db = cidr("db", "10.0.0.0/24") | {"expires_at": captures.START_S + 1}
    policy = written(tmp_path, document(client("alice", "100.64.0.2", db)))
    asked = ["--capture", capture, "--frame", frame, "--client", "alice=192.168.1.5"]
    assert ask("explain", "--policy", policy, *asked) == status
    printed = said().out
    (decision,) = (n for n, line in enumerate(printed) if line.startswith(("forward", "reject")))
    assert printed[decision + 1 :] == told


def test_of_a_session_nothing_is_told_about_the_real_address(
    tmp_path: Path, said: Callable[[], Said]
) -> None:
    capture = tmp_path / "name.pcap"
    request = captures.tcp(40_000, 443, destination="100.96.0.1")
    capture.write_bytes(pcap(request, captures.tcp(443, 40_000, "10.20.0.1", captures.CLIENT)))
    ended = cidr("net", "10.20.0.0/24") | {"expires_at": 1.0}
    policy = with_names(tmp_path, ["100.96.0.1"], ["10.20.0.1"], besides=[ended])
    assert ask("explain", "--policy", policy, "--capture", capture, "--frame", 2) == 0
    assert said().out[-1].startswith("translate: ")


# --- Trouble -------------------------------------------------------------------------------

ONE_OF = "one of TARGET, --packet and --capture says what to explain"
TARGET = ["tcp", "10.0.0.5:5432"]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], ONE_OF),
        ([*TARGET, "--packet", "45"], ONE_OF),
        (["--frame", "1", *TARGET], "--capture and --frame need each other"),
        (["--capture", "x"], "--capture and --frame need each other"),
        (
            ["--packet", "45", "--from-port", "1"],
            "--from-port needs a TARGET; a packet has its own ports",
        ),
        (
            ["--capture", "x", "--frame", "1", "--inbound"],
            "--capture needs neither --inbound nor --at: a capture has addresses and times",
        ),
        (
            ["--capture", "x", "--frame", "1", "--at", "now"],
            "--capture needs neither --inbound nor --at: a capture has addresses and times",
        ),
        (TARGET, "a TARGET needs --client"),
        (
            ["--client", "a", "--client", "b", *TARGET],
            "--client can be repeated only with --capture",
        ),
        (["--client", "bob", *TARGET], "POLICY: the policy has no client 'bob'"),
        (["--client", "bob", "--packet", "45"], "POLICY: the policy has no client 'bob'"),
        (
            ["--client", "alice", "bla"],
            "target 'bla': a target is a protocol, a space and a place, as in 'tcp 10.0.0.5:443'",
        ),
        (
            ["--client", "alice", "tcp", "10.0.0.0/24:1"],
            "tcp 10.0.0.0/24:1: one address is explained, and no network",
        ),
        (
            ["--client", "alice", "tcp", "10.0.0.5"],
            "tcp 10.0.0.5: one port is explained, as in 'tcp 10.0.0.5:443'",
        ),
        (
            ["--client", "alice", "udp", "10.0.0.5:1-2"],
            "udp 10.0.0.5:1-2: one port is explained, as in 'udp 10.0.0.5:443'",
        ),
        (
            ["--client", "contractor", "ping", "2001:db8::1"],
            "'contractor' has no IPv6 address to reach 2001:db8::1 from",
        ),
        (
            ["--client", "alice", "ping", "www.example.com"],
            "'alice' has no proxy address for www.example.com",
        ),
        (
            ["--client", "alice", "--from-port", "1", "ping", "10.0.0.5"],
            "--from-port is for TCP and UDP",
        ),
        (
            ["--capture", "CAPTURE", "--frame", "1", "--client", "alice"],
            "--client: 'alice' is not ID=ADDRESS",
        ),
        (
            ["--capture", "CAPTURE", "--frame", "1", "--client", "bob=10.0.0.1"],
            "--client: 'bob' is no client of the policy; its clients: 'alice', 'contractor'",
        ),
        (
            ["--capture", "CAPTURE", "--frame", "9999"],
            "CAPTURE: has no frame 9999, but 165 frames",
        ),
        (
            ["--capture", "POLICY", "--frame", "1"],
            "POLICY: not a capture: it is neither pcap nor pcapng",
        ),
        (["--capture", "nowhere", "--frame", "1"], "nowhere: No such file or directory"),
    ],
)
def test_what_cannot_be_explained_is_told_in_a_line(
    said: Callable[[], Said], arguments: list[str], complaint: str
) -> None:
    names = {"POLICY": str(POLICY), "CAPTURE": str(OFFICE / "office.pcap")}
    given = [names.get(one, one) for one in arguments]
    assert ask("explain", "--policy", POLICY, *given) == ExitStatus.UNUSABLE
    for short, name in names.items():
        complaint = complaint.replace(short, name)
    assert said() == Said([], [f"firezone-filter: {complaint}"])


@pytest.mark.parametrize(
    ("option", "value", "complaint"),
    [
        ("--packet", "4", "'4' is not hexadecimal"),
        ("--at", "soon", "'soon' is neither a date nor a time"),
        ("--from-port", "65536", "65536 is not in the range 0<=x<=65535"),
        ("--frame", "0", "0 is not in the range x>=1"),
    ],
)
def test_a_bad_value_of_an_option_is_told_with_where_to_read(
    said: Callable[[], Said], option: str, value: str, complaint: str
) -> None:
    assert ask("explain", "--policy", POLICY, option, value) == ExitStatus.UNUSABLE
    (line,) = said().err
    assert complaint in line
    assert line.endswith("(see firezone-filter explain --help)")


def test_standard_input_is_not_both_the_capture_and_the_policy(said: Callable[[], Said]) -> None:
    assert run(["explain", "--policy", "-", "--capture", "-", "--frame", "1"]) == 2
    complaint = "standard input: can be named only once"
    assert said().err == [f"firezone-filter: {complaint}"]


def test_a_capture_may_come_from_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    data = io.BytesIO((OFFICE / "office.pcap").read_bytes())
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(data))
    policy = OFFICE / "policy.json"
    assert ask("explain", "--policy", policy, "--capture", "-", "--frame", 1) == 0
