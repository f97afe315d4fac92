"""From a replay to the data of a report."""

import json
import struct
from typing import Any

import pytest

from firezone_filter.policy import load_policy
from firezone_filter.replay.by_packet import replay_packets
from firezone_filter.replay.report_feed import conversation
from firezone_filter.report.data import MAX_TEXT, ReportData
from firezone_filter.report.groups import Group
from firezone_filter.report.largest_flows import Conversation
from firezone_filter.testing import tcp as tcp_packet
from firezone_filter.values.decisions import Direction, Reason, Translate
from tests.captures import (
    ALLOWED,
    ANSWER,
    CLIENT,
    CLIENT_6,
    POLICY,
    REFUSED,
    RESOURCE,
    RESOURCE_6,
    START_S,
    ipv4,
    ipv6,
    ports,
    record,
)

START_NS = START_S * 10**9


def report_of(*packets: bytes, **options: object) -> ReportData:
    data = ReportData()
    policy = load_policy({**POLICY, "options": options})
    replay_packets([record(packet) for packet in packets], policy, report=data)
    return data


def test_packets_are_counted_by_what_was_decided() -> None:
    data = report_of(ALLOWED, ANSWER, REFUSED, REFUSED)
    assert {group: count.packets for group, count in data.groups.items()} == {
        Group(Direction.OUTBOUND, "alice", "db", "forward", None): 1,
        Group(Direction.INBOUND, "alice", "db", "forward", None): 1,
        Group(Direction.OUTBOUND, "alice", "db", "reject", Reason.TCP_PORT): 2,
    }


def test_the_first_refusal_of_a_kind_is_explained() -> None:
    (example,) = report_of(ALLOWED, REFUSED, REFUSED).examples.values()
    assert example.frame == 2
    assert example.time_ns == START_NS
    assert example.text.splitlines()[-1].startswith("reject, alice gets a reply: tcp-port.")


def test_an_explanation_tells_what_was_done_though_that_took_the_last_token() -> None:
    (example,) = report_of(REFUSED, reject_burst=1, reject_rate=0).examples.values()
    assert example.text.splitlines()[-1].startswith("reject, alice gets a reply: tcp-port.")


def overlapping(version: int) -> tuple[bytes, bytes]:
    """Return a first fragment that passes, and a second one that overlaps it."""
    if version == 4:
        first = ipv4(protocol=6, payload=ports(40_000, 5432, 24), fragment=0x2000)
        return first, ipv4(protocol=6, payload=bytes(16), fragment=2)
    head, source = struct.pack(">BBHI", 6, 0, 1, 9), CLIENT_6
    later = struct.pack(">BBHI", 6, 0, 2 << 3, 9)
    return (
        ipv6(source, RESOURCE_6, 44, head + ports(40_000, 5432, 24)),
        ipv6(source, RESOURCE_6, 44, later + bytes(16)),
    )


def permitting_ipv6() -> dict[str, Any]:
    policy: dict[str, Any] = json.loads(json.dumps(POLICY))
    authorizations = policy["clients"][0]["authorizations"]
    (resource,) = [each["resource"] for each in authorizations]
    authorizations.append({"resource": {**resource, "id": "db6", "address": "2001:db8::/64"}})
    return policy


@pytest.mark.parametrize("version", [4, 6])
def test_a_fragment_is_explained_as_it_was_before_it_took_the_verdict(version: int) -> None:
    data, before = ReportData(), list[str]()
    replay_packets(
        [record(packet) for packet in overlapping(version)],
        load_policy(permitting_ipv6()),
        asking=lambda gateway, _, *packet: before.append(str(gateway.explain(*packet))),
        report=data,
    )
    assert {key[1]: each.text for key, each in data.examples.items()} == {
        Reason.FRAGMENT: before[1]
    }


def test_of_very_many_fragments_only_the_reason_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("firezone_filter.replay.explained.MAX_FRAGMENTS_ASKED", 1)
    (example,) = report_of(*overlapping(4)).examples.values()
    assert example.text == f"fragment: {Reason.FRAGMENT.description}"


def test_a_long_explanation_is_cut() -> None:
    policy: dict[str, Any] = json.loads(json.dumps(POLICY))
    authorizations = policy["clients"][0]["authorizations"]
    (resource,) = [each["resource"] for each in authorizations]
    authorizations[:] = [{"resource": {**resource, "id": f"{place:0100}"}} for place in range(100)]
    data = ReportData()
    replay_packets([record(REFUSED)], load_policy(policy), report=data)
    (example,) = data.examples.values()
    assert len(example.text) == MAX_TEXT + 1
    assert example.text.endswith("…")


def test_both_directions_are_one_flow() -> None:
    data = report_of(ALLOWED, ANSWER)
    assert len(data.flows.flows) == 1


@pytest.mark.parametrize("direction", Direction)
def test_a_translated_flow_is_named_as_its_client_sees_it(direction: Direction) -> None:
    seen, real = f"{CLIENT}:1000", f"{RESOURCE}:443"
    proxy = "100.96.0.1:443"
    if direction is Direction.OUTBOUND:
        packet, sent = tcp_packet(f"{seen} > {proxy}"), tcp_packet(f"100.64.0.1:9 > {real}")
    else:
        packet, sent = tcp_packet(f"{real} > 100.64.0.1:9"), tcp_packet(f"{proxy} > {seen}")
    assert conversation(direction, packet, Translate(sent, "alice", "web")) == Conversation(
        "alice", 6, b"\x64\x40\0\2", 1000, b"\x64\x60\0\1", 443
    )


def test_an_early_time_stamp_does_not_stretch_the_time_axis() -> None:
    data = ReportData()
    records = [record(ALLOWED), record(ALLOWED, 1_500_000_000)]
    replay_packets(records, load_policy(POLICY), report=data)
    assert data.buckets.first == data.buckets.last
