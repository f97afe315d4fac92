"""The observable state of a gateway, by public calls alone.

Looking takes time and events, so two gateways are made alike: the call that must not change
anything is made to one of them, and then both are looked at.
"""

from collections.abc import Callable
from functools import cache
from itertools import product
from typing import Final, TypeVar

import pytest

from firezone_filter import Direction, Gateway
from firezone_filter.testing import fragment
from tests.scenes import INBOUND, OUTBOUND, V4, V6, Family
from tests.translations import N4, N6, Names

E = TypeVar("E", bound=Exception)

Probe = tuple[Direction, bytes]

LOOKS: Final = (10.0, 30.0, 60.0, 61.0, 90.0, 120.0, 180.0, 240.0, 7_440.0)
"""Moments at which the gateway is looked at again, beside those of `poll_timeout`. Which these
are does not matter: nothing is expected of them but that two gateways show the same."""

MOST_TIMEOUTS: Final = 1_000
"""Far more calls of `handle_timeout` than any test needs from one look to the next."""


def _direct(family: Family) -> list[Probe]:
    fars = (family.host, family.stranger, family.public, family.gateway, family.spare)
    return [
        (direction, packet)
        for direction, far in product((OUTBOUND, INBOUND), fars)
        for packet in (
            family.tcp(direction, far=far),
            family.udp(direction, far=far),
            family.echo(direction, far=far),
            fragment(family.udp(direction, far=far, size=40), 16),
        )
    ]


def _translated(names: Names) -> list[Probe]:
    # Outbound from a port that no test uses: a proxy address shows where it leads, and no
    # session of a test is prolonged.
    return [
        *((INBOUND, names.came(kind, far=far)) for kind in _KINDS for far in names.real),
        *((OUTBOUND, names.sent(kind, 77, far=far)) for kind in _KINDS for far in names.proxies),
    ]


_KINDS: Final = ("tcp", "udp", "echo")
PROBES: Final[tuple[Probe, ...]] = (
    *(probe for family in (V4, V6) for probe in _direct(family)),
    *(probe for names in (N4, N6) for probe in _translated(names)),
)
"""Packets of Alice's and to her: permitted or refused, translated or fragments."""


def observed(gateway: Gateway) -> list[object]:
    """Return all that public calls show, now and at later moments.

    It is not as before then: events are fetched, and time has passed.
    """
    seen: list[object] = [
        repr(gateway),
        {client_id: gateway.authorizations(client_id) for client_id in gateway.clients()},
        gateway.poll_timeout(),
        list(iter(gateway.poll_event, None)),
        gateway.counters(),
        [gateway.handle_packet(*probe) for probe in PROBES],
        gateway.counters(),
    ]
    for look in LOOKS:
        # Bounded, so that a timeout that stays where it is fails instead of hanging.
        for _ in range(MOST_TIMEOUTS):
            moment = gateway.poll_timeout()
            if moment is None or moment >= look:
                break
            gateway.handle_timeout(moment)
            seen += [repr(gateway), *iter(gateway.poll_event, None)]
        else:  # pragma: no cover - a failure
            pytest.fail(f"poll_timeout stays at {moment}")
        gateway.handle_timeout(look)
        seen += [gateway.counters(), *iter(gateway.poll_event, None)]
    return seen


@cache
def _untouched(make: Callable[[], Gateway]) -> list[object]:
    return observed(make())


def assert_unchanged(gateway: Gateway, make: Callable[[], Gateway]) -> None:
    """Check that a gateway is as it was made, after calls that raised.

    Args:
        gateway: one that *make* returned.
        make: makes a gateway, the same every time.
    """
    assert observed(gateway) == _untouched(make)


def refused_without_effect(
    make: Callable[[], Gateway], call: Callable[[Gateway], object], error: type[E]
) -> E:
    """Check that a call raises *error* and changes nothing; return what it raised."""
    gateway = make()
    with pytest.raises(error) as caught:
        call(gateway)
    assert_unchanged(gateway, make)
    return caught.value
