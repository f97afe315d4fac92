"""Grants: `create_authorization` and its older forms, restarts, resources held already."""

import json

import pytest
from attrs import evolve

from firezone_filter import (
    AccessExhausted,
    AuthorizationExpired,
    CidrResource,
    DnsResource,
    Gateway,
    InternetResource,
    PortalEvent,
    PortalReply,
    PortalSession,
    Reason,
    Resource,
    Tcp,
    Translate,
    TunnelAddresses,
)
from firezone_filter.testing import tcp
from tests.portal import (
    ALICE,
    ALICES,
    ALLOW,
    BOB,
    BOBS,
    CORP,
    CREATE,
    EXPIRY,
    ICMP,
    INBOUND,
    INTERNET,
    NAMED,
    NOW,
    OUTBOUND,
    REJECT,
    REMOVED,
    RESOURCES,
    TCP_443,
    Json,
    corp,
    grant,
    held,
    message,
    named,
    reaches,
    resolve,
    session,
    updated,
)
from tests.scenes import refusal

# --- create_authorization -----------------------------------------------------------------


def test_a_created_authorization_opens_both_directions_until_it_expires() -> None:
    told, portal = session()
    assert not reaches(told)
    assert portal.receive(CREATE, NOW) == [
        PortalEvent("create_authorization", json.loads(CREATE)["payload"]),
        PortalReply("authorization_created", {"ref": "signed-reference"}),
    ]
    assert reaches(told)
    assert told.authorizations(ALICE) == {CORP: EXPIRY}
    told.handle_timeout(EXPIRY)
    assert not reaches(told)


def test_a_created_authorization_permits_the_network_and_no_other() -> None:
    told, _ = session(CREATE)
    assert reaches(told, "172.20.255.255:443")
    assert not reaches(told, "172.21.0.0:443")


def test_a_created_authorization_permits_only_what_its_filters_permit() -> None:
    told, _ = session(grant(corp(TCP_443)))
    assert reaches(told, "172.20.0.5:443")
    assert not reaches(told, "172.20.0.5:444")


def test_a_created_authorization_is_for_its_client_alone() -> None:
    told, _ = session(CREATE)
    told.client_connected("bob", BOBS)
    assert not reaches(told, near="100.64.0.3:5401")


@pytest.mark.parametrize(
    ("event", "reply"),
    [("create_authorization", "authorization_created"), ("authorize_flow", "flow_authorized")],
)
def test_the_reply_to_an_authorization_repeats_the_reference(event: str, reply: str) -> None:
    told, portal = session()
    sent = message(CREATE, ref="opaque\u00e9") | {"event": event}
    assert portal.receive(sent, NOW) == [
        PortalEvent(event, sent["payload"]),
        PortalReply(reply, {"ref": "opaque\u00e9"}),
    ]
    assert reaches(told)


def test_a_reply_is_sent_in_the_envelope_of_the_channel() -> None:
    assert json.loads(PortalReply("authorization_created", {"ref": "é"}).to_json()) == {
        "event": "authorization_created",
        "ref": None,
        "topic": "gateway",
        "payload": {"ref": "é"},
    }


@pytest.mark.parametrize("never", [None, REMOVED])
def test_an_authorization_without_expiry_never_ends(never: object) -> None:
    told, _ = session(message(CREATE, expires_at=never))
    assert told.authorizations(ALICE) == {CORP: None}
    told.handle_timeout(NOW + 1e9)
    assert reaches(told)


def test_an_authorization_that_is_created_again_is_extended() -> None:
    told, _ = session(CREATE, message(CREATE, expires_at=EXPIRY + 60))
    told.handle_timeout(EXPIRY)
    assert reaches(told)
    assert told.authorizations(ALICE) == {CORP: EXPIRY + 60}


def test_an_authorization_that_has_expired_on_arrival_is_reported_as_such() -> None:
    told, _ = session(message(CREATE, expires_at=int(NOW)))
    assert told.authorizations(ALICE) == {}
    assert told.poll_event() == AuthorizationExpired(ALICE, CORP, NOW)
    assert told.poll_event() == AccessExhausted(ALICE)


@pytest.mark.parametrize(
    ("resource", "expected"),
    [
        (RESOURCES[0], CidrResource(CORP, "172.20.0.0/16", (), "MyCorp Network")),
        (named(TCP_443), DnsResource(NAMED, "?.httpbin", [Tcp(443)], "httpbin")),
        (RESOURCES[2], InternetResource(INTERNET)),
    ],
)
def test_each_type_of_resource_can_be_granted(
    resource: dict[str, Json], expected: Resource
) -> None:
    told, _ = session(grant(resource))
    assert held(told, resource["id"]) == expected


def test_the_internet_is_reached_without_filters() -> None:
    told, _ = session(grant(RESOURCES[2]))
    assert reaches(told, "1.1.1.1:443")
    assert not reaches(told)


def test_other_fields_of_the_internet_are_ignored() -> None:
    told, _ = session(grant(RESOURCES[2] | {"name": 5, "exclude": ["1.0.0.0/8"], "filters": 5}))
    assert reaches(told, "1.1.1.1:443")


def test_a_resource_needs_no_name() -> None:
    told, _ = session(message(CREATE, **{"resource.name": REMOVED}))
    assert reaches(told)


def test_an_id_is_any_text() -> None:
    told, _ = session(grant(corp(id="ä"), id="!"))
    assert told.authorizations("!") == {"ä": None}


def test_unknown_fields_are_ignored_everywhere() -> None:
    told, _ = session(
        {
            "event": "create_authorization",
            "join_ref": 5,
            "payload": grant(
                corp(TCP_443 | {"x": 1}, ip_stack="dual"),
                version="1.5.0",
                device_serial=None,
                device_os_name="Linux",
                device_os_version="6",
                device_uuid="u",
                firebase_installation_id=None,
                identifier_for_vendor=None,
            )["payload"]
            | {"subject": {"id": 5}, "actor": [], "flow_id": "f"},
        }
    )
    assert reaches(told)


@pytest.mark.parametrize("exclude", [["172.20.0.0/24"], ["10.0.0.0/8"], None])
def test_extensions_of_policy_files_are_unknown_fields(exclude: object) -> None:
    pings = {"protocol": "icmp", "types": [8], "types_v6": None}
    told, _ = session(grant(corp(pings, TCP_443 | {"types": [8]}, exclude=exclude)))
    plain, _ = session(grant(corp(ICMP, TCP_443)))
    assert held(told, CORP) == held(plain, CORP)


# --- Clients that restart or come back ----------------------------------------------------


@pytest.mark.parametrize(
    "restarted",
    [
        {"public_key": "sMeTuiJ3mezfpVdan948CmisIWbwBZ1z7jBNnbVtfVg="},
        {"ipv4": "100.93.74.52"},
        {"ipv6": "fd00:2021:1111::f:853c"},
    ],
)
def test_a_client_with_another_address_or_key_has_restarted_and_lost_everything(
    restarted: dict[str, str],
) -> None:
    told, portal = session(grant(), grant(named()))
    portal.receive(grant(named(), **restarted), NOW)
    assert told.authorizations(ALICE) == {NAMED: None}
    assert refusal(told.handle_packet(INBOUND, tcp("172.20.0.5:443 > 100.93.74.51:5401"))) in (
        Reason.NO_RESOURCE,
        Reason.UNKNOWN_CLIENT,
    )


@pytest.mark.parametrize("fields", [{}, {"preshared_key": BOB["public_key"]}])
def test_a_client_with_the_same_addresses_and_key_keeps_its_tunnel_session(
    fields: dict[str, str],
) -> None:
    told, _ = session(grant(), grant(named(), **fields))
    assert told.authorizations(ALICE) == {CORP: None, NAMED: None}


def test_a_client_that_the_host_connected_itself_keeps_what_it_has() -> None:
    told, portal = session()
    told.client_connected(ALICE, ALICES)
    told.authorize(ALICE, CidrResource("db", "10.0.0.0/24"))
    portal.receive(grant(), NOW)
    assert set(told.authorizations(ALICE)) == {"db", CORP}


def test_the_first_key_of_a_client_that_the_host_connected_counts_from_there() -> None:
    told, portal = session()
    told.client_connected(ALICE, ALICES)
    portal.receive(grant(), NOW)
    portal.receive(grant(named(), public_key=BOB["public_key"]), NOW)
    assert told.authorizations(ALICE) == {NAMED: None}


def test_a_client_that_the_host_connected_with_one_address_begins_anew_with_two() -> None:
    told, portal = session()
    told.client_connected(ALICE, TunnelAddresses(ipv4=ALICES.ipv4))
    told.authorize(ALICE, CidrResource("db", "10.0.0.0/24"))
    portal.receive(grant(), NOW)
    assert told.authorizations(ALICE) == {CORP: None}


def test_a_client_that_has_gone_is_connected_again() -> None:
    told, portal = session(grant())
    told.client_disconnected(ALICE)
    portal.receive(grant(named()), NOW)
    assert told.authorizations(ALICE) == {NAMED: None}


def test_the_key_of_a_disconnected_client_still_shows_a_restart() -> None:
    told, portal = session(grant())
    told.client_disconnected(ALICE)
    told.client_connected(ALICE, ALICES)
    told.authorize(ALICE, CidrResource("db", "10.0.0.0/24"))
    portal.receive(grant(public_key=BOB["public_key"]), NOW)
    assert told.authorizations(ALICE) == {CORP: None}


def test_the_number_of_keys_of_disconnected_clients_is_limited(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("firezone_filter.portal.session.MAX_DISCONNECTED_KEYS", 1)
    told, portal = session(grant())
    visit(told, portal, "guest-1")
    visit(told, portal, "guest-2")
    assert set(portal._public_keys) == {ALICE, "guest-1", "guest-2"}
    visit(told, portal, "guest-3")
    visit(told, portal, "guest-4")
    assert set(portal._public_keys) == {ALICE, "guest-3", "guest-4"}


def visit(told: Gateway, portal: PortalSession, client_id: str) -> None:
    portal.receive(grant(**(BOB | {"id": client_id})), NOW)
    told.client_disconnected(client_id)


# --- Resources that a client has already --------------------------------------------------


def test_a_resource_that_is_granted_again_gets_the_new_filters() -> None:
    told, portal = session(grant())
    portal.receive(grant(corp(TCP_443)), NOW)
    assert reaches(told, "172.20.0.5:443")
    assert not reaches(told, "172.20.0.5:444")


def test_a_network_stays_where_it_is_under_the_same_id() -> None:
    told, portal = session(grant())
    portal.receive(grant(corp(address="10.0.0.0/8", name="Other")), NOW)
    assert reaches(told)
    assert not reaches(told, "10.0.0.5:443")
    assert held(told, CORP).name == "MyCorp Network"


def test_a_network_keeps_what_the_host_excluded_from_it() -> None:
    told, portal = session(grant())
    narrow = CidrResource(CORP, "172.20.0.0/16", exclude=["172.20.1.0/24"])
    told.authorize(ALICE, narrow)
    for sent in (grant(corp(TCP_443, exclude=[])), updated(corp(TCP_443))):
        portal.receive(sent, NOW)
        assert held(told, CORP) == evolve(narrow, filters=[Tcp(443)])


def test_a_pattern_stays_as_it_is_under_the_same_id() -> None:
    told, portal = session(grant(named()))
    portal.receive(grant(named(address="*.example.com", name="Other")), NOW)
    resolve(told, "a.httpbin")
    assert held(told, NAMED).name == "httpbin"


def test_the_internet_keeps_what_the_host_excluded_from_it() -> None:
    told, portal = session(grant())
    told.authorize(ALICE, InternetResource(INTERNET, exclude=["1.0.0.0/8"]))
    portal.receive(grant(RESOURCES[2]), NOW)
    assert not reaches(told, "1.1.1.1:443")


def test_a_new_place_counts_once_the_resource_has_been_rejected() -> None:
    told, _ = session(CREATE, REJECT, grant(corp(address="10.0.0.0/8")))
    assert not reaches(told)
    assert reaches(told, "10.0.0.5:443")


@pytest.mark.parametrize("resource", [corp(address="10.0.0.0/8"), named(id=CORP)])
def test_another_place_or_type_counts_once_the_authorization_is_over(
    resource: dict[str, Json],
) -> None:
    told, portal = session(CREATE)
    portal.receive(grant(resource), EXPIRY)
    assert told.authorizations(ALICE) == {CORP: None}
    assert reaches(told, "10.0.0.5:443") is (resource["type"] == "cidr")
    assert not reaches(told)


def test_another_type_counts_for_a_client_that_has_restarted() -> None:
    told, portal = session(CREATE)
    portal.receive(grant(named(id=CORP), public_key=BOB["public_key"]), NOW)
    assert held(told, CORP).name == "httpbin"


# --- allow_access -------------------------------------------------------------------------


def test_an_older_portal_allows_access_and_has_a_name_resolved() -> None:
    told, portal = session()
    assert portal.receive(ALLOW, NOW) == [
        PortalEvent("allow_access", json.loads(ALLOW)["payload"]),
        PortalReply("connection_ready", {"ref": "r"}),
    ]
    assert told.authorizations(ALICE) == {NAMED: EXPIRY}
    packet = tcp("100.93.74.51:5401 > 100.96.0.1:443")
    assert refusal(told.handle_packet(OUTBOUND, packet)) == Reason.NO_RESOURCE
    resolve(told, "gitlab.mycorp.com")
    assert isinstance(told.handle_packet(OUTBOUND, packet), Translate)


@pytest.mark.parametrize("none", [None, REMOVED])
def test_an_older_portal_allows_access_without_a_domain(none: object) -> None:
    told, portal = session()
    answers = portal.receive(message(ALLOW, resource=corp(), payload=none), NOW)
    assert answers == [PortalReply("connection_ready", {"ref": "r"})]
    assert reaches(told)


def test_an_older_portal_may_allow_access_for_ever() -> None:
    told, _ = session(message(ALLOW, expires_at=None))
    assert told.authorizations(ALICE) == {NAMED: None}


def test_allow_access_has_no_key_that_could_show_a_restart() -> None:
    told, portal = session(grant())
    portal.receive(ALLOW, NOW)
    portal.receive(grant(public_key=BOB["public_key"]), NOW)
    assert told.authorizations(ALICE) == {CORP: None}
    portal.receive(ALLOW, NOW)
    assert told.authorizations(ALICE) == {CORP: None, NAMED: EXPIRY}


def test_allow_access_with_another_address_is_a_restart() -> None:
    told, portal = session(grant())
    portal.receive(message(ALLOW, client_ipv4="100.93.74.52"), NOW)
    assert told.authorizations(ALICE) == {NAMED: EXPIRY}
    portal.receive(grant(ipv4="100.93.74.52", public_key=BOB["public_key"]), NOW)
    assert told.authorizations(ALICE) == {NAMED: EXPIRY, CORP: None}
