"""Transfers both ways, of which every byte is looked at.

What the host sends back has each byte turned over, so that it has certainly been there.
"""

import random
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

from tests.e2e.network import FILES, PROXIES
from tests.e2e.policies import cidr, named, policy, tcp, udp
from tests.e2e.programs import PATIENCE, inside
from tests.e2e.site import Site

PORT: Final = 5000
CLOSED_PORT: Final = 5001
WAYS: Final = tuple(zip(FILES * 2, FILES + PROXIES, strict=True))
"""The host's addresses, in both IP versions, and where it is reached: there, and translated."""

POLICY: Final = policy(
    alice=[
        *(cidr(f"net{number}", FILES[number], tcp(PORT), udp(PORT)) for number in (0, 1)),
        named("name", "files.example.com", [*PROXIES], [*FILES], tcp(PORT), udp(PORT)),
    ]
)

_STREAM: Final = random.Random(19).randbytes(4_000_000)
_DATAGRAMS: Final = [bytes([number]) * 1200 for number in range(10)]
_UDP_SEGMENT: Final = 103  # <linux/udp.h>: how long the datagrams are that one `send` makes


def exchange_streams(site: Site) -> None:
    """Let Alice send megabytes to each address and get them back, over TCP."""
    for here, address in WAYS:
        with (
            serve(site, here, socket.SOCK_STREAM) as listening,
            _sending_back(listening),
            connect(site, address, PORT, socket.SOCK_STREAM) as sock,
        ):
            sock.sendall(_STREAM)
            assert _receive(sock) == _turned(_STREAM)


def exchange_datagrams(site: Site) -> None:
    """Let Alice send to each address what the kernel cuts into datagrams, and get it back."""
    for here, address in WAYS:
        with (
            serve(site, here, socket.SOCK_DGRAM) as server,
            connect(site, address, PORT, socket.SOCK_DGRAM) as client,
        ):
            for sock in (server, client):
                cut_up(sock)
            client.send(b"".join(_DATAGRAMS))
            came = [server.recvfrom(65_535) for _ in _DATAGRAMS]
            assert [datagram for datagram, _ in came] == _DATAGRAMS
            server.sendto(_turned(b"".join(_DATAGRAMS)), came[0][1])
            assert [client.recv(65_535) for _ in _DATAGRAMS] == [*map(_turned, _DATAGRAMS)]


def cut_up(sock: socket.socket) -> None:
    """Have what is sent at once cut into datagrams, as late as the kernels can."""
    sock.setsockopt(socket.IPPROTO_UDP, _UDP_SEGMENT, len(_DATAGRAMS[0]))


def serve(site: Site, address: str, kind: socket.SocketKind) -> socket.socket:
    """Return a socket of the host at one of its addresses."""
    sock = _socket(site, "host", address, kind)
    sock.bind((address, PORT))
    if kind is socket.SOCK_STREAM:
        sock.listen()
    return sock


def connect(site: Site, address: str, port: int, kind: socket.SocketKind) -> socket.socket:
    """Return a socket of Alice's that is connected."""
    sock = _socket(site, "alice", address, kind)
    try:
        sock.connect((address, port))
    except OSError:
        # Or it would be another story's that something is left open.
        sock.close()
        raise
    return sock


def _socket(site: Site, role: str, address: str, kind: socket.SocketKind) -> socket.socket:
    with inside(site.network[role].name):
        sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, kind)
    sock.settimeout(PATIENCE)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    return sock


@contextmanager
def _sending_back(listening: socket.socket) -> Iterator[None]:
    """Return to a client what it sends."""

    def send_back() -> None:
        with suppress(OSError):  # the other end has failed, and says so
            sock, _ = listening.accept()
            with sock:
                sock.settimeout(PATIENCE)
                sock.sendall(_turned(_receive(sock)))

    thread = threading.Thread(target=send_back)
    thread.start()
    try:
        yield
    finally:
        # After a failure nobody comes any more.
        listening.shutdown(socket.SHUT_RD)
        thread.join()


def _receive(sock: socket.socket) -> bytes:
    """Return what comes, until it is all."""
    received = bytearray()
    while len(received) < len(_STREAM) and (piece := sock.recv(1 << 20)):
        received += piece
    return bytes(received)


def _turned(data: bytes) -> bytes:
    return bytes(map((255).__xor__, data))
