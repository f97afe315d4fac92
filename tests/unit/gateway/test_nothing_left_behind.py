"""Sessions that are over take no memory, which no decision shows: looked at from inside."""

import pytest

from firezone_filter.testing import RST
from tests.scenes import OUTBOUND
from tests.translations import TICK, Names, both_names, gateway_in_use, gateway_with


@pytest.mark.parametrize("first_now", [None, -1_000.0, 1_790_000_000.0])
@both_names
def test_handle_timeout_leaves_nothing_behind_of_what_is_over(
    names: Names, first_now: float | None
) -> None:
    gateway = gateway_with(names, now=0.0 if first_now is None else None)
    gateway.handle_packet(OUTBOUND, names.sent())
    gateway.handle_packet(OUTBOUND, names.sent("tcp", flags=RST))
    start = first_now or 0.0
    gateway.handle_timeout(start)
    nat = gateway._clients.by_id["alice"].nat
    assert nat is not None
    for now, sessions, ends in (
        (60.0 - TICK, 1, 1),
        (60.0, 0, 2),
        (240.0 - TICK, 0, 2),
        (300.0 - TICK, 0, 1),
        (300.0, 0, 0),
    ):
        gateway.handle_timeout(start + now)
        assert (nat._sessions.count, len(nat._sessions.ends)) == (sessions, ends)
    assert gateway._context.session_pool.count == 0
    assert gateway._context.cleanup.earliest() is None


@both_names
def test_a_client_that_disconnects_leaves_nothing_behind(names: Names) -> None:
    gateway = gateway_in_use(names)
    gateway.handle_packet(OUTBOUND, names.sent("tcp", flags=RST))
    gateway.client_disconnected("alice")
    assert gateway._context.session_pool.count == 0
    assert gateway._context.cleanup.earliest() is None
