"""Section 4, what may be remembered: what is, what empties it, and what never is.

That a memory is invisible is tested elsewhere (test_client_remembered_flows.py). Here the
tests look inside: how many flows are remembered, outbound and inbound. The first packets of
flows have a file of their own (test_fresh.py), and so have packets that come together
(test_gateway_batches.py).
"""

import math
from collections.abc import Callable, Iterable
from typing import Any, Final

import pytest

from firezone_filter import (
    CidrResource,
    Direction,
    Drop,
    Forward,
    Gateway,
    GatewayOptions,
    Icmp,
    InternetResource,
    InvalidTime,
    Reason,
    Tcp,
    Translate,
    TunnelAddresses,
    Udp,
)
from firezone_filter.gateway.flow_cache import MAX_FLOWS
from firezone_filter.gateway.hooks import Hooks
from firezone_filter.gateway.judge import FreshDecisions
from tests.builders import (
    ACK,
    ESP,
    FIN,
    RST,
    SYN,
    Extension,
    destination_options,
    fragment,
    hop_by_hop,
    icmp_error,
    ip,
    patched,
    resized,
    tcp,
    udp,
)
from tests.scenes import (
    ALICE,
    BOB,
    INBOUND,
    OUTBOUND,
    V4,
    V6,
    Family,
    both_directions,
    both_families,
    gateway_for_alice,
    refusal,
)
from tests.translations import (
    N4,
    N6,
    NAME,
    TICK,
    Names,
    Shape,
    app,
    both_names,
    every_kind,
    gateway_with,
    resolve,
    through,
    without_checksum,
)

PASSED: Final = Forward("alice", "db")
MALFORMED: Final = Drop(Reason.MALFORMED, None)


def remembered(gateway: Gateway) -> tuple[int, int]:
    """Count the flows of all clients, outbound and inbound."""
    flows = gateway._site.flows
    return sum(map(len, flows.outbound)), sum(map(len, flows.inbound))


def decide_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let all fail that is not remembered."""
    for name in ("plain", "any"):
        monkeypatch.setattr(FreshDecisions, name, None)


class Alias(str):
    """Another class of text."""

    __slots__ = ()


def warm(*, options: GatewayOptions | None = None) -> Gateway:
    """Let TCP and UDP flows of Alice's through, of both families and in both directions."""
    resources = (V4.db(Tcp(443), Udp(53)), CidrResource("db6", V6.network), app())
    gateway = gateway_for_alice(*resources, options=options)
    for family in (V4, V6):
        for direction in (OUTBOUND, INBOUND):
            for packet in (family.tcp(direction), family.udp(direction)):
                assert gateway.handle_packet(direction, packet).allowed
    assert remembered(gateway) == (4, 4)
    return gateway


def bobs(family: Family, direction: Direction, port: int = 443) -> bytes:
    return tcp(family.flow(direction, port, near=family.neighbour))


def let_bob_through(gateway: Gateway) -> None:
    """Remember two flows of Bob's, one in each direction."""
    gateway.authorize("bob", V4.db())
    for direction in (OUTBOUND, INBOUND):
        assert gateway.handle_packet(direction, bobs(V4, direction)).allowed


# --- What is remembered --------------------------------------------------------------------


@both_directions
@both_families
def test_a_remembered_flow_gets_the_same_object(family: Family, direction: Direction) -> None:
    gateway = gateway_for_alice(family.db())
    for packet in (family.tcp(direction), family.udp(direction)):
        first = gateway.handle_packet(direction, packet)
        assert first == PASSED
        for again in (packet, bytearray(packet), memoryview(packet), resized(packet + b"more")):
            assert gateway.handle_packet(direction, again) is first
            assert gateway.handle_packet(direction, again, 1.0) is first
            assert gateway.handle_packet(direction, again, client_id="alice") is first
            assert gateway.handle_packets(direction, [again]) == [first]
    assert sum(remembered(gateway)) == 2


def test_what_a_buffer_holds_is_not_kept_after_the_call() -> None:
    gateway = gateway_for_alice(V4.db(Tcp(443)))
    buffer = bytearray(V4.tcp(OUTBOUND))
    assert gateway.handle_packet(OUTBOUND, buffer) == PASSED
    buffer[22:24] = b"\x01\xbc"
    assert refusal(gateway.handle_packet(OUTBOUND, buffer)) == Reason.TCP_PORT
    assert gateway.handle_packet(OUTBOUND, V4.tcp(OUTBOUND)) == PASSED


@both_directions
@both_families
def test_udp_and_tcp_with_the_same_ends_are_apart(family: Family, direction: Direction) -> None:
    gateway = gateway_for_alice(family.db(Tcp(443)))
    assert gateway.handle_packet(direction, family.tcp(direction)) == PASSED
    refused = gateway.handle_packet(direction, family.udp(direction, 443))
    assert refusal(refused) == Reason.UDP_PORT
    gateway = gateway_for_alice(family.db(Udp(443)))
    assert gateway.handle_packet(direction, family.udp(direction, 443)) == PASSED
    refused = gateway.handle_packet(direction, family.tcp(direction))
    assert refusal(refused) == Reason.TCP_PORT


@both_directions
@both_families
def test_flows_with_the_gateway_itself_are_remembered(
    family: Family, direction: Direction
) -> None:
    gateway = gateway_for_alice()
    packet = family.tcp(direction, far=family.gateway)
    first = gateway.handle_packet(direction, packet)
    assert first == Forward("alice", None)
    assert sum(remembered(gateway)) == 1
    assert gateway.handle_packet(direction, packet) is first


@both_directions
@both_families
def test_refused_packets_are_not_remembered_as_flows(family: Family, direction: Direction) -> None:
    gateway = gateway_for_alice(family.db(Tcp(443)))
    for packet in (
        family.tcp(direction, 444),
        family.udp(direction),
        family.tcp(direction, far=family.stranger),
        family.tcp(direction, far=family.neighbour),
        b"",
    ):
        assert not gateway.handle_packet(direction, packet).allowed
    assert remembered(gateway) == (0, 0)


@both_directions
@both_families
def test_translated_packets_are_not_remembered(family: Family, direction: Direction) -> None:
    names = N4 if family is V4 else N6
    gateway = gateway_for_alice(app())
    resolve(gateway, names)
    for kind in ("tcp", "udp", "echo"):
        assert gateway.handle_packet(OUTBOUND, names.sent(kind)).allowed
        packet = names.sent(kind) if direction is OUTBOUND else names.came(kind)
        assert gateway.handle_packet(direction, packet).allowed
    assert remembered(gateway) == (0, 0)


EXTENSIONS: list[tuple[Extension, ...]] = [(hop_by_hop(),), (destination_options(1),)]


@both_directions
def test_options_and_extension_headers_are_neither_remembered_nor_served(
    direction: Direction,
) -> None:
    shaped = [
        udp(V4.flow(direction, 53), options=b"\x01"),
        tcp(V4.flow(direction, 443), options=b"\x01" * 40),
        *(udp(V6.flow(direction, 53), extensions=one) for one in EXTENSIONS),
        fragment(udp(V6.flow(direction, 53)), 0, more=False),
    ]
    gateway = gateway_for_alice(V4.db(), CidrResource("db6", V6.network))
    for packet in shaped:
        assert gateway.handle_packet(direction, packet).allowed
    assert remembered(gateway) == (0, 0)


@both_directions
@both_families
def test_fragments_errors_and_other_protocols_are_not_remembered(
    family: Family, direction: Direction
) -> None:
    gateway = gateway_for_alice(family.db())
    datagram = family.udp(direction, size=40)
    quote = family.tcp(INBOUND if direction is OUTBOUND else OUTBOUND)
    for packet in (
        fragment(datagram, 0, 16),
        fragment(datagram, 16),
        icmp_error(family.flow(direction), 3 if family is V4 else 1, quoting=quote),
        ip(family.flow(direction), ESP, bytes(24)),
        family.echo(direction),
    ):
        assert gateway.handle_packet(direction, packet).allowed
    assert remembered(gateway) == (0, 0)


# --- What is never served ------------------------------------------------------------------


@both_directions
@both_families
def test_every_lie_about_the_length_of_a_remembered_flow_is_malformed(
    family: Family, direction: Direction
) -> None:
    gateway = warm()
    for packet in (family.tcp(direction), family.udp(direction)):
        for by in (-8, -1, 1, 0x100, 1_000):
            assert gateway.handle_packet(direction, resized(packet, by)) == MALFORMED
        assert gateway.handle_packet(direction, packet + b"\x00") == MALFORMED
        assert gateway.handle_packet(direction, packet[:-1]) == MALFORMED


@both_directions
@both_families
def test_a_remembered_flow_is_served_from_the_last_byte_of_its_fixed_part_on(
    family: Family, direction: Direction
) -> None:
    gateway = warm()
    header = 20 if family is V4 else 40
    for packet, part in ((family.tcp(direction), 20), (family.udp(direction), 8)):
        served = gateway.handle_packet(direction, packet)
        for size in range(header, header + part):
            assert gateway.handle_packet(direction, resized(packet[:size])) == MALFORMED
        assert gateway.handle_packet(direction, resized(packet[: header + part])) is served


@both_directions
def test_options_over_the_ports_of_a_remembered_flow_are_not_served(
    direction: Direction,
) -> None:
    gateway = warm()
    for words in (4, 6, 7, 10, 15):
        changed = patched(V4.tcp(direction), 0, bytes([0x40 | words]))
        assert gateway.handle_packet(direction, changed) == MALFORMED


@both_directions
@both_families
def test_a_fragment_of_a_remembered_flow_is_not_served(
    family: Family, direction: Direction
) -> None:
    gateway = warm()
    packet = family.udp(direction, size=40)
    assert gateway.handle_packet(direction, packet).allowed
    later = gateway.handle_packet(direction, fragment(packet, 16))
    assert later == Drop(Reason.FRAGMENT, "alice")


@pytest.mark.parametrize("position", [b"\x00\x01", b"\x10\x00", b"\x20\x01"])
@both_directions
def test_a_later_fragment_that_looks_like_a_remembered_flow_is_not_served(
    direction: Direction, position: bytes
) -> None:
    gateway = warm()
    disguised = patched(V4.udp(direction), 6, position)
    assert gateway.handle_packet(direction, disguised) == Drop(Reason.FRAGMENT, "alice")


def test_an_ipv6_packet_that_ends_inside_its_addresses_is_malformed() -> None:
    gateway = warm()
    for size in range(60):
        assert gateway.handle_packet(OUTBOUND, V6.tcp(OUTBOUND)[:size]) == MALFORMED


@pytest.mark.parametrize("version", [0, 1, 3, 5, 7, 15])
@both_families
def test_another_version_is_malformed(family: Family, version: int) -> None:
    gateway = warm()
    packet = family.tcp(OUTBOUND)
    changed = patched(packet, 0, bytes([version << 4 | packet[0] & 15]))
    assert gateway.handle_packet(OUTBOUND, changed) == MALFORMED


@both_families
def test_another_client_id_is_not_served(family: Family) -> None:
    gateway = warm()
    for direction, expected in (
        (OUTBOUND, Drop(Reason.SOURCE_NOT_ALLOWED, "bob")),
        (INBOUND, Drop(Reason.UNKNOWN_CLIENT, None)),
    ):
        packet = family.tcp(direction)
        assert gateway.handle_packet(direction, packet, client_id="bob") == expected
        unknown = gateway.handle_packet(direction, packet, client_id="carol")
        assert unknown == Drop(Reason.UNKNOWN_CLIENT, None)
        assert gateway.handle_packet(direction, packet, client_id="alice").allowed
    assert remembered(gateway) == (4, 4)


SAME: Final[dict[str, Any]] = {"none": None, "equal": "ALICE".lower(), "subclass": Alias("alice")}
"""Ids that are the client's, but not the very object that it was connected with."""


@pytest.mark.parametrize("client_id", SAME.values(), ids=SAME)
@both_directions
@both_families
def test_a_remembered_flow_is_not_decided_anew_whatever_object_the_id_is(
    family: Family,
    direction: Direction,
    client_id: str | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gateway = warm()
    decide_no_more(monkeypatch)
    for packet in (family.tcp(direction), family.udp(direction)):
        assert gateway.handle_packet(direction, packet, client_id=client_id).allowed
        (decision,) = gateway.handle_packets(direction, [packet], client_id=client_id)
        assert decision.allowed


@pytest.mark.parametrize("client_id", SAME.values(), ids=SAME)
@every_kind
@both_directions
@both_names
def test_a_prepared_flow_is_not_decided_anew_whatever_object_the_id_is(
    names: Names,
    direction: Direction,
    kind: str,
    client_id: str | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gateway = translating(names)
    decide_no_more(monkeypatch)
    packet, expected = arriving(names, direction, kind), through(going_on(names, direction, kind))
    assert gateway.handle_packet(direction, packet, client_id=client_id) == expected
    assert gateway.handle_packets(direction, [packet], client_id=client_id) == [expected]


# --- Time ----------------------------------------------------------------------------------


@both_directions
@both_families
def test_every_now_counts_on_a_remembered_flow(family: Family, direction: Direction) -> None:
    gateway = warm()
    packet = family.tcp(direction)
    served = gateway.handle_packet(direction, packet)
    gateway.update_expiry("alice", "app", 20.0)
    for now in (1, 2.0, None, 1, 0.5, -5, 3, 19.5):
        assert gateway.handle_packet(direction, packet, now) is served
    assert "app" in gateway.authorizations("alice")
    gateway.client_connected("carol", TunnelAddresses(V4.spare), 5.0)
    gateway.authorize("carol", V4.db(), expires_at=19.5)
    assert gateway.authorizations("carol") == {}


@pytest.mark.parametrize("now", [math.nan, math.inf, -math.inf, 10**400])
@both_directions
@both_families
def test_a_now_that_is_not_finite_raises_and_changes_nothing(
    family: Family, direction: Direction, now: float
) -> None:
    gateway = warm()
    with pytest.raises(InvalidTime):
        gateway.handle_packet(direction, family.tcp(direction), now)
    assert remembered(gateway) == (4, 4)
    gateway.authorize("alice", app(), expires_at=1.0)
    assert "app" in gateway.authorizations("alice")


@pytest.mark.parametrize("now", [True, False, "1", b"1", [1.0], 1j])
@both_directions
def test_a_now_of_another_type_raises(direction: Direction, now: Any) -> None:  # noqa: ANN401 - anything at all
    gateway = warm()
    with pytest.raises(TypeError):
        gateway.handle_packet(direction, V4.tcp(direction), now)
    assert remembered(gateway) == (4, 4)


@both_directions
def test_a_call_on_a_remembered_flow_that_raises_has_not_moved_time(
    direction: Direction,
) -> None:
    gateway = warm()
    anything: Any
    for anything in (7, b"alice"):
        with pytest.raises(TypeError):
            gateway.handle_packet(direction, V4.tcp(direction), 100.0, client_id=anything)
    with pytest.raises(TypeError):
        gateway.handle_packet(None, V4.tcp(direction), 100.0)  # type: ignore[arg-type]
    gateway.authorize("alice", app(), expires_at=50.0)
    assert "app" in gateway.authorizations("alice")


@both_directions
@both_families
def test_a_remembered_flow_starts_the_clock(family: Family, direction: Direction) -> None:
    gateway = gateway_for_alice(family.db(), now=None)
    packet = family.tcp(direction)
    served = gateway.handle_packet(direction, packet)
    with pytest.raises(InvalidTime):
        gateway.authorize("bob", family.db(), expires_at=5.0)
    assert gateway.handle_packet(direction, packet, -100.0) is served
    gateway.authorize("bob", family.db(), expires_at=-50.0)
    assert gateway.handle_packet(direction, packet, -50.0) is served
    assert gateway.authorizations("bob") == {}


@both_directions
@both_families
def test_a_remembered_flow_expires_what_is_due_for_others(
    family: Family, direction: Direction
) -> None:
    for now, expected in ((10.0 - TICK, {"db": 10.0}), (10.0, {}), (10, {})):
        gateway = warm()
        gateway.authorize("bob", V4.db(), expires_at=10.0)
        assert gateway.handle_packet(direction, family.tcp(direction), now).allowed
        assert gateway.authorizations("bob") == expected


ONE: Final = 5.0
"""A moment that comes as the very same object, as it does from a host that reads the clock
once for many packets."""

BRING: Final[list[Callable[[Gateway, float], object]]] = [
    lambda gateway, now: gateway.handle_timeout(now),
    lambda gateway, now: gateway.handle_packet(OUTBOUND, b"", now),
    lambda gateway, now: gateway.handle_packets(INBOUND, [], now),
    lambda gateway, now: gateway.client_connected("bob", BOB, now),
]
"""Calls that bring a `now`."""

AT_FIVE: Final = {"same": ONE, "equal": float("5.0"), "int": 5, "earlier": 4.0}


def time_of(gateway: Gateway) -> float:
    """Return the latest `now` that a gateway has seen."""
    return gateway._now


@pytest.mark.parametrize("now", AT_FIVE.values(), ids=AT_FIVE)
@both_directions
@both_families
def test_the_same_now_again_is_the_same_moment_whatever_object_it_is(
    family: Family, direction: Direction, now: float
) -> None:
    gateway = warm()
    gateway.authorize("bob", V4.db(), expires_at=5.5)
    for known in (family.tcp(direction), family.tcp(direction, 444), b""):
        for moment in (ONE, now, ONE, now):
            gateway.handle_packet(direction, known, moment)
            assert time_of(gateway) == 5.0
    assert gateway.authorizations("bob") == {"db": 5.5}
    gateway.handle_packet(direction, family.tcp(direction), 5.5)
    assert gateway.authorizations("bob") == {}


@both_directions
def test_the_very_now_of_the_packet_before_is_not_reckoned_with_twice(
    direction: Direction, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway, now = warm(), int("1000000")
    gateway.handle_packet(direction, V4.tcp(direction), now)
    monkeypatch.setattr(Hooks, "_advance", None)
    for packet in (V4.tcp(direction), V4.tcp(direction, 444), b""):
        gateway.handle_packet(direction, packet, now)
    # An equal one is, where it is no float; and so is any other.
    with pytest.raises(TypeError, match="not callable"):
        gateway.handle_packet(direction, V4.tcp(direction), int("1000000"))


@pytest.mark.parametrize("now", AT_FIVE.values(), ids=AT_FIVE)
@both_directions
def test_a_now_that_was_there_before_does_not_turn_time_back(
    direction: Direction, now: float
) -> None:
    for bring in BRING:
        gateway = warm()
        gateway.handle_packet(direction, V4.tcp(direction), ONE)
        bring(gateway, 9.0)
        for moment in (now, ONE):
            assert gateway.handle_packet(direction, V4.tcp(direction), moment).allowed
            assert time_of(gateway) == 9.0
        gateway.authorize("bob", V4.db(), expires_at=9.0)
        assert gateway.authorizations("bob") == {}


@both_directions
@both_families
def test_what_ends_at_a_now_that_was_there_before_has_ended(
    family: Family, direction: Direction
) -> None:
    for now in AT_FIVE.values():
        gateway = gateway_for_alice(family.db(), options=GatewayOptions(reject=False))
        packet = family.tcp(direction)
        assert gateway.handle_packet(direction, packet, ONE) == PASSED
        gateway.update_expiry("alice", "db", 5.0)
        decision = gateway.handle_packet(direction, packet, now)
        assert decision == Drop(Reason.NO_RESOURCE, "alice")


@pytest.mark.parametrize("first", [0.0, 0, -0.0])
@both_directions
def test_the_first_now_may_be_zero(direction: Direction, first: float) -> None:
    gateway = gateway_for_alice(V4.db(), now=None)
    with pytest.raises(InvalidTime):
        gateway.authorize("bob", V4.db(), expires_at=5.0)
    for now in (first, first, 0.0):
        assert gateway.handle_packet(direction, V4.tcp(direction), now) == PASSED
    gateway.authorize("bob", V4.db(), expires_at=5.0)
    assert gateway.authorizations("bob") == {"db": 5.0}


@both_directions
def test_a_now_that_raised_once_raises_again(direction: Direction) -> None:
    gateway = warm()
    wrong: Any
    for wrong, error in ((math.nan, InvalidTime), (math.inf, InvalidTime), (True, TypeError)):
        for _ in range(2):
            with pytest.raises(error):
                gateway.handle_packet(direction, V4.tcp(direction), wrong)
    assert time_of(gateway) == 0.0


@both_directions
def test_arguments_are_checked_also_at_a_now_that_was_there_before(direction: Direction) -> None:
    gateway = warm()
    anything: Any
    for packet in (V4.tcp(direction), V4.tcp(direction, 444), V4.echo(direction), b""):
        gateway.handle_packet(direction, packet, ONE)
        for anything in (7, b"alice", ("alice",)):
            with pytest.raises(TypeError):
                gateway.handle_packet(direction, packet, ONE, client_id=anything)
        for anything in ("outbound", None, True):
            with pytest.raises(TypeError):
                gateway.handle_packet(anything, packet, ONE)
        for anything in ("packet", 7, None):
            with pytest.raises(TypeError):
                gateway.handle_packet(direction, anything, ONE)


# --- What empties it -----------------------------------------------------------------------


def test_cache_is_emptied_by_client_connected() -> None:
    gateway = warm()
    gateway.client_connected("alice", ALICE)
    assert remembered(gateway) == (0, 0)


def test_cache_is_emptied_by_client_disconnected() -> None:
    gateway = warm()
    gateway.client_disconnected("alice")
    assert remembered(gateway) == (0, 0)


@pytest.mark.parametrize(
    "resource",
    [V4.db(Tcp(443), Udp(53)), V4.db(), CidrResource("new", V4.network), InternetResource("net")],
)
def test_cache_is_emptied_by_authorize(resource: CidrResource | InternetResource) -> None:
    gateway = warm()
    gateway.authorize("alice", resource)
    assert remembered(gateway) == (0, 0)


def test_cache_is_emptied_by_revoke() -> None:
    for resource_id in ("db", "db6", "app"):
        gateway = warm()
        gateway.revoke("alice", resource_id)
        assert remembered(gateway) == (0, 0)


def test_cache_is_emptied_by_update_resource() -> None:
    for resource in (V4.db(), V4.db(Tcp(443), Udp(53)), app(Tcp())):
        gateway = warm()
        gateway.update_resource(resource)
        assert remembered(gateway) == (0, 0)


def test_cache_is_emptied_by_update_expiry_that_ends() -> None:
    for expires_at in (0.0, -1.0):
        gateway = warm()
        gateway.update_expiry("alice", "app", expires_at)
        assert remembered(gateway) == (0, 0)


def test_cache_is_emptied_by_authorize_that_ends_at_once() -> None:
    gateway = warm()
    gateway.authorize("alice", app(), expires_at=0.0)
    assert remembered(gateway) == (0, 0)


def test_cache_is_emptied_by_retain_authorizations() -> None:
    for kept in ({}, {"alice": {"db", "app"}}, {"bob": {"db", "db6", "app"}}):
        gateway = warm()
        gateway.retain_authorizations(kept)
        assert remembered(gateway) == (0, 0)


@pytest.mark.parametrize("bring", BRING)
def test_cache_is_emptied_by_expiry(bring: Callable[[Gateway, float], object]) -> None:
    gateway = warm()
    gateway.update_expiry("alice", "app", 10.0)
    bring(gateway, 10.0 - TICK)
    assert remembered(gateway) == (4, 4)
    bring(gateway, 10.0)
    assert remembered(gateway) == (0, 0)


def test_cache_is_emptied_by_domain_resolved() -> None:
    for proxies in ((), N4.proxies[:1]):
        gateway = warm()
        resolve(gateway, N4, proxies=proxies)
        assert remembered(gateway) == (0, 0)


def test_cache_is_emptied_by_set_addresses_for_all_clients() -> None:
    gateway = warm()
    let_bob_through(gateway)
    gateway.set_addresses(TunnelAddresses(V4.spare, V6.spare))
    assert remembered(gateway) == (0, 0)


def gateway_beside_a_name(direct: str) -> Gateway:
    """Authorize an address both directly and as what stands behind a name."""
    gateway = gateway_for_alice(app(), CidrResource("direct", direct))
    for names in (N4, N6):
        resolve(gateway, names)
    return gateway


@both_families
def test_cache_of_inbound_flows_is_emptied_by_a_new_session(family: Family) -> None:
    names = N4 if family is V4 else N6
    gateway = gateway_beside_a_name(names.real[0])
    direct = (
        (OUTBOUND, names.sent(far=names.real[0])),
        (INBOUND, names.came()),
        (INBOUND, names.came("tcp")),
    )
    for direction, packet in direct:
        assert gateway.handle_packet(direction, packet) == Forward("alice", "direct")
    assert remembered(gateway) == (1, 2)
    assert gateway.handle_packet(OUTBOUND, names.sent()).allowed
    assert remembered(gateway) == (1, 0)
    decision = gateway.handle_packet(INBOUND, names.came())
    assert decision.to_send(b"") == names.came(far=names.proxies[0])
    tcp_again = gateway.handle_packet(INBOUND, names.came("tcp"))
    assert tcp_again == Forward("alice", "direct")


@both_families
def test_cache_is_left_alone_by_packets_of_a_session_that_lives(family: Family) -> None:
    names = N4 if family is V4 else N6
    gateway = gateway_beside_a_name(names.real[0])
    assert gateway.handle_packet(OUTBOUND, names.sent()).allowed
    assert gateway.handle_packet(INBOUND, names.came("tcp")).allowed
    assert gateway.handle_packet(OUTBOUND, names.sent()).allowed
    assert not gateway.handle_packet(OUTBOUND, names.sent(far=names.proxies[1])).allowed
    assert remembered(gateway) == (0, 1)


@both_families
def test_direct_flows_are_remembered_again_when_the_session_is_over(family: Family) -> None:
    names = N4 if family is V4 else N6
    gateway = gateway_beside_a_name(names.real[0])
    assert gateway.handle_packet(OUTBOUND, names.sent()).allowed
    for _ in range(2):
        decision = gateway.handle_packet(INBOUND, names.came(), 60.0)
        assert decision == Forward("alice", "direct")
    assert remembered(gateway) == (0, 1)


# --- What leaves it alone ------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        lambda gateway: gateway.update_expiry("alice", "app", 10.0),
        lambda gateway: gateway.update_expiry("alice", "app", None),
        lambda gateway: gateway.update_expiry("alice", "nothing", 0.0),
        lambda gateway: gateway.revoke("alice", "nothing"),
        lambda gateway: gateway.revoke("bob", "db"),
        lambda gateway: gateway.update_resource(CidrResource("nothing", "10.9.0.0/16")),
        lambda gateway: gateway.retain_authorizations({"alice": {"db", "db6", "app", "more"}}),
        lambda gateway: gateway.client_disconnected("nobody"),
        lambda gateway: gateway.handle_timeout(1e6),
        lambda gateway: gateway.handle_packet(OUTBOUND, b"", 1e6),
    ],
)
def test_what_changes_nothing_for_a_client_leaves_its_cache_alone(
    change: Callable[[Gateway], object],
) -> None:
    gateway = warm()
    change(gateway)
    assert remembered(gateway) == (4, 4)


@pytest.mark.parametrize(
    "change",
    [
        lambda gateway: gateway.client_connected("bob", BOB),
        lambda gateway: gateway.client_disconnected("bob"),
        lambda gateway: gateway.authorize("bob", V4.db()),
        lambda gateway: gateway.revoke("bob", "db"),
        lambda gateway: gateway.update_expiry("bob", "db", 0.0),
        lambda gateway: gateway.retain_authorizations({"alice": {"db", "db6", "app"}}),
    ],
)
def test_what_changes_for_one_client_leaves_the_cache_of_another_alone(
    change: Callable[[Gateway], object],
) -> None:
    gateway = warm()
    let_bob_through(gateway)
    assert remembered(gateway) == (5, 5)
    change(gateway)
    assert remembered(gateway) == (4, 4)


# --- How much ------------------------------------------------------------------------------


def numbered(direction: Direction, kind: str, numbers: Iterable[int]) -> list[bytes]:
    build = tcp if kind == "tcp" else udp
    return [build(V4.flow(direction, number)) for number in numbers]


def quiet(*resources: CidrResource) -> Gateway:
    return gateway_for_alice(*resources, options=GatewayOptions(reject=False))


@pytest.mark.parametrize("kind", ["tcp", "udp"])
@both_directions
def test_as_many_flows_are_remembered_as_may_be_and_the_oldest_goes_first(
    direction: Direction, kind: str
) -> None:
    gateway = quiet(V4.db())
    flows = gateway._site.flows
    tables = flows.outbound if direction is OUTBOUND else flows.inbound
    table = tables[6 if kind == "tcp" else 17]
    packets = numbered(direction, kind, range(MAX_FLOWS + 1))
    assert gateway.handle_packets(direction, packets[:MAX_FLOWS]) == [PASSED] * MAX_FLOWS
    assert len(table) == MAX_FLOWS
    assert packets[0][12:24] in table
    assert gateway.handle_packet(direction, packets[MAX_FLOWS]) == PASSED
    assert len(table) == MAX_FLOWS
    assert packets[0][12:24] not in table
    assert packets[1][12:24] in table
    assert gateway.handle_packet(direction, packets[0]) == PASSED


def test_tcp_and_udp_together_are_the_4096_of_the_design() -> None:
    gateway = quiet(V4.db())
    for direction in (OUTBOUND, INBOUND):
        for kind in ("tcp", "udp"):
            gateway.handle_packets(direction, numbered(direction, kind, range(5_000)))
    assert remembered(gateway) == (4_096, 4_096)


def test_both_families_share_the_places_of_a_client() -> None:
    gateway = quiet(V4.db(), CidrResource("db6", V6.network))
    six = udp(V6.flow(OUTBOUND, 53))
    assert gateway.handle_packet(OUTBOUND, six).allowed
    gateway.handle_packets(OUTBOUND, numbered(OUTBOUND, "udp", range(MAX_FLOWS)))
    assert remembered(gateway) == (MAX_FLOWS, 0)
    assert six[8:44] not in gateway._site.flows.outbound[17]


@both_directions
def test_no_client_pushes_out_anothers_flows(direction: Direction) -> None:
    gateway = quiet(V4.db())
    let_bob_through(gateway)
    gateway.handle_packets(direction, numbered(direction, "tcp", range(5_000)))
    flows = gateway._site.flows
    tables = flows.outbound if direction is OUTBOUND else flows.inbound
    assert bobs(V4, direction)[12:24] in tables[6]
    assert sum(remembered(gateway)) == MAX_FLOWS + 2


@both_directions
def test_refused_packets_push_nothing_out(direction: Direction) -> None:
    gateway = quiet(V4.db(Udp("0-2047")))
    gateway.handle_packets(direction, numbered(direction, "udp", range(MAX_FLOWS)))
    gateway.handle_packets(direction, numbered(direction, "udp", range(MAX_FLOWS, 8_000)))
    flows = gateway._site.flows
    tables = flows.outbound if direction is OUTBOUND else flows.inbound
    first, last = numbered(direction, "udp", (0, MAX_FLOWS - 1))
    assert len(tables[17]) == MAX_FLOWS
    assert first[12:24] in tables[17]
    assert last[12:24] in tables[17]


# --- What goes through the NAT -------------------------------------------------------------


def translated_flows(gateway: Gateway) -> tuple[int, int]:
    """Count the flows for which a translation is prepared, outbound and inbound."""
    flows = gateway._site.flows
    return sum(map(len, flows.prepared_outbound)), sum(map(len, flows.prepared_inbound))


def translating(names: Names, *, options: GatewayOptions | None = None) -> Gateway:
    """Let TCP, UDP and echoes through the NAT, two packets each way."""
    gateway = gateway_with(names, Tcp("443-444"), Udp("443-444"), Icmp(), options=options)
    for kind in ("tcp", "udp", "echo") * 2:
        assert gateway.handle_packet(OUTBOUND, names.sent(kind)).allowed
        assert gateway.handle_packet(INBOUND, names.came(kind)).allowed
    assert translated_flows(gateway) == (3, 3)
    assert remembered(gateway) == (0, 0)
    return gateway


def arriving(names: Names, direction: Direction, kind: str = "udp", data: bytes = b"") -> bytes:
    build = names.sent if direction is OUTBOUND else names.came
    return build(kind, payload=data)


def going_on(names: Names, direction: Direction, kind: str = "udp", data: bytes = b"") -> bytes:
    if direction is OUTBOUND:
        return names.sent(kind, far=names.real[0], payload=data)
    return names.came(kind, far=names.proxies[0], payload=data)


tcp_and_udp = pytest.mark.parametrize("kind", ["tcp", "udp"])


@pytest.mark.parametrize("data", [b"", b"o", b"odd", b"even", bytes(range(256)) * 5])
@every_kind
@both_directions
@both_names
def test_an_established_translated_flow_is_rewritten_like_its_first_packet(
    names: Names, direction: Direction, kind: str, data: bytes
) -> None:
    gateway = translating(names)
    packet = arriving(names, direction, kind, data)
    expected = through(going_on(names, direction, kind, data))
    for again in (packet, bytearray(packet), memoryview(packet)):
        assert gateway.handle_packet(direction, again) == expected
        assert gateway.handle_packet(direction, again, client_id="alice") == expected
        assert gateway.handle_packets(direction, [again]) == [expected]


@both_directions
@both_names
def test_a_changed_port_is_rewritten_in_an_established_flow_too(
    names: Names, direction: Direction
) -> None:
    gateway = translating(names)
    resolve(gateway, names, proxies=names.proxies[1:2])
    second = names.proxies[1]
    for _ in range(3):
        sent = gateway.handle_packet(OUTBOUND, names.sent(far=second, payload=b"odd"))
        assert sent == through(names.sent(number=5402, far=names.real[0], payload=b"odd"))
        came = gateway.handle_packet(INBOUND, names.came(number=5402, payload=b"odd"))
        assert came == through(names.came(far=second, payload=b"odd"))
    assert translated_flows(gateway) == (1, 1)
    assert gateway.handle_packet(direction, arriving(names, direction)).allowed


@both_directions
@both_names
def test_an_established_translated_flow_keeps_its_checksum_of_zero(
    names: Names, direction: Direction
) -> None:
    gateway = translating(names)
    packet = without_checksum(arriving(names, direction))
    expected = through(without_checksum(going_on(names, direction)))
    assert gateway.handle_packet(direction, packet) == expected


@both_names
def test_an_established_flow_sends_ones_for_a_checksum_that_would_become_zero(
    names: Names,
) -> None:
    gateway = translating(names)
    place = (20 if names is N4 else 40) + 6
    data = names.sent(far=names.real[0], payload=bytes(2))[place : place + 2]
    decision = gateway.handle_packet(OUTBOUND, names.sent(payload=data))
    assert decision == through(names.sent(far=names.real[0], payload=data))
    assert isinstance(decision, Translate)
    assert decision.packet[place : place + 2] == b"\xff\xff"


@every_kind
@both_directions
@both_names
def test_an_established_translated_flow_is_checked_like_any_other(
    names: Names, direction: Direction, kind: str
) -> None:
    gateway = translating(names)
    packet = arriving(names, direction, kind)
    header, part = (20 if names is N4 else 40), (20 if kind == "tcp" else 8)
    for size in range(len(packet)):
        assert gateway.handle_packet(direction, packet[:size]) == MALFORMED
    for size in range(header, header + part):
        assert gateway.handle_packet(direction, resized(packet[:size])) == MALFORMED
    for by in (-8, -1, 1, 0x100):
        assert gateway.handle_packet(direction, resized(packet, by)) == MALFORMED
    later = fragment(arriving(names, direction, kind, bytes(40)), 24)
    assert gateway.handle_packet(direction, later) == Drop(Reason.FRAGMENT, "alice")
    assert gateway.handle_packet(direction, packet).allowed


@every_kind
@both_names
def test_another_client_id_gets_no_translation_of_an_established_flow(
    names: Names, kind: str
) -> None:
    gateway = translating(names)
    for direction, expected in (
        (OUTBOUND, Drop(Reason.SOURCE_NOT_ALLOWED, "bob")),
        (INBOUND, Drop(Reason.UNKNOWN_CLIENT, None)),
    ):
        packet = arriving(names, direction, kind)
        assert gateway.handle_packet(direction, packet, client_id="bob") == expected
        assert gateway.handle_packets(direction, [packet], client_id="bob") == [expected]


@both_names
def test_options_extension_headers_and_fragments_are_translated_but_not_remembered(
    names: Names,
) -> None:
    gateway = gateway_with(names)
    shape: Shape = {"options": b"\x01" * 20} if names is N4 else {"extensions": (hop_by_hop(),)}
    for _ in range(2):
        for direction, packet in (
            (OUTBOUND, names.sent(**shape)),
            (INBOUND, names.came(**shape)),
            (OUTBOUND, names.sent("echo", **shape)),
            (INBOUND, names.came("echo", **shape)),
            (OUTBOUND, fragment(names.sent(payload=bytes(40)), 0, 16)),
            (INBOUND, fragment(names.came(payload=bytes(40)), 0, 16)),
        ):
            assert isinstance(gateway.handle_packet(direction, packet), Translate)
    assert translated_flows(gateway) == (0, 0)


@every_kind
@both_directions
@both_names
def test_packets_of_an_established_flow_prolong_its_session_until_it_is_over(
    names: Names, direction: Direction, kind: str
) -> None:
    lifetime = 7_440.0 if kind == "tcp" else 120.0
    packet = arriving(names, direction, kind)
    for later, expected in (
        (lifetime - TICK, through(names.came(kind, far=names.proxies[0]))),
        (lifetime, Drop(Reason.EXPIRED_NAT_SESSION, "alice")),
    ):
        gateway = translating(names)
        assert gateway.handle_packet(direction, packet, 100.0).allowed
        assert gateway.handle_packet(INBOUND, names.came(kind), 100.0 + later) == expected


@both_names
def test_an_established_flow_out_begins_another_session_when_its_own_is_over(
    names: Names,
) -> None:
    gateway = translating(names)
    gateway.domain_resolved(
        "alice", "app", NAME, proxy_addresses=names.proxies[:1], resolved_addresses=names.real[1:2]
    )
    assert gateway.handle_packet(OUTBOUND, names.sent()) == through(names.sent(far=names.real[0]))
    out_again = gateway.handle_packet(OUTBOUND, names.sent(), 120.0)
    assert out_again == through(names.sent(far=names.real[1]))
    back = gateway.handle_packet(INBOUND, names.came(far=names.real[1]))
    assert back == through(names.came(far=names.proxies[0]))


@both_directions
@both_names
def test_a_reset_in_an_established_flow_ends_it_at_once(
    names: Names, direction: Direction
) -> None:
    gateway = translating(names)
    build = names.sent if direction is OUTBOUND else names.came
    assert gateway.handle_packet(direction, build("tcp", flags=RST)).allowed
    ended = Drop(Reason.EXPIRED_NAT_SESSION, "alice")
    assert gateway.handle_packet(INBOUND, names.came("tcp")) == ended
    assert gateway.handle_packet(INBOUND, names.came("udp")).allowed


@both_names
def test_fins_in_an_established_flow_close_it_and_a_syn_starts_it_anew(names: Names) -> None:
    for flags, ends in ((ACK, 5.0), (SYN, 60.0)):
        for now, expected in ((ends - TICK, None), (ends, Reason.EXPIRED_NAT_SESSION)):
            gateway = translating(names)
            gateway.handle_packet(OUTBOUND, names.sent("tcp", flags=FIN))
            gateway.handle_packet(INBOUND, names.came("tcp", flags=FIN))
            gateway.handle_packet(OUTBOUND, names.sent("tcp", flags=flags))
            assert refusal(gateway.handle_packet(INBOUND, names.came("tcp"), now)) == expected


@both_names
def test_a_second_port_of_the_resource_is_another_flow_of_the_same_session(names: Names) -> None:
    gateway = translating(names)
    for _ in range(2):
        assert gateway.handle_packet(OUTBOUND, names.sent("tcp", port=444)).allowed
    assert gateway.handle_packet(OUTBOUND, names.sent("tcp", flags=RST)).allowed
    back = gateway.handle_packet(INBOUND, names.came("tcp"))
    assert back == through(names.came("tcp", far=names.proxies[0]))
    assert translated_flows(gateway) == (4, 3)


NAT_MUTATORS: dict[str, Callable[[Gateway, Names], object]] = {
    "client_connected": lambda gateway, _: gateway.client_connected("alice", ALICE),
    "client_disconnected": lambda gateway, _: gateway.client_disconnected("alice"),
    "authorize": lambda gateway, _: gateway.authorize("alice", V4.db()),
    "revoke": lambda gateway, _: gateway.revoke("alice", "app"),
    "update_resource": lambda gateway, _: gateway.update_resource(app(Tcp(444))),
    "update_expiry": lambda gateway, _: gateway.update_expiry("alice", "app", 0.0),
    "retain_authorizations": lambda gateway, _: gateway.retain_authorizations({}),
    "domain_resolved": resolve,
    "set_addresses": lambda gateway, _: gateway.set_addresses(TunnelAddresses(V4.spare)),
}


@pytest.mark.parametrize("mutator", NAT_MUTATORS)
@both_names
def test_cache_of_translated_flows_is_emptied_by(names: Names, mutator: str) -> None:
    gateway = translating(names)
    NAT_MUTATORS[mutator](gateway, names)
    assert translated_flows(gateway) == (0, 0)


@both_names
def test_cache_of_translated_flows_is_emptied_by_expiry(names: Names) -> None:
    gateway = translating(names)
    gateway.update_expiry("alice", "app", 10.0)
    gateway.handle_timeout(10.0 - TICK)
    assert translated_flows(gateway) == (3, 3)
    gateway.handle_timeout(10.0)
    assert translated_flows(gateway) == (0, 0)


@both_directions
@both_names
def test_a_translated_flow_does_not_outlive_its_permission(
    names: Names, direction: Direction
) -> None:
    gateway = translating(names)
    gateway.update_resource(app(Tcp(444), Udp(444)))
    for kind, reason in (
        ("tcp", Reason.TCP_PORT),
        ("udp", Reason.UDP_PORT),
        ("echo", Reason.ICMP),
    ):
        packet = arriving(names, direction, kind)
        assert refusal(gateway.handle_packet(direction, packet)) == reason


@tcp_and_udp
@both_directions
def test_as_many_translated_flows_are_remembered_as_may_be_and_all_are_judged_alike(
    direction: Direction, kind: str
) -> None:
    gateway = gateway_with(N4)
    assert gateway.handle_packet(OUTBOUND, N4.sent(kind)).allowed
    build = N4.sent if direction is OUTBOUND else N4.came
    ends = N4.real[0] if direction is OUTBOUND else N4.proxies[0]
    for _ in range(2):
        for port in range(MAX_FLOWS + 3):
            expected = through(build(kind, port=port, far=ends))
            assert gateway.handle_packet(direction, build(kind, port=port)) == expected
    assert max(translated_flows(gateway)) == MAX_FLOWS


@both_names
def test_translated_flows_push_out_no_direct_ones(names: Names) -> None:
    gateway = gateway_with(names, options=GatewayOptions(reject=False))
    gateway.authorize("alice", names.family.db())
    assert gateway.handle_packet(OUTBOUND, names.family.udp(OUTBOUND)).allowed
    for port in range(MAX_FLOWS + 3):
        assert gateway.handle_packet(OUTBOUND, names.sent(port=port)).allowed
    assert remembered(gateway) == (1, 0)


@both_names
def test_a_direct_flow_takes_over_when_the_session_is_over_and_gives_way_to_a_new_one(
    names: Names,
) -> None:
    gateway = translating(names)
    gateway.authorize("alice", CidrResource("direct", names.real[0]))
    delivered = through(names.came(far=names.proxies[0]))
    direct = Forward("alice", "direct")
    assert [gateway.handle_packet(INBOUND, names.came()) for _ in range(2)] == [delivered] * 2
    gateway.handle_timeout(120.0)
    assert [gateway.handle_packet(INBOUND, names.came()) for _ in range(2)] == [direct] * 2
    assert gateway.handle_packet(OUTBOUND, names.sent()).allowed
    assert [gateway.handle_packet(INBOUND, names.came()) for _ in range(2)] == [delivered] * 2
