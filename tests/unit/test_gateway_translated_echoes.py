"""Echoes through the NAT are prepared once like other flows: by addresses, type and id."""

from struct import pack
from typing import Final

import pytest

from firezone_filter import (
    Decision,
    Direction,
    Drop,
    Forward,
    Gateway,
    GatewayOptions,
    Icmp,
    Reason,
    Translate,
)
from firezone_filter.gateway.client import Client
from firezone_filter.gateway.flow_cache import MAX_FLOWS
from tests.builders import ICMPV4, ICMPV6, fragment, icmp, icmp_echo, patched
from tests.scenes import INBOUND, OUTBOUND, V4, both_directions, refusal
from tests.translations import (
    EXPIRED,
    GONE,
    N4,
    TICK,
    Names,
    both_names,
    gateway_with,
    resolve,
    through,
)


def prepared(gateway: Gateway) -> tuple[int, int]:
    """Count the flows of echo that have been prepared, outbound and inbound."""
    flows = gateway._site.flows
    return (
        sum(len(flows.prepared_outbound[protocol]) for protocol in (ICMPV4, ICMPV6)),
        sum(len(flows.prepared_inbound[protocol]) for protocol in (ICMPV4, ICMPV6)),
    )


def pinging(names: Names, *, options: GatewayOptions | None = None) -> Gateway:
    """Let an echo out and its reply back."""
    gateway = gateway_with(names, Icmp(), options=options)
    for direction in (OUTBOUND, INBOUND):
        assert gateway.handle_packet(direction, echo(names, direction)).allowed
    assert prepared(gateway) == (1, 1)
    return gateway


def judge_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let whatever is judged from here on fail."""
    for name in ("judge_outbound", "judge_inbound"):
        monkeypatch.setattr(Client, name, None)


def echo(  # noqa: PLR0913 - as many fields as it has
    names: Names,
    direction: Direction,
    identifier: int = 5401,
    *,
    sequence: int = 1,
    payload: bytes = b"",
    code: int = 0,
    far: str | None = None,
    delivered: bool = False,
) -> bytes:
    """Build a request out or a reply back: as it arrives, or as it is delivered."""
    replying = direction is INBOUND
    outside = names.real[0] if replying is not delivered else names.proxies[0]
    ends = (names.family.client, far or outside)
    flow = " > ".join(ends[::-1] if replying else ends)
    kind = (8, 0) if names is N4 else (128, 129)
    rest = pack("!HH", identifier, sequence)
    return icmp(flow, kind[replying], code, rest=rest, body=payload)


def gone_on(decision: Decision) -> bytes:
    assert isinstance(decision, Translate)
    return decision.packet


# --- How they are rewritten ----------------------------------------------------------------


@pytest.mark.parametrize("code", [0, 1, 255])
@pytest.mark.parametrize("payload", [b"", b"o", b"odd", b"even", bytes(range(256)) * 5])
@both_directions
@both_names
def test_an_established_echo_is_rewritten_from_scratch_and_not_judged_again(
    names: Names,
    direction: Direction,
    payload: bytes,
    code: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gateway = pinging(names)
    judge_no_more(monkeypatch)
    for sequence in (1, 2, 0xFFFF):
        packet = echo(names, direction, sequence=sequence, payload=payload, code=code)
        expected = through(
            echo(names, direction, sequence=sequence, payload=payload, code=code, delivered=True)
        )
        for same in (packet, bytearray(packet), memoryview(packet)):
            assert gateway.handle_packet(direction, same) == expected
            assert gateway.handle_packet(direction, same, client_id="alice") == expected
            assert gateway.handle_packets(direction, [same], client_id="alice") == [expected]
    assert prepared(gateway) == (1, 1)


@pytest.mark.parametrize(
    ("identifier", "given"), [(1, 2), (5400, 5401), (0xFFFE, 0xFFFF), (0xFFFF, 1)]
)
@both_names
def test_an_id_that_is_taken_is_translated_both_ways_every_time(
    names: Names, identifier: int, given: int
) -> None:
    gateway = gateway_with(names)
    resolve(gateway, names, proxies=names.proxies[1:2])
    second = names.proxies[1]
    assert gateway.handle_packet(OUTBOUND, echo(names, OUTBOUND, identifier)).allowed
    for payload in (b"", b"odd", b"even"):
        out = echo(names, OUTBOUND, identifier, far=second, payload=payload)
        sent = echo(names, OUTBOUND, given, payload=payload, delivered=True)
        assert gateway.handle_packet(OUTBOUND, out) == through(sent)
        back = echo(names, INBOUND, given, payload=payload)
        delivered = echo(names, INBOUND, identifier, far=second, payload=payload)
        assert gateway.handle_packet(INBOUND, back) == through(delivered)
    assert prepared(gateway) == (2, 1)


@pytest.mark.parametrize("wrong_by", [1, 0x0100, 0x8000])
@both_directions
@both_names
def test_a_wrong_checksum_of_an_established_echo_stays_as_wrong_as_it_was(
    names: Names, direction: Direction, wrong_by: int
) -> None:
    gateway = pinging(names)
    packet, expected = echo(names, direction), echo(names, direction, delivered=True)
    place = (20 if names is N4 else 40) + 2
    before = int.from_bytes(packet[place : place + 2])
    right = int.from_bytes(expected[place : place + 2])
    damaged = patched(packet, place, pack("!H", before ^ wrong_by))
    sent = gone_on(gateway.handle_packet(direction, damaged))
    after = int.from_bytes(sent[place : place + 2])
    assert (after - right) % 0xFFFF == ((before ^ wrong_by) - before) % 0xFFFF
    assert patched(sent, place, expected[place : place + 2]) == expected


# --- What is no part of an established echo ------------------------------------------------


def with_checksum(packet: bytes, wanted: int) -> bytes:
    """Give an echo a payload with which *wanted* is its checksum."""
    place = (20 if packet[0] >> 4 == 4 else 40) + 2
    checksum = int.from_bytes(packet[place : place + 2])
    return patched(
        patched(packet, len(packet) - 2, pack("!H", (checksum - wanted) % 0xFFFF)),
        place,
        pack("!H", wanted),
    )


@both_directions
@both_names
def test_a_checksum_that_equals_the_id_of_another_echo_says_nothing(
    names: Names, direction: Direction
) -> None:
    gateway = pinging(names)
    assert gateway.handle_packet(OUTBOUND, echo(names, OUTBOUND, 7)).allowed
    packet = with_checksum(echo(names, direction, 7, payload=bytes(2)), 5401)
    # The payload as it now is, built from scratch.
    payload = packet[-2:]
    assert packet == echo(names, direction, 7, payload=payload)
    for _ in range(2):
        decision = gateway.handle_packet(direction, packet)
        assert decision == through(echo(names, direction, 7, payload=payload, delivered=True))


@both_names
def test_echoes_of_other_ids_have_sessions_of_their_own(names: Names) -> None:
    gateway = pinging(names)
    for identifier in (5400, 5402, 0x1915):
        assert gateway.handle_packet(INBOUND, echo(names, INBOUND, identifier)) == GONE
        assert gateway.handle_packet(OUTBOUND, echo(names, OUTBOUND, identifier)).allowed
    assert gateway.counters().nat_sessions == 4


@both_names
def test_a_reply_out_and_a_request_in_are_of_no_session_also_beside_one(names: Names) -> None:
    gateway = pinging(names)
    client, proxy, real = names.family.client, names.proxies[0], names.real[0]
    for _ in range(2):
        reply_out = icmp_echo(f"{client} > {proxy}", reply=True, identifier=5401)
        request_in = icmp_echo(f"{real} > {client}", identifier=5401)
        assert refusal(gateway.handle_packet(OUTBOUND, reply_out)) == Reason.PROTOCOL
        assert gateway.handle_packet(INBOUND, request_in) == GONE
    assert prepared(gateway) == (1, 1)


@both_directions
@both_names
def test_other_messages_with_the_same_bytes_behind_the_type_are_no_echo(
    names: Names, direction: Direction
) -> None:
    gateway = pinging(names)
    packet = echo(names, direction)
    place = 20 if names is N4 else 40
    for kind in (13, 17) if names is N4 else (138, 140):
        other = patched(packet, place, bytes([kind]))
        expected = Reason.PROTOCOL if direction is OUTBOUND else Reason.NO_RESOURCE
        assert refusal(gateway.handle_packet(direction, other)) == expected


@both_directions
@both_names
def test_the_icmp_of_the_other_family_is_malformed_also_beside_an_established_echo(
    names: Names, direction: Direction
) -> None:
    gateway = pinging(names)
    foreign = patched(
        echo(names, direction), 9 if names is N4 else 6, bytes([58 if names is N4 else 1])
    )
    malformed = Drop(Reason.MALFORMED, None)
    assert gateway.handle_packet(direction, foreign) == malformed
    assert gateway.handle_packets(direction, [foreign]) == [malformed]


@both_directions
@both_names
def test_fragments_of_an_established_echo_are_judged(names: Names, direction: Direction) -> None:
    gateway = pinging(names)
    packet = echo(names, direction, payload=bytes(40))
    expected = echo(names, direction, payload=bytes(40), delivered=True)
    later = gateway.handle_packet(direction, fragment(packet, 16))
    assert later == Drop(Reason.FRAGMENT, "alice")
    first = gateway.handle_packet(direction, fragment(packet, 0, 16))
    assert first == through(fragment(expected, 0, 16))
    assert prepared(gateway) == (1, 1)


# --- How long their sessions live ----------------------------------------------------------

Ping = tuple[Direction, float]


@pytest.mark.parametrize(
    ("pings", "ends"),
    [
        ([(OUTBOUND, 1.0)], 61.0),
        ([(OUTBOUND, 1.0), (OUTBOUND, 30.0)], 90.0),
        ([(OUTBOUND, 1.0), (OUTBOUND, 60.0), (OUTBOUND, 119.0)], 179.0),
        ([(OUTBOUND, 1.0), (INBOUND, 30.0)], 150.0),
        ([(OUTBOUND, 1.0), (INBOUND, 30.0), (INBOUND, 40.0)], 160.0),
        ([(OUTBOUND, 1.0), (INBOUND, 30.0), (OUTBOUND, 140.0)], 260.0),
        ([(OUTBOUND, 1.0), (INBOUND, 30.0), (OUTBOUND, 140.0), (INBOUND, 259.0)], 379.0),
    ],
)
@both_names
def test_a_session_of_echo_lives_as_long_as_the_table_says(
    names: Names, pings: list[Ping], ends: float
) -> None:
    for now, expected in (
        (ends - TICK, through(echo(names, INBOUND, delivered=True))),
        (ends, EXPIRED),
    ):
        gateway = gateway_with(names)
        for direction, at in pings:
            assert gateway.handle_packet(direction, echo(names, direction), at).allowed
        assert gateway.handle_packet(INBOUND, echo(names, INBOUND), now) == expected


@both_names
def test_an_echo_begins_another_session_when_its_own_is_over(names: Names) -> None:
    gateway = pinging(names)
    resolve(gateway, names, real=names.real[1:2])
    assert gone_on(gateway.handle_packet(OUTBOUND, echo(names, OUTBOUND))) == echo(
        names, OUTBOUND, delivered=True
    )
    again = gone_on(gateway.handle_packet(OUTBOUND, echo(names, OUTBOUND), 120.0))
    assert again == echo(names, OUTBOUND, far=names.real[1])
    back = gateway.handle_packet(INBOUND, echo(names, INBOUND, far=names.real[1]))
    assert back == through(echo(names, INBOUND, delivered=True))
    assert gateway.handle_packet(INBOUND, echo(names, INBOUND)) == EXPIRED


# --- How many ------------------------------------------------------------------------------


def test_as_many_echoes_are_prepared_as_may_be_and_all_are_judged_alike() -> None:
    gateway = gateway_with(N4)
    for _ in range(2):
        for identifier in range(1, MAX_FLOWS + 4):
            for direction in (OUTBOUND, INBOUND):
                decision = gateway.handle_packet(direction, echo(N4, direction, identifier))
                assert decision == through(echo(N4, direction, identifier, delivered=True))
    assert prepared(gateway) == (MAX_FLOWS, MAX_FLOWS)


# --- Echoes that are not translated --------------------------------------------------------


@both_directions
def test_an_echo_around_the_nat_is_not_remembered(direction: Direction) -> None:
    gateway = gateway_with(N4)
    gateway.authorize("alice", V4.db())
    for _ in range(2):
        assert gateway.handle_packet(direction, V4.echo(direction)) == Forward("alice", "db")
    assert prepared(gateway) == (0, 0)


# --- Flows that are recorded ---------------------------------------------------------------

RECORDED: Final = GatewayOptions(flow_records=True)


@both_names
def test_established_echoes_are_counted_where_flows_are_recorded(
    names: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway = pinging(names, options=RECORDED)
    judge_no_more(monkeypatch)
    for direction in (OUTBOUND, INBOUND, OUTBOUND):
        packet = echo(names, direction, payload=b"odd")
        decision = gateway.handle_packet(direction, packet)
        assert decision == through(echo(names, direction, payload=b"odd", delivered=True))
    counters = gateway.counters()
    assert (counters.tx_packets, counters.tx_bytes) == (3, 6)
    assert (counters.rx_packets, counters.rx_bytes) == (2, 3)
    assert counters.recorded_flows == 1
