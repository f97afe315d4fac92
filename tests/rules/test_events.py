"""Rule 8 of section 3: events about authorizations, their order, and their withdrawal."""

from collections.abc import Callable
from functools import partial
from itertools import product
from typing import Final

import pytest

from firezone_filter import (
    AccessExhausted,
    AuthorizationExpired,
    CidrResource,
    Event,
    Gateway,
    InvalidPolicy,
    InvalidTime,
)
from tests.records import fetched
from tests.scenes import ALICE, gateway_for_alice

Step = Callable[[Gateway], object]


def resource(name: str) -> CidrResource:
    return CidrResource(name, "10.0.0.0/24")


# --- Steps of a story, and its events ----------------------------------------------------


def grant(name: str, expires_at: float | None = None, client_id: str = "alice") -> Step:
    return lambda gateway: gateway.authorize(client_id, resource(name), expires_at=expires_at)


def revoke(name: str) -> Step:
    return lambda gateway: gateway.revoke("alice", name)


def retain(*names: str) -> Step:
    return lambda gateway: gateway.retain_authorizations({"alice": set(names)})


def until(name: str, expires_at: float | None) -> Step:
    return lambda gateway: gateway.update_expiry("alice", name, expires_at)


def time(now: float) -> Step:
    return lambda gateway: gateway.handle_timeout(now)


def connect(now: float | None = None) -> Step:
    return lambda gateway: gateway.client_connected("alice", ALICE, now)


def disconnect(gateway: Gateway) -> None:
    gateway.client_disconnected("alice")


def renamed(gateway: Gateway) -> None:
    gateway.update_resource(CidrResource("a", "10.0.0.0/24", name="renamed"))


def refused(gateway: Gateway) -> None:
    """Authorize with arguments that raise."""
    with pytest.raises(TypeError):
        gateway.authorize("alice", "a")  # type: ignore[arg-type]
    with pytest.raises(InvalidTime):
        gateway.authorize("alice", resource("a"), expires_at=1e12)


def moved(gateway: Gateway) -> None:
    """Move a resource to another network."""
    with pytest.raises(InvalidPolicy):
        gateway.update_resource(CidrResource("a", "10.0.0.0/25"))


def fetch(gateway: Gateway) -> None:
    fetched(gateway)


EXHAUSTED: Final = AccessExhausted("alice")
BOB_EXHAUSTED: Final = AccessExhausted("bob")
expired = partial(AuthorizationExpired, "alice")
bobs = partial(AuthorizationExpired, "bob")

STORIES: Final[dict[str, tuple[list[Step], list[Event]]]] = {
    "nothing": ([], []),
    "authorized": ([grant("a")], []),
    # Expiry: with its own time, ordered by it, exhaustion right behind.
    "expired": ([grant("a", 1.0), grant("b"), time(5.0)], [expired("a", 1.0)]),
    "expired-last": ([grant("a", 1.0), time(1.0)], [expired("a", 1.0), EXHAUSTED]),
    "expired-before-its-time": ([grant("a", 1.0), time(0.5)], []),
    "in-order": (
        [grant("a", 3.0), grant("b", 1.0), grant("c", 2.0), time(5.0)],
        [expired("b", 1.0), expired("c", 2.0), expired("a", 3.0), EXHAUSTED],
    ),
    "one-by-one": (
        [grant("a", 1.0), grant("b", 2.0), time(1.0), fetch, time(2.0)],
        [expired("b", 2.0), EXHAUSTED],
    ),
    "of-two-clients": (
        [grant("a", 1.0), grant("b", 3.0), grant("a", 2.0, "bob"), time(5.0)],
        [expired("a", 1.0), bobs("a", 2.0), BOB_EXHAUSTED, expired("b", 3.0), EXHAUSTED],
    ),
    "of-two-clients-together": (
        [grant("a", 1.0), grant("b"), grant("b", None, "bob"), grant("a", 1.0, "bob"), time(1.0)],
        [expired("a", 1.0), bobs("a", 1.0)],
    ),
    "passed-already": (
        [grant("a"), grant("b"), until("a", -1.0), until("b", 0.0)],
        [expired("a", -1.0), expired("b", 0.0), EXHAUSTED],
    ),
    "passed-already-when-given": ([grant("a", -1.0)], [expired("a", -1.0), EXHAUSTED]),
    "fetched": ([grant("a", 1.0), time(1.0), fetch, time(2.0)], []),
    # Exhaustion: when the last goes away, however it does.
    "revoked": ([grant("a"), grant("b"), revoke("a")], []),
    "revoked-last": ([grant("a"), grant("b"), revoke("a"), revoke("b")], [EXHAUSTED]),
    "revoked-is-not-expired": ([grant("a", 1.0), grant("b"), revoke("a"), time(2.0)], []),
    "revoked-nothing": ([revoke("a")], []),
    "retained-one": ([grant("a"), grant("b"), retain("a")], []),
    "retained-none": ([grant("a"), grant("b"), retain()], [EXHAUSTED]),
    "retained-nothing-to-take": ([retain()], []),
    "connected": ([connect(1.0)], []),
    "kept": ([grant("a", 5.0), renamed, until("a", 6.0), until("a", None)], []),
    # Withdrawn: exhaustion by an authorization, all of a client by its end.
    "authorized-again": ([grant("a"), revoke("a"), grant("a")], []),
    "authorized-for-another": ([grant("a"), revoke("a"), grant("b")], []),
    "authorized-after-expiry": ([grant("a", 1.0), time(1.0), grant("a")], [expired("a", 1.0)]),
    "another-authorized": (
        [grant("a", 1.0), time(1.0), grant("a", None, "bob")],
        [expired("a", 1.0), EXHAUSTED],
    ),
    "grants-that-raised": ([grant("a"), revoke("a"), refused], [EXHAUSTED]),
    "updates-that-raised": ([grant("a", 5.0), moved], []),
    "disconnected": (
        [grant("a", 1.0), grant("a", 1.0, "bob"), time(1.0), disconnect],
        [bobs("a", 1.0), BOB_EXHAUSTED],
    ),
    "disconnected-before-expiry": ([grant("a", 1.0), disconnect, time(2.0)], []),
    "reconnected": ([grant("a"), connect()], []),
    "reconnected-after-expiry": (
        [grant("a", 1.0), grant("b", 2.0), grant("a", 2.0, "bob"), time(1.0), connect(2.0)],
        [bobs("a", 2.0), BOB_EXHAUSTED],
    ),
    # At most one of a kind: the newer goes last.
    "exhausted-again": (
        [grant("a", 1.0), time(1.0), grant("b", 2.0), time(2.0)],
        [expired("a", 1.0), expired("b", 2.0), EXHAUSTED],
    ),
    "expired-again": (
        [grant("a", 1.0), grant("b", 2.0), grant("c"), time(2.0), grant("a", 3.0), time(3.0)],
        [expired("b", 2.0), expired("a", 3.0)],
    ),
    "never-fetched": (
        [step for now in range(1_000) for step in (grant("a", now + 1.0), time(now + 1.0))],
        [expired("a", 1_000.0), EXHAUSTED],
    ),
}


@pytest.mark.parametrize("story", STORIES)
def test_events_of(story: str) -> None:
    steps, expected = STORIES[story]
    gateway = gateway_for_alice(now=0.0)
    for step in steps:
        step(gateway)
    assert fetched(gateway) == expected
    assert gateway.poll_event() is None


def test_expiries_of_one_moment_come_in_the_order_in_which_they_were_set() -> None:
    gateway = gateway_for_alice(now=0.0)
    names = [f"host-{number}" for number in range(40)]
    for client_id, name in product(("alice", "bob"), names):
        gateway.authorize(client_id, resource(name), expires_at=100.0)
    gateway.update_expiry("bob", names[7], 95.0)
    gateway.update_expiry("alice", names[0], None)
    gateway.handle_timeout(100.0)
    assert fetched(gateway) == [
        bobs(names[7], 95.0),
        *(expired(name, 100.0) for name in names[1:]),
        *(bobs(name, 100.0) for name in names if name != names[7]),
        BOB_EXHAUSTED,
    ]
