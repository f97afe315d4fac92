"""Stories of one flow, in a line each.

`"0>S 1<SA 2>F@444+9"` is a SYN of the client at 0 seconds, a SYN with ACK that comes back at 1,
and a FIN at 2 that goes to port 444 in place of 443, with 9 bytes of payload. Without flags it
is an ACK, `0` are none, and `8-` is the last moment before 8 seconds.

Whether a session lives is asked with a packet that comes back, in a gateway of its own for each
moment: the question confirms what it finds.
"""

import re
from collections.abc import Callable, Mapping
from typing import Final

import pytest

from firezone_filter import Decision, Direction, Gateway, Translate
from firezone_filter.testing import ACK, FIN, RST, SYN, tcp
from tests.scenes import INBOUND, OUTBOUND, Family
from tests.translations import EXPIRED, TICK, Names, gateway_with, through

START: Final = 1_000.0
IDLE: Final = {"tcp": 7_440, "udp": 120, "echo": 120}
"""Seconds that a session lives after its last packet (of TCP: its last one out), once something
has come back."""

_FLAGS: Final = {"S": SYN, "A": ACK, "F": FIN, "R": RST, "0": 0}
_STEP: Final = re.compile(r"(\d+)(-?)([<>])([SAFR0]*)(?:@(\d+))?(?:\+(\d+))?")

Builder = Callable[[Direction, int, int, bytes], bytes]
"""Builds a packet from its direction, flags, port of the resource and payload."""


def play(gateway: Gateway, story: str, build: Builder, start: float = 0.0) -> list[Decision]:
    """Hand in the packets of a story."""
    decisions = []
    for step in story.split():
        found = _STEP.fullmatch(step)
        assert found, step
        seconds, before, arrow, letters, port, size = found.groups()
        direction = OUTBOUND if arrow == ">" else INBOUND
        flags = sum(_FLAGS[letter] for letter in letters or "A")
        packet = build(direction, flags, int(port or 443), bytes(int(size or 0)))
        now = start + int(seconds) - (TICK if before else 0.0)
        decisions.append(gateway.handle_packet(direction, packet, now))
    return decisions


def talk(gateway: Gateway, story: str, family: Family) -> None:
    """Let Alice talk to the host of the resource "db" by TCP; all packets pass."""

    def build(direction: Direction, flags: int, port: int, payload: bytes) -> bytes:
        return tcp(family.flow(direction, port), payload, flags=flags)

    assert all(decision.allowed for decision in play(gateway, story, build))


def tell(gateway: Gateway, names: Names, story: str, kind: str = "tcp") -> None:
    """Let Alice talk through the NAT, from the start on; all packets are translated."""

    def build(direction: Direction, flags: int, port: int, payload: bytes) -> bytes:
        make = names.sent if direction is OUTBOUND else names.came
        return make(kind, flags=flags, port=port, payload=payload)

    decisions = play(gateway, story, build, START)
    assert all(isinstance(decision, Translate) for decision in decisions)


def asked(names: Names, story: str, now: float, kind: str = "tcp") -> Decision:
    """Tell a gateway a story, and ask for the session at a moment."""
    gateway = gateway_with(names, now=START)
    tell(gateway, names, story, kind)
    return gateway.handle_packet(INBOUND, names.came(kind), START + now)


def alive(names: Names, kind: str = "tcp") -> Decision:
    return through(names.came(kind, far=names.proxies[0]))


def assert_ends(names: Names, story: str, at: float, kind: str = "tcp") -> None:
    """Check that the session of a story lives until a moment, and not at it."""
    assert asked(names, story, at - TICK, kind) == alive(names, kind)
    assert asked(names, story, at, kind) == EXPIRED


def stories(ends: Mapping[str, float]) -> pytest.MarkDecorator:
    """Run a test with each of several stories, and the moment at which its session ends."""
    return pytest.mark.parametrize(("story", "ends"), ends.items(), ids=list(ends))
