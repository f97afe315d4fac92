"""`GatewayTimer`: calls `handle_timeout` on time, and hands on what has happened."""

import asyncio
import math
import time
from collections.abc import Callable
from types import TracebackType
from typing import Final, Protocol, Self

from firezone_filter import Event, Gateway

LONGEST_SLEEP: Final = 1.0
"""Seconds between two looks at the clock, which someone may have set in between."""


class Timed(Protocol):
    """What wants to be called at a time, as a `DecisionLog` does."""

    def poll_timeout(self) -> float | None:
        """Return when to call `handle_timeout`, in Unix time; `None` for never."""

    def handle_timeout(self, now: float) -> object:
        """Do what is due at *now*."""


class GatewayTimer:
    """Calls a gateway on time, and hands on its events, in the running event loop.

    Use it with `with`, in a coroutine. Call `update` after every hook and after every packet or
    batch of packets: each may have brought events, or an earlier timeout. Everything else goes
    by itself::

        with GatewayTimer(gateway, log.event, log) as timer:
            gateway.authorize("alice", database, expires_at=now + 3600)
            timer.update()

    A timer does not decide: permissions end on time without it. An error of `on_event` goes
    to whoever called `update`, or to the loop's exception handler; the events behind it come
    with the next call.

    Args:
        gateway: the gateway.
        on_event: gets each event, and the time at which it is handed on.
        others: are called on time too, such as a `DecisionLog`.
        clock: returns Unix time, in seconds.
    """

    def __init__(
        self,
        gateway: Gateway,
        on_event: Callable[[Event, float], object],
        *others: Timed,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._gateway = gateway
        self._on_event = on_event
        self._all: tuple[Timed, ...] = (gateway, *others)
        self._clock = clock
        self._handle: asyncio.TimerHandle | None = None
        self._wake = math.inf

    def __enter__(self) -> Self:
        self._on_timer()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._cancel()

    def update(self) -> None:
        """Hand on what has happened, and set the timer to what comes next.

        Raises:
            Exception: whatever `on_event` raises; the timer is set all the same.
        """
        try:
            while (event := self._gateway.poll_event()) is not None:
                self._on_event(event, self._clock())
        finally:
            due = min(
                (at for one in self._all if (at := one.poll_timeout()) is not None), default=None
            )
            if due is not None and due < self._wake:
                self._wake_at(due)

    def _on_timer(self) -> None:
        self._cancel()
        now = self._clock()
        try:
            for one in self._all:
                one.handle_timeout(now)
        finally:
            self.update()

    def _wake_at(self, due: float) -> None:
        self._cancel()
        self._wake = due
        delay = min(max(0.0, due - self._clock()), LONGEST_SLEEP)
        self._handle = asyncio.get_running_loop().call_later(delay, self._on_timer)

    def _cancel(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
        self._handle, self._wake = None, math.inf
