"""A gateway that records flows, its naive model, and a gateway that records none."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from math import inf
from typing import Final
from unittest.mock import patch

from attrs import asdict, evolve

from firezone_filter import (
    AccessExhausted,
    AddressPlan,
    AuthorizationExpired,
    Decision,
    Direction,
    Event,
    FlowEnded,
    FlowRefused,
    Gateway,
    GatewayOptions,
    TunnelAddresses,
)
from firezone_filter.accounting import event_queue as events
from firezone_filter.accounting import flow_records as flows
from firezone_filter.accounting import refusals
from tests.model.flows import FlowModel
from tests.property.pools import JUST_BEFORE
from tests.property.twins import Failed, Told, Twins, outcome, settle, told_event

ACCESS: Final = (AuthorizationExpired, AccessExhausted)
"""What is reported also where no flows are recorded."""

NOTICED_TOGETHER: Final = frozenset({"fin", "idle"})
"""Causes that wait for `handle_timeout`."""


class RecordedTwins(Twins):
    """Everything that is asked of one is asked of all three, and compared."""

    model: FlowModel

    def __init__(self, addresses: TunnelAddresses, options: GatewayOptions) -> None:
        recording = evolve(options, flow_records=True)
        super().__init__(addresses, recording)
        self.model = FlowModel(
            addresses,
            address_plan=AddressPlan(),
            options=recording,
            max_open=flows.MAX_OPEN,
            max_events=events.MAX_FLOW_EVENTS,
        )
        self.plain = Gateway(addresses, options=options)
        self.fetched: list[Event] = []
        self.lost = 0

    # --- Calls -------------------------------------------------------------------------------

    def call(self, name: str, *args: object, **kwargs: object) -> object:
        ours = super().call(name, *args, **kwargs)
        plain = outcome(lambda: getattr(self.plain, name)(*args, **kwargs))
        assert plain == ours, self.explain(plain, ours)
        self.check_counters()
        if name == "handle_timeout" and not isinstance(ours, Failed):
            self.check_that_nothing_is_due()
        return ours

    def packet(
        self,
        direction: Direction,
        packet: bytes,
        now: float | None = None,
        client_id: str | None = None,
    ) -> Decision:
        ours = super().packet(direction, packet, now, client_id)
        plain = self.plain.handle_packet(direction, packet, now, client_id=client_id)
        assert plain == ours, self.explain(plain, ours)
        self.check_counters()
        return ours

    def packets(
        self,
        direction: Direction,
        packets: Sequence[bytes],
        now: float | None = None,
        client_id: str | None = None,
    ) -> list[Decision]:
        ours = super().packets(direction, packets, now, client_id)
        plain = self.plain.handle_packets(direction, packets, now, client_id=client_id)
        assert plain == ours, self.explain(plain, ours)
        self.check_counters()
        return ours

    def end(self, now: float) -> None:
        """Let everybody go, and fetch all that there is to report."""
        for client_id in self.gateway.clients():
            self.call("client_disconnected", client_id)
        self.events()
        self.call("handle_timeout", now)
        self.events()
        # What was refused last is reported a minute later.
        self.call("handle_timeout", now + 60)
        self.events()

    # --- What the model knows ----------------------------------------------------------------

    def moments(self) -> list[float]:
        """Return also when flows are idle for too long: not at a moment, but behind it."""
        idle = self.model.idle_ends()
        behind = [moment + JUST_BEFORE for moment in idle]
        return [*super().moments(), *idle, *behind, *self.model.reports()]

    # --- What there is -----------------------------------------------------------------------

    def check_counters(self) -> None:
        ours, theirs = self.gateway.counters(), self.model.counters()
        same = {name: getattr(ours, name) for name in theirs}
        assert same == theirs, self.explain(same, theirs)
        refused = {
            (direction.name, str(reason)): count
            for (direction, reason), count in ours.refusals.items()
            if count
        }
        assert refused == self.model.refusals, self.explain(refused, self.model.refusals)
        assert self.plain.counters().refusals == ours.refusals

    def check_that_nothing_is_due(self) -> None:
        """Nothing is in the end; as long as more waits, a host has to call again."""
        assert self.model._now.seconds is not None
        for gateway in (self.gateway, self.plain):
            settle(gateway, self.model._now.seconds)

    def events(self) -> None:
        """Fetch the events of all; those of access come without records too."""
        ours: list[Event] = list(iter(self.gateway.poll_event, None))
        theirs = list(iter(self.model.poll_event, None))
        mine = [told(event) for event in ours]
        lost, self.lost = self.lost, self.gateway._context.events.flow_events_lost
        if lost == self.lost:
            assert in_order(mine) == in_order(theirs), self.explain(mine, theirs)
        else:
            assert with_losses(mine) == with_losses(theirs), self.explain(mine, theirs)
        access = [event for event in ours if isinstance(event, ACCESS)]
        assert list(iter(self.plain.poll_event, None)) == access
        self.fetched += ours
        self.tally.update(f"event {name_of(event)}" for event in ours)

    def ended(self) -> list[FlowEnded]:
        """Return the records that were fetched."""
        return [event for event in self.fetched if isinstance(event, FlowEnded)]

    def refused(self) -> list[FlowRefused]:
        """Return the refusals that were fetched."""
        return [event for event in self.fetched if isinstance(event, FlowRefused)]


def told(event: Event) -> Told:
    """Say an event in the model's words, all of its fields."""
    if isinstance(event, AuthorizationExpired | AccessExhausted):
        return told_event(event)
    fields = asdict(event, recurse=False)
    if isinstance(event, FlowRefused):
        fields["direction"] = event.direction.name
    return "flow", {"kind": type(event).__name__, **fields}


def with_losses(events: list[Told]) -> list[Told | None]:
    """Leave open which events of one `handle_timeout` have found room, but not how many."""
    return [None if waits_for_timeout(event) else event for event in events]


def in_order(events: list[Told]) -> list[Told]:
    """Put those of one `handle_timeout` in one order: which of them is first is left open."""
    ordered: list[Told] = []
    for together, some in groupby(events, key=waits_for_timeout):
        run = list(some)
        ordered += sorted(run, key=str) if together else run
    return ordered


def waits_for_timeout(event: Told) -> bool:
    fields = event[1]
    return isinstance(fields, dict) and fields.get("cause") in NOTICED_TOGETHER


def name_of(event: Event) -> str:
    return str(event.cause) if isinstance(event, FlowEnded) else type(event).__name__


@contextmanager
def maxima(*, max_open: int, max_events: int) -> Iterator[None]:
    """Let there be less room than usual.

    What is lost then depends on when it is reported: the model reports all at once.
    """
    with (
        patch.object(refusals, "AT_ONCE", inf),
        patch.object(flows, "MAX_OPEN", max_open),
        patch.object(events, "MAX_FLOW_EVENTS", max_events),
    ):
        yield
