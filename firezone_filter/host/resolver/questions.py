"""Reading what a client has sent: a question, something to be told off for, or nothing."""

import struct
from typing import Final

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdataclass
import dns.rdatatype
from attrs import frozen

from firezone_filter.values.domains import to_domain
from firezone_filter.values.errors import InvalidPolicy

MAX_QUESTION: Final = 4_096
"""Bytes of a question. Names have 255 (RFC 1035, section 2.3.4); the rest is room for EDNS
options."""

MAX_UDP: Final = 1_232
"""Bytes of a message over UDP: no fragment even in a tunnel with the least MTU of IPv6 (1,280)."""

_HEADER: Final = struct.Struct("!6H")

# Transfers, mail types of 1987, and types that describe a message instead of a name.
_NO_QUESTIONS: Final = frozenset(
    {
        dns.rdatatype.AXFR,
        dns.rdatatype.IXFR,
        dns.rdatatype.MAILA,
        dns.rdatatype.MAILB,
        dns.rdatatype.OPT,
        dns.rdatatype.TKEY,
        dns.rdatatype.TSIG,
    }
)


@frozen
class Question:
    """A question of a client."""

    message: dns.message.Message
    """The whole message, for the answer to repeat what belongs there."""

    qname: dns.name.Name
    """The name, in the case in which the client wrote it."""

    rdtype: dns.rdatatype.RdataType
    """The type that is asked for."""

    name: str | None
    """The name as names of resources are compared; `None` if none of them can be like that."""


@frozen
class WrongQuestion:
    """A message that is answered with an error."""

    reply: bytes
    """The answer, whole."""


def read_question(wire: bytes) -> Question | WrongQuestion | None:
    """Read a message of a client.

    Returns:
        The question; what is wrong with it; or `None` for what must not be answered at all:
        answers (two servers would answer each other for ever), and what is too short for an id.
    """
    if len(wire) < _HEADER.size:
        return None
    _, flags, questions, answers, authority, additional = _HEADER.unpack_from(wire)
    if flags & dns.flags.QR:
        return None
    if dns.opcode.from_flags(flags) != dns.opcode.QUERY:
        return _wrong(wire, dns.rcode.NOTIMP)
    # Before anything is parsed, so that no message costs more than one name and two records.
    # (One of them is EDNS, one a signature of the transaction.)
    if len(wire) > MAX_QUESTION or (questions, answers, authority) != (1, 0, 0) or additional > 2:  # noqa: PLR2004
        return _wrong(wire, dns.rcode.FORMERR)
    try:
        message = dns.message.from_wire(wire, keyring=False, ignore_trailing=True)
    except (dns.exception.DNSException, ValueError):
        return _wrong(wire, dns.rcode.FORMERR)
    return _checked(message)


def _checked(message: dns.message.Message) -> Question | WrongQuestion:
    (asked,) = message.question
    if message.edns > 0:
        # RFC 6891, section 6.1.3. dnspython writes the upper bits of the code into EDNS.
        return WrongQuestion(error(message, dns.rcode.BADVERS))
    if asked.rdclass != dns.rdataclass.IN or asked.rdtype in _NO_QUESTIONS:
        return WrongQuestion(error(message, dns.rcode.REFUSED))
    return Question(message, asked.name, asked.rdtype, comparable(asked.name))


def comparable(name: dns.name.Name) -> str | None:
    """Return a name as names of resources are compared; `None` if it cannot be one of them."""
    try:
        return to_domain(name.to_text(omit_final_dot=True))
    except InvalidPolicy:
        return None


def error(message: dns.message.Message, code: dns.rcode.Rcode) -> bytes:
    """Return an answer to a message that could be read, and will not be answered otherwise."""
    reply = dns.message.make_response(
        message, recursion_available=True, our_payload=MAX_UDP, pad=0
    )
    reply.set_rcode(code)
    return reply.to_wire()


def _wrong(wire: bytes, code: dns.rcode.Rcode) -> WrongQuestion:
    """Return the answer to what could not be read: its id, and that it is wrong."""
    number, flags, *_ = _HEADER.unpack_from(wire)
    kept = flags & (0x7800 | dns.flags.RD)
    return WrongQuestion(
        _HEADER.pack(number, dns.flags.QR | dns.flags.RA | kept | code, 0, 0, 0, 0)
    )
