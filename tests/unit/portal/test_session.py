"""Sessions: messages other than grants and `init`, the time, and wrong arguments."""

import json
import math

import pytest

from firezone_filter import (
    AccessExhausted,
    AuthorizationExpired,
    Gateway,
    InvalidMessage,
    InvalidTime,
    PortalEvent,
    PortalSession,
    Reason,
    Translate,
)
from firezone_filter.testing import fragment, tcp, udp
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
    story,
    updated,
)
from tests.scenes import refusal

# --- reject_access ------------------------------------------------------------------------


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
def test_a_rejection_of_an_unknown_authorization_is_ignored(unknown: dict[str, str]) -> None:
    told, portal = session(CREATE)
    before = snapshot(told)
    assert portal.receive(message(REJECT, **unknown), NOW) == []
    assert snapshot(told) == before


# --- resource_updated ---------------------------------------------------------------------


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


def test_an_update_reaches_every_client_that_has_the_resource_each_in_its_own_place() -> None:
    told, portal = session(grant(), grant(corp(address="10.0.0.0/8"), **BOB))
    portal.receive(updated(corp(TCP_443)), NOW)
    assert reaches(told, "172.20.0.5:443")
    assert not reaches(told, "172.20.0.5:444")
    assert reaches(told, "10.0.0.5:443", near="100.64.0.3:5401")
    assert not reaches(told, "10.0.0.5:444", near="100.64.0.3:5401")


@pytest.mark.parametrize("resource", RESOURCES)
def test_an_update_of_an_unknown_resource_changes_nothing(resource: dict[str, Json]) -> None:
    told, portal = session(grant(corp(id="other")))
    before = snapshot(told)
    assert portal.receive(updated(resource), NOW) == []
    assert snapshot(told) == before


def test_the_internet_has_nothing_to_update() -> None:
    told, portal = session(grant(RESOURCES[2]))
    before = snapshot(told)
    assert portal.receive(updated(RESOURCES[2]), NOW) == []
    assert snapshot(told) == before


TO_THE_INTERNET = tcp("100.93.74.51:5401 > 1.1.1.1:443", bytes(64))
TO_CORP = tcp("100.93.74.51:5401 > 172.20.0.5:443", bytes(64))


def test_an_update_invalidates_the_remembered_decisions() -> None:
    told, portal = session(grant())
    assert told.handle_packet(OUTBOUND, fragment(TO_CORP, 0, 40)).allowed
    portal.receive(updated(corp(TCP_443)), NOW)
    later = told.handle_packet(OUTBOUND, fragment(TO_CORP, 40))
    assert refusal(later) == Reason.FRAGMENT


def test_an_update_of_the_internet_invalidates_nothing() -> None:
    told, portal = session(grant(RESOURCES[2]))
    assert told.handle_packet(OUTBOUND, fragment(TO_THE_INTERNET, 0, 40)).allowed
    portal.receive(updated(RESOURCES[2]), NOW)
    assert told.handle_packet(OUTBOUND, fragment(TO_THE_INTERNET, 40)).allowed


def test_an_update_of_another_type_changes_nothing_for_any_client() -> None:
    told, portal = session(grant(), grant(named(id=CORP), **BOB))
    before = snapshot(told)
    with pytest.raises(InvalidMessage, match=f"'cidr' is not 'dns', as which .* '{CORP}'"):
        portal.receive(updated(corp(TCP_443)), NOW)
    assert snapshot(told) == before


def test_an_update_ignores_an_authorization_that_has_just_expired() -> None:
    told, portal = session(CREATE)
    assert portal.receive(updated(named(id=CORP)), EXPIRY) == []
    assert told.authorizations(ALICE) == {}


# --- access_authorization_expiry_updated --------------------------------------------------


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
def test_an_updated_expiry_of_an_unknown_authorization_is_ignored(unknown: dict[str, str]) -> None:
    told, portal = session(CREATE)
    before = snapshot(told)
    portal.receive(message(EXTENDED, expires_at=EXPIRY + 60, **unknown), NOW)
    assert snapshot(told) == before


# --- Events that are handed back ----------------------------------------------------------

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
def test_an_event_that_is_not_about_filtering_is_handed_back_and_changes_nothing(
    event: str, payload: dict[str, Json]
) -> None:
    told, portal = session(CREATE)
    before = snapshot(told)
    parsed = {"event": event, "ref": None, "topic": "gateway", "payload": payload}
    assert portal.receive(json.dumps(parsed), NOW) == [PortalEvent(event, payload)]
    assert snapshot(told) == before


@pytest.mark.parametrize("event", ["ice_candidates", "init"])
def test_a_payload_is_handed_back_as_the_same_object(event: str) -> None:
    _, portal = session()
    parsed = message(INIT) | {"event": event}
    (answer,) = portal.receive(parsed, NOW)
    assert answer.payload is parsed["payload"]


# --- Time ---------------------------------------------------------------------------------

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


def test_a_new_gateway_keeps_its_own_addresses_until_init() -> None:
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


# --- Arguments ----------------------------------------------------------------------------


@pytest.mark.parametrize("sent", [None, 5, ["init"], bytearray(b"{}"), memoryview(b"{}")])
def test_a_message_of_another_type_is_a_type_error(sent: Json) -> None:
    told, portal = story()
    before = snapshot(told)
    with pytest.raises(TypeError, match="message is a str or bytes or Mapping"):
        portal.receive(sent, NOW + 5)
    assert snapshot(told) == before


@pytest.mark.parametrize(
    ("now", "error"),
    [
        (None, TypeError),
        (True, TypeError),
        ("5", TypeError),
        (math.inf, InvalidTime),
        (-math.inf, InvalidTime),
        (math.nan, InvalidTime),
        pytest.param(10**400, InvalidTime, id="beyond every float"),
    ],
)
@pytest.mark.parametrize("text", [CREATE, '{"event":"x","payload":{}}'])
def test_a_message_needs_a_time(text: str, now: Json, error: type[Exception]) -> None:
    told, portal = story()
    before = snapshot(told)
    with pytest.raises(error):
        portal.receive(text, now)
    assert snapshot(told) == before


def test_a_session_needs_a_gateway() -> None:
    with pytest.raises(TypeError, match="gateway is a Gateway"):
        PortalSession(None)  # type: ignore[arg-type]  # the mistake


def test_a_refused_message_expires_nothing_that_is_due() -> None:
    told, portal = session(CREATE)
    with pytest.raises(InvalidMessage):
        portal.receive(message(CREATE, ref=5), EXPIRY + 5)
    assert told.authorizations(ALICE)
    assert told.poll_event() is None
