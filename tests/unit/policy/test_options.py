"""The options of a policy: read, written, and those of its gateway."""

import json
from typing import Any, TypeAlias

import pytest
from attrs import evolve, fields_dict

from firezone_filter.policy import Policy, dump_policy, load_policy
from firezone_filter.values.addresses import TunnelAddresses
from firezone_filter.values.filters import Icmp, Protocol, Tcp, Udp
from firezone_filter.values.options import GatewayOptions
from tests.unit.policy.documents import EVERYTHING, client, document, faults_of

Given: TypeAlias = Any

GATEWAY = TunnelAddresses("100.64.0.1")

# Every option, none with its default.
EACH: list[tuple[str, Given, Given]] = [
    ("reject", False, False),
    ("reject_rate", 2.5, 2.5),
    ("reject_rate", 0, 0),
    ("reject_burst", 0, 0),
    ("own_filters", [], ()),
    (
        "own_filters",
        [
            {"protocol": "icmp", "types": [8]},
            {"protocol": "tcp", "port_range_start": 22, "port_range_end": 23},
            {"protocol": "udp"},
            {"protocol": 47},
        ],
        (Icmp([8]), Tcp("22-23"), Udp(), Protocol(47)),
    ),
    ("max_sessions_per_client", 1, 1),
    ("max_sessions", 10**12, 10**12),
    ("max_remembered", 0, 0),
    ("stateful", True, True),
    ("max_flows_per_client", 7, 7),
    ("max_flows", 8, 8),
    ("flow_records", True, True),
]


def test_every_option_is_in_the_table() -> None:
    assert {name for name, *_ in EACH} == set(fields_dict(GatewayOptions))


@pytest.mark.parametrize(("name", "written", "value"), EACH)
def test_an_option_is_read_and_the_others_have_their_defaults(
    name: str, written: Given, value: Given
) -> None:
    policy = load_policy(document(client(), options={name: written}))
    assert policy.options == GatewayOptions(**{name: value})
    assert load_policy(dump_policy(policy)) == policy


@pytest.mark.parametrize("options", [{}, {"options": {}}])
def test_options_may_be_missing_or_empty(options: Given) -> None:
    policy = load_policy(document(**options))
    assert policy.options == GatewayOptions()
    assert policy == Policy(GATEWAY)


@pytest.mark.parametrize(("name", "written", "value"), EACH)
def test_only_options_that_are_not_the_default_are_written(
    name: str, written: Given, value: Given
) -> None:
    policy = Policy(GATEWAY, options=GatewayOptions(**{name: value}))
    ((found, stands),) = json.loads(dump_policy(policy))["options"].items()
    # The answer to a type is named with it.
    expected = json.loads(json.dumps(written).replace("[8]", "[0, 8]"))
    assert (found, stands) == (name, expected)


def test_without_any_there_are_no_options_in_the_text() -> None:
    assert "options" not in json.loads(dump_policy(Policy(GATEWAY)))


# --- Faults -------------------------------------------------------------------------------

OPTIONS = ", ".join(fields_dict(GatewayOptions))
OF_PORTS = "protocol, port_range_start, port_range_end"
NO_SWITCH, NO_COUNT, NO_RATE = (
    "is not true or false",
    "is not a whole number of 0 or more",
    "is not a number",
)
ODD: list[tuple[Given, str]] = [(None, "null"), ("1", "'1'"), ([1], "a list"), ({}, "an object")]

FAULTS: list[tuple[Given, str]] = [
    (None, "options: null is not an object"),
    ([], "options: a list is not an object"),
    *[
        ({name: value}, f"options.{name}: {shown} {NO_SWITCH}")
        for name in ("reject", "stateful", "flow_records")
        for value, shown in (*ODD, (1, "1"), (0, "0"))
    ],
    *[
        ({name: value}, f"options.{name}: {shown} {NO_COUNT}")
        for name in (
            "reject_burst",
            "max_sessions_per_client",
            "max_sessions",
            "max_remembered",
            "max_flows_per_client",
            "max_flows",
        )
        for value, shown in (*ODD, (True, "true"), (1.5, "1.5"), (-1, "-1"))
    ],
    *[
        ({"reject_rate": value}, f"options.reject_rate: {shown} {what}")
        for value, shown, what in (
            *((value, shown, NO_RATE) for value, shown in (*ODD, (True, "true"))),
            (-0.5, "-0.5", "is negative"),
            (float("inf"), "Infinity", "is outside the range of numbers"),
            (10**400, "an integer of too many digits", "is outside the range of numbers"),
        )
    ],
    (
        {"max_flows": 10**400},
        "options.max_flows: an integer of too many digits is outside the range of numbers",
    ),
    ({"own_filters": None}, "options.own_filters: null is not a list"),
    ({"own_filters": {"protocol": "icmp"}}, "options.own_filters: an object is not a list"),
    ({"own_filters": ["icmp"]}, "options.own_filters[0]: 'icmp' is not an object"),
    (
        {"own_filters": [{"protocol": "tcp"}, {"protocol": "udp", "types": [8]}]},
        f"options.own_filters[1].types: unknown field, known are {OF_PORTS}",
    ),
    (
        {"own_filters": [{"protocol": "icmp", "types": [300]}]},
        "options.own_filters[0].types[0]: 300 is not an ICMP type",
    ),
    ({"statefull": True}, "options.statefull: unknown field, did you mean 'stateful'?"),
    ({"max_flow": 1}, "options.max_flow: unknown field, did you mean 'max_flows'?"),
    ({"x": 1}, f"options.x: unknown field, known are {OPTIONS}"),
]


@pytest.mark.parametrize(("options", "fault"), FAULTS)
def test_a_fault_has_its_place(options: Given, fault: str) -> None:
    assert faults_of(EVERYTHING | {"options": options}) == (fault,)


def test_all_faults_of_options_are_listed_in_the_order_of_the_document() -> None:
    options = {"max_flows": -1, "x": 1, "own_filters": [{}], "stateful": "yes"}
    assert [fault.partition(": ")[0] for fault in faults_of(document(options=options))] == [
        "options.max_flows",
        "options.x",
        "options.own_filters[0].protocol",
        "options.stateful",
    ]


# --- By hand, and the gateway -------------------------------------------------------------


@pytest.mark.parametrize("options", [None, {}, {"stateful": True}])
def test_options_by_hand_are_gateway_options(options: Given) -> None:
    with pytest.raises(TypeError, match="options"):
        Policy(GATEWAY, options=options)


def test_the_gateway_has_the_options_of_the_policy() -> None:
    policy = Policy(GATEWAY, options=GatewayOptions(stateful=True, reject_burst=7))
    assert policy.gateway()._context.options == policy.options


def test_options_that_are_handed_in_take_the_place_of_all_of_the_policys() -> None:
    policy = Policy(GATEWAY, options=GatewayOptions(stateful=True, reject=False))
    silent = GatewayOptions(flow_records=True)
    assert policy.gateway(options=silent)._context.options == silent
    recording = evolve(policy.options, flow_records=True)
    assert policy.gateway(options=recording)._context.options == recording
