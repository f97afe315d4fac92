"""Checks of callers' arguments, made before anything changes."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from types import NoneType
from typing import NamedTuple, TypeVar, cast

from firezone_filter.values.decisions import Direction
from firezone_filter.values.errors import InvalidPolicy, shown
from firezone_filter.values.resources import DnsResource, Resource, same_place

T = TypeVar("T")

Packet = bytes | bytearray | memoryview
"""The type of packets for type checkers; at run time any contiguous bytes-like object will do."""


def check_type(name: str, value: object, *kinds: type) -> None:
    """Raise a `TypeError` unless *value*, the argument called *name*, is of one of *kinds*."""
    if not isinstance(value, kinds):
        expected = " or ".join(kind.__name__ for kind in kinds)
        raise TypeError(f"{name} is a {expected}, not {shown(value)}")


def to_text(name: str, value: str) -> str:
    """Return *value*, the argument called *name*, as a plain `str`.

    A subclass of `str` could compare and hash in ways of its own, or not at all.

    Raises:
        TypeError: *value* is not a `str`.
    """
    if type(value) is str:
        return value
    check_type(name, value, str)
    return str.__str__(value)


def check_same_place(held: Resource, resource: Resource) -> None:
    """Raise `InvalidPolicy` unless *resource* is in the place of *held*, which has its id."""
    if not same_place(held, resource):
        raise InvalidPolicy(
            f"resource {resource.id!r} is {held!r} and cannot become {resource!r} while a "
            "client has it",
            resource,
        )


def to_bytes(packet: Packet) -> bytes:
    """Return a copy of *packet*, so that the caller's buffer can change without harm.

    Raises:
        TypeError: *packet* is not a contiguous bytes-like object.
    """
    try:
        view = memoryview(packet)
    except TypeError:
        raise TypeError(f"a packet is bytes-like, not {shown(packet)}") from None
    except ValueError as error:  # released, or closed
        raise TypeError(f"a packet is bytes that can be read, not {packet!r}") from error
    if not view.c_contiguous:
        raise TypeError(f"a packet is contiguous bytes, not {shown(packet)}")
    return view.tobytes()


def to_list_of_bytes(packets: Iterable[Packet]) -> list[bytes]:
    """Return the bytes of all *packets*, so that a wrong one raises before any is decided.

    Raises:
        TypeError: *packets* is not an iterable of contiguous bytes-like objects.
    """
    # A single packet is iterable too, byte by byte.
    if isinstance(packets, bytes | bytearray | memoryview | str):
        raise TypeError(f"packets are an iterable of bytes-like objects, not {shown(packets)}")
    return _to_wholes(list(packets))


def _to_wholes(packets: list[Packet]) -> list[bytes]:
    # Asking for the type of each in a loop would take 23 ns a packet, where this takes 11.
    if list(map(type, packets)).count(bytes) == len(packets):
        return cast("list[bytes]", packets)
    return [packet if type(packet) is bytes else to_bytes(packet) for packet in packets]


def check_direction(direction: object) -> None:
    """Raise a `TypeError` unless *direction* is a `Direction`."""
    if type(direction) is not Direction:
        raise TypeError(f"direction is a Direction, not {shown(direction)}")


class Batch(NamedTuple):
    """The arguments of `Gateway.handle_batch`, in lists of one length; times are unchecked."""

    directions: list[Direction]
    packets: list[bytes]
    nows: list[float | None]
    client_ids: list[str | None]


def to_batch(
    directions: Sequence[Direction],
    packets: Sequence[Packet],
    nows: Sequence[float | None],
    client_ids: Sequence[str | None] | None,
) -> Batch:
    """Return the arguments of a batch, so that a wrong one raises before any packet is decided.

    Raises:
        TypeError: one of them is no sequence, or has an element of a wrong type.
        ValueError: they are not of one length.
    """
    ways = _to_list("directions", directions)
    wholes = _to_list("packets", packets)
    times = _to_list("nows", nows)
    ids: list[str | None] = [None] * len(wholes)
    if client_ids is not None:
        ids = _to_list("client_ids", client_ids)
    if not len(ways) == len(wholes) == len(times) == len(ids):
        raise ValueError(
            f"a batch has as many directions ({len(ways)}), packets ({len(wholes)}), nows "
            f"({len(times)}) and client_ids ({len(ids)})"
        )
    if list(map(type, ways)).count(Direction) != len(ways):
        check_direction(next(way for way in ways if type(way) is not Direction))
    kinds = list(map(type, ids))
    if kinds.count(str) + kinds.count(NoneType) != len(ids):
        ids = [None if one is None else to_text("client_id", one) for one in ids]
    return Batch(ways, _to_wholes(wholes), times, ids)


def _to_list(name: str, values: Sequence[T]) -> list[T]:
    # A text or a packet is a sequence too, of its letters or bytes.
    if isinstance(values, str | bytes | bytearray | memoryview) or not isinstance(
        values, Sequence
    ):
        raise TypeError(
            f"{name} are a sequence with an element for each packet, not {shown(values)}"
        )
    return list(values)


def to_id_sets(authorizations: Mapping[str, Collection[str]]) -> dict[str, frozenset[str]]:
    """Return the sets of resource ids by client id, in plain containers of our own.

    Raises:
        TypeError: not a mapping from `str` to collections of `str`.
    """
    check_type("authorizations", authorizations, Mapping)
    kept: dict[str, frozenset[str]] = {}
    for client_id, resource_ids in authorizations.items():
        # A text is an iterable of texts too: its letters would be taken for ids.
        if isinstance(resource_ids, str | bytes) or not isinstance(resource_ids, Iterable):
            raise TypeError(f"resource ids are a set of str, not {shown(resource_ids)}")
        kept[to_text("a client id", client_id)] = frozenset(
            to_text("a resource id", resource_id) for resource_id in resource_ids
        )
    return kept


def check_stands_for(resource: Resource, domain: str) -> None:
    """Raise `InvalidPolicy` unless *resource* is a DNS resource whose pattern matches *domain*."""
    if not isinstance(resource, DnsResource):
        raise InvalidPolicy(f"{resource!r} is not a DNS resource", resource)
    if not resource.pattern().matches(domain):
        raise InvalidPolicy(f"{resource.address!r} does not stand for {domain!r}", domain)
