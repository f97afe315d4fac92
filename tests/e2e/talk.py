"""How clients talk, and how programs and kernels put it when they may not."""

import socket
from typing import Final

import pytest

from tests.e2e.network import Namespace
from tests.e2e.programs import inside

CURL: Final = ("curl", "-q", "--noproxy", "*", "-sS", "-m", "60")
"""Without the settings of whoever runs the tests, whose proxy is not in here."""

COULD_NOT_CONNECT: Final = 7
"""The exit status of curl; a time-out would be 28."""

PING_SAYS: Final = ("Packet filtered", "Administratively prohibited")
CURL_SAYS: Final = ("No route to host", "Permission denied")
"""How "administratively prohibited" appears, in IPv4 and in IPv6."""

_PATIENCE: Final = 0.5
_TRIES: Final = 40

both_families = pytest.mark.parametrize("family", [0, 1], ids=["ipv4", "ipv6"])
"""Tells a story once in each IP version: addresses stand in pairs."""

with_wireguard = pytest.mark.parametrize("tunnel", ["wireguard"], indirect=True)
"""Tells a story with WireGuard alone: it is about what binds addresses to clients."""

without_wireguard = pytest.mark.parametrize("tunnel", ["plain"], indirect=True)
"""Tells a story without WireGuard: it is about what WireGuard would not carry as it is."""

stateful_or_not = pytest.mark.parametrize(
    "options", [(), ("--stateful",)], ids=["stateless", "stateful"]
)
"""Tells a story once with a gateway that takes from outside only what clients have asked for."""


def url(address: str, port: int = 80, path: str = "/") -> str:
    """Return where the host serves."""
    host = f"[{address}]" if ":" in address else address
    return f"http://{host}:{port}{path}"


def fetch(client: Namespace, where: str, *options: str) -> tuple[int, str]:
    """Fetch something by curl; return its exit status and what it says."""
    done = client.run(*CURL, *options, where)
    return done.returncode, done.stdout


def fails_to_fetch(client: Namespace, where: str, family: int, *options: str) -> tuple[bool, str]:
    """Tell whether a connection fails as prohibited; return what curl says, too."""
    for _ in range(_TRIES):
        status, says = fetch(client, where, "-v", *options)
        # When the answer comes between two looks of curl's, the first has taken the reason away.
        if status != COULD_NOT_CONNECT or " failed: " in says:
            return status == COULD_NOT_CONNECT and CURL_SAYS[family] in says, says
    return False, says


def ping(client: Namespace, address: str, *options: str) -> tuple[int, str]:
    """Ping once, and wait long; return the exit status, 0 for an answer, and what ping says."""
    done = client.run("ping", "-n", "-c", "1", "-W", "20", *options, address)
    return done.returncode, done.stdout


def datagrams(client: Namespace, address: str, port: int, local_port: int = 0) -> socket.socket:
    """Return a socket of the client that sends datagrams to one port."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with inside(client.name):
        sock = socket.socket(family, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.settimeout(_PATIENCE)
    sock.bind(("", local_port))
    sock.connect((address, port))
    return sock


def shout(client: Namespace, device: str, address: str, port: int) -> None:
    """Send a datagram by a device to an address that may be anybody's there."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with inside(client.name):
        sock = socket.socket(family, socket.SOCK_DGRAM)
    with sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode())
        sock.sendto(b"anybody there?", (address, port))


def ask(sock: socket.socket, question: bytes) -> bytes:
    """Send a datagram until there is an answer: datagrams may be lost, and routers learn MTUs."""
    for _ in range(_TRIES):
        sock.send(question)
        try:
            return sock.recv(65_535)
        except TimeoutError:
            continue
    raise TimeoutError(f"no answer to {len(question)} bytes")
