"""Objects of the extension module of which something is missing: whatever uses them raises.

    python -m tests.property.test_compiled_half_made

Only a mistake of ours could make them, and no mistake may crash the host's process. Each call is
named before it is made, so that the last name tells which one did.
"""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

import firezone_filter
from firezone_filter import CidrResource, Forward, Gateway, Udp
from firezone_filter.accounting.refusals import RefusalCounts
from firezone_filter.compiled.twins import IS_COMPILED
from firezone_filter.gateway.first_packets import FirstPackets
from firezone_filter.gateway.flow_cache import FlowCount, FlowQueue, FlowStore
from tests.scenes import INBOUND, OUTBOUND, V4, V6, gateway_for_alice

ROOT: Final = Path(__file__).parents[2]
MODULE: Final = "tests.property.test_compiled_half_made"

pytestmark = pytest.mark.skipif(not IS_COMPILED, reason="the extension module is not in use")

KEY: Final = V4.udp(OUTBOUND)[12:24]
KEY6: Final = V6.udp(OUTBOUND)[8:44]
FAR: Final = KEY[4:8]
SHORT: Final = b"abc\xff"
PASSED: Final = Forward("alice", "db")

SOME: Final[Any] = [{} for _ in range(256)]
FEW: Final[Any] = [{}]
NO_DICTS: Final[Any] = [None] * 256


def remove(key: Any = SHORT, **fields: Any) -> Callable[[], object]:  # noqa: ANN401 - anything
    """Remove a key from a queue that has these fields alone."""
    queue = FlowQueue()
    for name, value in fields.items():
        setattr(queue, name, value)
    return lambda: queue.remove(key)


def queue_at(at: int) -> FlowQueue:
    queue = FlowQueue()
    queue.at = at
    return queue


def store(key: Any = SHORT, **fields: Any) -> Callable[[], object]:  # noqa: ANN401 - the same
    """Store a flow of a client that has these fields alone, and where there is room."""
    flows, count = FlowStore(), FlowCount()
    count.limit = 9
    for name, value in {"_cache": count, **fields}.items():
        setattr(flows, name, value)
    return lambda: flows.store(0, key, PASSED)


def packets(change: Callable[[Gateway], object]) -> Callable[[], object]:
    """Hand packets of all kinds to a gateway with something changed."""

    def call() -> None:
        gateway = gateway_for_alice(V4.db(Udp(53)), CidrResource("db6", V6.network))
        change(gateway)
        for family in (V4, V6):
            for way in (OUTBOUND, INBOUND):
                for far in (None, family.stranger, family.proxy):
                    for packet in (family.udp(way, far=far), family.tcp(way, far=far)):
                        gateway.handle_packet(way, packet, 1.0, "alice")
                gateway.handle_packet(way, family.echo(way), 1.0, "alice")

    return call


def table(name: str, protocol: int, shards: object) -> Callable[[], object]:
    return packets(lambda gateway: getattr(gateway, name).__setitem__(protocol, shards))


def client(name: str, *value: object) -> Callable[[], object]:
    """Set or delete a field of a client."""

    def change(gateway: Gateway) -> None:
        alice = gateway._clients.by_id["alice"]
        if value:
            setattr(alice, name, *value)
        else:
            delattr(alice, name)

    return packets(change)


class Ranges:
    """A range map of any form."""

    def __init__(self, starts: object, flags: object) -> None:
        self.ipv4 = self.ipv6 = (starts, flags)


def ranges(starts: Any, flags: Any, key: Any = KEY) -> Callable[[], object]:  # noqa: ANN401 - the same
    """Look a first packet up in ranges of such starts and flags."""

    def call() -> object:
        clients: Any = gateway_for_alice(V4.db())._clients.by_address
        found: Any = Ranges(starts, flags)
        first = FirstPackets(clients, found, RefusalCounts(None), replies=False)
        return first._first(OUTBOUND, 17, key, V4.udp(OUTBOUND), None, 1.0)

    return call


CALLS: Final[dict[str, Callable[[], object]]] = {
    "queue without fields": remove(),
    "queue without keys": FlowQueue().remove_first,
    "queue without a place": remove(tables=[SOME], at=0),
    "queue of another place": remove(tables=[SOME], at=-9),
    "queue and a key of no bytes": remove(b"", tables=[SOME], at=-1),
    "queue and no key": remove(None, tables=[SOME], at=-1),
    "queue with few shards": remove(tables=[FEW], at=-1),
    "queue with no shards": remove(tables=[None], at=-1),
    "queue with shards that are none": remove(tables=[NO_DICTS], at=-1),
    "store without fields": lambda: FlowStore().store(0, KEY, PASSED),
    "store without places": store(),
    "store that finds no place": store(_places={}),
    "store with an empty place": store(_places={0: ()}),
    "store with half a place": store(_places={0: (SOME,)}),
    "store with no queue": store(_places={0: (SOME, None)}),
    "store with a queue that is none": store(_places={0: (SOME, object())}),
    "store with no shards": store(_places={0: (None, queue_at(-1))}),
    "store with few shards": store(_places={0: (FEW, queue_at(-1))}),
    "store with shards that are none": store(_places={0: (NO_DICTS, queue_at(-1))}),
    "store with a queue without keys": store(_places={0: (SOME, queue_at(-1))}),
    "store and no key": store(None, _places={0: (SOME, queue_at(-1))}),
    "store without a cache": store(_places={0: (SOME, queue_at(-1))}, _cache=None),
    **{
        f"{name} with few shards": table(name, protocol, FEW)
        for name, protocol in (
            ("_outbound", 17),
            ("_inbound", 17),
            ("_outbound_handlers", 17),
            ("_inbound_handlers", 1),
        )
    },
    **{
        f"no {name}": packets(lambda gateway, name=name: getattr(gateway, name).clear())  # type: ignore[misc]
        for name in ("_outbound", "_inbound", "_outbound_handlers", "_inbound_handlers")
    },
    **{
        f"client of which {name} is None": client(name, None)
        for name in ("flow_cache", "access", "reply_tokens")
    },
    **{
        f"client without {name}": client(name)
        for name in ("flow_cache", "access", "drops", "valid_until")
    },
    "client with a NAT that is none": client("nat", object()),
    "fewer flags than ranges": ranges([bytes(4), FAR], [0]),
    "no flags": ranges([bytes(4)], []),
    "no ranges": ranges([], [0]),
    "ranges that are none": ranges([None], [0]),
    "ranges of the other family": ranges([bytes(16)], [0]),
    "ranges of the other family, too": ranges([bytes(4)], [0], KEY6),
    "flags that are none": ranges([bytes(4)], [None]),
    "first packet and no key": ranges([bytes(4)], [0], None),
}


def main() -> None:
    for name, call in CALLS.items():
        sys.stdout.write(f"{name}: ")
        sys.stdout.flush()
        try:
            call()
        except Exception as error:  # noqa: BLE001 - whichever
            sys.stdout.write(f"{error!r}\n")
        else:
            sys.stdout.write("nothing\n")


def test_half_made_objects_raise_and_do_not_crash() -> None:
    done = subprocess.run(  # noqa: S603 - ours
        [sys.executable, "-m", MODULE],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(Path(firezone_filter.__file__).parents[1])},
        capture_output=True,
        text=True,
        check=False,
    )
    # The last line names the call that has crashed.
    assert done.returncode == 0, done.stdout + done.stderr
    told = dict(line.split(": ", maxsplit=1) for line in done.stdout.splitlines())
    assert set(told) == set(CALLS)
    assert [name for name, answer in told.items() if answer == "nothing"] == []


if __name__ == "__main__":
    main()
