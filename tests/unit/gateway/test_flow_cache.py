"""`ClientFlowCache`: what is stored, what is evicted, and what is invalidated."""

import random
from itertools import count, product
from typing import Any

import pytest

from firezone_filter import Forward
from firezone_filter.gateway.flow_cache import (
    AT_ONCE,
    ENTRIES_A_STEP,
    HANDLERS,
    INBOUND,
    MAX_FLOWS,
    OUTBOUND,
    ClientFlowCache,
    FlowCache,
    shard_at,
)
from firezone_filter.packet.numbers import ICMPV4, ICMPV6, TCP, UDP

PASSED = Forward("alice", "db")
OTHER = Forward("bob", "db")
FAR, NEAR = b"far.", b"near"

DECISIONS = tuple(kind + protocol for kind in (OUTBOUND, INBOUND) for protocol in (TCP, UDP))
TABLES = (*DECISIONS, *(HANDLERS + table for table in DECISIONS))
"""The tables of what counts; those of handlers are also for what is prepared."""
PREPARED = tuple(
    kind + HANDLERS + protocol
    for kind in (OUTBOUND, INBOUND)
    for protocol in (TCP, UDP, ICMPV4, ICMPV6)
)

every_table = pytest.mark.parametrize("table", TABLES)


class Handler:
    """A flow's handler that decides nothing."""

    client_id = "alice"

    def handle(self, packet: bytes, now: float) -> None:
        """Ask for a judge."""


class Session:
    """What a session has of the flow cache."""

    outbound_key: bytes | None = None
    inbound_key: bytes | None = None


def key(number: int) -> bytes:
    """Return the key of a flow; those of a few numbers are in many shards."""
    return (number * 0x0001_0193_0001_0193_0193_0193 % 2**96).to_bytes(12)


def flows(cache: FlowCache, table: int) -> dict[bytes, Any]:
    """Return the entries of a table."""
    return {flow: value for shard in cache.tables.get(table, ()) for flow, value in shard.items()}


def front(cache: FlowCache, table: int) -> dict[bytes, Any]:
    """Return the entries that a look-up can find."""
    handlers, inbound = table >= HANDLERS, bool(table & INBOUND)
    lists = {
        (False, False): cache.outbound,
        (False, True): cache.inbound,
        (True, False): cache.outbound_handlers,
        (True, True): cache.inbound_handlers,
    }[handlers, inbound]
    shards = lists[table % INBOUND]
    return {flow: value for shard in shards for flow, value in shard.items()}


def cached(*tables: int, limit: int = 100_000) -> tuple[FlowCache, ClientFlowCache]:
    """Store one decision or handler in each of some tables."""
    cache = FlowCache(limit)
    client = ClientFlowCache(cache)
    for table in tables:
        client.store(table, key(0), PASSED if table < HANDLERS else Handler())
    return cache, client


def sizes(cache: FlowCache) -> dict[int, int]:
    """Return how many entries there are in each table that has any."""
    found = {table: len(flows(cache, table)) for table in cache.tables}
    return {table: size for table, size in found.items() if size}


# --- Tables --------------------------------------------------------------------------------


def test_the_limit_is_half_of_4096_for_each_protocol() -> None:
    assert 2 * MAX_FLOWS == 4_096


def test_each_direction_kind_and_protocol_has_a_table_of_its_own() -> None:
    cache, client = cached(*TABLES)
    for table in PREPARED:
        client.prepare(Session(), table, key(1), Handler())
    expected = dict.fromkeys(DECISIONS, 1) | {table: 1 + (table in TABLES) for table in PREPARED}
    assert sizes(cache) == expected
    assert len(cache) == sum(expected.values())
    for table in expected:
        assert front(cache, table) == flows(cache, table)


def test_every_packet_finds_a_table_and_most_of_them_are_empty_for_ever() -> None:
    cache, _ = cached(*TABLES)
    for shards in (*cache.outbound, *cache.inbound):
        assert len(shards) == 256
    for protocol in set(range(256)) - {TCP, UDP}:
        for lists in (cache.outbound, cache.inbound):
            assert not any(lists[protocol])
            assert not hasattr(lists[protocol][0], "__setitem__")
        assert not cache.outbound_handlers[protocol]
        assert not cache.inbound_handlers[protocol]


def test_the_shard_of_a_flow_is_told_by_the_port_or_echo_id_of_the_client() -> None:
    outbound = b"near" + b"far." + b"\x01\x02" + b"\x03\x04"
    inbound = b"far." + b"near" + b"\x03\x04" + b"\x01\x02"
    for protocol in (TCP, UDP):
        for handlers in (0, HANDLERS):
            assert outbound[shard_at(OUTBOUND + handlers + protocol)] == 2
            assert inbound[shard_at(INBOUND + handlers + protocol)] == 2
    echo = b"near" + b"far." + b"\x08" + b"\x01\x02"
    for kind, protocol in product((OUTBOUND, INBOUND), (ICMPV4, ICMPV6)):
        assert echo[shard_at(kind + HANDLERS + protocol)] == 2


@every_table
def test_a_flow_is_stored_under_its_key_and_again_in_place_of_what_it_had(table: int) -> None:
    cache, client = cached()
    first, second = (PASSED, OTHER) if table < HANDLERS else (Handler(), Handler())
    for value in (first, second):
        client.store(table, key(1), value)
        assert flows(cache, table) == {key(1): value}
        assert cache.find(table, key(1)) is value
    assert len(cache) == cache.count == 1
    assert cache.find(table, key(2)) is cache.find(PREPARED[-1], key(1)) is None


# --- Eviction ------------------------------------------------------------------------------


@every_table
def test_at_the_limit_the_oldest_flow_of_the_table_is_evicted_first(table: int) -> None:
    # Decisions and handlers of a direction and protocol share the limit.
    others = [one for one in TABLES if one not in {table, table ^ HANDLERS}]
    cache, client = cached(*others)
    places = MAX_FLOWS + 1
    # Round and round, so that evicted flows come again: they are the newest then.
    for number in range(3 * places):
        client.store(table, key(number % places), PASSED)
        assert cache.find(table, key(number % places)) is PASSED
        if number >= MAX_FLOWS:
            assert cache.find(table, key((number + 1) % places)) is None
            assert client.count == cache.count == MAX_FLOWS + len(others)
    client.store(table ^ HANDLERS, key(-1), Handler())
    assert client.count == cache.count == MAX_FLOWS + len(others)
    assert sizes(cache) == dict.fromkeys(others, 1) | {
        table: MAX_FLOWS - 1,
        table ^ HANDLERS: 1,
    }


def test_a_flow_that_is_stored_again_takes_no_second_place_and_keeps_its_own() -> None:
    cache, client = cached()
    for number in (0, *range(MAX_FLOWS), 0):
        client.store(OUTBOUND + TCP, key(number), PASSED)
    assert len(cache) == MAX_FLOWS
    client.store(OUTBOUND + TCP, key(MAX_FLOWS), PASSED)
    assert key(0) not in front(cache, OUTBOUND + TCP)
    assert key(1) in front(cache, OUTBOUND + TCP)


@every_table
def test_no_client_evicts_or_invalidates_the_flows_of_another(table: int) -> None:
    cache, alice = cached()
    bob = ClientFlowCache(cache)
    bob.store(table, b"bob", OTHER)
    for number in range(MAX_FLOWS + 5):
        alice.store(table, key(number), PASSED)
    assert len(cache) == MAX_FLOWS + 1
    alice.invalidate_inbound(TCP, 0, b"bob")
    alice.invalidate()
    assert flows(cache, table) == {b"bob": OTHER}


# --- Invalidation --------------------------------------------------------------------------


def test_invalidate_removes_everything_and_the_cache_fills_up_again() -> None:
    cache, client = cached(*TABLES)
    for number in range(MAX_FLOWS + 5):
        client.store(OUTBOUND + UDP, key(number), PASSED)
    for _ in range(2):
        client.invalidate()
        assert len(cache) == 0
    for number in range(MAX_FLOWS + 1):
        client.store(OUTBOUND + UDP, key(number), PASSED)
    assert sizes(cache) == {OUTBOUND + UDP: MAX_FLOWS}
    assert key(0) not in front(cache, OUTBOUND + UDP)


def inbound_key(port: int, far_port: int = 443, far: bytes = FAR) -> bytes:
    return far + NEAR + far_port.to_bytes(2) + port.to_bytes(2)


def test_a_new_session_takes_over_the_inbound_decisions_of_its_two_ends_alone() -> None:
    cache, client = cached()
    client.expect_sessions()
    taken_over = {inbound_key(7), inbound_key(7, 53)}
    others = {inbound_key(8), inbound_key(7, far=bytes(4))}
    for flow, protocol in product(taken_over | others, (TCP, UDP)):
        for table in (INBOUND, OUTBOUND, INBOUND + HANDLERS, OUTBOUND + HANDLERS):
            client.store_noted(table + protocol, flow, PASSED)
    client.invalidate_inbound(TCP, 7, FAR)
    assert set(flows(cache, INBOUND + TCP)) == others
    # (Handlers know themselves: those of the NAT have a session, and counters a generation.)
    assert len(cache) == 8 * 4 - 2 * 2
    client.store_noted(INBOUND + TCP, inbound_key(7), PASSED)
    assert set(front(cache, INBOUND + TCP)) == others | {inbound_key(7)}
    client.invalidate_inbound(TCP, 7, FAR)
    assert set(front(cache, INBOUND + TCP)) == others


def test_a_new_session_finds_its_flow_whatever_other_protocols_have_had_since() -> None:
    cache, client = cached()
    client.expect_sessions()
    client.store_noted(INBOUND + TCP, inbound_key(7), PASSED)
    for number in range(4 * MAX_FLOWS):
        client.store_noted(INBOUND + UDP, inbound_key(number), PASSED)
    client.invalidate_inbound(TCP, 7, FAR)
    assert inbound_key(7) not in front(cache, INBOUND + TCP)


@pytest.mark.parametrize("last", [1, MAX_FLOWS // 2, 2 * MAX_FLOWS, 2 * MAX_FLOWS + 1])
def test_a_new_session_finds_its_flow_among_any_number_of_others(last: int) -> None:
    cache, client = cached()
    client.expect_sessions()
    for number in range(last):
        client.store_noted(INBOUND + (TCP, UDP)[number % 2], inbound_key(number), PASSED)
    for number in range(0, last, 64):
        flow, protocol = inbound_key(number), (TCP, UDP)[number % 2]
        client.invalidate_inbound(protocol, number, FAR)
        assert flow not in front(cache, INBOUND + protocol)


def test_a_new_session_begins_another_generation_and_invalidate_does_not() -> None:
    _, client = cached(*DECISIONS)
    before = client.inbound_generation.number
    client.invalidate()
    assert client.inbound_generation.number == before
    client.invalidate_inbound(TCP, 7, FAR)
    assert client.inbound_generation.number != before


# --- Marking -------------------------------------------------------------------------------


def with_many(limit: int = 100_000) -> tuple[FlowCache, ClientFlowCache, ClientFlowCache]:
    """Let Alice have more flows of each table than are removed at once, and Bob one."""
    cache, alice = cached(limit=limit)
    for table, number in product(DECISIONS, range(AT_ONCE)):
        alice.store(table, key(number), PASSED)
    for table, number in product(PREPARED, range(AT_ONCE)):
        alice.prepare(Session(), table, key(number), Handler())
    bob = ClientFlowCache(cache)
    bob.store(OUTBOUND + TCP, b"bob", OTHER)
    return cache, alice, bob


def test_few_entries_are_removed_at_once() -> None:
    cache, client = cached()
    for number in range(AT_ONCE):
        client.store(OUTBOUND + TCP, key(number), PASSED)
    client.mark()
    assert (len(cache), client.is_stale, cache.is_open) == (0, False, True)
    assert cache.forget(5) == 0


def test_what_is_marked_answers_nothing_until_it_has_been_removed_in_steps() -> None:
    cache, alice, bob = with_many()
    alice.mark()
    alice.mark()
    assert (alice.is_stale, bob.is_stale, cache.is_open) == (True, False, False)
    assert not any(front(cache, table) for table in (*TABLES, *PREPARED))
    # That of others is found meanwhile, and they may have more remembered.
    assert cache.find(OUTBOUND + TCP, b"bob") is OTHER
    bob.store(OUTBOUND + TCP, b"new", OTHER)
    alice.store(OUTBOUND + TCP, b"alice", PASSED)
    alice.prepare(Session(), OUTBOUND + HANDLERS + TCP, b"alice", Handler())
    left = len(cache) - 2
    assert left == (len(DECISIONS) + len(PREPARED)) * AT_ONCE
    assert cache.count == 2
    while left:
        assert cache.forget(3) <= 3
        assert left - 3 * ENTRIES_A_STEP <= len(cache) - 2 < left
        left = len(cache) - 2
    assert flows(cache, OUTBOUND + TCP) == {b"bob": OTHER, b"new": OTHER}
    cache.forget(1)
    assert (alice.is_stale, cache.forget(9)) == (False, 0)
    cache.open()
    alice.store(OUTBOUND + TCP, b"alice", PASSED)
    assert front(cache, OUTBOUND + TCP) == {b"bob": OTHER, b"new": OTHER, b"alice": PASSED}


def test_a_table_that_is_made_while_the_cache_is_closed_is_led_to_when_it_opens() -> None:
    cache, client = cached()
    table = INBOUND + HANDLERS + TCP
    cache.close()
    client.store(table, b"new", OTHER)
    assert front(cache, table) == {}
    cache.open()
    assert front(cache, table) == {b"new": OTHER}


def test_the_cache_opens_only_once_what_is_marked_has_been_removed() -> None:
    cache, alice, _ = with_many()
    alice.mark()
    cache.open()
    assert not cache.is_open
    cache.forget(10_000)
    cache.open()
    assert cache.is_open


def test_a_client_that_leaves_takes_along_what_is_marked() -> None:
    cache, alice, _ = with_many()
    alice.mark()
    alice.close()
    assert (len(cache), cache.count) == (1, 1)
    assert cache.forget(9) == 1


# --- The limit of all ----------------------------------------------------------------------


@pytest.mark.parametrize("limit", [0, 1, 7, 8, 80, 1_000])
@pytest.mark.parametrize("seed", range(4))
def test_no_more_is_remembered_than_may_be_and_the_client_that_has_most_gives_way(
    limit: int, seed: int
) -> None:
    draw = random.Random(seed)
    cache = FlowCache(limit)
    clients = [ClientFlowCache(cache) for _ in range(5)]
    weights = [draw.choice((1, 10, 100)) for _ in clients]
    numbers = count()
    for _ in range(4_000):
        client = draw.choices(clients, weights)[0]
        table = draw.choice(DECISIONS + tuple(one + HANDLERS for one in DECISIONS))
        before, is_full = [one.count for one in clients], cache.count == limit
        what, flow = draw.random(), key(next(numbers))
        if what < 0.001:
            client.invalidate()
        elif what < 0.01:
            client.prepare(Session(), table | HANDLERS, flow, Handler())
        else:
            client.store(table, flow, PASSED)
            assert (cache.find(table, flow) is PASSED) == (limit > 0)
            expected = list(before)
            expected[clients.index(client)] += 1
            gone = [was - one.count for was, one in zip(expected, clients, strict=True)]
            if is_full:
                assert sorted(gone) == [0, 0, 0, 0, 1]
                assert limit == 0 or before[gone.index(1)] == max(before)
            else:
                assert not any(gone)
        assert cache.count == sum(one.count for one in clients) <= limit


# --- Sessions ------------------------------------------------------------------------------


def test_what_is_prepared_for_sessions_does_not_count() -> None:
    cache, alice = cached(limit=2)
    bob = ClientFlowCache(cache)
    for number in range(MAX_FLOWS + 5):
        alice.prepare(Session(), OUTBOUND + HANDLERS + TCP, key(number), Handler())
    for number in range(2):
        bob.store(OUTBOUND + TCP, key(number), OTHER)
    assert (len(cache), cache.count, alice.count) == (MAX_FLOWS + 7, 2, 0)
    alice.invalidate()
    assert (len(cache), cache.count) == (2, 2)


@pytest.mark.parametrize("protocol", [TCP, UDP, ICMPV4, ICMPV6])
def test_a_session_has_one_flow_prepared_in_each_direction_and_takes_them_along(
    protocol: int,
) -> None:
    cache, client = cached()
    session, other = Session(), Session()
    tables = (OUTBOUND + HANDLERS + protocol, INBOUND + HANDLERS + protocol)
    for table in tables:
        client.prepare(other, table, key(9), Handler())
        for number in (1, 1, 2):
            client.prepare(session, table, key(number), Handler())
            assert set(flows(cache, table)) == {key(number), key(9)}
    client.release(session, protocol)
    for table in tables:
        assert set(flows(cache, table)) == {key(9)}
    client.release(other, protocol)
    client.release(Session(), protocol)
    assert len(cache) == 0
    assert client._prepared == {}


@pytest.mark.parametrize("how", ["invalidate", "mark"])
def test_a_session_whose_flows_have_been_forgotten_takes_no_others_along(how: str) -> None:
    cache, client = cached()
    session, later = Session(), Session()
    table = OUTBOUND + HANDLERS + TCP
    client.prepare(session, table, key(1), Handler())
    getattr(client, how)()
    client.prepare(later, table, key(2), Handler())
    client.release(session, TCP)
    assert set(flows(cache, table)) == {key(2)}
    client.prepare(session, table, key(3), Handler())
    assert set(flows(cache, table)) == {key(2), key(3)}


# --- Memory --------------------------------------------------------------------------------


def test_an_idle_client_has_no_queues_and_others_have_one_for_each_table_they_use() -> None:
    _, client = cached()
    client.invalidate()
    client.invalidate_inbound(TCP, 7, FAR)
    assert not client._queues
    assert not client._prepared
    used = DECISIONS[::2]
    for table, handlers in product(used, (0, HANDLERS)):
        client.store(table + handlers, key(0), PASSED)
    assert tuple(client._queues) == used
    client.invalidate()
    assert not client._queues
    assert not client._places
