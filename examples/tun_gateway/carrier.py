"""What stands in the place of WireGuard: bare IP packets in UDP datagrams.

**NO ENCRYPTION, NO AUTHENTICATION. FOR TESTS AND STUDY ONLY.** Whoever can send a datagram can
read everything and be anybody. In a real gateway WireGuard stands here: it decrypts a packet
only if it knows the peer, and that peer is what `client_id=` is passed.

A datagram is an IP packet, or a registration, by which a client says who it is. The gateway
sends the registration back, and carries for that client from then on.
"""

import os
import socket
from collections.abc import Callable, Iterator
from typing import Any, Final, Self

from attrs import field, frozen

from examples.tun_gateway.tun import MAX_PACKET, Losses, read_batch

Peer = tuple[Any, ...]
"""A UDP address, as Python's sockets give it."""

_MARK: Final = b"\0"  # no IP packet begins so: its first four bits are its version
_SESSION_LENGTH: Final = 8
_BUFFER: Final = 4 * 1024 * 1024  # for bursts while Python is busy


@frozen
class Registration:
    """A client's word that it is *client_id*, which nothing proves."""

    client_id: str
    """Who it says it is."""

    session: bytes = field(factory=lambda: os.urandom(_SESSION_LENGTH))
    """Tells a client that has started anew from a registration that is repeated because no
    answer came: only the first begins a new session."""

    def encode(self) -> bytes:
        """Return it as a datagram."""
        return _MARK + self.session + self.client_id.encode()

    @classmethod
    def decode(cls, datagram: bytes) -> Self | None:
        """Return what *datagram* says, or `None` if it is no registration."""
        head = len(_MARK) + _SESSION_LENGTH
        if not datagram.startswith(_MARK) or len(datagram) <= head:
            return None
        try:
            return cls(datagram[head:].decode(), datagram[len(_MARK) : head])
        except UnicodeDecodeError:
            return None


class Carrier:
    """A UDP socket for packets and registrations.

    Args:
        address: the address to bind to, of either IP version.
        port: the port; 0 for any.

    Raises:
        OSError: not an address, or it is in use.
    """

    def __init__(self, address: str, port: int = 0) -> None:
        self.losses = Losses()
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
            self._socket.bind((address, port))
        except BaseException:
            self.close()
            raise

    def fileno(self) -> int:
        """Return the file descriptor, for an event loop."""
        return self._socket.fileno()

    def receive(self) -> list[tuple[bytes, Peer]]:
        """Return the datagrams that wait with their senders, some of them if there are many."""
        return read_batch(self._receive)

    def _receive(self) -> tuple[bytes, Peer]:
        return self._socket.recvfrom(MAX_PACKET)

    def send(self, datagram: bytes, peer: Peer) -> None:
        """Send a datagram, which may be lost, as on any network."""
        try:
            self._socket.sendto(datagram, peer)
        except OSError as error:
            self.losses.count(error)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


class Tunnel:
    """The gateway's end: packets from clients and to them, whatever their addresses are.

    Args:
        carrier: carries the packets.
        begin: called when a client begins a session; returns whether it may.
    """

    def __init__(self, carrier: Carrier, begin: Callable[[str], bool]) -> None:
        self._carrier = carrier
        self._begin = begin
        self._registrations: dict[Peer, Registration] = {}
        self._peers: dict[str, Peer] = {}

    def receive(self) -> Iterator[tuple[str, bytes]]:
        """Yield the packets that wait, each with the client that has sent it.

        WireGuard would yield those of which it knows that. Here it is what the client says.
        """
        for datagram, peer in self._carrier.receive():
            if (registration := Registration.decode(datagram)) is not None:
                if self._is_noted(registration, peer):
                    self._carrier.send(datagram, peer)
            elif (known := self._registrations.get(peer)) is not None:
                yield known.client_id, datagram

    def send(self, client_id: str, packet: bytes) -> None:
        """Send a packet to a client, if it is there."""
        if (peer := self._peers.get(client_id)) is not None:
            self._carrier.send(packet, peer)

    def forget(self, client_id: str) -> None:
        """Forget where a client is: nothing comes from it, and nothing goes to it."""
        if (peer := self._peers.pop(client_id, None)) is not None:
            del self._registrations[peer]

    def _is_noted(self, registration: Registration, peer: Peer) -> bool:
        """Begin a session, unless the registration is repeated; return whether it stands."""
        if self._registrations.get(peer) == registration:
            return True
        if not self._begin(registration.client_id):
            return False
        self.forget(registration.client_id)
        if (before := self._registrations.get(peer)) is not None:
            self.forget(before.client_id)
        self._registrations[peer] = registration
        self._peers[registration.client_id] = peer
        return True
