"""Stories of flows that the client began, for the tests of section 7.

A story is one of `tests.rules.stories`. Whether a flow lives is asked twice: with a packet that
comes back, and by its count; with flow records and without. Through the NAT another flow of the
same session, to another port, goes on all the time: so the session lives, and what ends is the
flow.
"""

from collections.abc import Iterator
from typing import Final

import pytest

from firezone_filter import Decision, Direction, Drop, Filter, Gateway, GatewayOptions, Reason
from firezone_filter.testing import ACK, icmp, icmp_echo, ip
from tests.numbers import ESP, GRE
from tests.rules.stories import START, play
from tests.rules.ways import Way
from tests.scenes import INBOUND, OUTBOUND, Family, gateway_for_alice
from tests.translations import EXPIRED, TICK, resolve

STATEFUL: Final = GatewayOptions(stateful=True)
RECORDED: Final = GatewayOptions(stateful=True, flow_records=True)
UNSOLICITED: Final = Drop(Reason.UNSOLICITED, "alice")
NO_ROOM: Final = Drop(Reason.FLOWS_EXHAUSTED, "alice")

BESIDE: Final = 444
"""Port of the flow that keeps a session alive."""

PULSE: Final = {"tcp": 3_600.0, "udp": 50.0}
"""Seconds from one of its packets to the next: less than any of its ends."""

SCTP: Final = 132

QUERIES: Final = {
    4: ((13, 14), (15, 16), (17, 18), (42, 43)),
    6: ((139, 140), (160, 161)),
}
"""ICMP requests that are no echo, and what answers them."""


by_either_limit = pytest.mark.parametrize("limit", ["max_flows_per_client", "max_flows"])


def limited(limit: str, flows: int) -> GatewayOptions:
    if limit == "max_flows":
        return GatewayOptions(stateful=True, max_flows=flows)
    return GatewayOptions(stateful=True, max_flows_per_client=flows)


def solicited(
    way: Way,
    *filters: Filter,
    options: GatewayOptions = STATEFUL,
    now: float | None = START,
) -> Gateway:
    """Let Alice reach the resource; nothing has been sent yet."""
    gateway = gateway_for_alice(way.resource(*filters), options=options, now=now)
    if way.translated:
        resolve(gateway, way.names)
    return gateway


def live_flows(gateway: Gateway, now: float | None = None) -> int:
    """Count the flows that live at a moment."""
    gateway.handle_packet(OUTBOUND, b"", now)
    return gateway.counters().flows


def tell(
    gateway: Gateway, way: Way, story: str, kind: str = "tcp", until: float | None = None
) -> None:
    """Let Alice talk, from `START` on, and her session live until a moment; all passes."""
    decisions: list[Decision] = []

    def build(direction: Direction, flags: int, port: int, payload: bytes) -> bytes:
        return way.packet(direction, kind, flags=flags, port=port, payload=payload)

    def go_on(to: float) -> None:
        while way.translated and kind in PULSE and pulses[-1] < to:
            pulses.append(min(pulses[-1] + PULSE[kind], to))
            for direction in (OUTBOUND, INBOUND):
                packet = build(direction, ACK, BESIDE, b"")
                decisions.append(gateway.handle_packet(direction, packet, START + pulses[-1]))

    pulses = [-1.0]
    for step in story.split():
        go_on(float(step.partition("<")[0].partition(">")[0].rstrip("-")) - TICK)
        decisions += play(gateway, step, build, START)
    if until is not None:
        go_on(until)
    assert all(decision.allowed for decision in decisions)


def asked(
    way: Way, story: str, now: float, kind: str = "tcp", options: GatewayOptions = STATEFUL
) -> tuple[Decision, int]:
    """Tell a new gateway a story, ask for the flow at a moment, and count what lives then."""
    gateway = solicited(way, options=options, now=START - 1.0)
    tell(gateway, way, story, kind, now)
    decision = gateway.handle_packet(INBOUND, way.packet(INBOUND, kind), START + now)
    return decision, live_flows(gateway)


def answered(way: Way, kind: str = "tcp") -> Decision:
    """Return the decision for an answer that passes."""
    return way.passed(INBOUND, lambda far: way.packet(INBOUND, kind, far=far))


def assert_lives(way: Way, story: str, now: float, kind: str = "tcp") -> None:
    """Check that the flow of a story lives at a moment."""
    expected = answered(way, kind), 1 + beside(way, kind)
    for options in (STATEFUL, RECORDED):
        assert asked(way, story, now, kind, options) == expected


def assert_over(way: Way, story: str, now: float, kind: str = "tcp") -> None:
    """Check that the flow of a story does not live at a moment."""
    # A session of echoes has the one flow, and ends with it.
    over = EXPIRED if way.translated and kind == "echo" else UNSOLICITED
    for options in (STATEFUL, RECORDED):
        assert asked(way, story, now, kind, options) == (over, beside(way, kind))


def assert_ends(way: Way, story: str, at: float, kind: str = "tcp") -> None:
    """Check that the flow of a story lives until a moment, and not at it."""
    assert_lives(way, story, at - TICK, kind)
    assert_over(way, story, at, kind)


def beside(way: Way, kind: str) -> int:
    """Count the flows that keep a session alive."""
    return int(way.translated and kind in PULSE)


def talks(family: Family) -> Iterator[tuple[str, bytes, bytes]]:
    """Yield what a client may ask of a host and what answers it, of each kind of flow."""
    out, back = family.flow(OUTBOUND), family.flow(INBOUND)
    yield "tcp", family.tcp(OUTBOUND), family.tcp(INBOUND)
    yield "udp", family.udp(OUTBOUND), family.udp(INBOUND)
    yield "echo", icmp_echo(out), icmp_echo(back, reply=True)
    for request, answer in QUERIES[family.version]:
        yield f"icmp-{request}", icmp(out, request), icmp(back, answer)
    for number in (GRE, ESP, SCTP):
        yield f"protocol-{number}", ip(out, number, bytes(8)), ip(back, number, bytes(16))
