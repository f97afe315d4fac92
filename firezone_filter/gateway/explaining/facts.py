"""What the judge was given about a packet, what it ruled, and what every row looks at."""

from ipaddress import ip_address
from typing import cast, final

from firezone_filter.gateway.client import Client
from firezone_filter.gateway.clients import ClientTable
from firezone_filter.gateway.context import GatewayContext
from firezone_filter.gateway.explaining.wording import in_words
from firezone_filter.gateway.ruling import Ruling
from firezone_filter.packet.headers import NO_PORT, Headers
from firezone_filter.values.decisions import Direction, Drop, Reason, Reject

_OUTBOUND = Direction.OUTBOUND


@final
class Facts:
    """A well-formed packet that has been judged."""

    __slots__ = (
        "client_id",
        "clients",
        "context",
        "far",
        "flags",
        "headers",
        "is_own",
        "near",
        "now",
        "number",
        "outbound",
        "packet",
        "reason",
        "ruling",
    )

    def __init__(  # noqa: PLR0913, PLR0917 - all that the judge was given, and the ruling
        self,
        context: GatewayContext,
        clients: ClientTable,
        direction: Direction,
        packet: bytes,
        now: float,
        client_id: str | None,
        headers: Headers,
        ruling: Ruling,
    ) -> None:
        self.context: GatewayContext = context
        self.clients: ClientTable = clients
        self.outbound: bool = direction is _OUTBOUND
        self.packet: bytes = packet
        self.now: float = now
        self.client_id: str | None = client_id
        self.headers: Headers = headers
        self.ruling: Ruling = ruling
        decision = ruling.decision
        self.reason: Reason | None = (
            decision.reason if isinstance(decision, Drop | Reject) else None
        )
        """Why it was refused; `None` if it was not."""
        near, far, port = headers.source, headers.destination, headers.destination_port
        if not self.outbound:
            near, far, port = far, near, headers.source_port
        self.near: bytes = near
        self.far: bytes = far
        """The addresses of the client's end and of the other."""
        self.flags: int = context.flags(far)
        """Those of the far address, in the range map."""
        self.is_own: bool = far in context.own
        """Whether the far address is the gateway's own."""
        self.number: int = port if headers.icmp_type == NO_PORT else headers.icmp_type
        """The far port, or the ICMP type."""

    @property
    def client(self) -> Client:
        """The client at the near end, which must have been found."""
        return cast("Client", self.ruling.client)

    def what(self) -> str:
        """Return protocol and number in words."""
        return in_words(self.headers.protocol, self.number, outbound=self.outbound)

    def near_and_far(self) -> tuple[str, str]:
        """Return both addresses as text."""
        return str(ip_address(self.near)), str(ip_address(self.far))
