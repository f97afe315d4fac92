"""One question to one name server, over UDP or TCP.

An answer counts only if it comes from the server's address and port to the very socket that asked,
repeats the random id, and repeats the name letter by letter, whose upper and lower case is random
as well. Whoever cannot see the question has to guess all of it (RFC 5452).
"""

import asyncio
import random
import struct
from typing import Final

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rdatatype

from firezone_filter.host.resolver.options import ServerAddress
from firezone_filter.host.resolver.questions import MAX_UDP

_RANDOM: Final = random.SystemRandom()
_LENGTH: Final = struct.Struct("!H")


class ExchangeError(Exception):
    """The server has not answered in a way that can be used."""


class SpoofedError(ExchangeError):
    """Something came that claimed to be the answer, and nothing else by the end of the wait."""


def make_query(
    name: dns.name.Name,
    rdtype: dns.rdatatype.RdataType,
    *,
    edns: bool = True,
    dnssec_ok: bool = False,
    checking_disabled: bool = False,
) -> dns.message.QueryMessage:
    """Return a question with a random id, and random upper and lower case in the name.

    It has no EDNS options: what a client says about itself (RFC 7871) is not passed on. Without
    EDNS it can say nothing of DNSSEC either.
    """
    query = dns.message.make_query(
        _in_random_case(name),
        rdtype,
        use_edns=0 if edns else False,
        payload=MAX_UDP if edns else None,
        want_dnssec=dnssec_ok and edns,
        id=_RANDOM.getrandbits(16),
    )
    if checking_disabled:
        query.flags |= dns.flags.CD
    return query


def _in_random_case(name: dns.name.Name) -> dns.name.Name:
    def mixed(label: bytes) -> bytes:
        bits = _RANDOM.getrandbits(len(label) + 1)
        return bytes(
            byte ^ 0x20 if bits >> place & 1 and chr(byte).isalpha() and byte < 0x80 else byte  # noqa: PLR2004 - ASCII
            for place, byte in enumerate(label)
        )

    return dns.name.Name([mixed(label) for label in name.labels])


def read_answer(
    query: dns.message.Message, wire: bytes, *, any_case: bool = False
) -> dns.message.QueryMessage | None:
    """Return the answer to a question; `None` if it is no answer to this one."""
    try:
        answer = dns.message.from_wire(wire, keyring=False, ignore_trailing=True)
    except (dns.exception.DNSException, ValueError):
        return None
    # `is_response` would let an error pass without the question, which anybody can guess.
    if not (
        isinstance(answer, dns.message.QueryMessage)
        and answer.flags & dns.flags.QR
        and answer.id == query.id
        and answer.question == query.question
    ):
        return None
    if not any_case and answer.question[0].name.labels != query.question[0].name.labels:
        return None
    return answer


class _Asking(asyncio.DatagramProtocol):
    """Waits for the answer to one question."""

    def __init__(
        self, query: dns.message.Message, answered: "asyncio.Future[dns.message.QueryMessage]"
    ) -> None:
        self._query = query
        self._answered = answered
        self.ignored = 0

    def datagram_received(self, data: bytes, addr: object) -> None:  # noqa: ARG002 - the socket is connected
        answer = read_answer(self._query, data)
        if answer is None:
            self.ignored += 1
        elif not self._answered.done():
            self._answered.set_result(answer)

    def error_received(self, exc: Exception) -> None:
        # Nobody listens there: no need to wait.
        if not self._answered.done():
            self._answered.set_exception(ExchangeError(str(exc)))


async def ask_udp(
    server: ServerAddress, query: dns.message.Message, patience: float
) -> dns.message.QueryMessage:
    """Ask over UDP, from a socket of its own, which the kernel gives a random port.

    Raises:
        ExchangeError: no answer in time, or no way there.
    """
    loop = asyncio.get_running_loop()
    answered: asyncio.Future[dns.message.QueryMessage] = loop.create_future()
    asking = _Asking(query, answered)
    address, port = server
    try:
        # A connected socket: the kernel drops whatever comes from another address or port.
        transport, _ = await loop.create_datagram_endpoint(
            lambda: asking, remote_addr=(str(address), port)
        )
    except OSError as error:
        raise ExchangeError(str(error)) from error
    try:
        transport.sendto(query.to_wire())
        async with asyncio.timeout(patience):
            return await answered
    except TimeoutError as error:
        kind = SpoofedError if asking.ignored else ExchangeError
        raise kind("no answer in time") from error
    finally:
        transport.close()


async def ask_tcp(
    server: ServerAddress, query: dns.message.Message, patience: float
) -> dns.message.QueryMessage:
    """Ask over TCP, by a connection of its own.

    Raises:
        ExchangeError: no answer in time, no way there, or an answer to something else.
    """
    address, port = server
    try:
        async with asyncio.timeout(patience):
            reader, writer = await asyncio.open_connection(str(address), port)
            try:
                wire = query.to_wire()
                writer.write(_LENGTH.pack(len(wire)) + wire)
                await writer.drain()
                (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
                answer = read_answer(query, await reader.readexactly(length), any_case=True)
            finally:
                writer.close()
    except (OSError, EOFError) as error:  # a timeout is an OSError too
        raise ExchangeError(str(error) or "no answer in time") from error
    if answer is None:
        raise ExchangeError("an answer to something else")
    return answer
