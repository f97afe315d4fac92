"""Packets of clients may be further apart than the 50 years that a gateway's time may jump."""

import pytest

from firezone_filter import Direction, load_policy
from firezone_filter.capture.stream import Record
from tests.captures import ALLOWED, FOREIGN, POLICY, START_S, policy, record, tcp
from tests.columns import Seen, by_columns, by_packets, chunks_of
from tests.gathering import gathered
from tests.parted import HereTeam, replay_in_parts

YEAR_S = 365 * 86_400
BOB = tcp(40_000, 5432, "100.64.0.3")

RECORDS = [
    *[record(ALLOWED, START_S)] * 8,
    record(FOREIGN, START_S + 40 * YEAR_S),
    record(ALLOWED, START_S + 80 * YEAR_S),
    record(ALLOWED, START_S + 80 * YEAR_S + 1),
]
"""Before the last two, alone a packet of nobody shows that the years have passed."""


def both(records: list[Record], size: int, *, flows: bool) -> Seen:
    found = by_columns(chunks_of(records, size), policy(), flows=flows)
    assert found == by_packets(records, policy(), flows=flows)
    return found


@pytest.mark.parametrize("size", [1, 1_000])
@pytest.mark.parametrize("flows", [False, True])
def test_years_may_pass_without_packets_of_clients(size: int, *, flows: bool) -> None:
    found = both(RECORDS, size, flows=flows)
    assert found.summary.decisions[Direction.OUTBOUND, "forward"].packets == 8
    assert found.summary.decisions[Direction.OUTBOUND, "reject"].packets == 2
    assert [event.client_id for event in found.events] == ["alice", "alice"]


@pytest.mark.parametrize("size", [1, 1_000])
@pytest.mark.parametrize("flows", [False, True])
def test_years_may_pass_behind_the_last_packet_of_a_client(size: int, *, flows: bool) -> None:
    last = record(FOREIGN, START_S + 80 * YEAR_S)
    found = both([*RECORDS[:9], last], size, flows=flows)
    assert len(found.events) == 2


@pytest.mark.parametrize("size", [1, 3, 1_000])
def test_years_may_pass_for_the_clients_of_a_partition(size: int) -> None:
    bob = POLICY["clients"][0] | {"id": "bob", "ipv4": "100.64.0.3", "ipv6": None}  # type: ignore[index]
    two = load_policy(POLICY | {"clients": [*POLICY["clients"], bob]})
    records = [
        *[record(ALLOWED, START_S)] * 8,
        record(BOB, START_S + 40 * YEAR_S),
        record(ALLOWED, START_S + 80 * YEAR_S),
    ]
    one = by_packets(records, two)
    several = replay_in_parts(lambda: gathered(records, size), two, HereTeam(), 2)
    assert several.summary == one.summary
