"""The same bytes arrive, whatever the kernel leaves undone; nothing arrives that is refused."""

import json
import random
import secrets
import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from firezone_filter.testing import udp as udp_packet
from tests.e2e.network import FILES, TUNNELS
from tests.e2e.policies import cidr, named, policy, tcp, udp
from tests.e2e.programs import inside
from tests.e2e.relayed import MTU, RELAY, Relayed
from tests.e2e.talk import both_families

PORT = 5000
CLOSED_PORT = 5001
PROXIES = ("100.96.0.1", "fd00:2021:1111:8000::1")
POLICY = policy(
    alice=[
        *(cidr(f"net{number}", FILES[number], tcp(PORT), udp(PORT)) for number in (0, 1)),
        named("name", "files.example.com", [*PROXIES], [*FILES], tcp(PORT), udp(PORT)),
    ]
)
SIZE = 4_000_000
PATIENCE = 20.0

SOL_UDP = socket.IPPROTO_UDP
UDP_SEGMENT = 103  # <linux/udp.h>: how long the datagrams are that one `send` makes

SOL_PACKET, PACKET_VNET_HDR = 263, 15  # <linux/if_packet.h>

EVERYTHING, WITHOUT_USO, CHECKSUMS = 0x6F, 0x0F, 0x01

# How a relay is run, and what offload its devices may have then: kernels before 6.2 have no USO.
KERNELS = {
    "everything": ((RELAY,), (), {EVERYTHING, WITHOUT_USO}),
    "no-uso": (("tests.e2e.refusing", "0x0f", RELAY), (), {WITHOUT_USO}),
    "checksums": (("tests.e2e.refusing", "0x01", RELAY), (), {CHECKSUMS}),
    "nothing": (("tests.e2e.refusing", "0", RELAY), (), {0}),
    "no-headers": (("tests.e2e.refusing", "headers", RELAY), (), {0}),
    "not-asked": ((RELAY,), ("--no-offload",), {0}),
}

ADDRESSES = [*FILES, *PROXIES]


@pytest.fixture
def net(able: None, tmp_path: Path) -> Iterator[Relayed]:  # noqa: ARG001 - a condition
    with Relayed(secrets.token_hex(3), tmp_path) as relayed:
        yield relayed


def serve(net: Relayed, kind: socket.SocketKind) -> socket.socket:
    """Return a socket of the server that takes both families."""
    with inside(net.server.name):
        sock = socket.socket(socket.AF_INET6, kind)
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    sock.settimeout(PATIENCE)
    sock.bind(("::", PORT))
    return sock


def connect(net: Relayed, address: str, port: int, kind: socket.SocketKind) -> socket.socket:
    """Return a socket of the client that is connected, from its tunnel address."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with inside(net.client.name):
        sock = socket.socket(family, kind)
    sock.settimeout(PATIENCE)
    sock.bind((TUNNELS["alice"][family == socket.AF_INET6], 0))
    sock.connect((address, port))
    return sock


def receive(sock: socket.socket, size: int) -> bytes:
    """Return what comes, until there are so many bytes."""
    received = bytearray()
    while len(received) < size and (piece := sock.recv(1 << 20)):
        received += piece
    return bytes(received)


def send_back(listening: socket.socket) -> None:
    """Return to each client what it sends: each byte turned over, so that it has been here."""
    for _ in ADDRESSES:
        sock, _ = listening.accept()
        with sock:
            sock.settimeout(PATIENCE)
            sock.sendall(bytes(map((255).__xor__, receive(sock, SIZE))))


@pytest.mark.parametrize(("module", "options", "offload"), KERNELS.values(), ids=KERNELS)
def test_the_same_bytes_arrive_with_any_offload(
    net: Relayed, module: tuple[str, ...], options: tuple[str, ...], offload: set[int]
) -> None:
    relay = net.start(POLICY, *options, module=module)
    data = random.Random(19).randbytes(SIZE)
    back = bytes(map((255).__xor__, data))
    with serve(net, socket.SOCK_STREAM) as listening:
        listening.listen()
        threading.Thread(target=send_back, args=(listening,), daemon=True).start()
        for address in ADDRESSES:
            with connect(net, address, PORT, socket.SOCK_STREAM) as sock:
                sock.sendall(data)
                assert receive(sock, SIZE) == back
    done = net.end(relay)
    assert offload.issuperset(done["offload"])
    # Super-packets that the test did not see would prove nothing.
    assert (done["largest"] > 10 * MTU) is (WITHOUT_USO in offload)
    assert done["losses"] == [{"full": 0, "failed": 0, "odd": 0}] * 2


@pytest.mark.parametrize(
    ("module", "offload"),
    [((RELAY,), {EVERYTHING, WITHOUT_USO}), (("tests.e2e.refusing", "headers", RELAY), {0})],
    ids=["everything", "no-headers"],
)
def test_the_same_datagrams_arrive_with_any_offload(
    net: Relayed, module: tuple[str, ...], offload: set[int]
) -> None:
    relay = net.start(POLICY, module=module)
    datagrams = [bytes([number]) * 1200 for number in range(10)]
    with serve(net, socket.SOCK_DGRAM) as sock:
        for address in ADDRESSES:
            with connect(net, address, PORT, socket.SOCK_DGRAM) as client:
                client.setsockopt(SOL_UDP, UDP_SEGMENT, 1200)
                client.send(b"".join(datagrams))
                assert [sock.recv(65_535) for _ in datagrams] == datagrams
    done = net.end(relay)
    assert offload.issuperset(done["offload"])
    # A super-packet is one packet, with all its bytes.
    super_packets = EVERYTHING in done["offload"]
    assert (done["packets"] < len(datagrams), done["largest"] > 12_000) == (super_packets,) * 2


@both_families
@pytest.mark.parametrize("addresses", [FILES, PROXIES], ids=["direct", "translated"])
def test_a_refused_super_packet_is_answered_once(
    net: Relayed, family: int, addresses: tuple[str, str]
) -> None:
    relay = net.start(POLICY)
    with connect(net, addresses[family], CLOSED_PORT, socket.SOCK_DGRAM) as client:
        client.setsockopt(SOL_UDP, UDP_SEGMENT, 1200)
        client.send(bytes(12_000))
        with pytest.raises(OSError, match=r"No route to host|Permission denied"):
            client.recv(1)
    done = net.end(relay)
    if EVERYTHING not in done["offload"]:
        pytest.skip("this kernel has no UDP super-packets (USO)")
    assert (done["refused"]["udp-port"], done["largest"] > 12_000) == (1, True)


def test_a_checksum_that_is_to_be_written_over_a_port_is_written_before_the_decision(
    net: Relayed,
) -> None:
    relay = net.start(POLICY)
    with (
        serve(net, socket.SOCK_DGRAM) as sock,
        connect(net, FILES[0], PORT, socket.SOCK_DGRAM) as client,
    ):
        client.send(b"first")  # now the flow is remembered, and the neighbours know each other
        assert sock.recv(100) == b"first"
        forge(net, udp_packet(f"100.64.0.2:{client.getsockname()[1]} > {FILES[0]}:{PORT}"))
        client.send(b"last")
        assert sock.recv(100) == b"last"
    assert net.end(relay)["refused"]["udp-port"] == 1


def forge(net: Relayed, packet: bytes) -> None:
    """Send a packet as a machine can that makes its own.

    Whoever sends it on is to write a "checksum" over the port that it is for.
    """
    shown = net.client.run("ip", "-j", "neigh", "show", "192.0.2.1").stdout
    gateway = bytes.fromhex(json.loads(shown)[0]["lladdr"].replace(":", ""))
    header = struct.pack("=BBHHHH", 1, 0, 42, 0, 34, 2)  # from the Ethernet header on
    with inside(net.client.name):
        raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    with raw:
        raw.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
        raw.sendto(header + gateway + bytes(6) + b"\x08\x00" + packet, ("eth", 0x0800))
