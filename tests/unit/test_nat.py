"""`Nat` by itself: which session a packet belongs to, and what a new one forgets."""

from ipaddress import ip_address

import pytest

from firezone_filter import Forward, Reason, Translate
from firezone_filter.gateway.flow_cache import FlowMemory, FlowTables, PreparedFlow, flow_of
from firezone_filter.nat.nat import Nat, translate_error
from firezone_filter.nat.proxies import Resolution
from firezone_filter.nat.sessions import Lifetimes, Session
from firezone_filter.packet.headers import Headers, read_headers, read_quoted_headers
from firezone_filter.structures.timers import Deadlines
from tests.builders import ESP, RST, TCP, UDP, hop_by_hop, icmp, icmp_echo, icmp_error, ip
from tests.translations import N4, N6, NAME, TICK, Names, Shape, both_names, every_kind

LIMITS = (100, 100)
OTHER_NAME = "db.example.com"


def packed(*addresses: str) -> tuple[bytes, ...]:
    return tuple(ip_address(address).packed for address in addresses)


def nat_for(
    names: Names, *, limits: tuple[int, int] = LIMITS, flows: FlowMemory | None = None
) -> Nat:
    nat = Nat(Lifetimes(Deadlines()), limits, flows or FlowMemory(FlowTables()))
    nat.resolve("app", Resolution(NAME, packed(*names.proxies[:2]), packed(*names.real[:2])))
    return nat


def read(packet: bytes) -> tuple[Headers, bytes]:
    headers = read_headers(packet)
    assert headers is not None
    return headers, packet


def read_quote(quote: bytes) -> tuple[Headers, bytes]:
    headers = read_quoted_headers(quote)
    assert headers is not None
    return headers, quote


def plain_flow(packet: bytes) -> bytes:
    flow = flow_of(*read(packet))
    assert flow is not None
    return flow


PERMITTED = Forward("alice", "app")


def goes_out(nat: Nat, headers: Headers, packet: bytes, now: float) -> bytes | Reason:
    """Return what leaves for the network, or why nothing does."""
    flow = nat.outbound(headers, packet, PERMITTED, now)
    return flow if isinstance(flow, Reason) else sent_on(flow, packet, now)


def comes_back(nat: Nat, session: Session, headers: Headers, packet: bytes, now: float) -> bytes:
    """Return what the client gets."""
    return sent_on(nat.inbound(session, headers, packet, PERMITTED), packet, now)


def sent_on(flow: PreparedFlow, packet: bytes, now: float) -> bytes:
    decision = flow.decide(packet, now)
    assert isinstance(decision, Translate)
    return decision.packet


# --- Out and back --------------------------------------------------------------------------


@every_kind
@both_names
def test_a_packet_goes_out_and_its_answer_comes_back(names: Names, kind: str) -> None:
    nat = nat_for(names)
    out = goes_out(nat, *read(names.sent(kind)), 0.0)
    assert out == names.sent(kind, far=names.real[0])
    came = read(names.came(kind))
    session = nat.session_inbound(*came, 0.0)
    assert session is not None
    back = comes_back(nat, session, *came, 0.0)
    assert back == names.came(kind, far=names.proxies[0])


@both_names
def test_what_has_neither_port_nor_echo_id_is_no_protocol_of_the_nat(names: Names) -> None:
    nat = nat_for(names)
    flow = f"{names.family.client} > {names.proxies[0]}"
    back = f"{names.real[0]} > {names.family.client}"
    kinds = (13, 0) if names is N4 else (138, 129)
    for packet in (
        ip(flow, ESP, bytes(24)),
        icmp(flow, kinds[0]),
        icmp_echo(flow, reply=True),
    ):
        assert goes_out(nat, *read(packet), 0.0) is Reason.PROTOCOL
    for packet in (ip(back, ESP, bytes(24)), icmp(back, kinds[0]), icmp_echo(back)):
        assert nat.session_inbound(*read(packet), 0.0) is None
        assert not nat.has_ended(*read(packet), 0.0)


@both_names
def test_a_proxy_without_a_real_address_has_no_translation(names: Names) -> None:
    nat = nat_for(names)
    unknown = goes_out(nat, *read(names.sent(far=names.proxies[2])), 0.0)
    nat.resolve("app", Resolution(NAME, packed(names.proxies[0]), ()))
    empty = goes_out(nat, *read(names.sent()), 0.0)
    assert (unknown, empty) == (Reason.NO_TRANSLATION, Reason.NO_TRANSLATION)


@pytest.mark.parametrize("limits", [(0, 100), (100, 0)])
@both_names
def test_without_room_there_is_no_session(names: Names, limits: tuple[int, int]) -> None:
    nat = nat_for(names, limits=limits)
    assert goes_out(nat, *read(names.sent()), 0.0) is Reason.NAT_EXHAUSTED
    assert nat.session_inbound(*read(names.came()), 0.0) is None


@both_names
def test_flags_count_in_tcp_alone(names: Names) -> None:
    nat = nat_for(names)
    reset_like = b"\x04" * 20
    goes_out(nat, *read(names.sent("udp", payload=reset_like)), 0.0)
    goes_out(nat, *read(names.sent("echo", payload=reset_like)), 0.0)
    goes_out(nat, *read(names.sent("tcp", flags=RST)), 0.0)
    assert nat.session_inbound(*read(names.came("udp")), 0.0) is not None
    assert nat.session_inbound(*read(names.came("echo")), 0.0) is not None
    assert nat.session_inbound(*read(names.came("tcp")), 0.0) is None
    assert nat.has_ended(*read(names.came("tcp")), 0.0)


# --- Policy --------------------------------------------------------------------------------


@both_names
def test_withdrawing_a_resource_ends_the_sessions_of_its_proxies(names: Names) -> None:
    nat = nat_for(names)
    nat.resolve("other", Resolution(NAME, packed(names.proxies[1]), packed(*names.real[:1])))
    goes_out(nat, *read(names.sent(number=1)), 0.0)
    goes_out(nat, *read(names.sent(number=2, far=names.proxies[1])), 0.0)
    nat.withdraw("app")
    assert nat.session_inbound(*read(names.came(number=1)), 0.0) is None
    assert nat.session_inbound(*read(names.came(number=2)), 0.0) is not None
    nat.withdraw("nothing")
    assert nat.session_inbound(*read(names.came(number=2)), 0.0) is not None


@both_names
def test_renumbering_lets_all_translations_and_sessions_go(names: Names) -> None:
    nat = nat_for(names)
    goes_out(nat, *read(names.sent()), 0.0)
    nat.resolve("app", Resolution(OTHER_NAME, packed(names.proxies[1]), packed(names.real[2])))
    assert len(nat.proxies) == 1
    assert nat.session_inbound(*read(names.came()), 0.0) is None
    assert not nat.has_ended(*read(names.came()), 0.0)


@both_names
def test_resolving_the_same_name_again_leaves_sessions_alone(names: Names) -> None:
    nat = nat_for(names)
    goes_out(nat, *read(names.sent()), 0.0)
    nat.resolve("app", Resolution(NAME, packed(*names.proxies), ()))
    assert nat.session_inbound(*read(names.came()), 0.0) is not None


@both_names
def test_close_lets_all_sessions_go(names: Names) -> None:
    lifetimes = Lifetimes(Deadlines())
    nat = Nat(lifetimes, LIMITS, FlowMemory(FlowTables()))
    nat.resolve("app", Resolution(NAME, packed(names.proxies[0]), packed(names.real[0])))
    goes_out(nat, *read(names.sent()), 0.0)
    assert len(lifetimes) == 1
    nat.close()
    assert len(lifetimes) == 0


# --- What may belong to a session ----------------------------------------------------------


@every_kind
@both_names
def test_a_nat_knows_what_may_come_back_and_what_might_have_lately(
    names: Names, kind: str
) -> None:
    nat = nat_for(names)
    goes_out(nat, *read(names.sent(kind)), 0.0)
    headers, _ = read(names.came(kind))
    key = (headers.protocol, 5401, headers.source)
    for now in (0.0, 60.0 - TICK):
        assert nat.knows(key)
        assert nat.session_inbound(*read(names.came(kind)), now) is not None
    for now in (60.0, 300.0 - TICK):
        assert nat.knows(key)
        assert nat.has_ended(*read(names.came(kind)), now)


@both_names
def test_a_nat_knows_nothing_of_other_ports_addresses_and_protocols(names: Names) -> None:
    nat = nat_for(names)
    goes_out(nat, *read(names.sent()), 0.0)
    (real, other), (proxy,) = packed(*names.real[:2]), packed(names.proxies[0])
    assert nat.knows((UDP, 5401, real))
    for key in ((UDP, 443, real), (TCP, 5401, real), (UDP, 5401, other), (UDP, 5401, proxy)):
        assert not nat.knows(key)


# --- What a new session forgets ------------------------------------------------------------


@both_names
def test_a_new_session_forgets_inbound_flows_and_an_old_one_nothing(names: Names) -> None:
    tables = FlowTables()
    flows = FlowMemory(tables)
    nat = nat_for(names, flows=flows)
    direct = Forward("alice", "db")
    goes_out(nat, *read(names.sent(number=1)), 0.0)
    flows.outbound[UDP].remember(plain_flow(names.sent()), direct)
    flows.inbound[UDP].remember(plain_flow(names.came()), direct)
    goes_out(nat, *read(names.sent(number=1)), 0.0)
    goes_out(nat, *read(names.sent(far=names.proxies[2])), 0.0)
    assert (len(tables.outbound[UDP]), len(tables.inbound[UDP])) == (1, 1)
    goes_out(nat, *read(names.sent(number=2)), 0.0)
    assert (len(tables.outbound[UDP]), len(tables.inbound[UDP])) == (1, 0)


# --- Prepared flows ------------------------------------------------------------------------


def prepared(
    nat: Nat, names: Names, kind: str, number: int = 5401
) -> tuple[PreparedFlow, PreparedFlow]:
    """Return the flows of a session, out and back, after a packet of each."""
    sent, came = names.sent(kind, number), names.came(kind, number)
    out = nat.outbound(*read(sent), PERMITTED, 0.0)
    assert not isinstance(out, Reason)
    sent_on(out, sent, 0.0)
    session = nat.session_inbound(*read(came), 0.0)
    assert session is not None
    back = nat.inbound(session, *read(came), PERMITTED)
    sent_on(back, came, 0.0)
    return out, back


@every_kind
@both_names
def test_a_prepared_flow_is_of_the_client_and_the_resource_that_were_permitted(
    names: Names, kind: str
) -> None:
    nat = nat_for(names)
    for flow, packet, expected in zip(
        prepared(nat, names, kind),
        (names.sent(kind), names.came(kind)),
        (names.sent(kind, far=names.real[0]), names.came(kind, far=names.proxies[0])),
        strict=True,
    ):
        assert flow.client_id == "alice"
        assert flow.decide(packet, 1.0) == Translate(expected, "alice", "app")


@every_kind
@both_names
def test_prepared_flows_are_remembered_one_each_way(names: Names, kind: str) -> None:
    tables = FlowTables()
    out, back = prepared(nat_for(names, flows=FlowMemory(tables)), names, kind)
    protocol = read(names.sent(kind))[0].protocol
    assert tables.prepared_outbound[protocol] == {plain_flow(names.sent(kind)): out}
    assert tables.prepared_inbound[protocol] == {plain_flow(names.came(kind)): back}


@every_kind
@both_names
def test_a_prepared_flow_decides_nothing_when_its_session_is_over(names: Names, kind: str) -> None:
    lifetime = 7_440.0 if kind == "tcp" else 120.0
    nat = nat_for(names)
    out, back = prepared(nat, names, kind)
    assert out.decide(names.sent(kind), lifetime - TICK) is not None
    assert back.decide(names.came(kind), 2 * lifetime - 2 * TICK) is not None
    assert back.decide(names.came(kind), 3 * lifetime - 2 * TICK) is None
    assert out.decide(names.sent(kind), 3 * lifetime - 2 * TICK) is None
    assert nat.has_ended(*read(names.came(kind)), 3 * lifetime - 2 * TICK)


@every_kind
@both_names
def test_a_prepared_flow_notices_the_end_of_other_sessions(names: Names, kind: str) -> None:
    nat = nat_for(names)
    out, back = prepared(nat, names, kind)
    goes_out(nat, *read(names.sent(number=9)), 0.0)
    for flow, packet in ((out, names.sent(kind)), (back, names.came(kind))):
        flow.decide(packet, 60.0 - TICK)
    assert len(nat._sessions) == 2
    back.decide(names.came(kind), 60.0)
    assert len(nat._sessions) == 1


@every_kind
@both_names
def test_a_session_that_is_prolonged_by_a_prepared_flow_keeps_no_other_alive(
    names: Names, kind: str
) -> None:
    lifetime = 7_440.0 if kind == "tcp" else 120.0
    nat = nat_for(names)
    out, back = prepared(nat, names, kind)
    prepared(nat, names, kind, 5402)
    for flow, packet in ((out, names.sent(kind)), (back, names.came(kind))):
        assert flow.decide(packet, 50.0) is not None
    ended = read(names.came(kind, 5402))
    assert nat.session_inbound(*ended, lifetime - TICK) is not None
    assert nat.session_inbound(*ended, lifetime) is None
    assert nat.session_inbound(*read(names.came(kind)), lifetime) is not None


@every_kind
@both_names
def test_a_flow_of_a_session_that_was_let_go_decides_nothing(names: Names, kind: str) -> None:
    nat = nat_for(names)
    flows = prepared(nat, names, kind)
    nat.withdraw("app")
    packets = (names.sent(kind), names.came(kind))
    assert [flow.decide(packet, 0.0) for flow, packet in zip(flows, packets, strict=True)] == [
        None,
        None,
    ]


@both_names
def test_behind_options_and_extension_headers_a_flow_is_prepared_for_one_packet(
    names: Names,
) -> None:
    tables = FlowTables()
    nat = nat_for(names, flows=FlowMemory(tables))
    shape: Shape = {"options": b"\x01" * 20} if names is N4 else {"extensions": (hop_by_hop(),)}
    for kind in ("tcp", "udp", "echo"):
        sent, came = names.sent(kind, **shape), names.came(kind, **shape)
        assert goes_out(nat, *read(sent), 0.0) == names.sent(kind, far=names.real[0], **shape)
        session = nat.session_inbound(*read(came), 0.0)
        assert session is not None
        back = comes_back(nat, session, *read(came), 0.0)
        assert back == names.came(kind, far=names.proxies[0], **shape)
    assert len(tables) == 0


# --- Errors --------------------------------------------------------------------------------


@every_kind
@both_names
def test_a_quote_of_either_direction_finds_its_session(names: Names, kind: str) -> None:
    nat = nat_for(names)
    goes_out(nat, *read(names.sent(kind)), 0.0)
    gone_on = read_quote(names.sent(kind, far=names.real[0]))
    delivered = read_quote(names.came(kind, far=names.proxies[0]))
    session = nat.session_quoted(*gone_on, 0.0, outbound=True)
    assert session is not None
    assert nat.session_quoted(*delivered, 0.0, outbound=False) is session
    assert nat.session_quoted(*gone_on, 60.0, outbound=True) is None


@both_names
def test_a_quote_of_another_protocol_has_no_session(names: Names) -> None:
    nat = nat_for(names)
    quote = ip(f"{names.family.client} > {names.real[0]}", ESP, bytes(8))
    assert nat.session_quoted(*read_quote(quote), 0.0, outbound=True) is None


@pytest.mark.parametrize("names", [N4, N6], ids=str)
@every_kind
def test_an_error_is_translated_with_its_quote(names: Names, kind: str) -> None:
    nat = nat_for(names)
    goes_out(nat, *read(names.sent(kind)), 0.0)
    quote = names.sent(kind, far=names.real[0])
    session = nat.session_quoted(*read_quote(quote), 0.0, outbound=True)
    assert session is not None
    unreachable = 3 if names is N4 else 1
    error = icmp_error(f"{names.real[0]} > {names.family.client}", unreachable, quoting=quote)
    headers, _ = read(error)
    quoted, _ = read_quote(quote)
    assert translate_error(session, headers, quoted, error, outbound=False) == icmp_error(
        f"{names.proxies[0]} > {names.family.client}", unreachable, quoting=names.sent(kind)
    )


# --- Memory --------------------------------------------------------------------------------


def test_old_ends_are_forgotten_and_the_clock_starts() -> None:
    nat = nat_for(N4)
    goes_out(nat, *read(N4.sent("tcp", flags=RST)), 0.0)
    nat.start_clock(1_000.0)
    nat._sessions.forget_old(1_239.0)
    assert nat.has_ended(*read(N4.came("tcp")), 1_239.0)
    nat._sessions.forget_old(1_240.0)
    assert not nat._sessions._remembered
