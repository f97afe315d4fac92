"""A million packets, or 100,000 in the plain build, leave no reference and no memory behind.

Each way is gone until nothing more is remembered, and then again, with a look before and after:
at the references to what is handed in and out, at Python's allocated blocks, and at the memory
of the process.
"""

import gc
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import cycle, islice, repeat
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

from firezone_filter import CidrResource, Direction, Gateway, GatewayOptions
from firezone_filter.compiled.twins import IS_COMPILED
from firezone_filter.testing import udp
from tests.fuzz import hostile
from tests.scenes import INBOUND, OUTBOUND, V4, V6, gateway_for_alice
from tests.translations import N4, N6, app, resolve

CALLS: Final = 80_000 if IS_COMPILED else 8_000
"""Packets of each way between the two looks: of thirteen ways together about 1,040,000, or
104,000. (Of "errors" there are a fifth as many, and of "everything" what its seeds say.)"""

SLACK_BLOCKS: Final = 400
"""A leak of one block for each packet would be 200 times as many, plain 20 times."""

SLACK_PAGES: Final = 300

# An object of its own, so that nobody else takes references to it.
ALICE: Final = str(b"alice", "ascii")
NOW: Final = float("1000.5")
STATM: Final = Path("/proc/self/statm")


class Way(NamedTuple):
    """Something that hands in `CALLS` packets, and objects that are involved."""

    run: Callable[[], object]
    watched: Sequence[object] = ()


def gateway(**options: Any) -> Gateway:  # noqa: ANN401 - as `GatewayOptions` has them
    made = gateway_for_alice(
        V4.db(),
        CidrResource("db6", V6.network),
        app(),
        options=GatewayOptions(**options),
        now=NOW,
    )
    for names in (N4, N6):
        resolve(made, names)
    return made


def each(
    packets: Sequence[bytes],
    direction: Direction = OUTBOUND,
    client_id: str | None = ALICE,
    **options: Any,  # noqa: ANN401 - the same
) -> Way:
    """Hand packets in one by one, again and again."""
    handle = gateway(**options).handle_packet

    def run() -> None:
        for packet in islice(cycle(packets), CALLS):
            handle(direction, packet, NOW, client_id)

    run()
    some = packets[:6]
    return Way(run, [*some, *(handle(direction, packet, NOW, client_id) for packet in some)])


def answers(sent: bytes, came: bytes, **options: Any) -> Way:  # noqa: ANN401 - the same
    """Let answers come back, after a packet that makes them welcome."""
    made = gateway(**options)
    made.handle_packet(OUTBOUND, sent, NOW, ALICE)

    def run() -> None:
        for _ in repeat(None, CALLS):
            made.handle_packet(INBOUND, came, NOW)

    return Way(run, [came, made.handle_packet(INBOUND, came, NOW)])


def together(packets: list[bytes]) -> Way:
    handle = gateway().handle_packets

    def run() -> None:
        for _ in repeat(None, CALLS // len(packets)):
            handle(OUTBOUND, packets, NOW, ALICE)

    return Way(run, [*packets[:3], *handle(OUTBOUND, packets, NOW, ALICE)[:3]])


def batches(packets: list[bytes]) -> Way:
    handle, size = gateway().handle_batch, len(packets)
    ways, nows, client_ids = [OUTBOUND, INBOUND] * size, [NOW, None] * size, [ALICE, None] * size

    def run() -> None:
        for _ in repeat(None, CALLS // size):
            handle(ways[:size], packets, nows[:size], client_ids[:size])

    decisions = handle(ways[:size], packets, nows[:size])
    return Way(run, [*packets[:4], *decisions[:4]])


def errors() -> Way:
    """Hand in what raises; half of it in the middle of a batch."""
    made, packet = gateway(), V4.tcp(OUTBOUND)
    decide: Callable[..., object] = made.handle_batch
    wrong: list[tuple[Any, Any, Any, Any]] = [
        ("outbound", packet, NOW, ALICE),
        (OUTBOUND, "packet", NOW, ALICE),
        (OUTBOUND, packet, float("inf"), ALICE),
        (OUTBOUND, packet, "now", ALICE),
        (OUTBOUND, packet, NOW, b"alice"),
    ]

    def run() -> None:
        # An error takes as long as ten packets.
        for one in islice(cycle(wrong), CALLS // 10):
            with suppress(TypeError, ValueError):
                made.handle_packet(*one)
            with suppress(TypeError, ValueError):
                decide(*zip((OUTBOUND, packet, NOW, ALICE), one, strict=True))
        with suppress(ValueError):
            decide([OUTBOUND], [packet], [])

    return Way(run)


def everything() -> Way:
    """Make gateways and call all functions, with hostile bytes."""
    seeds = list(hostile.seeds())[::7]

    def run() -> None:
        for seed in seeds:
            hostile.run(seed)

    return Way(run)


def first_packets() -> list[bytes]:
    """Build packets of more flows than are remembered of one client."""
    return [udp(f"{V4.client}:{port} > {V4.host}:53") for port in range(1_000, 4_000)]


WAYS: Final[dict[str, Callable[[], Way]]] = {
    "remembered": lambda: each([V4.tcp(OUTBOUND), V6.tcp(OUTBOUND)]),
    "inbound": lambda: each([V4.tcp(INBOUND), V6.udp(INBOUND)], INBOUND, None),
    "first": lambda: each(first_packets()),
    "refused": lambda: each([V4.tcp(OUTBOUND, far=V4.stranger)], reject=False),
    "rejected": lambda: each([V6.tcp(OUTBOUND, far=V6.stranger)], reject_burst=10 * CALLS),
    "malformed": lambda: each([b"", b"E", V4.tcp(OUTBOUND)[:-1], V6.udp(OUTBOUND) + b"\0"]),
    "translated": lambda: each([*map(N4.sent, hostile.KINDS), *map(N6.sent, hostile.KINDS)]),
    "translated back": lambda: answers(N4.sent(), N4.came()),
    "tracked": lambda: answers(V4.udp(OUTBOUND), V4.udp(INBOUND), stateful=True),
    "counted": lambda: each([V4.udp(OUTBOUND), N6.sent()], flow_records=True),
    "all at once": lambda: each(
        [N4.sent("tcp"), V4.tcp(OUTBOUND)], flow_records=True, stateful=True
    ),
    "together": lambda: together([V4.tcp(OUTBOUND), N4.sent(), b""] * 20),
    "batches": lambda: batches([V4.tcp(OUTBOUND), V4.tcp(INBOUND), N4.sent(), N4.came()] * 20),
    "errors": errors,
    "everything": everything,
}

# Objects that C counts references of by hand, or that are handed in with every packet.
WATCHED: Final[tuple[object, ...]] = (ALICE, NOW, OUTBOUND, INBOUND, None, True, b"", "db", "app")


def look(watched: Sequence[object] = ()) -> tuple[list[int], int, int]:
    """Return references, blocks and pages."""
    gc.collect()
    pages = int(STATM.read_text().split()[1]) if STATM.exists() else 0
    return [sys.getrefcount(one) for one in (*WATCHED, *watched)], sys.getallocatedblocks(), pages


@pytest.mark.parametrize("way", WAYS)
def test_nothing_is_left_behind(way: str) -> None:
    run, watched = WAYS[way]()
    run()
    references, blocks, pages = look(watched)
    run()
    now_references, now_blocks, now_pages = look(watched)

    for before, after in zip(references, now_references, strict=True):
        assert abs(after - before) < SLACK_BLOCKS
    assert now_blocks - blocks < SLACK_BLOCKS
    assert now_pages - pages < SLACK_PAGES


def test_a_leak_of_one_reference_a_call_would_be_seen() -> None:
    kept: list[object] = []
    before = look()
    for _ in repeat(None, 2 * SLACK_BLOCKS):
        kept.append((ALICE, len(kept)))
    after = look()
    assert after[0][0] - before[0][0] > SLACK_BLOCKS
    assert after[1] - before[1] > SLACK_BLOCKS
