"""Counting decisions."""

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


# --- Decisions ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("decision", "kind"),
    [(FORWARD, "forward"), (TRANSLATE, "translate"), (REJECT, "reject"), (DROP, "drop")],
    ids=["forward", "translate", "reject", "drop"],
)
@pytest.mark.parametrize("direction", Direction)
def test_a_decision_counts_under_its_direction_and_kind(
    direction: Direction, decision: Decision, kind: str
) -> None:
    assert kind_of(decision) == kind
    counted = summary((direction, ALLOWED, decision)).decisions
    assert {key: tally for key, tally in counted.items() if tally.packets} == {
        (direction, kind): Tally(1, 40)
    }


def test_all_decisions_of_a_direction_add_up() -> None:
    counted = summary(*((OUTBOUND, ALLOWED, decision) for decision in (FORWARD, REJECT, DROP)))
    assert [counted.decided(way) for way in (OUTBOUND, INBOUND)] == [Tally(3, 120), Tally()]


# --- Clients -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("decision", "resource_id"),
    [
        pytest.param(FORWARD, "db", id="resource"),
        pytest.param(Forward("alice", None), None, id="the gateway itself"),
        pytest.param(TRANSLATE, "web", id="translated, with its length on arrival"),
    ],
)
def test_an_allowed_packet_counts_under_its_client_and_resource(
    decision: Forward | Translate, resource_id: str | None
) -> None:
    counted = summary((INBOUND, ALLOWED, decision))
    assert counted.clients == {
        "alice": ClientSummary(allowed={resource_id: {OUTBOUND: Tally(), INBOUND: Tally(1, 40)}})
    }
    assert not counted.refusals


@pytest.mark.parametrize(("decision", "client_id"), [(REJECT, "alice"), (DROP, None)])
def test_a_refused_packet_counts_under_its_client(
    decision: Reject | Drop, client_id: str | None
) -> None:
    counted = summary((OUTBOUND, REFUSED, decision))
    assert counted.clients == {
        client_id: ClientSummary(refused={OUTBOUND: Tally(1, 40), INBOUND: Tally()})
    }


def test_the_packets_of_a_client_are_the_allowed_and_the_refused() -> None:
    counted = summary((OUTBOUND, ALLOWED, FORWARD), (INBOUND, REFUSED, REJECT))
    assert counted.clients["alice"].packets == 2


# --- Refusals ----------------------------------------------------------------------------


def refusals(*ports: int) -> Refusals:
    counted = Refusals()
    for port in ports:
        counted.add(tcp(port, 22))
    return counted


def test_a_refused_packet_counts_under_its_direction_and_reason() -> None:
    counted = summary((OUTBOUND, REFUSED, REJECT))
    assert counted.refusals == {
        (OUTBOUND, Reason.TCP_PORT): Refusals(Tally(1, 40), {read_five_tuple(REFUSED): 1})
    }


def test_the_most_frequent_refusal_comes_first() -> None:
    twice = [(INBOUND, REFUSED, DROP)] * 2
    refused = summary((OUTBOUND, REFUSED, REJECT), *twice).refused_first()
    assert [reason for _, reason, _ in refused] == [Reason.MALFORMED, Reason.TCP_PORT]


def test_the_busiest_flows_come_first() -> None:
    assert [packets for _, packets in refusals(1, 2, 3, 2, 3, 3).busiest(2)] == [3, 2]


def test_flows_beyond_the_limit_are_only_counted_in_total() -> None:
    counted = refusals(*range(MAX_FLOWS + 1), 0)
    assert (len(counted.flows), counted.tally.packets) == (MAX_FLOWS, MAX_FLOWS + 2)
    assert counted.flows[read_five_tuple(tcp(0, 22))] == 2


@pytest.mark.parametrize(
    ("decision", "is_cut", "cut"),
    [
        pytest.param(DROP, True, Tally(1, 40), id="cut"),
        pytest.param(DROP, False, Tally(), id="not cut"),
        pytest.param(REJECT, True, Tally(), id="cut in the padding alone"),
    ],
)
def test_packets_that_a_cut_made_malformed_are_told_apart(
    decision: Decision, *, is_cut: bool, cut: Tally
) -> None:
    assert summary((OUTBOUND, REFUSED, decision), is_cut=is_cut).cut == cut


# --- Frames and events -------------------------------------------------------------------


def test_frames_are_counted_between_the_earliest_and_the_latest_time() -> None:
    counted = Summary()
    for time_ns in (5, 3, 9, 7):
        counted.add_frame(time_ns, 60)
    assert (counted.frames, counted.first_ns, counted.last_ns) == (Tally(4, 240), 3, 9)


def test_events_beyond_the_limit_are_only_counted() -> None:
    counted = Summary()
    counted.add_events([AccessExhausted("alice")] * (MAX_EVENTS + 1))
    assert (len(counted.events), counted.event_count) == (MAX_EVENTS, MAX_EVENTS + 1)
