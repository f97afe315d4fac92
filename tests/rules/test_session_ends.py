"""Section 6, sessions: how their ends are remembered, what leaves nothing behind, and time."""

from collections.abc import Callable

import pytest

from firezone_filter import (
    CidrResource,
    DnsResource,
    Drop,
    Forward,
    Gateway,
    Reason,
    Translate,
    Udp,
)
from firezone_filter.testing import RST, icmp_echo
from tests.rules.stories import START, alive, asked, tell
from tests.scenes import ALICE, INBOUND, OUTBOUND, reasons
from tests.translations import (
    EXPIRED,
    GONE,
    TICK,
    Names,
    app,
    both_names,
    every_kind,
    gateway_in_use,
    gateway_with,
    resolve,
    through,
)

OTHER_NAME = "db.example.com"


# --- Ends that are remembered --------------------------------------------------------------


@every_kind
@both_names
def test_an_end_is_remembered_for_240_seconds_however_late_it_is_noticed(
    names: Names, kind: str
) -> None:
    assert asked(names, "0>", 300.0 - TICK, kind) == EXPIRED
    assert asked(names, "0>", 300.0, kind) == GONE
    gateway = gateway_with(names, now=START)
    tell(gateway, names, "0>", kind)
    # Packets of a session that has ended do not prolong the memory of it.
    for now, expected in ((60, EXPIRED), (200, EXPIRED), (300 - TICK, EXPIRED), (300, GONE)):
        assert gateway.handle_packet(INBOUND, names.came(kind), START + now) == expected


@both_names
def test_handle_timeout_forgets_in_time_and_poll_timeout_asks_for_it(names: Names) -> None:
    gateway = gateway_in_use(names)
    for due, now, sessions, expected in (
        (60.0, 60.0 - TICK, 1, None),
        (60.0, 60.0, 0, EXPIRED),
        (300.0, 300.0 - TICK, 0, EXPIRED),
        (300.0, 300.0, 0, GONE),
    ):
        assert gateway.poll_timeout() == due
        gateway.handle_timeout(now)
        assert gateway.counters().nat_sessions == sessions
        if expected is not None:
            assert gateway.handle_packet(INBOUND, names.came()) == expected
    assert gateway.poll_timeout() is None
    assert gateway.poll_event() is None


@pytest.mark.parametrize(
    ("count", "oldest"), [(4_096, EXPIRED), (4_097, GONE)], ids=["4096", "4097"]
)
@both_names
def test_the_last_4096_ends_of_a_client_are_remembered(
    names: Names, count: int, oldest: Drop
) -> None:
    gateway = gateway_with(names)
    first, *others = (names.sent(number=number) for number in range(1, count + 1))
    # Of those that end together it is left open which are the last.
    assert gateway.handle_packet(OUTBOUND, first, 0.0).allowed
    decisions = gateway.handle_packets(OUTBOUND, others, 1.0)
    assert all(decision.allowed for decision in decisions)
    gateway.handle_timeout(61.0)
    while gateway.poll_timeout() == 61.0:
        gateway.handle_timeout(61.0)
    asking = [names.came(number=number) for number in (1, 2, count)]
    assert gateway.handle_packets(INBOUND, asking) == [oldest, EXPIRED, EXPIRED]


@both_names
def test_a_new_session_with_the_tuple_takes_its_end_out(names: Names) -> None:
    gateway = gateway_with(names)
    gateway.authorize("alice", DnsResource("other", OTHER_NAME))
    second = names.proxies[1]
    resolve(gateway, names, proxies=[second], domain=OTHER_NAME, resource_id="other")
    gateway.handle_packet(OUTBOUND, names.sent("tcp", flags=RST))
    assert gateway.handle_packet(INBOUND, names.came("tcp")) == EXPIRED
    gateway.handle_packet(OUTBOUND, names.sent("tcp", far=second))
    gateway.revoke("alice", "other")
    assert gateway.handle_packet(INBOUND, names.came("tcp")) == GONE


@every_kind
@both_names
def test_an_end_is_of_one_protocol_number_and_address(names: Names, kind: str) -> None:
    gateway = gateway_in_use(names, kind)
    gateway.handle_timeout(60.0)
    ends = f"{names.real[0]} > {names.family.client}"
    rows = {
        names.came(kind): EXPIRED,
        names.came(kind, port=444): EXPIRED,
        names.came(kind, 5402): GONE,
        names.came(kind, far=names.real[1]): GONE,
        icmp_echo(ends, identifier=5401): GONE,
    }
    rows |= {names.came(other): GONE for other in ("tcp", "udp", "echo") if other != kind}
    assert gateway.handle_packets(INBOUND, rows) == list(rows.values())


@every_kind
@both_names
def test_after_an_end_what_is_permitted_directly_passes_and_what_is_refused_is_named_by_it(
    names: Names, kind: str
) -> None:
    gateway = gateway_in_use(names, kind)
    gateway.authorize("alice", CidrResource("direct", names.real[0]))
    direct = [Forward("alice", "direct")] * 2
    assert gateway.handle_packets(INBOUND, [names.came(kind)] * 2, 60.0) == direct
    gateway.update_resource(CidrResource("direct", names.real[0], [Udp(444)]))
    assert gateway.handle_packet(INBOUND, names.came(kind), 300.0 - TICK) == EXPIRED
    reason = {"tcp": Reason.TCP_PORT, "udp": Reason.UDP_PORT, "echo": Reason.ICMP}[kind]
    assert gateway.handle_packet(INBOUND, names.came(kind), 300.0) == Drop(reason, "alice")


@both_names
def test_a_live_session_that_the_filters_refuse_has_not_ended(names: Names) -> None:
    gateway = gateway_in_use(names)
    gateway.update_resource(app(Udp(444)))
    assert gateway.handle_packet(INBOUND, names.came()) == Drop(Reason.UDP_PORT, "alice")


# --- What leaves nothing behind ------------------------------------------------------------


def expire(gateway: Gateway) -> None:
    gateway.update_expiry("alice", "app", 30.0)
    gateway.handle_timeout(30.0)


def reconnect(gateway: Gateway) -> None:
    gateway.client_connected("alice", ALICE)


def disconnect(gateway: Gateway) -> None:
    gateway.client_disconnected("alice")
    reconnect(gateway)


LEAVING: dict[str, Callable[[Gateway], object]] = {
    "revoke": lambda gateway: gateway.revoke("alice", "app"),
    "retain": lambda gateway: gateway.retain_authorizations({}),
    "expire": expire,
    "reconnect": reconnect,
    "disconnect": disconnect,
}


@pytest.mark.parametrize("leave", LEAVING)
@every_kind
@both_names
def test_nothing_of_a_session_is_left_after_its_resource_or_its_client(
    names: Names, kind: str, leave: str
) -> None:
    gateway = gateway_in_use(names, kind)
    LEAVING[leave](gateway)
    gateway.authorize("alice", app())
    came = names.came(kind)
    assert gateway.handle_packet(INBOUND, came) == GONE
    resolve(gateway, names, real=names.real[1:2])
    assert gateway.handle_packet(INBOUND, came) == GONE
    gone_on = names.sent(kind, far=names.real[1])
    assert gateway.handle_packet(OUTBOUND, names.sent(kind)) == through(gone_on)
    assert gateway.handle_packet(INBOUND, came) == GONE
    assert gateway.handle_packet(INBOUND, came, 300.0) == GONE


@pytest.mark.parametrize("leave", ["reconnect", "disconnect"])
@both_names
def test_a_new_tunnel_session_remembers_no_ends(names: Names, leave: str) -> None:
    gateway = gateway_in_use(names)
    assert gateway.handle_packet(INBOUND, names.came(), 60.0) == EXPIRED
    LEAVING[leave](gateway)
    assert gateway.handle_packet(INBOUND, names.came()) == GONE


@both_names
def test_a_session_ends_at_its_moment_or_with_its_resource_whichever_comes_first(
    names: Names,
) -> None:
    for expires_at, expected in ((60.0 - TICK, GONE), (60.0, EXPIRED), (60.0 + TICK, EXPIRED)):
        for asked_at in (61.0, 299.0):
            gateway = gateway_in_use(names)
            gateway.update_expiry("alice", "app", expires_at)
            assert gateway.handle_packet(INBOUND, names.came(), asked_at) == expected


ENDING: dict[str, Callable[[Gateway, Names], object]] = {
    "revoke": lambda gateway, _: gateway.revoke("alice", "app"),
    "retain": lambda gateway, _: gateway.retain_authorizations({}),
    "renumber": lambda gateway, names: resolve(gateway, names, domain=OTHER_NAME),
}


@pytest.mark.parametrize("change", ENDING)
@both_names
def test_a_change_does_not_end_a_session_whose_time_was_over_already(
    names: Names, change: str
) -> None:
    for now, expected in ((60.0 - TICK, GONE), (60.0, EXPIRED)):
        gateway = gateway_in_use(names)
        gateway.handle_packet(INBOUND, b"", now)
        ENDING[change](gateway, names)
        assert gateway.handle_packet(INBOUND, names.came()) == expected


# --- Time ----------------------------------------------------------------------------------


@pytest.mark.parametrize("first", [-1_000.0, 0.0, 1_790_000_000.0])
@both_names
def test_what_began_or_ended_before_the_first_now_counts_from_there(
    names: Names, first: float
) -> None:
    rows = {60.0 - TICK: alive(names, "udp"), 60.0: EXPIRED, 300.0 - TICK: EXPIRED, 300.0: GONE}
    ended = {240.0 - TICK: EXPIRED, 240.0: GONE}
    for later in (*rows, *ended):
        gateway = gateway_with(names, now=None)
        sent = [names.sent(), names.sent("tcp", flags=RST)]
        assert reasons(gateway, OUTBOUND, sent) == [None, None]
        gateway.handle_timeout(first)
        if later in rows:
            assert gateway.handle_packet(INBOUND, names.came(), first + later) == rows[later]
        if later in ended:
            late = gateway.handle_packet(INBOUND, names.came("tcp"), first + later)
            assert late == ended[later]


@both_names
def test_an_earlier_now_counts_as_the_latest_and_whole_seconds_are_times_too(
    names: Names,
) -> None:
    for at, expected in ((110.0 - TICK, alive(names, "udp")), (110, EXPIRED)):
        gateway = gateway_in_use(names)
        gateway.handle_timeout(50)
        gateway.handle_packet(OUTBOUND, names.sent(), 10)
        assert gateway.handle_packet(INBOUND, names.came(), at) == expected


@both_names
def test_sessions_end_each_at_its_own_moment(names: Names) -> None:
    gateway = gateway_with(names)
    for number in range(1, 6):
        gateway.handle_packet(OUTBOUND, names.sent(number=number), float(number))
    gateway.handle_packet(OUTBOUND, names.sent(number=2), 10.0)
    gateway.handle_timeout(64.0)
    answers = [gateway.handle_packet(INBOUND, names.came(number=n)) for n in range(1, 6)]
    live = [isinstance(answer, Translate) for answer in answers]
    assert live == [False, True, False, False, True]
