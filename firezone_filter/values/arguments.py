"""Checking what callers hand in, before anything changes."""

from collections.abc import Collection, Iterable, Mapping

from firezone_filter.values.errors import InvalidPolicy, shown
from firezone_filter.values.resources import DnsResource, Resource, same_place

Packet = bytes | bytearray | memoryview
"""What type checkers let pass; at run time any contiguous bytes-like object will do."""


def check_type(name: str, value: object, *kinds: type) -> None:
    """Check that *value*, the argument called *name*, is of one of *kinds*."""
    if not isinstance(value, kinds):
        expected = " or ".join(kind.__name__ for kind in kinds)
        raise TypeError(f"{name} is a {expected}, not {shown(value)}")


def to_text(name: str, value: str) -> str:
    """Return the `str` that *value*, the argument called *name*, is.

    A plain one: a subclass may compare and hash as it likes, or not at all.
    """
    check_type(name, value, str)
    return str.__str__(value)


def check_same_place(held: Resource, resource: Resource) -> None:
    """Check that *resource* is where the one of its id is that a client has."""
    if not same_place(held, resource):
        raise InvalidPolicy(
            f"resource {resource.id!r} is {held!r} and cannot become {resource!r} while a "
            "client has it",
            resource,
        )


def to_bytes(packet: Packet) -> bytes:
    """Return a copy of the bytes of *packet*, which nobody can change under our hands."""
    try:
        view = memoryview(packet)
    except ValueError as error:  # released, or closed
        raise TypeError(f"a packet is bytes that can be read, not {packet!r}") from error
    if not view.c_contiguous:
        raise TypeError(f"a packet is contiguous bytes, not {shown(packet)}")
    return view.tobytes()


def to_list_of_bytes(packets: Iterable[Packet]) -> list[bytes]:
    """Return the bytes of all *packets*, before the first of them is decided."""
    # A packet by itself is iterable too, byte by byte.
    if isinstance(packets, bytes | bytearray | memoryview | str):
        raise TypeError(f"packets are an iterable of bytes-like objects, not {shown(packets)}")
    return [packet if type(packet) is bytes else to_bytes(packet) for packet in packets]


def to_id_sets(authorizations: Mapping[str, Collection[str]]) -> dict[str, frozenset[str]]:
    """Return the resource ids by client id."""
    check_type("authorizations", authorizations, Mapping)
    kept: dict[str, frozenset[str]] = {}
    for client_id, resource_ids in authorizations.items():
        check_type("a client id", client_id, str)
        # A text is an iterable of texts too: its letters would be taken for ids.
        if isinstance(resource_ids, str | bytes) or not isinstance(resource_ids, Iterable):
            raise TypeError(f"resource ids are a set of str, not {shown(resource_ids)}")
        kept[client_id] = frozenset(resource_ids)
        for resource_id in kept[client_id]:
            check_type("a resource id", resource_id, str)
    return kept


def check_stands_for(resource: Resource, domain: str) -> None:
    """Check that *resource* is a DNS resource, and *domain* one of its names."""
    if not isinstance(resource, DnsResource):
        raise InvalidPolicy(f"{resource!r} is not a DNS resource", resource)
    if not resource.pattern().matches(domain):
        raise InvalidPolicy(f"{resource.address!r} does not stand for {domain!r}", domain)
