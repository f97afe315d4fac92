"""Captures made for benches: the same for the same seed, whole, and mixed as they say."""

import shutil
import subprocess
from collections import Counter
from importlib import import_module
from pathlib import Path

import pytest

from benches.captures import COMPRESSIONS, kept_captures, main, write_captures
from benches.traffic_others import SHARES
from benches.traffic_policy import CLIENTS, SCANNER, TRIAL
from firezone_filter import Policy, Reason, load_policy
from firezone_filter.capture.reader import Capture
from firezone_filter.capture.stream import Record
from firezone_filter.replay import Decided, FiveTuple, Replay, Summary, replay
from firezone_filter.replay.five_tuple import read_five_tuple
from firezone_filter.values.decisions import Direction, Forward, Translate

PACKETS = 40_000


class Watcher:
    """Sees every decision, and which packets are not the first of a direct flow."""

    def __init__(self) -> None:
        self.decided: list[Decided] = []
        self.flows: set[FiveTuple] = set()
        self.established = 0

    def add(self, decided: Decided) -> None:
        self.decided.append(decided)
        flow = read_five_tuple(decided.packet.captured)
        if isinstance(decided.decision, Forward) and flow.source_port is not None:
            self.established += flow in self.flows
            self.flows.add(flow)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("captures")
    write_captures(folder, PACKETS)
    return folder


@pytest.fixture(scope="module")
def capture(folder: Path) -> Path:
    return folder / "traffic.pcap"


@pytest.fixture(scope="module")
def policy(folder: Path) -> Policy:
    return load_policy((folder / "policy.json").read_text())


@pytest.fixture(scope="module")
def run(capture: Path, policy: Policy) -> Replay:
    return replay(capture, policy)


@pytest.fixture(scope="module")
def watcher(run: Replay) -> Watcher:
    watcher = Watcher()
    for decided in run.packets():
        watcher.add(decided)
    return watcher


@pytest.fixture(scope="module")
def summary(run: Replay, watcher: Watcher) -> Summary:
    assert watcher.decided
    return run.summary


def records(path: Path) -> list[Record]:
    with path.open("rb") as stream:
        return list(Capture(stream))


def share(count: int) -> float:
    return count / PACKETS


def program(*command: str) -> str:
    # The commands are those of this module.
    ran = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603
    return ran.stdout


def test_the_same_seed_gives_the_same_bytes(capture: Path, tmp_path: Path) -> None:
    (again,) = write_captures(tmp_path, PACKETS)
    assert again.read_bytes() == capture.read_bytes()


def test_another_seed_gives_other_packets(tmp_path: Path) -> None:
    (one,) = write_captures(tmp_path, 500)
    first = one.read_bytes()
    (other,) = write_captures(tmp_path, 500, seed=2)
    assert first != other.read_bytes()


def test_all_packets_are_there_in_the_order_of_time(summary: Summary) -> None:
    assert summary.frames.packets == PACKETS
    assert summary.is_complete
    assert not summary.is_odd


@pytest.mark.skipif(shutil.which("capinfos") is None, reason="no capinfos")
def test_capinfos_counts_the_same(capture: Path, summary: Summary) -> None:
    told = program("capinfos", "-c", "-d", "-S", "-M", "-T", "-r", "-B", str(capture))
    _, packets, size = told.split("\t")
    assert int(packets) == summary.frames.packets
    assert int(size) == summary.frames.bytes


def test_nine_in_ten_packets_belong_to_established_direct_flows(
    summary: Summary, watcher: Watcher
) -> None:
    assert summary.frames.packets == PACKETS
    # The flows of the beginning count for less among a million packets: there it is 0.905.
    assert 0.88 < share(watcher.established) < 0.91


def test_what_is_not_decided_has_its_share(summary: Summary) -> None:
    # Half of what is of no direct flow is a scan, in the last four tenths of the capture.
    assert share(summary.not_ip.packets) == pytest.approx(0.8 * SHARES["not IP"], rel=0.2)
    assert share(summary.not_ours.packets) == pytest.approx(0.8 * SHARES["not ours"], rel=0.2)
    assert {"ARP", "STP", "LLDP"} == set(summary.not_ip_kinds)


def test_names_are_translated_both_ways(watcher: Watcher, summary: Summary) -> None:
    ways = Counter(one.direction for one in watcher.decided if isinstance(one.decision, Translate))
    assert set(ways) == set(Direction)
    assert share(ways.total()) == pytest.approx(0.8 * SHARES["names"], rel=0.2)
    assert summary.decided(Direction.OUTBOUND).packets > 0


@pytest.mark.parametrize(
    ("direction", "reason"),
    [
        (Direction.OUTBOUND, Reason.TCP_PORT),
        (Direction.OUTBOUND, Reason.NO_RESOURCE),
        (Direction.OUTBOUND, Reason.MALFORMED),
        (Direction.INBOUND, Reason.NO_RESOURCE),
    ],
)
def test_each_refusal_is_there(summary: Summary, direction: Direction, reason: Reason) -> None:
    assert summary.refusals[direction, reason].tally.packets > 0


def test_fragments_echoes_and_errors_pass(watcher: Watcher) -> None:
    passed = Counter(
        (flow.protocol, flow.icmp_type, flow.source_port is None)
        for one in watcher.decided
        if isinstance(one.decision, Forward)
        for flow in (read_five_tuple(one.packet.captured),)
    )
    assert {(1, 8, True), (1, 0, True), (1, 11, True), (17, None, True)} <= set(passed)
    assert {(58, 128, True), (58, 129, True), (58, 3, True)} <= set(passed)


def test_one_client_scans_towards_the_end(summary: Summary, watcher: Watcher) -> None:
    scanner = f"client-{SCANNER}"
    refused = {
        client: each.refused[Direction.OUTBOUND] for client, each in summary.clients.items()
    }
    assert max(refused, key=lambda client: refused[client].packets) == scanner
    frames = [
        one.frame
        for one in watcher.decided
        if one.decision.client_id == scanner and not one.decision.to_send(one.packet.whole)
    ]
    in_the_first_half = sum(frame <= PACKETS // 2 for frame in frames)
    assert in_the_first_half < len(frames) / 10


def test_every_client_has_traffic_and_one_has_something_for_a_while(summary: Summary) -> None:
    assert {f"client-{number}" for number in range(CLIENTS)} <= set(summary.clients)
    assert "trial" in summary.clients[f"client-{TRIAL}"].allowed


def test_some_frames_have_tags_and_some_are_padded(capture: Path) -> None:
    frames = [record.frame for record in records(capture)]
    tagged = sum(frame[12:14] == b"\x81\x00" for frame in frames)
    assert share(tagged) == pytest.approx(0.125, abs=0.05)
    # 14 bytes of Ethernet, 20 of IPv4, 20 of TCP: six are padding.
    assert any(len(frame) == 60 and frame[16:18] == b"\x00\x28" for frame in frames)


@pytest.mark.skipif(shutil.which("tshark") is None, reason="no tshark")
def test_all_checksums_are_right(capture: Path) -> None:
    layers = ("ip", "tcp", "udp", "icmp", "icmpv6")
    options = [f"-o{layer}.check_checksum:TRUE" for layer in layers[:3]]
    fields = [f"-e{layer}.checksum.status" for layer in layers]
    told = program(
        "tshark", "-n", "-r", str(capture), *options, "-Tfields", *fields, "-Eoccurrence=f"
    )
    statuses = Counter(told.split())
    # Good, or not there: fragments and quotes are not whole.
    assert set(statuses) <= {"1", "2"}
    assert statuses["1"] > PACKETS


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_several_files_have_the_packets_of_one(tmp_path: Path, compression: str) -> None:
    (whole,) = write_captures(tmp_path, 2_000)
    paths = write_captures(tmp_path, 2_000, files=3, compression=compression)
    modules = {"gz": "gzip", "xz": "lzma", "zst": "backports.zstd", "lz4": "lz4.frame", "": "io"}
    several = []
    for path in paths:
        with import_module(modules[compression]).open(path, "rb") as stream:
            several.append(list(Capture(stream)))
    assert [len(one) for one in several] == [666, 667, 667]
    assert [record for one in several for record in one] == records(whole)


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep captures in a folder of their own."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


@pytest.mark.usefixtures("kept")
def test_captures_are_kept_by_seed_and_size(tmp_path: Path) -> None:
    paths = kept_captures(400, files=2)
    modified = [path.stat().st_mtime_ns for path in paths]
    assert [path.stat().st_mtime_ns for path in kept_captures(400, files=2)] == modified
    (other,) = kept_captures(400, seed=2)
    whole = write_captures(tmp_path, 400, files=2)
    assert [path.read_bytes() for path in paths] == [path.read_bytes() for path in whole]
    assert other.parent not in {path.parent for path in paths}
    assert other.with_name("policy.json").is_file()


def test_captures_of_another_version_make_room(
    kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (old,) = kept_captures(300)
    (another,) = kept_captures(301)
    monkeypatch.setattr("benches.captures._fingerprint", lambda: "another")
    (new,) = kept_captures(300)
    assert (old.exists(), another.exists(), new.exists()) == (False, True, True)
    assert not list(kept.glob("*/making-*"))


def test_the_command_tells_what_it_wrote(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main([str(tmp_path / "new"), "--packets", "300", "--files", "2", "--compress", "gz"])
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(": ")[0].rpartition("/")[2] for line in lines] == [
        "traffic-0000.pcap.gz",
        "traffic-0001.pcap.gz",
    ]
