"""The fields of messages: which are required, of which type, and what cannot stand there."""

import json

import pytest

from tests.portal import (
    ACTED_ON,
    ALICE,
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
    segment,
    session,
    story,
    token,
    with_value,
)

CLAIMS = segment({})
HS256 = segment({"alg": "HS256"})


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
        "config",
        "config.ipv4_masquerade_enabled",
        "config.ipv6_masquerade_enabled",
        "flow_logs",
        "flow_logs.api_url",
        "flow_logs.upload_interval_secs",
        "flow_logs.upload_batch_size",
        "authorizations[0].client_id",
        "authorizations[0].resource_id",
        "authorizations[0].expires_at",
    ],
    CREATE: [
        "ref",
        "client",
        "client.id",
        "client.public_key",
        "client.preshared_key",
        "client.ipv4",
        "client.ipv6",
        "resource",
        "resource.type",
        "resource.id",
        "resource.address",
        "resource.filters",
        "client_ice_credentials",
        "client_ice_credentials.username",
        "client_ice_credentials.password",
        "gateway_ice_credentials",
        "gateway_ice_credentials.username",
        "gateway_ice_credentials.password",
        "flow_logs_ingest_token",
    ],
    ALLOW: [
        "ref",
        "client_id",
        "client_ipv4",
        "client_ipv6",
        "resource",
        "resource.type",
        "resource.id",
        "resource.address",
        "resource.filters",
        "expires_at",
        "payload.name",
        "payload.proxy_ips",
    ],
    REJECT: ["client_id", "resource_id"],
    UPDATED: ["type", "id", "address", "filters", "filters[0].protocol"],
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
FLAG, SECONDS = "is not true or false", "is not a time in whole seconds"

KINDS: dict[str, list[tuple[str, str]]] = {
    INIT: [
        ("interface", OBJECT),
        ("interface.ipv4", TEXT),
        ("interface.ipv6", TEXT),
        ("interface.upstream_dns", LIST),
        ("interface.upstream_do53", LIST),
        ("interface.upstream_doh", LIST),
        ("interface.search_domain", TEXT),
        ("config", OBJECT),
        ("config.ipv4_masquerade_enabled", FLAG),
        ("config.ipv6_masquerade_enabled", FLAG),
        ("relays", LIST),
        ("account_slug", TEXT),
        ("authorizations", LIST),
        ("authorizations[0].client_id", TEXT),
        ("authorizations[0].resource_id", TEXT),
        ("authorizations[0].expires_at", SECONDS),
        ("flow_logs", OBJECT),
        ("flow_logs.api_url", TEXT),
        ("flow_logs.upload_interval_secs", "is not a number of seconds"),
        ("flow_logs.upload_batch_size", "is not a number of flow logs"),
    ],
    CREATE: [
        ("ref", TEXT),
        ("client", OBJECT),
        ("client.id", TEXT),
        ("client.public_key", TEXT),
        ("client.preshared_key", TEXT),
        ("client.ipv4", TEXT),
        ("client.ipv6", TEXT),
        ("resource", OBJECT),
        ("resource.type", "is not 'cidr', 'dns' or 'internet'"),
        ("resource.id", TEXT),
        ("resource.name", TEXT),
        ("resource.address", TEXT),
        ("resource.filters", LIST),
        ("client_ice_credentials", OBJECT),
        ("client_ice_credentials.username", TEXT),
        ("client_ice_credentials.password", TEXT),
        ("gateway_ice_credentials", OBJECT),
        ("gateway_ice_credentials.username", TEXT),
        ("gateway_ice_credentials.password", TEXT),
        ("expires_at", SECONDS),
        ("use_iceless", FLAG),
        ("flow_logs_ingest_token", TEXT),
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
    UPDATED: [
        ("type", "is not 'cidr', 'dns' or 'internet'"),
        ("id", TEXT),
        ("name", TEXT),
        ("address", TEXT),
        ("filters", LIST),
        ("filters[0].protocol", "is not 'tcp', 'udp' or 'icmp'"),
    ],
    EXTENDED: [("client_id", TEXT), ("resource_id", TEXT), ("expires_at", SECONDS)],
}
TYPED = [(text, *row) for text, rows in KINDS.items() for row in rows]

# Of no field's type, each of them.
ODD: list[tuple[object, str]] = [(-1.5, "-1.5"), (7.0, "7.0")]
# Of the type of some field, but of no other one.
NOT: dict[str, list[tuple[object, str]]] = {
    TEXT: [(7, "7"), (None, "null"), ([], "a list"), (True, "true")],
    OBJECT: [([], "a list"), ("x", "'x'"), (0, "0")],
    LIST: [({}, "an object"), ("", "''"), (None, "null")],
    FLAG: [(0, "0"), (1, "1"), ("true", "'true'"), (None, "null")],
}
NO_NUMBER: list[tuple[object, str]] = [
    ("60", "'60'"),
    (True, "true"),
    (-1, "-1"),
    (2**64, str(2**64)),
    ([], "a list"),
]
# Where `null` is the same as nothing.
MAY_BE_NULL = {
    "account_slug",
    "expires_at",
    "interface.search_domain",
    "payload",
    "resource.name",
    "name",
}
# A text there is not quoted.
SECRETS = {"client_ice_credentials", "gateway_ice_credentials"}
WRONG = [
    (text, field, value, f"{shown} {what}")
    for text, field, what in TYPED
    for value, shown in (*ODD, *NOT.get(what, NO_NUMBER))
    if value is not None or field not in MAY_BE_NULL
    if not (isinstance(value, str) and field in SECRETS)
]


@pytest.mark.parametrize(("text", "field", "value", "what"), WRONG, ids=named_row)
def test_a_field_of_another_type_is_named_with_its_value(
    text: str, field: str, value: object, what: str
) -> None:
    error = fault_of(message(text, **{field: value}))
    assert error.faults == (f"payload.{field}: {what}",)
    assert error.value == value


@pytest.mark.parametrize("text", [EXTENDED, INIT])
def test_where_an_expiry_is_required_null_is_none(text: str) -> None:
    field = "authorizations[0].expires_at" if text == INIT else "expires_at"
    error = fault_of(message(text, **{field: None}))
    assert error.faults == (f"payload.{field}: null {SECONDS}",)


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
        ("[]", "document: a list is not an object"),
        ("null", "document: null is not an object"),
        ("5", "document: 5 is not an object"),
        ('"init"', "document: 'init' is not an object"),
        ("", "line 1, column 1: Expecting value"),
        ("{", "line 1, column 2: Expecting property name enclosed in double quotes"),
        ("{}{}", "line 1, column 3: Extra data"),
        (b"\xff", "line 1, column 1: not UTF-8"),
        ("[" * 100_000, "document: nested too deeply"),
        ('{"event":"x","payload":{"a":1e999}}', "payload.a: Infinity is outside the range"),
        ('{"event":"x","payload":{"a":NaN}}', "payload.a: NaN is outside the range of"),
        ('{"event":"x","payload":{},"payload":{}}', "payload: given more than once"),
        ('{"event":"init","event":"x","payload":{}}', "event: given more than once"),
    ],
)
def test_what_is_no_sound_json_object_is_a_fault(text: str | bytes, fault: str) -> None:
    assert str(fault_of(text)).startswith(fault)


def test_a_number_of_very_many_digits_is_a_fault() -> None:
    text = CREATE.replace(str(EXPIRY), "9" * 10_000)
    assert fault_of(text).faults == (
        "payload.expires_at: Infinity is outside the range of numbers",
    )


def test_a_field_that_is_given_twice_is_a_fault_even_where_it_is_unknown() -> None:
    text = CREATE.replace('"ref":"signed', '"x":1,"x":2,"ref":"signed')
    assert fault_of(text).faults == ("payload.x: given more than once",)


def test_filters_that_are_given_twice_are_a_fault() -> None:
    text = CREATE.replace('"filters":[]', '"filters":[{"protocol":"icmp"}],"filters":[]')
    assert fault_of(text).faults == ("payload.resource.filters: given more than once",)


def test_a_name_to_resolve_hides_no_fault_and_none_hides_its_own() -> None:
    sent = message(ALLOW, ref=5, **{"payload.name": "a.example", "payload.proxy_ips": 5})
    assert fault_of(sent).faults == (
        "payload.ref: 5 is not a text",
        "payload.payload.proxy_ips: 5 is not a list",
    )


# --- Values ----------------------------------------------------------------------------------

KEY = "is not base64 of 32 bytes"
TOKEN = "is not a token signed with HS256"  # noqa: S105 - what a fault says


VALUES = [
    (CREATE, "client.id", "", "an id is not empty"),
    (CREATE, "resource.id", "", "an id is not empty"),
    (CREATE, "ref", "\udc00", "'\\udc00' is not Unicode: half of a surrogate pair"),
    (CREATE, "client.ipv4", "100.64.0.256", "'100.64.0.256' is not an IP address"),
    (CREATE, "client.ipv4", "fd00::1", "'fd00::1' is not an IPv4 address"),
    (CREATE, "client.ipv6", "100.64.0.9", "'100.64.0.9' is not an IPv6 address"),
    (CREATE, "client.ipv6", "fe80::1%eth0", "'fe80::1%eth0' has a scope, which no packet carries"),
    (CREATE, "client.public_key", "AAAA", f"'AAAA' {KEY}"),
    (CREATE, "client.public_key", "", f"'' {KEY}"),
    (CREATE, "client.public_key", "é" * 44, f"'{'é' * 44}' {KEY}"),
    (CREATE, "client.public_key", "A" * 43, f"'{'A' * 43}' {KEY}"),
    (CREATE, "client.public_key", "A" * 44, f"'{'A' * 44}' {KEY}"),
    (CREATE, "client.public_key", "A" * 42 + "B=", f"'{'A' * 42}B=' {KEY}"),
    (CREATE, "client.public_key", "-" * 43 + "=", f"'{'-' * 43}=' {KEY}"),
    (CREATE, "client.preshared_key", "BzPiNE9qszKczZc", f"a text of 15 characters {KEY}"),
    (CREATE, "flow_logs_ingest_token", "", f"a text of 0 characters {TOKEN}"),
    (CREATE, "resource.address", "172.20.0.0", "'172.20.0.0' is not a network with a prefix"),
    (CREATE, "resource.address", "172.20.0.1/16", "'172.20.0.1/16' is not a network: "),
    (CREATE, "resource.type", "device_pool", "'device_pool' is not 'cidr', 'dns' or 'internet'"),
    (UPDATED, "address", "a..b", "'a..b' is not a domain pattern"),
    (UPDATED, "filters", [{"protocol": "sctp"}], "'sctp' is not 'tcp', 'udp' or 'icmp'"),
    (
        UPDATED,
        "filters",
        [TCP_443 | {"port_range_end": 442}],
        "442 is below port_range_start, 443",
    ),
    (UPDATED, "filters", [TCP_443 | {"port_range_end": 65536}], "65536 is not a port"),
    (ALLOW, "payload.name", "a b", "'a b' is not a domain name"),
    (ALLOW, "payload.proxy_ips", ["100.96.0.1", "x"], "'x' is not an IP address"),
]


@pytest.mark.parametrize(("text", "field", "value", "what"), VALUES)
def test_a_value_that_cannot_be_is_named_with_its_place(
    text: str, field: str, value: object, what: str
) -> None:
    (fault,) = fault_of(message(text, **{field: value})).faults
    place, _, said = fault.partition(": ")
    assert place.startswith(f"payload.{field}")
    assert said.startswith(what)


TOKENS = [
    f"{HS256}.{CLAIMS}",
    f"{HS256}.{CLAIMS}.",
    f"{HS256}.{CLAIMS}.c2ln.c2ln",
    f"{HS256}..c2ln",
    f".{CLAIMS}.c2ln",
    f"{HS256}.{CLAIMS}.c2lnb",
    f"{HS256}.{CLAIMS}.c2l=",
    f"{HS256}.{CLAIMS}.c2/n",
    f"{HS256}.{CLAIMS}.\u0441",
    f"{HS256}.{CLAIMS}.c2ln\n",
    token(header={"alg": "none"}),
    token(header={"alg": "hs256"}),
    token(header={"alg": ["HS256"]}),
    token(header={"typ": "JWT"}),
    token(header=["alg", "HS256"]),
    token(claims=[]),
    f"AAAA.{CLAIMS}.c2ln",
    f"{HS256}.AAAA.c2ln",
]


@pytest.mark.parametrize("text", TOKENS)
def test_what_is_no_signed_token_is_a_fault_that_does_not_quote_it(text: str) -> None:
    error = fault_of(message(CREATE, flow_logs_ingest_token=text))
    assert error.faults == (
        f"payload.flow_logs_ingest_token: a text of {len(text)} characters {TOKEN}",
    )


@pytest.mark.parametrize("length", [1, 2, 3, 4, 5, 6])
def test_a_token_may_be_of_any_length(length: int) -> None:
    told, _ = session(message(CREATE, flow_logs_ingest_token=token(claims={"x": "x" * length})))
    assert ALICE in told


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


@pytest.mark.parametrize(
    "field", sorted({*SECRETS, "client.preshared_key", "flow_logs_ingest_token"})
)
def test_a_secret_in_the_wrong_shape_is_not_told(field: str) -> None:
    error = fault_of(message(CREATE, **{field: "geheim"}))
    assert error.faults[0].startswith(f"payload.{field}: a text")
    assert "geheim" not in f"{error} {error.value!r} {error.__cause__!r}"
