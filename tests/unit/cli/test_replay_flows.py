"""`replay --flows`: flow records of a capture, as JSON lines."""

import io
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from firezone_filter.accounting import event_queue as events
from firezone_filter.capture.errors import DamagedCaptureError
from firezone_filter.capture.stream import NS_PER_S, Record
from firezone_filter.cli.command import run
from firezone_filter.cli.exit import ExitStatus
from firezone_filter.policy import load_policy
from firezone_filter.replay.replay import replay
from firezone_filter.replay.summary import Summary
from firezone_filter.replay.writers import FlowWriter
from firezone_filter.values.decisions import Direction, Reason
from firezone_filter.values.events import FlowEnd, FlowEnded, FlowEvent, FlowRefused, FlowStarted
from tests.builders import ACK, FIN, SYN, icmp_echo, tcp, udp
from tests.captures import CLIENT, POLICY, REFUSED, RESOURCE, pcap, pcap_record, policy

OFFICE = Path(__file__).parents[3] / "examples/office"
START_S = 1_700_000_000
EXPIRY_S = 1_700_000_100
PING = icmp_echo(f"{CLIENT} > {RESOURCE}", payload=b"1234")
PONG = icmp_echo(f"{RESOURCE} > {CLIENT}", payload=b"1234", reply=True)

Line = dict[str, Any]


def at(seconds: float, packet: bytes = PING) -> Record:
    return Record(round(seconds * NS_PER_S), 101, packet, len(packet))


def written(records: Iterable[Record]) -> list[Line]:
    stream = io.StringIO()
    replay(records, policy(), flows=FlowWriter(stream))
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def line(event: FlowEvent) -> Line:
    stream = io.StringIO()
    FlowWriter(stream).add(event)
    found = json.loads(stream.getvalue())
    assert isinstance(found, dict)
    return found


def segment(flags: int, payload: bytes = b"") -> bytes:
    return tcp(f"{CLIENT}:40000 > {RESOURCE}:5432", payload, flags=flags)


def answer(flags: int, payload: bytes = b"") -> bytes:
    return tcp(f"{RESOURCE}:5432 > {CLIENT}:40000", payload, flags=flags)


# --- The lines --------------------------------------------------------------------------------


def test_the_line_of_a_start_has_all_of_its_fields() -> None:
    event = FlowStarted(
        client_id="alice",
        resource_id="db",
        protocol=6,
        inner_src_ip=ip_address("fd00:2021:1111::2"),
        inner_src_port=40_000,
        inner_dst_ip=ip_address("2001:db8::5"),
        inner_dst_port=443,
        domain="git.example.com",
        flow_start=1_700_000_000.25,
    )
    assert line(event) == {
        "event": "flow-started",
        "client_id": "alice",
        "resource_id": "db",
        "protocol": 6,
        "inner_src_ip": "fd00:2021:1111::2",
        "inner_src_port": 40_000,
        "inner_dst_ip": "2001:db8::5",
        "inner_dst_port": 443,
        "domain": "git.example.com",
        "flow_start": "2023-11-14T22:13:20.250000000Z",
    }


def test_the_line_of_an_end_has_all_of_its_fields() -> None:
    event = FlowEnded(
        client_id="alice",
        resource_id="db",
        protocol=50,
        inner_src_ip=ip_address("100.64.0.2"),
        inner_src_port=None,
        inner_dst_ip=ip_address("10.0.0.5"),
        inner_dst_port=None,
        domain=None,
        flow_start=0.0,
        last_packet=1.5,
        flow_end=2.75,
        tx_packets=1,
        tx_bytes=2,
        rx_packets=3,
        rx_bytes=4,
        cause=FlowEnd.CROWDED_OUT,
    )
    assert line(event) == {
        "event": "flow-ended",
        "client_id": "alice",
        "resource_id": "db",
        "protocol": 50,
        "inner_src_ip": "100.64.0.2",
        "inner_src_port": None,
        "inner_dst_ip": "10.0.0.5",
        "inner_dst_port": None,
        "domain": None,
        "flow_start": "1970-01-01T00:00:00.000000000Z",
        "last_packet": "1970-01-01T00:00:01.500000000Z",
        "flow_end": "1970-01-01T00:00:02.750000000Z",
        "tx_packets": 1,
        "tx_bytes": 2,
        "rx_packets": 3,
        "rx_bytes": 4,
        "cause": "crowded-out",
    }


def test_the_line_of_refusals_has_all_of_their_fields() -> None:
    event = FlowRefused(
        client_id=None,
        direction=Direction.INBOUND,
        reason=Reason.NOT_A_PEER,
        far_ip=None,
        protocol=None,
        far_port=None,
        first_packet=1,
        last_packet=2,
        packets=3,
        ip_bytes=4,
    )
    assert line(event) == {
        "event": "flow-refused",
        "client_id": None,
        "direction": "inbound",
        "reason": "not-a-peer",
        "far_ip": None,
        "protocol": None,
        "far_port": None,
        "first_packet": "1970-01-01T00:00:01.000000000Z",
        "last_packet": "1970-01-01T00:00:02.000000000Z",
        "packets": 3,
        "ip_bytes": 4,
    }


def test_names_in_any_script_are_written_in_plain_ascii() -> None:
    stream = io.StringIO()
    event = FlowRefused(
        client_id="zoë\n",
        direction=Direction.INBOUND,
        reason=Reason.ICMP,
        far_ip=None,
        protocol=None,
        far_port=None,
        first_packet=1.0,
        last_packet=2.0,
        packets=3,
        ip_bytes=4,
    )
    FlowWriter(stream).add(event)
    assert stream.getvalue().isascii()
    assert stream.getvalue().count("\n") == 1


@pytest.mark.parametrize("us", [1, 123_456, 999_999])
def test_a_time_of_microseconds_is_written_as_it_stood_in_the_capture(us: int) -> None:
    # As it stands in the lines of --decisions: whoever joins the two goes by it.
    time_ns = START_S * NS_PER_S + us * 1_000
    (begun, _) = written([Record(time_ns, 101, PING, len(PING))])
    assert begun["flow_start"] == f"2023-11-14T22:13:20.{us:06}000Z"


# --- The loop -----------------------------------------------------------------------------------


def test_a_flow_of_a_capture_is_a_start_and_an_end() -> None:
    begun, ended = written([at(START_S), at(START_S + 1, PONG), at(START_S + 2)])
    assert (begun["event"], begun["inner_src_port"]) == ("flow-started", 1)
    assert (ended["event"], ended["cause"]) == ("flow-ended", "disconnected")
    assert ended["flow_end"] == ended["last_packet"] == "2023-11-14T22:13:22.000000000Z"
    counts = [ended[name] for name in ("tx_packets", "tx_bytes", "rx_packets", "rx_bytes")]
    assert counts == [2, 8, 1, 4]


def test_what_is_open_at_the_end_is_closed_at_the_last_packet_of_the_capture() -> None:
    foreign = udp("10.0.0.9:1 > 10.0.0.8:2")
    *_, ended = written([at(START_S), at(START_S + 10, foreign)])
    assert ended["last_packet"] == "2023-11-14T22:13:20.000000000Z"
    assert ended["flow_end"] == "2023-11-14T22:13:30.000000000Z"


def test_a_connection_that_both_ends_closed_ends_by_itself() -> None:
    story = [
        at(START_S, segment(SYN)),
        at(START_S + 1, answer(SYN | ACK)),
        at(START_S + 2, segment(FIN | ACK)),
        at(START_S + 3, answer(FIN | ACK)),
        at(START_S + 9),
    ]
    ended = [one for one in written(story) if one["event"] == "flow-ended"]
    assert [one["cause"] for one in ended] == ["fin", "disconnected"]
    assert ended[0]["flow_end"] == "2023-11-14T22:13:23.000000000Z"


def test_an_expiry_ends_flows_at_its_moment() -> None:
    *_, ended = written([at(START_S), at(EXPIRY_S + 7, udp("10.0.0.9:1 > 10.0.0.8:2"))])
    assert (ended["cause"], ended["flow_end"]) == ("expired", "2023-11-14T22:15:00.000000000Z")


def lasting() -> Line:
    """Return the policy without the expiry."""
    document: Line = json.loads(json.dumps(POLICY))
    document["clients"][0]["authorizations"][0]["expires_at"] = None
    return document


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "policy.json").write_text(json.dumps(POLICY))
    (tmp_path / "office.pcap").write_bytes(pcap(PING, PONG, REFUSED))
    return tmp_path


def run_in(folder: Path, *options: str | Path) -> int:
    capture, policy_file = folder / "office.pcap", folder / "policy.json"
    arguments = ["replay", capture, "--policy", policy_file, *options]
    return run([str(argument) for argument in arguments])


def test_a_flow_that_is_idle_ends_then_and_not_with_the_capture(
    files: Path, tmp_path: Path
) -> None:
    (files / "policy.json").write_text(json.dumps(lasting()))
    # Nothing for an hour, and the flow begins anew.
    later = pcap_record(PING, START_S + 3_600)
    (files / "office.pcap").write_bytes(pcap(PING, PONG) + later)
    flows = tmp_path / "flows.jsonl"
    assert run_in(files, "--flows", flows) == ExitStatus.DONE
    lines = [json.loads(one) for one in flows.read_text().splitlines()]
    assert [one["event"] for one in lines] == [
        "flow-started",
        "flow-ended",
        "flow-started",
        "flow-ended",
    ]
    assert lines[1]["cause"] == "idle"
    assert lines[1]["flow_end"].startswith("2023-11-14T22:15:21.")


def test_refusals_of_the_last_minute_are_written_too() -> None:
    (refused,) = written([at(START_S, REFUSED), at(START_S + 5, REFUSED)])
    assert (refused["event"], refused["packets"]) == ("flow-refused", 2)
    assert refused["last_packet"] == "2023-11-14T22:13:25.000000000Z"


def test_nothing_is_lost_at_the_end_however_many_clients_there_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(events, "MAX_FLOW_EVENTS", 4)
    document = json.loads(json.dumps(POLICY))
    (first,) = document["clients"]
    del first["ipv6"]
    others = [{**first, "id": f"{number}", "ipv4": f"100.64.0.{number}"} for number in range(3, 9)]
    document["clients"] += others
    stream = io.StringIO()
    pings = [
        at(START_S, icmp_echo(f"{client['ipv4']} > {RESOURCE}")) for client in document["clients"]
    ]
    replay(pings, load_policy(document), flows=FlowWriter(stream))
    kinds = Counter(json.loads(one)["event"] for one in stream.getvalue().splitlines())
    assert kinds == {"flow-started": 7, "flow-ended": 7}


def test_a_capture_without_packets_has_no_flows() -> None:
    assert written([]) == []


def test_flows_up_to_the_damage_are_closed_there() -> None:
    def damaged() -> Iterator[Record]:
        yield at(START_S)
        raise DamagedCaptureError("it is cut short")

    assert [one["event"] for one in written(damaged())] == ["flow-started", "flow-ended"]


def test_the_summary_is_the_same_with_flows_and_without() -> None:
    records = [at(START_S), at(START_S + 1, REFUSED), at(EXPIRY_S), at(EXPIRY_S, PONG)]
    with_flows: Summary = replay(records, policy(), flows=FlowWriter(io.StringIO()))
    assert with_flows == replay(records, policy())
    assert with_flows.event_count == 2


# --- The command line ---------------------------------------------------------------------------


def test_flows_go_to_a_file(files: Path) -> None:
    flows = files / "flows.jsonl"
    assert run_in(files, "--flows", flows) == ExitStatus.DONE
    kinds = Counter(json.loads(one)["event"] for one in flows.read_text().splitlines())
    assert kinds == {"flow-started": 1, "flow-ended": 1, "flow-refused": 1}


def test_flows_may_go_to_standard_output(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_in(files, "--flows", "-") == ExitStatus.DONE
    said = capsys.readouterr()
    assert [json.loads(one)["event"] for one in said.out.splitlines()] == [
        "flow-started",
        "flow-ended",
        "flow-refused",
    ]
    assert said.err.startswith(f"{files / 'office.pcap'}: 3 packets")


def test_flows_beside_decisions_and_packets(files: Path) -> None:
    outputs = {name: files / name for name in ("flows", "decisions", "forwarded")}
    options = [part for name, path in outputs.items() for part in (f"--{name}", path)]
    assert run_in(files, *options) == ExitStatus.DONE
    decided = [json.loads(one) for one in outputs["decisions"].read_text().splitlines()]
    assert [one["decision"] for one in decided].count("reject") == 1
    assert all(path.stat().st_size for path in outputs.values())


@pytest.mark.parametrize("other", ["office.pcap", "policy.json"])
def test_flows_do_not_destroy_what_is_read(
    files: Path, other: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (files / other).read_bytes()
    assert run_in(files, "--flows", files / other) == ExitStatus.UNUSABLE
    assert (files / other).read_bytes() == before
    assert "cannot be written, it is in use" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["out", "-"])
@pytest.mark.parametrize("option", ["--decisions", "--forwarded"])
def test_flows_do_not_share_an_output(files: Path, option: str, name: str) -> None:
    output = files / name if name != "-" else name
    assert run_in(files, "--flows", output, option, output) == ExitStatus.UNUSABLE
    assert not (files / "out").exists()


def test_where_flows_cannot_be_written_is_told_in_one_line(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nowhere = files / "no" / "flows.jsonl"
    assert run_in(files, "--flows", nowhere) == ExitStatus.UNUSABLE
    complaint = f"firezone-filter: {nowhere}: No such file or directory\n"
    assert capsys.readouterr().err == complaint


def test_no_flows_are_written_before_policy_and_capture_are_good(files: Path) -> None:
    (files / "office.pcap").write_bytes(b"nothing of the kind")
    assert run_in(files, "--flows", files / "flows.jsonl") == ExitStatus.UNUSABLE
    assert not (files / "flows.jsonl").exists()


def test_a_capture_without_packets_makes_an_empty_file(files: Path) -> None:
    (files / "office.pcap").write_bytes(pcap())
    assert run_in(files, "--flows", files / "flows.jsonl") == ExitStatus.DONE
    assert (files / "flows.jsonl").read_text() == ""


def test_help_tells_of_flows(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["replay", "--help"]) == ExitStatus.DONE
    assert "--flows FILE" in capsys.readouterr().out


# --- The example --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Line], list[Line]]:
    """Return the flow records of the example, and its decisions."""
    folder = tmp_path_factory.mktemp("office")
    arguments = ["replay", OFFICE / "office.pcap", "--policy", OFFICE / "policy.json"]
    options = ["--flows", folder / "flows", "--decisions", folder / "decisions"]
    assert run([str(argument) for argument in [*arguments, *options]]) == ExitStatus.DONE
    lines = [(folder / name).read_text().splitlines() for name in ("flows", "decisions")]
    flows, decisions = ([json.loads(one) for one in each] for each in lines)
    return flows, decisions


def test_every_flow_of_the_example_that_starts_ends(
    office: tuple[list[Line], list[Line]],
) -> None:
    flows, _ = office
    kinds = Counter(one["event"] for one in flows)
    assert kinds["flow-started"] == kinds["flow-ended"] >= 10


def test_the_example_shows_a_download_that_the_restart_ends(
    office: tuple[list[Line], list[Line]],
) -> None:
    flows, _ = office
    (download,) = (
        one for one in flows if one["event"] == "flow-ended" and one["resource_id"] == "downloads"
    )
    assert (download["cause"], download["inner_dst_port"]) == ("expired", 8080)


def test_every_refused_packet_of_the_example_is_in_one_record(
    office: tuple[list[Line], list[Line]],
) -> None:
    flows, decisions = office
    told: Counter[tuple[str, str]] = Counter()
    for one in flows:
        if one["event"] == "flow-refused":
            told[one["direction"], one["reason"]] += one["packets"]
    refused = [one for one in decisions if one["reason"] is not None]
    assert told == Counter((one["direction"], one["reason"]) for one in refused)


def test_every_ping_of_the_example_that_passed_to_files_is_in_one_record(
    office: tuple[list[Line], list[Line]],
) -> None:
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


def test_times_of_the_example_are_those_of_its_packets(
    office: tuple[list[Line], list[Line]],
) -> None:
    flows, decisions = office
    times = {one["time"] for one in decisions}
    starts = {one["flow_start"] for one in flows if one["event"] == "flow-started"}
    assert starts <= times
