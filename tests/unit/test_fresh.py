"""Services: what is known of one flow of a client to a port, and holds for all of its others.

How such a memory may look, and what it may hold, is tested elsewhere (test_flowcache.py);
here it is asked and emptied through the gateway.
"""

from collections.abc import Callable, Iterable
from typing import Final

import pytest
from attrs import evolve

from firezone_filter import (
    CidrResource,
    Decision,
    Direction,
    Drop,
    Forward,
    Gateway,
    GatewayOptions,
    Icmp,
    InternetResource,
    Reason,
    Reject,
    Tcp,
    TunnelAddresses,
    Udp,
)
from firezone_filter.client import Client
from firezone_filter.flowcache import MAX_SERVICES
from tests.builders import destination_options, fragment, icmp, ip_fragment, tcp, udp
from tests.scenes import (
    ALICE,
    BOB,
    INBOUND,
    OUTBOUND,
    V4,
    V6,
    Family,
    at,
    both_directions,
    both_families,
    gateway_for_alice,
    refusal,
)
from tests.translations import (
    EXHAUSTED,
    N4,
    TICK,
    Names,
    app,
    both_names,
    gateway_with,
    resolve,
    through,
)

PASSED: Final = Forward("alice", "db")
QUIET: Final = GatewayOptions(reject=False)
RECORDED: Final = GatewayOptions(flow_records=True)

TCP_REFUSED: Final = Drop(Reason.TCP_PORT, "alice")
UDP_REFUSED: Final = Drop(Reason.UDP_PORT, "alice")

tcp_and_udp = pytest.mark.parametrize("kind", ["tcp", "udp"])


def packet(  # noqa: PLR0913 - as many fields as it has
    family: Family,
    direction: Direction,
    kind: str,
    number: int = 5401,
    *,
    port: int = 443,
    near: str | None = None,
    far: str | None = None,
    payload: bytes = b"",
) -> bytes:
    """Build a packet between a port of the client's and one of the resource's."""
    ends = (at(near or family.client, number), at(far or family.host, port))
    flow = " > ".join(ends if direction is OUTBOUND else ends[::-1])
    return tcp(flow, payload) if kind == "tcp" else udp(flow, payload)


def services(gateway: Gateway) -> tuple[int, int]:
    """Count what is remembered of services, first permitted ones, then refused ones."""
    flows = gateway._site.flows
    known = [
        decision
        for table in (*flows.services_outbound, *flows.services_inbound)
        for decision in table.values()
    ]
    permitted = sum(isinstance(decision, Forward) for decision in known)
    return permitted, len(known) - permitted


def remembered(gateway: Gateway) -> tuple[int, int]:
    """Count the flows that are remembered, outbound and inbound."""
    flows = gateway._site.flows
    return sum(map(len, flows.outbound)), sum(map(len, flows.inbound))


def judge_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let whatever is judged from here on fail: decisions come from memory, or not at all."""
    for name in ("judge_outbound", "judge_inbound"):
        monkeypatch.setattr(Client, name, None)


def test_a_packet_that_has_to_be_judged_is_told_from_one_that_has_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gateway = gateway_for_alice(V4.db())
    judge_no_more(monkeypatch)
    for direction in (OUTBOUND, INBOUND):
        with pytest.raises(TypeError, match="not callable"):
            gateway.handle_packet(direction, packet(V4, direction, "tcp"))


# --- What is permitted ---------------------------------------------------------------------


@tcp_and_udp
@both_directions
@both_families
def test_another_flow_to_a_permitted_service_is_not_judged_again(
    family: Family, direction: Direction, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway = gateway_for_alice(family.db(Tcp(443), Udp(443)))
    first = gateway.handle_packet(direction, packet(family, direction, kind))
    assert first == PASSED
    judge_no_more(monkeypatch)
    for number, client_id in ((5402, None), (0, "alice"), (65_535, None), (443, "alice")):
        other = packet(family, direction, kind, number)
        assert gateway.handle_packet(direction, other, client_id=client_id) is first
    batch = [packet(family, direction, kind, number) for number in (1, 2, 1)]
    for client_id in (None, "alice"):
        decisions = gateway.handle_packets(direction, batch, client_id=client_id)
        assert [decision is first for decision in decisions] == [True] * 3


@tcp_and_udp
@both_directions
@both_families
def test_a_flow_that_is_decided_by_its_service_is_remembered_itself(
    family: Family, direction: Direction, kind: str
) -> None:
    gateway = gateway_for_alice(family.db())
    for number in (1, 2, 3, 2):
        assert gateway.handle_packet(direction, packet(family, direction, kind, number)).allowed
    assert remembered(gateway) == ((3, 0) if direction is OUTBOUND else (0, 3))
    assert services(gateway) == (1, 0)
    flows = gateway._site.flows
    tables = flows.outbound if direction is OUTBOUND else flows.inbound
    last = packet(family, direction, kind, 3)
    ends = last[12:24] if family is V4 else last[8:44]
    assert tables[6 if kind == "tcp" else 17][ends] == PASSED


@tcp_and_udp
@both_directions
@both_families
def test_services_of_the_gateway_itself_are_remembered(
    family: Family, direction: Direction, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = GatewayOptions(own_filters=[Tcp(443), Udp(443)], reject=False)
    gateway = gateway_for_alice(options=options)

    def decide(number: int) -> list[Decision]:
        packets = (
            packet(family, direction, kind, number, port=port, far=family.gateway)
            for port in (443, 444)
        )
        return gateway.handle_packets(direction, packets)

    first = decide(1)
    assert first == [Forward("alice", None), TCP_REFUSED if kind == "tcp" else UDP_REFUSED]
    judge_no_more(monkeypatch)
    assert list(map(id, decide(2))) == list(map(id, first))


# --- What is another service ---------------------------------------------------------------


@both_directions
@both_families
def test_addresses_port_and_protocol_are_all_part_of_a_permitted_service(
    family: Family, direction: Direction
) -> None:
    gateway = gateway_for_alice(family.db(Tcp(443)), options=QUIET)
    assert gateway.handle_packet(direction, packet(family, direction, "tcp")) == PASSED
    for other, reason in (
        (packet(family, direction, "tcp", 5402, port=442), Reason.TCP_PORT),
        (packet(family, direction, "tcp", 5402, port=444), Reason.TCP_PORT),
        # The ports at the wrong ends.
        (packet(family, direction, "tcp", 443, port=5401), Reason.TCP_PORT),
        (packet(family, direction, "udp", 5402), Reason.UDP_PORT),
        (packet(family, direction, "tcp", 5402, far=family.stranger), Reason.NO_RESOURCE),
        (packet(family, direction, "tcp", 5402, far=family.spare), Reason.PEER_ADDRESS),
        (packet(family, direction, "tcp", 5402, near=family.neighbour), Reason.NO_RESOURCE),
    ):
        assert refusal(gateway.handle_packet(direction, other)) == reason


@both_directions
@both_families
def test_addresses_port_and_protocol_are_all_part_of_a_refused_service(
    family: Family, direction: Direction
) -> None:
    gateway = gateway_for_alice(family.db(Tcp(443), Udp(444)), options=QUIET)
    gateway.authorize("bob", family.db())
    refused = packet(family, direction, "tcp", port=444)
    assert gateway.handle_packet(direction, refused) == TCP_REFUSED
    for other, expected in (
        (packet(family, direction, "tcp", 5402), PASSED),
        (packet(family, direction, "tcp", 444), PASSED),
        (packet(family, direction, "udp", 5402, port=444), PASSED),
        (
            packet(family, direction, "tcp", 5402, port=444, near=family.neighbour),
            Forward("bob", "db"),
        ),
    ):
        assert gateway.handle_packet(direction, other) == expected


@both_families
def test_a_service_is_known_for_its_direction_alone(family: Family) -> None:
    gateway = gateway_for_alice(family.db(Tcp(443)), options=QUIET)
    assert gateway.handle_packet(OUTBOUND, packet(family, OUTBOUND, "tcp")) == PASSED
    # As inbound packets they have other ends.
    for number in (5401, 5402):
        mirrored = gateway.handle_packet(INBOUND, packet(family, OUTBOUND, "tcp", number))
        assert mirrored == Drop(Reason.NOT_A_PEER, None)
    assert services(gateway) == (1, 0)


# --- What is refused -----------------------------------------------------------------------


def refusing(family: Family, options: GatewayOptions) -> Gateway:
    """Let Alice reach a network on one port, and the Internet."""
    return gateway_for_alice(family.db(Tcp(443)), InternetResource("net"), options=options)


def refused_packets(family: Family, direction: Direction, number: int) -> list[bytes]:
    """Build what is refused for as many reasons as there are, from a port of the client's."""
    private = "192.168.0.1" if family is V4 else family.stranger
    return [
        packet(family, direction, "tcp", number, port=444),
        packet(family, direction, "udp", number),
        packet(family, direction, "tcp", number, far=private),
        packet(family, direction, "udp", number, far=family.spare),
    ]


REFUSALS: Final = [
    Drop(reason, "alice")
    for reason in (Reason.TCP_PORT, Reason.UDP_PORT, Reason.NOT_INTERNET, Reason.PEER_ADDRESS)
]


@both_families
def test_inbound_another_flow_to_a_refused_service_gets_the_shared_drop(
    family: Family, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway = refusing(family, GatewayOptions())
    first = gateway.handle_packets(INBOUND, refused_packets(family, INBOUND, 1))
    assert first == REFUSALS
    judge_no_more(monkeypatch)
    for number, client_id in ((2, None), (2, "alice"), (3, "alice")):
        others = refused_packets(family, INBOUND, number)
        decisions = gateway.handle_packets(INBOUND, others, client_id=client_id)
        assert list(map(id, decisions)) == list(map(id, first))
    assert remembered(gateway) == (0, 0)


@both_families
def test_outbound_without_replies_another_flow_gets_the_shared_drop(
    family: Family, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway = refusing(family, QUIET)
    first = gateway.handle_packets(OUTBOUND, refused_packets(family, OUTBOUND, 1))
    assert first == REFUSALS
    judge_no_more(monkeypatch)
    for number, client_id in ((2, None), (2, "alice"), (3, "alice")):
        others = refused_packets(family, OUTBOUND, number)
        decisions = gateway.handle_packets(OUTBOUND, others, client_id=client_id)
        assert list(map(id, decisions)) == list(map(id, first))
    assert remembered(gateway) == (0, 0)


def code_of(decision: Decision) -> int:
    """Return why a reply says that its packet was refused."""
    assert isinstance(decision, Reject)
    return decision.reply[21 if decision.reply[0] >> 4 == 4 else 41]


@pytest.mark.parametrize(
    ("family", "codes"), [(V4, [13, 13, 0, 13]), (V6, [1, 1, 3, 1])], ids=["ipv4", "ipv6"]
)
def test_outbound_another_flow_to_a_refused_service_gets_the_reply_to_its_own_packet(
    family: Family, codes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    fresh = refusing(family, GatewayOptions())
    expected = fresh.handle_packets(OUTBOUND, refused_packets(family, OUTBOUND, 2))
    gateway = refusing(family, GatewayOptions())
    gateway.handle_packets(OUTBOUND, refused_packets(family, OUTBOUND, 1))
    judge_no_more(monkeypatch)
    for client_id in (None, "alice"):
        others = refused_packets(family, OUTBOUND, 2)
        decisions = gateway.handle_packets(OUTBOUND, others, client_id=client_id)
        assert decisions == expected
        assert list(map(code_of, decisions)) == codes
    assert remembered(gateway) == (0, 0)


def test_a_reply_quotes_the_packet_that_it_answers_and_not_the_one_before() -> None:
    gateway = gateway_for_alice()
    for payload in (b"first", b"second"):
        refused = packet(V4, OUTBOUND, "udp", payload=payload)
        decision = gateway.handle_packet(OUTBOUND, refused)
        assert isinstance(decision, Reject)
        assert decision.reply.endswith(refused)


@both_families
def test_tokens_are_taken_and_come_back_as_if_nothing_were_remembered(family: Family) -> None:
    options = GatewayOptions(reject_rate=1.0, reject_burst=2)
    gateway = gateway_for_alice(options=options)
    kinds = [
        type(gateway.handle_packet(OUTBOUND, packet(family, OUTBOUND, "tcp", number), now))
        for number, now in ((1, 0.0), (2, 0.0), (3, 0.0), (4, 0.5), (5, 1.0), (6, 1.0), (7, 9.0))
    ]
    assert kinds == [Reject, Reject, Drop, Drop, Reject, Drop, Reject]


@both_families
def test_without_a_token_another_flow_gets_the_shared_drop(
    family: Family, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway = gateway_for_alice(options=GatewayOptions(reject_burst=1))
    first = gateway.handle_packet(OUTBOUND, packet(family, OUTBOUND, "tcp", 1))
    assert isinstance(first, Reject)
    judge_no_more(monkeypatch)
    drops = [
        gateway.handle_packet(OUTBOUND, packet(family, OUTBOUND, "tcp", number))
        for number in (2, 3)
    ]
    assert drops == [Drop(Reason.NO_RESOURCE, "alice")] * 2
    assert drops[0] is drops[1]


@both_families
def test_a_service_that_was_dropped_for_want_of_a_token_gets_a_reply_later(
    family: Family,
) -> None:
    gateway = gateway_for_alice(options=GatewayOptions(reject_rate=1.0, reject_burst=1))
    gateway.handle_packet(OUTBOUND, packet(family, OUTBOUND, "udp", 1))
    dropped = gateway.handle_packet(OUTBOUND, packet(family, OUTBOUND, "tcp", 1))
    assert isinstance(dropped, Drop)
    later = gateway.handle_packet(OUTBOUND, packet(family, OUTBOUND, "tcp", 2), 1.0)
    assert isinstance(later, Reject)


@both_directions
@both_families
def test_every_packet_to_a_refused_service_is_counted(
    family: Family, direction: Direction
) -> None:
    for options in (QUIET, GatewayOptions(), GatewayOptions(reject_burst=2)):
        gateway = gateway_for_alice(family.db(Tcp(443)), options=options)
        for number in (1, 2, 2, 3):
            gateway.handle_packet(direction, packet(family, direction, "tcp", number, port=444))
        gateway.handle_packets(
            direction, [packet(family, direction, "udp", number) for number in (1, 2)]
        )
        refusals = gateway.counters().refusals
        assert refusals[direction, Reason.TCP_PORT] == 4
        assert refusals[direction, Reason.UDP_PORT] == 2
        assert sum(refusals.values()) == 6


# --- Whose it is ---------------------------------------------------------------------------


OTHERS = {
    OUTBOUND: {
        "bob": Drop(Reason.SOURCE_NOT_ALLOWED, "bob"),
        "nobody": Drop(Reason.UNKNOWN_CLIENT, None),
        "": Drop(Reason.UNKNOWN_CLIENT, None),
    },
    INBOUND: {
        "bob": Drop(Reason.UNKNOWN_CLIENT, None),
        "nobody": Drop(Reason.UNKNOWN_CLIENT, None),
        "": Drop(Reason.UNKNOWN_CLIENT, None),
    },
}


@pytest.mark.parametrize("port", [443, 444], ids=["permitted", "refused"])
@both_directions
@both_families
def test_a_service_of_one_client_does_not_answer_for_the_id_of_another(
    family: Family, direction: Direction, port: int
) -> None:
    gateway = gateway_for_alice(family.db(Tcp(443)), options=QUIET)
    first = gateway.handle_packet(direction, packet(family, direction, "tcp", port=port))
    before = services(gateway)
    for client_id, expected in OTHERS[direction].items():
        other = packet(family, direction, "tcp", 5402, port=port)
        assert gateway.handle_packet(direction, other, client_id=client_id) == expected
        assert gateway.handle_packets(direction, [other], client_id=client_id) == [expected]
    assert services(gateway) == before
    mine = packet(family, direction, "tcp", 5402, port=port)
    assert gateway.handle_packet(direction, mine, client_id="alice") is first


class Incomparable(str):
    """A text that cannot be compared with anything, nor looked up."""

    __slots__ = ()
    # Asking raises.
    __eq__ = None  # type: ignore[assignment]
    __hash__ = None  # type: ignore[assignment]


@pytest.mark.parametrize("port", [443, 444], ids=["permitted", "refused"])
@both_directions
@both_families
def test_an_id_that_is_equal_but_another_object_is_the_same_client(
    family: Family, direction: Direction, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway = gateway_for_alice(family.db(Tcp(443)), options=QUIET)
    first = gateway.handle_packet(direction, packet(family, direction, "tcp", port=port))
    judge_no_more(monkeypatch)
    for client_id in ("ALICE".lower(), Incomparable("alice")):
        # By its service, and by what is then remembered of itself.
        for number in (5402, 5402, 5403):
            other = packet(family, direction, "tcp", number, port=port)
            assert gateway.handle_packet(direction, other, client_id=client_id) is first
            assert gateway.handle_packets(direction, [other], client_id=client_id)[0] is first


@both_directions
@both_families
def test_clients_that_swap_addresses_do_not_get_each_others_services(
    family: Family, direction: Direction
) -> None:
    gateway = gateway_for_alice(family.db(Tcp(443)), options=QUIET)
    gateway.authorize("bob", family.db(Tcp(444)))
    for near in (family.client, family.neighbour):
        for port in (443, 444):
            gateway.handle_packet(
                direction, packet(family, direction, "tcp", port=port, near=near)
            )
    assert services(gateway) == (2, 2)
    gateway.client_disconnected("alice")
    gateway.client_connected("bob", ALICE)
    gateway.client_connected("alice", BOB)
    assert services(gateway) == (0, 0)
    gateway.authorize("alice", family.db(Tcp(443)))
    gateway.authorize("bob", family.db(Tcp(444)))
    for near, port, expected in (
        (family.client, 443, Drop(Reason.TCP_PORT, "bob")),
        (family.client, 444, Forward("bob", "db")),
        (family.neighbour, 443, PASSED),
        (family.neighbour, 444, TCP_REFUSED),
    ):
        for number in (5402, 5403):
            swapped = packet(family, direction, "tcp", number, port=port, near=near)
            assert gateway.handle_packet(direction, swapped) == expected


# --- How many ------------------------------------------------------------------------------


def many(direction: Direction, ports: Iterable[int]) -> list[bytes]:
    return [packet(V4, direction, "udp", port=port) for port in ports]


@both_directions
def test_refused_services_push_out_no_permitted_ones_and_no_flows(direction: Direction) -> None:
    gateway = gateway_for_alice(V4.db(Udp("0-9")), options=QUIET)
    assert gateway.handle_packets(direction, many(direction, range(10))) == [PASSED] * 10
    gateway.handle_packets(direction, many(direction, range(10, 2_000)))
    assert services(gateway) == (10, MAX_SERVICES)
    assert sum(remembered(gateway)) == 10


@both_directions
def test_permitted_services_push_out_no_refused_ones(direction: Direction) -> None:
    gateway = gateway_for_alice(V4.db(Udp("10-2000")), options=QUIET)
    refused = [UDP_REFUSED] * 10
    assert gateway.handle_packets(direction, many(direction, range(10))) == refused
    gateway.handle_packets(direction, many(direction, range(10, 2_000)))
    assert services(gateway) == (MAX_SERVICES, 10)


@both_directions
def test_a_service_that_was_pushed_out_is_judged_again(
    direction: Direction, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway = gateway_for_alice(V4.db(), options=QUIET)
    gateway.handle_packets(direction, many(direction, range(MAX_SERVICES + 1)))
    judge_no_more(monkeypatch)
    assert gateway.handle_packet(direction, packet(V4, direction, "udp", 1, port=1)) == PASSED
    with pytest.raises(TypeError, match="not callable"):
        gateway.handle_packet(direction, packet(V4, direction, "udp", 1, port=0))


@both_directions
def test_a_scan_pushes_out_no_service_of_another_client(direction: Direction) -> None:
    gateway = gateway_for_alice(V4.db(Udp("0-9")), options=QUIET)
    gateway.authorize("bob", V4.db(Udp(443)))
    for port in (443, 444):
        gateway.handle_packet(
            direction, packet(V4, direction, "udp", port=port, near=V4.neighbour)
        )
    gateway.handle_packets(direction, many(direction, range(5_000)))
    assert services(gateway) == (10 + 1, MAX_SERVICES + 1)


# --- What empties it -----------------------------------------------------------------------


def warm(*, options: GatewayOptions = QUIET) -> Gateway:
    """Let Alice try services of both families, both ways: 8 permitted, 8 refused."""
    resources = (V4.db(Tcp(443), Udp(443)), CidrResource("db6", V6.network, [Tcp(443), Udp(443)]))
    gateway = gateway_for_alice(*resources, app(), options=options)
    try_all(gateway)
    assert services(gateway) == (8, 8)
    return gateway


def try_all(gateway: Gateway, number: int = 5401) -> list[Decision]:
    return [
        gateway.handle_packet(direction, packet(family, direction, kind, number, port=port))
        for family in (V4, V6)
        for direction in (OUTBOUND, INBOUND)
        for kind in ("tcp", "udp")
        for port in (443, 444)
    ]


def test_services_are_emptied_by_client_connected() -> None:
    gateway = warm()
    gateway.client_connected("alice", ALICE)
    assert services(gateway) == (0, 0)
    assert {refusal(decision) for decision in try_all(gateway, 1)} == {Reason.NO_RESOURCE}


def test_services_are_emptied_by_client_disconnected() -> None:
    gateway = warm()
    gateway.client_disconnected("alice")
    assert services(gateway) == (0, 0)
    assert {refusal(decision) for decision in try_all(gateway, 1)} == {Reason.UNKNOWN_CLIENT}


@pytest.mark.parametrize(
    "resource",
    [V4.db(Tcp(443), Udp(443)), V4.db(), CidrResource("new", V4.network), InternetResource("net")],
)
def test_services_are_emptied_by_authorize(resource: CidrResource | InternetResource) -> None:
    gateway = warm()
    gateway.authorize("alice", resource)
    assert services(gateway) == (0, 0)


def test_what_was_refused_passes_when_it_is_authorized() -> None:
    gateway = warm()
    gateway.authorize("alice", V4.db())
    gateway.authorize("alice", CidrResource("all", "::/0"))
    assert all(decision.allowed for decision in try_all(gateway, 1))


def test_services_are_emptied_by_authorize_that_ends_at_once() -> None:
    gateway = warm()
    gateway.authorize("alice", app(), expires_at=0.0)
    assert services(gateway) == (0, 0)


def test_services_are_emptied_by_revoke() -> None:
    for resource_id in ("db", "db6", "app"):
        gateway = warm()
        gateway.revoke("alice", resource_id)
        assert services(gateway) == (0, 0)


def test_services_are_emptied_by_update_resource() -> None:
    for resource in (V4.db(), V4.db(Tcp(443), Udp(443)), app(Tcp())):
        gateway = warm()
        gateway.update_resource(resource)
        assert services(gateway) == (0, 0)


def test_services_are_emptied_by_retain_authorizations() -> None:
    for kept in ({}, {"alice": {"db", "app"}}, {"bob": {"db", "db6", "app"}}):
        gateway = warm()
        gateway.retain_authorizations(kept)
        assert services(gateway) == (0, 0)


def test_services_are_emptied_by_update_expiry_that_ends() -> None:
    for expires_at in (0.0, -1.0):
        gateway = warm()
        gateway.update_expiry("alice", "app", expires_at)
        assert services(gateway) == (0, 0)


BRING: Final[list[Callable[[Gateway, float], object]]] = [
    lambda gateway, now: gateway.handle_timeout(now),
    lambda gateway, now: gateway.handle_packet(OUTBOUND, b"", now),
    lambda gateway, now: gateway.handle_packets(INBOUND, [], now),
    lambda gateway, now: gateway.client_connected("bob", BOB, now),
]


@pytest.mark.parametrize("bring", BRING)
def test_services_are_emptied_by_expiry(bring: Callable[[Gateway, float], object]) -> None:
    gateway = warm()
    gateway.update_expiry("alice", "app", 10.0)
    bring(gateway, 10.0 - TICK)
    assert services(gateway) == (8, 8)
    bring(gateway, 10.0)
    assert services(gateway) == (0, 0)


@both_directions
@both_families
def test_a_new_flow_to_a_service_brings_the_time_at_which_it_expires(
    family: Family, direction: Direction
) -> None:
    for batch in (False, True):
        gateway = gateway_for_alice(family.db(), options=QUIET)
        gateway.update_expiry("alice", "db", 10.0)
        for number, now, expected in (
            (1, 0.0, PASSED),
            (2, 10.0 - TICK, PASSED),
            (3, 10.0, Drop(Reason.NO_RESOURCE, "alice")),
            (4, 10.0, Drop(Reason.NO_RESOURCE, "alice")),
        ):
            other = packet(family, direction, "tcp", number)
            decided = (
                gateway.handle_packets(direction, [other], now)
                if batch
                else [gateway.handle_packet(direction, other, now)]
            )
            assert decided == [expected]


def test_services_are_emptied_by_domain_resolved() -> None:
    for proxies in ((), N4.proxies[:1]):
        gateway = warm()
        resolve(gateway, N4, proxies=proxies)
        assert services(gateway) == (0, 0)
        try_all(gateway)
        assert services(gateway) == (4, 4)
        resolve(gateway, N4, proxies=proxies)
        assert services(gateway) == (0, 0)


def test_services_are_emptied_by_set_addresses_for_all_clients() -> None:
    gateway = warm()
    for direction in (OUTBOUND, INBOUND):
        gateway.handle_packet(direction, packet(V4, direction, "tcp", near=V4.neighbour))
    assert services(gateway) == (8, 10)
    gateway.set_addresses(TunnelAddresses(V4.spare, V6.spare))
    assert services(gateway) == (0, 0)


@both_directions
@both_families
def test_services_follow_the_gateways_own_addresses(family: Family, direction: Direction) -> None:
    gateway = gateway_for_alice(options=QUIET)
    own, peer = Forward("alice", None), Drop(Reason.PEER_ADDRESS, "alice")
    for addresses, mine, other in (
        (TunnelAddresses(V4.gateway, V6.gateway), family.gateway, family.spare),
        (TunnelAddresses(V4.spare, V6.spare), family.spare, family.gateway),
    ):
        gateway.set_addresses(addresses)
        for number in (1, 2):
            to_mine = packet(family, direction, "tcp", number, far=mine)
            to_other = packet(family, direction, "tcp", number, far=other)
            assert gateway.handle_packet(direction, to_mine) == own
            assert gateway.handle_packet(direction, to_other) == peer


# --- What leaves it alone ------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        lambda gateway: gateway.update_expiry("alice", "app", 10.0),
        lambda gateway: gateway.update_expiry("alice", "app", None),
        lambda gateway: gateway.update_expiry("alice", "nothing", 0.0),
        lambda gateway: gateway.revoke("alice", "nothing"),
        lambda gateway: gateway.revoke("bob", "db"),
        lambda gateway: gateway.update_resource(CidrResource("nothing", "10.9.0.0/16")),
        lambda gateway: gateway.retain_authorizations({"alice": {"db", "db6", "app", "more"}}),
        lambda gateway: gateway.client_disconnected("nobody"),
        lambda gateway: gateway.handle_timeout(1e6),
        lambda gateway: gateway.handle_packet(OUTBOUND, b"", 1e6),
    ],
)
def test_what_changes_nothing_for_a_client_leaves_its_services_alone(
    change: Callable[[Gateway], object],
) -> None:
    gateway = warm()
    change(gateway)
    assert services(gateway) == (8, 8)


@pytest.mark.parametrize(
    "change",
    [
        lambda gateway: gateway.client_connected("bob", BOB),
        lambda gateway: gateway.client_disconnected("bob"),
        lambda gateway: gateway.authorize("bob", CidrResource("other", V4.network)),
        lambda gateway: gateway.revoke("bob", "shared"),
        lambda gateway: gateway.update_expiry("bob", "shared", 0.0),
        lambda gateway: gateway.retain_authorizations({"alice": {"db", "db6", "app"}}),
    ],
)
def test_what_changes_for_one_client_leaves_the_services_of_another_alone(
    change: Callable[[Gateway], object],
) -> None:
    gateway = warm()
    gateway.authorize("bob", CidrResource("shared", V4.network, [Tcp(443)]))
    for direction in (OUTBOUND, INBOUND):
        for port in (443, 444):
            gateway.handle_packet(
                direction, packet(V4, direction, "tcp", port=port, near=V4.neighbour)
            )
    assert services(gateway) == (10, 10)
    change(gateway)
    assert services(gateway) == (8, 8)


# --- Beside the NAT ------------------------------------------------------------------------


@both_names
def test_a_translated_flow_is_no_service(names: Names) -> None:
    gateway = gateway_with(names)
    for number in (1, 2):
        for kind in ("tcp", "udp", "echo"):
            assert gateway.handle_packet(OUTBOUND, names.sent(kind, number)).allowed
            assert gateway.handle_packet(INBOUND, names.came(kind, number)).allowed
    assert services(gateway) == (0, 0)


@tcp_and_udp
@both_names
def test_a_port_that_a_name_refuses_is_a_refused_service(
    names: Names, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway = gateway_with(names, Icmp(), options=QUIET)
    first = gateway.handle_packet(OUTBOUND, names.sent(kind, 1))
    assert first == (TCP_REFUSED if kind == "tcp" else UDP_REFUSED)
    assert services(gateway) == (0, 1)
    judge_no_more(monkeypatch)
    assert gateway.handle_packet(OUTBOUND, names.sent(kind, 2)) is first


@tcp_and_udp
@both_names
def test_a_session_goes_on_although_its_name_resolves_to_nothing_whoever_asks_before(
    names: Names, kind: str
) -> None:
    for order in ((1, 2), (2, 1), (2, 1, 2, 1), (1, 1, 2, 2)):
        gateway = gateway_with(names, options=QUIET)
        assert gateway.handle_packet(OUTBOUND, names.sent(kind, 1)).allowed
        resolve(gateway, names, real=())
        outcomes = {
            1: through(names.sent(kind, 1, far=names.real[0])),
            2: Drop(Reason.NO_TRANSLATION, "alice"),
        }
        for number in order:
            decision = gateway.handle_packet(OUTBOUND, names.sent(kind, number))
            assert decision == outcomes[number]
        assert services(gateway) == (0, 0)


@pytest.mark.parametrize("options", [GatewayOptions(), QUIET], ids=["replies", "quiet"])
@both_names
def test_want_of_a_translation_is_not_remembered(names: Names, options: GatewayOptions) -> None:
    gateway = gateway_with(names, options=options)
    resolve(gateway, names, real=())
    for number in (1, 2):
        decision = gateway.handle_packet(OUTBOUND, names.sent(number=number))
        assert refusal(decision) == Reason.NO_TRANSLATION
    assert services(gateway) == (0, 0)


@both_names
def test_want_of_room_in_the_nat_is_not_remembered(names: Names) -> None:
    gateway = gateway_with(names, options=GatewayOptions(max_sessions_per_client=1))
    for kind in ("tcp", "udp"):
        held = gateway.handle_packet(OUTBOUND, names.sent("udp", 1))
        assert held == through(names.sent("udp", 1, far=names.real[0]))
        assert gateway.handle_packet(OUTBOUND, names.sent(kind, 2)) == EXHAUSTED
        assert services(gateway) == (0, 0)
    # When there is room again, the next packet has it.
    later = gateway.handle_packet(OUTBOUND, names.sent("udp", 2), 60.0)
    assert later == through(names.sent("udp", 2, far=names.real[0]))


@both_families
def test_with_a_nat_nothing_that_comes_in_is_remembered_by_service(family: Family) -> None:
    names = N4
    gateway = gateway_for_alice(family.db(Tcp(443)), app(), options=QUIET)
    resolve(gateway, names)
    for port in (443, 444):
        for direction in (OUTBOUND, INBOUND):
            gateway.handle_packet(direction, packet(family, direction, "tcp", port=port))
            gateway.handle_packet(direction, packet(family, direction, "tcp", far=family.gateway))
    flows = gateway._site.flows
    assert not any(flows.services_inbound)
    assert sum(map(len, flows.services_outbound)) == 3
    assert sum(map(len, flows.inbound)) == 2


@both_names
def test_a_session_takes_over_one_flow_of_a_service_and_leaves_the_others(names: Names) -> None:
    gateway = gateway_for_alice(app(), CidrResource("direct", names.real[0]), options=QUIET)
    resolve(gateway, names)
    direct = Forward("alice", "direct")
    numbers = (5401, 5402, 5403)
    for number in numbers:
        assert gateway.handle_packet(INBOUND, names.came(number=number)) == direct
    assert gateway.handle_packet(OUTBOUND, names.sent(number=5402)).allowed
    for _ in range(2):
        decisions = [gateway.handle_packet(INBOUND, names.came(number=one)) for one in numbers]
        taken_over = through(names.came(number=5402, far=names.proxies[0]))
        assert decisions == [direct, taken_over, direct]


@both_names
def test_how_an_inbound_flow_is_refused_depends_on_the_clients_port(names: Names) -> None:
    gateway = gateway_with(names, options=QUIET)
    assert gateway.handle_packet(OUTBOUND, names.sent(number=2)).allowed
    for _ in range(2):
        reasons = [
            refusal(gateway.handle_packet(INBOUND, names.came(number=number), 60.0))
            for number in (1, 2, 3)
        ]
        assert reasons == [Reason.NO_RESOURCE, Reason.EXPIRED_NAT_SESSION, Reason.NO_RESOURCE]


# --- Where flows are recorded --------------------------------------------------------------


def test_where_flows_are_recorded_only_refused_services_are_remembered() -> None:
    gateway = gateway_for_alice(
        V4.db(Tcp(443)), options=evolve(RECORDED, own_filters=[Tcp(443)], reject=False)
    )
    for direction in (OUTBOUND, INBOUND):
        for number in (1, 2):
            for port in (443, 444):
                gateway.handle_packet(direction, packet(V4, direction, "tcp", number, port=port))
    assert services(gateway) == (0, 2)
    assert remembered(gateway) == (0, 0)


@both_directions
@both_families
def test_where_flows_are_recorded_the_gateway_itself_is_a_service(
    family: Family, direction: Direction, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway = gateway_for_alice(options=RECORDED)
    first = gateway.handle_packet(direction, packet(family, direction, "tcp", far=family.gateway))
    assert first == Forward("alice", None)
    judge_no_more(monkeypatch)
    other = packet(family, direction, "tcp", 5402, far=family.gateway)
    assert gateway.handle_packet(direction, other) is first
    assert gateway.counters().recorded_flows == 0
    assert services(gateway) == (1, 0)


@both_directions
@both_families
def test_where_flows_are_recorded_each_flow_to_a_service_has_a_record(
    family: Family, direction: Direction
) -> None:
    gateway = gateway_for_alice(family.db(), options=RECORDED)
    for number in (1, 2, 3):
        gateway.handle_packet(OUTBOUND, packet(family, OUTBOUND, "udp", number))
        gateway.handle_packet(direction, packet(family, direction, "udp", number))
    counters = gateway.counters()
    assert counters.recorded_flows == 3
    assert (counters.tx_packets, counters.rx_packets) == (
        (6, 0) if direction is OUTBOUND else (3, 3)
    )


# --- What has no part in it ----------------------------------------------------------------


def shaped(direction: Direction, port: int) -> list[bytes]:
    """Build what is no plain packet of a flow: with options, with headers, in fragments."""
    return [
        udp(V4.flow(direction, port), options=b"\x01"),
        tcp(V4.flow(direction, port), options=b"\x01" * 20),
        udp(V6.flow(direction, port), extensions=[destination_options()]),
        fragment(tcp(V6.flow(direction, port)), 0, more=False),
        fragment(udp(V4.flow(direction, port), bytes(40)), 0, 16, identification=port),
        fragment(udp(V6.flow(direction, port), bytes(40)), 0, 16, identification=port),
        icmp(V4.flow(direction), 8),
        icmp(V6.flow(direction), 128),
    ]


@both_directions
def test_what_is_no_plain_packet_of_a_flow_fills_no_memory(direction: Direction) -> None:
    gateway = gateway_for_alice(V4.db(Tcp(443), Udp(443)), options=QUIET)
    gateway.authorize("alice", CidrResource("db6", V6.network, [Tcp(443), Udp(443)]))
    for port, allowed in ((443, 6), (444, 0)):
        decisions = gateway.handle_packets(direction, shaped(direction, port))
        assert sum(decision.allowed for decision in decisions) == allowed
    assert services(gateway) == (0, 0)
    assert remembered(gateway) == (0, 0)


@both_directions
def test_what_is_no_plain_packet_of_a_flow_is_decided_by_no_memory(
    direction: Direction, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway = warm()
    try_all(gateway, 5402)
    judge_no_more(monkeypatch)
    for port in (443, 444):
        for one in shaped(direction, port):
            with pytest.raises(TypeError, match="not callable"):
                gateway.handle_packet(direction, one)
            with pytest.raises(TypeError, match="not callable"):
                gateway.handle_packets(direction, [one])


@pytest.mark.parametrize("port", [443, 444], ids=["permitted", "refused"])
@both_directions
@both_families
def test_a_later_fragment_to_a_known_service_is_a_fragment(
    family: Family, direction: Direction, port: int
) -> None:
    gateway = warm()
    # What stands where the ports would be.
    ports = packet(V4, direction, "tcp", port=port)[20:]
    later = ip_fragment(family.flow(direction), 6, ports, start=8)
    decision = gateway.handle_packet(direction, later)
    assert decision == Drop(Reason.FRAGMENT, "alice")
