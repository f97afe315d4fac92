"""The time at which each packet of a capture is decided, whatever its time stamp says.

A gateway's time never runs backwards, and a jump of more than 50 years is refused as a mistake
of the host. In a capture such jumps are damage to single time stamps, or the first packets of
a machine that did not know the time yet; they must not end the replay.
"""

from collections.abc import Iterable, Sequence
from math import ceil
from typing import Final

from attrs import define

from firezone_filter.capture.stream import NS_PER_S, TIME_END_NS
from firezone_filter.policy import Policy
from firezone_filter.values.times import MAX_AHEAD

WINDOW: Final = 8
"""Packets that decide together at which time a capture begins. Enough to outvote a few that
are odd, and so few that a live capture does not seem to stand still."""


def earliest_begin(expiries: Sequence[float]) -> int:
    """Return the earliest time at which a policy with *expiries* can begin, in nanoseconds.

    A gateway refuses an expiry that is more than 50 years ahead. A policy that could begin
    only after 2106 can begin at no time of a capture, and has to be refused: it gets 1970.
    """
    time_ns = ceil(max(expiries, default=0) - MAX_AHEAD) * NS_PER_S
    return time_ns if 0 < time_ns < TIME_END_NS else 0


def begin(times_ns: Sequence[int], expiries: Sequence[float]) -> int | None:
    """Return the time at which a capture begins, in nanoseconds.

    It is the first time stamp that as many others as possible confirm by being within 50 years
    of it. Of several, the one that is nearest to an expiry of the policy counts: of two packets,
    one of today and one of 2106, both are without any other to confirm them.

    Args:
        times_ns: the first time stamps of the capture, at least one.
        expiries: the expiries of the policy, in seconds.

    Returns:
        `None` if the policy can begin at none of them.
    """
    earliest_ns = earliest_begin(expiries)
    usable = [time_ns for time_ns in times_ns if earliest_ns <= time_ns < TIME_END_NS]
    if not usable:
        return None

    def merit(time_ns: int) -> tuple[int, float]:
        confirmed = sum(_is_near(time_ns, other) for other in usable)
        seconds = time_ns / NS_PER_S
        return confirmed, -min((abs(expiry - seconds) for expiry in expiries), default=0)

    return _first_of_its_time(usable, max(usable, key=merit))


def _first_of_its_time(usable: Iterable[int], best_ns: int) -> int:
    # The merits of equally confirmed time stamps differ by seconds: the first one is the begin.
    return next(time_ns for time_ns in usable if _is_near(time_ns, best_ns))


def _is_near(time_ns: int, other_ns: int) -> bool:
    # In seconds, as the gateway reckons: otherwise a rounded difference could be too much.
    return abs(time_ns / NS_PER_S - other_ns / NS_PER_S) <= MAX_AHEAD


@define
class CaptureClock:
    """The latest time of a capture, and how many of its time stamps could not be followed."""

    latest_ns: int
    """The latest time so far, in nanoseconds."""

    earliest_ns: int = 0
    """The earliest time at which the policy can begin."""

    is_set: bool = True
    """Whether `latest_ns` is a time of the capture, and not `earliest_ns` in the place of one."""

    odd: int = 0
    """Packets with a time stamp outside 1970 to 2106, before the policy can begin, or more than
    50 years from the latest."""

    earlier: int = 0
    """Packets with a time stamp earlier than the latest, odd ones apart."""

    earlier_by_ns: int = 0
    """By how much the earliest of them was."""

    @property
    def seconds(self) -> float:
        """The latest time, as exact as a float can be."""
        return self.latest_ns / NS_PER_S

    def advance(self, time_ns: int) -> bool:
        """Go on to the packet that was captured at *time_ns*; return whether that is odd."""
        if not (self.earliest_ns <= time_ns < TIME_END_NS and self._can_follow(time_ns)):
            self.odd += 1
            return True
        self.is_set = True
        if time_ns < self.latest_ns:
            self.earlier += 1
            self.earlier_by_ns = max(self.earlier_by_ns, self.latest_ns - time_ns)
        else:
            self.latest_ns = time_ns
        return False

    def _can_follow(self, time_ns: int) -> bool:
        # Before the first right time stamp, what is within 50 years of the last expiry is right.
        near_ns = self.latest_ns if self.is_set else self.earliest_ns + MAX_AHEAD * NS_PER_S
        return _is_near(time_ns, near_ns)


def started_clock(times_ns: Sequence[int], policy: Policy) -> CaptureClock:
    """Return the clock of a capture that begins with *times_ns*, before the first of them."""
    expiries = [
        authorization.expires_at
        for client in policy.clients
        for authorization in client.authorizations
        if authorization.expires_at is not None
    ]
    earliest_ns = earliest_begin(expiries)
    begin_ns = begin(times_ns, expiries)
    if begin_ns is None:
        return CaptureClock(earliest_ns, earliest_ns, is_set=False)
    return CaptureClock(begin_ns, earliest_ns)
