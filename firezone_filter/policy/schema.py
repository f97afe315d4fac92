"""The JSON Schema of policy files, with which editors complete and check them as they are typed.

It is made of the tables by which files are read, so that no field is in one of the two alone.
What a file can get wrong in its structure (a type, a field that is unknown or missing) is a fault
to both; of values the schema knows ranges and forms, and `load_policy` all rules. It accepts
whatever `load_policy` accepts.

`policy.schema.json` beside this module is this schema, for those who need a file.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from attrs import fields_dict

from firezone_filter.documents.filter_json import FILTER_FIELDS, NAMED_PROTOCOLS
from firezone_filter.documents.resource_json import RESOURCE_FIELDS
from firezone_filter.packet.numbers import MAX_BYTE, MAX_PORT
from firezone_filter.policy.files import IGNORED, IGNORED_OF_CLIENT, IGNORED_OF_GATEWAY
from firezone_filter.values.options import GatewayOptions
from firezone_filter.values.times import TOO_LATE

Schema = dict[str, Any]

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
"""The version of JSON Schema."""


def policy_schema() -> Schema:
    """Return the JSON Schema of policy files (draft 2020-12), in JSON types."""
    return {
        "$schema": DIALECT,
        "title": "Policy of firezone-filter",
        "description": "Who may reach what behind a gateway, and until when.",
        **_object(
            {
                "gateway": _ref("gateway", "The gateway's own addresses inside the tunnel."),
                "address_plan": _ref(
                    "address_plan",
                    "The ranges of tunnel and proxy addresses. A family that a list does not name "
                    "keeps its default ranges.",
                ),
                "clients": _list(
                    _ref("client"), "The clients, each with what it may reach; may be empty."
                ),
                "options": _ref("options", "The gateway's options; what is missing is default."),
                "tests": _list(
                    _ref("test"),
                    "What must hold of the policy: `firezone-filter test` and `Policy.run_tests`.",
                ),
            },
            required=("gateway", "clients"),
            ignored=IGNORED,
            why_ignored="Where editors find the schema of this file; ignored.",
        ),
        "$defs": _definitions(),
    }


# --- Parts --------------------------------------------------------------------------------


def _described(description: str, schema: Schema) -> Schema:
    return {"description": description, **schema}


def _ref(name: str, description: str | None = None) -> Schema:
    target: Schema = {"$ref": f"#/$defs/{name}"}
    return target if description is None else _described(description, target)


def _list(items: Schema, description: str) -> Schema:
    return _described(description, {"type": "array", "items": items})


def _text(description: str, **more: object) -> Schema:
    return _described(description, {"type": "string", **more})


def _whole(description: str, maximum: int | None = None) -> Schema:
    schema: Schema = {"type": "integer", "minimum": 0}
    return _described(description, schema if maximum is None else {**schema, "maximum": maximum})


def _moment(description: str) -> Schema:
    return _described(description, {"type": ["number", "null"], "exclusiveMaximum": TOO_LATE})


def _object(
    properties: Mapping[str, Schema],
    *,
    required: Iterable[str] = (),
    ignored: Iterable[str] = (),
    why_ignored: str = "Sent by the portal; ignored here.",
) -> Schema:
    """Return an object with these fields and no others."""
    return {
        "type": "object",
        "properties": {**properties, **{name: {"description": why_ignored} for name in ignored}},
        "required": list(required),
        "additionalProperties": False,
    }


def _chosen(field: str, choices: Mapping[str, Schema]) -> list[Schema]:
    """Return rules that choose the form of an object by the text in one of its fields."""
    return [
        {"if": {"required": [field], "properties": {field: {"const": choice}}}, "then": form}
        for choice, form in choices.items()
    ]


_NETWORK: Final = r"^[^/%]+/[0-9]{1,3}$"
_TARGET: Final = r"^(tcp|udp|ping|icmp(v6)?(/[0-9]{1,3})?|[0-9]{1,3}) [^ ]+$"


def _networks(description: str) -> Schema:
    return _list(
        {"type": "string", "pattern": _NETWORK, "examples": ["10.0.0.0/24", "2001:db8::/32"]},
        description,
    )


# --- Peers --------------------------------------------------------------------------------


def _definitions() -> Schema:
    return {
        "gateway": _gateway(),
        "address_plan": _address_plan(),
        "options": _options(),
        "client": _client(),
        "authorization": _authorization(),
        "domain": _domain(),
        "resource": _resource(),
        **{f"{kind}_resource": _resource_of(kind) for kind in RESOURCE_FIELDS},
        "filters": _list(
            _ref("filter"), "What is permitted. An empty list permits every protocol."
        ),
        "filter": _filter(),
        **{f"{name}_filter": _filter_of(name) for name in FILTER_FIELDS},
        "numbered_filter": _numbered_filter(),
        "test": _test(),
    }


_ADDRESSES: Final[dict[str, Schema]] = {
    f"ipv{version}": _described(
        f"The IPv{version} address inside the tunnel; `null` for none.",
        {"type": ["string", "null"]},
    )
    for version in (4, 6)
}
# A peer has one of them at least, and `null` is none.
_HAS_ADDRESS: Final[Schema] = {
    "anyOf": [
        {"required": [family], "properties": {family: {"type": "string"}}} for family in _ADDRESSES
    ]
}


def _gateway() -> Schema:
    return {
        "title": "Gateway",
        **_object(_ADDRESSES, ignored=IGNORED_OF_GATEWAY),
        **_HAS_ADDRESS,
    }


def _address_plan() -> Schema:
    return {
        "title": "Address plan",
        **_object(
            {
                "tunnel": _networks("The ranges of tunnel addresses."),
                "dns_resources": _networks(
                    "The ranges of proxy addresses, which stand for names of DNS resources."
                ),
            }
        ),
    }


_OPTIONS: Final[Mapping[str, str]] = {
    "reject": "Whether refused packets of clients are answered with an ICMP error.",
    "reject_rate": "Maximum replies a second to one client, on average.",
    "reject_burst": "Maximum replies to one client at once.",
    "own_filters": "The filters for packets between clients and the gateway's own address. "
    "An empty list permits every protocol.",
    "max_sessions_per_client": "Maximum NAT sessions of one client.",
    "max_sessions": "Maximum NAT sessions of all clients together.",
    "max_remembered": "Maximum decisions remembered for all clients together.",
    "stateful": "Whether only answers come back to what clients have begun.",
    "max_flows_per_client": "Maximum flows of one client, with `stateful`.",
    "max_flows": "Maximum flows of all clients together, with `stateful`.",
    "flow_records": "Whether flows are recorded.",
}
_OPTION_TYPES: Final[Mapping[type | None, Schema]] = {
    bool: {"type": "boolean"},
    int: {"type": "integer", "minimum": 0},
    float: {"type": "number", "minimum": 0},
}


def _options() -> Schema:
    return {
        "title": "Options",
        **_object(
            {
                name: _ref("filters", _OPTIONS[name])
                if name == "own_filters"
                else _described(_OPTIONS[name], _OPTION_TYPES[one.type])
                for name, one in fields_dict(GatewayOptions).items()
            }
        ),
    }


def _client() -> Schema:
    return {
        "title": "Client",
        **_object(
            {
                "id": _text("Names the client; no two have one id.", minLength=1),
                **_ADDRESSES,
                "authorizations": _list(
                    _ref("authorization"), "What it may reach; nothing if the list is empty."
                ),
            },
            required=("id", "authorizations"),
            ignored=IGNORED_OF_CLIENT,
        ),
        **_HAS_ADDRESS,
    }


def _authorization() -> Schema:
    is_dns = {"required": ["type"], "properties": {"type": {"const": "dns"}}}
    return {
        "title": "Authorization",
        **_object(
            {
                "resource": _ref("resource", "What the client may reach."),
                "expires_at": _moment(
                    "When the permission ends, in Unix seconds; missing or `null` for never."
                ),
                "domains": _list(
                    _ref("domain"), "Resolved names, of a DNS resource; may be empty."
                ),
            },
            required=("resource",),
        ),
        "if": {"properties": {"resource": {"not": is_dns}}},
        "then": {"properties": {"domains": {"maxItems": 0}}},
    }


def _domain() -> Schema:
    return {
        "title": "Resolved name",
        **_object(
            {
                "name": _text("The name; it matches the resource's pattern."),
                "proxy_addresses": _list(
                    {"type": "string"},
                    "The addresses that the client has assigned to the name, in its order.",
                ),
                "resolved_addresses": _list(
                    {"type": "string"}, "The addresses that the name resolved to."
                ),
            },
            required=("name", "proxy_addresses", "resolved_addresses"),
        ),
    }


# --- Resources ----------------------------------------------------------------------------

_KINDS: Final[Mapping[str, str]] = {
    "cidr": "CIDR resource",
    "dns": "DNS resource",
    "internet": "Internet resource",
}


def _resource() -> Schema:
    return {
        "title": "Resource",
        "type": "object",
        "required": ["type", "id"],
        "properties": {"type": _described("The kind of resource.", {"enum": list(_KINDS)})},
        "allOf": _chosen("type", {kind: _ref(f"{kind}_resource") for kind in RESOURCE_FIELDS}),
    }


def _resource_of(kind: str) -> Schema:
    addresses = {
        "cidr": _text("The network, without host bits.", pattern=_NETWORK),
        "dns": _text("A name, or a pattern such as `*.example.com`."),
    }
    known: dict[str, Schema] = {
        "type": _described("The kind of resource.", {"const": kind}),
        "id": _text("Names the resource; a client has one of an id.", minLength=1),
        "name": _described("Its name for people.", {"type": ["string", "null"]}),
        "filters": _ref("filters", "What is permitted. An empty list permits every protocol."),
        "exclude": _networks("Networks that do not belong to the resource."),
        **({"address": addresses[kind]} if kind in addresses else {}),
    }
    fields = RESOURCE_FIELDS[kind]
    required = (name for name in fields if name not in ("name", "exclude"))
    return {
        "title": _KINDS[kind],
        **_object({name: known[name] for name in fields}, required=required),
    }


# --- Filters ------------------------------------------------------------------------------

_NUMBER: Final[Schema] = {
    "type": "integer",
    "minimum": 0,
    "maximum": MAX_BYTE,
    "not": {"enum": list(NAMED_PROTOCOLS)},
}


def _filter() -> Schema:
    protocol = {"anyOf": [{"enum": list(FILTER_FIELDS)}, _NUMBER]}
    is_number = {"required": ["protocol"], "properties": {"protocol": {"type": "integer"}}}
    return {
        "title": "Filter",
        "type": "object",
        "required": ["protocol"],
        "properties": {
            "protocol": _described(
                "A protocol by name, or the number of another; a number permits it as a whole.",
                protocol,
            )
        },
        "allOf": [
            *_chosen("protocol", {name: _ref(f"{name}_filter") for name in FILTER_FIELDS}),
            {"if": is_number, "then": _ref("numbered_filter")},
        ],
    }


def _filter_of(name: str) -> Schema:
    an_icmp_type = _whole("An ICMP type.", MAX_BYTE)
    known: dict[str, Schema] = {
        "protocol": _described("The protocol.", {"const": name}),
        "port_range_start": _whole("The first permitted port; 0 if missing.", MAX_PORT),
        "port_range_end": _whole("The last permitted port; 65535 if missing.", MAX_PORT),
        "types": _list(
            an_icmp_type,
            "The permitted ICMPv4 types, each with its answer or request. With neither list every "
            "type of both families is permitted.",
        ),
        "types_v6": _list(
            an_icmp_type, "The permitted ICMPv6 types, each with its answer or request."
        ),
    }
    fields = FILTER_FIELDS[name]
    lists = [one for one in fields if one in ("types", "types_v6")]
    return {
        "title": f"{name.upper()} filter",
        **_object({one: known[one] for one in fields}, required=("protocol",)),
        **(_has_a_type(lists) if lists else {}),
    }


def _has_a_type(lists: list[str]) -> Schema:
    """Return that one of some lists is not empty, if any of them is there."""
    return {
        "if": {"anyOf": [{"required": [one]} for one in lists]},
        "then": {
            "anyOf": [{"required": [one], "properties": {one: {"minItems": 1}}} for one in lists]
        },
    }


def _numbered_filter() -> Schema:
    number = _described("The number of the protocol: 47 for GRE.", _NUMBER)
    return {
        "title": "Filter of another protocol",
        **_object({"protocol": number}, required=("protocol",)),
    }


# --- Tests --------------------------------------------------------------------------------


def _test() -> Schema:
    target = {
        "type": "string",
        "pattern": _TARGET,
        "examples": [
            "tcp 10.0.0.5:5432",
            "udp [2001:db8::1]:53",
            "ping 10.0.0.5",
            "icmp/13 10.0.0.5",
            "47 10.0.0.5",
            "tcp git.example.com:443",
            "tcp 10.0.0.0/24:8000-8010",
        ],
    }
    return {
        "title": "Test",
        **_object(
            {
                "name": _text("What the test is for."),
                "client": _text("The id of the client.", minLength=1),
                "at": _moment(
                    "The moment, in Unix seconds; missing or `null` if nothing has expired."
                ),
                "allow": _list(
                    target,
                    "All that these name is permitted, and an answer from there comes back.",
                ),
                "deny": _list(
                    target,
                    "Nothing that these name is permitted, and nothing from there comes in.",
                ),
            },
            required=("name", "client"),
        ),
    }
