"""`Upstream`: questions to the name servers behind the gateway, until one answers."""

import asyncio
from collections.abc import Sequence
from typing import Final

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype

from firezone_filter.host.resolver.exchange import (
    ExchangeError,
    SpoofedError,
    ask_tcp,
    ask_udp,
    make_query,
)
from firezone_filter.host.resolver.options import Server

PATIENCE: Final = 1.5
"""Seconds to wait for one server."""

MOST_PATIENCE: Final = 4.5
"""Seconds to wait for all of them: clients ask again after five."""

MOST_AT_A_TIME: Final = 128
"""Questions that are asked at a time. Each has a socket, and a process has 1,024 files by
default."""

_ROUNDS: Final = 2
"""How often each server is asked: a datagram may be lost."""

_ANSWERS: Final = frozenset({dns.rcode.NOERROR, dns.rcode.NXDOMAIN})


class NoAnswerError(Exception):
    """No server has said anything about the name."""


class Upstream:
    """The name servers behind the gateway."""

    def __init__(
        self,
        servers: Sequence[Server],
        *,
        patience: float = PATIENCE,
        most_patience: float = MOST_PATIENCE,
    ) -> None:
        """Take servers to ask, in this order, and seconds to wait for one and for all."""
        self.servers: list[Server] = list(servers)
        """The name servers, the one that is asked first in front. They may be replaced."""
        self._patience = patience
        self._most_patience = most_patience
        self._room = asyncio.Semaphore(MOST_AT_A_TIME)
        self.asked: int = 0
        """Exchanges with a server, over UDP and TCP."""
        self.failed: int = 0
        """Those without a usable answer, one that nothing is known included."""
        self.spoofed: int = 0
        """Those in which something came that was no answer to the question."""

    async def ask(
        self,
        name: dns.name.Name,
        rdtype: dns.rdatatype.RdataType,
        *,
        dnssec_ok: bool = False,
        checking_disabled: bool = False,
    ) -> dns.message.QueryMessage:
        """Return what upstream says about a name: records, that there are none, or no such name.

        Raises:
            NoAnswerError: nobody says anything in time.
        """
        try:
            async with asyncio.timeout(self._most_patience), self._room:
                for server in self.servers * _ROUNDS:
                    query = make_query(
                        name, rdtype, dnssec_ok=dnssec_ok, checking_disabled=checking_disabled
                    )
                    answer = await self._ask_one(server, query)
                    if answer is not None:
                        self._prefer(server)
                        return answer
        except TimeoutError:
            self.failed += 1
        raise NoAnswerError(f"no name server says anything about {name}")

    async def _ask_one(
        self, server: Server, query: dns.message.Message
    ) -> dns.message.QueryMessage | None:
        """Return a server's answer if it is one."""
        self.asked += 1
        try:
            answer = await self._exchange(server, query)
        except ExchangeError:
            self.failed += 1
            return None
        if answer.rcode() not in _ANSWERS:
            self.failed += 1
            return None
        return answer

    async def _exchange(
        self, server: Server, query: dns.message.Message
    ) -> dns.message.QueryMessage:
        try:
            answer = await ask_udp(server, query, self._patience)
        except SpoofedError:
            # Somebody is guessing; or the server changes the case of names, which it may.
            # Over TCP nobody guesses.
            self.spoofed += 1
        else:
            if not answer.flags & dns.flags.TC:
                return answer
        return await ask_tcp(server, query, self._patience)

    def _prefer(self, server: Server) -> None:
        """Ask the servers from this one on, next time."""
        if server in self.servers:
            place = self.servers.index(server)
            self.servers = self.servers[place:] + self.servers[:place]
