"""`Model`: lifecycle, time and events (section 3), the two tables of checks (section 4)."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, field
from ipaddress import ip_address
from operator import itemgetter
from typing import TYPE_CHECKING

from . import nat, packets, policy, stateful
from .explain import Account, Explanation, summary
from .nat import Outside, Proxy, Session, Sessions
from .policy import within
from .stateful import Flows
from .values import INBOUND, OUTBOUND, Address, Given, ModelError, Moment, end_of, moved, over

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from .packets import Packet

FIFTY_YEARS = 50 * 365.25 * 86_400
NO_TIME = 2**33  # Unix seconds until 2242; from here on a mistake
FRAGMENTS_KEPT = 30
MAX_FRAGMENTS = 1_024
MAX_PROXIES = 1_024

Decision = tuple[Given, ...]
Event = tuple[Given, ...]


@dataclass
class Authorization:
    resource: Given
    expires_at: float | None
    place: int  # the how-manieth expiry that was set this one is


@dataclass
class FirstFragment:
    """The decision of an allowed first fragment."""

    looks: tuple[Given, ...]  # protocol, ports, ICMP type
    judged_end: int
    since: Moment
    resource_id: str | None
    far: Address | None  # the address to write into later ones; `None`: they go as they are


@dataclass
class Client:
    client_id: str
    addresses: set[Address]
    tokens: float
    refilled: Moment
    authorizations: dict[str, Authorization] = field(default_factory=dict)
    proxies: dict[Address, Proxy] = field(default_factory=dict)
    sessions: Sessions = field(default_factory=Sessions)
    flows: Flows = field(default_factory=Flows)
    # When sessions were forgotten, the first first: kept to name refusals.
    ended: dict[Outside, Moment] = field(default_factory=dict)
    fragments: dict[Given, FirstFragment] = field(default_factory=dict)  # by last start

    def forget_decisions(self) -> None:
        self.fragments.clear()

    def end_session(self, session: Session, at: Moment) -> None:
        """Forget a session at a moment: the table of section 6 names it, or it gives way."""
        self.sessions.remove(session)
        self.ended[session.outside] = at
        if len(self.ended) > nat.MAX_REMEMBERED:
            del self.ended[next(iter(self.ended))]

    def end_proxies(self, gone: set[Address]) -> None:
        """Let proxy addresses mean nothing any more: policy ends what they had, unremembered."""
        for address in gone:
            del self.proxies[address]
        for session in self.sessions:
            if session.proxy in gone:
                self.sessions.remove(session)
        for flow in self.flows:
            if flow.far in gone:
                self.flows.remove(flow)

    def move_moments(self, by: float) -> None:
        """Let what lasts n seconds keep what it has left when the clock is set."""
        for session in self.sessions:
            session.last_out = moved(session.last_out, by)
            session.last = moved(session.last, by)
        self.flows.move_moments(by)
        self.ended = {outside: moved(at, by) for outside, at in self.ended.items()}
        for first in self.fragments.values():
            first.since = moved(first.since, by)
        # Tokens stay, those that were earned since the last look among them, and grow from there.
        self.refilled = moved(self.refilled, by)


@dataclass
class Ruling:
    """What the checks say of one packet, before replies and fragments come in."""

    reason: str | None = None  # why it is refused; `None`: allowed
    answer: bool = False  # a refusal that the client may be told of
    resource_id: str | None = None
    packet: bytes | None = None  # what goes on instead
    far: Address | None = None  # the address that was written into it


def _addresses(given: Given) -> set[Address]:
    return {address for address in (given.ipv4, given.ipv6) if address is not None}


def _parsed(given: Iterable[Given]) -> list[Address]:
    try:
        return [ip_address(one) if isinstance(one, str) else one for one in given]
    except ValueError as error:
        raise ModelError("InvalidAddress") from error


def _identity(resource: Given) -> tuple[Given, ...]:
    """What a resource never changes under the same id: kind, network, pattern."""
    kind = type(resource).__name__
    if kind == "CidrResource":
        return (kind, resource.network)
    if kind == "DnsResource":
        return (kind, policy.normal(resource.address))
    return (kind,)


def _opposite(direction: str) -> str:
    return INBOUND if direction == OUTBOUND else OUTBOUND


class Model:
    """The gateway of the design, without anything that makes it fast."""

    def __init__(self, addresses: Given, *, address_plan: Given, options: Given) -> None:
        self._plan = address_plan
        self._options = options
        self._now = Moment(None)
        self._clients: dict[str, Client] = {}
        # By kind, client and resource, of which no two wait.
        self._events: dict[Given, Event] = {}
        self._places = 0
        self.earlier_nows = 0
        """How often `now` was earlier than the latest, in calls that did not raise."""
        self.earlier_by = 0.0
        """And by how much at most."""
        self._own = self._checked_own(addresses)
        self._account = Account()
        """Of the packet that was decided last."""

    # Connection lifecycle ------------------------------------------------------------

    def client_connected(self, client_id: str, addresses: Given, now: float | None = None) -> None:
        if not client_id:
            raise ModelError("InvalidPolicy")
        self._check_now(now)
        wanted = _addresses(addresses)
        if any(not within(one, self._plan.tunnel) or one in self._own for one in wanted):
            raise ModelError("InvalidAddress")
        for other in self._clients.values():
            if other.client_id != client_id and other.addresses & wanted:
                raise ModelError("AddressInUse")
        self._at(now)
        self.client_disconnected(client_id)
        self._clients[client_id] = Client(
            client_id, wanted, tokens=self._options.reject_burst, refilled=self._now
        )

    def client_disconnected(self, client_id: str) -> bool:
        for key, event in list(self._events.items()):
            if event[1] == client_id:
                del self._events[key]
        return self._clients.pop(client_id, None) is not None

    def authorize(
        self, client_id: str, resource: Given, *, expires_at: float | None = None
    ) -> None:
        client = self._client(client_id)
        self._check_expiry(expires_at)
        known = client.authorizations.get(resource.id)
        if known is not None and _identity(known.resource) != _identity(resource):
            raise ModelError("InvalidPolicy")
        if known is None:
            known = client.authorizations[resource.id] = Authorization(resource, None, 0)
        known.resource = resource
        client.forget_decisions()
        self._events.pop(("access-exhausted", client_id), None)
        self._set_expiry(known, expires_at)

    def revoke(self, client_id: str, resource_id: str) -> bool:
        client = self._clients.get(client_id)
        if client is None or resource_id not in client.authorizations:
            return False
        self._take_away(client, resource_id)
        return True

    def update_resource(self, resource: Given) -> int:
        having = [c for c in self._clients.values() if resource.id in c.authorizations]
        for client in having:
            if _identity(client.authorizations[resource.id].resource) != _identity(resource):
                raise ModelError("InvalidPolicy")
        for client in having:
            client.authorizations[resource.id].resource = resource
            client.forget_decisions()
        return len(having)

    def update_expiry(self, client_id: str, resource_id: str, expires_at: float | None) -> bool:
        self._check_expiry(expires_at)
        client = self._clients.get(client_id)
        if client is None or resource_id not in client.authorizations:
            return False
        self._set_expiry(client.authorizations[resource_id], expires_at)
        return True

    def _set_expiry(self, authorization: Authorization, expires_at: float | None) -> None:
        self._places += 1
        authorization.expires_at, authorization.place = expires_at, self._places
        # All others that are over by now have ended already.
        if expires_at is not None:
            now = self._now.seconds
            assert now is not None
            if now >= expires_at:
                self._expire()

    def retain_authorizations(self, authorizations: Mapping[str, Iterable[str]]) -> None:
        for client in self._clients.values():
            listed = set(authorizations.get(client.client_id, ()))
            for resource_id in list(client.authorizations):
                if resource_id not in listed:
                    self._take_away(client, resource_id)

    def domain_resolved(
        self,
        client_id: str,
        resource_id: str,
        domain: str,
        *,
        proxy_addresses: Iterable[Given],
        resolved_addresses: Iterable[Given],
    ) -> None:
        client = self._client(client_id)
        if resource_id not in client.authorizations:
            raise ModelError("UnknownResource")
        resource = client.authorizations[resource_id].resource
        if type(resource).__name__ != "DnsResource":
            raise ModelError("InvalidPolicy")
        if not policy.names(resource.address, domain):
            raise ModelError("InvalidPolicy")
        domain = policy.normal(domain)
        proxies = _parsed(proxy_addresses)
        resolved = _parsed(resolved_addresses)
        renumbered = any(
            proxy in client.proxies and client.proxies[proxy].domain != domain for proxy in proxies
        )
        kept = set() if renumbered else set(client.proxies)
        if len(kept | set(proxies)) > MAX_PROXIES:
            raise ModelError("InvalidPolicy")
        if len(set(proxies)) != len(proxies):
            raise ModelError("InvalidAddress")
        if any(not within(proxy, self._plan.dns_resources) for proxy in proxies):
            raise ModelError("InvalidAddress")

        client.forget_decisions()
        if renumbered:
            client.proxies.clear()
            client.sessions = Sessions()
            for flow in client.flows:
                if self._in_dns(flow.far):
                    client.flows.remove(flow)
        self._assign(client, domain, resource_id, proxies, resolved)

    def _assign(
        self,
        client: Client,
        domain: str,
        resource_id: str,
        proxies: list[Address],
        resolved: list[Address],
    ) -> None:
        usable = [address for address in resolved if self._may_stand_behind(address)]
        for version in (4, 6):
            targets = [address for address in usable if address.version == version]
            family = [proxy for proxy in proxies if proxy.version == version]
            for nth, proxy in enumerate(family):
                entry = client.proxies.setdefault(proxy, Proxy(domain, None))
                entry.target = nat.target_of(nth, targets)
                entry.named_by.add(resource_id)

    def domain_withdrawn(self, client_id: str, domain: str) -> bool:
        client = self._client(client_id)
        if not policy.is_name(domain):
            raise ModelError("InvalidPolicy")
        domain = policy.normal(domain)
        gone = {address for address, proxy in client.proxies.items() if proxy.domain == domain}
        if not gone:
            # Nothing has changed, so that later fragments go on as well.
            return False
        client.forget_decisions()
        client.end_proxies(gone)
        return True

    def set_addresses(self, addresses: Given) -> None:
        own = self._checked_own(addresses)
        if any(client.addresses & own for client in self._clients.values()):
            raise ModelError("AddressInUse")
        self._own = own
        for client in self._clients.values():
            client.forget_decisions()

    # What there is -------------------------------------------------------------------

    def clients(self) -> tuple[str, ...]:
        return tuple(self._clients)

    def __contains__(self, client_id: object) -> bool:
        return client_id in self._clients

    def authorizations(self, client_id: str) -> dict[str, float | None]:
        granted = self._client(client_id).authorizations
        return {resource_id: one.expires_at for resource_id, one in granted.items()}

    @property
    def flows(self) -> int:
        """How many flows of section 7 live."""
        return sum(len(client.flows) for client in self._clients.values())

    # Time and events -----------------------------------------------------------------

    def poll_timeout(self) -> float | None:
        """Say exactly when the next authorization ends (the library may say earlier)."""
        ends = [
            one.expires_at
            for client in self._clients.values()
            for one in client.authorizations.values()
            if one.expires_at is not None
        ]
        return min(ends, default=None)

    def forgotten_from(self) -> float | None:
        """Say when the next session, or flow of section 7, is over: there is then more to do."""
        if self._now.seconds is None:
            return None
        ends = [
            end_of(*one.lifetime())
            for client in self._clients.values()
            for one in (*client.sessions, *client.flows)
        ]
        return min(ends, default=None)

    def handle_timeout(self, now: float) -> None:
        self._check_now(now)
        self._at(now)

    def clock_set(self, now: float) -> None:
        if self._now.seconds is None:
            self.handle_timeout(now)
            return
        _check_time(now)  # be it earlier or, by any distance, later
        expiries = [
            one.expires_at
            for client in self._clients.values()
            for one in client.authorizations.values()
            if one.expires_at is not None
        ]
        # Those that are this far ahead have not passed: all of them would be kept.
        if any(expires_at > now + FIFTY_YEARS for expires_at in expiries):
            raise ModelError("InvalidTime")
        # reading: this is no `now` that was earlier than the latest; it is not counted.
        by = now - self._now.seconds
        self._now = Moment(now)
        self._move_moments(by)
        self._expire()

    def _move_moments(self, by: float) -> None:
        for client in self._clients.values():
            client.move_moments(by)

    def poll_event(self) -> Event | None:
        return self._events.pop(next(iter(self._events))) if self._events else None

    def _check_now(self, now: float | None) -> None:
        if now is None:
            return
        _check_time(now)
        latest = self._now.seconds
        if latest is None:
            return
        # Exactly 50 years are allowed, either way.
        if now > latest + FIFTY_YEARS or now < latest - FIFTY_YEARS:
            raise ModelError("InvalidTime")

    def _check_expiry(self, expires_at: float | None) -> None:
        if expires_at is None:
            return
        _check_time(expires_at)
        latest = self._now.seconds
        if latest is None or expires_at > latest + FIFTY_YEARS:
            raise ModelError("InvalidTime")

    def _at(self, now: float | None) -> None:
        """Let time come to `now`, never back: the one place where it moves.

        Everything that is over by then is gone when this returns, so that nothing else
        in the model asks whether what it sees is still alive.
        """
        if now is None:
            return
        latest = self._now.seconds
        if latest is None:
            # Whatever began before has this very moment as its start.
            self._now.seconds = now
        elif now > latest:
            self._now = Moment(now)
        else:
            # An earlier `now` counts as the latest, at which all is done.
            if now < latest:
                self.earlier_nows += 1
                self.earlier_by = max(self.earlier_by, latest - now)
            return
        self._expire()
        for client in self._clients.values():
            self._forget_what_is_over(client, now)

    def _expire(self) -> None:
        """End the authorizations that are over, in the order in which they ended."""
        now = self._now.seconds
        due = [
            (one.expires_at, one.place, client, resource_id)
            for client in self._clients.values()
            for resource_id, one in client.authorizations.items()
            if one.expires_at is not None and now is not None and now >= one.expires_at
        ]
        looked_at: set[tuple[str, float]] = set()
        # Of those that end at one moment, the one that was set first goes first.
        for expired_at, _, client, resource_id in sorted(due, key=itemgetter(0, 1)):
            # Sessions that were over before their authorization are remembered as such,
            # however late both are noticed.
            if (client.client_id, expired_at) not in looked_at:
                looked_at.add((client.client_id, expired_at))
                self._forget_what_is_over(client, expired_at)
            event = ("authorization-expired", client.client_id, resource_id, expired_at)
            self._take_away(client, resource_id, event)

    def _forget_what_is_over(self, client: Client, now: float) -> None:
        ends = [(end_of(*session.lifetime()), session) for session in client.sessions]
        due = [(end, session) for end, session in ends if now >= end]
        for end, session in sorted(due, key=itemgetter(0)):
            client.end_session(session, Moment(end))
        for flow in client.flows:
            if over(*flow.lifetime(), now):
                client.flows.remove(flow)
        for outside, at in list(client.ended.items()):
            if over(at, nat.REMEMBERED, now):
                del client.ended[outside]
        for key, first in list(client.fragments.items()):
            if over(first.since, FRAGMENTS_KEPT, now):
                del client.fragments[key]

    def _take_away(self, client: Client, resource_id: str, event: Event | None = None) -> None:
        """Remove an authorization with all that hangs on it, and announce it."""
        del client.authorizations[resource_id]
        client.forget_decisions()
        gone = set()
        for address, proxy in client.proxies.items():
            proxy.named_by.discard(resource_id)
            if not proxy.named_by:
                gone.add(address)
        if gone:
            client.end_proxies(gone)
        for flow in client.flows:
            if flow.resource_id == resource_id:
                client.flows.remove(flow)
        if event is not None:
            self._announce(event)
        if not client.authorizations:
            self._announce(("access-exhausted", client.client_id))

    def _announce(self, event: Event) -> None:
        """Queue an event; one of the same kind, client and resource gives way to it."""
        self._events.pop(event[:3], None)
        self._events[event[:3]] = event

    # Small questions -----------------------------------------------------------------

    def _client(self, client_id: str) -> Client:
        if client_id not in self._clients:
            raise ModelError("UnknownClient")
        return self._clients[client_id]

    def _checked_own(self, addresses: Given) -> set[Address]:
        own = _addresses(addresses)
        if any(not within(one, self._plan.tunnel) for one in own):
            raise ModelError("InvalidAddress")
        return own

    def _owner(self, address: Address) -> Client | None:
        for client in self._clients.values():
            if address in client.addresses:
                return client
        return None

    def _in_tunnel(self, address: Address) -> bool:
        return within(address, self._plan.tunnel)

    def _in_dns(self, address: Address) -> bool:
        return within(address, self._plan.dns_resources)

    def _may_stand_behind(self, address: Address) -> bool:
        """Tell whether a name may resolve to this: a name server must open no side door."""
        return not policy.is_special(address, self._plan) and not policy.is_local_service(address)

    def _match(
        self, client: Client, address: Address, protocol: int, number: int | None
    ) -> policy.Candidate:
        """Choose by section 5 among the client's resources; `number` is port or ICMP type."""
        having = {key: one.resource for key, one in client.authorizations.items()}
        wanted = (protocol, number)
        if self._in_dns(address):
            # Here only DNS resources count, by the proxies given for them.
            proxy = client.proxies.get(address)
            named_by = proxy.named_by if proxy is not None else ()
            candidates = [policy.proxied(having[one], address, wanted) for one in named_by]
        else:
            all_of_them = (
                policy.candidate(one, self._plan, address, wanted) for one in having.values()
            )
            candidates = [one for one in all_of_them if one is not None]
        self._account.candidates = policy.ranked(candidates)
        self._account.excluded = [
            key for key, one in having.items() if policy.excludes(one, address, self._plan)
        ]
        return policy.best(candidates)

    def _own_refusal(self, packet: Packet, direction: str) -> str | None:
        number = packet.number(direction)
        return policy.refusal(self._options.own_filters, packet.protocol, number)

    def _ruled_by_own(self, packet: Packet, direction: str, *, answer: bool = False) -> Ruling:
        reason = self._own_refusal(packet, direction)
        self._account.check("own-address", reason is None)
        return Ruling(reason, answer=answer)

    # Packets -------------------------------------------------------------------------

    def handle_packets(
        self,
        direction: Given,
        packets: Iterable[Given],
        now: float | None = None,
        *,
        client_id: str | None = None,
    ) -> list[Decision]:
        self._check_now(now)
        self._at(now)
        # All at the latest `now`. reading: a call that brings an earlier one does so once,
        # however many packets it has.
        return [
            self.handle_packet(direction, packet, client_id=client_id) for packet in list(packets)
        ]

    def handle_packet(
        self,
        direction: Given,
        packet: Given,
        now: float | None = None,
        *,
        client_id: str | None = None,
    ) -> Decision:
        self._check_now(now)
        self._at(now)
        self._account = Account()
        parsed = packets.parse(bytes(packet))
        if not self._account.check("headers", parsed is not None):
            return ("drop", "malformed", None)
        assert parsed is not None
        if direction.name == OUTBOUND:
            return self._outbound(parsed, client_id)
        return self._inbound(parsed, client_id)

    def explain(
        self,
        direction: Given,
        packet: Given,
        now: float | None = None,
        *,
        client_id: str | None = None,
    ) -> Explanation:
        """Say what `handle_packet` would do, and why: a copy is asked, which is then forgotten."""
        # What no call changes need not be copied.
        kept = [self._plan, self._options]
        kept += [
            one.resource
            for client in self._clients.values()
            for one in client.authorizations.values()
        ]
        asked = copy.deepcopy(self, {id(one): one for one in kept})
        decision = asked.handle_packet(direction, packet, now, client_id=client_id)
        read = packets.parse(bytes(packet))
        return Explanation(decision, asked._account, None if read is None else summary(read))

    def _outbound(self, packet: Packet, client_id: str | None) -> Decision:
        check = self._account.check
        to_many = within(packet.destination, policy.MULTICAST + policy.BROADCAST)
        if not check("multicast", not to_many):
            return ("drop", "multicast", None)
        client = self._owner(packet.source) if client_id is None else self._clients.get(client_id)
        if not check("client", client is not None):
            return ("drop", "unknown-client", None)
        assert client is not None
        self._account.client_id = client.client_id
        if client_id is not None and not check("source", packet.source in client.addresses):
            return ("drop", "source-not-allowed", client.client_id)
        return self._with_fragments(client, packet, OUTBOUND)

    def _inbound(self, packet: Packet, client_id: str | None) -> Decision:
        check = self._account.check
        if not check("tunnel", self._in_tunnel(packet.destination)):
            return ("drop", "not-a-peer", None)
        client = self._owner(packet.destination)
        is_meant = client is not None and client_id in (None, client.client_id)
        if not check("client", is_meant):
            return ("drop", "unknown-client", None)
        assert client is not None
        self._account.client_id = client.client_id
        return self._with_fragments(client, packet, INBOUND)

    def _rule(self, client: Client, packet: Packet, direction: str) -> Ruling:
        return (
            self._rule_outbound(client, packet)
            if direction == OUTBOUND
            else self._rule_inbound(client, packet)
        )

    def _decision(self, client: Client, packet: Packet, ruling: Ruling) -> Decision:
        """Turn a ruling into a decision; refusals may earn a reply."""
        if ruling.reason is None and ruling.packet is None:
            return ("forward", client.client_id, ruling.resource_id)
        if ruling.reason is None:
            return ("translate", ruling.packet, client.client_id, ruling.resource_id)
        if (
            ruling.answer
            and self._options.reject
            and not packet.is_icmp_error  # nor any ICMPv6 below 128, which are all errors
            and self._takes_token(client)
        ):
            reply = packets.unreachable(packet, ruling.reason)
            return ("reject", reply, ruling.reason, client.client_id)
        return ("drop", ruling.reason, client.client_id)

    def _takes_token(self, client: Client) -> bool:
        """Take a token out of the client's bucket, refilled for the time since last."""
        elapsed = (self._now.seconds or 0) - (client.refilled.seconds or 0)
        refill = elapsed * self._options.reject_rate
        client.tokens = min(self._options.reject_burst, client.tokens + refill)
        client.refilled = self._now
        if client.tokens < 1:
            return False
        client.tokens -= 1
        return True

    # Fragments -----------------------------------------------------------------------

    def _with_fragments(self, client: Client, packet: Packet, direction: str) -> Decision:
        """Judge a packet by the rest of its table, fragments as their rules say."""
        check = self._account.check
        refused = ("drop", "fragment", client.client_id)
        if packet.fragment is None:
            return self._decision(client, packet, self._rule(client, packet, direction))
        key = (
            direction,
            packet.source,
            packet.destination,
            packet.fragment.identification,
            packet.protocol if packet.version == 4 else None,
        )
        first = client.fragments.get(key)
        if packet.is_later_fragment:
            follows_one = first is not None and packet.fragment.offset >= first.judged_end
            check("fragment", follows_one)
            if first is None:
                return refused
            if not follows_one:
                # It would overwrite what was judged (RFC 1858, RFC 3128, RFC 5722).
                del client.fragments[key]
                return refused
            follows = Ruling(resource_id=first.resource_id)
            if first.far is not None:
                follows.packet = nat.rewritten(packet, direction, first.far, None)
            return self._decision(client, packet, follows)

        looks = (packet.protocol, packet.source_port, packet.destination_port, packet.icmp_type)
        if not check("fragment", first is None or first.looks == looks):
            del client.fragments[key]
            return refused
        ruling = self._rule(client, packet, direction)
        client.fragments.pop(key, None)
        if ruling.reason is None:
            judged_end = max(packet.judged_end, first.judged_end if first is not None else 0)
            client.fragments[key] = FirstFragment(
                looks, judged_end, self._now, ruling.resource_id, ruling.far
            )
            if len(client.fragments) > MAX_FRAGMENTS:
                del client.fragments[next(iter(client.fragments))]
        return self._decision(client, packet, ruling)

    # The two tables, from the destination or source on -------------------------------

    def _rule_outbound(self, client: Client, packet: Packet) -> Ruling:  # noqa: PLR0911 - one for each row
        check = self._account.check
        to_own = packet.destination in self._own
        if not check("peer-address", to_own or not self._in_tunnel(packet.destination)):
            return Ruling("peer-address", answer=True)
        if packet.is_icmp_error:
            return self._rule_error(client, packet, OUTBOUND)
        if packet.icmp_type in packets.LINK_ONLY[packet.version]:
            check("link-local-icmp", passed=False)
            return Ruling("icmp")
        if to_own:
            return self._ruled_by_own(packet, OUTBOUND, answer=True)
        number = packet.number(OUTBOUND)
        match = self._match(client, packet.destination, packet.protocol, number)
        if not check("resource", match.reason is None):
            return Ruling(match.reason, answer=True)
        if self._options.stateful and not check("flow", self._fits_a_flow(client, packet)):
            return Ruling("flows-exhausted")
        ruling = Ruling(resource_id=match.resource_id)
        if self._in_dns(packet.destination):
            ruling = self._translate_outbound(client, packet, match.resource_id)
            check("translation", ruling.reason is None)
        if ruling.reason is None and self._options.stateful:
            # It has passed every row: only now anything begins, and room is made.
            self._make_room_for_a_flow(client, packet)
            client.flows.sent(packet, match.resource_id, self._now)
        return ruling

    def _translate_outbound(
        self, client: Client, packet: Packet, resource_id: str | None
    ) -> Ruling:
        client_port = nat.near_port(packet, OUTBOUND)
        if client_port is None:
            return Ruling("protocol", answer=True)
        session = client.sessions.from_inside(packet, OUTBOUND)
        if session is None:
            resolved = client.proxies[packet.destination].target
            if resolved is None:
                return Ruling("no-translation", answer=True)
            session = self._new_session(client, packet, client_port, resolved)
            if session is None:
                return Ruling("nat-exhausted")
        # reading: of packets at one moment, the one that was handled later is the later one.
        client.sessions.put_last(session)
        if session.sent(packet, self._now):
            # reading: also a session that begins with this RST; it was given room like any other.
            client.end_session(session, self._now)
        data = nat.rewritten(packet, OUTBOUND, session.resolved, session.port)
        return Ruling(resource_id=resource_id, packet=data, far=session.resolved)

    def _new_session(
        self, client: Client, packet: Packet, client_port: int, resolved: Address
    ) -> Session | None:
        # reading: the port first, since room is made only for a packet that passes every
        # row; and one that only the session which gives way has is not free.
        port = client.sessions.free_port(packet.protocol, resolved, client_port)
        if port is None or not self._make_room(client):
            return None
        session = Session(
            protocol=packet.protocol,
            client_port=client_port,
            proxy=packet.destination,
            resolved=resolved,
            port=port,
            last_out=self._now,
            last=self._now,
        )
        client.sessions.put_last(session)
        client.ended.pop(session.outside, None)
        return session

    def _make_room(self, client: Client) -> bool:
        """Make room for one more session, where there is none; tell whether there is some."""
        everybody = self._clients.values()
        if len(client.sessions) >= self._options.max_sessions_per_client:
            crowded = client
        elif sum(len(one.sessions) for one in everybody) >= self._options.max_sessions:
            # `max` returns the first of equals, and clients are in the order of connection.
            # reading: nobody else is asked if this one has no session that can give way.
            crowded = max(everybody, key=lambda one: len(one.sessions))
        else:
            return True
        session = nat.giving_way(crowded.sessions)
        if session is None:
            return False
        crowded.end_session(session, self._now)
        return True

    def _rule_inbound(self, client: Client, packet: Packet) -> Ruling:  # noqa: PLR0911 - one for each row
        check = self._account.check
        from_own = packet.source in self._own
        from_inside = self._in_tunnel(packet.source) or self._in_dns(packet.source)
        if not check("peer-address", from_own or not from_inside):
            return Ruling("peer-address")
        if packet.is_icmp_error:
            return self._rule_error(client, packet, INBOUND)
        if packet.icmp_type in packets.LINK_ONLY[packet.version]:
            check("link-local-icmp", passed=False)
            return Ruling("icmp")
        if from_own:
            return self._ruled_by_own(packet, INBOUND)
        session = self._session_from_outside(client, packet, INBOUND)
        if session is not None:
            check("session", passed=True)
            return self._translate_inbound(client, packet, session)
        match = self._match(client, packet.source, packet.protocol, packet.number(INBOUND))
        if check("resource", match.reason is None):
            if not self._passes_flow(client, packet):
                return Ruling("unsolicited")
            if self._options.stateful:
                client.flows.received(packet, self._now)
            return Ruling(resource_id=match.resource_id)
        outside = nat.outside_of(packet, INBOUND)
        if outside is not None and outside in client.ended:
            return Ruling("expired-nat-session")
        return Ruling(match.reason)

    def _translate_inbound(self, client: Client, came: Packet, session: Session) -> Ruling:
        """Judge by the proxy address: the packet is the translated one from here on."""
        packet = nat.from_inside(came, INBOUND, session)
        match = self._match(client, packet.source, packet.protocol, packet.number(INBOUND))
        if not self._account.check("resource", match.reason is None):
            return Ruling(match.reason)
        if not self._passes_flow(client, packet):
            return Ruling("unsolicited")
        if self._options.stateful:
            client.flows.received(packet, self._now)
        # reading: of packets at one moment, the one that was handled later is the later one.
        client.sessions.put_last(session)
        if session.received(packet, self._now):
            # reading: a moment that has passed before FIN or RST made it count is the
            # packet's own, so that its end is remembered for 240 s from there.
            client.end_session(session, self._now)
        return Ruling(resource_id=match.resource_id, packet=packet.data, far=session.proxy)

    # Only answers come back (section 7) ----------------------------------------------

    def _is_asked_for(self, client: Client, packet: Packet, direction: str) -> bool:
        """Tell whether a packet, or a quote, as the client sees it, belongs to a live flow."""
        return not self._options.stateful or client.flows.of(packet, direction) is not None

    def _passes_flow(self, client: Client, packet: Packet) -> bool:
        """Tell whether a permitted packet in was asked for: a row of `stateful` gateways."""
        asked_for = self._is_asked_for(client, packet, INBOUND)
        if self._options.stateful:
            self._account.check("flow", asked_for)
        return asked_for

    def _session_from_outside(
        self, client: Client, packet: Packet, direction: str
    ) -> Session | None:
        """Find the session that translates a packet, or a quote, as the resource sees it.

        `None` also where it belongs to a flow as it came, and to none when it is translated.
        """
        session = client.sessions.from_outside(packet, direction)
        if session is None or not self._options.stateful:
            return session
        inside = nat.from_inside(packet, direction, session)
        translated, direct = (client.flows.of(one, direction) for one in (inside, packet))
        return None if translated is None and direct is not None else session

    def _fits_a_flow(self, client: Client, packet: Packet) -> bool:
        """Tell whether a permitted packet out has a flow, begins none, or finds room."""
        crowded = self._crowded(client, packet)
        return crowded is None or crowded.flows.giving_way() is not None

    def _make_room_for_a_flow(self, client: Client, packet: Packet) -> None:
        crowded = self._crowded(client, packet)
        if crowded is not None:
            flow = crowded.flows.giving_way()
            assert flow is not None
            crowded.flows.remove(flow)

    def _crowded(self, client: Client, packet: Packet) -> Client | None:
        """Find the client of which a flow has to give way to a new one; `None`: there is room."""
        if client.flows.of(packet, OUTBOUND) is not None or not stateful.begins_one(packet):
            return None
        if len(client.flows) >= self._options.max_flows_per_client:
            return client
        if self.flows >= self._options.max_flows:
            # As for sessions: of equals, the one connected first.
            return max(self._clients.values(), key=lambda one: len(one.flows))
        return None

    # ICMP errors ---------------------------------------------------------------------

    def _rule_error(self, client: Client, error: Packet, direction: str) -> Ruling:
        """Judge an ICMP error by the packet that it quotes, which went the other way."""
        ruling = self._by_quote(client, error, direction)
        self._account.check("icmp-error", ruling.reason is None)
        return ruling

    def _by_quote(  # noqa: PLR0911 - one for each rule
        self, client: Client, error: Packet, direction: str
    ) -> Ruling:
        refused = Ruling("icmp-error")
        if (
            error.fragment is not None
            or error.icmp_type not in packets.PASSABLE_ERRORS[error.version]
        ):
            return refused
        quote = packets.parse_quote(error.data[error.transport_at + 8 :])
        if quote is None or quote.version != error.version:
            return refused
        if quote.is_later_fragment or quote.is_icmp_error:
            return refused
        away = _opposite(direction)  # the way of the quoted packet
        if direction == INBOUND:
            is_about_it = quote.source == error.destination
            far = quote.destination
            session = self._session_from_outside(client, quote, away)
        else:
            is_about_it = (quote.destination, quote.source) == (error.source, error.destination)
            far = quote.source
            session = client.sessions.from_inside(quote, away)
        if not is_about_it:
            return refused
        if session is not None:
            return self._translate_error(client, error, direction, quote, session)
        if far in self._own:
            return refused if self._own_refusal(quote, away) is not None else Ruling()
        if self._in_tunnel(far) or self._in_dns(far):
            return refused
        resource_id, permitted = self._judged_quote(client, far, quote, away)
        return Ruling(resource_id=resource_id) if permitted else refused

    def _translate_error(
        self, client: Client, error: Packet, direction: str, quote: Packet, session: Session
    ) -> Ruling:
        """Translate an error and its quote, if the quoted packet is permitted."""
        away = _opposite(direction)
        if direction == INBOUND:
            inside = translated = nat.from_inside(quote, away, session)
            far = session.proxy
        else:
            inside, far = quote, session.resolved
            translated = nat.from_outside(quote, away, session)
        resource_id, permitted = self._judged_quote(client, session.proxy, inside, away)
        if not permitted:
            return Ruling("icmp-error")
        data = nat.rewritten_error(error, direction, far, translated.data)
        return Ruling(resource_id=resource_id, packet=data, far=far)

    def _judged_quote(
        self, client: Client, far: Address, quote: Packet, away: str
    ) -> tuple[str | None, bool]:
        """Say which resource a quote, as the client sees it, has, and if it is permitted."""
        match = self._match(client, far, quote.protocol, quote.number(away))
        asked_for = self._is_asked_for(client, quote, away)
        return match.resource_id, match.reason is None and asked_for


def _check_time(time: float) -> None:
    """Refuse what no time can be, whatever the latest.

    reading: only upwards. Nothing below 0 is refused but for its distance from the latest.
    """
    if not _is_finite(time) or time >= NO_TIME:
        raise ModelError("InvalidTime")


def _is_finite(number: float) -> bool:
    try:
        return math.isfinite(number)
    except OverflowError:  # an integer beyond all floats
        return False
