"""Reading what clients send, hostile bytes included."""

import struct

import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.tsig
import pytest

from firezone_filter.host.resolver.questions import (
    MAX_QUESTION,
    Question,
    WrongQuestion,
    read_question,
)

WHOLE = dns.message.make_query("git.example.com", "A", id=0x1234).to_wire()
HEADER = WHOLE[:12]
TAIL = bytes.fromhex("00010001")  # A, IN


def code(wire: bytes) -> int:
    """Return the code of the answer to what is no question."""
    wrong = read_question(wire)
    assert isinstance(wrong, WrongQuestion)
    answer = dns.message.from_wire(wrong.reply)
    assert answer.id == struct.unpack_from("!H", wire)[0]
    assert answer.flags & dns.flags.QR
    return answer.rcode()


def test_a_question_is_read() -> None:
    question = read_question(WHOLE)
    assert isinstance(question, Question)
    assert (question.name, question.rdtype.name) == ("git.example.com", "A")


@pytest.mark.parametrize("size", range(12))
def test_what_is_shorter_than_a_header_is_not_answered(size: int) -> None:
    assert read_question(WHOLE[:size]) is None


def test_an_answer_is_not_answered() -> None:
    answer = dns.message.make_response(dns.message.from_wire(WHOLE))
    assert read_question(answer.to_wire()) is None


@pytest.mark.parametrize("size", range(12, len(WHOLE)))
def test_a_question_that_was_cut_off_is_wrong(size: int) -> None:
    assert code(WHOLE[:size]) == dns.rcode.FORMERR


@pytest.mark.parametrize(
    "opcode", [dns.opcode.IQUERY, dns.opcode.STATUS, dns.opcode.NOTIFY, dns.opcode.UPDATE, 15]
)
def test_other_operations_are_not_implemented(opcode: int) -> None:
    flags = struct.pack("!H", opcode << 11)
    assert code(WHOLE[:2] + flags + WHOLE[4:]) == dns.rcode.NOTIMP


@pytest.mark.parametrize(
    "counts",
    [(0, 0, 0, 0), (2, 0, 0, 0), (1, 1, 0, 0), (1, 0, 1, 0), (1, 0, 0, 3), (65535,) * 4],
    ids=["no-question", "two-questions", "an-answer", "an-authority", "three-more", "all-of-it"],
)
def test_a_message_has_one_question_and_little_else(counts: tuple[int, ...]) -> None:
    assert code(WHOLE[:4] + struct.pack("!4H", *counts) + WHOLE[12:]) == dns.rcode.FORMERR


@pytest.mark.parametrize(
    "name",
    [
        b"\xc0\x0c",  # points to itself
        b"\x01a\xc0\x0c",  # points to its own beginning
        b"\xc0\xff",  # points behind the end
        b"\xc0\x0e\xc0\x0c",  # two that point to each other
        b"\x40" + b"a" * 64 + b"\0",  # a label of 64 bytes
        b"\x80\0",  # a kind of label that there is not
        (b"\x3f" + b"a" * 63) * 4 + b"\0",  # 257 bytes in all
        b"\x05abc",  # a label that goes on behind the end
        b"\x01a" * 200,  # and no end at all
    ],
    ids=[
        "itself",
        "own-beginning",
        "behind-the-end",
        "each-other",
        "long-label",
        "no-label",
        "long-name",
        "cut-label",
        "no-end",
    ],
)
def test_a_name_that_is_none_is_wrong(name: bytes) -> None:
    assert code(HEADER + name + TAIL) == dns.rcode.FORMERR


def test_the_longest_name_is_read() -> None:
    name = (b"\x3f" + b"a" * 63) * 3 + b"\x3d" + b"a" * 61 + b"\0"
    question = read_question(HEADER + name + TAIL)
    assert isinstance(question, Question)
    assert question.name == ".".join(["a" * 63] * 3 + ["a" * 61])


def test_a_question_may_be_padded_as_far_as_the_limit_goes() -> None:
    padding = bytes(MAX_QUESTION - len(WHOLE))
    assert isinstance(read_question(WHOLE + padding), Question)
    assert code(WHOLE + padding + b"\0") == dns.rcode.FORMERR


@pytest.mark.parametrize("name", ["a b", "\\000", "a\\.b.example.com", "\\255", "."])
def test_a_name_that_no_resource_can_have_is_read_all_the_same(name: str) -> None:
    question = read_question(dns.message.make_query(dns.name.from_text(name), "A").to_wire())
    assert isinstance(question, Question)
    assert question.name is None


def test_a_later_version_of_edns_is_told_which_there_is() -> None:
    wire = dns.message.make_query("git.example.com", "A", use_edns=1).to_wire()
    assert code(wire) == dns.rcode.BADVERS


@pytest.mark.parametrize("kind", ["AXFR", "IXFR", "MAILA", "MAILB", "OPT", "TKEY", "TSIG"])
def test_types_that_are_no_question_about_a_name_are_refused(kind: str) -> None:
    wire = bytearray(WHOLE)
    wire[-4:-2] = struct.pack("!H", dns.rdatatype.from_text(kind))
    assert code(bytes(wire)) == dns.rcode.REFUSED


@pytest.mark.parametrize("rdclass", ["CH", "HS", "ANY", "NONE"])
def test_other_classes_are_refused(rdclass: str) -> None:
    wire = dns.message.make_query("version.bind", "TXT", rdclass).to_wire()
    assert code(wire) == dns.rcode.REFUSED


def test_a_signature_is_not_looked_at() -> None:
    query = dns.message.make_query("git.example.com", "A")
    query.use_tsig({dns.name.from_text("key."): b"secret"})
    assert isinstance(read_question(query.to_wire()), Question)
