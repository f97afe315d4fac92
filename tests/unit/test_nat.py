"""`Nat` by itself: which session a packet belongs to, and what a new one forgets."""

from ipaddress import ip_address

import pytest

from firezone_filter import Forward, Reason
from firezone_filter.clock import Deadlines
from firezone_filter.flowcache import FlowMemory, FlowTables
from firezone_filter.nat import Nat, NatFlow, translate_error
from firezone_filter.packet.headers import Headers, read_headers, read_quoted_headers
from firezone_filter.proxies import Resolution
from firezone_filter.sessions import Lifetimes, Session
from tests.builders import ESP, RST, UDP, icmp, icmp_echo, icmp_error, ip
from tests.translations import N4, N6, NAME, Names, both_names, every_kind

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


PERMITTED = Forward("alice", "app")


def goes_out(nat: Nat, headers: Headers, packet: bytes, now: float) -> bytes | Reason:
    """Return what leaves for the network, or why nothing does."""
    flow = nat.outbound(headers, packet, PERMITTED, now)
    return flow if isinstance(flow, Reason) else sent(flow, packet, now)


def comes_back(nat: Nat, session: Session, headers: Headers, packet: bytes, now: float) -> bytes:
    """Return what the client gets."""
    return sent(nat.inbound(session, headers, packet, PERMITTED), packet, now)


def sent(flow: NatFlow, packet: bytes, now: float) -> bytes:
    decision = flow.translate(packet, now)
    assert decision is not None
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


# --- What a new session forgets ------------------------------------------------------------


@both_names
def test_a_new_session_forgets_inbound_flows_and_an_old_one_nothing(names: Names) -> None:
    tables = FlowTables()
    flows = FlowMemory(tables)
    nat = nat_for(names, flows=flows)
    direct = Forward("alice", "db")
    goes_out(nat, *read(names.sent(number=1)), 0.0)
    flows.remember_outbound(*read(names.sent()), direct)
    flows.remember_inbound(*read(names.came()), direct)
    goes_out(nat, *read(names.sent(number=1)), 0.0)
    goes_out(nat, *read(names.sent(far=names.proxies[2])), 0.0)
    assert (len(tables.outbound[UDP]), len(tables.inbound[UDP])) == (1, 1)
    goes_out(nat, *read(names.sent(number=2)), 0.0)
    assert (len(tables.outbound[UDP]), len(tables.inbound[UDP])) == (1, 0)


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
