"""`Server`: the sockets of the resolver, UDP and TCP on one address."""

import asyncio
import logging
import socket
import struct
from collections.abc import Callable, Coroutine
from contextlib import suppress
from ipaddress import ip_address
from typing import Any, Final

from firezone_filter.host.resolver.access import Access, ResolverClient
from firezone_filter.host.resolver.answering import Resolver
from firezone_filter.host.resolver.limits import Limits
from firezone_filter.host.resolver.questions import MAX_QUESTION
from firezone_filter.packet.numbers import IPV4
from firezone_filter.values.addresses import Address

_LOG: Final = logging.getLogger(__name__)

MOST_CONNECTIONS: Final = 256
"""TCP connections of all clients. Each has a file, and a process has 1,024 by default."""

IDLE: Final = 10.0
"""Seconds that a connection waits for its next question, or for a client that does not read (RFC
7766, section 6.2.3, leaves the number to servers)."""

_LENGTH: Final = struct.Struct("!H")


class Server(asyncio.DatagramProtocol):
    """Listens on one address, and knows clients by theirs."""

    def __init__(
        self,
        resolver: Resolver,
        access: Access,
        limits: Limits,
        clock: Callable[[], float],
        idle: float = IDLE,
    ) -> None:
        """Answer by *resolver*; *clock* returns seconds, *idle* is for tests to be short."""
        self._resolver = resolver
        self._access = access
        self._limits = limits
        self._clock = clock
        self._idle = idle
        self._tasks: set[asyncio.Task[None]] = set()
        self._connections = 0
        self._transport: asyncio.DatagramTransport | None = None
        self._listener: asyncio.Server | None = None

    async def start(self, address: Address, port: int, device: str | None = None) -> int:
        """Listen; return the port, which the kernel chooses if *port* is 0.

        Close the server also if this fails, or is cancelled.

        Raises:
            OSError: the address is not there, the port is taken or not allowed, or there is no
                such device.
        """
        tcp = _bound(socket.SOCK_STREAM, address, port, device)
        try:
            port = tcp.getsockname()[1]
            udp = _bound(socket.SOCK_DGRAM, address, port, device)
        except BaseException:
            tcp.close()
            raise
        # This waits for nothing, so from here on each socket has an owner that `close` closes.
        self._listener = await asyncio.start_server(self._accept, sock=tcp, start_serving=False)
        self._transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: self, sock=udp
        )
        await self._listener.start_serving()
        return port

    async def close(self) -> None:
        """Stop listening, and end what is going on."""
        if self._transport is not None:
            self._transport.close()
        if self._listener is not None:
            self._listener.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._listener is not None:
            await self._listener.wait_closed()

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        """Answer a question, if it is a client's and it may ask now."""
        client = self._client(addr)
        if client is not None and self._may_ask(client):
            self._begin(self._answer_datagram(client, data, addr))

    def _client(self, addr: tuple[Any, ...]) -> ResolverClient | None:
        try:
            client = self._access.client_of(ip_address(addr[0]))
        except ValueError:
            client = None
        if client is None:
            # Whoever is not a client gets nothing, not even a refusal: the source may be forged.
            self._resolver.counters.strangers += 1
        return client

    def _may_ask(self, client: ResolverClient) -> bool:
        if self._limits.begin(client.id, self._clock()):
            return True
        self._resolver.counters.limited += 1
        return False

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer_datagram(
        self, client: ResolverClient, data: bytes, addr: tuple[Any, ...]
    ) -> None:
        reply = await self._answer(client, data, tcp=False)
        if reply is not None and self._transport is not None:
            self._transport.sendto(reply, addr)

    async def _answer(self, client: ResolverClient, data: bytes, *, tcp: bool) -> bytes | None:
        """Answer a question that `_may_ask` has let in."""
        try:
            return await self._resolver.answer(client, data, tcp=tcp)
        except Exception:  # noqa: BLE001 - see below
            # A mistake about one message must not end the gateway for everybody.
            _LOG.exception("A question has not been answered", extra={"cid": client.id})
            return None
        finally:
            self._limits.end(client.id)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        client = self._client(writer.get_extra_info("peername") or ("",))
        if client is None or not self._may_connect(client):
            writer.transport.abort()
            return
        self._begin(self._converse(client, reader, writer))

    def _may_connect(self, client: ResolverClient) -> bool:
        if self._connections < MOST_CONNECTIONS and self._limits.connect(client.id, self._clock()):
            self._connections += 1
            return True
        self._resolver.counters.limited += 1
        return False

    async def _converse(
        self,
        client: ResolverClient,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        """Answer the questions of a connection, one after the other.

        So a client that does not read its answers is asked for no more questions.
        """
        try:
            # The end of the file, a reset, and a client that takes too long are all the end.
            with suppress(EOFError, OSError):
                while await self._answer_next(client, reader, writer):
                    pass
            writer.close()
            with suppress(OSError):
                async with asyncio.timeout(self._idle):
                    await writer.wait_closed()
        finally:
            # What a client does not read must not stay for ever.
            writer.transport.abort()
            self._connections -= 1
            self._limits.disconnect(client.id)

    async def _answer_next(
        self,
        client: ResolverClient,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> bool:
        """Answer the next question; return whether there may be another one."""
        async with asyncio.timeout(self._idle):
            (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
            if length > MAX_QUESTION:
                return False
            data = await reader.readexactly(length)
        if not self._may_ask(client):
            return False
        reply = await self._answer(client, data, tcp=True)
        if reply is None:
            return False
        writer.write(_LENGTH.pack(len(reply)) + reply)
        async with asyncio.timeout(self._idle):
            await writer.drain()
        # Whoever was disconnected meanwhile, or is another client by now, asks no more.
        return self._client(writer.get_extra_info("peername")) == client


def _bind(sock: socket.socket, address: Address, port: int) -> None:
    try:
        sock.bind((str(address), port))
    except OSError as error:
        # Without them nobody would know which of its sockets a gateway cannot have.
        where = f"{address} port {port}"
        raise type(error)(error.errno, error.strerror, where) from error


def _bound(kind: int, address: Address, port: int, device: str | None) -> socket.socket:
    """Return a socket that listens on an address and port."""
    family = socket.AF_INET if address.version == IPV4 else socket.AF_INET6
    bound = socket.socket(family, kind)
    try:
        bound.setblocking(False)  # noqa: FBT003 - its only argument
        if kind == socket.SOCK_STREAM:
            # Connections of the run before linger; a second server still finds the port taken.
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if device is not None:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode())
        _bind(bound, address, port)
    except BaseException:
        bound.close()
        raise
    return bound
