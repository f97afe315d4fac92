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
from firezone_filter.host.resolver.few_warnings import FewWarnings
from firezone_filter.host.resolver.limits import Limits
from firezone_filter.host.resolver.questions import MAX_QUESTION
from firezone_filter.packet.numbers import IPV4
from firezone_filter.values.addresses import Address

_LOG: Final = logging.getLogger(__name__)

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
        self._warnings = FewWarnings(_LOG, clock)
        self._tasks: set[asyncio.Task[None]] = set()
        self._connections: set[asyncio.StreamWriter] = set()
        self._transport: asyncio.DatagramTransport | None = None
        self._listener: asyncio.Server | None = None

    async def start(self, address: Address, port: int) -> int:
        """Listen; return the port, which the kernel chooses if *port* is 0.

        Close the server also if this fails, or is cancelled.

        Raises:
            OSError: the address is not there, or the port is taken or not allowed.
        """
        tcp = _bound(socket.SOCK_STREAM, address, port)
        try:
            port = tcp.getsockname()[1]
            udp = _bound(socket.SOCK_DGRAM, address, port)
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
        for task in self._tasks:
            task.cancel()
        # A task that has not begun yet never will, and closes nothing.
        for writer in self._connections:
            writer.transport.abort()
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
        # Whoever has the address of the client by now has not asked.
        if reply is not None and self._transport is not None and self._client(addr) == client:
            self._transport.sendto(reply, addr)

    async def _answer(self, client: ResolverClient, data: bytes, *, tcp: bool) -> bytes | None:
        """Answer a question that `_may_ask` has let in."""
        try:
            return await self._resolver.answer(client, data, tcp=tcp)
        except Exception as error:  # noqa: BLE001 - see below
            # A mistake about one message must not end the gateway for everybody.
            self._warnings.say("A question has not been answered", error=error, cid=client.id)
            return None
        finally:
            self._limits.end(client.id)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        client = self._client(writer.get_extra_info("peername") or ("",))
        if client is None:
            writer.transport.abort()
        elif self._limits.connect(client.id, self._clock()):
            self._connections.add(writer)
            self._begin(self._converse(client, reader, writer))
        else:
            self._resolver.counters.limited += 1
            writer.transport.abort()

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
            self._connections.discard(writer)
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


def _bound(kind: int, address: Address, port: int) -> socket.socket:
    """Return a socket that listens on an address and port."""
    family = socket.AF_INET if address.version == IPV4 else socket.AF_INET6
    bound = socket.socket(family, kind)
    try:
        bound.setblocking(False)  # noqa: FBT003 - its only argument
        if kind == socket.SOCK_STREAM:
            # Connections of the run before linger; a second server still finds the port taken.
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        _bind(bound, address, port)
    except BaseException:
        bound.close()
        raise
    return bound
