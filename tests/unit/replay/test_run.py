"""`firezone_filter.replay` as a program uses it."""

import ast
import io
import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import firezone_filter.replay
from firezone_filter import AuthorizationExpired, FlowEnded, FlowStarted, InvalidAddress
from firezone_filter.capture.damage import UnreadableCaptureError
from firezone_filter.capture.reader import Capture
from firezone_filter.replay import (
    AlreadyReadError,
    MissingExtraError,
    OutputClashError,
    UnknownEndingError,
    WorkersError,
    replay,
)
from firezone_filter.replay.columns.engine import ColumnReplay
from tests.captures import (
    ALLOWED,
    ANSWER,
    FOREIGN,
    REFUSED,
    START_S,
    pcap,
    pcap_header,
    pcap_record,
    policy,
    tcp,
)

OFFICE = Path(__file__).parents[3] / "examples/office"


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    path = tmp_path / "office.pcap"
    path.write_bytes(pcap(ALLOWED, ANSWER, FOREIGN, REFUSED))
    return path


def test_exactly_the_public_names_are_listed() -> None:
    tree = ast.parse(Path(firezone_filter.replay.__file__).read_text())
    imported = {
        name.name
        for part in tree.body
        if isinstance(part, ast.If)
        for node in part.body
        if isinstance(node, ast.ImportFrom)
        for name in node.names
    }
    assert imported == set(firezone_filter.replay.__all__)
    for name in imported:
        assert getattr(firezone_filter.replay, name).__name__ == name
    assert imported <= set(dir(firezone_filter.replay))
    with pytest.raises(AttributeError, match="has no attribute 'Nothing'"):
        _ = firezone_filter.replay.Nothing  # type: ignore[attr-defined]
    assert list(firezone_filter.replay.__all__) == sorted(
        firezone_filter.replay.__all__, key=lambda name: (not name[0].isupper(), name)
    )


def test_without_numpy_the_extra_is_named() -> None:
    program = """
import sys
sys.modules["numpy"] = None
try:
    from firezone_filter.replay import replay
except ImportError as error:
    print(error)
"""
    printed = subprocess.run(  # noqa: S603 - ourselves
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    ).stdout
    assert printed == "numpy is missing: pip install 'firezone-filter[replay]'\n"


def test_so_it_is_for_whoever_asks_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "firezone_filter.replay.run", None)
    monkeypatch.delattr(firezone_filter.replay, "run", raising=False)
    with pytest.raises(MissingExtraError, match=r"firezone-filter\[replay\]"):
        firezone_filter.replay.__getattr__("Replay")


def test_packets_are_decided_as_they_are_read(capture: Path) -> None:
    decided = [(one.frame, one.decision.allowed) for one in replay(capture, policy()).packets()]
    assert decided == [(1, True), (2, True), (4, False)]


def test_every_question_is_answered_anew(capture: Path) -> None:
    run = replay([str(capture)], policy())
    assert run.summary.frames.packets == 4
    assert len(list(run.packets())) == len(list(run.packets())) == 3
    assert {type(event) for event in run.flow_events()} >= {FlowStarted, FlowEnded}
    assert run.summary.frames.packets == 4


def test_an_abandoned_pass_leaves_no_counts(capture: Path) -> None:
    run = replay(capture, policy())
    next(run.packets())
    assert run.summary.frames.packets == 4


def test_all_events_are_kept(capture: Path) -> None:
    capture.write_bytes(pcap_header() + pcap_record(ALLOWED) + pcap_record(ALLOWED, START_S + 100))
    (expired, _) = replay(capture, policy()).events
    assert expired == AuthorizationExpired("alice", "db", START_S + 100)


def test_a_stream_is_read_once() -> None:
    stream = io.BytesIO(pcap(ALLOWED))
    run = replay(stream, policy())
    assert len(list(run.packets())) == 1
    assert run.summary.frames.packets == 1
    with pytest.raises(AlreadyReadError) as raised:
        next(run.packets())
    assert raised.value.value is stream


def test_several_captures_are_merged_by_time() -> None:
    one, other = io.BytesIO(pcap(ALLOWED, REFUSED)), io.BytesIO(pcap(ANSWER))
    ports = [one.packet.captured[20:24] for one in replay([one, other], policy()).packets()]
    assert ports == [packet[20:24] for packet in (ALLOWED, ANSWER, REFUSED)]


@pytest.mark.parametrize(
    ("options", "frames"),
    [
        ({}, 4),
        ({"since": START_S + 1}, 3),
        ({"until": datetime.fromtimestamp(START_S + 1, UTC)}, 1),
        ({"since": START_S + 1.5, "until": START_S + 3}, 1),
        ({"count": 2}, 2),
        ({"count": 0}, 0),
    ],
)
def test_only_what_is_asked_for_is_replayed(
    capture: Path, options: dict[str, Any], frames: int
) -> None:
    assert replay(capture, policy(), **options).summary.frames.packets == frames


@pytest.mark.parametrize("addresses", ["10.0.0.9", ["10.0.0.9"]])
def test_clients_get_addresses_of_the_capture(capture: Path, addresses: str | list[str]) -> None:
    (decided,) = replay(capture, policy(), clients={"alice": addresses}).packets()
    assert (decided.frame, decided.decision.client_id) == (3, "alice")


def test_a_filter_chooses_packets(capture: Path) -> None:
    pytest.importorskip("cypcap")
    run = replay(capture, policy(), filter="dst host 100.64.0.2")
    assert {decided.frame for decided in run.packets()} == {2}


def test_flow_events_are_columns_too(capture: Path) -> None:
    pytest.importorskip("pyarrow")
    run = replay(capture, policy())
    rows = run.flows().read_all().to_pylist()
    events = list(run.flow_events())
    assert [row["client_id"] for row in rows] == [event.client_id for event in events]
    assert rows[0]["event"] == "flow-started"


def test_a_stream_cannot_be_read_again_for_workers() -> None:
    run = replay(io.BytesIO(pcap(ANSWER)), policy(), workers=2)
    with pytest.raises(WorkersError, match="a stream cannot be read again"):
        next(run._again())


def test_stateful_is_turned_on() -> None:
    answers = io.BytesIO(pcap(ANSWER))
    run = replay(answers, policy(), stateful=True)
    (decided,) = run.packets()
    assert (decided.decision.allowed, run.policy.options.stateful) == (False, True)


def test_wrong_arguments_are_named_before_anything_is_read() -> None:
    with pytest.raises(ValueError, match="negative: -1"):
        replay("nowhere", policy(), count=-1)
    with pytest.raises(ValueError, match="without a zone"):
        replay("nowhere", policy(), since=datetime(2026, 1, 1))  # noqa: DTZ001 - the point
    with pytest.raises(ValueError, match="no capture"):
        replay([], policy())
    with pytest.raises(InvalidAddress):
        replay("nowhere", policy(), clients={"alice": "no address"})
    with pytest.raises(UnknownEndingError):
        replay("nowhere", policy()).write(decisions="a.txt")


def test_what_is_no_capture_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.pcap"
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(UnreadableCaptureError, match=r"a\.pcap: not a capture"):
        _ = replay(path, policy()).summary
    with pytest.raises(UnreadableCaptureError, match="b: No such file"):
        _ = replay(tmp_path / "b", policy()).summary


def test_damage_of_one_of_several_is_told_with_its_name(capture: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.pcap"
    cut.write_bytes(pcap(ALLOWED)[:-1])
    assert str(cut) in (replay([capture, cut], policy()).summary.damage or "")
    assert (replay(cut, policy()).summary.damage or "").startswith("it is cut short")


def test_ctrl_c_is_not_swallowed() -> None:
    class Interrupted(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            if self.tell() > 24:
                raise KeyboardInterrupt
            return super().read(size)

        read1 = read

    with pytest.raises(KeyboardInterrupt):
        _ = replay(Interrupted(pcap(ALLOWED)), policy()).summary


def test_all_outputs_are_written_in_one_pass(capture: Path, tmp_path: Path) -> None:
    names = {
        "decisions": tmp_path / "d.jsonl",
        "flows": tmp_path / "f.csv",
        "forwarded": tmp_path / "p.pcapng",
        "refused": tmp_path / "r.pcapng",
        "html": tmp_path / "r.html",
    }
    with capture.open("rb") as stream:
        summary = replay(stream, policy()).write(**names)
    assert summary.frames.packets == 4
    assert len(names["decisions"].read_text().splitlines()) == 3
    assert names["flows"].read_text().startswith("event,client_id,")
    for name, frames in (("forwarded", [ALLOWED, ANSWER]), ("refused", [REFUSED])):
        with names[name].open("rb") as stream:
            assert [record.frame for record in Capture(stream)] == frames
    assert b"reject tcp-port client=alice resource=db" in names["refused"].read_bytes()
    assert "<h1><bdi>a stream</bdi></h1>" in names["html"].read_text()


def test_the_report_is_a_page_that_names_what_was_replayed(capture: Path) -> None:
    page = replay([capture, capture], policy()).report()
    assert page.startswith("<!DOCTYPE html>")
    assert "<h1><bdi>office.pcap and 1 more</bdi></h1>" in page
    assert "under the policy" not in page
    assert str(capture.parent) not in page


def test_outputs_may_be_streams(capture: Path) -> None:
    decisions, forwarded = io.BytesIO(), io.BytesIO()
    replay(capture, policy()).write(decisions=decisions, forwarded=forwarded)
    lines = [json.loads(line) for line in decisions.getvalue().splitlines()]
    assert [line["frame"] for line in lines] == [1, 2, 4]
    assert forwarded.getvalue()[:4] == pcap_header(magic=0xA1B23C4D)[:4]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((b"office.pcap", policy()), "a path or a stream of bytes: 111"),
        (("office.pcap", {}), "has to be a Policy"),
    ],
)
def test_arguments_of_the_wrong_type_are_told_at_once(
    arguments: tuple[Any, Any], message: str
) -> None:
    with pytest.raises(TypeError, match=message):
        replay(*arguments)


def test_a_failed_pass_leaves_every_file_as_it_was(tmp_path: Path) -> None:
    old, new = tmp_path / "old.jsonl", tmp_path / "new.parquet"
    old.write_text("old")
    flows = tmp_path / "no" / "f.jsonl"
    run = replay(io.BytesIO(pcap(ALLOWED)), policy())
    with pytest.raises(FileNotFoundError) as raised:
        run.write(decisions=old, flows=flows)
    assert raised.value.filename == str(flows)
    broken = replay(io.BytesIO(pcap(ALLOWED)[:10]), policy())
    with pytest.raises(UnreadableCaptureError):
        broken.write(decisions=new, flows=old)
    assert old.read_text() == "old"
    assert list(tmp_path.iterdir()) == [old]


def test_without_the_extra_objects_work_and_columns_name_it(capture: Path) -> None:
    program = f"""
import sys
sys.modules["pyarrow"] = None
from firezone_filter import load_policy
from firezone_filter.replay import MissingExtraError, replay
policy = load_policy(open({str(OFFICE / "policy.json")!r}).read())
run = replay({str(OFFICE / "office.pcap")!r}, policy)
assert len(list(run.packets())) == 165
for ask in (run.decisions, run.flows, run.to_pandas, lambda: run.write(flows="a.parquet")):
    try:
        ask()
    except MissingExtraError as error:
        print(error)
assert not {{"pandas", "click", "rich"}} & set(sys.modules)
"""
    printed = subprocess.run(  # noqa: S603 - ourselves
        [sys.executable, "-c", program],
        check=True,
        capture_output=True,
        text=True,
        cwd=capture.parent,
        env={"PYTHONPATH": str(Path(__file__).parents[3])},
    ).stdout
    missing = "pyarrow is missing: pip install 'firezone-filter[replay]'"
    assert printed.splitlines() == [missing] * 4
    assert list(capture.parent.iterdir()) == [capture]


def test_reading_columns_takes_no_more_than_a_batch() -> None:
    pytest.importorskip("pyarrow")
    run = replay(io.BytesIO(pcap(*[tcp(40000, 5432)] * (ColumnReplay.step + 100))), policy())
    reader = run.decisions()
    assert [reader.read_next_batch().num_rows for _ in range(2)] == [ColumnReplay.step, 100]


@pytest.mark.parametrize("captures", ["office.pcap", "*.pcap", "."])
def test_no_capture_is_written_over(
    capture: Path, monkeypatch: pytest.MonkeyPatch, captures: str
) -> None:
    monkeypatch.chdir(capture.parent)
    before = capture.read_bytes()
    with pytest.raises(OutputClashError, match=r"it is in use as office\.pcap") as raised:
        replay(captures, policy()).write(forwarded=capture)
    assert raised.value.value == str(capture)
    assert capture.read_bytes() == before


def test_no_output_is_written_over_another(capture: Path, tmp_path: Path) -> None:
    run = replay(capture, policy())
    with pytest.raises(OutputClashError, match="it is in use as"):
        run.write(decisions=tmp_path / "x.csv", flows=f"{tmp_path}/./x.csv")
    run.write(decisions=os.devnull, flows=os.devnull)
    assert not (tmp_path / "x.csv").exists()


def test_pipes_and_streams_may_be_written_twice(capture: Path) -> None:
    stream = io.BytesIO()
    run = replay(capture, policy())
    run.write(decisions="/dev/null", flows="/dev/null", forwarded=stream, refused=io.BytesIO())
    assert stream.getvalue()
