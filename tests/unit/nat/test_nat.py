"""`Nat`: which session a packet belongs to; looking it up changes nothing, committing does."""

from collections.abc import Callable

import pytest

from firezone_filter import Direction, Forward, Reason, Translate
from firezone_filter.nat.flows import TranslatedFlow
from firezone_filter.nat.nat import Nat, translate_error
from firezone_filter.nat.proxies import Resolution
from firezone_filter.packet.flow_key import flow_key
from firezone_filter.packet.headers import Headers, read_quoted_headers
from firezone_filter.structures.upkeep import UpkeepQueue
from firezone_filter.testing import ACK, FIN, RST, SYN, hop_by_hop, icmp, icmp_echo, icmp_error, ip
from firezone_filter.tracking.sessions import SessionPool
from tests.numbers import ESP
from tests.scenes import INBOUND, OUTBOUND, both_directions
from tests.translations import N4, NAME, TICK, Names, Shape, both_names, every_kind
from tests.unit.reading import packed, read

LIMITS = (100, 100)
PERMITTED = Forward("alice", "app")


def nat_for(names: Names, *, limits: tuple[int, int] = LIMITS) -> Nat:
    nat = Nat(SessionPool(*limits), 0, UpkeepQueue(), lambda *_: None)
    nat.resolve("app", Resolution(NAME, packed(*names.proxies[:2]), packed(*names.real[:2])), 0.0)
    return nat


def outbound(nat: Nat, packet: bytes, now: float = 0.0) -> TranslatedFlow | Reason:
    headers = read(packet)
    return nat.outbound(headers, flow_key(headers, packet), packet, PERMITTED, now)


def inbound(nat: Nat, packet: bytes, now: float = 0.0) -> TranslatedFlow | None:
    headers = read(packet)
    session = nat.session_inbound(headers, packet, now)
    if session is None:
        return None
    return nat.inbound(session, headers, flow_key(headers, packet), PERMITTED)


def flow_of(nat: Nat, direction: Direction, packet: bytes, now: float = 0.0) -> TranslatedFlow:
    """Return the flow of a packet that has one, without any effect."""
    flow = outbound(nat, packet, now) if direction is OUTBOUND else inbound(nat, packet, now)
    assert isinstance(flow, TranslatedFlow)
    return flow


def passed(
    nat: Nat, direction: Direction, packet: bytes, now: float = 0.0
) -> tuple[TranslatedFlow, bytes]:
    """Let a packet through; return its flow, and what goes on."""
    flow = flow_of(nat, direction, packet, now)
    translated = flow.translate(packet)
    flow.commit(packet, now)
    return flow, translated.to_send(packet)


def established(
    nat: Nat, names: Names, kind: str, number: int = 5401
) -> tuple[TranslatedFlow, TranslatedFlow]:
    """Return the flows of a session, out and back, after a packet of each at 0."""
    out, _ = passed(nat, OUTBOUND, names.sent(kind, number))
    back, _ = passed(nat, INBOUND, names.came(kind, number))
    return out, back


def expired_recently(nat: Nat, packet: bytes, now: float) -> bool:
    return nat.expired_recently(read(packet), packet, now)


def lifetime(kind: str) -> float:
    return 7_440.0 if kind == "tcp" else 120.0


# --- Out and back --------------------------------------------------------------------------


@every_kind
@both_names
def test_packets_go_out_and_come_back_with_the_ends_of_the_other_side(
    names: Names, kind: str
) -> None:
    nat = nat_for(names)
    out, sent_on = passed(nat, OUTBOUND, names.sent(kind))
    back, delivered = passed(nat, INBOUND, names.came(kind))
    assert sent_on == names.sent(kind, far=names.real[0])
    assert delivered == names.came(kind, far=names.proxies[0])
    assert out.session is back.session
    # From then on the flows decide by themselves.
    payload = b"odd"
    further = (names.sent(kind, payload=payload), names.came(kind, payload=payload))
    translated = (
        names.sent(kind, far=names.real[0], payload=payload),
        names.came(kind, far=names.proxies[0], payload=payload),
    )
    for flow, packet, expected in zip((out, back), further, translated, strict=True):
        assert (flow.client_id, flow.permitted) == ("alice", PERMITTED)
        assert flow.translate(packet) == Translate(expected, "alice", "app")
        assert flow.handle(packet, 1.0) == Translate(expected, "alice", "app")


@every_kind
@both_names
def test_packets_behind_options_and_extension_headers_are_translated_too(
    names: Names, kind: str
) -> None:
    nat = nat_for(names)
    shape: Shape = {"options": b"\x01" * 20} if names is N4 else {"extensions": (hop_by_hop(),)}
    _, sent_on = passed(nat, OUTBOUND, names.sent(kind, **shape))
    _, delivered = passed(nat, INBOUND, names.came(kind, **shape))
    assert sent_on == names.sent(kind, far=names.real[0], **shape)
    assert delivered == names.came(kind, far=names.proxies[0], **shape)


@both_names
def test_packets_without_port_or_echo_id_are_not_of_the_nat(names: Names) -> None:
    nat = nat_for(names)
    client, other = names.family.client, 13 if names is N4 else 138
    flow, back = f"{client} > {names.proxies[0]}", f"{names.real[0]} > {client}"
    for packet in (ip(flow, ESP, bytes(24)), icmp(flow, other), icmp_echo(flow, reply=True)):
        assert outbound(nat, packet) is Reason.PROTOCOL
    for packet in (ip(back, ESP, bytes(24)), icmp(back, other), icmp_echo(back)):
        assert inbound(nat, packet) is None
        assert not expired_recently(nat, packet, 0.0)


@both_names
def test_a_proxy_without_a_real_address_has_no_translation(names: Names) -> None:
    nat = nat_for(names)
    assert outbound(nat, names.sent(far=names.proxies[2])) is Reason.NO_TRANSLATION
    nat.resolve("app", Resolution(NAME, packed(names.proxies[0]), ()), 0.0)
    assert outbound(nat, names.sent()) is Reason.NO_TRANSLATION


@pytest.mark.parametrize("limits", [(0, 100), (100, 0)])
@both_names
def test_without_room_there_is_no_session(names: Names, limits: tuple[int, int]) -> None:
    assert outbound(nat_for(names, limits=limits), names.sent()) is Reason.NAT_EXHAUSTED


# --- Looking up, and committing ------------------------------------------------------------


@every_kind
@both_names
def test_a_proposed_session_does_not_exist_until_it_is_committed_and_is_new_once(
    names: Names, kind: str
) -> None:
    nat = nat_for(names)
    for _ in range(2):
        flow = flow_of(nat, OUTBOUND, names.sent(kind))
        flow.translate(names.sent(kind))
        assert inbound(nat, names.came(kind)) is None
        assert (nat._sessions.count, flow.session.is_open) == (0, False)
    assert flow.commit(names.sent(kind), 0.0)
    assert not flow.commit(names.sent(kind), 0.0)
    again = flow_of(nat, OUTBOUND, names.sent(kind))
    assert again.session is flow.session
    assert not again.commit(names.sent(kind), 0.0)
    assert nat._sessions.count == 1


@every_kind
@both_names
def test_only_a_committed_packet_prolongs_confirms_or_ends_a_session(
    names: Names, kind: str
) -> None:
    nat = nat_for(names)
    flow, _ = passed(nat, OUTBOUND, names.sent(kind))
    session = flow.session
    for packet in (names.sent(kind, flags=RST), names.sent(kind)):
        flow_of(nat, OUTBOUND, packet, 30.0).translate(packet)
    for packet in (names.came(kind, flags=RST), names.came(kind)):
        back = flow_of(nat, INBOUND, packet, 30.0)
        back.translate(packet)
    assert (session.is_open, session.expires_at) == (True, 60.0)
    assert not back.commit(names.came(kind), 30.0)
    # What comes in prolongs all but TCP.
    assert session.expires_at == lifetime(kind) + (0.0 if kind == "tcp" else 30.0)


@pytest.mark.parametrize("limits", [LIMITS, (1, 100), (100, 1)])
@both_names
def test_a_new_session_takes_the_place_and_port_of_one_that_is_over(
    names: Names, limits: tuple[int, int]
) -> None:
    nat = nat_for(names, limits=limits)
    passed(nat, OUTBOUND, names.sent())
    passed(nat, INBOUND, names.came())
    # The other proxy address stands for another real address.
    nat.resolve("app", Resolution(NAME, packed(names.proxies[1]), packed(names.real[0])), 0.0)
    sent = names.sent(far=names.proxies[1])
    if limits != LIMITS:
        assert outbound(nat, sent, 120.0 - TICK) is Reason.NAT_EXHAUSTED
    flow, sent_on = passed(nat, OUTBOUND, sent, 120.0)
    assert sent_on == names.sent(far=names.real[0])
    assert (nat._sessions.count, flow.session.is_open) == (1, True)


@both_names
def test_flags_count_in_tcp_alone(names: Names) -> None:
    nat = nat_for(names)
    reset_like = b"\x04" * 20
    for kind in ("udp", "echo"):
        passed(nat, OUTBOUND, names.sent(kind, payload=reset_like))
        assert inbound(nat, names.came(kind)) is not None
    passed(nat, OUTBOUND, names.sent("tcp", flags=RST))
    assert inbound(nat, names.came("tcp")) is None
    assert expired_recently(nat, names.came("tcp"), 0.0)


# --- Handlers of established flows -----------------------------------------------------------


@every_kind
@both_names
def test_a_handler_decides_nothing_once_its_session_is_over(names: Names, kind: str) -> None:
    nat, lived = nat_for(names), lifetime(kind)
    out, back = established(nat, names, kind)
    assert out.handle(names.sent(kind), lived - TICK) is not None
    over = 2 * lived - TICK
    assert back.handle(names.came(kind), over - TICK) is not None
    # What comes in prolongs all but TCP.
    over += 0.0 if kind == "tcp" else lived - TICK
    assert back.handle(names.came(kind), over) is None
    assert out.handle(names.sent(kind), over) is None
    assert expired_recently(nat, names.came(kind), over)


@every_kind
@both_names
def test_a_handler_keeps_no_other_session_alive(names: Names, kind: str) -> None:
    nat, lived = nat_for(names), lifetime(kind)
    out, back = established(nat, names, kind)
    established(nat, names, kind, 5402)
    for flow, packet in ((out, names.sent(kind)), (back, names.came(kind))):
        assert flow.handle(packet, lived - TICK) is not None
    assert inbound(nat, names.came(kind, 5402), lived - TICK) is not None
    assert back.handle(names.came(kind), lived) is not None
    assert inbound(nat, names.came(kind, 5402), lived) is None
    # It is forgotten later.
    assert nat._sessions.count == 2
    nat._sessions.pool.forget(lived, 10)
    assert nat._sessions.count == 1
    assert inbound(nat, names.came(kind), lived) is not None


# By flags and ports, what a packet of an answered session, 7,440 seconds of life, does to it:
# whether it ends at once, and when else.
NOTED = {
    "ack": (OUTBOUND, 443, ACK, 7_441.0),
    "ack-inbound": (INBOUND, 443, ACK, 7_440.0),
    "fin": (OUTBOUND, 443, FIN | ACK, 7_441.0),
    "syn": (OUTBOUND, 443, SYN, 7_441.0),
    "fin-inbound": (INBOUND, 443, FIN | ACK, 7_440.0),
    "rst": (OUTBOUND, 443, RST, None),
    "rst-inbound": (INBOUND, 443, RST, 240.0),
    "another-port": (OUTBOUND, 444, ACK, 7_441.0),
    "another-port-rst": (OUTBOUND, 444, RST, 7_441.0),
    "another-port-inbound": (INBOUND, 444, ACK, 7_440.0),
    "another-port-rst-inbound": (INBOUND, 444, RST, 7_440.0),
}


STATE = (
    *("seen", "kind", "is_open", "is_steady", "resource_port"),
    *("last_outbound", "expires_at", "place"),
)


@pytest.mark.parametrize(("way", "port", "flags", "over"), NOTED.values(), ids=NOTED)
@both_names
def test_a_handler_does_to_its_session_as_a_commit_does(
    names: Names, way: Direction, port: int, flags: int, over: float | None
) -> None:
    def build(flags: int = ACK) -> bytes:
        return (names.sent if way is OUTBOUND else names.came)("tcp", port=port, flags=flags)

    def handled(nat: Nat) -> TranslatedFlow:
        # Made before the packet that is noted, at 1; the handler's first packet is another.
        flow = flow_of(nat, way, build())
        assert flow.handle(build(flags), 1.0) is not None
        return flow

    def committed(nat: Nat) -> TranslatedFlow:
        flow, _ = passed(nat, way, build(flags), 1.0)
        return flow

    states = []
    for do in (handled, committed):
        nat = nat_for(names)
        established(nat, names, "tcp")
        session = do(nat).session
        assert session.is_open == (over is not None)
        assert over in {None, session.expires_at}
        states.append([getattr(session, name) for name in STATE])
    assert states[0] == states[1]


# --- Policy --------------------------------------------------------------------------------


def revoked(nat: Nat, _names: Names) -> None:
    nat.withdraw("app", 0.0)


def renumbered(nat: Nat, names: Names) -> None:
    nat.resolve("app", Resolution("db.example.com", packed(names.proxies[1]), ()), 0.0)
    assert len(nat.proxies) == 1


def closed(nat: Nat, _names: Names) -> None:
    nat.close()


@pytest.mark.parametrize("drop", [revoked, renumbered, closed])
@every_kind
@both_names
def test_dropped_sessions_are_as_if_they_had_not_been(
    names: Names, kind: str, drop: Callable[[Nat, Names], None]
) -> None:
    nat = nat_for(names)
    out, back = established(nat, names, kind)
    drop(nat, names)
    assert inbound(nat, names.came(kind)) is None
    assert not expired_recently(nat, names.came(kind), 0.0)
    # Their handlers have noticed.
    assert out.handle(names.sent(kind), 0.0) is None
    assert back.handle(names.came(kind), 0.0) is None
    nat._sessions.pool.forget(0.0, 10)
    assert nat._sessions.pool.count == 0


@both_names
def test_revoking_a_resource_drops_the_sessions_of_its_own_proxies_alone(names: Names) -> None:
    nat = nat_for(names)
    nat.resolve("other", Resolution(NAME, packed(names.proxies[1]), packed(names.real[0])), 0.0)
    passed(nat, OUTBOUND, names.sent(number=1))
    passed(nat, OUTBOUND, names.sent(number=2, far=names.proxies[1]))
    nat.withdraw("nothing", 0.0)
    assert inbound(nat, names.came(number=1)) is not None
    nat.withdraw("app", 0.0)
    assert inbound(nat, names.came(number=1)) is None
    assert inbound(nat, names.came(number=2)) is not None


@both_names
def test_resolving_the_same_name_again_leaves_sessions_alone(names: Names) -> None:
    nat = nat_for(names)
    passed(nat, OUTBOUND, names.sent())
    nat.resolve("app", Resolution(NAME, packed(*names.proxies), ()), 0.0)
    assert inbound(nat, names.came()) is not None


# --- What an inbound packet may belong to ----------------------------------------------------


@every_kind
@both_names
def test_inbound_packets_may_match_a_session_and_for_a_while_its_end(
    names: Names, kind: str
) -> None:
    nat = nat_for(names)
    passed(nat, OUTBOUND, names.sent(kind))
    came = read(names.came(kind))
    for now, is_live, is_late in (
        (0.0, True, False),
        (60.0 - TICK, True, False),
        (60.0, False, True),
        (300.0 - TICK, False, True),
        (300.0, False, False),
    ):
        assert came.source in nat.real
        assert (inbound(nat, names.came(kind), now) is not None) == is_live
        assert expired_recently(nat, names.came(kind), now) == is_late


@both_names
def test_only_real_addresses_of_its_names_have_to_do_with_a_nat(names: Names) -> None:
    nat = nat_for(names)
    passed(nat, OUTBOUND, names.sent())
    (real, other), (proxy,) = packed(*names.real[:2]), packed(names.proxies[0])
    assert real in nat.real
    assert proxy not in nat.real
    assert (other in nat.real) == (other in nat.proxies.targets())


def test_real_addresses_are_forgotten_that_are_no_name_s_any_more_but_those_of_sessions() -> None:
    names = N4
    nat = nat_for(names)
    flow, _ = passed(nat, OUTBOUND, names.sent())
    first = flow.session.resolved
    for number in range(1_000):
        nat.resolve("app", Resolution(NAME, packed(*names.proxies), (number.to_bytes(4),)), 0.0)
        assert {first, number.to_bytes(4)} <= nat.real
        assert len(nat.real) < 150


# --- Errors --------------------------------------------------------------------------------


def read_quote(quote: bytes) -> Headers:
    headers = read_quoted_headers(quote)
    assert headers is not None
    return headers


@both_directions
@every_kind
@both_names
def test_an_error_finds_its_session_by_the_quote_and_is_translated_with_it(
    names: Names, kind: str, direction: Direction
) -> None:
    nat = nat_for(names)
    flow, _ = passed(nat, OUTBOUND, names.sent(kind))
    client, proxy, real = names.family.client, names.proxies[0], names.real[0]
    is_outbound = direction is OUTBOUND
    if is_outbound:
        quote, expected_quote = names.came(kind, far=proxy), names.came(kind, far=real)
        ends, expected_ends = f"{client} > {proxy}", f"{client} > {real}"
    else:
        quote, expected_quote = names.sent(kind, far=real), names.sent(kind, far=proxy)
        # A router on the way sent it; to the client only the proxy address exists.
        ends, expected_ends = f"{names.real[1]} > {client}", f"{proxy} > {client}"
    quoted = read_quote(quote)
    # The quoted packet went the other way than the error.
    session = nat.session_quoted(quoted, quote, 0.0, outbound=not is_outbound)
    assert session is flow.session
    assert nat.session_quoted(quoted, quote, 60.0, outbound=not is_outbound) is None
    kind_of_error = 3 if names is N4 else 1
    error = icmp_error(ends, kind_of_error, quoting=quote)
    expected = icmp_error(expected_ends, kind_of_error, quoting=expected_quote)
    translated = translate_error(session, read(error), quoted, error, outbound=is_outbound)
    assert translated == expected


@both_names
def test_a_quote_of_another_protocol_has_no_session(names: Names) -> None:
    quote = ip(f"{names.family.client} > {names.real[0]}", ESP, bytes(8))
    assert nat_for(names).session_quoted(read_quote(quote), quote, 0.0, outbound=True) is None


# --- The clock -----------------------------------------------------------------------------


def test_all_moments_move_with_the_clock() -> None:
    nat = nat_for(N4)
    passed(nat, OUTBOUND, N4.sent("tcp", flags=RST))
    nat.shift_clock(1_000.0)
    assert expired_recently(nat, N4.came("tcp"), 1_240.0 - TICK)
    assert not expired_recently(nat, N4.came("tcp"), 1_240.0)
