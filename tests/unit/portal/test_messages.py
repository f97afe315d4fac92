"""Messages: their required fields, the type of each field, and the faults of their values."""

import json

import pytest

from tests.portal import (
    ACTED_ON,
    ALLOW,
    CREATE,
    EXPIRY,
    EXTENDED,
    INIT,
    NOW,
    REJECT,
    REMOVED,
    TCP_443,
    UPDATED,
    fault_of,
    message,
    story,
    with_value,
)


@pytest.mark.parametrize("text", ACTED_ON.values(), ids=ACTED_ON)
def test_without_a_change_no_message_has_a_fault(text: str) -> None:
    _, portal = story()
    portal.receive(text, NOW + 5)


# --- Required fields -------------------------------------------------------------------------

REQUIRED = {
    INIT: [
        "interface",
        "interface.ipv4",
        "interface.ipv6",
        "authorizations[0].client_id",
        "authorizations[0].resource_id",
        "authorizations[0].expires_at",
    ],
    CREATE: [
        "ref",
        "client",
        "client.id",
        "client.ipv4",
        "client.ipv6",
        "resource",
        "resource.filters",
    ],
    ALLOW: [
        "ref",
        "client_id",
        "client_ipv4",
        "client_ipv6",
        "resource",
        "resource.filters",
        "expires_at",
        "payload.name",
        "payload.proxy_ips",
    ],
    REJECT: ["client_id", "resource_id"],
    UPDATED: ["filters", "filters[0].protocol"],
    EXTENDED: ["client_id", "resource_id", "expires_at"],
}
MISSING = [(text, field) for text, fields in REQUIRED.items() for field in fields]
EVENTS = {text: event for event, text in ACTED_ON.items()}


def named_row(row: object) -> str | None:
    return EVENTS.get(row) if isinstance(row, str) else None


@pytest.mark.parametrize(("text", "field"), MISSING, ids=named_row)
def test_a_missing_field_is_named(text: str, field: str) -> None:
    error = fault_of(message(text, **{field: REMOVED}))
    assert error.faults == (f"payload.{field}: is missing",)


@pytest.mark.parametrize("field", ["event", "payload"])
@pytest.mark.parametrize("text", ACTED_ON.values(), ids=ACTED_ON)
def test_a_missing_part_of_the_envelope_is_named(text: str, field: str) -> None:
    error = fault_of(with_value(json.loads(text), field, REMOVED))
    assert error.faults == (f"{field}: is missing",)


# --- Types -----------------------------------------------------------------------------------

TEXT, OBJECT, LIST = "is not a text", "is not an object", "is not a list"
SECONDS = "is not a time in whole seconds"

KINDS: dict[str, list[tuple[str, str]]] = {
    INIT: [
        ("interface", OBJECT),
        ("interface.ipv4", TEXT),
        ("interface.ipv6", TEXT),
        ("authorizations", LIST),
        ("authorizations[0].client_id", TEXT),
        ("authorizations[0].resource_id", TEXT),
        ("authorizations[0].expires_at", SECONDS),
    ],
    CREATE: [
        ("ref", TEXT),
        ("client", OBJECT),
        ("client.id", TEXT),
        ("client.ipv4", TEXT),
        ("client.ipv6", TEXT),
        ("resource", OBJECT),
        ("resource.filters", LIST),
        ("expires_at", SECONDS),
    ],
    ALLOW: [
        ("ref", TEXT),
        ("client_id", TEXT),
        ("client_ipv4", TEXT),
        ("client_ipv6", TEXT),
        ("resource", OBJECT),
        ("expires_at", SECONDS),
        ("payload", OBJECT),
        ("payload.name", TEXT),
        ("payload.proxy_ips", LIST),
    ],
    REJECT: [("client_id", TEXT), ("resource_id", TEXT)],
    UPDATED: [("filters", LIST)],
    EXTENDED: [("client_id", TEXT), ("resource_id", TEXT), ("expires_at", SECONDS)],
}
TYPED = [(text, *row) for text, rows in KINDS.items() for row in rows]

# Where `null` is the same as nothing.
MAY_BE_NULL = ("expires_at", "payload")
# `tests/unit/documents/test_nodes.py` has every other value for each kind of field.
WRONG = [
    (text, field, value, f"{shown} {what}")
    for text, field, what in TYPED
    for value, shown in ((-1.5, "-1.5"), (None, "null"))
    if value is not None or field not in MAY_BE_NULL
]


@pytest.mark.parametrize(("text", "field", "value", "what"), WRONG, ids=named_row)
def test_a_field_of_another_type_is_a_fault_with_its_value(
    text: str, field: str, value: object, what: str
) -> None:
    error = fault_of(message(text, **{field: value}))
    assert error.faults == (f"payload.{field}: {what}",)
    assert error.value == value


NOT_SECONDS = [("60", "'60'"), (True, "true"), (-1, "-1"), (2**64, str(2**64)), (7.0, "7.0")]


@pytest.mark.parametrize(
    ("text", "field"),
    [(EXTENDED, "expires_at"), (INIT, "authorizations[0].expires_at"), (CREATE, "expires_at")],
    ids=named_row,
)
@pytest.mark.parametrize(("value", "shown"), NOT_SECONDS)
def test_an_expiry_is_in_whole_seconds(text: str, field: str, value: object, shown: str) -> None:
    error = fault_of(message(text, **{field: value}))
    assert error.faults == (f"payload.{field}: {shown} {SECONDS}",)


def test_an_expiry_of_null_is_none_where_one_is_required() -> None:
    assert fault_of(message(EXTENDED, expires_at=None)).faults == (
        f"payload.expires_at: null {SECONDS}",
    )


ENVELOPES = [
    ("event", 5, "event: 5 is not a text"),
    ("event", None, "event: null is not a text"),
    ("event", ["init"], "event: a list is not a text"),
    ("event", "\ud800", "event: '\\ud800' is not Unicode: half of a surrogate pair"),
    ("payload", None, "payload: null is not an object"),
    ("payload", [], "payload: a list is not an object"),
    ("payload", "{}", "payload: '{}' is not an object"),
]


@pytest.mark.parametrize("event", ["init", "ice_candidates", "something_new"])
@pytest.mark.parametrize(("field", "value", "fault"), ENVELOPES)
def test_a_faulty_envelope_is_a_fault_whatever_the_event(
    event: str, field: str, value: object, fault: str
) -> None:
    envelope = {"event": event, "payload": json.loads(INIT)["payload"], field: value}
    assert fault_of(envelope).faults == (fault,)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("null", "document: null is not an object"),
        ('"init"', "document: 'init' is not an object"),
        ("{", "line 1, column 2: Expecting property name enclosed in double quotes"),
        (b"\xff", "line 1, column 1: not UTF-8"),
        pytest.param("[" * 100_000, "document: nested too deeply", id="nested"),
        (
            '{"event":"reject_access","payload":{"client_id":1e999,"resource_id":"db"}}',
            "payload.client_id: Infinity is outside the range",
        ),
        ('{"event":"init","event":"x","payload":{}}', "event: given more than once"),
        pytest.param(
            CREATE.replace(str(EXPIRY), "9" * 10_000),
            "payload.expires_at: Infinity is outside the range of numbers",
            id="digits",
        ),
        pytest.param(
            CREATE.replace('"filters":[]', '"filters":[{"protocol":"icmp"}],"filters":[]'),
            "payload.resource.filters: given more than once",
            id="filters twice",
        ),
    ],
)
def test_a_text_that_is_not_a_sound_json_object_is_a_fault(text: str | bytes, fault: str) -> None:
    assert str(fault_of(text)).startswith(fault)


def test_a_domain_hides_no_fault_and_no_fault_hides_its_own() -> None:
    sent = message(ALLOW, ref=5, **{"payload.name": "a.example", "payload.proxy_ips": 5})
    assert fault_of(sent).faults == (
        "payload.ref: 5 is not a text",
        "payload.payload.proxy_ips: 5 is not a list",
    )


# --- Values ----------------------------------------------------------------------------------

VALUES = [
    (CREATE, "client.id", "", "an id is not empty"),
    (CREATE, "ref", "\udc00", "'\\udc00' is not Unicode: half of a surrogate pair"),
    (CREATE, "client.ipv4", "100.64.0.256", "'100.64.0.256' is not an IP address"),
    (CREATE, "client.ipv4", "fd00::1", "'fd00::1' is not an IPv4 address"),
    (CREATE, "client.ipv6", "100.64.0.9", "'100.64.0.9' is not an IPv6 address"),
    (CREATE, "client.ipv6", "fe80::1%eth0", "'fe80::1%eth0' has a scope, which no packet carries"),
    (CREATE, "resource.address", "172.20.0.1/16", "'172.20.0.1/16' is not a network: "),
    (ALLOW, "resource.address", "a..b", "'a..b' is not a domain pattern"),
    (CREATE, "resource.type", "device_pool", "'device_pool' is not 'cidr', 'dns' or 'internet'"),
    (UPDATED, "filters", [TCP_443 | {"port_range_end": 65536}], "65536 is not a port"),
    # Without the filter nothing might be left but an empty list, which permits everything.
    *[
        (text, "filters" if text is UPDATED else "resource.filters", [{"protocol": value}], what)
        for text in (CREATE, ALLOW, UPDATED)
        for value, what in (
            ("sctp", "'sctp' is not 'tcp', 'udp' or 'icmp'"),
            (47, "47 is not 'tcp', 'udp' or 'icmp'"),
            (6, "6 is not 'tcp', 'udp' or 'icmp'"),
        )
    ],
    (ALLOW, "payload.name", "a b", "'a b' is not a domain name"),
    (ALLOW, "payload.proxy_ips", ["100.96.0.1", "x"], "'x' is not an IP address"),
]


@pytest.mark.parametrize(("text", "field", "value", "what"), VALUES, ids=named_row)
def test_an_invalid_value_is_a_fault_with_its_place(
    text: str, field: str, value: object, what: str
) -> None:
    (fault,) = fault_of(message(text, **{field: value})).faults
    place, _, said = fault.partition(": ")
    assert place.startswith(f"payload.{field}")
    assert said.startswith(what)


def test_all_faults_are_listed_in_the_order_of_the_message() -> None:
    sent = message(CREATE, expires_at="soon", ref=REMOVED)
    sent["payload"]["client"] |= {"ipv4": "10.0.0.1", "ipv6": 5, "id": ""}
    sent["payload"]["resource"] |= {"filters": [{"protocol": "tcp", "port_range_start": 70000}]}
    error = fault_of(sent)
    assert error.faults == (
        "payload.client.id: an id is not empty",
        "payload.client.ipv6: 5 is not a text",
        "payload.resource.filters[0].port_range_start: 70000 is not a port",
        f"payload.expires_at: 'soon' {SECONDS}",
        "payload.ref: is missing",
    )
    assert str(error) == "\n".join(error.faults)
    assert error.value == ""
