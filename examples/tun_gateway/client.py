"""A client for the gateway: the other end of the carrier, with a TUN device of its own.

    python -m examples.tun_gateway.client ID --gateway HOST --address ADDRESS --route NETWORK …

It takes from the gateway what comes from the networks that it has access to (routers on the
way among them, if it is to hear of their errors), and reports everything else as "Source not
allowed". Without `--access` it has access to nothing, as a client that has just started again;
that is how Firezone's client noticed that packets of old sessions reached it.
"""

import argparse
import asyncio
import logging
import socket
from collections.abc import Callable
from contextlib import ExitStack, closing
from ipaddress import ip_address, ip_network
from typing import Final

from examples.tun_gateway.carrier import Carrier, Peer, Registration
from examples.tun_gateway.daemon import log_to_stdout, work
from examples.tun_gateway.tun import Address, Network, Tun

_LOG: Final = logging.getLogger("tun_client")

_PATIENCE: Final = 0.25
"""Seconds to wait for an answer before registering again."""

# Where a packet's source stands, by IP version.
_SOURCES: Final = {4: slice(12, 16), 6: slice(8, 24)}


class TunClient:
    """Moves packets between the kernel and the gateway."""

    def __init__(
        self, client_id: str, gateway: Peer, access: list[Network], carrier: Carrier, tun: Tun
    ) -> None:
        """Take hold of what others have opened, and will close."""
        self._gateway = gateway
        self._access = access
        self._carrier = carrier
        self._tun = tun
        self._registration = Registration(client_id).encode()
        self._is_registered = False

    async def run(self) -> None:
        """Register, and work until SIGTERM or SIGINT."""
        self._register()
        await work({self._carrier: self._from_gateway, self._tun: self._to_gateway})

    def _register(self) -> None:
        if not self._is_registered:
            self._carrier.send(self._registration, self._gateway)
            asyncio.get_running_loop().call_later(_PATIENCE, self._register)

    def _to_gateway(self) -> None:
        for packet in self._tun.read():
            self._carrier.send(packet, self._gateway)

    def _from_gateway(self) -> None:
        for datagram, peer in self._carrier.receive():
            if peer != self._gateway:
                continue
            if datagram != self._registration:
                self._take(datagram)
            elif not self._is_registered:
                self._is_registered = True
                _LOG.info("Registered")

    def _take(self, packet: bytes) -> None:
        source = _source(packet)
        if source is not None and any(source in network for network in self._access):
            self._tun.write(packet)
        else:
            _LOG.warning("Source not allowed", extra={"source": str(source)})


def _source(packet: bytes) -> Address | None:
    """Return where a packet says that it comes from, or `None` if it is no packet."""
    where = _SOURCES.get(packet[0] >> 4) if packet else None
    try:
        return None if where is None else ip_address(packet[where])
    except ValueError:
        return None


def main(make_client: Callable[..., TunClient] = TunClient) -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("id", help="who to say that this is")
    parser.add_argument("--gateway", required=True, help="IP address of the gateway")
    parser.add_argument("--port", type=int, default=51820, help="its UDP port")
    parser.add_argument("--address", type=ip_address, action="append", default=[])
    parser.add_argument("--route", type=ip_network, action="append", default=[])
    parser.add_argument("--access", type=ip_network, action="append", default=[])
    parser.add_argument("--device", default="tun-client", help="name of the TUN device")
    parser.add_argument("--mtu", type=int, default=1280, help="its MTU")
    run(parser.parse_args(), make_client)


def run(arguments: argparse.Namespace, make_client: Callable[..., TunClient] = TunClient) -> None:
    """Open what a client needs, let it work, and close everything.

    Args:
        arguments: what the command line says.
        make_client: makes the `TunClient`; tests put another one in its place.
    """
    log_to_stdout()
    family, *_, gateway = socket.getaddrinfo(
        arguments.gateway, arguments.port, type=socket.SOCK_DGRAM
    )[0]
    with ExitStack() as stack:
        here = "::" if family == socket.AF_INET6 else "0.0.0.0"  # noqa: S104 - as any client
        carrier = stack.enter_context(closing(Carrier(here)))
        tun = Tun(arguments.device, arguments.mtu, arguments.address, arguments.route)
        stack.enter_context(closing(tun))
        client = make_client(arguments.id, gateway, arguments.access, carrier, tun)
        asyncio.run(client.run())
    _LOG.info("Stopped")


if __name__ == "__main__":
    main()
