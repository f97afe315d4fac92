"""Gateways that are asked why at every step, and gateways that are never asked.

Whatever follows from a question would show as a difference. What was foretold about a packet is
compared with what then happens to it.
"""

import random
from collections.abc import Callable, Sequence
from typing import Final

from attrs import evolve

from firezone_filter import (
    CidrResource,
    Decision,
    Direction,
    DnsResource,
    Gateway,
    GatewayOptions,
    InternetResource,
    Reason,
    Resource,
    TunnelAddresses,
)
from firezone_filter.values.explanations import Explanation
from tests.property.pools import CLIENTS, EXCLUDED, INBOUND, JUST_BEFORE, OUTBOUND
from tests.property.story import Story
from tests.property.twins import Twins, outcome

ROWS: Final = {
    OUTBOUND: (
        "headers", "multicast", "client", "source", "fragment", "peer-address", "icmp-error",
        "link-local-icmp", "own-address", "resource", "flow", "translation",
    ),
    INBOUND: (
        "headers", "tunnel", "client", "fragment", "peer-address", "icmp-error",
        "link-local-icmp", "own-address", "session", "resource", "flow",
    ),
}  # fmt: skip
"""The rows of both tables of section 4, in their order."""

REFUSED_BY: Final = {
    Reason.MALFORMED: {"headers"},
    Reason.MULTICAST: {"multicast"},
    Reason.UNKNOWN_CLIENT: {"client"},
    Reason.SOURCE_NOT_ALLOWED: {"source"},
    Reason.NOT_A_PEER: {"tunnel"},
    Reason.PEER_ADDRESS: {"peer-address"},
    Reason.FRAGMENT: {"fragment"},
    Reason.ICMP_ERROR: {"icmp-error"},
    Reason.NO_RESOURCE: {"resource"},
    Reason.TCP_PORT: {"own-address", "resource"},
    Reason.UDP_PORT: {"own-address", "resource"},
    Reason.ICMP: {"link-local-icmp", "own-address", "resource"},
    Reason.PROTOCOL: {"own-address", "resource", "translation"},
    Reason.NOT_INTERNET: {"resource"},
    Reason.NO_TRANSLATION: {"translation"},
    Reason.EXPIRED_NAT_SESSION: {"resource"},
    Reason.NAT_EXHAUSTED: {"translation"},
    Reason.UNSOLICITED: {"flow"},
    Reason.FLOWS_EXHAUSTED: {"flow"},
}
ADMITTED_BY: Final = {"fragment", "icmp-error", "own-address", "resource", "flow", "translation"}

LATER: Final = (0.0, JUST_BEFORE, 1.0, 30.0, 60.0, 240.0, 1000.0, 7440.0, 2.0**20)
"""Seconds after which a moment is asked about."""

ASKED_AGAIN: Final = 12
"""So many packets of before are asked about once more."""


class Asked(Twins):
    """A gateway that is asked, beside its model and a twin that is not; both with flow records."""

    def __init__(self, addresses: TunnelAddresses, options: GatewayOptions) -> None:
        super().__init__(addresses, options)
        recording = evolve(options, flow_records=True)
        self.unasked = Gateway(addresses, options=options)
        self.recorded = Gateway(addresses, options=recording)
        self.unasked_recorded = Gateway(addresses, options=recording)
        self.draw = random.Random(7)
        self.known: list[tuple[Direction, bytes, str | None]] = []
        self.asked = 0
        self.latest = 0.0

    def others(self) -> tuple[Gateway, ...]:
        return self.unasked, self.recorded, self.unasked_recorded

    # --- Asking ------------------------------------------------------------------------------

    def ask(
        self, direction: Direction, packet: bytes, now: float | None, client_id: str | None
    ) -> Decision:
        """Ask both about a packet; return the decision that both foretell."""
        one, other = (
            gateway.explain(direction, packet, now, client_id)
            for gateway in (self.gateway, self.recorded)
        )
        self.asked += 1
        assert one == other, self.explain(one, other)
        fault = fault_in(one, direction)
        assert fault is None, self.explain(f"{fault}\n{one}", ())
        self.tally[f"{direction.value} decided by {one.checks[-1].name}"] += 1
        return one.decision

    def ask_ahead(self) -> None:
        """Ask about packets of before, at moments of which most will never come."""
        draw = self.draw
        moments = [moment for moment in self.moments() if moment >= self.latest]
        for direction, packet, client_id in draw.sample(self.known, min(3, len(self.known))):
            at = draw.choice(moments) if moments and draw.random() < 0.5 else self.latest
            at += draw.choice(LATER)
            self.ask(direction, packet, None if draw.random() < 0.1 else at, client_id)

    # --- Calls -------------------------------------------------------------------------------

    def call(self, name: str, *args: object, **kwargs: object) -> object:
        self.ask_ahead()
        ours = super().call(name, *args, **kwargs)
        for gateway in self.others():
            theirs = outcome(lambda one=gateway: getattr(one, name)(*args, **kwargs))  # type: ignore[misc]
            assert theirs == ours, self.explain(theirs, ours)
        if name in {"handle_timeout", "clock_set"} and ours is None:
            self.latest = float(args[0])  # type: ignore[arg-type]
        self.compare()
        return ours

    def packet(
        self,
        direction: Direction,
        packet: bytes,
        now: float | None = None,
        client_id: str | None = None,
    ) -> Decision:
        self.ask_ahead()
        foretold = self.ask(direction, packet, now, client_id)
        ours = super().packet(direction, packet, now, client_id)
        assert foretold == ours, self.explain(foretold, ours)
        for gateway in self.others():
            theirs = gateway.handle_packet(direction, packet, now, client_id)
            assert theirs == ours, self.explain(theirs, ours)
        self.known = [*self.known[1 - ASKED_AGAIN :], (direction, packet, client_id)]
        self.latest = self.latest if now is None else max(self.latest, now)
        self.compare()
        return ours

    def packets(
        self,
        direction: Direction,
        packets: Sequence[bytes],
        now: float | None = None,
        client_id: str | None = None,
    ) -> list[Decision]:
        ours = super().packets(direction, packets, now, client_id)
        for gateway in self.others():
            theirs = gateway.handle_packets(direction, packets, now, client_id)
            assert theirs == ours, self.explain(theirs, ours)
        return ours

    # --- What there is -----------------------------------------------------------------------

    def pairs(self, show: Callable[[Gateway], object]) -> None:
        """Compare what those that are asked show, each with its twin that is not."""
        for asked, unasked in (
            (self.gateway, self.unasked),
            (self.recorded, self.unasked_recorded),
        ):
            ours, theirs = show(asked), show(unasked)
            assert ours == theirs, self.explain(ours, theirs)

    def compare(self) -> None:
        self.pairs(lambda one: one.poll_timeout())

    def count(self) -> None:
        super().count()
        self.pairs(lambda one: one.counters())

    def events(self) -> None:
        """Compare the events of all; the model compares its own with the gateway's."""
        recorded, unasked = ([*iter(one.poll_event, None)] for one in self.others()[1:])
        assert recorded == unasked, self.explain(recorded, unasked)
        polled: list[object] = []
        poll = self.unasked.poll_event
        while (event := poll()) is not None:
            polled.append(event)
        before = self.tally["event authorization-expired"] + self.tally["event access-exhausted"]
        super().events()
        after = self.tally["event authorization-expired"] + self.tally["event access-exhausted"]
        assert after - before == len(polled), self.explain(after - before, polled)


def fault_in(explanation: Explanation, direction: Direction) -> str | None:
    """Return what is wrong with an explanation by itself, or `None`."""
    decision, checks, candidates = (
        explanation.decision,
        explanation.checks,
        explanation.candidates,
    )
    names = [check.name for check in checks]
    last = checks[-1]
    reason = getattr(decision, "reason", None)
    first = (candidates[0].resource_id, candidates[0].reason) if candidates else (None, None)
    by_its_reason = last.name == "resource" and reason not in {None, Reason.EXPIRED_NAT_SESSION}
    claims = {
        "the rows are not in their order": names
        == [one for one in ROWS[direction] if one in names],
        "another check than the last decides": all(check.passed for check in checks[:-1])
        and last.passed is decision.allowed,
        "not the first wins, or not exactly one": [one.wins for one in candidates]
        == [place == 0 for place in range(len(candidates))],
        "a candidate that permits has a reason, or one that does not has none": all(
            one.permits is (one.reason is None) for one in candidates
        ),
        "this row does not decide so": last.name
        in (ADMITTED_BY if reason is None else REFUSED_BY[reason]),
        "another resource permits it than wins": reason is not None
        or last.name == "fragment"
        or first[0] == getattr(decision, "resource_id", None),
        "the winner has another reason": not by_its_reason
        or reason is (first[1] if candidates else Reason.NO_RESOURCE),
    }
    return next((fault for fault, holds in claims.items() if not holds), None)


class Crowded(Story):
    """A story with so many resources of each place that they are indexed, and many expiries."""

    def begin(self) -> None:
        super().begin()
        self.twins.call("handle_timeout", self.now)
        for client_id in CLIENTS:
            for resource in self.resources:
                if self.sometimes(0.7):
                    self.twins.call("authorize", client_id, resource, expires_at=self.until())
            for one in sorted(self.twins.held(client_id)):
                if "dns" in one:
                    self.resolve(client_id)

    def draw_resources(self) -> list[Resource]:
        pick, network = self.draw.choice, "10.0.0.0/24"
        return [
            *super().draw_resources(),
            *(
                CidrResource(
                    f"crowd-{n}",
                    network,
                    self.draw_filters(),
                    exclude=pick(((), (), EXCLUDED[network])),
                )
                for n in range(7)
            ),
            *(
                InternetResource(f"internet-{n}", exclude=pick(((), ("8.8.0.0/16", "2600::/32"))))
                for n in range(6)
            ),
            *(DnsResource(f"dns-{n}", "**.example.com", self.draw_filters()) for n in range(3, 9)),
        ]

    def until(self) -> float | None:
        if self.sometimes(0.2):
            return None
        return self.now + self.draw.choice((0.5, 1.0, 5.0, 30.0, 30.0, 100.0, 1000.0))
