"""What the candidates of an address permit together, as ranges of protocols, ports and types.

Thousands of areas have few different lists of filters, so each list is worked out once
(`Shapes`). What the filters permit is read from the compiled ones that decide.

Exact is meant of whole packets without options or extension headers: TCP and UDP, ICMP of the
family that is no error and is not kept on its link, and other protocols, but for numbers that
make a packet malformed or that IPv6 walks over. Through proxy addresses only TCP, UDP and echo
requests pass.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from heapq import heappop, heappush
from typing import Final, NamedTuple, cast, final

from firezone_filter.access.permits import Bounds, PermitCheck
from firezone_filter.packet.headers import EXTENSIONS
from firezone_filter.packet.icmp import ECHO_REQUEST, ICMP_KINDS, ICMP_OF, ORDINARY
from firezone_filter.packet.numbers import (
    ICMPV4,
    ICMPV6,
    IPV4,
    IPV6,
    MAX_BYTE,
    MAX_PORT,
    TCP,
    UDP,
)

ICMP_TYPES: Final = {
    version: tuple(
        number for number, kind in enumerate(ICMP_KINDS[ICMP_OF[version]]) if kind == ORDINARY
    )
    for version in (IPV4, IPV6)
}
"""The ICMP types that filters decide about, by IP version: those that are no errors and are not
kept on their link."""

_WITH_NUMBERS: Final = frozenset({TCP, UDP, ICMPV4, ICMPV6})

OTHER_PROTOCOLS: Final = {
    IPV4: frozenset(range(MAX_BYTE + 1)) - _WITH_NUMBERS,
    IPV6: frozenset(range(MAX_BYTE + 1)) - _WITH_NUMBERS - EXTENSIONS,
}
"""The protocols without ports or types that a packet can have, by IP version."""

Range = tuple[int, int]
"""Numbers (first, after)."""


def _runs(numbers: Sequence[int]) -> tuple[Range, ...]:
    """Return ascending numbers as ranges."""
    starts = [n for n, one in enumerate(numbers) if n == 0 or numbers[n - 1] != one - 1]
    ends = [*starts[1:], len(numbers)]
    return tuple(
        (numbers[start], numbers[end - 1] + 1) for start, end in zip(starts, ends, strict=True)
    )


_NO_NUMBER: Final = ((0, 1),)
_PORTS: Final = ((0, MAX_PORT + 1),)
_ICMP_RUNS: Final = {version: _runs(types) for version, types in ICMP_TYPES.items()}


@final
class Part(NamedTuple):
    """Some numbers of a protocol, and the candidate that permits them."""

    protocol: int | None
    """IANA protocol number; `None` for every one that no other part of the shape names."""

    first: int
    after: int
    """The ports of TCP and UDP, or the types of ICMP: from `first` on, before `after`. 0 and 1
    for protocols that have neither."""

    place: int
    """The place of the candidate that answers, among all of the address."""


def _begins(part: Part) -> tuple[int, int]:
    return cast("int", part.protocol), part.first


@final
class Shape:
    """What a list of candidates permits: disjoint parts, by protocol and number, `None` last."""

    __slots__ = ("named", "parts")

    def __init__(self, parts: tuple[Part, ...]) -> None:
        self.parts: tuple[Part, ...] = parts
        """Ascending by protocol and number, `None` last."""
        self.named: frozenset[int] = frozenset(
            part.protocol for part in parts if part.protocol is not None
        )
        """The protocols that a part names."""

    @property
    def rest(self) -> Part | None:
        """The part of every protocol that none names, if there is one."""
        return self.parts[-1] if self.parts and self.parts[-1].protocol is None else None

    def find(self, version: int, protocol: int, number: int = 0) -> Part | None:
        """Return the part that permits a packet; `None` if it is refused.

        Args:
            version: the IP version of the addresses.
            protocol: IANA protocol number.
            number: the far port for TCP and UDP, the type for ICMP; 0 for other protocols.
        """
        if protocol not in self.named:
            within = ranges_of(version, protocol)
            rest = self.rest
            return rest if any(first <= number < after for first, after in within) else None
        rest = self.rest
        end = len(self.parts) - (rest is not None)
        at = bisect_right(self.parts, (protocol, number), 0, end, key=_begins) - 1
        part = self.parts[at]
        return part if part.protocol == protocol and part.first <= number < part.after else None

    def places(self, version: int, protocol: int, first: int, after: int) -> tuple[int, ...]:
        """Return the places of all candidates that permit some of a protocol's numbers.

        Args:
            version: the IP version of the addresses.
            protocol: IANA protocol number.
            first: the lowest number: ports, types, or 0 for protocols that have neither.
            after: the one behind the highest.
        """
        parts = [part for part in self.parts if part.protocol == protocol]
        if protocol not in self.named and self.rest is not None:
            rest = self.rest.place
            parts = [Part(protocol, *numbers, rest) for numbers in ranges_of(version, protocol)]
        met = {part.place for part in parts if part.first < after and first < part.after}
        return tuple(sorted(met))


NOTHING: Final = Shape(())
"""Permits nothing."""


def ranges_of(version: int, protocol: int) -> tuple[Range, ...]:
    """Return the numbers of a protocol that filters decide about, in ranges.

    That is (0, 1) for protocols without numbers, and none for those that no packet of the IP
    version has.
    """
    if protocol in (TCP, UDP):
        return _PORTS
    if protocol == ICMP_OF[version]:
        return _ICMP_RUNS[version]
    return _NO_NUMBER if protocol in OTHER_PROTOCOLS[version] else ()


def translated_ranges_of(version: int, protocol: int) -> tuple[Range, ...]:
    """Return the same for packets that can be translated."""
    if protocol in (TCP, UDP):
        return _PORTS
    if protocol == ICMP_OF[version]:
        request = ECHO_REQUEST[protocol]
        return ((request, request + 1),)
    return ()


def first_unnamed(version: int, named: Collection[int]) -> int | None:
    """Return a protocol that packets of an IP version can have and that is not *named*.

    TCP before UDP before ICMP before any other; `None` if all are named.
    """
    protocols = (TCP, UDP, ICMP_OF[version], *sorted(OTHER_PROTOCOLS[version]))
    return next((protocol for protocol in protocols if protocol not in named), None)


@final
class Shapes:
    """Makes shapes; equal lists of candidates share one."""

    def __init__(self) -> None:
        # Compiled filters are interned, so lists of the same ones are equal.
        self._made: dict[tuple[int, bool, tuple[PermitCheck | None, ...]], Shape] = {}

    def of(
        self, version: int, checks: tuple[PermitCheck | None, ...], *, is_proxy: bool = False
    ) -> Shape:
        """Return what candidates permit together.

        Args:
            version: the IP version of the address.
            checks: the filters of the candidates in their order; `None` for one that permits
                nothing there.
            is_proxy: whether only what can be translated passes.
        """
        key = version, is_proxy, checks
        made = self._made.get(key)
        if made is None:
            made = self._made[key] = _make(version, checks, is_proxy=is_proxy)
        return made


_Asked = list[tuple[int, Mapping[int, Bounds]]]


def _make(version: int, checks: tuple[PermitCheck | None, ...], *, is_proxy: bool) -> Shape:
    asked: _Asked = []
    rest: int | None = None
    for place, check in enumerate(checks):
        if check is None:
            continue
        if check.everything:
            # Whoever comes behind it never answers.
            rest = place
            break
        asked.append((place, check.ipv4 if version == IPV4 else check.ipv6))
    asked_about = {protocol for _, bounds in asked for protocol in bounds}
    if rest is not None and is_proxy:
        asked_about |= {TCP, UDP, ICMP_OF[version]}
    parts: list[Part] = []
    for protocol in sorted(asked_about):
        within = (translated_ranges_of if is_proxy else ranges_of)(version, protocol)
        found = [
            part for first, after in within for part in _sweep(asked, protocol, rest, first, after)
        ]
        if is_proxy or rest is None or any(part.place != rest for part in found):
            parts += found
    named = {part.protocol for part in parts if part.protocol is not None}
    if rest is not None and not is_proxy and first_unnamed(version, named) is not None:
        parts.append(Part(None, *_NO_NUMBER[0], rest))
    return Shape(tuple(parts)) if parts else NOTHING


def _sweep(
    asked: _Asked, protocol: int, rest: int | None, first: int, after: int
) -> Iterator[Part]:
    """Yield the permitted parts of some numbers of a protocol, each with who answers."""
    of_protocol = [(place, bounds[protocol]) for place, bounds in asked if protocol in bounds]
    start, answering = first, rest
    for cut, place in _turns(of_protocol, first, after):
        found = rest if place is None else place
        if found != answering:
            if answering is not None and start < cut:
                yield Part(protocol, start, cut, answering)
            start, answering = cut, found
    if answering is not None:
        yield Part(protocol, start, after, answering)


def _turns(
    of_protocol: list[tuple[int, Bounds]], first: int, after: int
) -> Iterator[tuple[int, int | None]]:
    """Yield (number, place) where it may change who answers: the first that permits, if any does.

    There may be thousands of candidates with thousands of ranges.
    """
    changing: defaultdict[int, list[int]] = defaultdict(list)
    for place, bounds in of_protocol:
        at = bisect_right(bounds, first)
        if at & 1:
            changing[first].append(place)
        for cut in bounds[at:]:
            changing[cut].append(place)
    permitting: set[int] = set()
    # On top is the first of those that permit. What permits no more leaves when it comes up.
    heap: list[int] = []
    for number in sorted(one for one in changing if one < after):
        for place in changing[number]:
            if place not in permitting:
                heappush(heap, place)
            permitting ^= {place}
        while heap and heap[0] not in permitting:
            heappop(heap)
        yield number, heap[0] if heap else None
