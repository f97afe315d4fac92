"""What first packets and stored flows do in C is what they do in the plain form."""

import struct
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FunctionType, SimpleNamespace
from typing import Any, Final, NamedTuple
from unittest.mock import patch

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import firezone_filter
from firezone_filter import AddressPlan, CidrResource, Forward, Resource
from firezone_filter.access.authorizations import ClientAccess
from firezone_filter.access.special_ranges import RangeMap, address_flags
from firezone_filter.access.table import ANSWER
from firezone_filter.accounting.event_queue import EventQueue
from firezone_filter.accounting.refusals import RefusalCounts, RefusalLog
from firezone_filter.compiled import twins
from firezone_filter.compiled.twins import IS_COMPILED, PLAIN
from firezone_filter.gateway import flow_cache
from firezone_filter.gateway.flow_cache import ClientFlowCache, FlowCache
from firezone_filter.packet.flow_key import flow_key
from firezone_filter.packet.headers import read_headers
from firezone_filter.packet.numbers import TCP, UDP
from firezone_filter.structures.token_bucket import TokenBucket
from firezone_filter.testing import udp
from firezone_filter.values.addresses import to_address, to_network
from tests.property.pools import CLIENTS, FAR, NETWORKS, ODD, OUTBOUND, PROXIES, TUNNEL
from tests.property.strategies import (
    cidr_resources,
    distinct,
    fars,
    internet_resources,
    ports,
    versions,
    whole,
)
from tests.scenes import at

pytestmark = pytest.mark.skipif(not IS_COMPILED, reason="the extension module is not in use")


# --- Both forms --------------------------------------------------------------------------------


def rebased(cls: type, base: Any) -> Any:  # noqa: ANN401 - classes made here
    """Return a class of ours once more, upon one of the two forms of its base."""
    own = {
        name: value
        for name, value in vars(cls).items()
        if isinstance(value, FunctionType | property) or name == "__slots__"
    }
    return type(cls.__name__, (base,), own)


class Form:
    """The classes of one form, plain or compiled, and what Python adds to them."""

    def __init__(self, find: Callable[[str], Any]) -> None:
        self.cache = rebased(FlowCache, find("FlowCount"))
        self.flows = rebased(ClientFlowCache, find("FlowStore"))
        self.queue = rebased(flow_cache._Queue, find("FlowQueue"))
        self.access = rebased(ClientAccess, find("NearAccess"))
        self.near_end = find("NearEnd")
        self.first_packets = find("FirstPackets")

    @contextmanager
    def in_use(self, most: int) -> Iterator[None]:
        """Let queues be of this form, with at most so many flows."""
        with (
            patch.object(flow_cache, "_Queue", self.queue),
            patch.object(flow_cache, "MAX_FLOWS", most),
            patch.object(twins._NATIVE, "MAX_FLOWS", most),
        ):
            yield


FORMS: Final = (
    [Form(PLAIN.__getitem__), Form(lambda name: getattr(twins._NATIVE, name))]
    if IS_COMPILED
    else []
)


def told(call: Callable[[], object]) -> object:
    """Return what a call returns, or which error it raises."""
    try:
        return call()
    except (IndexError, KeyError, TypeError, struct.error) as error:
        return type(error)


# --- Stored flows ------------------------------------------------------------------------------

PASSED: Final = (Forward("alice", "db"), Forward("alice", "web"))
TABLES: Final = tuple(
    kind + protocol
    for kind in (flow_cache.OUTBOUND, flow_cache.INBOUND)
    for protocol in (TCP, UDP, TCP + flow_cache.HANDLERS)
)
# Few shards and few keys, so that they meet; the last ones are too short to tell a shard.
KEYS: Final = (
    *(bytes(9) + bytes([shard, 0, number]) for shard in (0, 255) for number in (0, 1, 255)),
    bytes(36),
    b"ab",
    b"",
)

stores = st.tuples(
    st.just("store"), st.sampled_from(TABLES), st.sampled_from(KEYS), st.sampled_from(PASSED)
)
hooks = st.sampled_from(
    [("invalidate",), ("mark",), ("remove_marked", 2), ("invalidate_inbound", TCP, 0, bytes(4))]
)
queued = st.tuples(
    st.sampled_from(["remove", "remove_first"]), st.sampled_from(TABLES), st.sampled_from(KEYS)
)


class Step(NamedTuple):
    client: int
    what: tuple[Any, ...]


steps = st.lists(
    st.builds(Step, st.integers(0, 1), st.one_of(*(stores,) * 6, queued, hooks)), max_size=40
)


def act(flows: Any, what: tuple[Any, ...]) -> object:  # noqa: ANN401 - of either form
    """Call a method of a client's flows, or of one of its queues."""
    name, *arguments = what
    if not name.startswith("remove") or name == "remove_marked":
        return getattr(flows, name)(*arguments)
    table, key = arguments
    queue = flows._queues.get(table & ~flow_cache.HANDLERS)
    if queue is None or (name == "remove_first" and len(queue.keys) == 0):
        return "none"
    if name == "remove":
        return queue.remove(key)
    # Beside the cache's count, which eviction sees to.
    return queue.remove_first()


def stored(cache: Any, clients: list[Any]) -> object:  # noqa: ANN401 - of either form
    """Return all that is remembered, in order."""
    tables = {
        table: [list(flows.items()) for flows in shards if flows]
        for table, shards in cache.tables.items()
    }
    queues = [
        {table: (list(queue.keys), queue.at) for table, queue in one._queues.items()}
        for one in clients
    ]
    return (
        tables,
        queues,
        cache.count,
        [(one.count, one._room, one.is_stale, sorted(one._places)) for one in clients],
        [clients.index(one) for one in [cache.ranking.greatest()] if one is not None],
    )


@given(steps, st.integers(0, 8), st.integers(1, 4))
def test_flows_are_stored_evicted_and_removed_alike(
    several: list[Step], limit: int, most: int
) -> None:
    histories: list[list[object]] = []
    for form in FORMS:
        history: list[object] = []
        cache = form.cache(limit)
        clients = [form.flows(cache) for _ in range(2)]
        clients[0].expect_sessions()
        with form.in_use(most):
            for number, what in several:
                flows = clients[number]
                history += [told(lambda: act(flows, what)), stored(cache, clients)]  # noqa: B023
        histories.append(history)
    assert histories[0] == histories[1]


# --- First packets -----------------------------------------------------------------------------

NOW: Final = 10.0
NEVER: Final = (float("inf"),) * 4
MOMENTS: Final = (*NEVER, NOW - 1.0, NOW, NOW + 1.0, *NEVER)
ADDRESSES: Final = [
    to_address(one).packed
    for version in (4, 6)
    for one in (*FAR[version], *ODD[version], *PROXIES[version], *TUNNEL[version])
]


@st.composite
def range_maps(draw: st.DrawFn) -> RangeMap:
    """Draw the flags of addresses: those of the standards, or any."""
    if draw(st.sampled_from((True, True, False))):
        return address_flags(AddressPlan())
    networks = st.sampled_from(
        [to_network(one) for version in (4, 6) for one in NETWORKS[version]]
    )
    flag = st.sampled_from([1 << bit for bit in range(6)])
    return RangeMap(draw(st.lists(st.tuples(networks, flag), max_size=8)))


class End(NamedTuple):
    """A client, as drawn."""

    resources: list[Resource]
    expiries: list[float]
    valid_until: float
    real: set[bytes] | None
    only_remembers: bool
    tokens: int


wide_resources = st.builds(
    CidrResource, st.sampled_from(("cidr-0", "wide")), st.sampled_from(("0.0.0.0/0", "::/0"))
)
ends = st.builds(
    End,
    distinct(st.one_of(wide_resources, cidr_resources, internet_resources), 4),
    st.lists(
        st.sampled_from((float("inf"), float("inf"), NOW, NOW + 1.0)), min_size=4, max_size=4
    ),
    st.sampled_from(MOMENTS),
    st.none() | st.sets(st.sampled_from(ADDRESSES), max_size=3),
    st.booleans(),
    st.integers(0, 2),
)


class First(NamedTuple):
    """The arguments of `_first`."""

    direction: firezone_filter.Direction
    protocol: int
    key: bytes
    packet: bytes
    client_id: str | None
    now: float


@st.composite
def firsts(draw: st.DrawFn) -> First:
    version = draw(versions)
    near = at(draw(st.sampled_from(TUNNEL[version])), draw(ports))
    far = at(draw(fars(version)), draw(ports))
    direction = draw(st.sampled_from(firezone_filter.Direction))
    protocol = draw(st.sampled_from((TCP, UDP)))
    flow = f"{near} > {far}" if direction is OUTBOUND else f"{far} > {near}"
    packet = whole("tcp" if protocol == TCP else "udp", flow)
    headers = read_headers(packet)
    assert headers is not None
    key = flow_key(headers, packet)
    assert key is not None
    if draw(st.integers(0, 19)) == 0:
        key = draw(st.sampled_from((b"", key[:-1], key + b"\0", key[:13])))
    # Equal ids need not be one object.
    client_id = draw(st.sampled_from((None,) * 4 + ("alice", b"alice".decode(), "bob", "nobody")))
    return First(
        direction, protocol, key, packet, client_id, NOW + draw(st.sampled_from((0, 0.5)))
    )


class Scene(NamedTuple):
    ranges: RangeMap
    ends: tuple[End, End]
    replies: bool
    has_log: bool
    limit: int
    packets: list[First]


scenes = st.builds(
    Scene,
    range_maps(),
    st.tuples(ends, ends),
    st.booleans(),
    st.booleans(),
    st.sampled_from((0, 1, 3, 100)),
    st.lists(firsts(), min_size=6, max_size=12),
)


class Handed(str):
    """The decision of what a subclass of `FirstPackets` does."""

    __slots__ = ()


def follows(form: Form, asked: list[object]) -> Any:  # noqa: ANN401 - a class
    """Return a form of `FirstPackets` that notes what it hands on."""

    def judge_flow(_: object, client: Any, *facts: object) -> object:  # noqa: ANN401
        asked.append(("judge flow", client.id, *facts))
        return Handed("judged")

    def translate(_: object, client: Any, *facts: object) -> object:  # noqa: ANN401
        asked.append(("translate", client.id, *facts))
        return None

    return type(
        "Noting", (form.first_packets,), {"_judge_flow": judge_flow, "_translate": translate}
    )


PARTS: Final = 9
"""What `played` tells after each packet; first the decision."""


def played(form: Form, scene: Scene) -> list[object]:
    """Return all that first packets have led to."""
    cache = form.cache(scene.limit)
    clients, by_address = [], {}
    for client_id, number, drawn in zip(CLIENTS, (0, 1), scene.ends, strict=False):
        client = form.near_end()
        client.id, client.drops, client.only_remembers = client_id, {}, drawn.only_remembers
        client.access = form.access(client_id)
        for resource, expires_at in zip(drawn.resources, drawn.expiries, strict=False):
            held = client.access.authorize(resource)
            if expires_at < float("inf"):
                held.expires_at = expires_at
                client.access.first_expiry = min(client.access.first_expiry, expires_at)
        client.flow_cache = form.flows(cache)
        client.nat = None if drawn.real is None else SimpleNamespace(real=drawn.real)
        client.reply_tokens = TokenBucket(1.0, drawn.tokens, NOW)
        client.valid_until = drawn.valid_until
        clients.append(client)
        by_address.update({to_address(TUNNEL[one][number]).packed: client for one in (4, 6)})
    log = RefusalLog(EventQueue()) if scene.has_log else None
    refusals = RefusalCounts(log)
    asked: list[object] = []
    first = follows(form, asked)(by_address, scene.ranges, refusals, replies=scene.replies)
    history: list[object] = []
    with form.in_use(2):
        for packet in scene.packets:
            history += [
                told(lambda: first._first(*packet)),  # noqa: B023
                list(asked),
                stored(cache, [one.flow_cache for one in clients]),
                first._forwarded_outbound,
                first._forwarded_inbound,
                refusals.by_direction(),
                [] if log is None else [record.event() for record in log._records],
                [(one.drops.copy(), one.reply_tokens._tokens) for one in clients],
                [
                    (node.prefix, type(node.data[ANSWER]))
                    for one in clients
                    for node in one.access.networks.tree
                ],
            ]
    return history


def first_udp(near: int, far: str, cut: int = 0) -> First:
    packet = udp(f"{TUNNEL[4][near]}:1 > {far}:53")
    return First(OUTBOUND, UDP, packet[12 : 24 - cut], packet, None, NOW)


WIDE: Final = CidrResource("wide", "10.0.0.0/8")
ALL_KINDS: Final = Scene(
    address_flags(AddressPlan()),
    (
        End([WIDE], [NEVER[0]], NEVER[0], None, only_remembers=True, tokens=1),
        End([WIDE], [NEVER[0]], NEVER[0], None, only_remembers=False, tokens=0),
    ),
    replies=True,
    has_log=True,
    limit=1,
    packets=[
        *(first_udp(near, "10.0.0.5") for near in (0, 1, 2)),
        *(first_udp(0, "9.9.9.9") for _ in range(2)),
        first_udp(0, "10.0.0.6", cut=1),
    ],
)


def test_first_packets_are_decided_alike() -> None:
    kinds: Counter[str] = Counter()

    @settings(max_examples=max(100, settings().max_examples))
    @example(ALL_KINDS)
    @given(scenes)
    def decide(scene: Scene) -> None:
        plain, compiled = (played(form, scene) for form in FORMS)
        assert plain == compiled
        kinds.update(type(decided).__name__ for decided in plain[::PARTS])

    decide()
    # What has been judged or translated by a subclass; errors; what is up to the tables.
    assert set(kinds) >= {"Forward", "Reject", "Drop", "Handed", "type", "NoneType"}
