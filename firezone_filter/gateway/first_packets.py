"""First packets of flows: looked up instead of judged, where nothing is out of the ordinary.

Theory of operation. Nearly all first packets are TCP or UDP between a client and a resource's
network. The client is found by the near address, the kind of the far address in the range map,
and the answer in the client's networks; what follows from the decision is done at once. This
equals the judge's tables because it leaves out only rows that cannot refuse the packet:

- The caller has checked the packet's lengths; it is neither a fragment nor ICMP; and a client
  owns its near address, which settles the rows of unknown clients and spoofed sources.
- Every far address that a row above that of resources refuses or treats apart has the flag
  `NOT_CIDR`: multicast and tunnel addresses, the gateway's own among them. Packets to these are
  left to the tables. Proxy addresses have the flag too; outbound they concern no row above that
  of resources, and `_translate` looks them up.
- An inbound packet that may belong to a session is left to the tables.

Only the row of resources remains. Where one network covers the far address, the entry that is
asked first answers, as `NetworkTree.lookup` explains; all else asks `ClientAccess.permission`.
What is permitted is remembered and admitted, unless more follows from it (`_judge_flow`: with
`stateful` the row of flows, with flow records the count). What is not permitted is refused as by
the tables, and nothing is remembered of it.

The class has a twin in C. Both look into what Python has compiled of the policy: the flags of
address ranges, a network's bounds of permitted ports, and the `Forward` that permits.
"""

from bisect import bisect_right
from collections.abc import Mapping
from struct import Struct, error
from typing import Final

from firezone_filter.access.authorizations import Authorization, ClientAccess
from firezone_filter.access.permits import REASON_OF
from firezone_filter.access.special_ranges import (
    DNS,
    LOCAL_SERVICE,
    MULTICAST,
    NOT_CIDR,
    TUNNEL,
    RangeMap,
)
from firezone_filter.access.table import ALL_BITS, ANSWER, BOUNDS
from firezone_filter.accounting.refusals import RefusalCounts
from firezone_filter.compiled.twins import compiled, supply
from firezone_filter.gateway.flow_cache import INBOUND, ClientFlowCache
from firezone_filter.nat.nat import Nat
from firezone_filter.packet.replies import unreachable_reply
from firezone_filter.structures.token_bucket import TokenBucket
from firezone_filter.values.decisions import (
    Decision,
    Direction,
    Drop,
    Forward,
    Reason,
    Reject,
    make_reject,
)

_OUTBOUND = Direction.OUTBOUND

# Split a flow key of TCP or UDP: source and destination address, source and destination port.
_IPV4_KEY = Struct("!4s4sHH").unpack
_IPV6_KEY = Struct("!16s16sHH").unpack
IPV4_KEY_SIZE: Final = 12
"""The size of such a key of IPv4."""

# Reasons answered with "unreachable"; all others are "administratively prohibited".
UNREACHABLE: Final = frozenset({Reason.NO_TRANSLATION, Reason.NOT_INTERNET})

# The special addresses that are treated apart, each kind in its own way: proxy addresses here.
_APART: Final = DNS | MULTICAST | TUNNEL

supply(
    Authorization=Authorization,
    OUTBOUND=_OUTBOUND,
    Drop=Drop,
    Forward=Forward,
    LOCAL_SERVICE=LOCAL_SERVICE,
    NOT_CIDR=NOT_CIDR,
    DNS=DNS,
    APART=_APART,
    NO_RESOURCE=Reason.NO_RESOURCE,
    REASON_OF=REASON_OF,
    UNREACHABLE=UNREACHABLE,
    error=error,
)


def reject(
    packet: bytes, source: bytes, destination: bytes, reason: Reason, client_id: str
) -> Reject:
    """Return the refusal of a client's packet with a reply.

    Args:
        packet: the refused packet.
        source: its source address, 4 or 16 bytes.
        destination: its destination address.
        reason: why it is refused.
        client_id: the client.
    """
    reply = unreachable_reply(packet, source, destination, prohibited=reason not in UNREACHABLE)
    return make_reject(reply, reason, client_id)


@compiled
class NearEnd:
    """A client, as far as a first packet asks about it."""

    __slots__ = (
        "access",
        "drops",
        "flow_cache",
        "id",
        "nat",
        "only_remembers",
        "reply_tokens",
        "valid_until",
    )

    id: str
    access: ClientAccess
    flow_cache: ClientFlowCache
    nat: Nat | None
    """`None` until a name has been resolved for the client: most clients of a large gateway are
    idle, and each NAT costs memory."""
    only_remembers: bool
    """Whether all that follows from an allowed packet, translation aside, is that its flow is
    remembered: neither `stateful` nor flow records."""
    drops: dict[Reason, Drop]
    """Its refusals without a reply, of the reasons met so far."""
    reply_tokens: TokenBucket
    """One token for each ICMP error that the client may get."""
    valid_until: float
    """When what is remembered of the client is void: at its next expiry."""


@compiled
class FirstPackets:
    """Decides about first packets of TCP and UDP flows, and carries the decisions out."""

    __slots__ = (
        "_by_address",
        "_forwarded_inbound",
        "_forwarded_outbound",
        "_ipv4",
        "_ipv6",
        "_refusals",
        "_replies",
    )

    def __init__(
        self,
        clients: Mapping[bytes, NearEnd],
        ranges: RangeMap,
        refusals: RefusalCounts,
        *,
        replies: bool,
    ) -> None:
        """Look for near ends among *clients*, by tunnel address.

        Args:
            clients: all clients.
            ranges: tells the kinds of far addresses.
            refusals: counts refused packets.
            replies: whether refused packets of clients may be answered.
        """
        self._by_address = clients
        # By family: how to split a flow key, and the bounds and flags of address ranges.
        self._ipv4 = (_IPV4_KEY, *ranges.ipv4)
        self._ipv6 = (_IPV6_KEY, *ranges.ipv6)
        self._refusals = refusals
        self._replies = replies
        # Allowed packets so far.
        self._forwarded_outbound = self._forwarded_inbound = 0

    def _first(  # noqa: C901, PLR0911, PLR0912, PLR0913, PLR0915, PLR0917 - the whole way; a call more would take 60 ns
        self,
        direction: Direction,
        protocol: int,
        key: bytes,
        packet: bytes,
        client_id: str | None,
        now: float,
    ) -> Decision | None:
        """Decide about a whole TCP or UDP packet without options or extension headers.

        Args:
            direction: which way the packet goes.
            protocol: TCP or UDP.
            key: the packet's flow key, under which no decision is remembered.
            packet: the packet.
            client_id: the client that the host named; `None` if it named none.
            now: the time, in seconds.

        Returns:
            The decision, carried out; `None` if the tables have to judge the packet.
        """
        unpack, starts, flags_from = self._ipv4 if len(key) == IPV4_KEY_SIZE else self._ipv6
        outbound = direction is _OUTBOUND
        if outbound:
            near, far, near_port, far_port = unpack(key)
        else:
            far, near, far_port, near_port = unpack(key)
        client = self._by_address.get(near)
        # (A table of the first 16 bits would take as long as the bisection: 70 ns.)
        flags = flags_from[bisect_right(starts, far) - 1]
        if (
            client is None
            # A spoofed source outbound, the wrong client inbound.
            or (client_id is not None and client_id != client.id)
            # What is remembered of the client has to be forgotten first.
            or now >= client.valid_until
        ):
            return None
        if flags & NOT_CIDR:
            is_proxy = flags & _APART == DNS
            # (What else follows from a packet is up to the tables.)
            if not is_proxy or not outbound or client.nat is None or not client.only_remembers:
                return None
            ends = protocol, near_port, far
            return self._translate(client, ends, far_port, key, packet, now)
        # Its session, live or remembered, decides about it and names the refusal; or a session
        # of later may take the flow over, which takes `store_noted`.
        nat = client.nat
        if nat is not None and not outbound and far in nat.real:
            return None
        access = client.access
        answer: Forward | Reason | None = None
        if now < access.first_expiry and access.internet is None and not flags & LOCAL_SERVICE:
            # As nearly always: one network covers the address, and one resource has it.
            node = access.networks.tree.search_best(None, ALL_BITS, far)
            if node is None:
                answer = Reason.NO_RESOURCE
            else:
                data = node.data
                first = data[ANSWER]
                if type(first) is Authorization:
                    # From here on the node has the `Forward` itself: among 100,000 networks each
                    # object in between is a cache miss of the CPU, of 100 ns.
                    first = data[ANSWER] = first.forward
                bounds = data[BOUNDS].get(protocol)
                if bounds is not None and type(first) is Forward:
                    if bisect_right(bounds, far_port) & 1:
                        answer = first
                    elif node.parent is None:
                        answer = REASON_OF[protocol]
        if answer is None:
            answer = access.permission(far, flags, protocol, far_port, now)
        if type(answer) is Forward:
            if not client.only_remembers:
                return self._judge_flow(client, direction, protocol, key, packet, answer, now)
            if outbound:
                self._forwarded_outbound += 1
                client.flow_cache.store(protocol, key, answer)  # `OUTBOUND` is 0
            else:
                self._forwarded_inbound += 1
                client.flow_cache.store(protocol + INBOUND, key, answer)
            return answer
        refused: Reject | Drop | None
        # The rate limit keeps a client from turning a flood of packets into a flood of replies
        # (RFC 4443, section 2.4).
        if outbound and self._replies and client.reply_tokens.has_token(now):
            client.reply_tokens.take(now)
            refused = reject(packet, near, far, answer, client.id)
        else:
            refused = client.drops.get(answer)
            if refused is None:
                refused = client.drops[answer] = Drop(answer, client.id)
        counts = self._refusals.outbound if outbound else self._refusals.inbound
        counts[answer] += 1
        if self._refusals.log is not None:
            self._refusals.log.add(direction, packet, refused, now)
        return refused

    def _judge_flow(  # noqa: PLR0913, PLR0917 - as above
        self,
        client: NearEnd,
        direction: Direction,
        protocol: int,
        key: bytes,
        packet: bytes,
        permitted: Forward,
        now: float,
    ) -> Decision:
        """Judge a permitted packet by its flow, of a client that does not only remember."""
        raise NotImplementedError

    def _translate(  # noqa: PLR0913, PLR0917 - as above
        self,
        client: NearEnd,
        ends: tuple[int, int, bytes],
        far_port: int,
        key: bytes,
        packet: bytes,
        now: float,
    ) -> Decision | None:
        """Translate a packet to a proxy address, given protocol, near port and that address.

        Do what follows from it; `None` if the tables have to judge it.
        """
        raise NotImplementedError
