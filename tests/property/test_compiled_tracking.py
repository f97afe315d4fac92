"""What the packets of sessions and counted flows do in C is what they do in the plain form."""

from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firezone_filter import Forward
from firezone_filter.accounting.flow_counting import CountedFlow
from firezone_filter.accounting.flow_record import Tally
from firezone_filter.compiled.twins import IS_COMPILED, PLAIN
from firezone_filter.packet.numbers import ACK, FIN, RST, SYN, TCP, UDP
from firezone_filter.structures.generation import Generation
from firezone_filter.structures.heaps import NO_PLACE
from firezone_filter.structures.lanes import Link
from firezone_filter.testing import tcp
from firezone_filter.tracking.handlers import Joined, SteadyFlow
from firezone_filter.tracking.lifetimes import ESTABLISHED, UNCAPPED, SessionState
from firezone_filter.tracking.sessions import SessionLanes

pytestmark = pytest.mark.skipif(not IS_COMPILED, reason="the extension module is not in use")

TRANSPORT: Final = 20
PERMITTED: Final = Forward("alice", "app")
MOMENTS: Final = (0.0, 1.0, 2.0, UNCAPPED - 1.0, float(UNCAPPED), ESTABLISHED + 1.0)
PACKETS: Final = tuple(
    tcp("10.0.0.1:1 > 10.0.0.2:2", payload, flags=flags)
    for flags in (ACK, SYN, FIN | ACK, RST)
    for payload in (b"", b"four")
)
# The data offset points behind the end.
CUT_OFF: Final = PACKETS[0][:32] + b"\xf0" + PACKETS[0][33:]

moments = st.sampled_from(MOMENTS)


def twins_of(base: type) -> tuple[type, type]:
    """Return both forms of a class, with slow ways that tell what they were asked."""

    def slowly(self: Any, *asked: object, **more: object) -> None:  # noqa: ANN401 - of two classes
        self.asked.append((*asked[-2:], more))

    def form(cls: Any) -> type:  # noqa: ANN401 - a class
        ways = dict.fromkeys(
            ("handle_slowly", "count_slowly", "see_half_closed", "see_outbound", "prolong"), slowly
        )
        return type(cls.__name__, (cls,), {"asked": [], **ways})

    return form(PLAIN[base.__name__]), form(base)


class Rewriting:
    def apply(self, packet: bytes) -> bytes:
        return packet[::-1]


@st.composite
def scenes(draw: st.DrawFn) -> dict[str, Any]:
    return {
        "state": {
            "last": draw(moments),
            "last_outbound": draw(moments),
            "is_open": draw(st.booleans()),
            "is_steady": draw(st.booleans()),
            "is_half_closed": draw(st.booleans()),
            "place": draw(st.sampled_from([NO_PLACE, 3])),
            "resource_port": draw(st.sampled_from([443, 444])),
            "seen": draw(st.integers(0, 63)),
        },
        "protocol": draw(st.sampled_from([TCP, UDP])),
        "outbound": draw(st.booleans()),
        "stands_in": draw(st.sampled_from([None, "unanswered", "established", "datagrams"])),
        "next": draw(moments),
        "is_outdated": draw(st.booleans()) and draw(st.booleans()),
        "rewriting": draw(st.sampled_from([None, Rewriting()])),
        "packets": draw(st.lists(st.tuples(st.sampled_from(PACKETS), moments), max_size=4)),
    }


def played(scene: dict[str, Any], flow_class: Any, state_class: Any, lanes_class: Any) -> object:  # noqa: ANN401
    """Return all that packets of a session have led to."""
    sessions, generation = lanes_class(), Generation()
    sessions.asked, generation.number = [], 1
    session = state_class("group", "key", scene["protocol"])
    for name, value in scene["state"].items():
        setattr(session, name, value)
    # Others stand in the lanes too, so that a place shows.
    lanes = [getattr(sessions, name) for name in ("unanswered", "established", "datagrams")]
    for lane in lanes:
        lane.append(Link())
    if scene["stands_in"] is not None:
        getattr(sessions, scene["stands_in"]).append(session)
    flow = flow_class(
        sessions,
        session,
        TRANSPORT,
        443,
        PERMITTED,
        scene["rewriting"],
        generation,
        scene["protocol"] == TCP,
        scene["outbound"],
    )
    flow.asked = []
    generation.number += scene["is_outdated"]
    sessions.next = scene["next"]
    told: list[object] = []
    for packet, now in scene["packets"]:
        told += [flow.handle(packet, now), len(flow.asked), len(sessions.asked)]
        told += [getattr(session, name) for name in scene["state"]]
        told += [session.kind, session.expires_at]
        told.append([session.after is lane for lane in lanes])
        told.append([lane.first is session for lane in lanes])
    for port, flags in ((443, 0), (444, SYN), (445, RST)):
        told += [session.see_first(port, flags, 9.0), session.resource_port, session.last_outbound]
    return told


@given(scenes())
def test_the_packets_of_a_session_prolong_it_alike(scene: dict[str, Any]) -> None:
    classes = zip(*map(twins_of, (SteadyFlow, SessionState, SessionLanes)), strict=True)
    plain, compiled = (played(scene, *forms) for forms in classes)
    assert plain == compiled


@given(
    protocol=st.sampled_from([TCP, UDP]),
    outbound=st.booleans(),
    open_until=moments,
    packets=st.lists(st.tuples(st.sampled_from((*PACKETS, CUT_OFF)), moments), max_size=6),
    is_outdated=st.booleans(),
)
def test_the_packets_of_a_counted_flow_count_alike(
    *,
    protocol: int,
    outbound: bool,
    open_until: float,
    packets: list[tuple[bytes, float]],
    is_outdated: bool,
) -> None:
    told: list[list[object]] = []
    for flow_class in twins_of(CountedFlow):
        record, generation = Tally(0.0, open_until), Generation()
        generation.number = 1
        header = 0 if protocol == TCP else 8
        flow: Any = flow_class(
            PERMITTED, record, TRANSPORT, header, generation, protocol == TCP, outbound
        )
        flow.asked = []
        seen: list[object] = []
        for packet, now in packets:
            seen += [flow.handle(packet, now), record.last_packet]
            seen += [record.tx_packets, record.tx_bytes, record.rx_packets, record.rx_bytes]
        generation.number += is_outdated
        seen += [flow.handle(PACKETS[0], 0.0), flow.asked]
        told.append(seen)
    assert told[0] == told[1]


class Answering:
    """A handler that answers in turn, and counts how often it is asked."""

    client_id = "alice"

    def __init__(self, *answers: object) -> None:
        self.answers = list(answers)
        self.asked = 0

    def handle(self, packet: bytes, now: float) -> Any:  # noqa: ANN401, ARG002 - as it was told
        self.asked += 1
        return self.answers[self.asked % len(self.answers)]


@pytest.mark.parametrize("form", [0, 1], ids=["plain", "compiled"])
def test_a_handler_follows_only_what_the_other_lets_pass(form: int) -> None:
    decides, follows = Answering(PERMITTED, None), Answering(None)
    joined: Any = twins_of(Joined)[form](decides, follows)
    assert [joined.handle(PACKETS[0], 1.0) for _ in range(3)] == [None, PERMITTED, None]
    assert (decides.asked, follows.asked, joined.client_id) == (3, 1, "alice")


@pytest.mark.parametrize("form", [0, 1], ids=["plain", "compiled"])
def test_what_is_cut_off_before_its_flags_is_an_error_not_a_read(form: int) -> None:
    flow: Any = twins_of(CountedFlow)[form](
        PERMITTED, Tally(0.0, 9.0), TRANSPORT, 0, Generation(), is_tcp=True, is_outbound=True
    )
    for size in (0, 20, 32, 33):
        with pytest.raises(IndexError):
            flow.handle(PACKETS[0][:size], 1.0)
