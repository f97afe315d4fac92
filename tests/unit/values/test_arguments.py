"""Checks of callers' arguments, by themselves."""

import array
from types import MappingProxyType
from typing import Any, TypeAlias, cast

import pytest

from firezone_filter.values.arguments import (
    check_same_place,
    check_stands_for,
    check_type,
    to_bytes,
    to_id_sets,
    to_list_of_bytes,
    to_text,
)
from firezone_filter.values.errors import InvalidPolicy
from firezone_filter.values.resources import CidrResource, DnsResource, InternetResource

Given: TypeAlias = Any

DB = CidrResource("db", "10.0.0.0/24")
WEB = DnsResource("web", "*.example.com")


class Unhashable(str):
    """A text that cannot be a key."""

    __slots__ = ()

    __hash__ = None  # type: ignore[assignment]


def released() -> memoryview:
    view = memoryview(b"x")
    view.release()
    return view


def test_a_wrong_type_is_named_with_the_types_that_will_do() -> None:
    check_type("now", 5, str, int)
    with pytest.raises(TypeError, match=r"^now is a str or int, not None$"):
        check_type("now", None, str, int)


def test_a_text_becomes_a_plain_one() -> None:
    assert type(to_text("client_id", Unhashable("alice"))) is str
    with pytest.raises(TypeError, match=r"^client_id is a str, not b'alice'$"):
        to_text("client_id", b"alice")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "packet",
    [b"\1\2", bytearray(b"\1\2"), memoryview(b"\1\2"), array.array("B", [1, 2])],
    ids=["bytes", "bytearray", "memoryview", "array"],
)
def test_a_packet_is_any_contiguous_bytes_like_object(packet: Given) -> None:
    assert to_bytes(packet) == b"\1\2"
    assert to_list_of_bytes(iter([packet, b"\3"])) == [b"\1\2", b"\3"]


@pytest.mark.parametrize(
    "packet",
    ["text", 5, None, [1, 2], memoryview(b"1234")[::2], released()],
    ids=["text", "int", "None", "list", "not contiguous", "released"],
)
def test_anything_else_is_not_a_packet(packet: Given) -> None:
    with pytest.raises(TypeError):
        to_bytes(packet)
    with pytest.raises(TypeError):
        to_list_of_bytes([b"", packet])


def test_digits_are_not_taken_for_a_packet() -> None:
    with pytest.raises(TypeError, match=r"^a packet is bytes-like, not '450000'$"):
        to_bytes(cast("bytes", "450000"))


def test_a_copy_of_a_packet_does_not_change_with_its_buffer() -> None:
    buffer = bytearray(b"before")
    copy = to_bytes(buffer)
    buffer[:] = b"after!"
    assert copy == b"before"


@pytest.mark.parametrize(
    "packet",
    [b"", bytearray(), memoryview(b""), ""],
    ids=["bytes", "bytearray", "memoryview", "text"],
)
def test_a_single_packet_is_not_several(packet: Given) -> None:
    with pytest.raises(TypeError, match=r"^packets are an iterable"):
        to_list_of_bytes(packet)


def test_ids_are_collected_by_client() -> None:
    given = MappingProxyType({"alice": ["db", "web", "db"], "bob": ()})
    assert to_id_sets(given) == {"alice": {"db", "web"}, "bob": set()}


@pytest.mark.parametrize(
    "wrong",
    [
        None,
        [("alice", ["db"])],
        {5: ["db"]},
        {"alice": "db"},
        {"alice": b"db"},
        {"alice": 5},
        {"alice": [5]},
        {"alice": None},
    ],
)
def test_ids_of_another_type_are_a_type_error(wrong: Given) -> None:
    with pytest.raises(TypeError):
        to_id_sets(wrong)


def test_a_resource_stays_in_its_place() -> None:
    check_same_place(DB, CidrResource("db", "10.0.0.0/24", name="Database"))
    with pytest.raises(InvalidPolicy, match=r"^resource 'db' is .* and cannot become "):
        check_same_place(DB, CidrResource("db", "10.0.1.0/24"))


def test_a_domain_must_match_the_pattern_of_a_dns_resource() -> None:
    check_stands_for(WEB, "a.example.com")
    with pytest.raises(InvalidPolicy, match=r"does not stand for 'a\.example\.org'$"):
        check_stands_for(WEB, "a.example.org")
    for other in (DB, InternetResource("internet")):
        with pytest.raises(InvalidPolicy, match=r" is not a DNS resource$"):
            check_stands_for(other, "a.example.com")
