"""Corners of the replay by columns that captures seldom have."""

import gc
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from firezone_filter.capture.stream import Record
from firezone_filter.compiled.twins import PLAIN
from firezone_filter.policy import load_policy
from firezone_filter.replay.columns.collector import paused_collector
from firezone_filter.replay.columns.engine import ColumnReplay
from firezone_filter.replay.columns.near_ends import NOBODY, NearEnds, words_of
from firezone_filter.replay.engine import steps
from firezone_filter.values.decisions import Direction
from tests.captures import (
    ALLOWED,
    CLIENT,
    ETHERNET,
    FOREIGN,
    GATEWAY,
    START_S,
    ethernet,
    ipv4,
    ping,
    policy,
    record,
    tcp,
)
from tests.columns import Seen, by_columns, by_packets, chunks_of, frames_of


def test_the_collector_goes_on_afterwards() -> None:
    with paused_collector():
        assert not gc.isenabled()
        with paused_collector():
            assert not gc.isenabled()
        assert not gc.isenabled()
    assert gc.isenabled()


def test_the_collector_goes_on_after_a_failure() -> None:
    with pytest.raises(ValueError, match="it fails"), paused_collector():
        raise ValueError("it fails")
    assert gc.isenabled()


def test_without_clients_all_addresses_are_of_nobody() -> None:
    first, second = np.array([words_of(bytes([10, 0, 0, 1]))], dtype=np.uint64).T
    assert NearEnds([]).find(first, second, np.array([False])).tolist() == [NOBODY]


def test_addresses_are_of_whoever_has_all_of_them() -> None:
    known = [bytes([1] * 16), bytes([2] * 8 + [1] * 8), bytes([1] * 4)]
    ends = NearEnds([(packed, number) for number, packed in enumerate(known)])
    asked = [*known, bytes([1] * 8 + [2] * 8), bytes([3] * 16), bytes([1] * 4 + [0] * 12)]
    first, second = np.array([words_of(packed) for packed in asked], dtype=np.uint64).T
    is_ipv6 = np.array([len(packed) == 16 for packed in asked])
    assert ends.find(first, second, is_ipv6).tolist() == [0, 1, 2, NOBODY, NOBODY, NOBODY]


def same(records: Sequence[Record], size: int = 1_000) -> Seen:
    """Replay *records* both ways, which must agree in everything."""
    expected = by_packets(records, policy())
    found = by_columns(chunks_of(records, size), policy())
    assert found == expected
    return found


def test_events_are_not_needed() -> None:
    records = [record(ALLOWED)] * 3
    run = ColumnReplay(policy())
    for _ in steps(run, chunks_of(records, 2)):
        pass
    assert run.summary == by_packets(records, policy()).summary


def test_a_clock_is_set_by_the_first_time_that_can_be_right() -> None:
    odd, late = [record(ALLOWED, 2**32)] * 9, [record(ALLOWED), record(ALLOWED, START_S + 200)]
    for records in (odd + late, [*odd, late[0], odd[0], *late], odd):
        assert same(records).summary.odd_times >= 9


def test_without_tokens_what_is_refused_is_dropped() -> None:
    found = same([record(tcp(1_000 + number, 22)) for number in range(500)])
    kinds = [row["decision"] for row in found.decisions or []]
    assert kinds[0] == "reject"
    assert kinds[-1] == "drop"


def test_upkeep_follows_a_stretch() -> None:
    whole = ipv4(protocol=6, payload=ALLOWED[20:] + bytes(4))
    fragments = [record(fragment(whole, number)) for number in range(500)]
    found = same([*fragments, record(ALLOWED), record(ALLOWED, START_S + 40)], len(fragments) + 1)
    assert found.summary.decisions[Direction.OUTBOUND, "forward"].packets == len(fragments) + 2


def test_what_has_just_expired_refuses_nothing() -> None:
    only_tcp = [{"protocol": "tcp"}]
    authorizations: list[dict[str, object]] = [
        {
            "resource": {
                "type": "cidr",
                "id": name,
                "address": network,
                "filters": only_tcp,
            },
            "expires_at": end,
        }
        for name, network, end in (
            ("narrow", "10.0.0.0/24", START_S + 1),
            ("wide", "10.0.0.0/8", None),
        )
    ]
    two = load_policy(
        {
            "gateway": {"ipv4": GATEWAY},
            "clients": [{"id": "alice", "ipv4": CLIENT, "authorizations": authorizations}],
        }
    )
    records = [record(ping()), record(ping(), START_S + 1)]
    found = by_columns(chunks_of(records, 2), two)
    assert found == by_packets(records, two)
    assert [row["resource"] for row in found.decisions or []] == ["narrow", "wide"]


def test_frames_that_all_have_packets_are_read() -> None:
    records = [record(ethernet(0x0800, ALLOWED), link_type=ETHERNET)] * 3
    same(records)
    frames = frames_of(records)
    plain: Any = PLAIN["place_ethernet"]
    places = np.empty(3, dtype=np.int64)
    plain(frames.data, frames.starts, frames.captured, places, -1)
    assert places.tolist() == (frames.starts + 14).tolist()


def test_columns_are_as_long_as_there_are_packets_of_clients() -> None:
    seen: list[int] = []
    run = ColumnReplay(policy(), lambda columns: seen.append(len(columns)))
    run.add(frames_of([record(ALLOWED), record(FOREIGN), record(ALLOWED)]))
    run.finish()
    assert seen == [2]


def fragment(packet: bytes, number: int) -> bytes:
    """Return *packet* as the first of several fragments."""
    made = bytearray(packet)
    made[4:6], made[6:8] = number.to_bytes(2), b"\x20\x00"
    return bytes(made)
