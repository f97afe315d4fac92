"""Which resource refused a packet: a decision names the reason, and only what permits by its id.

The gateway is asked why (`Gateway.explain`), which takes ten times as long as to decide. So an
answer is remembered for all packets of a client with the same far end, protocol and number, until
something happens that may change it.
"""

from typing import Final

from firezone_filter.gateway.gateway import Gateway
from firezone_filter.replay.five_tuple import read_five_tuple
from firezone_filter.values.decisions import Direction, Drop, Reason, Reject

BY_RESOURCES: Final = frozenset(
    {
        Reason.TCP_PORT,
        Reason.UDP_PORT,
        Reason.ICMP,
        Reason.PROTOCOL,
        Reason.NOT_INTERNET,
        Reason.NO_TRANSLATION,
    }
)
"""Reasons that a resource may have; all others are nobody's."""

_MOST: Final = 4_096

_Key = tuple[str | None, bytes, int, int | None, int | None]


class RefusedBy:
    """The resources that refused packets of a replay."""

    def __init__(self, gateway: Gateway, *, stateful: bool) -> None:
        self._gateway = gateway
        self._stateful = stateful
        self._outbound: dict[_Key, str | None] = {}
        self._inbound: dict[_Key, str | None] = {}

    def find(
        self, direction: Direction, packet: bytes, now: float, refusal: Reject | Drop
    ) -> str | None:
        """Return the resource that made *refusal* of a packet just now.

        Returns:
            `None` if no resource did: nothing covers the address, the gateway's own address
            is meant, or the packet was refused whatever the resources say.
        """
        if refusal.reason not in BY_RESOURCES:
            return None
        flow = read_five_tuple(packet)
        if direction is Direction.OUTBOUND:
            known, far, port = self._outbound, flow.destination, flow.destination_port
        else:
            known, far, port = self._inbound, flow.source, flow.source_port
        key = refusal.client_id, far, flow.protocol, port, flow.icmp_type
        if key in known:
            return known[key]
        found = self._gateway.explain(direction, packet, now)
        resource_id = found.candidates[0].resource_id if found.candidates else None
        # What comes in is judged by a session that lives, if it has one; one that begins is a
        # translated packet out. With `stateful` flows that end have a say too.
        is_lasting = known is self._outbound or not (
            self._stateful or any(check.name == "session" for check in found.checks)
        )
        if is_lasting:
            if len(known) >= _MOST:
                known.clear()
            known[key] = resource_id
        return resource_id

    def session_began(self) -> None:
        """Take note that a session may have begun."""
        self._inbound.clear()

    def expired(self) -> None:
        """Take note that an authorization has expired."""
        self._outbound.clear()
        self._inbound.clear()
