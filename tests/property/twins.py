"""A gateway and its naive model: they get the same calls, and must answer alike."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import assert_never

from firezone_filter import (
    AddressPlan,
    AuthorizationExpired,
    Decision,
    Direction,
    Drop,
    Event,
    FirezoneFilterError,
    Forward,
    Gateway,
    GatewayOptions,
    Reject,
    Translate,
    TunnelAddresses,
)
from tests.model import Model, ModelError
from tests.model.gateway import FRAGMENTS_KEPT
from tests.model.nat import REMEMBERED
from tests.model.packets import parse
from tests.model.values import end_of
from tests.property.watched import WatchedModel

MANY_CALLS = 100_000
"""More than a host ever has to call `handle_timeout` until nothing waits any more."""

Told = tuple[object, ...]
"""A decision or an event in the model's words."""


class Twins:
    """Both at once. Everything that is asked of them is asked of both and compared."""

    def __init__(
        self,
        addresses: TunnelAddresses,
        options: GatewayOptions,
    ) -> None:
        plan = AddressPlan()
        self.gateway = Gateway(addresses, address_plan=plan, options=options)
        self.log = [f"Twins({addresses}, {options})"]
        self.tally: Counter[str] = Counter()
        """How often which kind of packet got which kind of decision, in which direction."""
        self.model: Model = WatchedModel(
            addresses, address_plan=plan, options=options, tally=self.tally
        )

    # --- Calls -------------------------------------------------------------------------------

    def call(self, name: str, *args: object, **kwargs: object) -> object:
        """Call a method of both; the outcome is the same, an error included."""
        self.log.append(f"{name} {args} {kwargs}")
        ours = outcome(lambda: getattr(self.gateway, name)(*args, **kwargs))
        theirs = outcome(lambda: getattr(self.model, name)(*args, **kwargs))
        # Which of several mistakes in one call is reported is left open.
        same = ours == theirs or (isinstance(ours, Failed) and isinstance(theirs, Failed))
        assert same, self.explain(ours, theirs)
        self.tally["hook refused" if isinstance(ours, Failed) else f"hook {name}"] += 1
        return ours

    def packet(
        self,
        direction: Direction,
        packet: bytes,
        now: float | None = None,
        client_id: str | None = None,
    ) -> Decision:
        """Let both decide about a packet."""
        self.log.append(f"{direction} {packet.hex()} {now} {client_id}")
        ours = self.gateway.handle_packet(direction, packet, now, client_id=client_id)
        theirs = self.model.handle_packet(direction, packet, now, client_id=client_id)
        assert told(ours) == theirs, self.explain(told(ours), theirs)
        self.tally[kind_of(direction, packet, ours)] += 1
        return ours

    def packets(
        self,
        direction: Direction,
        packets: Sequence[bytes],
        now: float | None = None,
        client_id: str | None = None,
    ) -> list[Decision]:
        """Let both decide about several packets at once."""
        self.log.append(f"{direction} {[one.hex() for one in packets]} {now} {client_id}")
        ours = self.gateway.handle_packets(direction, packets, now, client_id=client_id)
        theirs = self.model.handle_packets(direction, packets, now, client_id=client_id)
        assert [told(one) for one in ours] == theirs, self.explain(ours, theirs)
        for packet, decision in zip(packets, ours, strict=True):
            self.tally[kind_of(direction, packet, decision)] += 1
        return ours

    # --- What the model knows ----------------------------------------------------------------

    def held(self, client_id: str) -> list[str]:
        """Return the resources that a client has; none if it is not connected."""
        client = self.model._clients.get(client_id)
        return [] if client is None else list(client.authorizations)

    def moments(self) -> list[float]:
        """Return when something ends: a permission, a session, what is remembered."""
        found = []
        for client in self.model._clients.values():
            found += [one.expires_at for one in client.authorizations.values()]
            if self.model._now.seconds is not None:
                found += [end_of(*one.lifetime()) for one in client.sessions]
                found += [end_of(*one.lifetime()) for one in client.flows]
                found += [end_of(at, REMEMBERED) for at in client.ended.values()]
                found += [end_of(one.since, FRAGMENTS_KEPT) for one in client.fragments.values()]
        return [moment for moment in found if moment is not None]

    def ways(self) -> list[tuple[str, str]]:
        """Return which client's address has which proxy address to send to."""
        return [
            (str(near), str(proxy))
            for client in self.model._clients.values()
            for near in client.addresses
            for proxy, behind in client.proxies.items()
            if proxy.version == near.version and behind.target is not None
        ]

    # --- What there is -----------------------------------------------------------------------

    def check(self) -> None:
        """Compare what there is, and that the host is never woken too late."""
        assert sorted(self.gateway.clients()) == sorted(self.model.clients())
        for client_id in self.gateway.clients():
            granted = self.gateway.authorizations(client_id)
            assert granted == self.model.authorizations(client_id), self.explain(granted, ())
        ours, theirs = self.gateway.poll_timeout(), self.model.poll_timeout()
        assert theirs is None or (ours is not None and ours <= theirs), self.explain(ours, theirs)
        # What is over is announced within a second.
        forgotten = self.model.forgotten_from()
        late = forgotten is not None and (ours is None or ours > forgotten + 1.0)
        assert not late, self.explain(ours, forgotten)

    def count(self) -> None:
        """Compare what the gateway counts with what there is."""
        ours, clients = self.gateway.counters(), self.model._clients.values()
        theirs = (
            sum(len(one.authorizations) for one in clients),
            sum(len(one.sessions) for one in clients),
            sum(len(one.fragments) for one in clients),
            self.model.flows,
        )
        mine = (ours.authorizations, ours.nat_sessions, ours.fragments, ours.flows)
        assert mine == theirs, self.explain(mine, theirs)

    def events(self) -> None:
        """Fetch the events of both."""
        ours, theirs = [], []
        while (event := self.gateway.poll_event()) is not None:
            ours.append(told_event(event))
        while (their := self.model.poll_event()) is not None:
            theirs.append(their)
        assert ours == theirs, self.explain(ours, theirs)
        self.tally.update(f"event {event[0]}" for event in ours)

    def explain(self, ours: object, theirs: object) -> str:
        story = "\n".join([*self.log[:2], "...", *self.log[-30:]])
        return f"gateway: {ours}\nmodel:   {theirs}\nat the end of:\n{story}"


def settle(gateway: Gateway, now: float) -> None:
    """Call `handle_timeout` as long as more waits, as a host does that follows `poll_timeout`."""
    calls = 0
    while (due := gateway.poll_timeout()) is not None and due <= now:
        assert calls < MANY_CALLS, f"after {calls} calls at {now}, {due} is still due"
        gateway.handle_timeout(now)
        calls += 1


class Failed(str):
    """The name of the error that a call raised."""

    __slots__ = ()


def outcome(call: Callable[[], object]) -> object:
    try:
        return call()
    except FirezoneFilterError as error:
        return Failed(type(error).__name__)
    except ModelError as error:
        return Failed(error.kind)


def told(decision: Decision) -> Told:
    match decision:
        case Forward(client_id, resource_id):
            return "forward", client_id, resource_id
        case Translate(packet, client_id, resource_id):
            return "translate", packet, client_id, resource_id
        case Reject(reply, reason, client_id):
            return "reject", reply, str(reason), client_id
        case Drop(reason, client_id):
            return "drop", str(reason), client_id
        case _:
            assert_never(decision)


def told_event(event: Event) -> Told:
    if isinstance(event, AuthorizationExpired):
        return "authorization-expired", event.client_id, event.resource_id, event.expired_at
    return "access-exhausted", event.client_id


def kind_of(direction: Direction, packet: bytes, decision: Decision) -> str:
    """Name what happened to a packet, so that rare things can be counted."""
    way, kind = direction.value, type(decision).__name__.lower()
    if not decision.allowed:
        return f"{way} {kind} {decision.reason}"
    read = parse(packet)
    assert read is not None
    if read.is_icmp_error:
        what = "error"
    elif read.fragment is None:
        what = "whole"
    else:
        what = "later fragment" if read.is_later_fragment else "first fragment"
    return f"{way} {kind} {what} v{read.version}"
