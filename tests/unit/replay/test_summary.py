"""Counting decisions."""

from collections import defaultdict
from ipaddress import ip_address

import pytest

from firezone_filter.replay.five_tuple import read_five_tuple
from firezone_filter.replay.summary import (
    MAX_ADDRESSES,
    MAX_EVENTS,
    MAX_FLOWS,
    MAX_KINDS,
    OTHER_KINDS,
    ClientSummary,
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
from tests.captures import ALLOWED, REFUSED, decided, ipv4, tcp

OUTBOUND, INBOUND = Direction.OUTBOUND, Direction.INBOUND
FORWARD = Forward("alice", "db")
TRANSLATE = Translate(b"translated", "alice", "web")
REJECT = Reject(b"reply", Reason.TCP_PORT, "alice")
DROP = Drop(Reason.MALFORMED, None)


def summary(*packets: tuple[Direction, bytes, Decision], missing: int = 0) -> Summary:
    """Count *packets*, each with so many bytes cut off."""
    counted = Summary()
    for direction, packet, decision in packets:
        cut = packet[: len(packet) - missing]
        counted.add(decided(cut, decision, direction, wire_length=len(packet)))
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
        counted.add(tcp(port, 22), 40)
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
    ("decision", "missing", "cut", "malformed"),
    [
        pytest.param(DROP, 1, Tally(1, 40), Tally(1, 40), id="cut and malformed"),
        pytest.param(REJECT, 1, Tally(1, 40), Tally(), id="cut"),
        pytest.param(DROP, 0, Tally(), Tally(), id="malformed"),
    ],
)
def test_cut_packets_are_counted_with_their_length_on_the_wire(
    decision: Decision, missing: int, cut: Tally, malformed: Tally
) -> None:
    counted = summary((OUTBOUND, REFUSED, decision), missing=missing)
    assert (counted.cut, counted.cut_malformed) == (cut, malformed)
    assert counted.decided(OUTBOUND) == Tally(1, 40)


# --- Frames and events -------------------------------------------------------------------


def test_frames_are_counted_between_the_earliest_and_the_latest_time() -> None:
    counted = Summary()
    for time_ns in (5, 3, 9, 7):
        counted.add_frame(time_ns, 60)
    assert (counted.frames, counted.first_ns, counted.last_ns) == (Tally(4, 240), 3, 9)


def test_a_frame_with_a_time_that_cannot_be_right_counts_without_it() -> None:
    counted = Summary()
    counted.add_frame(None, 60)
    assert (counted.frames, counted.first_ns, counted.last_ns) == (Tally(1, 60), None, None)


def test_frames_without_ip_are_told_apart_up_to_a_limit() -> None:
    counted = Summary()
    for kind in [*(f"kind {n}" for n in range(MAX_KINDS + 2)), "kind 0"]:
        counted.add_not_ip(kind, 60)
    assert counted.not_ip == Tally(MAX_KINDS + 3, 60 * (MAX_KINDS + 3))
    assert counted.not_ip_kinds["kind 0"] == Tally(2, 120)
    assert counted.not_ip_kinds[OTHER_KINDS] == Tally(2, 120)
    assert len(counted.not_ip_kinds) == MAX_KINDS + 1


def test_addresses_of_packets_of_no_client_are_counted_up_to_a_limit() -> None:
    counted = Summary()
    for n in [*range(MAX_ADDRESSES), 0]:
        counted.add_not_ours(ipv4("10.0.0.9", str(ip_address(n))), 20)
    assert counted.not_ours.packets == MAX_ADDRESSES + 1
    assert len(counted.addresses) == MAX_ADDRESSES
    busiest = [(ip_address("10.0.0.9").packed, MAX_ADDRESSES + 1), (bytes(4), 2)]
    assert counted.busiest_addresses(2) == busiest


def test_a_packet_to_itself_and_one_without_addresses_count_once_and_never() -> None:
    counted = Summary()
    counted.add_not_ours(ipv4("10.0.0.9", "10.0.0.9"), 20)
    counted.add_not_ours(b"E", 1)
    assert list(counted.addresses.values()) == [1]
    assert counted.not_ours == Tally(2, 21)


@pytest.mark.parametrize(
    ("counted", "is_odd", "is_complete"),
    [
        (Summary(), False, True),
        (Summary(unsupported=defaultdict(Tally, {105: Tally(1, 1)})), True, True),
        (Summary(odd_times=1), True, True),
        (Summary(out_of_order=1), True, True),
        (Summary(damage="it is cut short"), False, False),
        (Summary(interrupted=True), False, False),
    ],
    ids=["good", "link type", "time", "order", "damage", "interrupted"],
)
def test_a_summary_tells_what_is_odd_and_whether_it_is_complete(
    counted: Summary, *, is_odd: bool, is_complete: bool
) -> None:
    assert (counted.is_odd, counted.is_complete) == (is_odd, is_complete)


def test_events_beyond_the_limit_are_only_counted() -> None:
    counted = Summary()
    counted.add_events([AccessExhausted("alice")] * (MAX_EVENTS + 1))
    assert (len(counted.events), counted.event_count) == (MAX_EVENTS, MAX_EVENTS + 1)
