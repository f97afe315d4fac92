"""The NAT changes what it must and nothing else, and keeps it exactly as long as it says."""

import random
from itertools import pairwise

import pytest
from attrs import frozen
from hypothesis import given
from hypothesis import strategies as st

from firezone_filter import Direction, Reason, Translate
from firezone_filter.testing import ACK, FIN, RST, SYN, Layout, fragment, icmp_error, patched
from tests.model.packets import parse
from tests.property.policies import ROOMY, connected, resolve
from tests.property.pools import INBOUND, JUST_BEFORE, OUTBOUND, PROXIES, RESOLVED
from tests.property.story import Story
from tests.property.strategies import all_ports, kinds, layouts, payloads, whole
from tests.property.sums import all_sums_hold
from tests.property.twins import Twins
from tests.property.wire import ends_of, flow_of, turned
from tests.scenes import V4, V6, Family, at, both_families, refusal

families = st.sampled_from((V4, V6))
near_ports = st.one_of(all_ports, st.sampled_from((0, 1, 443, 65_535)))


@frozen
class Sending:
    """What Alice sends, as she sends it and as the resource should get it."""

    family: Family
    kind: str
    port: int
    far_port: int
    data: bytes
    layout: Layout
    checked: bool

    @property
    def inner(self) -> bytes:
        return self.build(self.port, PROXIES[self.family.version][0])

    @property
    def outer(self) -> bytes:
        # Port 0 is reserved: it is never given.
        return self.build(self.port or 1, RESOLVED[self.family.version][0])

    def build(self, port: int, far: str) -> bytes:
        flow = f"{at(self.family.client, port)} > {at(far, self.far_port)}"
        packet = whole(self.kind, flow, self.data, **self.layout)
        if self.kind != "udp" or self.checked:
            return packet
        # A datagram may go without a checksum: it stays without.
        read = parse(packet)
        assert read is not None
        return patched(packet, read.transport_at + 6, b"\0\0")


@st.composite
def sendings(draw: st.DrawFn) -> Sending:
    family = draw(families)
    return Sending(
        family,
        draw(kinds),
        draw(near_ports),
        draw(all_ports),
        draw(payloads),
        draw(layouts(family.version)),
        draw(st.booleans()),
    )


def translating(resolved: int = 0) -> Twins:
    """Let Alice reach one name, and nothing else."""
    twins = connected()
    twins.call("authorize", "alice", ROOMY[2])
    resolve(twins, "alice", "dns-0", 0, resolved)
    return twins


def through(twins: Twins, direction: Direction, packet: bytes, now: float | None = None) -> bytes:
    """Return what becomes of a packet that is translated."""
    decision = twins.packet(direction, packet, now)
    assert isinstance(decision, Translate)
    assert all_sums_hold(decision.packet)
    return decision.packet


# --- What is changed -------------------------------------------------------------------------


@given(sendings())
def test_out_and_back_is_the_identity(sending: Sending) -> None:
    twins = translating()

    out = through(twins, OUTBOUND, sending.inner)
    back = through(twins, INBOUND, turned(out))

    assert turned(back) == sending.inner


@given(sendings())
def test_what_goes_out_is_what_would_have_been_sent_to_the_real_address(sending: Sending) -> None:
    assert through(translating(), OUTBOUND, sending.inner) == sending.outer


# Of a checksum that is cut in its middle, the half that is there cannot be known: a quote of
# 17 bytes of TCP is translated but for that byte (the unit tests cut quotes at every length).
HALF_A_CHECKSUM = 17


@given(
    sending=sendings(),
    kept=st.integers(8, 60).filter(lambda kept: kept != HALF_A_CHECKSUM),
    rest=st.binary(min_size=4, max_size=4),
    from_a_router=st.booleans(),
)
def test_errors_are_what_would_have_been_sent_without_the_nat(
    *, sending: Sending, kept: int, rest: bytes, from_a_router: bool
) -> None:
    twins = translating()
    inner, outer = sending.inner, through(twins, OUTBOUND, sending.inner)
    read = parse(inner)
    assert read is not None
    cut = read.transport_at + kept
    kind, code = (3, 4) if read.version == 4 else (2, 0)

    def error(quote: bytes, far: bytes) -> bytes:
        flow = flow_of(far, ends_of(quote)[0])
        return icmp_error(flow, kind, code, rest=rest, quoting=quote[:cut])

    # Whoever sends it, the client knows but the proxy.
    router = b"\x09" * len(ends_of(inner)[0])
    sender = router if from_a_router else ends_of(outer)[1]
    came = through(twins, INBOUND, error(outer, sender))
    assert came == error(inner, ends_of(inner)[1])

    # About what came back, the client tells the proxy, and the resource hears it.
    back, seen = turned(outer), turned(inner)
    went = through(twins, OUTBOUND, error(seen, ends_of(seen)[1]))
    assert went == error(back, ends_of(back)[1])


@given(sendings(), st.sampled_from(((24,), (32,), (40,), (24, 32), (24, 40), (32, 40), ())))
def test_fragments_go_where_the_whole_would_have_gone(
    sending: Sending, cuts: tuple[int, ...]
) -> None:
    twins = translating()
    near = at(sending.family.client, 1)
    inner, outer = (
        whole(sending.kind, f"{near} > {at(far[sending.family.version][0], 443)}", bytes(44))
        for far in (PROXIES, RESOLVED)
    )

    for start, stop in pairwise((0, *cuts, 99)):
        out = through(twins, OUTBOUND, fragment(inner, start, stop))
        assert out == fragment(outer, start, stop)


def test_every_checksum_of_what_is_translated_in_random_stories_holds(*, thorough: bool) -> None:
    translated = 0

    for seed in range(120 if thorough else 25):
        story = Story(random.Random(seed))
        story.tell(200)
        for inner, outer in story.flows.values():
            # Now and then a story spoils a checksum: it must stay wrong.
            assert all_sums_hold(outer) is all_sums_hold(inner)
            translated += 1

    assert translated >= (300 if thorough else 50)


# --- What is kept apart ----------------------------------------------------------------------


@given(
    families,
    st.lists(st.tuples(kinds, st.sampled_from((0, 1, 2, 65_535)), st.integers(0, 1)), max_size=12),
)
def test_two_names_on_one_address_never_mix(
    family: Family, flows: list[tuple[str, int, int]]
) -> None:
    twins = translating()
    resolve(twins, "alice", "dns-0", 1)
    sent = {}

    for kind, port, name in flows:
        far = at(PROXIES[family.version][2 * name], 443)
        inner = whole(kind, f"{at(family.client, port)} > {far}")
        sent[inner] = through(twins, OUTBOUND, inner)

    assert len(set(sent.values())) == len(sent)
    for inner, outer in sent.items():
        assert through(twins, INBOUND, turned(outer)) == turned(inner)


# --- How long --------------------------------------------------------------------------------


@frozen
class Life:
    """What is said on a session, when, and when it is over."""

    name: str
    kind: str
    said: tuple[tuple[float, Direction, int], ...]
    end: float


LIVES = (
    *(
        Life(
            f"{kind}, nothing came back", kind, ((0.0, OUTBOUND, ACK), (10.0, OUTBOUND, ACK)), 70.0
        )
        for kind in ("tcp", "udp", "echo")
    ),
    # What comes in does not count: a far end could keep a session for ever.
    Life("tcp, last in", "tcp", ((0.0, OUTBOUND, SYN), (10.0, INBOUND, SYN | ACK)), 7440.0),
    Life(
        "tcp, last out",
        "tcp",
        ((0.0, OUTBOUND, SYN), (1.0, INBOUND, SYN | ACK), (10.0, OUTBOUND, ACK)),
        7450.0,
    ),
    *(
        Life(
            f"{kind}, {way.value} last",
            kind,
            ((0.0, OUTBOUND, ACK), (1.0, INBOUND, ACK), (10.0, way, ACK)),
            130.0,
        )
        for kind in ("udp", "echo")
        for way in (OUTBOUND, INBOUND)
    ),
    Life(
        "tcp, FINs both ways, one sent again",
        "tcp",
        (
            (0.0, OUTBOUND, SYN),
            (1.0, INBOUND, FIN | ACK),
            (10.0, OUTBOUND, FIN | ACK),
            (12.0, OUTBOUND, FIN | ACK),
            (13.0, INBOUND, ACK),
        ),
        252.0,
    ),
    Life("tcp, reset by the resource", "tcp", ((5.0, OUTBOUND, SYN), (10.0, INBOUND, RST)), 245.0),
    Life(
        "tcp, reset by somebody, and going on",
        "tcp",
        ((0.0, OUTBOUND, SYN), (1.0, INBOUND, RST), (2.0, OUTBOUND, ACK), (3.0, INBOUND, ACK)),
        7442.0,
    ),
    Life(
        "tcp, a FIN one way",
        "tcp",
        ((0.0, OUTBOUND, SYN), (1.0, INBOUND, ACK), (10.0, OUTBOUND, FIN | ACK)),
        7450.0,
    ),
    Life(
        "tcp, begun anew after both FINs",
        "tcp",
        (
            (0.0, OUTBOUND, SYN),
            (1.0, INBOUND, FIN | ACK),
            (2.0, OUTBOUND, FIN | ACK),
            (10.0, OUTBOUND, SYN),
        ),
        70.0,
    ),
)
ENDS_AT_ONCE = (
    Life("tcp, reset by the client", "tcp", ((0.0, OUTBOUND, SYN), (10.0, OUTBOUND, RST)), 10.0),
)

every_life = pytest.mark.parametrize("life", LIVES, ids=lambda life: life.name)
every_end = pytest.mark.parametrize("life", [*LIVES, *ENDS_AT_ONCE], ids=lambda life: life.name)


def lived(life: Life, family: Family) -> tuple[Twins, bytes, bytes]:
    """Let a session live; return also what goes out and what comes back on it."""
    # To addresses that no other resource covers.
    twins = translating(resolved=2)
    flow = f"{at(family.client, 5401)} > {at(PROXIES[family.version][0], 443)}"
    inner = whole(life.kind, flow)
    outer = b""
    for now, way, flags in life.said:
        if way is OUTBOUND:
            outer = through(twins, OUTBOUND, turned(turned(inner), flags), now)
        else:
            through(twins, INBOUND, turned(outer, flags), now)
    return twins, inner, turned(outer)


@every_life
@both_families
def test_a_session_lives_until_just_before_its_end(life: Life, family: Family) -> None:
    twins, inner, back = lived(life, family)
    resolve(twins, "alice", "dns-0", 0, 0)

    out = through(twins, OUTBOUND, inner, life.end - JUST_BEFORE)

    # The name stands for another address by now; the session keeps its own.
    assert ends_of(out)[1] == ends_of(back)[0]
    twins, inner, back = lived(life, family)
    assert turned(through(twins, INBOUND, back, life.end - JUST_BEFORE), ACK) == inner


@every_end
@both_families
def test_a_session_is_over_at_its_end(life: Life, family: Family) -> None:
    twins, inner, back = lived(life, family)
    resolve(twins, "alice", "dns-0", 0, 0)

    assert refusal(twins.packet(INBOUND, back, life.end)) is Reason.EXPIRED_NAT_SESSION
    out = through(twins, OUTBOUND, inner)
    assert ends_of(out)[1] != ends_of(back)[0]


@every_end
@both_families
def test_an_end_is_remembered_for_four_minutes(life: Life, family: Family) -> None:
    twins, _, back = lived(life, family)
    until = life.end + 240.0

    late, later = (twins.packet(INBOUND, back, now) for now in (until - JUST_BEFORE, until))

    assert refusal(late) is Reason.EXPIRED_NAT_SESSION
    assert refusal(later) is Reason.NO_RESOURCE
