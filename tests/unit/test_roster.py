"""What the roster keeps, in which order it ends things, and what it lets go."""

import gc

import pytest

from firezone_filter import (
    AccessExhausted,
    AuthorizationExpired,
    CidrResource,
    Direction,
    DnsResource,
    Drop,
    Event,
    Gateway,
    Reason,
    Tcp,
    TunnelAddresses,
)
from firezone_filter.access.permits import compile_filters
from tests.builders import fragment, udp
from tests.records import fetched, names, only, recording
from tests.scenes import V4

OUTBOUND, INBOUND = Direction.OUTBOUND, Direction.INBOUND
ANSWER = udp("10.0.0.5:53 > 100.64.0.2:5000")


def gateway_with_a_session(now: float) -> Gateway:
    """Return a gateway with a session that nothing has come back to yet."""
    gateway = Gateway(TunnelAddresses("100.64.0.1"))
    gateway.client_connected("alice", TunnelAddresses("100.64.0.2"), now=now)
    gateway.authorize("alice", DnsResource("dns", "a.example.com"))
    gateway.domain_resolved(
        "alice",
        "dns",
        "a.example.com",
        proxy_addresses=["100.96.0.1"],
        resolved_addresses=["10.0.0.5"],
    )
    gateway.handle_packet(OUTBOUND, udp("100.64.0.2:5000 > 100.96.0.1:53"))
    return gateway


@pytest.mark.parametrize("noticed", [True, False], ids=["noticed", "unnoticed"])
def test_an_expiry_in_the_past_ends_nothing_before_the_call_that_sets_it(
    noticed: bool,  # noqa: FBT001 - a case
) -> None:
    gateway = gateway_with_a_session(now=1000.0)
    gateway.handle_packet(OUTBOUND, b"", 1060.0)
    if noticed:
        gateway.handle_packet(INBOUND, udp("10.0.0.77:53 > 100.64.0.2:5000"))
    gateway.update_expiry("alice", "dns", 1059.0)
    assert gateway.handle_packet(INBOUND, ANSWER) == Drop(Reason.EXPIRED_NAT_SESSION, "alice")


@pytest.mark.parametrize(
    ("expires_at", "reason"),
    [(1060.0, Reason.EXPIRED_NAT_SESSION), (1059.5, Reason.NO_RESOURCE)],
)
def test_what_is_noticed_late_ends_in_the_order_of_its_moments(
    expires_at: float, reason: Reason
) -> None:
    gateway = gateway_with_a_session(now=1000.0)
    gateway.update_expiry("alice", "dns", expires_at)
    assert gateway.handle_packet(INBOUND, ANSWER, 1100.0) == Drop(reason, "alice")


def test_a_name_alone_leaves_nothing_to_be_forgotten() -> None:
    gateway = gateway_with_a_session(now=0.0)
    assert gateway._site.reminders.earliest() is None


def test_an_end_is_let_go_when_it_has_been_remembered_for_its_time() -> None:
    gateway = gateway_with_a_session(now=0.0)
    gateway.handle_timeout(299.0)
    assert gateway._site.reminders.earliest() == 300.0
    gateway.handle_timeout(300.0)
    assert gateway._site.reminders.earliest() is None


def test_fragments_are_let_go_one_after_another() -> None:
    gateway = Gateway(TunnelAddresses("100.64.0.1"))
    gateway.client_connected("alice", TunnelAddresses("100.64.0.2"), now=0.0)
    gateway.authorize("alice", CidrResource("net", "10.0.0.0/8"))
    whole = udp("100.64.0.2:5000 > 10.0.0.5:53", payload=bytes(64))
    for now in (0.0, 10.0):
        first = fragment(whole, 0, 24, identification=int(now))
        assert gateway.handle_packet(OUTBOUND, first, now).allowed
    client = gateway._roster.clients["alice"]
    left = []
    for now in (29.0, 30.0, 39.0, 40.0):
        gateway.handle_timeout(now)
        left.append(len(client.fragments))
    assert left == [2, 1, 1, 0]


def test_a_client_that_has_gone_leaves_nothing_to_be_forgotten() -> None:
    gateway = gateway_with_a_session(now=0.0)
    gateway.handle_timeout(100.0)
    gateway.client_disconnected("alice")
    assert gateway._site.reminders.earliest() is None


def test_filters_that_nobody_uses_are_let_go() -> None:
    gateway = gateway_with_a_session(now=0.0)
    filters = (Tcp(1), Tcp(3), Tcp(5))
    gateway.authorize("alice", CidrResource("net", "10.0.0.0/8", filters))
    assert filters in compile_filters
    gateway.client_disconnected("alice")
    gc.collect()
    assert filters not in compile_filters


class Unhashable(str):
    """A text that cannot be a key."""

    __slots__ = ()

    __hash__ = None  # type: ignore[assignment]


def test_an_id_of_another_class_is_taken_as_the_text_that_it_is() -> None:
    gateway = gateway_with_a_session(now=0.0)
    gateway.client_connected(Unhashable("bob"), TunnelAddresses("100.64.0.3"), now=1.0)
    packet = udp("100.64.0.3:5000 > 100.64.0.1:53")
    assert gateway.handle_packet(OUTBOUND, packet, client_id=Unhashable("bob")).allowed
    assert type(gateway.clients()[-1]) is str


# --- Many at one moment ----------------------------------------------------------------------

HOSTS = [f"10.0.0.{number}" for number in range(1, 6)]
CLIENTS = [f"client-{number}" for number in range(2, 42)]


def crowded(expires_at: float | None = 100.0) -> Gateway:
    """Connect forty clients, each with the same five hosts."""
    gateway = Gateway(TunnelAddresses("100.64.0.1"))
    for number, client_id in enumerate(CLIENTS, 2):
        gateway.client_connected(client_id, TunnelAddresses(f"100.64.0.{number}"), now=0.0)
    for client_id in CLIENTS:
        for host in HOSTS:
            gateway.authorize(client_id, CidrResource(host, host), expires_at=expires_at)
    return gateway


def test_what_ends_at_one_moment_is_reported_as_it_was_set() -> None:
    gateway = crowded()
    gateway.handle_timeout(100.0)
    expected: list[Event] = []
    for client_id in CLIENTS:
        expected += [AuthorizationExpired(client_id, host, 100.0) for host in HOSTS]
        expected += [AccessExhausted(client_id)]
    assert fetched(gateway) == expected


def test_what_is_noticed_together_is_reported_by_its_moments() -> None:
    gateway = crowded()
    for client_id in CLIENTS:
        gateway.update_expiry(client_id, HOSTS[4], 90.0)
        gateway.update_expiry(client_id, HOSTS[0], 95.0)
    gateway.handle_timeout(100.0)
    moments = [event.expired_at for event in only(AuthorizationExpired, fetched(gateway))]
    assert moments == [90.0] * 40 + [95.0] * 40 + [100.0] * 120


def test_clients_that_something_is_left_to_are_not_exhausted() -> None:
    gateway = crowded()
    for client_id in CLIENTS[::2]:
        gateway.update_expiry(client_id, HOSTS[2], None)
    gateway.handle_timeout(100.0)
    exhausted = only(AccessExhausted, fetched(gateway))
    assert exhausted == [AccessExhausted(client_id) for client_id in CLIENTS[1::2]]
    assert [list(gateway.authorizations(client_id)) for client_id in CLIENTS[:2]] == [
        [HOSTS[2]],
        [],
    ]


def test_all_remembered_decisions_of_all_clients_are_forgotten() -> None:
    gateway = crowded()
    flows = [
        udp(f"100.64.0.{number}:5000 > {host}:53") for number in range(2, 42) for host in HOSTS
    ]
    assert all(decision.allowed for decision in gateway.handle_packets(OUTBOUND, flows * 2))
    gateway.handle_timeout(100.0)
    assert gateway.counters().cached_flows == 0
    assert not any(decision.allowed for decision in gateway.handle_packets(OUTBOUND, flows))


def test_all_fragments_of_all_clients_are_forgotten() -> None:
    gateway = crowded()
    wholes = [udp(f"100.64.0.{n}:5000 > 10.0.0.1:53", payload=bytes(64)) for n in range(2, 42)]
    firsts = [fragment(whole, 0, 24) for whole in wholes]
    assert all(decision.allowed for decision in gateway.handle_packets(OUTBOUND, firsts, 99.0))
    gateway.handle_timeout(100.0)
    assert gateway.counters().fragments == 0
    assert gateway._site.reminders.earliest() is None


def test_clients_whose_authorizations_go_on_keep_what_is_remembered() -> None:
    gateway = crowded()
    gateway.client_connected("bob", TunnelAddresses("100.64.0.99"))
    gateway.authorize("bob", CidrResource(HOSTS[0], HOSTS[0]), expires_at=101.0)
    gateway.handle_packet(OUTBOUND, udp("100.64.0.99:5000 > 10.0.0.1:53"))
    gateway.handle_timeout(100.0)
    assert gateway.counters().cached_flows == 1


def test_what_has_ended_can_be_authorized_again() -> None:
    gateway = crowded()
    gateway.handle_timeout(100.0)
    gateway.authorize(CLIENTS[7], CidrResource(HOSTS[0], HOSTS[0]), expires_at=200.0)
    assert AccessExhausted(CLIENTS[7]) not in fetched(gateway)
    assert gateway.poll_timeout() == 200.0


def test_an_authorization_that_cannot_be_given_withdraws_no_event() -> None:
    gateway = crowded()
    gateway.handle_timeout(100.0)
    with pytest.raises(TypeError):
        gateway.authorize(CLIENTS[0], UnhashableResource("db", "10.0.0.0/8"))
    assert AccessExhausted(CLIENTS[0]) in fetched(gateway)


class UnhashableResource(CidrResource):
    """A resource that cannot be a key."""

    __hash__ = None  # type: ignore[assignment]


# --- Flow records -------------------------------------------------------------------------------


def recorded(now: float = 0.0) -> Gateway:
    """Return a gateway with a flow and a refused packet, the start of the flow fetched."""
    gateway = recording(V4.db(), now=now)
    gateway.handle_packet(OUTBOUND, V4.udp(OUTBOUND), now)
    gateway.handle_packet(OUTBOUND, V4.udp(OUTBOUND, far=V4.stranger), now)
    gateway.poll_event()
    return gateway


def test_the_earliest_moment_is_that_of_any_log_or_authorization() -> None:
    gateway = recorded()
    assert gateway._roster.earliest() == 60.0
    gateway.update_expiry("alice", "db", 50.0)
    assert gateway._roster.earliest() == 50.0
    gateway.handle_timeout(50.0)
    assert gateway._roster.earliest() == 60.0
    gateway.handle_timeout(60.0)
    assert gateway._roster.earliest() is None


def test_looking_at_the_time_lets_logs_report() -> None:
    gateway = recorded()
    gateway.handle_timeout(130.0)
    assert names(gateway) == ["ended: idle", "refused"]


def test_an_authorization_ends_before_the_logs_report() -> None:
    gateway = recorded()
    gateway.update_expiry("alice", "db", 129.0)
    gateway.handle_timeout(130.0)
    assert names(gateway) == [
        "authorization expired",
        "ended: expired",
        "access exhausted",
        "refused",
    ]


def test_a_client_that_has_gone_leaves_no_record_to_be_looked_at() -> None:
    gateway = recorded()
    gateway.client_disconnected("alice")
    log = gateway._site.flow_log
    assert log is not None
    assert (len(log), log.earliest()) == (0, None)
