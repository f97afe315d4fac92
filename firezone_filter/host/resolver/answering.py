"""`Resolver`: what a client's question is answered with.

Theory of operation. The client is known by its source address, which the gateway has checked.
Three kinds of names are told apart, in this order: those that nobody upstream is ever asked for
(`_special`); those of the client's DNS resources, which the policy itself has given addresses or
which are resolved here; and all others, which are forwarded or refused. What the client may reach
is asked again after each wait, since a permission may have ended meanwhile.
"""

import logging
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address
from typing import Final, Literal

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.reversename
from attrs import define

from firezone_filter.host.resolver import replies
from firezone_filter.host.resolver.access import Access, NamesFullError, ResolverClient
from firezone_filter.host.resolver.bindings import without_ways_around
from firezone_filter.host.resolver.few_warnings import FewWarnings
from firezone_filter.host.resolver.given_names import GivenNames
from firezone_filter.host.resolver.lease_file import LeaseFileError
from firezone_filter.host.resolver.leases import MAX_TTL
from firezone_filter.host.resolver.questions import (
    Question,
    WrongQuestion,
    comparable,
    read_question,
)
from firezone_filter.host.resolver.renewal import Renewal
from firezone_filter.host.resolver.resolutions import NEGATIVE_TTL, Asks, Resolutions, Resolved
from firezone_filter.host.resolver.upstream import NoAnswerError
from firezone_filter.values.addresses import Address

_LOG: Final = logging.getLogger(__name__)

_VERSIONS: Final = {dns.rdatatype.A: 4, dns.rdatatype.AAAA: 6}

# Browsers take it as a wish that they resolve names as the system does, and not by a server of
# their own, which would know nothing of proxy addresses; and systems look there for other servers,
# with encryption (RFC 9462, section 6.5).
_NOWHERE: Final = tuple(map(dns.name.from_text, ("use-application-dns.net", "resolver.arpa")))


@define
class ResolverCounters:
    """Counts since the start."""

    questions: int = 0
    """Questions that were looked at."""

    own: int = 0
    """Those for names of DNS resources."""

    forwarded: int = 0
    """Those that were passed on to upstream as they were."""

    refused: int = 0
    """Those for other names, with `others` "refuse"."""

    wrong: int = 0
    """Messages that were no question, or one that is answered to nobody."""

    failed: int = 0
    """Questions that were answered with SERVFAIL: upstream says nothing, or the client has all the
    proxy addresses that it may have, or leases cannot be written."""

    limited: int = 0
    """Questions and connections that were not answered because one client asked too much."""

    strangers: int = 0
    """Questions and connections of addresses that are no client's."""


class Resolver:
    """Answers the questions of clients."""

    def __init__(  # noqa: PLR0913 - the parts that it is made of
        self,
        access: Access,
        given: GivenNames,
        resolutions: Resolutions,
        renewal: Renewal,
        upstream: Asks,
        *,
        others: Literal["forward", "refuse"],
        clock: Callable[[], float],
    ) -> None:
        """Put the parts together; *clock* is that of *resolutions*."""
        self._access = access
        self._given = given
        self._resolutions = resolutions
        self._renewal = renewal
        self._upstream = upstream
        self._others = others
        self._clock = clock
        self._warnings = FewWarnings(_LOG, clock)
        self.counters: ResolverCounters = ResolverCounters()

    async def answer(self, client: ResolverClient, wire: bytes, *, tcp: bool) -> bytes | None:
        """Return the answer to a message of a client; `None` if it gets none.

        Args:
            client: whose message it is.
            wire: the message.
            tcp: whether it came over TCP, where answers may be long.
        """
        question = read_question(wire)
        if not isinstance(question, Question):
            self.counters.wrong += 1
            return question.reply if isinstance(question, WrongQuestion) else None
        self.counters.questions += 1
        try:
            message = await self._answer(client, question)
        except (NoAnswerError, NamesFullError, LeaseFileError) as error:
            self.counters.failed += 1
            self._warnings.say(
                "Name not resolved", cid=client.id, domain=question.name, reason=str(error)
            )
            message = replies.reply(question, dns.rcode.SERVFAIL)
        return replies.to_wire(message, replies.MAX_TCP if tcp else replies.room(question))

    async def _answer(self, client: ResolverClient, question: Question) -> dns.message.Message:
        name = question.name
        special = self._special(client, question)
        if special is not None:
            return special
        if name is not None:
            fixed = self._access.fixed(client.id, name)
            if fixed is not None:
                self.counters.own += 1
                return self._fixed(client, question, name, fixed)
            if self._access.is_open(client.id, name):
                self.counters.own += 1
                return await self._own(client, question, name)
        if self._others == "forward" and question.message.flags & dns.flags.RD:
            self.counters.forwarded += 1
            return await self._forward(question)
        self.counters.refused += 1
        return replies.reply(question, dns.rcode.REFUSED)

    # --- Names that nobody is asked for ----------------------------------------------------

    def _special(self, client: ResolverClient, question: Question) -> dns.message.Message | None:
        for nowhere in _NOWHERE:
            if question.qname.is_subdomain(nowhere):
                return replies.nothing(question, int(NEGATIVE_TTL), exists=False)
        address = _reversed(question.qname)
        if address is None or not any(address in network for network in self._access.ranges):
            return None
        name = self._given.name_of(client.id, address)
        if name is None:
            return replies.nothing(question, int(NEGATIVE_TTL), exists=False)
        if question.rdtype != dns.rdatatype.PTR:
            return replies.nothing(question, int(NEGATIVE_TTL))
        record = dns.rdata.from_text(dns.rdataclass.IN, dns.rdatatype.PTR, f"{name}.")
        return replies.records(question, [record], int(NEGATIVE_TTL))

    # --- Names of resources ----------------------------------------------------------------

    def _fixed(
        self, client: ResolverClient, question: Question, name: str, proxies: tuple[Address, ...]
    ) -> dns.message.Message:
        """Return what the policy itself says of a name."""
        if question.rdtype == dns.rdatatype.ANY:
            return _any(question)
        version = _VERSIONS.get(question.rdtype)
        several = tuple(one for one in proxies if one.version == version)
        if not several or version not in client.versions:
            return replies.nothing(question, int(NEGATIVE_TTL))
        self._given.note(client.id, name, several)
        return replies.addresses(question, several, int(NEGATIVE_TTL))

    async def _own(
        self, client: ResolverClient, question: Question, name: str
    ) -> dns.message.Message:
        version = _VERSIONS.get(question.rdtype)
        if version is not None:
            return await self._addresses(client, question, name, version)
        if question.rdtype == dns.rdatatype.ANY:
            return _any(question)
        if question.rdtype == dns.rdatatype.CNAME:
            return replies.nothing(question, int(NEGATIVE_TTL))
        return await self._records(client, question, name)

    async def _addresses(
        self, client: ResolverClient, question: Question, name: str, version: int
    ) -> dns.message.Message:
        # A client without that version still has to learn whether the name exists.
        asked = version if version in client.versions else min(client.versions, default=version)
        resolved = await self._resolutions.find(name, asked)
        changed = self._closed(client, question, name)
        if changed is not None:
            return changed
        ttl = self._ttl(resolved)
        if not resolved.exists:
            return replies.nothing(question, ttl, exists=False)
        if version not in client.versions or not resolved.addresses:
            return replies.nothing(question, min(ttl, int(NEGATIVE_TTL)))
        proxies = self._given.give(client.id, name, version, resolved)
        if not proxies:
            raise NamesFullError(f"no proxy address is left for {name}")
        self._renewal.note(name, version, resolved)
        return replies.addresses(question, proxies, ttl)

    def _closed(
        self, client: ResolverClient, question: Question, name: str
    ) -> dns.message.Message | None:
        """Return the answer about a name that is the resolver's to give no more; else `None`."""
        fixed = self._access.fixed(client.id, name)
        if fixed is not None:
            return self._fixed(client, question, name, fixed)
        if not self._access.is_open(client.id, name):
            return replies.reply(question, dns.rcode.REFUSED)
        return None

    def _ttl(self, resolved: Resolved) -> int:
        return int(min(max(resolved.ends - self._clock(), 0.0), MAX_TTL))

    async def _records(
        self, client: ResolverClient, question: Question, name: str
    ) -> dns.message.Message:
        """Return records of another type, under the very name that was asked for."""
        answer = await self._upstream.ask(question.qname, question.rdtype)
        changed = self._closed(client, question, name)
        if changed is not None:
            return changed
        try:
            chain = answer.resolve_chaining()
        except dns.exception.DNSException as error:
            raise NoAnswerError(f"the answer about {question.name} contradicts itself") from error
        ttl = int(min(chain.minimum_ttl, MAX_TTL))
        if chain.answer is None:
            exists = answer.rcode() != dns.rcode.NXDOMAIN
            return replies.nothing(question, min(ttl, int(NEGATIVE_TTL)), exists=exists)
        found = list(chain.answer)
        if question.rdtype in {dns.rdatatype.HTTPS, dns.rdatatype.SVCB}:
            found = without_ways_around(
                found, question.qname, lambda target: self._may_reach(client, target)
            )
        if not found:
            return replies.nothing(question, min(ttl, int(NEGATIVE_TTL)))
        return replies.records(question, found, ttl)

    def _may_reach(self, client: ResolverClient, target: str) -> bool:
        name = comparable(dns.name.from_text(target))
        return name is not None and (
            self._access.fixed(client.id, name) is not None
            or self._access.is_open(client.id, name)
        )

    # --- All others ------------------------------------------------------------------------

    async def _forward(self, question: Question) -> dns.message.Message:
        answer = await self._upstream.ask(
            question.qname,
            question.rdtype,
            dnssec_ok=bool(question.message.ednsflags & dns.flags.DO),
            checking_disabled=bool(question.message.flags & dns.flags.CD),
        )
        return replies.forwarded(question, answer)


def _any(question: Question) -> dns.message.Message:
    """Return that nobody answers with everything that there is (RFC 8482, section 4.2)."""
    record = dns.rdata.from_text(dns.rdataclass.IN, dns.rdatatype.HINFO, '"RFC8482" ""')
    return replies.records(question, [record], int(MAX_TTL))


def _reversed(qname: dns.name.Name) -> Address | None:
    """Return the address that a name of in-addr.arpa or ip6.arpa stands for."""
    try:
        text = dns.reversename.to_address(qname)
        return IPv6Address(text) if ":" in text else IPv4Address(text)
    except (dns.exception.DNSException, ValueError):
        return None
