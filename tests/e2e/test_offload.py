"""The same bytes arrive, whatever the kernel leaves undone; nothing arrives that is refused."""

import signal
import socket
import struct

import pytest

from firezone_filter.testing import udp as udp_packet
from tests.e2e.network import FILES, PROXIES, TUNNELS
from tests.e2e.programs import inside, wait_for
from tests.e2e.refusing import GRANTED
from tests.e2e.site import Site
from tests.e2e.talk import both_families, without_wireguard
from tests.e2e.transfers import (
    CLOSED_PORT,
    POLICY,
    PORT,
    WAYS,
    connect,
    cut_up,
    exchange_datagrams,
    exchange_streams,
    serve,
)
from tests.e2e.tunnels import MAC

MTU = 1420

SOL_PACKET, PACKET_VNET_HDR = 263, 15  # <linux/if_packet.h>

EVERYTHING, WITHOUT_USO, CHECKSUMS = 0x6F, 0x0F, 0x01

# What a kernel grants at most, and what it may have granted then: those before 6.2 have no USO.
KERNELS = {
    "everything": ("0xff", (), {EVERYTHING, WITHOUT_USO}),
    "no-uso": ("0x0f", (), {WITHOUT_USO}),
    "checksums": ("0x01", (), {CHECKSUMS}),
    "nothing": ("0", (), set()),
    "no-headers": ("headers", (), set()),
    "not-asked": ("0xff", ("--no-offload",), set()),
}

kernels = pytest.mark.parametrize(("grants", "options", "offload"), KERNELS.values(), ids=KERNELS)


def start(site: Site, grants: str, *options: str) -> set[int]:
    """Start a gateway on a kernel that grants so much; return what its devices have got."""
    module = f"tests.e2e.refusing {grants} firezone_filter"
    gateway = site.start_gateway(POLICY, "--metrics", "9100", *options, module=module)
    return {line["offload"] for line in gateway.lines(GRANTED)}


def end(site: Site) -> None:
    """End the gateway, which has lost nothing."""
    assert site.gateway.end(signal.SIGTERM) == 0
    assert site.gateway.lines("Packets lost") == []


@kernels
def test_the_same_bytes_arrive_with_any_offload(
    site: Site, grants: str, options: tuple[str, ...], offload: set[int]
) -> None:
    assert start(site, grants, *options) <= offload
    exchange_streams(site)
    # Super-packets that the gateway did not see, in both directions, would prove nothing.
    for packets, size in site.carried().values():
        assert (size / packets > MTU) is (WITHOUT_USO in offload)
    end(site)


@kernels
def test_the_same_datagrams_arrive_with_any_offload(
    site: Site, grants: str, options: tuple[str, ...], offload: set[int]
) -> None:
    granted = start(site, grants, *options)
    assert granted <= offload
    exchange_datagrams(site)
    # What comes from the networks behind is as large as it was sent. A super-packet counts as one.
    each = 1 if granted == {EVERYTHING} else 10
    assert site.allowed("inbound") == each * len(WAYS)
    end(site)


@without_wireguard
@both_families
@pytest.mark.parametrize("addresses", [FILES, PROXIES], ids=["direct", "translated"])
def test_a_refused_super_packet_is_answered_once(
    site: Site, family: int, addresses: tuple[str, str]
) -> None:
    if start(site, "0xff") != {EVERYTHING}:
        pytest.skip("this kernel has no UDP super-packets (USO)")
    with connect(site, addresses[family], CLOSED_PORT, socket.SOCK_DGRAM) as client:
        cut_up(client)
        client.send(bytes(12_000))
        with pytest.raises(OSError, match=r"No route to host|Permission denied"):
            client.recv(1)
    assert site.refused("outbound", "udp-port") == 1


@without_wireguard
def test_a_checksum_that_is_to_be_written_over_a_port_is_written_before_the_decision(
    site: Site,
) -> None:
    start(site, "0xff")
    with (
        serve(site, FILES[0], socket.SOCK_DGRAM) as sock,
        connect(site, FILES[0], PORT, socket.SOCK_DGRAM) as client,
    ):
        client.send(b"first")  # now the flow is remembered
        assert sock.recv(100) == b"first"
        own = f"{TUNNELS['alice'][0]}:{client.getsockname()[1]}"
        forge(site, udp_packet(f"{own} > {FILES[0]}:{PORT}"))
        client.send(b"last")
        assert sock.recv(100) == b"last"
    wait_for("the refusal", lambda: site.refused("outbound", "udp-port") == 1)


def forge(site: Site, packet: bytes) -> None:
    """Send a packet as a machine can that makes its own.

    Whoever sends it on is to write a "checksum" over the port that it is for.
    """
    ends = bytes.fromhex(MAC.replace(":", "")) * 2
    header = struct.pack("=BBHHHH", 1, 0, 42, 0, 34, 2)  # from the Ethernet header on
    with inside(site.network["alice"].name):
        raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    with raw:
        raw.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
        raw.sendto(header + ends + b"\x08\x00" + packet, (site.network.device("tun"), 0x0800))
