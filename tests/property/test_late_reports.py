"""Reports that are made late: the same events in the same order as with all made at once.

A host plays the part of the gateway: it notices what is over at once, and has it taken apart in
as many steps a call as it likes. Two of them are told the same story: one takes a single step a
call, the other all there are.
"""

from collections import Counter
from collections.abc import Iterable
from math import inf
from random import Random
from typing import Final
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firezone_filter.accounting import flow_records, refusals
from firezone_filter.accounting.event_queue import EventQueue, Expiry
from firezone_filter.accounting.flow_log import FlowLog
from firezone_filter.accounting.flow_record import FlowEnds, FlowRecord
from firezone_filter.accounting.flow_records import ClientRecords
from firezone_filter.accounting.refusals import RefusalLog
from firezone_filter.packet.numbers import ACK, FIN, RST, SYN, TCP, UDP
from firezone_filter.testing import udp
from firezone_filter.values.decisions import Direction, Drop, Reason
from firezone_filter.values.events import (
    AccessExhausted,
    AuthorizationExpired,
    Event,
    FlowEnd,
    FlowEnded,
    FlowRefused,
    FlowStarted,
)

STEPS: Final = 150

CLIENTS: Final = ("alice", "bob")
RESOURCES: Final = ("db", "web", "dns")
NEAR, FAR = bytes((100, 64, 0, 2)), bytes((10, 0, 0, 5))


def ends_of(protocol: int, port: int) -> bytes:
    return FlowEnds(protocol, NEAR, port, FAR, 443).packed()


class Host:
    """What the gateway does with records and events, and nothing else."""

    def __init__(self, steps: float) -> None:
        self.steps = steps
        self.now = 0.0
        self.queue = EventQueue()
        self.flows = FlowLog(self.queue)
        self.refused = RefusalLog(self.queue)
        self.numbers = 0
        self.expiries: dict[tuple[str, str], Expiry | None] = {}
        """Of all authorizations, those included that are over and not withdrawn."""
        self.begun: set[Expiry] = set()
        self.last: dict[str, Expiry] = {}
        self.records: dict[str, ClientRecords] = {}
        self.fragments: dict[tuple[str, int], FlowRecord] = {}
        for client in CLIENTS:
            self.connect(client)

    # --- Expiries ----------------------------------------------------------------------------

    def over(self) -> list[tuple[Expiry, str, str]]:
        return sorted(
            (expiry, *whose)
            for whose, expiry in self.expiries.items()
            if expiry is not None and self.now >= expiry.moment
        )

    def find_over(self, client: str, ids: Iterable[str]) -> tuple[str, Expiry] | None:
        some = set(ids)
        found = [one for one in self.over() if one[1] == client and one[2] in some]
        return (found[-1][2], found[-1][0]) if found else None

    def withdraw(self, expiry: Expiry, client: str, resource: str, most: float = inf) -> int:
        """Take an authorization that is over apart; return in how many steps."""
        steps = 0
        if expiry not in self.begun:
            self.begun.add(expiry)
            expired = AuthorizationExpired(client, resource, expiry.moment)
            self.queue.put_expiry(expired, expiry)
            steps = 1
        # One that is withdrawn out of its turn may be the last of its client all the same.
        last = self.last[client] = max(expiry, self.last.get(client, expiry))
        records = self.records[client]
        while steps < most:
            steps += 1
            if not records.expire_resource(resource, expiry, 1):
                del self.expiries[client, resource]
                # A hook may have taken away what was there after this.
                exhausted = AccessExhausted(client)
                if all(holder != client for holder, _ in self.expiries) and (
                    not self.queue.is_waiting(exhausted)
                ):
                    self.queue.put_expiry(exhausted, last)
                break
        return steps

    def work(self, steps: float) -> None:
        """Take so many steps: expiries first, since the logs must not get ahead of them."""
        while steps > 0 and (over := self.over()):
            steps -= self.withdraw(*over[0], most=steps)
        if steps > 0:
            before = min((expiry.moment for expiry, _, _ in self.over()), default=inf)
            self.flows.report(steps, before)
            self.refused.report(steps)

    def let_be(self, now: float) -> None:
        self.now = now
        self.work(self.steps)

    # --- Hooks -------------------------------------------------------------------------------

    def connect(self, client: str) -> None:
        def find_over(ids: Iterable[str], now: float) -> tuple[str, Expiry] | None:
            assert now == self.now
            return self.find_over(client, ids)

        self.last.pop(client, None)
        self.records[client] = ClientRecords(client, self.flows, find_over)
        for resource in RESOURCES:
            self.expiries[client, resource] = None

    def reconnect(self, client: str) -> None:
        for one in [one for one in self.over() if one[1] == client]:
            self.withdraw(*one)
        self.records[client].end_all(FlowEnd.DISCONNECTED, self.now)
        self.queue.withdraw_all(client)
        self.connect(client)

    def authorize(self, client: str, resource: str, lasts: float | None) -> None:
        self.settle(client, resource)
        self.queue.withdraw(AccessExhausted(client))
        self.numbers += 1
        expiry = None if lasts is None else Expiry(self.now + lasts, self.numbers)
        self.expiries[client, resource] = expiry

    def revoke(self, client: str, resource: str) -> None:
        self.settle(client, resource)
        if (client, resource) in self.expiries:
            del self.expiries[client, resource]
            self.records[client].end_resource(resource, FlowEnd.REVOKED, self.now)
            if not any(self.is_permitted(client, one) for one in RESOURCES):
                self.queue.put(AccessExhausted(client), self.now)

    def settle(self, client: str, resource: str) -> None:
        """Withdraw an authorization that is over, before anything else is done with it."""
        for one in self.over():
            if one[1:] == (client, resource):
                self.withdraw(*one)

    def handle_timeout(self) -> None:
        self.flows.handle_timeout(self.now)
        self.refused.handle_timeout(self.now)
        self.work(self.steps)

    def set_clock(self, by: float) -> None:
        self.work(inf)
        self.queue.set_clock()
        self.last.clear()
        self.now += by
        self.flows.shift_clock(by)
        self.refused.shift_clock(by)
        # Expiries mean the clock itself; what has passed by now ends in this call.
        self.work(inf)
        self.queue.set_clock()

    def poll(self, most: float) -> list[Event]:
        events: list[Event] = []
        while len(events) < most:
            over = self.over()
            if over and self.queue.comes_first(over[0][0], has_begun=over[0][0] in self.begun):
                self.withdraw(*over[0], most=1)
            elif self.queue.is_blocked:
                before = over[0][0].moment if over else inf
                assert self.flows.report(3, before) + self.refused.report(3)
            elif (event := self.queue.get()) is None:
                break
            elif not self.is_replaced(event):
                events.append(event)
        return events

    def is_replaced(self, event: Event) -> bool:
        """Tell whether the same authorization has expired again, which is still to be told."""
        return isinstance(event, AuthorizationExpired) and any(
            expiry not in self.begun and whose == [event.client_id, event.resource_id]
            for expiry, *whose in self.over()
        )

    # --- Packets -----------------------------------------------------------------------------

    def send(self, client: str, resource: str, port: int, flags: int) -> None:
        """Hand in a packet from the client."""
        if self.is_permitted(client, resource):
            ends = ends_of(UDP if flags == 0 else TCP, port)
            flow = self.records[client].outbound(resource, ends, None, flags, 10, self.now)
            self.fragments[client, port] = flow
        else:
            packet = udp(f"100.64.0.2:5401 > 10.0.0.{port}:53")
            drop = Drop(Reason.UDP_PORT, client)
            self.refused.add(Direction.OUTBOUND, packet, drop, self.now)

    def receive(self, client: str, resource: str, port: int, flags: int) -> None:
        """Hand in a packet to the client."""
        if self.is_permitted(client, resource):
            ends = ends_of(UDP if flags == 0 else TCP, port)
            self.records[client].inbound(resource, ends, flags, 10, self.now)

    def receive_fragment(self, client: str, port: int) -> None:
        """Hand in a later fragment of what the client sent."""
        flow = self.fragments.get((client, port))
        if flow is not None and self.is_permitted(client, flow.resource_id):
            self.records[client].later_fragment(flow, 5, self.now, outbound=True)

    def is_permitted(self, client: str, resource: str) -> bool:
        """Tell whether the authorization is there and not over, whether or not withdrawn."""
        if (client, resource) not in self.expiries:
            return False
        expiry = self.expiries[client, resource]
        return expiry is None or self.now < expiry.moment


Call = tuple[object, ...]
Story = list[tuple[float, Call]]
"""Calls, and how much time passes before each."""

TURNS: Final = (0, 0, 0, SYN, SYN, ACK, *(FIN | ACK,) * 5, RST)
WAITS: Final = (0.0,) * 12 + (1.0, 1.0, 60.0, 120.0, 121.0)
CALLS: Final = (
    *("send",) * 12,
    *("receive",) * 6,
    *("authorize",) * 3,
    *("handle_timeout",) * 3,
    *("poll",) * 3,
    "receive_fragment",
    "revoke",
    "reconnect",
    "set_clock",
)


def some_call(random: Random) -> Call:
    name = random.choice(CALLS)
    client, resource = random.choice(CLIENTS), random.choice(RESOURCES)
    port = random.randint(1, 2)
    arguments: dict[str, Call] = {
        "send": (client, resource, port, random.choice(TURNS)),
        "receive": (client, resource, port, random.choice(TURNS)),
        "receive_fragment": (client, port),
        "authorize": (client, resource, random.choice((None, 1.0, 1.0, 60.0, 121.0))),
        "revoke": (client, resource),
        "reconnect": (client,),
        "handle_timeout": (),
        "poll": (random.choice((1, 3, inf)),),
        "set_clock": (random.choice((-50.0, 1_000.0)),),
    }
    return name, *arguments[name]


def random_story(seed: int) -> Story:
    random = Random(seed)
    return [(random.choice(WAITS), some_call(random)) for _ in range(STEPS)]


def tell(story: Story) -> Counter[str]:
    """Tell a story to both hosts; return which events it had."""
    hit: Counter[str] = Counter()
    with (
        patch.object(flow_records, "MAX_OPEN", 3),
        patch.object(refusals, "AT_ONCE", 1),
    ):
        slow, quick = Host(1), Host(inf)
        for wait, (name, *arguments) in [*story, (0.0, ("poll", inf))]:
            for host in (slow, quick):
                host.let_be(host.now + wait)
            mine, theirs = (getattr(host, str(name))(*arguments) for host in (slow, quick))
            assert mine == theirs
            assert slow.flows.traffic == quick.flows.traffic
            quick.refused.report()
            hit.update(map(name_of, mine or ()))
    assert len(slow.flows) == len(quick.flows)
    assert slow.queue.flow_events_lost == 0
    return hit


def name_of(event: Event) -> str:
    return str(event.cause) if isinstance(event, FlowEnded) else type(event).__name__


@given(st.integers(0, 2**32))
def test_events_are_the_same_in_single_steps_as_all_at_once(seed: int) -> None:
    tell(random_story(seed))


def test_stories_have_every_event() -> None:
    hit: Counter[str] = Counter()
    for seed in range(30):
        hit += tell(random_story(seed))
    kinds = (AuthorizationExpired, AccessExhausted, FlowStarted, FlowRefused)
    assert set(hit) == {*FlowEnd, *(kind.__name__ for kind in kinds)}


TOLD: dict[str, Story] = {
    "a-record-that-was-closed-takes-no-packet-though-it-is-not-reported": [
        (1.0, ("send", "alice", "db", 1, 0)),
        (0.0, ("send", "alice", "db", 2, 0)),
        (0.0, ("send", "bob", "db", 2, 0)),
        (121.0, ("handle_timeout",)),
        (0.0, ("send", "alice", "db", 2, 0)),
        (0.0, ("receive", "bob", "db", 2, 0)),
    ],
    "room-is-made-by-what-is-over": [
        (1.0, ("send", "alice", "db", 1, 0)),
        (60.0, ("send", "alice", "db", 2, 0)),
        (0.0, ("send", "alice", "db", 3, 0)),
        (60.0, ("send", "alice", "db", 3, 0)),
        (1.0, ("handle_timeout",)),
        (0.0, ("send", "alice", "web", 1, 0)),
        (0.0, ("authorize", "alice", "web", 1.0)),
        (0.0, ("authorize", "alice", "db", 1.0)),
        (1.0, ("send", "alice", "dns", 1, 0)),
    ],
}


@pytest.mark.parametrize("story", TOLD.values(), ids=TOLD)
def test_what_is_over_counts_as_such_before_it_is_reported(story: Story) -> None:
    tell(story)
