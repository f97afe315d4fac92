"""What one client may ask."""

from firezone_filter.host.resolver.limits import (
    BURST,
    MOST_CONNECTIONS,
    MOST_CONNECTIONS_OF_ONE,
    MOST_WAITING,
    RATE,
    Limits,
)


def test_a_client_may_ask_so_many_questions_at_once() -> None:
    limits = Limits()
    for _ in range(BURST):
        assert limits.begin("alice", 0.0)
        limits.end("alice")
    assert not limits.begin("alice", 0.0)
    assert limits.begin("bob", 0.0)
    assert limits.begin("alice", 1.01 / RATE)


def test_a_client_may_have_so_many_questions_unanswered() -> None:
    limits = Limits()
    assert all(limits.begin("alice", 0.0) for _ in range(MOST_WAITING))
    assert not limits.begin("alice", 0.0)
    limits.end("alice")
    assert limits.begin("alice", 0.0)


def test_a_client_may_have_so_many_connections() -> None:
    limits = Limits()
    assert all(limits.connect("alice", 0.0) for _ in range(MOST_CONNECTIONS_OF_ONE))
    assert not limits.connect("alice", 0.0)
    limits.disconnect("alice")
    assert limits.connect("alice", 0.0)


def test_all_clients_together_may_have_so_many_connections() -> None:
    limits = Limits()
    assert all(limits.connect(f"client {n}", 0.0) for n in range(MOST_CONNECTIONS))
    assert not limits.connect("alice", 0.0)
    limits.disconnect("client 7")
    assert limits.connect("alice", 0.0)


def test_a_client_that_is_gone_is_forgotten_when_nothing_of_it_goes_on() -> None:
    limits = Limits()
    limits.begin("alice", 0.0)
    limits.connect("bob", 0.0)
    limits.retain(set())
    assert len(limits._clients) == 2
    limits.end("alice")
    limits.disconnect("bob")
    limits.retain({"bob"})
    assert list(limits._clients) == ["bob"]
