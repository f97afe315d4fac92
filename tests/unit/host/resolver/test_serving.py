"""Questions and answers by the resolver's sockets, on loopback.

The gateway's tunnel is loopback as well: its address is 127.0.0.1, Alice is 127.0.0.2, Bob is
127.0.0.3, and 127.0.0.9 is nobody.
"""

import asyncio
import logging
import socket
import struct
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from ipaddress import ip_address
from typing import Any, TypeVar

import dns.flags
import dns.message
import dns.rcode
import pytest

from firezone_filter import (
    AddressPlan,
    Policy,
    PolicyAuthorization,
    PolicyClient,
    TunnelAddresses,
)
from firezone_filter.host.resolver import limits
from firezone_filter.host.resolver.access import ResolverClient
from firezone_filter.host.resolver.answering import ResolverCounters
from firezone_filter.host.resolver.gateway_names import GatewayNames
from firezone_filter.host.resolver.limits import MOST_WAITING, Limits
from firezone_filter.host.resolver.options import ResolverOptions
from firezone_filter.host.resolver.questions import MAX_QUESTION
from firezone_filter.host.resolver.running import RunningResolver
from firezone_filter.host.resolver.serving import Server
from firezone_filter.values.addresses import Address
from tests.unit.host.resolver.name_server import name_server, says
from tests.unit.host.resolver.world import GIT, Clock, texts, until

T = TypeVar("T")

HERE = ip_address("127.0.0.1")
ALICE, BOB, NOBODY = "127.0.0.2", "127.0.0.3", "127.0.0.9"

POLICY = Policy(
    TunnelAddresses("127.0.0.1", "fd00::1"),
    AddressPlan(tunnel=["127.0.0.0/8", "::1/128", "fd00::/64"]),
    [
        PolicyClient(name, addresses, [PolicyAuthorization(GIT)])
        for name, addresses in (
            ("alice", TunnelAddresses(ALICE, "::1")),
            ("bob", TunnelAddresses(BOB)),
        )
    ],
)


def run(story: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(story)


def query(kind: str = "A") -> bytes:
    return dns.message.make_query("git.example.com", kind).to_wire()


class Inbox(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.answers: asyncio.Queue[bytes] = asyncio.Queue()

    def datagram_received(self, data: bytes, addr: object) -> None:  # noqa: ARG002 - as asyncio has it
        self.answers.put_nowait(data)


@asynccontextmanager
async def datagrams(
    port: int, source: str = ALICE
) -> AsyncIterator[tuple[asyncio.DatagramTransport, Inbox]]:
    """Open a client's socket, connected to the resolver."""
    there = "::1" if ":" in source else "127.0.0.1"
    transport, inbox = await asyncio.get_running_loop().create_datagram_endpoint(
        Inbox, local_addr=(source, 0), remote_addr=(there, port)
    )
    try:
        yield transport, inbox
    finally:
        transport.close()


async def ask_udp(port: int, source: str = ALICE, wire: bytes | None = None) -> bytes:
    async with datagrams(port, source) as (transport, inbox):
        transport.sendto(query() if wire is None else wire)
        return await inbox.answers.get()


Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def connection(port: int, source: str = ALICE) -> AsyncIterator[Streams]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(source, 0))
    try:
        yield reader, writer
    finally:
        writer.close()


async def is_closed(reader: asyncio.StreamReader) -> bool:
    (found,) = await asyncio.gather(reader.read(1), return_exceptions=True)
    return found == b"" or isinstance(found, ConnectionResetError)


async def ask_tcp(streams: Streams, wire: bytes | None = None) -> bytes:
    reader, writer = streams
    wire = query() if wire is None else wire
    writer.write(struct.pack("!H", len(wire)) + wire)
    (length,) = struct.unpack("!H", await reader.readexactly(2))
    return await reader.readexactly(length)


# --- All parts together --------------------------------------------------------------------


@asynccontextmanager
async def running(*records: str) -> AsyncIterator[tuple[RunningResolver, GatewayNames]]:
    async with name_server(says(*records)) as upstream:
        names = GatewayNames(POLICY.gateway(), POLICY)
        options = ResolverOptions(servers=(upstream.address,), others="forward", port=0)
        resolver = await RunningResolver.start(names, options, [HERE, ip_address("::1")])
        try:
            yield resolver, names
        finally:
            await resolver.close()


def test_a_client_asks_over_udp_and_over_tcp_of_either_version() -> None:
    async def story() -> None:
        async with running("10.0.0.80") as (resolver, _):
            answers = [await ask_udp(resolver.port), await ask_udp(resolver.port, "::1")]
            async with connection(resolver.port) as streams:
                answers += [await ask_tcp(streams), await ask_tcp(streams)]
            assert len({tuple(texts(dns.message.from_wire(one))) for one in answers}) == 1
            assert (resolver.counters.own, resolver.upstream.asked) == (4, 1)

    run(story())


def test_a_client_that_connects_is_known_once_that_is_said() -> None:
    async def story() -> None:
        async with running("10.0.0.80") as (resolver, names):
            names._gateway.client_connected("carol", TunnelAddresses("127.0.0.4"))
            async with datagrams(resolver.port, "127.0.0.4") as (transport, inbox):
                transport.sendto(query())
                await until(lambda: resolver.counters.strangers)
                resolver.changed(["carol"])
                transport.sendto(query("TXT"))
                answer = dns.message.from_wire(await inbox.answers.get())
            assert answer.question[0].rdtype.name == "TXT"

    run(story())


def test_closing_ends_what_is_going_on() -> None:
    async def story() -> None:
        async with running("10.0.0.80") as (resolver, _), connection(resolver.port) as streams:
            await ask_tcp(streams)
            await resolver.close()
            assert await is_closed(streams[0])

    run(story())


# --- The server alone ----------------------------------------------------------------------


class Answers:
    """In the place of `Resolver`: answers with what was asked."""

    def __init__(self) -> None:
        self.counters = ResolverCounters()
        self.gate = asyncio.Event()
        self.gate.set()
        self.asked = 0
        self.comes_back: Any = lambda wire: wire

    async def answer(self, client: ResolverClient, wire: bytes, *, tcp: bool) -> bytes | None:
        assert client.id in {"alice", "bob"}
        self.asked += 1
        await self.gate.wait()
        found: bytes | None = self.comes_back(wire)
        return found if found is None else (b"tcp:" if tcp else b"udp:") + found


class Alone:
    def __init__(self, idle: float = 60.0) -> None:
        self.answers = Answers()
        self.gateway = POLICY.gateway()
        self.names = GatewayNames(self.gateway, POLICY)
        self.clock = Clock()
        self.server = Server(self.answers, self.names, Limits(), self.clock, idle)  # type: ignore[arg-type]
        self.port = 0

    @property
    def counters(self) -> ResolverCounters:
        return self.answers.counters


@asynccontextmanager
async def alone(idle: float = 60.0) -> AsyncIterator[Alone]:
    made = Alone(idle)
    made.port = await made.server.start(HERE, 0)
    try:
        yield made
    finally:
        await made.server.close()


def test_who_is_no_client_gets_nothing() -> None:
    async def story() -> None:
        async with alone() as made, datagrams(made.port, NOBODY) as (transport, inbox):
            transport.sendto(b"anything")
            async with connection(made.port, NOBODY) as (reader, _):
                assert await is_closed(reader)
            await until(lambda: made.counters.strangers == 2)
            # What comes later has been answered: nothing is on its way to the stranger.
            assert await ask_udp(made.port, BOB, b"x") == b"udp:x"
            assert (inbox.answers.qsize(), made.answers.asked) == (0, 1)

    run(story())


def test_a_source_that_is_no_address_is_nobody() -> None:
    made = run(_made())
    made.server.datagram_received(b"anything", ("somewhere", 1))
    assert made.counters.strangers == 1


async def _made() -> Alone:
    return Alone()


def test_a_client_that_asks_too_much_is_not_answered_and_the_others_are() -> None:
    async def story() -> None:
        async with alone() as made, datagrams(made.port) as (transport, inbox):
            made.answers.gate.clear()
            for number in range(MOST_WAITING + 3):
                transport.sendto(b"%d" % number)
            await until(lambda: made.counters.limited == 3)
            asking = asyncio.create_task(ask_udp(made.port, BOB, b"x"))
            await until(lambda: made.answers.asked > MOST_WAITING)
            made.answers.gate.set()
            assert await asking == b"udp:x"
            found = {await inbox.answers.get() for _ in range(MOST_WAITING)}
            assert found == {b"udp:%d" % number for number in range(MOST_WAITING)}

    run(story())


def test_over_tcp_a_client_that_asks_too_much_is_hung_up_on() -> None:
    async def story() -> None:
        async with alone() as made, connection(made.port) as streams:
            for _ in range(limits.BURST):
                await ask_tcp(streams, b"x")
            with pytest.raises(EOFError):
                await ask_tcp(streams, b"x")
            assert made.counters.limited == 1

    run(story())


def test_a_question_that_gets_no_answer_ends_the_connection() -> None:
    async def story() -> None:
        async with alone() as made, connection(made.port) as streams:
            made.answers.comes_back = lambda _: None
            with pytest.raises(EOFError):
                await ask_tcp(streams, b"x")
            async with datagrams(made.port) as (transport, _):
                transport.sendto(b"x")
                await until(lambda: made.answers.asked == 2)

    run(story())


def test_a_mistake_about_one_question_does_not_end_the_others(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(_: bytes) -> bytes:
        raise ZeroDivisionError

    async def story() -> None:
        async with alone() as made:
            made.answers.comes_back = fail
            async with connection(made.port) as streams:
                with pytest.raises(EOFError):
                    await ask_tcp(streams, b"x")
            made.answers.comes_back = lambda wire: wire
            assert await ask_udp(made.port, wire=b"x") == b"udp:x"

    with caplog.at_level(logging.ERROR):
        run(story())
    assert [record.message for record in caplog.records] == ["A question has not been answered"]


def test_a_client_has_so_many_connections_and_all_have_so_many(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "MOST_CONNECTIONS_OF_ONE", 2)
    monkeypatch.setattr(limits, "MOST_CONNECTIONS", 3)

    async def story() -> None:
        async with alone() as made:
            async with connection(made.port) as one, connection(made.port) as two:
                await ask_tcp(one, b"x")
                await ask_tcp(two, b"x")
                async with connection(made.port) as (reader, _):
                    assert await is_closed(reader)
                async with connection(made.port, BOB) as three:
                    await ask_tcp(three, b"x")
                    async with connection(made.port, BOB) as (reader, _):
                        assert await is_closed(reader)
            await until(lambda: not made.server._connections)
            async with connection(made.port) as again:
                assert await ask_tcp(again, b"x") == b"tcp:x"

    run(story())


@pytest.mark.parametrize("sent", [b"", b"\0", b"\0\5abc"], ids=["nothing", "half", "cut-off"])
def test_a_connection_without_a_whole_question_is_closed(sent: bytes) -> None:
    async def story() -> None:
        async with alone(idle=0.05) as made, connection(made.port) as (reader, writer):
            writer.write(sent)
            assert await is_closed(reader)
            assert made.answers.asked == 0

    run(story())


def test_a_question_that_is_too_long_ends_the_connection() -> None:
    async def story() -> None:
        async with alone() as made, connection(made.port) as streams:
            assert len(await ask_tcp(streams, bytes(MAX_QUESTION))) == MAX_QUESTION + 4
            with pytest.raises((EOFError, ConnectionResetError)):
                await ask_tcp(streams, bytes(MAX_QUESTION + 1))

    run(story())


def test_a_client_that_does_not_read_is_hung_up_on() -> None:
    async def story() -> None:
        async with alone(idle=0.05) as made:
            made.answers.comes_back = lambda _: bytes(60_000)
            client = socket.socket()
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1_024)
            client.bind((ALICE, 0))
            client.setblocking(False)  # noqa: FBT003 - its only argument
            loop = asyncio.get_running_loop()
            await loop.sock_connect(client, ("127.0.0.1", made.port))
            with client:
                await loop.sock_sendall(client, b"\0\1x" * (limits.BURST - 1))
                await until(lambda: made.answers.asked and not made.server._connections)
            assert made.answers.asked < limits.BURST - 1

    run(story())


def test_a_connection_ends_with_the_session_of_its_client() -> None:
    async def story() -> None:
        async with alone() as made, connection(made.port) as streams:
            made.answers.gate.clear()
            asking = asyncio.create_task(ask_tcp(streams, b"x"))
            await until(lambda: made.answers.asked)
            made.gateway.client_disconnected("alice")
            made.answers.gate.set()
            assert await asking == b"tcp:x"
            assert await is_closed(streams[0])

    run(story())


def test_an_answer_goes_to_nobody_else_who_has_the_address_by_then() -> None:
    async def story() -> None:
        async with alone() as made, datagrams(made.port) as (transport, inbox):
            made.answers.gate.clear()
            transport.sendto(b"x")
            await until(lambda: made.answers.asked)
            made.gateway.client_disconnected("alice")
            made.gateway.client_connected("bob", TunnelAddresses(ALICE))
            made.names.refresh()
            made.answers.gate.set()
            transport.sendto(b"y")
            assert await inbox.answers.get() == b"udp:y"

    run(story())


def test_closing_ends_a_connection_that_has_not_begun() -> None:
    async def story() -> None:
        made = Alone()
        closing: asyncio.Queue[asyncio.Task[None]] = asyncio.Queue()
        client_of = made.names.client_of

        def and_close(source: Address) -> ResolverClient | None:
            # What begins now comes before the task of the connection.
            closing.put_nowait(asyncio.create_task(made.server.close()))
            return client_of(source)

        made.names.client_of = and_close  # type: ignore[method-assign]
        made.port = await made.server.start(HERE, 0)
        async with connection(made.port) as (reader, _):
            await (await closing.get())
            assert await is_closed(reader)

    run(story())


def test_a_port_that_is_taken_is_an_error_and_nothing_stays_open() -> None:
    async def story() -> None:
        async with alone() as made:
            with pytest.raises(OSError, match=r"Address already in use: '127\.0\.0\.1 port"):
                await Alone().server.start(HERE, made.port)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
            taken.bind(("127.0.0.1", 0))
            with pytest.raises(OSError, match="Address already in use"):
                await Alone().server.start(HERE, taken.getsockname()[1])

    run(story())


def test_a_server_that_never_started_can_be_closed() -> None:
    async def story() -> None:
        await Alone().server.close()

    run(story())
