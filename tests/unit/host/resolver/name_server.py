"""A name server on loopback that says what a test wants, to the letter."""

import asyncio
import struct
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from ipaddress import ip_address
from typing import Any

import dns.flags
import dns.message
import dns.rcode
import dns.rrset

from firezone_filter.host.resolver.options import ServerAddress

Says = Callable[[dns.message.Message], Iterable[bytes]]
"""What comes back for a question: any number of datagrams, or messages of a connection."""


def says(*records: str, code: int = dns.rcode.NOERROR, flags: int = 0) -> Says:
    """Answer with records of the name that was asked for, as an honest server would."""

    def answer(query: dns.message.Message) -> list[bytes]:
        return [honest(query, *records, code=code, flags=flags).to_wire()]

    return answer


def honest(
    query: dns.message.Message, *records: str, code: int = dns.rcode.NOERROR, flags: int = 0
) -> dns.message.Message:
    reply = dns.message.make_response(query, recursion_available=True)
    reply.flags |= flags
    reply.set_rcode(dns.rcode.Rcode(code))
    (asked,) = query.question
    if records:
        reply.answer.append(dns.rrset.from_text(asked.name, 60, "IN", asked.rdtype, *records))
    return reply


def nothing(_: dns.message.Message) -> list[bytes]:
    """Say nothing."""
    return []


class NameServer(asyncio.DatagramProtocol):
    """Listens on a port of loopback, UDP and TCP; keeps what it was asked."""

    def __init__(self, udp: Says, tcp: Says) -> None:
        self._udp = udp
        self._tcp = tcp
        self.asked: list[dns.message.Message] = []
        self.by_tcp = 0
        self._transport: asyncio.DatagramTransport | None = None
        self.address: ServerAddress = (ip_address("127.0.0.1"), 0)

    def connection_made(self, transport: Any) -> None:  # noqa: ANN401 - as asyncio has it
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        assert self._transport is not None
        query = dns.message.from_wire(data)
        self.asked.append(query)
        for answer in self._udp(query):
            self._transport.sendto(answer, addr)

    async def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.by_tcp += 1
        (length,) = struct.unpack("!H", await reader.readexactly(2))
        for answer in self._tcp(dns.message.from_wire(await reader.readexactly(length))):
            writer.write(struct.pack("!H", len(answer)) + answer)
        await writer.drain()
        writer.close()


@asynccontextmanager
async def name_server(udp: Says, tcp: Says | None = None) -> AsyncIterator[NameServer]:
    """Run a name server; over TCP it says the same, unless told otherwise."""
    server = NameServer(udp, udp if tcp is None else tcp)
    listener = await asyncio.start_server(server.converse, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: server, local_addr=("127.0.0.1", port)
    )
    server.address = (server.address[0], port)
    try:
        yield server
    finally:
        transport.close()
        listener.close()
        await listener.wait_closed()
