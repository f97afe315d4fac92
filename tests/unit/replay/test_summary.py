"""Counting what was decided."""

import pytest

from firezone_filter.replay.five_tuple import read_five_tuple
from firezone_filter.replay.summary import (
    MAX_EVENTS,
    MAX_FLOWS,
    ClientSummary,
    Decided,
    Refusals,
    Summary,
    Tally,
    kind_of,
)
from firezone_filter.values.decisions import (
    Decision,
    Direction,
    Drop,
    Forward,
    Reason,
    Reject,
    Translate,
)
from firezone_filter.values.events import AccessExhausted
from tests.captures import ALLOWED, REFUSED, tcp

OUTBOUND, INBOUND = Direction.OUTBOUND, Direction.INBOUND
FORWARD = Forward("alice", "db")
TRANSLATE = Translate(b"translated", "alice", "web")
REJECT = Reject(b"reply", Reason.TCP_PORT, "alice")
DROP = Drop(Reason.MALFORMED, None)


def summary(*decided: tuple[Direction, bytes, Decision], is_cut: bool = False) -> Summary:
    counted = Summary()
    for direction, packet, decision in decided:
        counted.add(Decided(0, direction, packet, decision, is_cut))
    return counted


@pytest.mark.parametrize(
    ("decision", "kind"),
    [(FORWARD, "forward"), (TRANSLATE, "translate"), (REJECT, "reject"), (DROP, "drop")],
)
def test_every_decision_has_a_kind(decision: Decision, kind: str) -> None:
    assert kind_of(decision) == kind


@pytest.mark.parametrize("decision", [FORWARD, TRANSLATE, REJECT, DROP])
@pytest.mark.parametrize("direction", Direction)
def test_a_decision_counts_under_its_direction_and_kind(
    direction: Direction, decision: Decision
) -> None:
    counted = summary((direction, ALLOWED, decision))
    assert counted.decisions[direction, kind_of(decision)] == Tally(1, 40)


def test_everything_decided_in_a_direction_adds_up() -> None:
    counted = summary(*((OUTBOUND, ALLOWED, decision) for decision in (FORWARD, REJECT, DROP)))
    assert counted.decided(OUTBOUND) == Tally(3, 120)


def test_the_other_direction_stays_empty() -> None:
    assert summary((OUTBOUND, ALLOWED, FORWARD)).decided(INBOUND) == Tally()


def test_what_passes_counts_under_its_client_and_resource() -> None:
    counted = summary((INBOUND, ALLOWED, FORWARD))
    assert counted.clients["alice"].allowed["db"] == {OUTBOUND: Tally(), INBOUND: Tally(1, 40)}


def test_the_gateway_itself_counts_as_no_resource() -> None:
    counted = summary((OUTBOUND, ALLOWED, Forward("alice", None)))
    assert list(counted.clients["alice"].allowed) == [None]


def test_a_translated_packet_counts_as_long_as_it_arrived() -> None:
    counted = summary((OUTBOUND, ALLOWED, TRANSLATE))
    assert counted.clients["alice"].allowed["web"][OUTBOUND] == Tally(1, 40)


def test_what_is_refused_counts_under_its_client() -> None:
    counted = summary((OUTBOUND, REFUSED, REJECT))
    assert counted.clients["alice"] == ClientSummary(
        refused={OUTBOUND: Tally(1, 40), INBOUND: Tally()}
    )


def test_what_is_refused_without_a_client_counts_under_none() -> None:
    assert list(summary((OUTBOUND, REFUSED, DROP)).clients) == [None]


def test_the_packets_of_a_client_are_those_allowed_and_those_refused() -> None:
    counted = summary((OUTBOUND, ALLOWED, FORWARD), (INBOUND, REFUSED, REJECT))
    assert counted.clients["alice"].packets == 2


def test_what_is_refused_counts_under_its_direction_and_reason() -> None:
    counted = summary((OUTBOUND, REFUSED, REJECT))
    assert counted.refusals == {
        (OUTBOUND, Reason.TCP_PORT): Refusals(Tally(1, 40), {read_five_tuple(REFUSED): 1})
    }


def test_what_passes_is_no_refusal() -> None:
    assert not summary((OUTBOUND, ALLOWED, FORWARD)).refusals


def test_the_most_frequent_refusal_comes_first() -> None:
    twice = [(INBOUND, REFUSED, DROP)] * 2
    refused = summary((OUTBOUND, REFUSED, REJECT), *twice).refused_first()
    assert [reason for _, reason, _ in refused] == [Reason.MALFORMED, Reason.TCP_PORT]


def test_the_busiest_flows_come_first() -> None:
    refusals = Refusals()
    for port in (1, 2, 3, 2, 3, 3):
        refusals.add(tcp(port, 22))
    assert [packets for _, packets in refusals.busiest(2)] == [3, 2]


def test_a_scan_does_not_grow_the_flows_without_end() -> None:
    refusals = Refusals()
    for port in range(MAX_FLOWS + 1):
        refusals.add(tcp(port, 22))
    assert (len(refusals.flows), refusals.tally.packets) == (MAX_FLOWS, MAX_FLOWS + 1)


def test_a_known_flow_counts_also_when_there_is_no_room_for_more() -> None:
    refusals = Refusals()
    for port in (*range(MAX_FLOWS), 0):
        refusals.add(tcp(port, 22))
    assert refusals.flows[read_five_tuple(tcp(0, 22))] == 2


def test_malformed_packets_that_were_cut_are_told_apart() -> None:
    assert summary((OUTBOUND, REFUSED, DROP), is_cut=True).cut == Tally(1, 40)


def test_malformed_packets_that_were_not_cut_are_not() -> None:
    assert summary((OUTBOUND, REFUSED, DROP)).cut == Tally()


def test_a_cut_packet_that_lost_only_padding_is_judged_like_any_other() -> None:
    assert summary((OUTBOUND, REFUSED, REJECT), is_cut=True).cut == Tally()


def test_frames_are_counted() -> None:
    counted = Summary()
    counted.add_frame(0, 60)
    counted.add_frame(0, 40)
    assert counted.frames == Tally(2, 100)


def test_the_times_are_the_earliest_and_the_latest() -> None:
    counted = Summary()
    for time_ns in (5, 3, 9, 7):
        counted.add_frame(time_ns, 60)
    assert (counted.first_ns, counted.last_ns) == (3, 9)


def test_events_are_kept_up_to_a_number_and_all_counted() -> None:
    counted = Summary()
    counted.add_events([AccessExhausted("alice")] * (MAX_EVENTS + 1))
    assert (len(counted.events), counted.event_count) == (MAX_EVENTS, MAX_EVENTS + 1)
