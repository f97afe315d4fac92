"""The times of many frames, settled as `CaptureClock` settles each.

Almost always no time stamp of a chunk is odd: all are in the years of captures, and so near to
each other and to the latest that none can be more than 50 years from the one before. Then the
latest time at each frame is a running maximum. Any other chunk goes through the clock one by one.
"""

from typing import Final

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from firezone_filter.capture.stream import NS_PER_S, TIME_END_NS
from firezone_filter.replay.clock import CaptureClock
from firezone_filter.values.times import MAX_AHEAD

# A second less than the clock allows, which compares rounded seconds.
_SURELY_NEAR: Final = (int(MAX_AHEAD) - 1) * NS_PER_S

_EXACT: Final = 1 << 53
"""Up to here every whole number is a float."""


@frozen(eq=False)
class Settled:
    """At which times frames are decided."""

    latest_ns: NDArray[np.int64]
    """The latest time at each frame, that of the frame included; it never decreases."""

    is_odd: NDArray[np.bool_] | None
    """Which time stamps are odd; `None` if none is."""


def settle(clock: CaptureClock, times_ns: NDArray[np.int64]) -> Settled:
    """Let *clock* go on to all of *times_ns*, one after the other; return what it made of them."""
    if not len(times_ns):
        return Settled(times_ns, None)
    if _none_is_odd(clock, times_ns):
        return _settle_all(clock, times_ns)
    latest, odd = [], []
    for time_ns in times_ns.tolist():
        odd.append(clock.advance(time_ns))
        latest.append(clock.latest_ns)
    return Settled(np.array(latest, dtype=np.int64), np.array(odd, dtype=np.bool_))


def first_right(clock: CaptureClock, times_ns: NDArray[np.int64]) -> int:
    """Return the index of the first time stamp that sets *clock*, which must not be set.

    Returns:
        The number of time stamps if none does.
    """
    trial = CaptureClock(clock.latest_ns, clock.earliest_ns, is_set=False)
    for index, time_ns in enumerate(times_ns.tolist()):
        if not trial.advance(time_ns):
            return index
    return len(times_ns)


def _none_is_odd(clock: CaptureClock, times_ns: NDArray[np.int64]) -> bool:
    low, high = int(times_ns.min()), int(times_ns.max())
    return (
        clock.is_set
        and clock.earliest_ns <= low
        and high < TIME_END_NS
        and max(high, clock.latest_ns) - min(low, clock.latest_ns) <= _SURELY_NEAR
    )


def _settle_all(clock: CaptureClock, times_ns: NDArray[np.int64]) -> Settled:
    latest_ns = np.maximum.accumulate(times_ns)
    np.maximum(latest_ns, clock.latest_ns, out=latest_ns)
    # What is earlier than the latest with itself is as much earlier than the latest before it.
    late_by = latest_ns - times_ns
    clock.earlier += int(np.count_nonzero(late_by))
    clock.earlier_by_ns = max(clock.earlier_by_ns, int(late_by.max()))
    clock.latest_ns = int(latest_ns[-1])
    return Settled(latest_ns, None)


def to_seconds(times_ns: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return nanoseconds from 1970 on as seconds, each as `time_ns / NS_PER_S` of Python.

    That is the float nearest to the quotient, which numpy's division of two floats misses once
    a number of nanoseconds is none. Here only the sum of whole seconds and the rest is rounded in
    such a way as to matter: the rest of a division is 2**-54 from the exact one at most, while
    an exact sum that is not the very middle between two floats is further from it than that (a
    multiple of 2**9 over 10**9 * 2**32, since these floats are 2**-31 apart at least).
    """
    seconds, rest = np.divmod(times_ns, NS_PER_S)
    exact = times_ns < _EXACT
    return np.where(exact, times_ns / NS_PER_S, seconds + rest / NS_PER_S)
