"""Hostile bytes for the extension module: gateways with all kinds of flows, and its functions.

Run below AddressSanitizer (`sanitized`), where each packet is an allocation of exactly its size,
it finds what is read or written beyond one. What is decided is compared elsewhere
(`property/builds`, `interpret`); here nothing may crash, and no call may raise but as it says.

    python -m tests.fuzz.hostile -max_total_time=60

With `atheris` the search is guided by coverage, that of C too where it was compiled for it; the
options are those of libFuzzer. Without, seeds are changed by chance for so many seconds.
"""

import importlib.util
import inspect
import random
import struct
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from ipaddress import ip_address
from itertools import product
from pathlib import Path
from tempfile import mkdtemp
from types import FunctionType, ModuleType
from typing import Any, Final, NamedTuple, get_type_hints

import numpy as np

from firezone_filter import (
    CidrResource,
    Decision,
    Forward,
    Gateway,
    GatewayOptions,
    Reason,
)
from firezone_filter.capture.formats import ENHANCED_PACKET_BLOCK
from firezone_filter.capture.frames import Frames
from firezone_filter.capture.walk import walk_pcap, walk_pcapng
from firezone_filter.compiled import twins
from firezone_filter.gateway.flow_cache import INBOUND as INBOUND_TABLE
from firezone_filter.gateway.flow_cache import OUTBOUND as OUTBOUND_TABLE
from firezone_filter.gateway.flow_cache import ClientFlowCache, FlowCache, FlowQueue
from firezone_filter.packet.flow_key import flow_key
from firezone_filter.packet.headers import Headers, read_headers
from firezone_filter.packet.numbers import TCP, UDP
from firezone_filter.packet.replies import unreachable_reply
from firezone_filter.packet.rewrite import FlowRewriting
from firezone_filter.replay.columns.flow_table import FlowTable, nothing_found
from firezone_filter.replay.columns.links import place_ethernet
from firezone_filter.replay.partitions.excerpts import copy_frames
from firezone_filter.replay.partitions.owners import Owners, nothing_owned
from firezone_filter.testing import fragment, icmp_error
from tests.captures import ByteOrder, block
from tests.fuzz.interpret import Fed, Spent
from tests.scenes import INBOUND, OUTBOUND, V4, V6, gateway_for_alice
from tests.translations import N4, N6, app, resolve

KINDS: Final = ("tcp", "udp", "echo")
FORWARD: Final = Forward("alice", "db")

# --- Gateways and packets --------------------------------------------------------------------


def bases() -> Iterator[bytes]:
    """Yield packets of flows of all kinds, from which hostile ones are made."""
    for family, names in ((V4, N4), (V6, N6)):
        for way in (OUTBOUND, INBOUND):
            yield from (family.tcp(way), family.udp(way, size=3), family.echo(way))
            whole = family.udp(way, size=40)
            yield from (fragment(whole, 0, 16), fragment(whole, 16))
        for kind in KINDS:
            yield from (names.sent(kind, payload=b"odd"), names.came(kind))
        quoted = names.sent("udp")
        back = family.flow(INBOUND, far=names.real[0])
        yield icmp_error(back, family.unreachable, quoting=quoted[: family.header + 8])
        yield icmp_error(family.flow(OUTBOUND), family.unreachable, quoting=family.tcp(INBOUND))


BASES: Final = tuple(bases())

OPTIONS: Final = tuple(
    GatewayOptions(stateful=stateful, flow_records=flow_records, reject=reject)
    for stateful, flow_records, reject in product((False, True), repeat=3)
)
CLIENTS: Final = ("alice", "bob", None, "nobody")
STEPS: Final = (0.0, 0.25, 61.0, 7_441.0)

MAX_ADDED: Final = 63


def gateway_with_flows(options: GatewayOptions) -> Gateway:
    gateway = gateway_for_alice(
        V4.db(), CidrResource("db6", V6.network), app(), options=options, now=0.0
    )
    for names in (N4, N6):
        resolve(gateway, names)
    return gateway


def draw_packet(fed: Fed) -> bytes:
    """Draw a packet, of exactly so many bytes: one of `BASES`, cut, changed or continued."""
    which, change, place, value = fed.take(4)
    packet = BASES[which % len(BASES)] if which < 0xF0 else b""
    if change & 1:
        packet = packet[:place]
    if change & 2:
        packet += fed.take(value & MAX_ADDED)
    if change & 4 and packet:
        place %= len(packet)
        packet = packet[:place] + bytes([value]) + packet[place + 1 :]
    return with_length(packet) if change & 8 else packet


def with_length(packet: bytes) -> bytes:
    """Let the length field tell the truth, so that what comes after that check is reached."""
    if packet[:1] and packet[0] >> 4 == 4:
        return packet[:2] + len(packet).to_bytes(2) + packet[4:]
    if len(packet) >= 40:
        return packet[:4] + (len(packet) - 40).to_bytes(2) + packet[6:]
    return packet


def run(data: bytes) -> None:
    """Do what an input says; raise where a call did what no call may do."""
    tell(data)


def tell(data: bytes) -> list[str]:
    """Do what an input says, to its end; return what was called."""
    done: list[str] = []
    fed = Fed(data)
    try:
        gateway, now = gateway_with_flows(OPTIONS[fed.take(1)[0] % len(OPTIONS)]), 0.0
        while True:
            what = fed.take(1)[0]
            if what >= 0xC0 and TARGETS:
                done.append(call(TARGETS[what % len(TARGETS)], fed))
                continue
            now += STEPS[what >> 4 & 3]
            hand_in(gateway, what, fed, now)
            done.append("packets")
    except Spent:
        return done


def hand_in(gateway: Gateway, what: int, fed: Fed, now: float) -> None:
    """Hand packets to a gateway, by one of its three methods."""
    direction = INBOUND if what & 1 else OUTBOUND
    client_id = CLIENTS[what >> 6 & 3]
    packet = draw_packet(fed)
    match what >> 1 & 3:
        case 0:
            decisions = [gateway.handle_packet(direction, packet)]
        case 1:
            decisions = [gateway.handle_packet(direction, packet, now, client_id)]
        case 2:
            decisions = gateway.handle_packets(direction, (packet, BASES[0]), now, client_id)
        case _:
            ways, packets = [direction, OUTBOUND, INBOUND], [packet, BASES[0], draw_packet(fed)]
            decisions = gateway.handle_batch(ways, packets, [now, None, now + 1.0])
    for decision in decisions:
        if not isinstance(decision, Decision):  # pragma: no cover - a finding
            raise TypeError(f"no decision: {decision!r}")


# --- Functions ---------------------------------------------------------------------------------


def draw_headers(fed: Fed) -> Headers:
    """Draw headers, which need not be those of the packet that they are handed in with."""
    headers = read_headers(draw_packet(fed))
    if headers is None:
        headers = read_headers(BASES[0])
    assert headers is not None
    return headers


DRAWN: Final[dict[object, Callable[[Fed], Any]]] = {
    bytes: draw_packet,
    Headers: draw_headers,
    Reason: lambda _: Reason.NO_RESOURCE,
    str: lambda _: "alice",
}
"""How arguments of functions are drawn, by their types: what is not bytes is of the right kind."""


Types = dict[str, object]
"""The types of arguments by their names."""

Call = Callable[[], object]
"""A call whose arguments have been drawn; what it returns is true if it got to the end."""


def types_of(function: Callable[..., Any]) -> Types:
    hints = get_type_hints(function)
    return {name: hints.get(name) for name in inspect.signature(function).parameters}


def simply(function: Callable[..., Any], arguments: Types, fed: Fed) -> Call:
    """Draw the arguments of a function by their types."""
    return partial(function, **{name: DRAWN[hint](fed) for name, hint in arguments.items()})


def is_odd(fed: Fed) -> bool:
    """Draw whether an argument does not go with the others, as one in eight."""
    return fed.take(1)[0] % 8 == 7


def draw_size(usual: Sequence[int], fed: Fed) -> int:
    """Draw one of the lengths or numbers that are usual, seldom another one."""
    what = fed.take(1)[0]
    return what & 0x3F if what % 8 == 7 else usual[what % len(usual)]


class Flow(NamedTuple):
    """A packet with its flow key, its protocol and the length of its addresses."""

    packet: bytes
    key: bytes
    protocol: int
    size: int


def draw_flow(fed: Fed) -> Flow:
    """Draw a flow, seldom one in which nothing goes with the rest."""
    packet = draw_packet(fed)
    headers = read_headers(packet)
    key = None if headers is None else flow_key(headers, packet)
    if headers is None or key is None or is_odd(fed):
        key, protocol = fed.take(draw_size((11, 12, 35, 36), fed)), draw_size((1, 6, 17, 58), fed)
        return Flow(packet, key, protocol, draw_size((4, 16), fed))
    return Flow(packet, key, headers.protocol, len(headers.source))


def rewrite(fed: Fed) -> Call:
    """Rewrite a packet of a flow, seldom one of another."""
    flow = draw_flow(fed)
    other = draw_packet(fed) if is_odd(fed) else flow.packet
    address, port = fed.take(flow.size), int.from_bytes(fed.take(2)) - 9 * is_odd(fed)
    outbound = bool(fed.take(1)[0] & 1)
    return lambda: FlowRewriting(flow.key, flow.protocol, address, port, outbound).apply(other)


def reply(fed: Fed) -> Call:
    packet = draw_packet(fed)
    size = draw_size((4, 16), fed)
    source, destination = fed.take(size), fed.take(size + is_odd(fed))
    prohibited = bool(fed.take(1)[0] & 1)
    return lambda: unreachable_reply(packet, source, destination, prohibited=prohibited)


def remove(fed: Fed) -> Call:
    """Remove an entry of a table, or one that may be in none, of too few shards."""
    key = draw_flow(fed).key
    queue = FlowQueue()
    queue.at = fed.take(1)[0] - 128 if is_odd(fed) else (-3, -1)[fed.take(1)[0] & 1]
    shards: list[dict[bytes, Any]] = [{} for _ in range(draw_size((256,), fed))]
    queue.tables, queue.keys = [shards, shards], deque((key,))

    def call() -> bool:
        shards[key[queue.at]][key] = FORWARD
        queue.remove_first()
        return not shards[key[queue.at]]

    return call


def store(fed: Fed) -> Call:
    """Store decisions of a client, of more flows than may be."""
    cache = FlowCache(fed.take(1)[0] & 3)
    client = ClientFlowCache(cache)
    first, last = draw_flow(fed), draw_flow(fed)
    table = fed.take(1)[0] if is_odd(fed) else (OUTBOUND_TABLE, INBOUND_TABLE)[fed.take(1)[0] & 1]

    def call() -> bool:
        for protocol, key in product((TCP, UDP), (first.key, last.key, last.key[::-1], first.key)):
            client.store(table + protocol, key, FORWARD)
        return len(cache) > 0

    return call


def decide_first(fed: Fed) -> Call:
    """Decide about a packet as the first one of a flow, which need not be its own."""
    flow = draw_flow(fed)
    options = OPTIONS[fed.take(1)[0] % len(OPTIONS)]
    client_id, now = CLIENTS[fed.take(1)[0] % len(CLIENTS)], STEPS[fed.take(1)[0] % len(STEPS)]

    def call() -> object:
        gateway = gateway_with_flows(options)
        facts = (flow.protocol, flow.key, flow.packet, client_id, now)
        decisions = [gateway._first(direction, *facts) for direction in (OUTBOUND, INBOUND)]
        return decisions != [None, None]

    return call


WALKS: Final[dict[str, Callable[..., tuple[int, int]]]] = {
    "walk_pcap": walk_pcap,
    "walk_pcapng": walk_pcapng,
}


def walk(name: str, fed: Fed) -> Call:
    """Walk the headers of captured packets, seldom some that lie."""
    order: ByteOrder = ">" if fed.take(1)[0] & 1 else "<"
    data = b""
    for _ in range(3):
        packet = draw_packet(fed)
        size = int.from_bytes(fed.take(3)) if is_odd(fed) else len(packet)
        if name == "walk_pcap":
            data += struct.pack(order + "IIII", 1, 2, size, size) + packet
        else:
            head = struct.pack(order + "IIIII", fed.take(1)[0] & 1, 3, 4, size, size)
            data += block(ENHANCED_PACKET_BLOCK, head + packet, order)
    end = len(data) + fed.take(1)[0] - 128 if is_odd(fed) else len(data)
    rows = np.empty((5, draw_size((2, 4), fed)), np.int64)
    rest = (16, order == ">", 1_000) if name == "walk_pcap" else (order == ">", 2)
    function = WALKS[name]
    return lambda: function(np.frombuffer(data, np.uint8), 0, end, rows, 0, *rest)[0] > 0


def draw_frames(fed: Fed) -> Frames:
    """Draw frames of Ethernet, seldom some of which less was captured, or more is said to be."""
    frames = [b"\0" * 12 + b"\x08\0" + draw_packet(fed) for _ in range(3)]
    captured = np.array([len(frame) for frame in frames], np.int64)
    starts = np.array([0, *np.cumsum(captured)[:-1]], np.int64)
    if is_odd(fed):
        captured[0] += fed.take(1)[0] - 128
        starts[1] += fed.take(1)[0] - 128
    data = np.frombuffer(b"".join(frames), np.uint8)
    return Frames(data, starts, captured, captured, np.zeros(3, np.int64), 1, 1)


def place(fed: Fed) -> Call:
    """Find packets in frames, and more rarely in more of them than there are."""
    frames = draw_frames(fed)
    places = np.empty(draw_size((3,), fed), np.int64)

    def call() -> object:
        place_ethernet(frames.data, frames.starts, frames.captured, places, -1)
        return (places >= 0).any()

    return call


def find_flows(fed: Fed) -> Call:
    """Find the flows of packets, seldom of some that begin elsewhere."""
    frames, found = draw_frames(fed), nothing_found(3)
    places = frames.starts + 14
    places[2] += (fed.take(1)[0] - 128) * is_odd(fed)
    return lambda: FlowTable().find(frames, places, 0, found)


def find_owners(fed: Fed) -> Call:
    """Find the owners of packets, seldom of some that begin elsewhere."""
    frames, found = draw_frames(fed), nothing_owned(3)
    places = frames.starts + 14
    places[2] += (fed.take(1)[0] - 128) * is_odd(fed)
    pairs = [(ip_address(family.client).packed, 0) for family in (V4, V6)]

    def call() -> object:
        Owners(pairs).find(frames, places, found)
        return (found.owners >= 0).any()

    return call


def copy(fed: Fed) -> Call:
    """Copy the bytes of frames, seldom to where there is no room for them."""
    frames = draw_frames(fed)
    sizes = frames.captured.copy()
    if is_odd(fed):
        sizes[1] += fed.take(1)[0] - 128
    room = np.zeros(max(int(sizes.sum()), 0), np.uint8)
    if is_odd(fed):
        room = room[: fed.take(1)[0]]
    places = np.empty(draw_size((3,), fed), np.int64)

    def call() -> object:
        copy_frames(frames, sizes, room, places)
        return len(places)

    return call


class Target(NamedTuple):
    """A function, or a method of a class, that has a twin."""

    name: str
    draw: Callable[[Fed], Call]


METHODS: Final = (
    Target("FlowRewriting.apply", rewrite),
    Target("FlowQueue.remove", remove),
    Target("FlowStore.store", store),
    Target("FirstPackets._first", decide_first),
    Target("FlowTable.find", find_flows),
    Target("Owners.find", find_owners),
)
"""The methods that take bytes, but for those that gateways call with whole packets alone."""


def targets() -> Iterator[Target]:
    """Yield all functions that have a twin, as they are in use, and `METHODS`."""
    for name, plain in twins.PLAIN.items():
        if name == "unreachable_reply":
            yield Target(name, reply)
        elif name == "place_ethernet":
            yield Target(name, place)
        elif name == "copy_frames":
            yield Target(name, copy)
        elif name in WALKS:
            yield Target(name, partial(walk, name))
        elif isinstance(plain, FunctionType):
            made: Any = plain if twins._NATIVE is None else getattr(twins._NATIVE, name)
            yield Target(name, partial(simply, made, types_of(plain)))
    yield from METHODS


TARGETS: Final = tuple(targets())


def call(target: Target, fed: Fed) -> str:
    """Call a target with drawn arguments; it may raise, but for what only broken C raises."""
    drawn = target.draw(fed)
    try:
        reached = drawn()
    except (SystemError, MemoryError):  # pragma: no cover - a finding
        raise
    except Exception:  # noqa: BLE001 - it says so, and nothing was read
        reached = False
    return target.name if reached else f"{target.name}, in vain"


# --- The search ----------------------------------------------------------------------------------


def seeds() -> Iterator[bytes]:
    """Yield inputs in which every base comes in both directions, and every target is called."""
    for options in range(len(OPTIONS)):
        yield bytes([options]) + b"".join(
            bytes([what, which, 0, 0, 0])
            for which in (*range(len(BASES)), *range(len(BASES)))
            for what in (2, 3)
        )
    for which, number in product(range(len(BASES)), range(len(TARGETS))):
        yield bytes([0, 0xC0 + number, *(which, 0, 0, 0) * 24])


def changed(seed: bytes, draw: random.Random) -> bytes:
    """Return a seed with a few bytes changed, left out or doubled."""
    made = bytearray(seed)
    for _ in range(draw.randrange(1, 9)):
        place = draw.randrange(len(made) + 1)
        made[place : place + draw.randrange(3)] = draw.randbytes(draw.randrange(3))
    return bytes(made)


def search(seconds: float, draw: random.Random) -> int:
    """Run changed seeds for so many seconds; return how many."""
    known = list(seeds())
    runs = len(known)
    for seed in known:
        run(seed)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        run(changed(draw.choice(known), draw))
        runs += 1
    return runs


def main(arguments: list[str], atheris: ModuleType | None) -> None:
    """Search as the arguments say, guided by coverage if *atheris* is there."""
    if atheris is None:
        limits = dict(one.split("=") for one in arguments[1:] if "=" in one)
        runs = search(float(limits.get("-max_total_time", "60")), random.Random())
        sys.stdout.write(f"{runs} inputs, without coverage guidance\n")
        return
    corpus = Path(mkdtemp(prefix="firezone-filter-hostile-"))
    for number, seed in enumerate(seeds()):
        (corpus / f"seed-{number}").write_bytes(seed)
    atheris.Setup([*arguments, str(corpus)], run)
    atheris.Fuzz()


if __name__ == "__main__":  # pragma: no cover - in a process of its own
    is_there = "--gcc" not in sys.argv and importlib.util.find_spec("atheris") is not None
    main(sys.argv, importlib.import_module("atheris") if is_there else None)
