"""What is timed: loops over packets, each as a host would write it.

A loop of its own for every way to call: an indirection in between would cost as much as
what is measured. Each returns the last decision, so that a bench can assert it.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from firezone_filter import Decision, Direction, Gateway

D = TypeVar("D")


def each(judge: Callable[[bytes], D], packets: Sequence[bytes]) -> Callable[[], D]:
    """Hand packets to a bare function."""

    def run() -> D:
        for packet in packets:
            decision = judge(packet)
        return decision

    return run


def alone(
    gateway: Gateway, direction: Direction, packets: Sequence[bytes]
) -> Callable[[], Decision]:
    """Hand packets to a gateway, and nothing else."""
    handle = gateway.handle_packet

    def run() -> Decision:
        for packet in packets:
            decision = handle(direction, packet)
        return decision

    return run


def timed(
    gateway: Gateway, direction: Direction, packets: Sequence[bytes], now: float
) -> Callable[[], Decision]:
    """Hand packets to a gateway, with the time, read once for all: so do hosts that drain a
    socket."""
    handle = gateway.handle_packet

    def run() -> Decision:
        for packet in packets:
            decision = handle(direction, packet, now)
        return decision

    return run


def clocked(
    gateway: Gateway, direction: Direction, packets: Sequence[bytes], clock: Iterator[float]
) -> Callable[[], Decision]:
    """Hand packets to a gateway, each with a time of its own."""
    handle = gateway.handle_packet

    def run() -> Decision:
        for packet, now in zip(packets, clock, strict=False):
            decision = handle(direction, packet, now)
        return decision

    return run


def named(
    gateway: Gateway, direction: Direction, packets: Sequence[bytes], now: float, client_id: str
) -> Callable[[], Decision]:
    """Hand packets to a gateway, with the time and the peer that the tunnel knows."""
    handle = gateway.handle_packet

    def run() -> Decision:
        for packet in packets:
            decision = handle(direction, packet, now, client_id=client_id)
        return decision

    return run


def as_a_host(
    gateway: Gateway,
    direction: Direction,
    packets: Sequence[bytes],
    clock: Iterator[float],
    client_id: str,
) -> Callable[[], Decision]:
    """Hand packets to a gateway, each with a time of its own and with the tunnel's peer."""
    handle = gateway.handle_packet

    def run() -> Decision:
        for packet, now in zip(packets, clock, strict=False):
            decision = handle(direction, packet, now, client_id=client_id)
        return decision

    return run


def batched(
    gateway: Gateway, direction: Direction, packets: Sequence[bytes], now: float
) -> Callable[[], Decision]:
    """Hand all packets to a gateway at once."""
    handle = gateway.handle_packets

    def run() -> Decision:
        return handle(direction, packets, now)[-1]

    return run


def mixed(
    gateway: Gateway, packets: Sequence[tuple[Direction, bytes]], clock: Iterator[list[float]]
) -> Callable[[], Decision]:
    """Hand packets to a gateway one by one: each with its direction, its time and its peer."""
    directions, wholes, client_ids = _in_lists(packets)
    handle = gateway.handle_packet

    def run() -> Decision:
        for direction, packet, now, client_id in zip(
            directions, wholes, next(clock), client_ids, strict=True
        ):
            decision = handle(direction, packet, now, client_id)
        return decision

    return run


def mixed_batch(
    gateway: Gateway, packets: Sequence[tuple[Direction, bytes]], clock: Iterator[list[float]]
) -> Callable[[], Decision]:
    """Hand the same packets to a gateway at once."""
    directions, wholes, client_ids = _in_lists(packets)
    handle = gateway.handle_batch

    def run() -> Decision:
        return handle(directions, wholes, next(clock), client_ids)[-1]

    return run


def _in_lists(
    packets: Sequence[tuple[Direction, bytes]],
) -> tuple[list[Direction], list[bytes], list[str | None]]:
    """Return directions, packets and peers, all of Alice's: a peer is known of those outbound."""
    return (
        [direction for direction, _ in packets],
        [packet for _, packet in packets],
        ["alice" if direction is Direction.OUTBOUND else None for direction, _ in packets],
    )
