"""Writing answers: records of a name, none, or an error; as long as the client can take."""

from collections.abc import Iterable
from typing import Final

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdataset
import dns.rdatatype
import dns.rrset

from firezone_filter.host.resolver.questions import MAX_UDP, Question
from firezone_filter.values.addresses import Address

_LEAST_UDP: Final = 512
"""What every client takes (RFC 1035, section 2.3.4)."""

MAX_TCP: Final = 65_535
"""What the length before a message can say (RFC 1035, section 4.2.2)."""


def room(question: Question) -> int:
    """Return how many bytes an answer over UDP may have."""
    # Without EDNS the message says 0.
    return min(max(question.message.payload, _LEAST_UDP), MAX_UDP)


def reply(question: Question, code: dns.rcode.Rcode = dns.rcode.NOERROR) -> dns.message.Message:
    """Return an answer without records."""
    message = dns.message.make_response(
        question.message, recursion_available=True, our_payload=MAX_UDP, pad=0
    )
    message.set_rcode(code)
    return message


def addresses(question: Question, several: Iterable[Address], ttl: int) -> dns.message.Message:
    """Return an answer with addresses."""
    data = [
        dns.rdata.from_text(dns.rdataclass.IN, question.rdtype, str(address))
        for address in several
    ]
    return records(question, data, ttl)


def records(
    question: Question, several: Iterable[dns.rdata.Rdata], ttl: int
) -> dns.message.Message:
    """Return an answer with records of the very name that was asked for, of the type asked for."""
    message = reply(question)
    message.answer.append(dns.rrset.from_rdata_list(question.qname, ttl, list(several)))
    return message


def nothing(question: Question, ttl: int, *, exists: bool = True) -> dns.message.Message:
    """Return that the name has no such records, or does not exist at all.

    The SOA record, without which nobody remembers that for *ttl* (RFC 2308, section 5), is made
    up: that of upstream may belong to the end of a chain of aliases, which is not shown.
    """
    message = reply(question, dns.rcode.NOERROR if exists else dns.rcode.NXDOMAIN)
    zone = question.qname.parent() if len(question.qname) > 1 else question.qname
    soa = dns.rdata.from_text(dns.rdataclass.IN, dns.rdatatype.SOA, f". . 1 3600 600 86400 {ttl}")
    message.authority.append(dns.rrset.from_rdata(zone, ttl, soa))
    return message


def forwarded(question: Question, answer: dns.message.Message) -> dns.message.Message:
    """Return what upstream has answered, as the answer to the client's own question."""
    message = reply(question, answer.rcode())
    if answer.flags & dns.flags.AD and (
        question.message.flags & dns.flags.AD or question.message.ednsflags & dns.flags.DO
    ):
        message.flags |= dns.flags.AD
    for name, section in enumerate((answer.answer, answer.authority, answer.additional), start=1):
        for one in section:
            if one.name == question.qname:
                # In the case in which the client wrote it, and not in that of our question.
                one.name = question.qname
            message.sections[name].append(one)
    return message


def to_wire(message: dns.message.Message, most: int) -> bytes:
    """Return a message of at most so many bytes; if it is longer, without records and truncated.

    Part of an answer would be of no use: who cannot take it all asks over TCP, or takes what is
    there for all (RFC 2181, section 9).
    """
    try:
        return message.to_wire(max_size=most)
    except dns.exception.TooBig:
        for section in message.sections[1:]:
            section.clear()
        message.flags |= dns.flags.TC
        return message.to_wire(max_size=most)
