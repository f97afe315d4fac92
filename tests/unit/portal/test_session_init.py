"""`init`: the gateway's own addresses, and the authorizations that stay."""

import json

import pytest

from firezone_filter import (
    AccessExhausted,
    AuthorizationExpired,
    PortalEvent,
)
from firezone_filter.testing import icmp_echo
from tests.portal import (
    ALICE,
    ALICES,
    BOB,
    CORP,
    CREATE,
    EXPIRY,
    INIT,
    NAMED,
    NOW,
    OUTBOUND,
    REMOVED,
    RESOURCES,
    grant,
    message,
    reaches,
    session,
    snapshot,
)


def test_init_sets_the_gateways_own_addresses() -> None:
    told, portal = session(grant())
    answers = portal.receive(INIT, NOW)
    assert answers == [PortalEvent("init", json.loads(INIT)["payload"])]
    assert not reaches(told, "100.64.0.1:22")
    assert reaches(told, "100.115.164.78:22")
    to_gateway = icmp_echo("fd00:2021:1111::f:853b > fd00:2021:1111::2c:f6ab")
    assert told.handle_packet(OUTBOUND, to_gateway).allowed


def test_init_revokes_authorizations_that_it_does_not_list() -> None:
    told, portal = session(grant(), grant(RESOURCES[2]), grant(**BOB))
    portal.receive(INIT, NOW)
    assert told.authorizations(ALICE) == {CORP: EXPIRY}
    assert told.authorizations("bob") == {}
    assert reaches(told)
    assert not reaches(told, "1.1.1.1:443")
    assert not reaches(told, near="100.64.0.3:5401")
    assert told.poll_event() == AccessExhausted("bob")
    assert told.poll_event() is None


def test_init_leaves_clients_connected_that_it_does_not_mention() -> None:
    told, _ = session(grant(), grant(**BOB), INIT)
    assert told.clients() == (ALICE, "bob")


def test_init_may_name_the_address_of_a_client_that_has_gone() -> None:
    told, portal = session(grant(), grant(**BOB))
    told.client_disconnected("bob")
    portal.receive(message(INIT, **{"interface.ipv4": BOB["ipv4"]}), NOW)
    assert reaches(told, f"{BOB['ipv4']}:22")


def test_init_sets_the_expiry_of_listed_authorizations() -> None:
    told, portal = session(grant())
    portal.receive(INIT, NOW)
    told.handle_timeout(EXPIRY - 0.5)
    assert reaches(told)
    told.handle_timeout(EXPIRY)
    assert not reaches(told)


def test_init_ends_authorizations_whose_expiry_has_passed() -> None:
    told, portal = session(grant())
    portal.receive(INIT, EXPIRY)
    assert told.authorizations(ALICE) == {}
    assert told.poll_event() == AuthorizationExpired(ALICE, CORP, EXPIRY)


@pytest.mark.parametrize("none", [[], REMOVED])
def test_init_without_authorizations_revokes_all_of_them(none: object) -> None:
    told, portal = session(grant(), grant(**BOB))
    portal.receive(message(INIT, authorizations=none), NOW)
    assert not reaches(told)
    assert told.authorizations(ALICE) == told.authorizations("bob") == {}


def test_init_grants_nothing() -> None:
    told, portal = session()
    told.client_connected(ALICE, ALICES, NOW)
    portal.receive(INIT, NOW)
    assert told.authorizations(ALICE) == {}


def test_init_ignores_clients_and_resources_that_the_gateway_does_not_have() -> None:
    told, portal = session(CREATE)
    listed = message(INIT)["payload"]["authorizations"]
    unknown = [listed[0] | {"client_id": "bob"}, listed[0] | {"resource_id": NAMED}]
    portal.receive(message(INIT, authorizations=[*unknown, *listed]), NOW)
    assert told.clients() == (ALICE,)
    assert told.authorizations(ALICE) == {CORP: EXPIRY}


def test_the_last_expiry_counts_if_init_lists_an_authorization_twice() -> None:
    told, portal = session(grant())
    listed = message(INIT)["payload"]["authorizations"][0]
    twice = [listed | {"expires_at": 0}, listed | {"expires_at": EXPIRY + 60}]
    portal.receive(message(INIT, authorizations=twice), NOW)
    assert told.authorizations(ALICE) == {CORP: EXPIRY + 60}
    assert told.poll_event() is None


def test_init_may_come_again() -> None:
    told, portal = session(CREATE, INIT)
    before = snapshot(told)
    portal.receive(INIT, NOW)
    assert snapshot(told) == before
