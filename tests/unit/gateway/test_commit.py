"""What follows from a ruling, where no decision shows it at once: the commit."""

from itertools import product
from typing import Any

import pytest

from firezone_filter import (
    CidrResource,
    Direction,
    Drop,
    Forward,
    Gateway,
    GatewayOptions,
    Reason,
    Tcp,
    Translate,
)
from firezone_filter.gateway.flow_cache import HANDLERS, INBOUND, OUTBOUND
from firezone_filter.nat.flows import TranslatedFlow
from firezone_filter.testing import fragment, hop_by_hop, icmp_error, ip, patched, udp
from tests.numbers import ESP, TCP, UDP
from tests.scenes import INBOUND as IN
from tests.scenes import OUTBOUND as OUT
from tests.scenes import V4, V6, Family, gateway_for_alice
from tests.translations import N4, N6, Names, app, both_names, every_kind, resolve, through
from tests.unit.gateway.everything import (
    NOT_RECORDED,
    NOW,
    RECORDED,
    cases,
    gateway_with_everything,
)
from tests.unit.reading import key_of, read

both_options = pytest.mark.parametrize(
    "options", [NOT_RECORDED, RECORDED], ids=["plain", "recorded"]
)


NUMBERS = {"tcp": TCP, "udp": UDP, "echo": 0}
"""Protocol numbers; of echoes none, since only translated ones are remembered."""


def gateway_for(options: GatewayOptions) -> Gateway:
    gateway = gateway_for_alice(
        *(CidrResource(f"db{one.version}", one.network) for one in (V4, V6)),
        app(),
        options=options,
    )
    for names in (N4, N6):
        resolve(gateway, names)
        for kind in ("tcp", "udp", "echo"):
            gateway.handle_packet(OUT, names.sent(kind, 1))
    for client in gateway._clients.by_id.values():
        client.flow_cache.invalidate()
    return gateway


def name_of_type(value: object) -> str:
    return (TranslatedFlow if isinstance(value, TranslatedFlow) else type(value)).__name__


def stored(gateway: Gateway) -> dict[int, dict[bytes, str]]:
    """Return what the flow cache has, by table: the names of types in place of values."""
    return {
        table: {key: name_of_type(value) for shard in shards for key, value in shard.items()}
        for table, shards in gateway._context.flow_cache.tables.items()
        if any(shards)
    }


def tables(gateway: Gateway) -> list[list[dict[bytes, Any]]]:
    """Return a copy of the tables that have any entry."""
    return [
        [flows.copy() for flows in shards]
        for shards in gateway._context.flow_cache.tables.values()
        if any(shards)
    ]


@both_options
@pytest.mark.parametrize("way", [OUT, IN], ids=["outbound", "inbound"])
@pytest.mark.parametrize("kind", ["tcp", "udp", "echo"])
@pytest.mark.parametrize("names", [N4, N6], ids=str)
def test_whole_packets_are_remembered_by_decision_or_handler(
    names: Names, kind: str, way: Direction, options: GatewayOptions
) -> None:
    family, table = names.family, OUTBOUND if way is OUT else INBOUND
    build = names.sent if way is OUT else names.came
    for packet, value in (
        (getattr(family, kind)(way), "Forward"),
        (getattr(family, kind)(way, far=family.gateway), "Own"),
        (build(kind, 1), "TranslatedFlow"),
    ):
        gateway = gateway_for(options)
        assert gateway.handle_packet(way, packet).allowed
        protocol = read(packet).protocol
        found = stored(gateway)
        if value != "TranslatedFlow" and (
            value == "Own" or kind == "echo" or options is NOT_RECORDED
        ):
            # An echo is remembered only where it is translated.
            remembered = {key_of(packet): "Forward"}
            assert found == ({} if kind == "echo" else {table + protocol: remembered})
            continue
        assert list(found) == [table + HANDLERS + protocol]
        ((key, handler),) = found[table + HANDLERS + protocol].items()
        assert key == key_of(packet)
        if value == "TranslatedFlow":
            assert handler == (value if options is NOT_RECORDED else "Joined")
        else:
            assert handler == "_Counted"


@both_options
@pytest.mark.parametrize("way", [OUT, IN], ids=["outbound", "inbound"])
def test_nothing_else_that_passes_is_remembered(way: Direction, options: GatewayOptions) -> None:
    other = IN if way is OUT else OUT
    gateway = gateway_for(options)
    first = udp(V4.flow(way, 53), bytes(64))
    for packet in (
        ip(V4.flow(way), ESP, bytes(24)),
        udp(V4.flow(way, 53), options=b"\x01"),
        udp(V6.flow(way, 53), extensions=[hop_by_hop()]),
        icmp_error(V4.flow(way), 3, quoting=V4.udp(other)),
        fragment(first, 0, 24),
        fragment(first, 24),
    ):
        assert gateway.handle_packet(way, packet).allowed
        assert stored(gateway) == {}


@both_options
def test_a_refused_packet_stores_nothing(options: GatewayOptions) -> None:
    gateway = gateway_with_everything(options)
    for case in cases():
        before = tables(gateway)
        if not gateway.handle_packet(case.direction, case.packet, NOW, case.client_id).allowed:
            assert tables(gateway) == before


@both_options
def test_the_decision_is_the_one_that_the_judge_gives(options: GatewayOptions) -> None:
    gateway = gateway_with_everything(options)
    for way, packet, client_id in cases():
        ruling = gateway._judge.judge(way, packet, NOW, client_id)
        assert gateway.handle_packet(way, packet, NOW, client_id) == ruling.decision


@both_options
@pytest.mark.parametrize("family", [V4, V6], ids=str)
def test_a_packet_of_another_protocol_is_never_of_a_remembered_flow(
    family: Family, options: GatewayOptions
) -> None:
    gateway = gateway_for(options)
    flows = [build(way) for build in (family.tcp, family.udp) for way in (OUT, IN)]
    for number, packet in enumerate(flows):
        gateway.handle_packet((OUT, IN)[number % 2], packet)
    place = 9 if family is V4 else 6
    # Each has the bytes of a flow that is remembered, where ports are in TCP and UDP.
    for protocol, packet, way in product(range(256), flows, (OUT, IN)):
        other = patched(packet, place, bytes([protocol]))
        expected = gateway._judge.judge(way, other, 0.0, "alice").decision
        assert gateway.handle_packet(way, other, None, "alice") == expected, protocol


# --- Sessions ------------------------------------------------------------------------------


@every_kind
@both_names
def test_a_new_session_takes_over_inbound_flows_of_its_ends_alone_and_an_old_one_nothing(
    names: Names, kind: str
) -> None:
    gateway = gateway_for(NOT_RECORDED)
    # Another resource covers the real address too.
    gateway.authorize("alice", CidrResource("direct", names.real[0]))
    taken_over = [names.came("tcp", 2, port=port) for port in (53, 443)]
    taken_over += [names.came("udp", 2, port=port) for port in (53, 443)]
    others = [names.came("tcp", 3), names.came("udp", 3), names.family.udp(IN)]
    for packet in taken_over + others:
        assert isinstance(gateway.handle_packet(IN, packet), Forward)
    gateway.handle_packet(OUT, names.family.tcp(OUT))
    generation = gateway._clients.by_id["alice"].flow_cache.inbound_generation
    before, number = stored(gateway), generation.number
    gateway.handle_packet(OUT, names.sent(kind, 1, port=53))
    assert stored(gateway).items() >= before.items()
    assert generation.number == number
    gateway.handle_packet(OUT, names.sent(kind, 2, port=53))
    left = {table: set(flows) for table, flows in stored(gateway).items() if table < HANDLERS}
    gone = {key_of(one) for one in taken_over if read(one).protocol == NUMBERS[kind]}
    assert left == {
        table: set(flows) - (gone if table == INBOUND + NUMBERS[kind] else set())
        for table, flows in before.items()
    }
    assert generation.number == number + 1
    for packet in taken_over:
        is_session = read(packet).protocol == NUMBERS[kind]
        decision = gateway.handle_packet(IN, packet)
        assert isinstance(decision, Translate if is_session else Forward)


@both_names
def test_a_refusal_for_want_of_room_forgets_what_is_over_of_others(names: Names) -> None:
    options = GatewayOptions(max_sessions_per_client=2)
    gateway = gateway_for_alice(app(), options=options)
    # Bob's session is over; Alice's own two are not.
    gateway.authorize("bob", app())
    gateway.domain_resolved(
        "bob",
        "app",
        "app.example.com",
        proxy_addresses=names.proxies[:1],
        resolved_addresses=names.real[:1],
    )
    resolve(gateway, names)
    bobs = udp(names.family.flow(OUT, 443, near=names.family.neighbour, far=names.proxies[0]))
    assert gateway.handle_packet(OUT, bobs, 0.0).allowed
    for number in (1, 2):
        assert gateway.handle_packet(OUT, names.sent(number=number), 30.0).allowed
        # An answered session gives way to none.
        assert gateway.handle_packet(IN, names.came(number=number), 30.0).allowed
    pool = gateway._context.session_pool
    assert pool.count == 3
    refused = gateway.handle_packet(OUT, names.sent(number=3), 60.0)
    assert refused == Drop(Reason.NAT_EXHAUSTED, "alice")
    assert pool.count == 2


# --- Replies -------------------------------------------------------------------------------


@pytest.mark.parametrize("packet", [V4.tcp(OUT, 22), V4.echo(OUT)], ids=["fast-path", "table"])
def test_a_reply_takes_a_token_and_a_packet_that_gets_none_takes_none(packet: bytes) -> None:
    gateway = gateway_for_alice(options=GatewayOptions(reject_rate=1, reject_burst=2))
    tokens = gateway._clients.by_id["alice"].reply_tokens
    kinds = []
    for _ in range(3):
        kinds.append(type(gateway.handle_packet(OUT, packet)).__name__)
        kinds.append(str(tokens._tokens))
    assert kinds == ["Reject", "1.0", "Reject", "0.0", "Drop", "0.0"]


# --- The fast path -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "handlers"),
    [(NOT_RECORDED, 0), (RECORDED, HANDLERS)],
    ids=["plain", "recorded"],
)
def test_what_the_fast_path_permits_is_remembered_or_its_handler_where_flows_are_recorded(
    options: GatewayOptions, handlers: int
) -> None:
    gateway, packet = gateway_for(options), V4.tcp(OUT)
    assert isinstance(gateway._first(OUT, TCP, key_of(packet), packet, "alice", 0.0), Forward)
    assert list(stored(gateway)) == [OUTBOUND + handlers + TCP]


@both_names
def test_where_the_nat_translates_the_fast_path_begins_the_session(names: Names) -> None:
    gateway, packet = gateway_for(NOT_RECORDED), names.sent("tcp", 2)
    before = gateway.counters().allowed[OUT, "translate"]
    first = gateway._first(OUT, TCP, key_of(packet), packet, "alice", 0.0)
    assert first == through(names.sent("tcp", 2, far=names.real[0]))
    assert gateway.counters().allowed[OUT, "translate"] == before + 1
    assert stored(gateway) == {OUTBOUND + HANDLERS + TCP: {key_of(packet): "TranslatedFlow"}}


@both_names
@pytest.mark.parametrize("kind", ["stateful", "recorded", "refused", "without-target", "inbound"])
def test_what_else_follows_from_a_translated_packet_the_fast_path_leaves_to_the_table(
    names: Names, kind: str
) -> None:
    options = {"stateful": GatewayOptions(stateful=True), "recorded": RECORDED}
    gateway = gateway_for(options.get(kind, NOT_RECORDED))
    packet, way = names.sent("tcp", 2), OUT
    if kind == "refused":
        gateway.authorize("alice", app(Tcp(1)))
    elif kind == "without-target":
        resolve(gateway, names, real=[])
    elif kind == "inbound":
        packet, way = names.came("tcp", 1), IN
    assert gateway._first(way, TCP, key_of(packet), packet, "alice", 0.0) is None
    assert stored(gateway) == {}
