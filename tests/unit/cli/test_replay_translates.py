"""A replay of a client's traffic with a DNS resource: its packets are translated."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen

from firezone_filter.capture.reader import Capture
from firezone_filter.capture.stream import Record
from firezone_filter.cli.command import run
from firezone_filter.cli.exit import ExitStatus
from firezone_filter.testing import checksums_hold, icmp_echo, icmp_error, tcp, udp
from tests.captures import CLIENT, CLIENT_6, POLICY, pcap, pcap_header, pcap_record

PROXY, PROXY_6 = "100.96.0.1", "fd00:2021:1111:8000::1"
REAL, REAL_6 = "10.20.0.10", "2001:db8:20::10"

AUTHORIZATION = {
    "resource": {
        "type": "dns",
        "id": "git",
        "address": "*.example.com",
        "filters": [
            {"protocol": "tcp", "port_range_start": 443, "port_range_end": 443},
            {"protocol": "udp", "port_range_start": 443, "port_range_end": 443},
            {"protocol": "icmp"},
        ],
    },
    "domains": [
        {
            "name": "git.example.com",
            "proxy_addresses": [PROXY, PROXY_6],
            "resolved_addresses": [REAL, REAL_6],
        }
    ],
}

# The packets of the capture, and their translations: there and back, in both families.
ASKED = [
    tcp(f"{CLIENT}:40000 > {PROXY}:443", b"hello"),
    tcp(f"{REAL}:443 > {CLIENT}:40000", b"welcome"),
    udp(f"[{CLIENT_6}]:40000 > [{PROXY_6}]:443", b"hello"),
    udp(f"[{REAL_6}]:443 > [{CLIENT_6}]:40000", b"welcome"),
    icmp_echo(f"{CLIENT} > {PROXY}"),
    icmp_echo(f"{REAL} > {CLIENT}", reply=True),
]
SENT = [
    tcp(f"{CLIENT}:40000 > {REAL}:443", b"hello"),
    tcp(f"{PROXY}:443 > {CLIENT}:40000", b"welcome"),
    udp(f"[{CLIENT_6}]:40000 > [{REAL_6}]:443", b"hello"),
    udp(f"[{PROXY_6}]:443 > [{CLIENT_6}]:40000", b"welcome"),
    icmp_echo(f"{CLIENT} > {REAL}"),
    icmp_echo(f"{PROXY} > {CLIENT}", reply=True),
]
REFUSED = [
    tcp(f"{CLIENT}:40000 > {PROXY}:22"),
    tcp(f"{CLIENT}:40000 > 100.96.0.2:443"),
    tcp(f"{REAL}:443 > {CLIENT}:50000"),
]


@frozen
class Files:
    """A policy with a DNS resource, and the files of a replay through it."""

    folder: Path

    def replay(self, *packets: bytes) -> int:
        return self.replay_of(pcap(*packets))

    def replay_of(self, data: bytes) -> int:
        capture = self.folder / "office.pcap"
        capture.write_bytes(data)
        policy = self.folder / "policy.json"
        document: Any = copy.deepcopy(POLICY)
        document["clients"][0]["authorizations"].append(AUTHORIZATION)
        policy.write_text(json.dumps(document))
        outputs = [
            "--forwarded",
            self.folder / "out.pcap",
            "--decisions",
            self.folder / "out.jsonl",
        ]
        return run([str(one) for one in ("replay", capture, "--policy", policy, *outputs)])

    def decided(self, key: str) -> list[object]:
        """Return the value of *key* in every decision."""
        lines = (self.folder / "out.jsonl").read_text().splitlines()
        return [json.loads(line)[key] for line in lines]

    def records(self) -> list[Record]:
        with (self.folder / "out.pcap").open("rb") as stream:
            return list(Capture(stream))

    def forwarded(self) -> list[bytes]:
        return [record.frame for record in self.records()]


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


def test_packets_are_written_as_they_left_with_good_checksums(files: Files) -> None:
    assert files.replay(*ASKED) == ExitStatus.DONE
    assert files.forwarded() == SENT
    assert all(checksums_hold(packet) for packet in files.forwarded())


@pytest.mark.parametrize("missing", [1, 2])
def test_cut_packets_are_translated_and_cut_at_the_same_place(files: Files, missing: int) -> None:
    records = (pcap_record(one[:-missing], wire_length=len(one)) for one in ASKED)
    # Of echoes nothing but the header is there, so they cannot be cut.
    assert files.replay_of(pcap_header() + b"".join(records)) == ExitStatus.DONE
    assert files.decided("decision") == ["translate"] * 4 + ["drop"] * 2
    assert files.forwarded() == [packet[:-missing] for packet in SENT[:4]]
    assert [record.wire_length for record in files.records()] == list(map(len, SENT[:4]))
    assert files.decided("length") == list(map(len, ASKED))


def test_an_offloaded_packet_is_translated_and_stays_without_a_length(files: Files) -> None:
    # Both have the header checksum of a packet whose length is there.
    asked, sent = (packet[:2] + bytes(2) + packet[4:] for packet in (ASKED[0], SENT[0]))
    assert files.replay(asked) == ExitStatus.DONE
    assert files.forwarded() == [sent]


@pytest.mark.parametrize(
    ("quoted", "decision"), [(29, "translate"), (28, "translate"), (27, "drop"), (0, "drop")]
)
def test_a_cut_error_about_a_translated_packet_is_translated_as_far_as_it_goes(
    files: Files, quoted: int, decision: str
) -> None:
    error = icmp_error(f"{REAL} > {CLIENT}", 3, 1, quoting=SENT[0])
    cut = error[: 28 + quoted]
    records = pcap_record(ASKED[0]) + pcap_record(cut, wire_length=len(error))
    assert files.replay_of(pcap_header() + records) == ExitStatus.DONE
    assert files.decided("decision") == ["translate", decision]
    assert files.decided("translated_source")[1:] == [PROXY if decision == "translate" else None]
    assert {len(one) for one in files.forwarded()[1:]} <= {len(cut)}


def test_decisions_are_translations_of_the_packets_that_arrived(files: Files) -> None:
    files.replay(*ASKED)
    assert files.decided("decision") == ["translate"] * 6
    assert files.decided("direction") == ["outbound", "inbound"] * 3
    assert files.decided("resource") == ["git"] * 6
    assert files.decided("source")[:2] == [CLIENT, REAL]
    assert files.decided("destination")[:2] == [PROXY, CLIENT]


def test_a_refused_packet_is_not_written(files: Files) -> None:
    files.replay(ASKED[0], *REFUSED)
    assert files.forwarded() == SENT[:1]
    assert files.decided("decision") == ["translate", "reject", "reject", "drop"]
    assert files.decided("reason") == [None, "tcp-port", "no-resource", "no-resource"]


def test_an_answer_without_a_question_is_not_translated(files: Files) -> None:
    files.replay(ASKED[1], *ASKED[:2])
    assert files.decided("decision") == ["drop", "translate", "translate"]
