"""Filters as JSON: what this library adds to the portal's, its faults, and how it is written."""

from typing import Any, TypeAlias

import pytest

from firezone_filter.documents.filter_json import (
    read_filters,
    read_sent_filters,
    write_filters,
)
from firezone_filter.documents.nodes import Node
from firezone_filter.documents.parsing import read_document
from firezone_filter.values.errors import InvalidPolicy
from firezone_filter.values.filters import Filter, Icmp, Protocol, Tcp, Udp

Json: TypeAlias = Any


def read(*filters: Json, from_portal: bool = False) -> tuple[Filter, ...]:
    def reader(node: Node) -> tuple[Filter, ...] | None:
        fields = node.fields_only("f")
        assert fields is not None
        return (read_sent_filters if from_portal else read_filters)(fields.require("f"))

    return read_document({"f": list(filters)}, reader)


def faults_of(*filters: Json, from_portal: bool = False) -> tuple[str, ...]:
    with pytest.raises(InvalidPolicy) as caught:
        read(*filters, from_portal=from_portal)
    return caught.value.faults


def icmp(**fields: object) -> Json:
    return {"protocol": "icmp", **fields}


MEANINGS: list[tuple[Json, Filter]] = [
    (icmp(), Icmp()),
    (icmp(types=[0, 8], types_v6=[128, 129]), Icmp.echo()),
    # One list alone permits nothing of the other family, and an empty one nothing of its own.
    (icmp(types=[13]), Icmp(types=[13, 14], types_v6=())),
    (icmp(types_v6=[143, 0, 255, 143]), Icmp(types=(), types_v6=[0, 143, 255])),
    (icmp(types=[], types_v6=[128]), Icmp(types_v6=[128])),
    ({"protocol": 47}, Protocol(47)),
    ({"protocol": 0}, Protocol(0)),
    ({"protocol": 255}, Protocol(255)),
]


@pytest.mark.parametrize(("written", "meaning"), MEANINGS)
def test_types_and_other_protocols_are_read(written: Json, meaning: Filter) -> None:
    assert read(written) == (meaning,)


NO_PROTOCOL = "is not 'tcp', 'udp', 'icmp' or the number of another protocol"
NO_TYPE = "is not an ICMP type"
ALL_OF_ICMP = "protocol, types, types_v6"

FAULTS: list[tuple[Json, str]] = [
    # Protocols
    *[
        ({"protocol": value}, f".protocol: {shown} {NO_PROTOCOL}")
        for value, shown in (
            (256, "256"),
            (-1, "-1"),
            (47.5, "47.5"),
            ("47", "'47'"),
            ("gre", "'gre'"),
            ("TCP", "'TCP'"),
            (True, "true"),
            (None, "null"),
            ([47], "a list"),
        )
    ],
    *[
        ({"protocol": number}, f".protocol: {number} is written {name!r}")
        for number, name in ((1, "icmp"), (6, "tcp"), (17, "udp"), (58, "icmp"))
    ],
    # Types, of either family
    *[
        (icmp(**{field: value}), f"{place}: {what}")
        for field in ("types", "types_v6")
        for value, place, what in (
            (None, f".{field}", "null is not a list"),
            (8, f".{field}", "8 is not a list"),
            ("8", f".{field}", "'8' is not a list"),
            ([], "", "an Icmp filter has at least one type, and by default all"),
            ([256], f".{field}[0]", f"256 {NO_TYPE}"),
            ([8, -1], f".{field}[1]", f"-1 {NO_TYPE}"),
            ([8.5], f".{field}[0]", f"8.5 {NO_TYPE}"),
            (["8"], f".{field}[0]", f"'8' {NO_TYPE}"),
            ([True], f".{field}[0]", f"true {NO_TYPE}"),
            ([None], f".{field}[0]", f"null {NO_TYPE}"),
        )
    ],
    (icmp(types=[], types_v6=[]), ": an Icmp filter has at least one type, and by default all"),
    # A faulty list causes no other fault.
    (icmp(types=[300], types_v6=[]), f".types[0]: 300 {NO_TYPE}"),
    # Fields of another protocol
    (icmp(type=[8]), ".type: unknown field, did you mean 'types'?"),
    (icmp(types_6=[8]), ".types_6: unknown field, did you mean 'types_v6'?"),
    (icmp(port_range_start=8), f".port_range_start: unknown field, known are {ALL_OF_ICMP}"),
    *[
        (
            {"protocol": protocol, "types": [8]},
            ".types: unknown field, known are protocol, port_range_start, port_range_end",
        )
        for protocol in ("tcp", "udp")
    ],
    ({"protocol": 47, "types": [8]}, ".types: unknown field, known are protocol"),
    ({"protocol": 132, "port_range_end": 8}, ".port_range_end: unknown field, known are protocol"),
]


@pytest.mark.parametrize(("written", "fault"), FAULTS)
def test_a_fault_has_its_place(written: Json, fault: str) -> None:
    assert faults_of({"protocol": "udp"}, written) == (f"f[1]{fault}",)


def test_of_a_protocol_that_cannot_be_read_every_field_of_any_is_known() -> None:
    written = {"protocol": "gre", "types": [8], "port_range_end": 8, "x": 1}
    assert [fault.partition(": ")[0] for fault in faults_of(written)] == [
        "f[0].protocol",
        "f[0].x",
    ]


# --- Of the portal ------------------------------------------------------------------------


def test_types_that_the_portal_sends_are_an_unknown_field() -> None:
    sent = [icmp(types=[8], types_v6=None), {"protocol": "tcp", "types": "x"}]
    assert read(*sent, from_portal=True) == (Icmp(), Tcp())


@pytest.mark.parametrize(("protocol", "shown"), [(47, "47"), (6, "6"), ("sctp", "'sctp'")])
def test_another_protocol_that_the_portal_sends_is_a_fault(protocol: Json, shown: str) -> None:
    assert faults_of({"protocol": protocol}, from_portal=True) == (
        f"f[0].protocol: {shown} is not 'tcp', 'udp' or 'icmp'",
    )


@pytest.mark.parametrize("from_portal", [False, True])
def test_a_filter_is_an_object_whoever_writes_it(*, from_portal: bool) -> None:
    assert faults_of("tcp", from_portal=from_portal) == ("f[0]: 'tcp' is not an object",)


# --- Writing ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "written"),
    [
        (Icmp(), icmp()),
        (Icmp.echo(), icmp(types=[0, 8], types_v6=[128, 129])),
        (Icmp([13]), icmp(types=[13, 14])),
        (Icmp([], [128]), icmp(types_v6=[128, 129])),
        (Protocol(47), {"protocol": 47}),
        (Udp(53), {"protocol": "udp", "port_range_start": 53, "port_range_end": 53}),
    ],
)
def test_a_filter_is_written_as_it_is_read(one: Filter, written: Json) -> None:
    assert write_filters((one,)) == [written]
    assert read(written) == (one,)
