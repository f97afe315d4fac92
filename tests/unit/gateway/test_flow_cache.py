"""`ClientFlowCache`: what is stored, what is evicted, and what is invalidated."""

from itertools import product

import pytest

from firezone_filter import Forward
from firezone_filter.gateway.flow_cache import (
    HANDLERS,
    INBOUND,
    MAX_FLOWS,
    OUTBOUND,
    ClientFlowCache,
    FlowCache,
)
from firezone_filter.packet.numbers import ICMPV4, ICMPV6, TCP, UDP

PASSED = Forward("alice", "db")
OTHER = Forward("bob", "db")

DECISIONS = tuple(kind + protocol for kind in (OUTBOUND, INBOUND) for protocol in (TCP, UDP))
TABLES = tuple(
    kind + handlers + protocol
    for kind in (OUTBOUND, INBOUND)
    for handlers in (0, HANDLERS)
    for protocol in (TCP, UDP, ICMPV4, ICMPV6)
)

every_table = pytest.mark.parametrize("table", TABLES)


class Handler:
    """A flow's handler that decides nothing."""

    client_id = "alice"

    def handle(self, packet: bytes, now: float) -> None:
        """Ask for a judge."""


def key(number: int) -> bytes:
    return number.to_bytes(12)


def cached(*tables: int) -> tuple[FlowCache, ClientFlowCache]:
    """Store one decision or handler in each of some tables."""
    cache = FlowCache()
    client = ClientFlowCache(cache)
    for table in tables:
        client.store(table, key(0), PASSED if table < HANDLERS else Handler())
    return cache, client


def sizes(cache: FlowCache) -> dict[int, int]:
    """Return how many entries there are in each table that has any."""
    return {table: len(flows) for table, flows in cache.tables.items() if flows}


# --- Tables --------------------------------------------------------------------------------


def test_the_limit_is_half_of_4096_for_each_protocol() -> None:
    assert 2 * MAX_FLOWS == 4_096


def test_each_direction_kind_and_protocol_has_a_table_of_its_own() -> None:
    cache, _ = cached(*TABLES)
    assert sizes(cache) == dict.fromkeys(TABLES, 1)
    assert len(cache) == len(TABLES) == len(set(TABLES)) == 16


def test_the_mappings_by_protocol_are_the_tables_and_for_other_protocols_empty_for_ever() -> None:
    cache, _ = cached(*TABLES)
    for first, mappings in (
        (OUTBOUND, cache.outbound),
        (INBOUND, cache.inbound),
        (OUTBOUND + HANDLERS, cache.outbound_handlers),
        (INBOUND + HANDLERS, cache.inbound_handlers),
    ):
        assert len(mappings) == 256
        for protocol, mapping in enumerate(mappings):
            if protocol in {TCP, UDP, ICMPV4, ICMPV6}:
                assert mapping is cache.tables[first + protocol]
            else:
                assert not mapping
                assert not hasattr(mapping, "__setitem__")


@every_table
def test_a_flow_is_stored_under_its_key_and_again_in_place_of_what_it_had(table: int) -> None:
    cache, client = cached()
    first, second = (PASSED, OTHER) if table < HANDLERS else (Handler(), Handler())
    for value in (first, second):
        client.store(table, key(1), value)
        assert cache.tables[table] == {key(1): value}
    assert len(cache) == 1


# --- Eviction ------------------------------------------------------------------------------


@every_table
def test_at_the_limit_the_oldest_flow_of_the_table_is_evicted_first(table: int) -> None:
    cache, client = cached(*TABLES)
    flows, places = cache.tables[table], MAX_FLOWS + 1
    # Round and round, so that evicted flows come again: they are the newest then.
    for number in range(3 * places):
        client.store(table, key(number % places), PASSED)
        assert key(number % places) in flows
        if number >= MAX_FLOWS:
            assert len(flows) == MAX_FLOWS
            assert key((number + 1) % places) not in flows
    assert sizes(cache) == dict.fromkeys(TABLES, 1) | {table: MAX_FLOWS}


def test_a_flow_that_is_stored_again_takes_no_second_place_and_keeps_its_own() -> None:
    cache, client = cached()
    for number in (0, *range(MAX_FLOWS), 0):
        client.store(OUTBOUND + TCP, key(number), PASSED)
    assert len(cache) == MAX_FLOWS
    client.store(OUTBOUND + TCP, key(MAX_FLOWS), PASSED)
    assert key(0) not in cache.outbound[TCP]
    assert key(1) in cache.outbound[TCP]


@every_table
def test_no_client_evicts_or_invalidates_the_flows_of_another(table: int) -> None:
    cache, alice = cached()
    bob = ClientFlowCache(cache)
    bob.store(table, b"bob", OTHER)
    for number in range(MAX_FLOWS + 5):
        alice.store(table, key(number), PASSED)
    assert len(cache) == MAX_FLOWS + 1
    alice.invalidate_inbound()
    alice.invalidate()
    assert cache.tables[table] == {b"bob": OTHER}


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
    assert key(0) not in cache.outbound[UDP]


def test_invalidate_inbound_removes_only_inbound_decisions_for_handlers_know_themselves() -> None:
    cache, client = cached(*TABLES)
    client.invalidate_inbound()
    # Those of the NAT have a session, and counters a generation.
    removed = {INBOUND + TCP, INBOUND + UDP}
    assert set(sizes(cache)) == {table for table in TABLES if table not in removed}
    client.store(INBOUND + TCP, key(7), PASSED)
    assert cache.inbound[TCP] == {key(7): PASSED}


def test_invalidate_inbound_begins_another_generation_and_invalidate_does_not() -> None:
    _, client = cached(*DECISIONS)
    before = client.inbound_generation.number
    client.invalidate()
    assert client.inbound_generation.number == before
    client.invalidate_inbound()
    assert client.inbound_generation.number != before


# --- Memory --------------------------------------------------------------------------------


def test_an_idle_client_has_no_queues_and_others_have_one_for_each_table_they_use() -> None:
    _, client = cached()
    client.invalidate()
    client.invalidate_inbound()
    assert client._entries == {}
    used = DECISIONS[:1] + TABLES[5:6]
    for table, _ in product(used, range(2)):
        client.store(table, key(0), PASSED)
        client.invalidate()
    assert tuple(client._entries) == used
