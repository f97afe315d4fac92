"""Asking name servers, honest ones and others. They are fakes on loopback."""

import asyncio
import struct
from collections.abc import Callable, Coroutine, Iterable
from ipaddress import ip_address
from typing import Any, TypeVar

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import pytest

from firezone_filter.host.resolver.exchange import _Asking, make_query, read_answer
from firezone_filter.host.resolver.options import ServerAddress
from firezone_filter.host.resolver.upstream import NoAnswerError, Upstream
from tests.unit.host.resolver.name_server import (
    NameServer,
    Says,
    honest,
    name_server,
    nothing,
    says,
)

T = TypeVar("T")

GIT = dns.name.from_text("git.example.com")
REAL = "10.0.0.80"
FORGED = "192.0.2.66"


def run(story: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(story)


async def ask(
    *servers: NameServer | ServerAddress, patience: float = 5.0, most: float = 20.0
) -> tuple[dns.message.QueryMessage, Upstream]:
    """Ask for git; where all servers answer, no patience is ever used up."""
    addresses = [one.address if isinstance(one, NameServer) else one for one in servers]
    upstream = Upstream(addresses, patience=patience, most_patience=most)
    return await upstream.ask(GIT, dns.rdatatype.A), upstream


def addresses(answer: dns.message.Message) -> list[str]:
    return [record.to_text() for rrset in answer.answer for record in rrset]


# --- Honest servers ------------------------------------------------------------------------


def test_a_server_is_asked_over_udp_with_recursion_and_without_options() -> None:
    async def story() -> None:
        async with name_server(says(REAL)) as server:
            answer, upstream = await ask(server)
            (query,) = server.asked
            assert addresses(answer) == [REAL]
            assert query.flags == dns.flags.RD
            assert (query.edns, query.payload, query.options) == (0, 1_232, ())
            assert (upstream.asked, upstream.failed, server.by_tcp) == (1, 0, 0)

    run(story())


def test_ids_and_cases_differ_from_question_to_question() -> None:
    queries = [make_query(dns.name.from_text("a" * 60), dns.rdatatype.A) for _ in range(8)]
    assert len({query.id for query in queries}) > 1
    assert len({query.question[0].name.labels for query in queries}) > 1


def test_what_is_no_letter_keeps_its_value() -> None:
    name = dns.name.Name([b"-0\xc3\xa9@[`{", b""])
    assert make_query(name, dns.rdatatype.A).question[0].name.labels == name.labels


def test_what_a_client_wants_of_dnssec_is_passed_on() -> None:
    query = make_query(GIT, dns.rdatatype.A, dnssec_ok=True, checking_disabled=True)
    assert query.ednsflags & dns.flags.DO
    assert query.flags == dns.flags.RD | dns.flags.CD


def test_a_truncated_answer_is_asked_for_again_over_tcp() -> None:
    async def story() -> None:
        async with name_server(says(flags=dns.flags.TC), says(REAL)) as server:
            answer, upstream = await ask(server)
            assert addresses(answer) == [REAL]
            assert (server.by_tcp, upstream.spoofed) == (1, 0)

    run(story())


@pytest.mark.parametrize("code", [dns.rcode.SERVFAIL, dns.rcode.REFUSED, dns.rcode.NOTIMP])
def test_a_server_that_knows_nothing_is_followed_by_the_next(code: int) -> None:
    async def story() -> None:
        async with name_server(says(code=code)) as first, name_server(says(REAL)) as second:
            answer, upstream = await ask(first, second)
            assert addresses(answer) == [REAL]
            # The one that answered comes first the next time.
            await upstream.ask(GIT, dns.rdatatype.A)
            assert (len(first.asked), len(second.asked)) == (1, 2)
            upstream.servers = [first.address]
            upstream._prefer(second.address)
            assert upstream.servers == [first.address]

    run(story())


@pytest.mark.parametrize("code", [dns.rcode.FORMERR, dns.rcode.NOTIMP, None], ids=str)
def test_a_server_that_does_not_know_edns_is_asked_without(code: int | None) -> None:
    def old(query: dns.message.Message) -> Iterable[bytes]:
        if query.edns < 0:
            return says(REAL)(query)
        return nothing(query) if code is None else says(code=code)(query)

    async def story() -> None:
        async with name_server(old) as server:
            answer, upstream = await ask(server, patience=0.2)
            assert addresses(answer) == [REAL]
            # Who wants signatures cannot do without.
            with pytest.raises(NoAnswerError):
                await upstream.ask(GIT, dns.rdatatype.A, dnssec_ok=True)
            assert [query.edns for query in server.asked] == [0, -1, 0, 0]

    run(story())


def test_a_server_that_is_not_there_is_followed_by_the_next() -> None:
    async def story() -> None:
        async with name_server(nothing) as gone:
            address = gone.address
        async with name_server(says(REAL)) as server:
            answer, _ = await ask(address, server)
            assert addresses(answer) == [REAL]

    run(story())


def test_a_server_that_there_is_no_way_to_is_followed_by_the_next() -> None:
    async def story() -> None:
        async with name_server(says(REAL)) as server:
            # Broadcast, which a socket may not send to unless it says so first.
            answer, _ = await ask((ip_address("255.255.255.255"), 53), server)
            assert addresses(answer) == [REAL]

    run(story())


def test_no_such_name_is_an_answer() -> None:
    async def story() -> None:
        async with name_server(says(code=dns.rcode.NXDOMAIN)) as server:
            answer, upstream = await ask(server)
            assert (answer.rcode(), upstream.failed) == (dns.rcode.NXDOMAIN, 0)

    run(story())


def test_a_silent_server_is_asked_twice_and_then_nobody_knows() -> None:
    async def story() -> None:
        async with name_server(nothing) as server:
            with pytest.raises(NoAnswerError, match=r"about git\.example\.com"):
                await ask(server, patience=0.01)
            assert len(server.asked) == 2

    run(story())


def test_all_servers_together_are_not_waited_for_longer_than_a_client_does() -> None:
    async def story() -> None:
        async with name_server(nothing) as server:
            with pytest.raises(NoAnswerError):
                await ask(server, most=0.01)

    run(story())


def test_without_servers_nobody_knows() -> None:
    with pytest.raises(NoAnswerError):
        run(ask())


# --- Others --------------------------------------------------------------------------------


def changed(query: dns.message.Message, **changes: Any) -> bytes:  # noqa: ANN401 - of a message
    """Return a forged answer, wrong in one thing."""
    reply = honest(query, FORGED)
    for name, value in changes.items():
        setattr(reply, name, value)
    return reply.to_wire()


def other_question(query: dns.message.Message, name: str, kind: str = "A") -> bytes:
    other = dns.message.make_query(name, kind, id=query.id)
    return honest(other, FORGED if kind == "A" else "2001:db8::66").to_wire()


FORGERIES: dict[str, Callable[[dns.message.Message], bytes]] = {
    "another-id": lambda q: changed(q, id=q.id ^ 1),
    "another-name": lambda q: other_question(q, "git.example.org"),
    "another-type": lambda q: other_question(q, GIT.to_text(), "AAAA"),
    "another-case": lambda q: other_question(q, str(q.question[0].name).swapcase()),
    "no-question": lambda q: changed(q, question=[], answer=[], sections=[[], [], [], []]),
    "a-question": lambda q: changed(q, flags=dns.flags.RD),
    "another-operation": lambda q: changed(q, flags=dns.flags.QR | 5 << 11),
    "an-empty-datagram": lambda _: b"",
    "cut-off": lambda q: honest(q, FORGED).to_wire()[:-1],
    "a-loop": lambda q: struct.pack("!6H", q.id, 0x8180, 1, 0, 0, 0) + b"\xc0\x0c\0\1\0\1",
    "counts-that-lie": lambda q: struct.pack("!6H", q.id, 0x8180, *[65535] * 4) + bytes(500),
}


@pytest.mark.parametrize("forgery", FORGERIES.values(), ids=FORGERIES)
def test_a_forged_answer_is_passed_over_and_the_right_one_counts(
    forgery: Callable[[dns.message.Message], bytes],
) -> None:
    def race(query: dns.message.Message) -> Iterable[bytes]:
        return [forgery(query), honest(query, REAL).to_wire(), honest(query, FORGED).to_wire()]

    async def story() -> None:
        async with name_server(race) as server:
            answer, _ = await ask(server)
            assert addresses(answer) == [REAL]
            assert server.by_tcp == 0

    run(story())


def test_an_answer_from_another_port_or_address_does_not_arrive() -> None:
    async def story() -> None:
        loop = asyncio.get_running_loop()
        forgers = [
            (await loop.create_datagram_endpoint(asyncio.DatagramProtocol, local_addr=local))[0]
            for local in (("127.0.0.1", 0), ("127.0.0.9", 0))
        ]

        class Overheard(NameServer):
            def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
                for forger in forgers:
                    forger.sendto(honest(dns.message.from_wire(data), FORGED).to_wire(), addr)
                # By way of the loop, so that the forged ones are there first.
                loop.call_later(0.05, super().datagram_received, data, addr)

        server = Overheard(says(REAL), nothing)
        transport, _ = await loop.create_datagram_endpoint(
            lambda: server, local_addr=("127.0.0.1", 0)
        )
        port = transport.get_extra_info("sockname")[1]
        answer, upstream = await ask((ip_address("127.0.0.1"), port))
        assert addresses(answer) == [REAL]
        assert upstream.spoofed == 0
        for one in (transport, *forgers):
            one.close()

    run(story())


def test_where_only_forged_answers_come_tcp_decides() -> None:
    """So it does with a server that changes the case of names, as it may."""

    async def story() -> None:
        async with name_server(
            lambda query: [FORGERIES["another-case"](query)], says(REAL)
        ) as server:
            answer, upstream = await ask(server, patience=0.2)
            assert addresses(answer) == [REAL]
            assert (upstream.spoofed, server.by_tcp) == (1, 1)

    run(story())


@pytest.mark.parametrize(
    "tcp",
    [
        nothing,
        lambda query: [changed(query, id=query.id ^ 1)],
        lambda _: [b""],
    ],
    ids=["nothing", "another-id", "an-empty-message"],
)
def test_over_tcp_an_answer_to_something_else_is_none(tcp: Says) -> None:
    async def story() -> None:
        async with name_server(says(flags=dns.flags.TC), tcp) as server:
            with pytest.raises(NoAnswerError):
                await ask(server)
            assert server.by_tcp == 2

    run(story())


def test_what_comes_after_the_answer_changes_nothing() -> None:
    query = make_query(GIT, dns.rdatatype.A)

    async def story() -> dns.message.Message:
        answered: asyncio.Future[dns.message.QueryMessage] = asyncio.Future()
        asking = _Asking(query, answered)
        asking.datagram_received(honest(query, REAL).to_wire(), None)
        asking.datagram_received(honest(query, FORGED).to_wire(), None)
        asking.error_received(ConnectionRefusedError())
        return await answered

    assert addresses(run(story())) == [REAL]


def test_over_tcp_the_case_may_be_another() -> None:
    query = make_query(GIT, dns.rdatatype.A)
    wire = FORGERIES["another-case"](query)
    assert read_answer(query, wire) is None
    assert read_answer(query, wire, any_case=True) is not None
