"""Flow records: what ends them, what splits them, and what leaves them alone."""

from collections.abc import Callable
from math import inf, nextafter

import pytest

from firezone_filter import (
    CidrResource,
    Direction,
    FlowEnd,
    FlowEnded,
    Gateway,
    Tcp,
    TunnelAddresses,
    Udp,
)
from firezone_filter.testing import RST, SYN, icmp_echo, tcp, udp
from tests.records import closed, ends, fetched, names, only, recording, sums, the_record, told
from tests.rules.stories import talk
from tests.scenes import (
    ALICE,
    INBOUND,
    OUTBOUND,
    V4,
    V6,
    Family,
    at,
    both_directions,
    both_families,
)

JUST_AFTER_120 = nextafter(120.0, inf)
START = 1_000.0
CONNECTION = "0>S 0<SA 0>A"

every_kind = pytest.mark.parametrize("kind", ["tcp", "udp", "echo"])


def after(story: str, family: Family = V4) -> Gateway:
    """Tell a story of one connection, and let time go on for less than 120 seconds."""
    gateway = recording(family.db())
    talk(gateway, story, family)
    gateway.handle_timeout(50.0)
    return gateway


def one(family: Family, direction: Direction, kind: str) -> bytes:
    if kind == "tcp":
        return tcp(family.flow(direction, 443), b"data")
    return family.udp(direction) if kind == "udp" else family.echo(direction)


def begun(family: Family, kind: str) -> Gateway:
    """Let there be a flow of some kind."""
    gateway = recording(family.db())
    gateway.handle_packet(OUTBOUND, one(family, OUTBOUND, kind), 0.0)
    fetched(gateway)
    return gateway


# --- RST, FIN and SYN ----------------------------------------------------------------------

STORIES: dict[str, list[str]] = {
    # A reset ends a record at once, and nothing comes after it.
    **{
        f"{CONNECTION} 7{arrow}{flags}+3": ["started", "rst 7"]
        for arrow in "<>"
        for flags in ("R", "RA", "RS", "RF")
    },
    f"{CONNECTION} 7>R 8>A 8<A+4 8>FA 8<FA+4 8>R 8<R": ["started", "rst 7"],
    f"{CONNECTION} 7<R 8>S 9<SA": ["started", "rst 7", "started"],
    "1>S 2<SA 3>A 4>A+3 5<FA+5 6>FA 7<A": ["started", "fin 7"],
    # FINs of one side end nothing; those of both do, when time is looked at.
    f"{CONNECTION} 1>FA 2>FA": ["started"],
    f"{CONNECTION} 1<FA 2<FA": ["started"],
    f"{CONNECTION} 1>FA 2<FA": ["started", "fin 2"],
    f"{CONNECTION} 1<FA 2>FA": ["started", "fin 2"],
    f"{CONNECTION} 1>FA 2<FA 3>A 4<FA": ["started", "fin 4"],
    f"{CONNECTION} 1>FA 2<FA 3>R": ["started", "rst 3"],
    f"{CONNECTION} 1>FA 2<FA 5>S": ["started", "fin 2", "started"],
    # A SYN of the client after other packets of its begins another record.
    f"{CONNECTION} 5>S+2": ["started", "restarted 5", "started"],
    f"{CONNECTION} 5>SA": ["started", "restarted 5", "started"],
    "1>A+4 2>S": ["started", "restarted 2", "started"],
    # One that is retransmitted does not, nor one of the other end.
    "1>S 1<SA 2>S 2<SA 4>S 4<SA": ["started"],
    "0>S 0<A+4 1>S": ["started"],
    f"{CONNECTION} 1<S": ["started"],
    # And one that ends something begins nothing.
    f"{CONNECTION} 1>SF": ["started"],
    f"{CONNECTION} 1>SR": ["started", "rst 1"],
}


@pytest.mark.parametrize("story", STORIES)
@both_families
def test_flags_of_tcp_end_and_split_records(family: Family, story: str) -> None:
    assert told(after(story, family)) == STORIES[story]


SUMS: dict[str, tuple[int, int, int, int]] = {
    # Packets that end a record are in it, and those between the FINs and the look at the time.
    f"{CONNECTION} 7>R+3": (3, 3, 1, 0),
    f"{CONNECTION} 7<R+3": (2, 0, 2, 3),
    f"{CONNECTION} 1>FA 2<FA 3>A 4<FA": (4, 0, 3, 0),
    "1>S 2<SA 3>A 4>A+3 5<FA+5 6>FA 7<A": (4, 3, 3, 5),
    # After a reset or a split all count for the new record, in both directions.
    f"{CONNECTION} 7<R 8>S 9<SA": (1, 0, 1, 0),
    f"{CONNECTION} 1>A+3 5>S+2 6>A+5": (2, 7, 0, 0),
    f"{CONNECTION} 1<A+3 5>S 6<A+5": (1, 0, 1, 5),
    "1>S 1<SA 2>S 2<SA 4>S 4<SA": (3, 0, 3, 0),
    f"{CONNECTION} 1<S": (2, 0, 2, 0),
}


@pytest.mark.parametrize("story", SUMS)
@both_families
def test_a_record_has_what_came_until_its_end(family: Family, story: str) -> None:
    gateway = after(story, family)
    gateway.client_disconnected("alice")
    assert sums(only(FlowEnded, fetched(gateway))[-1]) == SUMS[story]


def test_a_record_that_is_split_ends_there() -> None:
    gateway = after(f"{CONNECTION} 3<A+4 5>S")
    (record,) = only(FlowEnded, fetched(gateway))
    assert (record.cause, record.flow_end) == (FlowEnd.RESTARTED, 5.0)
    assert (record.last_packet, *sums(record)) == (3.0, 2, 0, 2, 4)


def test_a_host_is_woken_for_a_flow_with_both_fins() -> None:
    gateway = recording(V4.db())
    talk(gateway, f"{CONNECTION} 1>FA 2<FA", V4)
    assert (told(gateway), gateway.poll_timeout()) == (["started"], 2.0)
    gateway.handle_timeout(2.0)
    assert (told(gateway), gateway.poll_timeout()) == (["fin 2"], None)


@both_directions
def test_what_stands_where_tcp_has_its_flags_ends_nothing_else(direction: Direction) -> None:
    payload = b"\xff" * 20
    reply = direction is INBOUND
    for kind, packet in (
        ("udp", udp(V4.flow(direction, 53), payload)),
        ("echo", icmp_echo(V4.flow(direction), reply=reply, payload=payload)),
    ):
        gateway = begun(V4, kind)
        for _ in range(2):
            assert gateway.handle_packet(direction, packet, 1.0).allowed
        gateway.handle_timeout(2.0)
        assert fetched(gateway) == []


# --- Idleness ------------------------------------------------------------------------------


@every_kind
@both_directions
@both_families
def test_a_flow_is_idle_after_more_than_120_seconds_without_a_packet(
    family: Family, direction: Direction, kind: str
) -> None:
    gateway = begun(family, kind)
    gateway.handle_timeout(120.0)
    assert fetched(gateway) == []
    gateway.handle_timeout(JUST_AFTER_120)
    assert ends(gateway) == [(FlowEnd.IDLE, JUST_AFTER_120)]
    # Each packet puts the end off.
    gateway = begun(family, kind)
    for now in (100.0, 150.0):
        gateway.handle_packet(direction, one(family, direction, kind), now)
    gateway.handle_timeout(270.0)
    assert fetched(gateway) == []
    gateway.handle_timeout(270.5)
    (record,) = only(FlowEnded, fetched(gateway))
    assert (record.last_packet, record.flow_end) == (150.0, 270.5)


@every_kind
@both_directions
def test_packets_alone_notice_no_idleness(direction: Direction, kind: str) -> None:
    gateway = begun(V4, kind)
    gateway.handle_packet(direction, one(V4, direction, kind), 1_000.0)
    record = the_record(gateway)
    assert (record.flow_start, record.last_packet) == (0.0, 1_000.0)
    assert record.tx_packets + record.rx_packets == 2


def test_an_idle_flow_ends_when_that_is_noticed_and_may_begin_again() -> None:
    gateway = begun(V4, "udp")
    gateway.handle_timeout(500.0)
    gateway.handle_packet(INBOUND, V4.udp(INBOUND, size=9), 502.0)
    gateway.handle_packet(OUTBOUND, V4.udp(OUTBOUND), 503.0)
    gateway.handle_packet(INBOUND, V4.udp(INBOUND, size=1), 504.0)
    idle, record = closed(gateway)
    assert (idle.last_packet, idle.flow_end, idle.cause) == (0.0, 500.0, FlowEnd.IDLE)
    assert (record.flow_start, *sums(record)) == (503.0, 1, 0, 1, 1)


@both_directions
def test_a_refused_packet_does_not_put_the_end_off(direction: Direction) -> None:
    gateway = begun(V4, "udp")
    gateway.update_resource(V4.db(Tcp()))
    assert not gateway.handle_packet(direction, V4.udp(direction), 100.0).allowed
    gateway.handle_timeout(121.0)
    assert (FlowEnd.IDLE, 121.0) in ends(gateway)


# --- Hooks that end them -------------------------------------------------------------------


def both_begun() -> Gateway:
    """Let Alice talk to two resources."""
    gateway = recording(V4.db(), CidrResource("six", V6.network), now=START)
    gateway.handle_packets(OUTBOUND, [V4.udp(OUTBOUND), V6.udp(OUTBOUND)], START)
    fetched(gateway)
    return gateway


def test_revocation_ends_the_records_of_its_resource_at_once_and_each_once() -> None:
    gateway = both_begun()
    gateway.handle_timeout(START + 5)
    gateway.revoke("alice", "db")
    (record,) = only(FlowEnded, fetched(gateway))
    assert (record.resource_id, record.cause) == ("db", FlowEnd.REVOKED)
    assert (record.last_packet, record.flow_end) == (START, START + 5)
    gateway.client_disconnected("alice")
    gateway.handle_timeout(START + 1_000)
    assert told(gateway) == ["disconnected 1005"]


def test_what_is_not_retained_is_revoked() -> None:
    gateway = both_begun()
    gateway.retain_authorizations({"alice": {"six"}})
    assert told(gateway) == ["revoked 1000"]
    gateway.retain_authorizations({})
    assert told(gateway) == ["revoked 1000", "access exhausted"]


def test_expiry_ends_records_at_its_own_moment_however_late_it_is_noticed() -> None:
    gateway = both_begun()
    gateway.update_expiry("alice", "db", START + 20)
    gateway.update_expiry("alice", "six", START + 10)
    # The packet that notices it is in no record.
    assert not gateway.handle_packet(OUTBOUND, V4.udp(OUTBOUND), START + 50).allowed
    first, second = only(FlowEnded, fetched(gateway))
    assert [(end.cause, end.flow_end, end.tx_packets) for end in (first, second)] == [
        (FlowEnd.EXPIRED, START + 10, 1),
        (FlowEnd.EXPIRED, START + 20, 1),
    ]


@pytest.mark.parametrize("expires_at", [START - 500, START + 3, START + 5])
def test_an_expiry_that_has_passed_already_ends_records_now(expires_at: float) -> None:
    gateway = both_begun()
    gateway.handle_timeout(START + 5)
    gateway.authorize("alice", V4.db(), expires_at=expires_at)
    assert told(gateway) == ["authorization expired", "expired 1005"]


def test_expiry_is_reported_before_the_ends_that_it_causes_and_these_before_exhaustion() -> None:
    gateway = recording(V4.db())
    gateway.handle_packets(OUTBOUND, [numbered(1), numbered(2)], 1.0)
    fetched(gateway)
    gateway.update_expiry("alice", "db", 5.0)
    gateway.handle_timeout(6.0)
    events = fetched(gateway)
    assert [record.inner_src_port for record in only(FlowEnded, events)] == [1, 2]
    kinds = [type(event).__name__ for event in events]
    assert kinds == ["AuthorizationExpired", "FlowEnded", "FlowEnded", "AccessExhausted"]


def test_disconnection_ends_all_records_of_the_client_and_of_no_other() -> None:
    gateway = both_begun()
    gateway.authorize("bob", V4.db())
    bobs = udp(f"{at(V4.neighbour, 1)} > {at(V4.host, 2)}")
    gateway.handle_packet(OUTBOUND, bobs, START + 1)
    fetched(gateway)
    gateway.client_disconnected("alice")
    assert told(gateway) == ["disconnected 1001"] * 2
    assert gateway.counters().recorded_flows == 1


def test_another_tunnel_session_ends_all_records_of_the_one_before() -> None:
    gateway = both_begun()
    gateway.client_connected("alice", ALICE, START + 3)
    assert told(gateway) == ["disconnected 1003"] * 2
    gateway.authorize("alice", V4.db())
    gateway.handle_packet(INBOUND, V4.udp(INBOUND, size=9), START + 4)
    gateway.handle_packet(OUTBOUND, V4.udp(OUTBOUND, size=1), START + 5)
    record = the_record(gateway)
    assert (record.flow_start, *sums(record)) == (START + 5, 1, 1, 0, 0)


def test_events_of_records_stay_in_the_queue_when_their_client_has_gone() -> None:
    gateway = both_begun()
    gateway.update_expiry("alice", "db", START + 2)
    gateway.client_connected("alice", ALICE, START + 3)
    # What waited about her authorizations has been withdrawn, what went through stays.
    assert names(gateway) == ["ended: expired", "ended: disconnected"]
    gateway = recording(V4.db())
    gateway.handle_packet(OUTBOUND, V4.udp(OUTBOUND))
    gateway.revoke("alice", "db")
    gateway.client_disconnected("alice")
    assert names(gateway) == ["started", "ended: revoked"]


# --- Hooks that leave them alone -----------------------------------------------------------

HARMLESS: dict[str, Callable[[Gateway], object]] = {
    "authorize": lambda gateway: gateway.authorize("alice", V4.db(Udp()), expires_at=START + 50),
    "update": lambda gateway: gateway.update_resource(V4.db(Udp())),
    "set-addresses": lambda gateway: gateway.set_addresses(TunnelAddresses(V4.spare, V6.spare)),
    "prolong": lambda gateway: gateway.update_expiry("alice", "db", START + 50),
    "retain": lambda gateway: gateway.retain_authorizations({"alice": {"db", "six"}}),
    "revoke-another": lambda gateway: gateway.revoke("alice", "six"),
}


@pytest.mark.parametrize("hook", HARMLESS)
def test_a_hook_under_a_live_flow_keeps_its_one_record(hook: str) -> None:
    gateway = both_begun()
    gateway.handle_packet(INBOUND, V4.udp(INBOUND, size=1), START + 1)
    HARMLESS[hook](gateway)
    fetched(gateway)
    gateway.handle_packet(INBOUND, V4.udp(INBOUND, size=2), START + 2)
    gateway.handle_packet(OUTBOUND, V4.udp(OUTBOUND, size=4), START + 3)
    assert fetched(gateway) == []
    assert sums(closed(gateway)[0]) == (2, 4, 2, 3)


# --- Limits --------------------------------------------------------------------------------


def numbered(number: int, *, near: str = V4.client) -> bytes:
    """Build the packet of one of many flows."""
    return udp(f"{at(near, number)} > {at(V4.host, 53)}")


def crowded(*first: int) -> Gateway:
    """Open as many records as Alice may have, a second after some."""
    gateway = recording(V4.db())
    gateway.handle_packets(OUTBOUND, [numbered(number) for number in first], 0.0)
    others = [numbered(10_000 + number) for number in range(4_096 - len(first))]
    gateway.handle_packets(OUTBOUND, others, 1.0)
    assert set(names(gateway)) == {"started"}
    assert gateway.counters().recorded_flows == 4_096
    return gateway


def crowded_out(gateway: Gateway) -> list[tuple[int | None, FlowEnd, float]]:
    records = only(FlowEnded, fetched(gateway))
    return [(record.inner_src_port, record.cause, record.flow_end) for record in records]


def test_at_4096_records_the_oldest_makes_room_for_another() -> None:
    gateway = crowded(1, 2, 3)
    gateway.handle_packet(OUTBOUND, numbered(4), 9.0)
    # Then its own next packet begins another record.
    gateway.handle_packet(OUTBOUND, numbered(1), 9.0)
    assert crowded_out(gateway) == [
        (1, FlowEnd.CROWDED_OUT, 9.0),
        (2, FlowEnd.CROWDED_OUT, 9.0),
    ]
    assert gateway.counters().recorded_flows == 4_096


def test_a_record_with_a_later_packet_is_passed_over_up_to_8_times_in_a_row() -> None:
    for busy, expected in ((8, 9), (9, 9)):
        gateway = crowded(*range(1, 11))
        again = [numbered(number) for number in range(1, busy + 1)]
        gateway.handle_packets(OUTBOUND, again, 5.0)
        gateway.handle_packet(OUTBOUND, numbered(99), 6.0)
        assert crowded_out(gateway) == [(expected, FlowEnd.CROWDED_OUT, 6.0)]


def test_neither_other_clients_nor_inbound_packets_nor_ended_records_crowd_any_out() -> None:
    gateway = crowded(1)
    gateway.authorize("bob", V4.db())
    gateway.handle_packet(OUTBOUND, numbered(1, near=V4.neighbour))
    inbound = [udp(f"{V4.host}:53 > {V4.client}:{number}") for number in range(2, 100)]
    gateway.handle_packets(INBOUND, inbound)
    assert names(gateway) == ["started"]
    assert gateway.counters().recorded_flows == 4_097
    gateway.handle_timeout(JUST_AFTER_120)
    assert told(gateway) == [f"idle {JUST_AFTER_120:g}"]
    gateway.handle_packet(OUTBOUND, numbered(2))
    assert names(gateway) == ["started"]


def test_65536_events_wait_and_what_comes_then_is_lost_but_counted() -> None:
    # Also before the first `now`.
    gateway = recording(V4.db(), now=None)
    flow = V4.flow(OUTBOUND, 443)
    syn, reset = tcp(flow, flags=SYN), tcp(flow, flags=RST)
    gateway.handle_packets(OUTBOUND, [syn, reset] * 32_768)
    assert gateway.counters().flow_events_lost == 0
    gateway.handle_packets(OUTBOUND, [syn, reset])
    gateway.revoke("alice", "db")
    assert gateway.counters().flow_events_lost == 2
    assert gateway.counters().tx_packets == 65_538
    events = fetched(gateway)
    # They push no others out.
    assert (len(events), type(events[-1]).__name__) == (65_537, "AccessExhausted")
    gateway.authorize("alice", V4.db())
    gateway.handle_packet(OUTBOUND, syn)
    assert (names(gateway), gateway.counters().flow_events_lost) == (["started"], 2)
