"""What is decided about a packet, in which direction, and why.

A decision is a value: the library changes nothing in the world, the host does what the
decision says. All four answer `allowed` and `to_send`, so that a host can treat them alike.
"""

import enum
from typing import Literal, TypeVar, final

from attrs import frozen

T = TypeVar("T")


class Direction(enum.Enum):
    """Which way a packet travels, seen from the gateway."""

    OUTBOUND = "outbound"
    """From a client towards resources."""

    INBOUND = "inbound"
    """From resources towards a client."""


class Reason(enum.StrEnum):
    """Why a packet was refused. The values are stable; logs and counters may rely on them."""

    MALFORMED = "malformed"
    """The headers contradict each other or the bytes at hand, or lead around the policy."""

    MULTICAST = "multicast"
    """The destination is no single host."""

    UNKNOWN_CLIENT = "unknown-client"
    """No client that is connected has this address, or this id."""

    SOURCE_NOT_ALLOWED = "source-not-allowed"
    """The client sends from an address that is not its own."""

    NOT_A_PEER = "not-a-peer"
    """The destination of an inbound packet is outside the tunnel ranges."""

    PEER_ADDRESS = "peer-address"
    """The far end claims, or is, an address inside the tunnel."""

    FRAGMENT = "fragment"
    """A fragment without a decision to follow, or one that contradicts it."""

    ICMP_ERROR = "icmp-error"
    """An ICMP error about a packet that would not have been permitted."""

    NO_RESOURCE = "no-resource"
    """No resource of the client covers the far address."""

    TCP_PORT = "tcp-port"
    """The resource permits TCP not at all, or not on this port."""

    UDP_PORT = "udp-port"
    """The resource permits UDP not at all, or not on this port."""

    ICMP = "icmp"
    """The resource does not permit ICMP, or the message must stay on its link."""

    PROTOCOL = "protocol"
    """The resource does not permit this IP protocol."""

    NOT_INTERNET = "not-internet"
    """The Internet resource does not stand for this address."""

    NO_TRANSLATION = "no-translation"
    """The proxy address has no real address behind it."""

    EXPIRED_NAT_SESSION = "expired-nat-session"
    """A translated flow's late packet: its session has been forgotten."""

    NAT_EXHAUSTED = "nat-exhausted"
    """No port or no room is left for another translated flow."""


@final
@frozen
class Forward:
    """The packet goes on as it was handed in."""

    client_id: str
    """The client at the near end."""

    resource_id: str | None
    """The resource that permits it; `None` for the gateway's own address."""

    @property
    def allowed(self) -> Literal[True]:
        """Whether something goes on: it does."""
        return True

    def to_send(self, packet: T) -> T:
        """Return *packet* itself: it goes on unchanged."""
        return packet


@final
@frozen
class Translate:
    """Another packet goes on in the place of the one handed in."""

    packet: bytes
    """The translated packet."""

    client_id: str
    """The client at the near end."""

    resource_id: str
    """The DNS resource that permits it."""

    @property
    def allowed(self) -> Literal[True]:
        """Whether something goes on: it does, translated."""
        return True

    def to_send(self, packet: object) -> bytes:  # noqa: ARG002 - all decisions answer alike
        """Return the translated packet, never the one handed in."""
        return self.packet


_new_translate = Translate.__new__
_set_packet, _set_client_id, _set_resource_id = (
    getattr(Translate, name).__set__ for name in ("packet", "client_id", "resource_id")
)


def make_translate(packet: bytes, client_id: str, resource_id: str) -> Translate:
    """Return `Translate(packet, client_id, resource_id)`, in two thirds of the time (220 ns)."""
    made = _new_translate(Translate)
    _set_packet(made, packet)
    _set_client_id(made, client_id)
    _set_resource_id(made, resource_id)
    return made


@final
@frozen
class Reject:
    """Nothing goes on; a reply goes back to the client that sent the packet."""

    reply: bytes
    """An ICMP destination-unreachable message, a whole IP packet."""

    reason: Reason
    """Why it was refused."""

    client_id: str
    """The client that gets the reply."""

    @property
    def allowed(self) -> Literal[False]:
        """Whether something goes on: nothing does."""
        return False

    def to_send(self, packet: object) -> None:
        """Return `None`: nothing goes on. `reply` goes back, which is another matter."""


@final
@frozen
class Drop:
    """Nothing goes on, and nobody is told."""

    reason: Reason
    """Why it was refused."""

    client_id: str | None
    """The client concerned; `None` where none was found."""

    @property
    def allowed(self) -> Literal[False]:
        """Whether something goes on: nothing does."""
        return False

    def to_send(self, packet: object) -> None:
        """Return `None`: nothing goes on."""


Decision = Forward | Translate | Reject | Drop
"""What `Gateway.handle_packet` returns."""
