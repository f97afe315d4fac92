"""What a call does, counted instead of timed: no matter how busy a machine is.

Steps are lines of Python, calls of Python functions and calls of built-in ones; a loop takes
as many as it has turns. What a built-in function does inside is not seen, but for the blocks
of memory that it takes or gives back: dropping a container of thousands shows. Nor is what the
extension module does: its plain twins, which have the same loops, are counted without it.
"""

import gc
import sys
from collections.abc import Callable
from ipaddress import IPv4Address
from itertools import product
from types import FrameType
from typing import Any, Final

from attrs import frozen

from benches.worst import START, STATES, UPKEEP, Scene, Worst, calls, client_ip, tcp
from firezone_filter import CidrResource, Gateway, GatewayOptions


@frozen
class Steps:
    """The most that single calls did in one state."""

    size: int
    """How much there was that could be walked over."""
    of_packets: int
    packet: str
    """The kind of packet that took them."""
    of_upkeep: int
    """Those of `handle_timeout` and `poll_event`."""
    blocks: int
    """Blocks of memory that a call for a packet took or gave back."""


def steps(run: Callable[[], object]) -> int:
    """Return how many steps a call takes."""
    taken = 0

    def look(_: FrameType, __: str, ___: Any) -> Any:  # noqa: ANN401 - as `sys` has it
        nonlocal taken
        taken += 1
        return look

    before = sys.gettrace()
    sys.settrace(look)
    sys.setprofile(look)
    try:
        run()
    finally:
        sys.setprofile(None)
        sys.settrace(before)
    return taken


def blocks(run: Callable[[], object]) -> int:
    """Return how many blocks of memory a call takes, or gives back."""
    before = sys.getallocatedblocks()
    run()
    return abs(sys.getallocatedblocks() - before)


def counted(state: str, size: int, rounds: int = 5) -> Steps:
    """Bring about a state of at most *size*, twice, and count what calls do in it."""

    def build() -> Worst:
        return STATES[state](lambda count: min(count, size))

    worst = build()
    of_packets, packet, of_upkeep = 0, "", 0
    for call in calls(worst, rounds):
        taken = steps(call.run)
        if call.kind in UPKEEP:
            of_upkeep = max(of_upkeep, taken)
        elif taken > of_packets:
            of_packets, packet = taken, call.kind
    most = 0
    gc.disable()
    for call in calls(build(), rounds):
        moved = blocks(call.run)
        most = max(most, moved) if call.kind not in UPKEEP else most
    gc.enable()
    return Steps(worst.size, of_packets, packet, of_upkeep, most)


ENDINGS: Final[dict[str, Callable[[Gateway], object]]] = {
    "revoke a name": lambda gateway: gateway.revoke("client-0", "name-7"),
    "revoke a network": lambda gateway: gateway.revoke("client-0", "company"),
    "revoke what has nothing": lambda gateway: gateway.revoke("client-0", "net-7"),
    "let a name expire": lambda gateway: gateway.update_expiry("client-0", "name-7", START),
    "let a network expire": lambda gateway: gateway.update_expiry("client-0", "company", START),
}
"""Ways in which one of very many resources of a client ends."""


def ending(how: str, size: int, *, flow_records: bool) -> int:
    """Return how many steps it takes to end one of *size* resources of each kind.

    Two sessions, and two open records, belong to it; to all others as many.
    """
    scene = Scene(GatewayOptions(flow_records=flow_records))
    scene.connect(0)
    for place in range(size):
        scene.give_name(0, place)
    scene.networks(0, size, None)
    scene.open_sessions(0, 2 * size, names=size)
    scene.give(0, CidrResource("company", "10.200.0.0/16"))
    for port in (1, 2):
        scene.send(tcp(client_ip(0), port, int(IPv4Address("10.200.0.5")), 443, flags=2))
    return steps(lambda: ENDINGS[how](scene.gateway))


def all_endings(size: int) -> dict[tuple[str, bool], int]:
    """Count each, without and with flow records."""
    return {
        (how, flow_records): ending(how, size, flow_records=flow_records)
        for how, flow_records in product(ENDINGS, (False, True))
    }


def all_counted(size: int) -> dict[str, Steps]:
    """Count in every state."""
    return {state: counted(state, size) for state in STATES}


def main() -> None:
    """Print what is counted, for states of as many as the arguments say."""
    for size in map(int, sys.argv[1:] or ("500", "5000")):
        for state, found in all_counted(size).items():
            sys.stdout.write(f"{state}: {found}\n")


if __name__ == "__main__":
    main()
