"""Flow records: what ends them, what splits them, and what leaves them alone."""

from math import inf, nextafter

import pytest

from firezone_filter import (
    AccessExhausted,
    AuthorizationExpired,
    CidrResource,
    Direction,
    FlowEnd,
    FlowEnded,
    FlowStarted,
    Gateway,
    Tcp,
    TunnelAddresses,
    Udp,
)
from firezone_filter.accounting import event_queue as events
from firezone_filter.accounting import flow_records as flows
from tests.builders import ACK, FIN, RST, SYN, tcp, udp
from tests.records import closed, ends, fetched, names, only, recording, sums, the_record
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

every_kind = pytest.mark.parametrize("kind", ["tcp", "udp", "echo"])


def segment(
    direction: Direction, flags: int = ACK, payload: bytes = b"", *, family: Family = V4
) -> bytes:
    return tcp(family.flow(direction, 443), payload, flags=flags)


def numbered(number: int) -> bytes:
    """Build the packet of one of many flows of Alice's."""
    return udp(f"{at(V4.client, number)} > {at(V4.host, 53)}")


def connection(*, family: Family = V4) -> Gateway:
    """Let there be a connection, at the start of the clock, that nobody has ended."""
    gateway = recording(family.db())
    gateway.handle_packet(OUTBOUND, segment(OUTBOUND, SYN, family=family), 0.0)
    gateway.handle_packet(INBOUND, segment(INBOUND, SYN | ACK, family=family))
    gateway.handle_packet(OUTBOUND, segment(OUTBOUND, family=family))
    fetched(gateway)
    return gateway


def begun(family: Family, kind: str, now: float = 0.0) -> Gateway:
    """Let there be a flow of some kind."""
    gateway = recording(family.db(), now=now)
    gateway.handle_packet(OUTBOUND, one(family, OUTBOUND, kind), now)
    fetched(gateway)
    return gateway


def one(family: Family, direction: Direction, kind: str) -> bytes:
    if kind == "tcp":
        return tcp(family.flow(direction, 443), b"data")
    return family.udp(direction) if kind == "udp" else family.echo(direction)


# --- RST -------------------------------------------------------------------------------------


@pytest.mark.parametrize("flags", [RST, RST | ACK, RST | SYN, RST | FIN])
@both_directions
@both_families
def test_a_reset_ends_the_record_at_once(family: Family, direction: Direction, flags: int) -> None:
    gateway = connection(family=family)
    gateway.handle_packet(direction, segment(direction, flags, b"bye", family=family), 7.0)
    (record,) = only(FlowEnded, fetched(gateway))
    assert (record.cause, record.last_packet, record.flow_end) == (FlowEnd.RST, 7.0, 7.0)


@both_directions
def test_a_reset_counts_itself(direction: Direction) -> None:
    gateway = connection()
    gateway.handle_packet(direction, segment(direction, RST, b"bye"), 7.0)
    counters = gateway.counters()
    assert (counters.tx_packets, counters.rx_packets) in {(3, 1), (2, 2)}
    assert (counters.tx_bytes, counters.rx_bytes) in {(3, 0), (0, 3)}


@both_directions
def test_what_comes_after_a_reset_is_in_no_record(direction: Direction) -> None:
    gateway = connection()
    gateway.handle_packet(direction, segment(direction, RST), 7.0)
    for flags in (ACK, FIN | ACK, RST):
        gateway.handle_packet(OUTBOUND, segment(OUTBOUND, flags), 8.0)
        gateway.handle_packet(INBOUND, segment(INBOUND, flags, b"late"), 8.0)
    gateway.handle_timeout(1_000.0)
    assert names(gateway) == ["ended: rst"]


def test_a_syn_after_a_reset_begins_another_record() -> None:
    gateway = connection()
    gateway.handle_packet(INBOUND, segment(INBOUND, RST), 7.0)
    gateway.handle_packet(OUTBOUND, segment(OUTBOUND, SYN), 8.0)
    gateway.handle_packet(INBOUND, segment(INBOUND, SYN | ACK), 9.0)
    assert names(gateway) == ["ended: rst", "started"]
    record = the_record(gateway)
    assert (record.flow_start, *sums(record)) == (8.0, 1, 0, 1, 0)


@pytest.mark.parametrize("kind", ["udp", "echo"])
@both_directions
def test_what_stands_where_tcp_has_its_flags_ends_nothing_else(
    kind: str, direction: Direction
) -> None:
    gateway = begun(V4, kind)
    payload = b"\xff" * 20
    packet = udp(V4.flow(direction, 53), payload)
    if kind == "echo":
        packet = V4.echo(direction) + payload
        packet = packet[:2] + len(packet).to_bytes(2) + packet[4:]
    for _ in range(2):
        assert gateway.handle_packet(direction, packet, 1.0).allowed
    gateway.handle_timeout(2.0)
    assert fetched(gateway) == []


# --- FIN -------------------------------------------------------------------------------------


@both_directions
@both_families
def test_a_fin_one_way_ends_nothing(family: Family, direction: Direction) -> None:
    gateway = connection(family=family)
    for now in (1.0, 2.0):
        gateway.handle_packet(direction, segment(direction, FIN | ACK, family=family), now)
    gateway.handle_timeout(100.0)
    assert fetched(gateway) == []


@pytest.mark.parametrize("first", [OUTBOUND, INBOUND])
@both_families
def test_fins_both_ways_end_the_record_when_time_is_looked_at(
    family: Family, first: Direction
) -> None:
    gateway = connection(family=family)
    second = {OUTBOUND: INBOUND, INBOUND: OUTBOUND}[first]
    gateway.handle_packet(first, segment(first, FIN | ACK, family=family), 1.0)
    gateway.handle_packet(second, segment(second, FIN | ACK, family=family), 2.0)
    assert fetched(gateway) == []
    gateway.handle_timeout(50.0)
    assert ends(gateway) == [(FlowEnd.FIN, 2.0)]


def test_what_comes_between_the_fins_and_the_look_at_the_time_counts() -> None:
    gateway = connection()
    gateway.handle_packet(OUTBOUND, segment(OUTBOUND, FIN | ACK), 1.0)
    gateway.handle_packet(INBOUND, segment(INBOUND, FIN | ACK), 2.0)
    gateway.handle_packet(OUTBOUND, segment(OUTBOUND), 3.0)
    gateway.handle_packet(INBOUND, segment(INBOUND, FIN | ACK), 4.0)
    gateway.handle_timeout(50.0)
    (record,) = only(FlowEnded, fetched(gateway))
    assert (record.flow_end, record.tx_packets, record.rx_packets) == (4.0, 4, 3)


def test_a_reset_after_both_fins_is_the_end() -> None:
    gateway = connection()
    gateway.handle_packet(OUTBOUND, segment(OUTBOUND, FIN | ACK), 1.0)
    gateway.handle_packet(INBOUND, segment(INBOUND, FIN | ACK), 2.0)
    gateway.handle_packet(OUTBOUND, segment(OUTBOUND, RST), 3.0)
    gateway.handle_timeout(50.0)
    assert ends(gateway) == [(FlowEnd.RST, 3.0)]


def test_a_host_is_woken_for_a_flow_with_both_fins() -> None:
    gateway = connection()
    gateway.handle_packet(OUTBOUND, segment(OUTBOUND, FIN | ACK), 1.0)
    gateway.handle_packet(INBOUND, segment(INBOUND, FIN | ACK), 2.0)
    assert gateway.poll_timeout() == 2.0
    gateway.handle_timeout(2.0)
    assert (ends(gateway), gateway.poll_timeout()) == ([(FlowEnd.FIN, 2.0)], None)


# --- Idleness -----------------------------------------------------------------------------------


@every_kind
@both_families
def test_a_flow_is_idle_after_more_than_120_seconds(family: Family, kind: str) -> None:
    gateway = begun(family, kind)
    gateway.handle_timeout(120.0)
    assert fetched(gateway) == []
    gateway.handle_timeout(JUST_AFTER_120)
    assert ends(gateway) == [(FlowEnd.IDLE, JUST_AFTER_120)]


@every_kind
@both_directions
def test_each_packet_puts_the_end_off(direction: Direction, kind: str) -> None:
    gateway = begun(V4, kind)
    for now in (100.0, 150.0):
        gateway.handle_packet(direction, one(V4, direction, kind), now)
    gateway.handle_timeout(270.0)
    assert fetched(gateway) == []
    gateway.handle_timeout(270.5)
    (record,) = only(FlowEnded, fetched(gateway))
    assert (record.last_packet, record.flow_end) == (150.0, 270.5)


def test_an_idle_flow_ends_when_that_is_noticed() -> None:
    gateway = begun(V4, "udp")
    gateway.handle_timeout(500.0)
    (record,) = only(FlowEnded, fetched(gateway))
    assert (record.last_packet, record.flow_end, record.cause) == (0.0, 500.0, FlowEnd.IDLE)


@every_kind
@both_directions
def test_packets_alone_notice_no_idleness(direction: Direction, kind: str) -> None:
    gateway = begun(V4, kind)
    gateway.handle_packet(direction, one(V4, direction, kind), 1_000.0)
    record = the_record(gateway)
    assert (record.flow_start, record.last_packet) == (0.0, 1_000.0)
    assert record.tx_packets + record.rx_packets == 2


def test_after_an_idle_flow_the_same_ends_have_another_record() -> None:
    gateway = begun(V4, "udp")
    gateway.handle_timeout(121.0)
    gateway.handle_packet(INBOUND, V4.udp(INBOUND, size=9), 122.0)
    gateway.handle_packet(OUTBOUND, V4.udp(OUTBOUND), 123.0)
    gateway.handle_packet(INBOUND, V4.udp(INBOUND, size=1), 124.0)
    _, record = closed(gateway)
    assert (record.flow_start, *sums(record)) == (123.0, 1, 0, 1, 1)


@both_directions
def test_a_refused_packet_does_not_put_the_end_off(direction: Direction) -> None:
    gateway = begun(V4, "udp")
    gateway.update_resource(V4.db(Tcp()))
    assert not gateway.handle_packet(direction, V4.udp(direction), 100.0).allowed
    gateway.handle_timeout(121.0)
    assert (FlowEnd.IDLE, 121.0) in ends(gateway)


def test_tcp_is_idle_as_early_as_the_others_whatever_its_session_in_the_nat() -> None:
    gateway = connection()
    gateway.handle_timeout(121.0)
    assert ends(gateway) == [(FlowEnd.IDLE, 121.0)]


# --- Splits ---------------------------------------------------------------------------------


@pytest.mark.parametrize("flags", [SYN, SYN | ACK], ids=["syn", "syn-ack"])
@both_families
def test_a_syn_after_other_packets_begins_another_record(family: Family, flags: int) -> None:
    gateway = connection(family=family)
    gateway.handle_packet(OUTBOUND, segment(OUTBOUND, flags, b"12", family=family), 5.0)
    assert [type(event) for event in fetched(gateway)] == [FlowEnded, FlowStarted]
    record = the_record(gateway)
    assert (record.flow_start, *sums(record)) == (5.0, 1, 2, 0, 0)


def test_a_record_that_is_split_ends_there() -> None:
    gateway = connection()
    gateway.handle_packet(INBOUND, segment(INBOUND, payload=b"data"), 3.0)
    gateway.handle_packet(OUTBOUND, segment(OUTBOUND, SYN), 5.0)
    (record,) = only(FlowEnded, fetched(gateway))
    assert (record.cause, record.flow_end) == (FlowEnd.RESTARTED, 5.0)
    assert (record.last_packet, *sums(record)) == (3.0, 2, 0, 2, 4)


def test_the_first_data_packet_of_a_record_without_syn_is_enough_for_a_split() -> None:
    gateway = recording(V4.db())
    gateway.handle_packet(OUTBOUND, segment(OUTBOUND, payload=b"data"), 1.0)
    gateway.handle_packet(OUTBOUND, segment(OUTBOUND, SYN), 2.0)
    assert names(gateway) == ["started", "ended: restarted", "started"]


@both_families
def test_a_retransmitted_syn_is_just_a_packet(family: Family) -> None:
    gateway = recording(family.db())
    for now in (1.0, 2.0, 4.0):
        gateway.handle_packet(OUTBOUND, segment(OUTBOUND, SYN, family=family), now)
        gateway.handle_packet(INBOUND, segment(INBOUND, SYN | ACK, family=family))
    assert names(gateway) == ["started"]
    assert sums(the_record(gateway)) == (3, 0, 3, 0)


def test_data_from_the_other_end_does_not_make_a_syn_a_split() -> None:
    gateway = recording(V4.db())
    gateway.handle_packet(OUTBOUND, segment(OUTBOUND, SYN))
    gateway.handle_packet(INBOUND, segment(INBOUND, payload=b"data"))
    gateway.handle_packet(OUTBOUND, segment(OUTBOUND, SYN))
    assert names(gateway) == ["started"]


def test_a_syn_from_the_other_end_splits_nothing() -> None:
    gateway = connection()
    gateway.handle_packet(INBOUND, segment(INBOUND, SYN))
    assert fetched(gateway) == []
    assert sums(the_record(gateway)) == (2, 0, 2, 0)


@pytest.mark.parametrize("flags", [SYN | FIN, SYN | RST], ids=["syn-fin", "syn-rst"])
def test_a_syn_that_ends_something_begins_nothing(flags: int) -> None:
    gateway = connection()
    gateway.handle_packet(OUTBOUND, segment(OUTBOUND, flags))
    gateway.handle_timeout(500.0)
    assert "started" not in names(gateway)


def test_a_syn_after_both_fins_ends_the_record_as_the_fins_did() -> None:
    gateway = connection()
    gateway.handle_packet(OUTBOUND, segment(OUTBOUND, FIN | ACK), 1.0)
    gateway.handle_packet(INBOUND, segment(INBOUND, FIN | ACK), 2.0)
    gateway.handle_packet(OUTBOUND, segment(OUTBOUND, SYN), 5.0)
    gateway.handle_timeout(6.0)
    told = fetched(gateway)
    assert [type(event) for event in told] == [FlowEnded, FlowStarted]
    (record,) = only(FlowEnded, told)
    assert (record.cause, record.flow_end) == (FlowEnd.FIN, 2.0)


@both_directions
def test_after_a_split_both_directions_count_for_the_new_record(direction: Direction) -> None:
    gateway = connection()
    gateway.handle_packet(direction, segment(direction, payload=b"old"), 1.0)
    gateway.handle_packet(OUTBOUND, segment(OUTBOUND, SYN), 5.0)
    gateway.handle_packet(direction, segment(direction, payload=b"newer"), 6.0)
    record = closed(gateway)[-1]
    assert record.tx_bytes + record.rx_bytes == 5


# --- Hooks that end them ---------------------------------------------------------------------


def two_resources() -> tuple[CidrResource, CidrResource]:
    return V4.db(), CidrResource("six", V6.network)


def both_begun(*, now: float = START) -> Gateway:
    """Let Alice talk to two resources."""
    gateway = recording(*two_resources(), now=now)
    gateway.handle_packet(OUTBOUND, V4.udp(OUTBOUND), now)
    gateway.handle_packet(OUTBOUND, V6.udp(OUTBOUND), now)
    fetched(gateway)
    return gateway


def test_revocation_ends_the_records_of_its_resource_at_once() -> None:
    gateway = both_begun()
    gateway.handle_timeout(START + 5)
    gateway.revoke("alice", "db")
    (record,) = fetched(gateway)
    assert isinstance(record, FlowEnded)
    assert (record.resource_id, record.cause) == ("db", FlowEnd.REVOKED)
    assert (record.last_packet, record.flow_end) == (START, START + 5)


def test_what_is_not_retained_is_revoked() -> None:
    gateway = both_begun()
    gateway.retain_authorizations({"alice": {"six"}})
    assert ends(gateway) == [(FlowEnd.REVOKED, START)]
    gateway.retain_authorizations({})
    assert names(gateway) == ["ended: revoked", "access exhausted"]


def test_expiry_ends_records_at_its_own_moment_however_late_it_is_noticed() -> None:
    gateway = both_begun()
    gateway.update_expiry("alice", "db", START + 10)
    gateway.handle_packet(OUTBOUND, b"", START + 50)
    assert ends(gateway) == [(FlowEnd.EXPIRED, START + 10)]


def test_the_packet_that_notices_an_expiry_is_in_no_record() -> None:
    gateway = both_begun()
    gateway.update_expiry("alice", "db", START + 10)
    assert not gateway.handle_packet(OUTBOUND, V4.udp(OUTBOUND), START + 10).allowed
    (record,) = only(FlowEnded, fetched(gateway))
    assert (record.last_packet, record.tx_packets) == (START, 1)


@pytest.mark.parametrize("expires_at", [START - 500, START + 5], ids=["long-ago", "now"])
def test_an_expiry_that_has_passed_already_ends_records_now(expires_at: float) -> None:
    gateway = both_begun()
    gateway.handle_timeout(START + 5)
    gateway.authorize("alice", V4.db(), expires_at=expires_at)
    assert ends(gateway) == [(FlowEnd.EXPIRED, START + 5)]


def test_no_record_ends_before_its_last_packet() -> None:
    gateway = both_begun()
    gateway.handle_packet(OUTBOUND, V4.udp(OUTBOUND), START + 7)
    gateway.update_expiry("alice", "db", START + 3)
    (record,) = only(FlowEnded, fetched(gateway))
    assert (record.last_packet, record.flow_end) == (START + 7, START + 7)


def test_expiry_is_reported_before_the_ends_that_it_causes_and_these_before_exhaustion() -> None:
    gateway = recording(V4.db())
    for number in (1, 2):
        gateway.handle_packet(OUTBOUND, numbered(number), 1.0)
    fetched(gateway)
    gateway.update_expiry("alice", "db", 5.0)
    gateway.handle_timeout(6.0)
    told = fetched(gateway)
    assert [type(event) for event in told] == [
        AuthorizationExpired,
        FlowEnded,
        FlowEnded,
        AccessExhausted,
    ]
    assert [record.inner_src_port for record in only(FlowEnded, told)] == [1, 2]


def test_expiries_noticed_together_end_flows_in_their_order() -> None:
    gateway = both_begun()
    gateway.update_expiry("alice", "db", START + 20)
    gateway.update_expiry("alice", "six", START + 10)
    gateway.handle_timeout(START + 30)
    assert ends(gateway) == [(FlowEnd.EXPIRED, START + 10), (FlowEnd.EXPIRED, START + 20)]


def test_disconnection_ends_all_records_of_the_client() -> None:
    gateway = both_begun()
    gateway.authorize("bob", V4.db())
    bobs = udp(f"{at(V4.neighbour, 1)} > {at(V4.host, 2)}")
    gateway.handle_packet(OUTBOUND, bobs, START + 1)
    fetched(gateway)
    gateway.client_disconnected("alice")
    assert ends(gateway) == [(FlowEnd.DISCONNECTED, START + 1)] * 2
    assert gateway.counters().recorded_flows == 1


def test_another_tunnel_session_ends_all_records_of_the_one_before() -> None:
    gateway = both_begun()
    gateway.client_connected("alice", ALICE, START + 3)
    assert ends(gateway) == [(FlowEnd.DISCONNECTED, START + 3)] * 2
    assert gateway.handle_packet(OUTBOUND, V4.udp(OUTBOUND)).allowed is False


def test_after_another_tunnel_session_records_begin_anew() -> None:
    gateway = both_begun()
    gateway.client_connected("alice", ALICE, START + 3)
    gateway.authorize("alice", V4.db())
    gateway.handle_packet(INBOUND, V4.udp(INBOUND, size=9), START + 4)
    gateway.handle_packet(OUTBOUND, V4.udp(OUTBOUND, size=1), START + 5)
    record = closed(gateway)[-1]
    assert (record.flow_start, *sums(record)) == (START + 5, 1, 1, 0, 0)


def test_an_expiry_that_a_reconnection_notices_comes_first() -> None:
    gateway = both_begun()
    gateway.update_expiry("alice", "db", START + 2)
    gateway.client_connected("alice", ALICE, START + 3)
    # What waited about her authorizations has been withdrawn, what went through stays.
    assert names(gateway) == ["ended: expired", "ended: disconnected"]


def test_records_stay_in_the_queue_when_their_client_has_gone() -> None:
    gateway = recording(V4.db())
    gateway.handle_packet(OUTBOUND, V4.udp(OUTBOUND))
    gateway.revoke("alice", "db")
    gateway.client_disconnected("alice")
    assert names(gateway) == ["started", "ended: revoked"]


def test_revocation_ends_a_record_once() -> None:
    gateway = both_begun()
    gateway.revoke("alice", "db")
    gateway.client_disconnected("alice")
    gateway.handle_timeout(START + 1_000)
    assert names(gateway) == ["ended: revoked", "ended: disconnected"]


# --- Hooks that leave them alone --------------------------------------------------------------


def forget_by_authorizing(gateway: Gateway) -> None:
    gateway.authorize("alice", V4.db(Udp(53)), expires_at=START + 50)


def forget_by_updating(gateway: Gateway) -> None:
    gateway.update_resource(V4.db(Udp()))


def forget_by_moving(gateway: Gateway) -> None:
    gateway.set_addresses(TunnelAddresses(V4.spare, V6.spare))


def prolong(gateway: Gateway) -> None:
    gateway.update_expiry("alice", "db", START + 50)


def retain(gateway: Gateway) -> None:
    gateway.retain_authorizations({"alice": {"db", "six"}})


def revoke_another(gateway: Gateway) -> None:
    gateway.revoke("alice", "six")


@pytest.mark.parametrize(
    "hook",
    [
        forget_by_authorizing,
        forget_by_updating,
        forget_by_moving,
        prolong,
        retain,
        revoke_another,
    ],
)
def test_a_hook_under_a_live_flow_keeps_its_one_record(hook: object) -> None:
    gateway = both_begun()
    gateway.handle_packet(INBOUND, V4.udp(INBOUND, size=1), START + 1)
    assert callable(hook)
    hook(gateway)
    fetched(gateway)
    gateway.handle_packet(INBOUND, V4.udp(INBOUND, size=2), START + 2)
    gateway.handle_packet(OUTBOUND, V4.udp(OUTBOUND, size=4), START + 3)
    assert fetched(gateway) == []
    assert sums(closed(gateway)[0]) == (2, 4, 2, 3)


# --- Crowding out -----------------------------------------------------------------------------


def test_a_client_may_have_4096_open_records() -> None:
    assert flows.MAX_OPEN == 4_096


@pytest.fixture
def room_for_three(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flows, "MAX_OPEN", 3)


@pytest.mark.usefixtures("room_for_three")
def test_at_the_limit_the_oldest_record_makes_room() -> None:
    gateway = recording(V4.db())
    for number in (1, 2, 3):
        gateway.handle_packet(OUTBOUND, numbered(number), float(number))
    assert names(gateway) == ["started"] * 3
    gateway.handle_packet(OUTBOUND, numbered(4), 9.0)
    crowded_out, begun = fetched(gateway)
    assert isinstance(crowded_out, FlowEnded)
    assert isinstance(begun, FlowStarted)
    assert (crowded_out.inner_src_port, begun.inner_src_port) == (1, 4)
    assert (crowded_out.cause, crowded_out.flow_end) == (FlowEnd.CROWDED_OUT, 9.0)
    assert gateway.counters().recorded_flows == 3


@pytest.mark.usefixtures("room_for_three")
def test_the_oldest_is_the_one_that_began_first() -> None:
    gateway = recording(V4.db())
    for number in (1, 2, 3, 1, 4):
        gateway.handle_packet(OUTBOUND, numbered(number))
    assert [record.inner_src_port for record in only(FlowEnded, fetched(gateway))] == [1]


@pytest.mark.usefixtures("room_for_three")
def test_a_packet_of_a_flow_that_was_crowded_out_begins_another_record() -> None:
    gateway = recording(V4.db())
    for number in (1, 2, 3, 4, 1):
        gateway.handle_packet(OUTBOUND, numbered(number))
    found = [record.inner_src_port for record in only(FlowEnded, fetched(gateway))]
    assert found == [1, 2]


@pytest.mark.usefixtures("room_for_three")
def test_no_client_crowds_out_another() -> None:
    gateway = recording(V4.db())
    gateway.authorize("bob", V4.db())
    gateway.handle_packet(OUTBOUND, udp(f"{at(V4.neighbour, 1)} > {at(V4.host, 53)}"))
    for number in range(1, 10):
        gateway.handle_packet(OUTBOUND, numbered(number))
    found = {record.client_id for record in only(FlowEnded, fetched(gateway))}
    assert (found, gateway.counters().recorded_flows) == ({"alice"}, 4)


@pytest.mark.usefixtures("room_for_three")
def test_records_that_have_ended_take_no_room() -> None:
    gateway = recording(V4.db())
    for number in (1, 2, 3):
        gateway.handle_packet(OUTBOUND, numbered(number), 0.0)
    gateway.handle_timeout(121.0)
    for number in (4, 5, 6):
        gateway.handle_packet(OUTBOUND, numbered(number))
    assert FlowEnd.CROWDED_OUT not in {cause for cause, _ in ends(gateway)}


@pytest.mark.usefixtures("room_for_three")
def test_what_comes_to_a_client_crowds_nothing_out() -> None:
    gateway = recording(V4.db())
    for number in (1, 2, 3):
        gateway.handle_packet(OUTBOUND, numbered(number))
    for number in range(4, 100):
        gateway.handle_packet(INBOUND, udp(f"{V4.host}:53 > {V4.client}:{number}"))
    assert names(gateway) == ["started"] * 3


# --- Events that nobody fetches -----------------------------------------------------------------


def test_65536_flow_events_wait() -> None:
    assert events.MAX_FLOW_EVENTS == 65_536


def test_flow_events_beyond_the_limit_are_lost_and_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(events, "MAX_FLOW_EVENTS", 5)
    gateway = recording(V4.db())
    for number in range(1, 8):
        gateway.handle_packet(OUTBOUND, numbered(number))
    assert gateway.counters().flow_events_lost == 2
    assert names(gateway) == ["started"] * 5
    gateway.handle_packet(OUTBOUND, numbered(8))
    assert names(gateway) == ["started"]
    assert gateway.counters().flow_events_lost == 2


def test_what_is_lost_as_an_event_is_counted_as_traffic(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "MAX_FLOW_EVENTS", 0)
    gateway = begun(V4, "udp")
    gateway.client_disconnected("alice")
    counters = gateway.counters()
    assert (counters.tx_packets, counters.recorded_flows, counters.flow_events_lost) == (1, 0, 2)


def test_flow_events_push_no_others_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "MAX_FLOW_EVENTS", 1)
    gateway = recording(V4.db())
    for number in (1, 2):
        gateway.handle_packet(OUTBOUND, numbered(number))
    gateway.revoke("alice", "db")
    assert names(gateway) == ["started", "access exhausted"]
