"""Decisions and flow records as JSON lines, and the capture of the packets that passed."""

import io
import json
import re
import struct
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from firezone_filter.capture.formats import MAX_PACKET
from firezone_filter.capture.reader import Capture
from firezone_filter.replay.arrow import decision_schema
from firezone_filter.replay.captured_packet import CapturedPacket, read_packet
from firezone_filter.replay.outputs import tables
from firezone_filter.replay.outputs.captures import ForwardedPcapngWriter, ForwardedWriter
from firezone_filter.replay.outputs.tables import DecisionWriter, FlowWriter, JsonLines
from firezone_filter.replay.summary import Decided
from firezone_filter.values.decisions import (
    Decision,
    Direction,
    Drop,
    Forward,
    Reason,
    Reject,
    Translate,
)
from firezone_filter.values.events import FlowEnd, FlowEnded, FlowEvent, FlowRefused, FlowStarted
from tests.captures import (
    ALLOWED,
    REFUSED_ANSWER,
    decided,
    ipv4,
    pcap_header,
    pcap_record,
    ping,
    tcp,
)

TIME_NS = 1_700_000_000_123_456_789
FORWARD = Forward("alice", "db")
HEADER = pcap_header(magic=0xA1B23C4D)[:16] + struct.pack("<II", MAX_PACKET, 101)
"""Raw IP with nanoseconds."""

Line = dict[str, Any]


# --- Decisions ---------------------------------------------------------------------------


def decision_line(
    packet: bytes, decision: Decision, direction: Direction = Direction.OUTBOUND
) -> Line:
    stream = io.BytesIO()
    DecisionWriter(JsonLines(stream)).add(decided(packet, decision, direction, time_ns=TIME_NS))
    line: Line = json.loads(stream.getvalue())
    return line


def test_the_line_of_an_allowed_packet_has_all_fields() -> None:
    assert decision_line(ALLOWED, FORWARD) == {
        "frame": 1,
        "time": "2023-11-14T22:13:20.123456789Z",
        "direction": "outbound",
        "decision": "forward",
        "reason": None,
        "client": "alice",
        "resource": "db",
        "source": "100.64.0.2",
        "destination": "10.0.0.5",
        "protocol": 6,
        "source_port": 40000,
        "destination_port": 5432,
        "icmp_type": None,
        "icmp_code": None,
        "length": 40,
        "wire_length": 40,
        "translated_source": None,
        "translated_destination": None,
        "translated_source_port": None,
        "translated_destination_port": None,
    }


def test_the_names_of_the_fields_are_documented_in_their_order() -> None:
    text = (Path(__file__).parents[4] / "docs/how-to/replay.md").read_text()
    rows = [row.split("|")[1] for row in text.split("| field |")[1].splitlines()[2:] if "|" in row]
    documented = [name for row in rows for name in re.findall(r"`(\w+)`", row)]
    assert documented == list(decision_line(ALLOWED, FORWARD))


def test_the_line_of_icmp_has_type_and_code() -> None:
    line = decision_line(ping(), FORWARD)
    assert (line["icmp_type"], line["icmp_code"], line["source_port"]) == (8, 0, None)


def test_the_line_of_a_translated_packet_has_both() -> None:
    line = decision_line(ALLOWED, Translate(tcp(50000, 443, "10.0.0.1", "10.0.0.2"), "alice", "w"))
    assert (line["source"], line["source_port"]) == ("100.64.0.2", 40000)
    assert {name: value for name, value in line.items() if name.startswith("translated")} == {
        "translated_source": "10.0.0.1",
        "translated_destination": "10.0.0.2",
        "translated_source_port": 50000,
        "translated_destination_port": 443,
    }


def test_the_line_of_a_cut_packet_has_its_lengths_on_the_wire() -> None:
    frame = Decided(7, TIME_NS, Direction.OUTBOUND, read_packet(ALLOWED[:24], 46), 60, FORWARD)
    stream = io.BytesIO()
    DecisionWriter(JsonLines(stream)).add(frame)
    line = json.loads(stream.getvalue())
    assert (line["frame"], line["length"], line["wire_length"]) == (7, 40, 60)
    assert (line["source_port"], line["destination_port"]) == (40000, 5432)


@pytest.mark.parametrize(
    ("decision", "fields"),
    [
        pytest.param(
            Drop(Reason.TCP_PORT, "alice"),
            {"decision": "drop", "reason": "tcp-port", "client": "alice", "resource": None},
            id="drop",
        ),
        pytest.param(
            Reject(b"reply", Reason.NO_RESOURCE, "alice"),
            {"decision": "reject", "reason": "no-resource", "client": "alice", "resource": None},
            id="reject",
        ),
        pytest.param(
            Translate(tcp(1, 2), "alice", "web"),
            {"decision": "translate", "reason": None, "client": "alice", "resource": "web"},
            id="translate",
        ),
    ],
)
def test_a_line_tells_the_decision_on_the_packet_that_arrived(
    decision: Decision, fields: Line
) -> None:
    line = decision_line(REFUSED_ANSWER, decision, Direction.INBOUND)
    assert line == line | fields | {"direction": "inbound", "destination": "100.64.0.2"}


def test_the_line_of_a_packet_without_ports_has_null_for_them() -> None:
    line = decision_line(ipv4(fragment=1, payload=bytes(8)), Drop(Reason.FRAGMENT, "alice"))
    assert (line["source_port"], line["destination_port"]) == (None, None)


def test_every_decision_gets_a_line() -> None:
    stream = io.BytesIO()
    writer = DecisionWriter(JsonLines(stream))
    for time_ns in (1, 2):
        writer.add(decided(ALLOWED, FORWARD, time_ns=time_ns))
    assert [text[:55] for text in stream.getvalue().decode().splitlines()] == [
        '{"frame": 1, "time": "1970-01-01T00:00:00.000000001Z", ',
        '{"frame": 1, "time": "1970-01-01T00:00:00.000000002Z", ',
    ]


def test_groups_of_parquet_have_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="needs the extra replay")
    monkeypatch.setattr(tables, "BATCH", 2)
    stream = io.BytesIO()
    table = tables.Parquet(stream, decision_schema, compressed=True)
    writer = DecisionWriter(table)
    for time_ns in range(33):
        writer.add(decided(ALLOWED, FORWARD, time_ns=time_ns))
    table.finish()
    file = parquet.ParquetFile(stream)
    assert [file.metadata.row_group(n).num_rows for n in range(file.num_row_groups)] == [32, 1]


# --- Packets -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("decision", "sent"),
    [
        pytest.param(FORWARD, ALLOWED, id="forward"),
        pytest.param(Translate(tcp(1, 2), "alice", "web"), tcp(1, 2), id="translate"),
        pytest.param(Drop(Reason.ICMP, "alice"), None, id="drop"),
        pytest.param(Reject(b"reply", Reason.ICMP, "alice"), None, id="reject"),
    ],
)
def test_the_capture_holds_the_packets_that_were_sent_on(
    decision: Decision, sent: bytes | None
) -> None:
    stream = io.BytesIO()
    ForwardedWriter(stream).add(decided(ALLOWED, decision, time_ns=TIME_NS))
    record = b"" if sent is None else pcap_record(sent, 1_700_000_000, 123_456_789)
    assert stream.getvalue() == HEADER + record


@pytest.mark.parametrize(
    ("decision", "sent"),
    [
        pytest.param(FORWARD, ALLOWED[:24], id="forward"),
        pytest.param(
            Translate(tcp(50000, 443, "10.0.0.1", "10.0.0.2"), "alice", "web"),
            tcp(50000, 443, "10.0.0.1", "10.0.0.2")[:24],
            id="translate",
        ),
    ],
)
def test_a_cut_packet_is_written_cut_with_its_original_length(
    decision: Decision, sent: bytes
) -> None:
    stream = io.BytesIO()
    packet = CapturedPacket(ALLOWED[:24], ALLOWED, 40)
    ForwardedWriter(stream).add(Decided(1, 0, Direction.OUTBOUND, packet, 54, decision))
    assert stream.getvalue() == HEADER + pcap_record(sent, 0, wire_length=40)


# --- Flow records ------------------------------------------------------------------------


def test_a_packet_without_a_record_is_written_as_of_raw_ip() -> None:
    stream = io.BytesIO()
    writer = ForwardedPcapngWriter(stream)
    for _ in range(2):
        writer.add(decided(ALLOWED, FORWARD, time_ns=TIME_NS))
    stream.seek(0)
    assert [(one.time_ns, one.link_type, one.frame) for one in Capture(stream)] == [
        (TIME_NS, 101, ALLOWED)
    ] * 2


def flow_line(event: FlowEvent) -> str:
    stream = io.BytesIO()
    FlowWriter(JsonLines(stream)).add(event)
    return stream.getvalue().decode()


EVENTS: dict[str, tuple[FlowEvent, Line]] = {
    "flow-started": (
        FlowStarted(
            client_id="alice",
            resource_id="db",
            protocol=6,
            inner_src_ip=ip_address("fd00:2021:1111::2"),
            inner_src_port=40_000,
            inner_dst_ip=ip_address("2001:db8::5"),
            inner_dst_port=443,
            domain="git.example.com",
            flow_start=1_700_000_000.25,
        ),
        {
            "client_id": "alice",
            "resource_id": "db",
            "protocol": 6,
            "inner_src_ip": "fd00:2021:1111::2",
            "inner_src_port": 40_000,
            "inner_dst_ip": "2001:db8::5",
            "inner_dst_port": 443,
            "domain": "git.example.com",
            "flow_start": "2023-11-14T22:13:20.250000000Z",
        },
    ),
    "flow-ended": (
        FlowEnded(
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
        ),
        {
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
        },
    ),
    "flow-refused": (
        FlowRefused(
            client_id="zoë\n",
            direction=Direction.INBOUND,
            reason=Reason.NOT_A_PEER,
            far_ip=None,
            protocol=None,
            far_port=None,
            first_packet=1,
            last_packet=2,
            packets=3,
            ip_bytes=4,
        ),
        {
            "client_id": "zoë\n",
            "direction": "inbound",
            "reason": "not-a-peer",
            "far_ip": None,
            "protocol": None,
            "far_port": None,
            "first_packet": "1970-01-01T00:00:01.000000000Z",
            "last_packet": "1970-01-01T00:00:02.000000000Z",
            "packets": 3,
            "ip_bytes": 4,
        },
    ),
}


@pytest.mark.parametrize("name", EVENTS)
def test_a_flow_event_is_one_ascii_line_with_all_its_fields(name: str) -> None:
    event, fields = EVENTS[name]
    line = flow_line(event)
    assert (line.isascii(), line.count("\n")) == (True, 1)
    assert json.loads(line) == {"event": name, **fields}
