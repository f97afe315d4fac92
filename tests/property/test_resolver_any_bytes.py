"""Whatever a client or an upstream sends, the resolver goes on, and answers what it must."""

import asyncio

import dns.flags
import dns.message
import dns.name
import dns.rdatatype
from hypothesis import example, given
from hypothesis import strategies as st

from firezone_filter.host.resolver.exchange import make_query, read_answer
from tests.unit.host.resolver.name_server import honest
from tests.unit.host.resolver.world import world

QUERY = dns.message.make_query("git.example.com", "A", payload=1_232)
WIRE = QUERY.to_wire()


@st.composite
def damaged(draw: st.DrawFn, wire: bytes) -> bytes:
    """Draw bytes that are nearly a message: some are others, some are missing, some are more."""
    out = bytearray(wire)
    for place in draw(st.lists(st.integers(0, len(wire) - 1), max_size=4)):
        out[place] = draw(st.integers(0, 255))
    cut = draw(st.integers(0, len(out)))
    return bytes(out[: cut if draw(st.booleans()) else len(out)]) + draw(st.binary(max_size=20))


@given(st.binary(max_size=600) | damaged(WIRE), st.booleans())
@example(WIRE, False)  # noqa: FBT003 - as it draws them
def test_any_bytes_of_a_client_get_an_answer_of_a_right_size_or_none(
    wire: bytes,
    tcp: bool,  # noqa: FBT001
) -> None:
    made = world(others="forward")
    answer = asyncio.run(made.resolver.answer(made.client("alice"), wire, tcp=tcp))
    if answer is None:
        assert len(wire) < 12 or wire[2] & 0x80
    else:
        read = dns.message.from_wire(answer)
        assert answer[:2] == wire[:2]
        assert read.flags & dns.flags.QR
        assert tcp or len(answer) <= 1_232


@given(st.data())
def test_any_bytes_of_an_upstream_are_the_answer_or_nothing(data: st.DataObject) -> None:
    query = make_query(dns.name.from_text("git.example.com"), dns.rdatatype.A)
    wire = data.draw(
        st.binary(max_size=600) | damaged(honest(query, "10.0.0.80", "10.0.0.81").to_wire())
    )
    answer = read_answer(query, wire)
    if answer is not None:
        assert answer.id == query.id
        assert answer.question[0].name.labels == query.question[0].name.labels
        answer.resolve_chaining()
