"""Words that all parts of the model share: addresses, time, errors."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Any, TypeAlias

Address: TypeAlias = IPv4Address | IPv6Address

# What the caller hands in is read by its attributes alone, whatever its class.
Given: TypeAlias = Any

OUTBOUND = "OUTBOUND"
INBOUND = "INBOUND"

TCP = 6
UDP = 17
ICMP = {4: 1, 6: 58}


class ModelError(Exception):
    """A call that the gateway would refuse; `kind` is the name of its error class."""

    def __init__(self, kind: str) -> None:
        super().__init__(kind)
        self.kind = kind


@dataclass(eq=False)
class Moment:
    """A point in time; `None` as long as no call has brought a `now`.

    Whatever begins before the first `now` shares one moment, and the first `now` gives
    that moment its value: what was begun by then counts from there (section 2, Time).
    """

    seconds: float | None


def moved(moment: Moment, by: float) -> Moment:
    """Write a moment on a clock that was set by so many seconds; only asked once time is known."""
    assert moment.seconds is not None
    return Moment(moment.seconds + by)


def end_of(start: Moment, lasts: float) -> float:
    """Say when what began at `start` is over; only asked once time is known."""
    assert start.seconds is not None
    return start.seconds + lasts


def over(start: Moment, lasts: float, now: float) -> bool:
    """Tell whether what began at `start` is over: at `now >= start + n` it is."""
    return now >= end_of(start, lasts)
