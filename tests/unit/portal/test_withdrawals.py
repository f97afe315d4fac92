"""Refused messages: what they take away is taken away all the same, and nothing is granted."""

import json
from typing import Any

import pytest

from firezone_filter import (
    AccessExhausted,
    AddressInUse,
    AuthorizationExpired,
    Gateway,
    InvalidMessage,
    PortalSession,
)
from tests.portal import (
    ALICE,
    ALICES,
    ALLOW,
    BOB,
    BOBS,
    CORP,
    CREATE,
    EXPIRY,
    INIT,
    INTERNET,
    NAMED,
    NOW,
    OTHER_KEY,
    OWN,
    REJECT,
    REMOVED,
    RESOURCES,
    TCP_443,
    Json,
    corp,
    grant,
    message,
    named,
    reaches,
    session,
    snapshot,
    story,
    updated,
)

LATER = NOW + 5


def refused(portal: PortalSession, sent: Json, now: float = LATER) -> InvalidMessage:
    with pytest.raises(InvalidMessage) as caught:
        portal.receive(sent, now)
    return caught.value


def listed(resource_id: str = CORP, client_id: str = ALICE, **more: object) -> dict[str, Json]:
    return {"client_id": client_id, "resource_id": resource_id, "expires_at": EXPIRY} | more


# --- init: the address of a client that it drops ------------------------------------------


@pytest.mark.parametrize("family", ["ipv4", "ipv6"])
def test_an_init_that_wants_the_address_of_a_client_revokes_first(family: str) -> None:
    told, portal = session(grant(), grant(**BOB))
    bobs = str(getattr(BOBS, family))
    error = refused(portal, message(INIT, **{f"interface.{family}": bobs}))
    assert not reaches(told, near="100.64.0.3:5401")
    assert told.authorizations("bob") == {}
    assert told.poll_event() == AccessExhausted("bob")
    assert error.faults == (f"payload.interface.{family}: {bobs} belongs to 'bob'",)
    # Alice's authorization had no end, and now has one.
    assert error.revoked_from == ("bob", ALICE)
    taken = f"taken away all the same, from 'bob', '{ALICE}'"
    assert str(error).splitlines() == [*error.faults, taken]
    assert isinstance(error.__cause__, AddressInUse)
    assert error.__cause__.client_id == "bob"


def test_the_client_stays_connected_and_the_gateway_keeps_its_own_address() -> None:
    told, portal = session(grant(), grant(**BOB))
    refused(portal, message(INIT, **{"interface.ipv4": str(BOBS.ipv4)}))
    assert told.clients() == (ALICE, "bob")
    assert told._context.addresses == OWN


def test_the_same_init_is_carried_out_once_the_client_has_gone() -> None:
    told, portal = session(grant(), grant(**BOB))
    sent = message(INIT, **{"interface.ipv4": str(BOBS.ipv4)})
    refused(portal, sent)
    told.client_disconnected("bob")
    portal.receive(sent, LATER)
    assert reaches(told, f"{BOBS.ipv4}:22")


# --- init: any other fault ----------------------------------------------------------------

FAULTS: dict[str, dict[str, Json]] = {
    "no interface": {"interface": REMOVED},
    "an interface of another type": {"interface": 5},
    "no address": {"interface.ipv4": REMOVED},
    "an address outside the plan": {"interface.ipv6": "fd00:2022::1"},
    "not an address": {"interface.ipv4": "x"},
}
each_fault = pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())


@each_fault
def test_a_refused_init_revokes_what_it_does_not_list(fault: dict[str, Json]) -> None:
    told, portal = session(grant(), grant(RESOURCES[2]), grant(**BOB))
    error = refused(portal, message(INIT, authorizations=[listed()], **fault))
    assert set(told.authorizations(ALICE)) == {CORP}
    assert told.authorizations("bob") == {}
    assert set(error.revoked_from) == {ALICE, "bob"}
    assert reaches(told)
    assert not reaches(told, "1.1.1.1:443")


@each_fault
@pytest.mark.parametrize("none", [[], (), REMOVED])
def test_a_refused_init_without_authorizations_revokes_all(
    none: object, fault: dict[str, Json]
) -> None:
    told, portal = session(grant(), grant(**BOB))
    refused(portal, message(INIT, authorizations=none, **fault))
    assert told.authorizations(ALICE) == told.authorizations("bob") == {}


@each_fault
def test_a_refused_init_shortens_but_never_prolongs(fault: dict[str, Json]) -> None:
    told, portal = session(CREATE, grant(named()), grant(RESOURCES[2]))
    told.update_expiry(ALICE, NAMED, EXPIRY)
    ends = [
        listed(CORP, expires_at=EXPIRY - 60),
        listed(NAMED, expires_at=EXPIRY + 60),
        listed(INTERNET, expires_at=EXPIRY + 60),
    ]
    error = refused(portal, message(INIT, authorizations=ends, **fault))
    assert told.authorizations(ALICE) == {
        CORP: EXPIRY - 60,
        NAMED: EXPIRY,
        INTERNET: EXPIRY + 60,
    }
    assert error.revoked_from == (ALICE,)


def test_an_end_that_has_passed_takes_effect_though_the_init_is_refused() -> None:
    told, portal = session(CREATE)
    refused(portal, message(INIT, interface=5, authorizations=[listed(expires_at=int(NOW))]))
    assert told.poll_event() == AuthorizationExpired(ALICE, CORP, NOW)
    assert told.authorizations(ALICE) == {}


ODD_ENTRIES: dict[str, Json] = {
    "no object": 5,
    "no client": {"resource_id": CORP, "expires_at": EXPIRY},
    "no resource": {"client_id": ALICE, "expires_at": EXPIRY},
    "a number": listed(7),  # type: ignore[arg-type]  # the mistake
    "an empty id": listed(""),
    "a list": listed(client_id=[ALICE]),  # type: ignore[arg-type]  # the mistake
}


@pytest.mark.parametrize("entry", ODD_ENTRIES.values(), ids=ODD_ENTRIES.keys())
def test_an_entry_whose_ids_cannot_be_read_keeps_nothing(entry: Json) -> None:
    told, portal = session(grant(), grant(RESOURCES[2]))
    refused(portal, message(INIT, authorizations=[entry, listed(INTERNET)]))
    assert set(told.authorizations(ALICE)) == {INTERNET}


def test_an_entry_whose_ids_stand_twice_keeps_nothing() -> None:
    told, portal = session(grant(), grant(named()))
    entry = json.dumps(listed()).replace("{", f'{{"resource_id": "{NAMED}", ')
    twice = json.dumps(message(INIT, authorizations="x")).replace('"x"', f"[{entry}]")
    error = refused(portal, twice)
    assert error.faults == ("payload.authorizations[0].resource_id: given more than once",)
    assert told.authorizations(ALICE) == {}


@pytest.mark.parametrize("expiry", ["soon", None, -1, 2**64, 1.5, True, REMOVED, 2**40])
def test_an_entry_whose_end_cannot_be_read_keeps_its_authorization(expiry: object) -> None:
    told, portal = session(CREATE, grant(RESOURCES[2]))
    entry = listed(expires_at=expiry)
    if expiry is REMOVED:
        del entry["expires_at"]
    refused(portal, message(INIT, authorizations=[entry]))
    assert told.authorizations(ALICE) == {CORP: EXPIRY}


# --- Messages that cannot be read so far --------------------------------------------------

UNREADABLE: dict[str, Json] = {
    "a list of another type": message(INIT, authorizations={}),
    "null as a list": message(INIT, authorizations=None),
    "no payload": {"event": "init"},
    "a payload of another type": {"event": "init", "payload": []},
    "no event": {"payload": message(INIT, authorizations=[])["payload"]},
    "not JSON": INIT[:-3],
    "no object": "[]",
    "a list twice": INIT.replace('"relays":[]', '"authorizations":[]'),
    "an event twice": INIT.replace('"event":"init"', '"event":"x","event":"init"'),
    "a payload twice": INIT.replace('"ref":null', '"payload":{}'),
}


@pytest.mark.parametrize("sent", UNREADABLE.values(), ids=UNREADABLE.keys())
def test_a_message_whose_revocations_cannot_be_read_changes_nothing(sent: Json) -> None:
    told, portal = story()
    before = snapshot(told)
    assert refused(portal, sent).revoked_from == ()
    assert snapshot(told) == before


def test_a_refused_init_that_takes_nothing_away_changes_nothing_not_even_the_time() -> None:
    told, portal = session(CREATE)
    before = snapshot(told)
    error = refused(portal, message(INIT, interface=5))
    assert (error.revoked_from, str(error)) == ((), "payload.interface: 5 is not an object")
    assert snapshot(told) == before


def test_a_message_that_takes_away_moves_the_time_and_expires_what_is_due_first() -> None:
    told, portal = session(CREATE, grant(RESOURCES[2]))
    error = refused(portal, message(INIT, interface=5, authorizations=[]), EXPIRY)
    assert told.poll_event() == AuthorizationExpired(ALICE, CORP, EXPIRY)
    assert told.poll_event() == AccessExhausted(ALICE)
    assert error.revoked_from == (ALICE,)
    assert repr(EXPIRY) in repr(told)


# --- Restarted clients --------------------------------------------------------------------

BAD_GRANTS: dict[str, dict[str, Json]] = {
    "no reference": {"ref": REMOVED},
    "a faulty resource": {"resource": 5},
    "faulty filters": {"resource.filters": None},
    "an end too far ahead": {"expires_at": 2**40},
}
RESTARTS: dict[str, dict[str, Json]] = {
    "another key": {"client.public_key": OTHER_KEY},
    "another IPv4 address": {"client.ipv4": "100.64.0.9"},
    "another IPv6 address": {"client.ipv6": "fd00:2021:1111::9"},
    "another address and one that cannot be read": {
        "client.ipv4": "100.64.0.9",
        "client.ipv6": 5,
    },
    "another key and no address": {
        "client.public_key": OTHER_KEY,
        "client.ipv4": "x",
        "client.ipv6": REMOVED,
    },
}


@pytest.mark.parametrize("fault", BAD_GRANTS.values(), ids=BAD_GRANTS.keys())
@pytest.mark.parametrize("restart", RESTARTS.values(), ids=RESTARTS.keys())
def test_a_restarted_client_loses_its_old_session_though_the_grant_is_refused(
    restart: dict[str, Json], fault: dict[str, Json]
) -> None:
    told, portal = session(CREATE, grant(**BOB))
    error = refused(portal, message(CREATE, **restart, **fault))
    assert told.clients() == ("bob",)
    assert not reaches(told)
    assert error.revoked_from == (ALICE,)
    assert error.faults
    assert portal._public_keys.keys() == {"bob"}


@pytest.mark.parametrize("address", ["10.0.0.1", str(BOBS.ipv4), str(OWN.ipv4)])
def test_an_address_that_the_gateway_refuses_is_another_one_all_the_same(address: str) -> None:
    told, portal = session(CREATE, grant(**BOB))
    refused(portal, message(CREATE, **{"client.ipv4": address}))
    assert told.clients() == ("bob",)


@pytest.mark.parametrize("family", ["client_ipv4", "client_ipv6"])
def test_older_grants_tell_of_a_restart_by_their_addresses(family: str) -> None:
    told, portal = session(ALLOW)
    error = refused(portal, message(ALLOW, ref=5, **{family: str(getattr(BOBS, family[-4:]))}))
    assert (told.clients(), error.revoked_from) == ((), (ALICE,))


@pytest.mark.parametrize("fault", BAD_GRANTS.values(), ids=BAD_GRANTS.keys())
@pytest.mark.parametrize(
    "same",
    [
        {},
        {"client.public_key": "AAAA"},
        {"client.public_key": REMOVED},
        {"client.ipv4": "x"},
        {"client.id": "nobody", "client.ipv4": "100.64.0.9", "client.ipv6": "fd00:2021:1111::9"},
        {"client.id": 5, "client.ipv4": "100.64.0.9"},
        {"client": 5},
    ],
)
def test_a_refused_grant_takes_nothing_from_a_client_that_has_not_restarted(
    same: dict[str, Json], fault: dict[str, Json]
) -> None:
    told, portal = session(CREATE)
    before = snapshot(told)
    assert refused(portal, message(CREATE, **same, **fault)).revoked_from == ()
    assert snapshot(told) == before


def test_a_refused_grant_connects_nobody() -> None:
    told, portal = session()
    refused(portal, message(CREATE, ref=REMOVED))
    assert told.clients() == ()


# --- An earlier end -----------------------------------------------------------------------

FAULTY: dict[str, dict[str, Json]] = {
    "no reference": {"ref": REMOVED},
    "an address of no use": {"client.ipv6": None},
    "faulty filters": {"resource.filters": [{"protocol": "x"}]},
    "another type": {"resource.type": "internet"},
    "a faulty network": {"resource.address": 5},
}


@pytest.mark.parametrize("event", ["create_authorization", "authorize_flow"])
@pytest.mark.parametrize("fault", FAULTY.values(), ids=FAULTY.keys())
def test_a_refused_grant_lets_what_the_client_has_end_earlier(
    event: str, fault: dict[str, Json]
) -> None:
    told, portal = session(CREATE, grant(RESOURCES[2]), grant(**BOB))
    sent = message(CREATE, expires_at=EXPIRY - 60, **fault) | {"event": event}
    assert refused(portal, sent).revoked_from == (ALICE,)
    assert told.authorizations(ALICE) == {CORP: EXPIRY - 60, INTERNET: None}
    assert told.authorizations("bob") == {CORP: None}
    assert reaches(told, "172.20.0.5:22")


def test_a_refused_allow_access_lets_what_the_client_has_end_earlier() -> None:
    told, portal = session(ALLOW)
    assert refused(portal, message(ALLOW, ref=5, expires_at=EXPIRY - 1)).revoked_from == (ALICE,)
    assert told.authorizations(ALICE) == {NAMED: EXPIRY - 1}


def test_an_end_takes_effect_where_there_was_none() -> None:
    told, portal = session(grant())
    assert refused(portal, message(CREATE, ref=5)).revoked_from == (ALICE,)
    assert told.authorizations(ALICE) == {CORP: EXPIRY}


def test_an_end_that_has_passed_takes_effect_though_the_grant_is_refused() -> None:
    told, portal = session(CREATE)
    error = refused(portal, message(CREATE, ref=5, expires_at=int(LATER)))
    assert error.revoked_from == (ALICE,)
    assert told.poll_event() == AuthorizationExpired(ALICE, CORP, int(LATER))
    assert not reaches(told)


@pytest.mark.parametrize(
    "more",
    [
        {"expires_at": EXPIRY},
        {"expires_at": EXPIRY + 1},
        {"expires_at": None},
        {"expires_at": REMOVED},
        {"expires_at": "soon"},
        {"expires_at": True},
        {"expires_at": -1},
        {"expires_at": 2**40},
        {"expires_at": EXPIRY - 60, "resource.id": NAMED},
        {"expires_at": EXPIRY - 60, "resource.id": 5},
        {"expires_at": EXPIRY - 60, "resource": 5},
        {"expires_at": EXPIRY - 60, "client.id": 5},
        {
            "expires_at": EXPIRY - 60,
            "client.id": "bob",
            "client.ipv4": str(BOBS.ipv4),
            "client.ipv6": str(BOBS.ipv6),
        },
    ],
)
def test_a_refused_grant_without_an_earlier_end_of_what_the_client_has_changes_nothing(
    more: dict[str, Json],
) -> None:
    told, portal = session(CREATE)
    before = snapshot(told)
    assert refused(portal, message(CREATE, ref=5, **more)).revoked_from == ()
    assert snapshot(told) == before


def test_an_end_that_stands_twice_changes_nothing() -> None:
    told, portal = session(CREATE)
    twice = CREATE.replace('"expires_at":', f'"expires_at":{EXPIRY - 60},"expires_at":')
    assert refused(portal, twice).revoked_from == ()
    assert told.authorizations(ALICE) == {CORP: EXPIRY}


def test_what_has_expired_by_now_is_not_ended_once_more() -> None:
    _, portal = session(CREATE)
    sent = message(CREATE, ref=5, expires_at=EXPIRY - 60)
    assert refused(portal, sent, EXPIRY).revoked_from == ()


# --- All or nothing -----------------------------------------------------------------------


def test_a_refused_grant_with_stricter_filters_leaves_them() -> None:
    told, portal = session(CREATE)
    sent = message(CREATE, ref=5, **{"resource.filters": [TCP_443]})
    assert refused(portal, sent).revoked_from == ()
    assert reaches(told, "172.20.0.5:22")


def test_an_update_with_stricter_filters_and_a_fault_leaves_all() -> None:
    told, portal = session(grant())
    assert refused(portal, updated(corp(TCP_443, {"protocol": "x"}))).revoked_from == ()
    assert reaches(told, "172.20.0.5:22")


def test_a_rejection_that_names_its_authorization_is_never_refused() -> None:
    told, portal = session(CREATE)
    sent: dict[str, Any] = json.loads(REJECT)
    portal.receive(sent | {"ref": [float("nan")], "topic": 5, "x": {}}, NOW)
    assert told.authorizations(ALICE) == {}


# --- The error ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("clients", "end"),
    [(1, "from 'c0'"), (10, "'c8', 'c9'"), (11, "'c9' and 1 more"), (1_200, "and 1,190 more")],
)
def test_the_error_names_the_first_clients_and_counts_the_others(clients: int, end: str) -> None:
    _, portal = session()
    ids = [f"c{n}" for n in range(clients)]
    for n, client_id in enumerate(ids):
        one = {"ipv4": f"100.64.{16 + n // 256}.{n % 256}", "ipv6": f"fd00:2021:1111::{n + 16:x}"}
        portal.receive(grant(None, id=client_id, **one), NOW)
    error = refused(portal, {"event": "init", "payload": {}})
    assert error.revoked_from == tuple(ids)
    assert str(error).endswith(end)


def test_a_client_that_the_host_has_connected_can_lose_its_session_too() -> None:
    told = Gateway(OWN)
    told.client_connected("dora", BOBS, NOW)
    sent = message(CREATE, ref=5, **{"client.id": "dora", "client.ipv4": str(ALICES.ipv4)})
    assert refused(PortalSession(told), sent).revoked_from == ("dora",)
