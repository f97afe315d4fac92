"""Every other message, word for word, and time."""

import json

import pytest

from firezone_filter import (
    AccessExhausted,
    AuthorizationExpired,
    Gateway,
    InvalidMessage,
    PortalEvent,
    PortalSession,
    Reason,
    Translate,
)
from tests.builders import fragment, tcp, udp
from tests.portal import (
    ACTED_ON,
    ALICE,
    BOB,
    CORP,
    CREATE,
    EXPIRY,
    EXTENDED,
    ICMP,
    INIT,
    NAMED,
    NOW,
    OUTBOUND,
    OWN,
    REJECT,
    RESOURCES,
    TCP_443,
    UPDATED,
    Json,
    corp,
    gateway,
    grant,
    held,
    message,
    named,
    reaches,
    resolve,
    session,
    snapshot,
    updated,
)
from tests.scenes import refusal

# --- reject_access ---------------------------------------------------------------------------


def test_a_rejected_access_ends_at_once_in_both_directions() -> None:
    told, portal = session(CREATE)
    assert reaches(told)
    assert portal.receive(REJECT, NOW) == []
    assert not reaches(told)
    assert told.poll_event() == AccessExhausted(ALICE)


def test_a_rejected_access_leaves_the_others() -> None:
    told, _ = session(grant(named()), CREATE, REJECT)
    assert told.authorizations(ALICE) == {NAMED: None}
    assert told.poll_event() is None


@pytest.mark.parametrize("unknown", [{"client_id": "bob"}, {"resource_id": NAMED}])
def test_a_rejected_access_that_nobody_has_is_ignored(unknown: dict[str, str]) -> None:
    told, portal = session(CREATE)
    before = snapshot(told)
    assert portal.receive(message(REJECT, **unknown), NOW) == []
    assert snapshot(told) == before


# --- resource_updated --------------------------------------------------------------------------


def dns_story() -> tuple[Gateway, PortalSession]:
    """Let Alice reach `a.httpbin`, whatever the protocol."""
    told, portal = session(grant(named()))
    resolve(told, "a.httpbin")
    return told, portal


def test_an_updated_resource_has_its_new_filters_at_once() -> None:
    told, portal = dns_story()
    to_udp = udp("100.93.74.51:5401 > 100.96.0.1:15")
    to_tcp = tcp("100.93.74.51:5401 > 100.96.0.1:15")
    assert isinstance(told.handle_packet(OUTBOUND, to_udp), Translate)
    assert portal.receive(UPDATED, NOW) == []
    assert refusal(told.handle_packet(OUTBOUND, to_udp)) == Reason.UDP_PORT
    assert isinstance(told.handle_packet(OUTBOUND, to_tcp), Translate)


def test_an_updated_network_has_its_new_filters_in_both_directions() -> None:
    told, portal = session(grant())
    assert reaches(told, "172.20.0.5:444")
    portal.receive(updated(corp(TCP_443)), NOW)
    assert not reaches(told, "172.20.0.5:444")
    assert reaches(told, "172.20.0.5:443")


def test_an_updated_resource_keeps_place_name_and_expiry() -> None:
    told, portal = session(CREATE)
    portal.receive(updated(corp(address="10.0.0.0/8", name="Other")), NOW)
    assert told.authorizations(ALICE) == {CORP: EXPIRY}
    assert held(told, CORP).name == "MyCorp Network"
    assert reaches(told)
    assert not reaches(told, "10.0.0.5:443")


def test_an_updated_resource_is_so_for_every_client_that_has_it_each_in_its_own_place() -> None:
    told, portal = session(grant(), grant(corp(address="10.0.0.0/8"), **BOB))
    portal.receive(updated(corp(TCP_443)), NOW)
    assert reaches(told, "172.20.0.5:443")
    assert not reaches(told, "172.20.0.5:444")
    assert reaches(told, "10.0.0.5:443", near="100.64.0.3:5401")
    assert not reaches(told, "10.0.0.5:444", near="100.64.0.3:5401")


@pytest.mark.parametrize("resource", RESOURCES)
def test_an_updated_resource_that_nobody_has_changes_nothing(resource: dict[str, Json]) -> None:
    told, portal = session(grant(corp(id="other")))
    before = snapshot(told)
    assert portal.receive(updated(resource), NOW) == []
    assert snapshot(told) == before


def test_of_the_internet_there_is_nothing_to_update() -> None:
    told, portal = session(grant(RESOURCES[2]))
    before = snapshot(told)
    assert portal.receive(updated(RESOURCES[2]), NOW) == []
    assert snapshot(told) == before


TO_THE_INTERNET = tcp("100.93.74.51:5401 > 1.1.1.1:443", bytes(64))
TO_CORP = tcp("100.93.74.51:5401 > 172.20.0.5:443", bytes(64))


def test_an_updated_resource_has_its_decisions_forgotten() -> None:
    told, portal = session(grant())
    assert told.handle_packet(OUTBOUND, fragment(TO_CORP, 0, 40)).allowed
    portal.receive(updated(corp(TCP_443)), NOW)
    later = told.handle_packet(OUTBOUND, fragment(TO_CORP, 40))
    assert refusal(later) == Reason.FRAGMENT


def test_of_the_internet_no_decisions_are_forgotten_by_an_update() -> None:
    told, portal = session(grant(RESOURCES[2]))
    assert told.handle_packet(OUTBOUND, fragment(TO_THE_INTERNET, 0, 40)).allowed
    portal.receive(updated(RESOURCES[2]), NOW)
    assert told.handle_packet(OUTBOUND, fragment(TO_THE_INTERNET, 40)).allowed


def test_an_updated_resource_of_another_type_changes_nothing_for_anyone() -> None:
    told, portal = session(grant(), grant(named(id=CORP), **BOB))
    before = snapshot(told)
    with pytest.raises(InvalidMessage, match=f"'cidr' is not 'dns', as which .* '{CORP}'"):
        portal.receive(updated(corp(TCP_443)), NOW)
    assert snapshot(told) == before


def test_an_update_has_no_say_in_what_has_just_expired() -> None:
    told, portal = session(CREATE)
    assert portal.receive(updated(named(id=CORP)), EXPIRY) == []
    assert told.authorizations(ALICE) == {}


# --- access_authorization_expiry_updated -----------------------------------------------------


@pytest.mark.parametrize("moved", [-60, 0, 60])
def test_an_updated_expiry_counts_from_then_on(moved: int) -> None:
    told, portal = session(CREATE)
    assert portal.receive(message(EXTENDED, expires_at=EXPIRY + moved), NOW) == []
    assert told.authorizations(ALICE) == {CORP: EXPIRY + moved}
    told.handle_timeout(EXPIRY + moved - 0.5)
    assert reaches(told)
    told.handle_timeout(EXPIRY + moved)
    assert not reaches(told)


@pytest.mark.parametrize("unknown", [{"client_id": "bob"}, {"resource_id": NAMED}])
def test_an_updated_expiry_of_what_nobody_has_is_ignored(unknown: dict[str, str]) -> None:
    told, portal = session(CREATE)
    before = snapshot(told)
    portal.receive(message(EXTENDED, expires_at=EXPIRY + 60, **unknown), NOW)
    assert snapshot(told) == before


# --- What is not about filtering ---------------------------------------------------------------

FOREIGN = [
    ("ice_candidates", {"client_id": ALICE, "candidates": ["candidate:1 1 UDP"]}),
    ("invalidate_ice_candidates", {"client_id": ALICE, "candidates": []}),
    ("relays_presence", {"disconnected_ids": ["r"], "connected": [{"type": "stun"}]}),
    ("disconnect", {"reason": "token_expired"}),
    ("request_connection", {"ref": "r", "resource": RESOURCES[0], "expires_at": EXPIRY}),
    ("phx_reply", {"status": "ok", "response": {}}),
    ("something_new", {}),
    ("", {"filters": None}),
]


@pytest.mark.parametrize(("event", "payload"), FOREIGN)
def test_what_is_not_about_filtering_is_handed_back_and_changes_nothing(
    event: str, payload: dict[str, Json]
) -> None:
    told, portal = session(CREATE)
    before = snapshot(told)
    parsed = {"event": event, "ref": None, "topic": "gateway", "payload": payload}
    assert portal.receive(json.dumps(parsed), NOW) == [PortalEvent(event, payload)]
    assert snapshot(told) == before


@pytest.mark.parametrize("event", ["ice_candidates", "init"])
def test_a_payload_that_is_handed_back_is_the_one_that_was_handed_in(event: str) -> None:
    _, portal = session()
    parsed = message(INIT) | {"event": event}
    (answer,) = portal.receive(parsed, NOW)
    assert answer.payload is parsed["payload"]


# --- Time --------------------------------------------------------------------------------------

TIMED = [
    pytest.param(json.dumps({"event": "something_new", "payload": {}}), id="unknown"),
    *(pytest.param(text, id=event) for event, text in ACTED_ON.items()),
]


@pytest.mark.parametrize("text", TIMED)
def test_a_message_moves_time_and_expires_what_is_due_first(text: str) -> None:
    told, portal = session(grant(corp(id="db", address="10.0.0.0/24")))
    told.update_expiry(ALICE, "db", NOW + 10)
    portal.receive(text, NOW + 10)
    assert told.poll_event() == AuthorizationExpired(ALICE, "db", NOW + 10)
    assert repr(NOW + 10) in repr(told)


@pytest.mark.parametrize("text", TIMED)
def test_a_message_of_an_earlier_time_counts_as_of_the_latest(text: str) -> None:
    told, portal = session(grant(corp(id="db")))
    portal.receive(text, NOW - 10)
    assert repr(NOW) in repr(told)


def test_the_first_message_brings_the_first_time() -> None:
    told, _ = session(CREATE)
    assert told.poll_timeout() == EXPIRY


def test_messages_are_text_or_bytes_or_parsed() -> None:
    ways = [session(CREATE), session(CREATE.encode()), session(json.loads(CREATE))]
    assert [told.authorizations(ALICE) for told, _ in ways] == [{CORP: EXPIRY}] * 3


def test_several_sessions_may_act_on_one_gateway() -> None:
    told, _ = session(grant())
    PortalSession(told).receive(grant(named()), NOW)
    assert told.authorizations(ALICE) == {CORP: None, NAMED: None}


def test_a_gateway_that_has_been_told_nothing_has_the_addresses_that_it_began_with() -> None:
    assert snapshot(gateway())["own addresses"] == OWN


def test_filters_of_the_messages_permit_what_they_say() -> None:
    told, portal = session(grant(corp(*RESOURCES[1]["filters"])))
    packets = {
        Reason.UDP_PORT: udp("100.93.74.51:5401 > 172.20.0.5:21"),
        None: udp("100.93.74.51:5401 > 172.20.0.5:20"),
    }
    assert {why: refusal(told.handle_packet(OUTBOUND, one)) for why, one in packets.items()} == {
        why: why for why in packets
    }
    assert reaches(told)
    portal.receive(updated(corp(ICMP)), NOW)
    assert not reaches(told)
