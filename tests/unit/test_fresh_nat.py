"""The first packet of a flow of a client that has DNS resources: it may belong to a session."""

from typing import Final

import pytest

from firezone_filter import CidrResource, Drop, Forward, Gateway, GatewayOptions, Reason
from tests.scenes import INBOUND, OUTBOUND, gateway_for_alice
from tests.short_way import needs_the_long_way, remembered
from tests.translations import (
    EXHAUSTED,
    EXPIRED,
    GONE,
    TICK,
    Names,
    app,
    both_names,
    gateway_with,
    resolve,
    through,
)

PASSED: Final = Forward("alice", "db")
QUIET: Final = GatewayOptions(reject=False)

tcp_and_udp = pytest.mark.parametrize("kind", ["tcp", "udp"])


def beside_a_name(names: Names, real: str | None = None) -> Gateway:
    """Let Alice reach a name, and an address behind it directly."""
    gateway = gateway_for_alice(app(), CidrResource("db", real or names.real[0]), options=QUIET)
    resolve(gateway, names)
    return gateway


@tcp_and_udp
@both_names
def test_a_session_goes_on_although_its_name_resolves_to_nothing_whoever_asks_before(
    names: Names, kind: str
) -> None:
    for order in ((1, 2), (2, 1), (2, 1, 2, 1), (1, 1, 2, 2)):
        gateway = gateway_with(names, options=QUIET)
        assert gateway.handle_packet(OUTBOUND, names.sent(kind, 1)).allowed
        resolve(gateway, names, real=())
        outcomes = {
            1: through(names.sent(kind, 1, far=names.real[0])),
            2: Drop(Reason.NO_TRANSLATION, "alice"),
        }
        for number in order:
            decision = gateway.handle_packet(OUTBOUND, names.sent(kind, number))
            assert decision == outcomes[number]


@both_names
def test_want_of_room_in_the_nat_is_not_remembered(names: Names) -> None:
    gateway = gateway_with(names, options=GatewayOptions(max_sessions_per_client=1))
    for kind in ("tcp", "udp"):
        held = gateway.handle_packet(OUTBOUND, names.sent("udp", 1))
        assert held == through(names.sent("udp", 1, far=names.real[0]))
        assert gateway.handle_packet(OUTBOUND, names.sent(kind, 2)) == EXHAUSTED
        assert remembered(gateway) == (1, 0)
    # When there is room again, the next packet has it.
    later = gateway.handle_packet(OUTBOUND, names.sent("udp", 2), 60.0)
    assert later == through(names.sent("udp", 2, far=names.real[0]))


@tcp_and_udp
@both_names
def test_a_session_takes_over_one_flow_and_leaves_the_others(names: Names, kind: str) -> None:
    gateway = beside_a_name(names)
    numbers = (5401, 5402, 5403)
    for number in numbers:
        assert gateway.handle_packet(INBOUND, names.came(kind, number)) == PASSED
    assert gateway.handle_packet(OUTBOUND, names.sent(kind, 5402)).allowed
    for _ in range(2):
        decisions = [gateway.handle_packet(INBOUND, names.came(kind, one)) for one in numbers]
        taken_over = through(names.came(kind, 5402, far=names.proxies[0]))
        assert decisions == [PASSED, taken_over, PASSED]


@both_names
def test_only_what_may_be_of_a_session_goes_the_long_way(names: Names) -> None:
    gateway = beside_a_name(names)
    assert gateway.handle_packet(OUTBOUND, names.sent("udp", 443)).allowed
    for goes_long, one in (
        (True, names.came("udp", 443, port=5401)),
        (False, names.came("tcp", 443)),
        # The client's port counts, not the resource's.
        (False, names.came("udp", 5401, port=443)),
        (False, names.came("udp", 443, far=names.real[1])),
    ):
        assert needs_the_long_way(gateway, INBOUND, one) is goes_long
    direct = names.sent("udp", 443, far=names.real[0])
    assert not needs_the_long_way(gateway, OUTBOUND, direct)
    # Prepared is the one flow to the name.
    assert remembered(gateway) == (1 + 1, 2)


@pytest.mark.parametrize("forgets", [False, True])
@both_names
def test_how_an_inbound_flow_is_refused_depends_on_the_clients_port(
    names: Names, *, forgets: bool
) -> None:
    gateway = gateway_with(names, options=QUIET)
    assert gateway.handle_packet(OUTBOUND, names.sent(number=2)).allowed
    for now, expected in (
        (60.0 - TICK, through(names.came(number=2, far=names.proxies[0]))),
        # Nothing is prolonged by what comes late.
        (180.0, EXPIRED),
        (420.0 - 2 * TICK, EXPIRED),
        (420.0, GONE),
        (1e6, GONE),
    ):
        if forgets:
            gateway.handle_timeout(now)
        for _ in range(2):
            packets = [names.came(number=number) for number in (1, 2, 3)]
            decided = gateway.handle_packets(INBOUND, packets, now)
            assert decided == [GONE, expected, GONE]
            assert [gateway.handle_packet(INBOUND, one) for one in packets] == decided
    assert remembered(gateway) == (1, 1)


@both_names
def test_what_is_permitted_passes_also_after_its_session_has_ended(names: Names) -> None:
    gateway = beside_a_name(names)
    assert gateway.handle_packet(OUTBOUND, names.sent()).allowed
    for now in (60.0, 300.0, 1e6):
        assert gateway.handle_packet(INBOUND, names.came(), now) == PASSED
        gateway.authorize("alice", CidrResource("more", names.real[1]))
    assert gateway.handle_packet(OUTBOUND, names.sent()).allowed
    taken_over = through(names.came(far=names.proxies[0]))
    assert gateway.handle_packet(INBOUND, names.came()) == taken_over
