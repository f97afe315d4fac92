"""Fields that filtering does not use: whatever they hold, they refuse nothing."""

import json
import math
from typing import Any, TypeAlias

import pytest
from attrs import evolve

from firezone_filter import (
    CidrResource,
    DnsResource,
    Gateway,
    Icmp,
    PortalEvent,
    PortalReply,
    PortalSession,
    Tcp,
)
from firezone_filter.portal.message_fields import to_public_key
from tests.portal import (
    ALICE,
    ALLOW,
    CORP,
    CREATE,
    EXPIRY,
    ICMP,
    INIT,
    INTERNET,
    NAMED,
    NOW,
    OTHER_KEY,
    REJECT,
    REMOVED,
    RESOURCES,
    UPDATED,
    corp,
    fault_of,
    grant,
    held,
    message,
    named,
    reaches,
    session,
    updated,
    with_value,
)

Json: TypeAlias = Any

RING: dict[str, object] = {}
RING["ring"] = [RING]
DEEP: object = None
for _ in range(1_000):
    DEEP = [DEEP]

ODD: dict[str, Json] = {
    "missing": REMOVED,
    "null": None,
    "a number": -1,
    "not finite": math.nan,
    "beyond every float": 10**400,
    "an empty text": "",
    "half of a surrogate pair": "\ud800",
    "a list": ["x", {}],
    "an object": {"alg": "none"},
    "nested deeply": DEEP,
    "a mapping that holds itself": RING,
}
odd = pytest.mark.parametrize("value", ODD.values(), ids=ODD.keys())


@odd
@pytest.mark.parametrize(
    "field",
    [
        "account_slug",
        "config",
        "config.ipv4_masquerade_enabled",
        "flow_logs",
        "flow_logs.api_url",
        "flow_logs.upload_interval_secs",
        "flow_logs.upload_batch_size",
        "interface.search_domain",
        "interface.upstream_dns",
        "interface.upstream_do53",
        "interface.upstream_doh",
        "authorizations[0].ref",
        "relays",
    ],
)
def test_an_unused_field_of_init_refuses_nothing_and_is_handed_back(
    field: str, value: object
) -> None:
    sent = message(with_field(INIT, field), **{field: value})
    told, portal = session(grant())
    (answer,) = portal.receive(sent, NOW)
    assert isinstance(answer, PortalEvent)
    assert answer.payload is sent["payload"]
    assert told.authorizations(ALICE) == {CORP: EXPIRY}


@odd
@pytest.mark.parametrize(
    "field",
    [
        "client.device_os_name",
        "client.preshared_key",
        "client.public_key",
        "client_ice_credentials",
        "client_ice_credentials.username",
        "flow_logs_ingest_token",
        "gateway_ice_credentials",
        "gateway_ice_credentials.password",
        "subject",
        "use_iceless",
    ],
)
def test_an_unused_field_of_a_grant_refuses_nothing_and_is_handed_back(
    field: str, value: object
) -> None:
    sent = message(with_field(CREATE, field), **{field: value})
    told, portal = session()
    handed_back, reply = portal.receive(sent, NOW)
    assert isinstance(handed_back, PortalEvent)
    assert handed_back.payload is sent["payload"]
    assert reply == PortalReply("authorization_created", {"ref": "signed-reference"})
    assert reaches(told)


@odd
@pytest.mark.parametrize("field", ["ref", "topic", "more"])
@pytest.mark.parametrize("text", [INIT, CREATE, ALLOW, REJECT])
def test_an_unused_field_of_the_envelope_refuses_nothing(
    text: str, field: str, value: object
) -> None:
    _, portal = session(grant())
    portal.receive(with_value(json.loads(with_field(text, field, "")), field, value), NOW)


@odd
def test_the_payload_of_another_event_may_hold_anything(value: object) -> None:
    sent = {"event": "relays_presence", "payload": {"connected": value}}
    _, portal = session()
    (answer,) = portal.receive(sent, NOW)
    assert answer.payload is sent["payload"]


@pytest.mark.parametrize("name", [5, ["x"], "\ud800", {}, True])
def test_a_resource_whose_name_is_no_text_has_no_name(name: Json) -> None:
    told, portal = session(grant(corp(name=name)))
    assert held(told, CORP).name == ""
    portal.receive(updated(corp(name=name)), NOW)


@odd
@pytest.mark.parametrize("field", ["address", "name", "more"])
@pytest.mark.parametrize("resource", [corp(), named()], ids=["cidr", "dns"])
def test_only_the_filters_of_an_updated_resource_are_read(
    resource: dict[str, Json], field: str, value: object
) -> None:
    told, portal = session(grant(resource))
    sent = with_value(
        updated(resource | {field: "x", "filters": [ICMP]}), f"payload.{field}", value
    )
    assert portal.receive(sent, NOW) == []
    (granted, kept) = (held(told, resource["id"]) for told in (session(grant(resource))[0], told))
    assert isinstance(granted, CidrResource | DnsResource)
    assert kept == evolve(granted, filters=(Icmp(),))


def test_an_update_of_the_internet_needs_no_filters() -> None:
    _, portal = session(grant(RESOURCES[2]))
    sent = {"type": "internet", "id": INTERNET, "filters": 5, "address": 5}
    assert portal.receive(updated(sent), NOW) == []


def test_the_address_of_an_updated_resource_may_stand_twice() -> None:
    told, portal = session(grant(named()))
    portal.receive(UPDATED.replace('"address":', '"address":5,"address":'), NOW)
    kept = held(told, NAMED)
    assert isinstance(kept, DnsResource)
    assert (kept.address, kept.filters) == (named()["address"], (Icmp(), Tcp()))


@pytest.mark.parametrize("field", ["id", "type", "filters"])
def test_an_update_without_a_field_that_is_read_is_refused(field: str) -> None:
    sent = with_value(updated(corp()), f"payload.{field}", REMOVED)
    assert fault_of(sent).faults == (f"payload.{field}: is missing",)


def test_an_unused_field_may_stand_twice() -> None:
    told, _ = session(INIT.replace('"relays":[]', '"relays":[],"relays":{"a":1,"a":2}'), CREATE)
    assert reaches(told)


def test_a_used_field_may_not() -> None:
    twice = CREATE.replace('"client":{"id"', '"client":{"id":"bob","id"')
    assert fault_of(twice).faults == ("payload.client.id: given more than once",)


def with_field(text: str, path: str, inside: str = "payload.") -> str:
    """Return a message that has a field at *path*, so that it can be removed."""
    whole = json.loads(text)
    return json.dumps(with_value(whole, f"{inside}{path}", "x"))


# --- Public keys --------------------------------------------------------------------------

NOT_KEYS: dict[str, Json] = {
    "missing": REMOVED,
    "null": None,
    "a number": 7,
    "bytes": OTHER_KEY.encode(),
    "short": "AAAA",
    "empty": "",
    "not ASCII": "é" * 44,
    "31 bytes": "A" * 43,
    "33 bytes": "A" * 44,
    "bits after the last byte": "A" * 42 + "B=",
    "characters that Python skips": "-" * 43 + "=",
}
not_a_key = pytest.mark.parametrize("key", NOT_KEYS.values(), ids=NOT_KEYS.keys())


@not_a_key
def test_a_key_of_an_odd_form_is_unknown(key: Json) -> None:
    assert to_public_key(key) is None


def test_a_key_is_32_bytes_in_base64() -> None:
    assert to_public_key("A" * 43 + "=") == bytes(32)


def authorized_with(first: Json, second: Json) -> Gateway:
    """Grant the name and then the network, each in a message with a public key."""
    told = session()[0]
    portal = PortalSession(told)
    portal.receive(message(CREATE, **{"client.public_key": first, "resource.id": "db"}), NOW)
    portal.receive(message(CREATE, **{"client.public_key": second}), NOW)
    return told


@not_a_key
def test_with_an_unknown_key_only_the_addresses_tell_of_a_restart(key: Json) -> None:
    assert set(authorized_with(key, OTHER_KEY).authorizations(ALICE)) == {"db", CORP}
    assert set(authorized_with(OTHER_KEY, key).authorizations(ALICE)) == {"db", CORP}


def test_an_unknown_key_does_not_replace_a_known_one() -> None:
    told, portal = session(message(CREATE, **{"client.public_key": OTHER_KEY}))
    portal.receive(message(CREATE, **{"client.public_key": "AAAA", "resource.id": "db"}), NOW)
    assert set(told.authorizations(ALICE)) == {"db", CORP}
    portal.receive(CREATE, NOW)
    assert set(told.authorizations(ALICE)) == {CORP}
