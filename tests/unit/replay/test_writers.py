"""Decisions as JSON lines, and the capture of what passed."""

import io
import json

import pytest

from firezone_filter.capture.formats import MAX_PACKET
from firezone_filter.replay.summary import Decided
from firezone_filter.replay.writers import DecisionWriter, ForwardedWriter
from firezone_filter.values.decisions import (
    Decision,
    Direction,
    Drop,
    Forward,
    Reason,
    Reject,
    Translate,
)
from tests.captures import ALLOWED, REFUSED_ANSWER, ipv4, ipv6, pcap_header, pcap_record

TIME_NS = 1_700_000_000_123_456_789
FORWARD = Forward("alice", "db")


def line(
    packet: bytes, decision: Decision, direction: Direction = Direction.OUTBOUND
) -> dict[str, object]:
    stream = io.StringIO()
    DecisionWriter(stream).add(Decided(TIME_NS, direction, packet, decision))
    written = json.loads(stream.getvalue())
    assert isinstance(written, dict)
    return written


def capture(packet: bytes, decision: Decision) -> bytes:
    """Return what is written about *packet*, without the file header."""
    stream = io.BytesIO()
    writer = ForwardedWriter(stream)
    writer.add(Decided(TIME_NS, Direction.OUTBOUND, packet, decision))
    return stream.getvalue()[24:]


def test_a_line_tells_all_about_a_packet_that_passes() -> None:
    assert line(ALLOWED, FORWARD) == {
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
    }


def test_a_line_tells_why_a_packet_was_refused() -> None:
    written = line(REFUSED_ANSWER, Drop(Reason.TCP_PORT, "alice"), Direction.INBOUND)
    told = [written[key] for key in ("direction", "decision", "reason", "client", "resource")]
    assert told == ["inbound", "drop", "tcp-port", "alice", None]


def test_a_line_tells_of_rejections() -> None:
    written = line(ALLOWED, Reject(b"reply", Reason.NO_RESOURCE, "alice"))
    assert (written["decision"], written["reason"]) == ("reject", "no-resource")


def test_a_line_tells_of_translations_what_arrived() -> None:
    written = line(ALLOWED, Translate(ipv6(), "alice", "web"))
    assert (written["decision"], written["destination"]) == ("translate", "10.0.0.5")


def test_a_line_has_no_ports_where_the_packet_has_none() -> None:
    written = line(ipv4(fragment=1, payload=bytes(8)), Drop(Reason.FRAGMENT, "alice"))
    assert (written["source_port"], written["destination_port"]) == (None, None)


def test_every_decision_gets_a_line() -> None:
    stream = io.StringIO()
    writer = DecisionWriter(stream)
    for time_ns in (1, 2):
        writer.add(Decided(time_ns, Direction.OUTBOUND, ALLOWED, FORWARD))
    assert [text[:43] for text in stream.getvalue().splitlines()] == [
        '{"time": "1970-01-01T00:00:00.000000001Z", ',
        '{"time": "1970-01-01T00:00:00.000000002Z", ',
    ]


def test_the_capture_holds_raw_ip_with_nanoseconds() -> None:
    stream = io.BytesIO()
    ForwardedWriter(stream)
    expected = pcap_header(magic=0xA1B23C4D).replace(
        (65_535).to_bytes(4, "little"), MAX_PACKET.to_bytes(4, "little")
    )
    assert stream.getvalue() == expected


def test_a_packet_that_passes_is_captured_at_its_own_time() -> None:
    assert capture(ALLOWED, FORWARD) == pcap_record(ALLOWED, 1_700_000_000, 123_456_789)


def test_a_translated_packet_is_captured_as_it_left() -> None:
    written = capture(ALLOWED, Translate(ipv6(), "alice", "web"))
    assert written == pcap_record(ipv6(), 1_700_000_000, 123_456_789)


@pytest.mark.parametrize(
    "decision", [Drop(Reason.ICMP, "alice"), Reject(b"reply", Reason.ICMP, "alice")]
)
def test_a_refused_packet_is_not_captured(decision: Decision) -> None:
    assert capture(ALLOWED, decision) == b""
