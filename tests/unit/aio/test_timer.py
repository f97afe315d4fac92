"""The timer of hosts on asyncio: on time, and no event forgotten."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from firezone_filter import CidrResource, Event, Gateway, TunnelAddresses
from firezone_filter.aio import GatewayTimer
from firezone_filter.aio.timer import LONGEST_SLEEP

NOW = 1_000.0
FILES = CidrResource("files", "10.0.0.0/24")


class Loop:
    """Stands in the place of an event loop: keeps what is to be called, and calls nothing."""

    def __init__(self) -> None:
        self.delay: float | None = None
        self.call: Callable[[], None] = lambda: None

    def call_later(self, delay: float, call: Callable[[], None]) -> "Loop":
        self.delay, self.call = delay, call
        return self

    def is_set(self) -> bool:
        return self.delay is not None

    def cancel(self) -> None:
        self.delay = None


class Clock:
    """A clock, which also wants to be called at a time."""

    def __init__(self) -> None:
        self.now = NOW
        self.due: float | None = None
        self.called: list[float] = []

    def __call__(self) -> float:
        return self.now

    def poll_timeout(self) -> float | None:
        return self.due

    def handle_timeout(self, now: float) -> None:
        self.called.append(now)
        self.due = None


@pytest.fixture
def loop(monkeypatch: pytest.MonkeyPatch) -> Loop:
    loop = Loop()
    monkeypatch.setattr(asyncio, "get_running_loop", lambda: loop)
    return loop


@pytest.fixture
def gateway() -> Gateway:
    gateway = Gateway(TunnelAddresses("100.64.0.1"))
    gateway.client_connected("alice", TunnelAddresses("100.64.0.2"), NOW)
    return gateway


def test_it_sleeps_until_something_is_due_and_then_hands_on_the_event(
    loop: Loop, gateway: Gateway
) -> None:
    clock, events = Clock(), list[tuple[str, float]]()

    def on_event(event: Event, now: float) -> None:
        events.append((type(event).__name__, now))

    with GatewayTimer(gateway, on_event, clock=clock) as timer:
        gateway.authorize("alice", FILES, expires_at=NOW + 0.5)
        timer.update()
        assert loop.delay == 0.5
        clock.now = NOW + 0.5
        loop.call()
        assert events == [("AuthorizationExpired", NOW + 0.5), ("AccessExhausted", NOW + 0.5)]
    assert not loop.is_set()


def test_it_looks_at_the_clock_from_time_to_time(loop: Loop, gateway: Gateway) -> None:
    clock = Clock()
    with GatewayTimer(gateway, print, clock=clock) as timer:
        gateway.authorize("alice", FILES, expires_at=NOW + 60)
        timer.update()
        assert loop.delay == LONGEST_SLEEP
        clock.now = NOW + 59.75  # somebody has set it
        loop.call()
        assert loop.delay == 0.25


def test_it_is_set_anew_only_for_what_comes_earlier(loop: Loop, gateway: Gateway) -> None:
    clock = Clock()
    with GatewayTimer(gateway, print, clock, clock=clock) as timer:
        for due, delay in ((0.5, 0.5), (0.75, 0.5), (0.25, 0.25), (-1.0, 0.0)):
            clock.due = NOW + due
            timer.update()
            assert loop.delay == delay
        loop.call()
    assert (clock.called, loop.delay) == ([NOW, NOW], None)


def test_an_error_in_an_event_does_not_stop_it(loop: Loop, gateway: Gateway) -> None:
    clock, seen = Clock(), list[Event]()

    def on_event(event: Event, _: float) -> None:
        seen.append(event)
        if len(seen) == 1:
            raise RuntimeError("the disk is full")

    with GatewayTimer(gateway, on_event, clock, clock=clock) as timer:
        gateway.authorize("alice", FILES, expires_at=NOW + 0.5)
        timer.update()
        clock.now = NOW + 0.5
        clock.due = NOW + 0.75
        with pytest.raises(RuntimeError, match="the disk is full"):
            loop.call()
        clock.due = NOW + 0.75
        timer.update()
        assert (len(seen), loop.delay) == (2, 0.25)


def test_in_a_loop_it_wakes_by_itself(gateway: Gateway) -> None:
    async def wait() -> Event:
        event: asyncio.Future[Event] = asyncio.get_running_loop().create_future()
        clock = Clock()
        clock.due = NOW
        with GatewayTimer(
            gateway, lambda one, _: event.set_result(one), clock, clock=clock
        ) as timer:
            gateway.authorize("alice", FILES, expires_at=NOW + 0.01)
            timer.update()
            clock.now = NOW + 0.01
            return await event

    def run(coroutine: Coroutine[Any, Any, Event]) -> Event:
        return asyncio.run(coroutine)

    gateway.handle_timeout(NOW)
    assert type(run(wait())).__name__ == "AuthorizationExpired"
