"""What is wrong with filters by themselves: of one resource, or of the gateway's own address."""

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple, final

from firezone_filter.access.permits import PermitCheck, compile_filters
from firezone_filter.packet.icmp import ICMP_KINDS, ORDINARY, is_echo
from firezone_filter.packet.numbers import ICMPV4, ICMPV6
from firezone_filter.policy.analysis.packet_sets import (
    EVERY,
    MOST_KEPT,
    PacketSet,
    PacketSets,
    Way,
    outside,
)
from firezone_filter.values.filters import Filter, Icmp, Protocol

_TYPE_NAMES: Final = {ICMPV4: "ICMP type", ICMPV6: "ICMPv6 type"}


class FilterFault(NamedTuple):
    """A finding, and the filter that it is about."""

    number: int
    code: str
    message: str


class LookedAt(NamedTuple):
    """The filters of a resource, looked at."""

    sets: tuple[tuple[PacketSet, ...], ...]
    """What each permits by itself, by the ways in which the resource is reached."""

    faults: tuple[FilterFault, ...]

    permits_nothing: bool
    """Whether there are filters, and none permits anything. Then each has a fault that says so."""

    @property
    def redundant(self) -> frozenset[int]:
        """The filters that the others make redundant."""
        return frozenset(one.number for one in self.faults if one.code == "FZ104")


@final
class FilterLint:
    """Looks at filters; equal ones, reached in the same ways, once."""

    def __init__(self, sets: PacketSets) -> None:
        self._sets = sets
        self._looked_at: dict[tuple[PermitCheck, tuple[Way, ...]], LookedAt] = {}

    def look_at(
        self, filters: tuple[Filter, ...], check: PermitCheck, ways: tuple[Way, ...]
    ) -> LookedAt:
        """Look at some filters.

        Args:
            filters: the filters.
            check: the same, compiled.
            ways: the ways in which their resource is reached.
        """
        known = self._looked_at.get((check, ways))
        if known is None:
            if len(self._looked_at) >= MOST_KEPT:
                self._looked_at.clear()
            known = self._looked_at[check, ways] = self._look_at(filters, ways)
        return known

    def _look_at(self, filters: tuple[Filter, ...], ways: tuple[Way, ...]) -> LookedAt:
        checks = [compile_filters((one,)) for one in filters]
        sets = tuple(tuple(self._sets.of(one, way) for way in ways) for one in checks)
        faults = [
            FilterFault(number, code, message)
            for number, one in enumerate(filters)
            for code, message in _faults_of(number, one, ways, sets)
        ]
        return LookedAt(sets, tuple(faults), bool(filters) and not any(map(any, sets)))

    def permits_everything(self, check: PermitCheck, ways: tuple[Way, ...]) -> bool:
        """Tell whether filters permit every packet there is."""
        return all(self._sets.of(check, way) == EVERY[way] for way in ways)


def _faults_of(
    number: int, one: Filter, ways: tuple[Way, ...], sets: Sequence[tuple[PacketSet, ...]]
) -> Iterator[tuple[str, str]]:
    never, is_all = _never_matching(one, ways)
    if never:
        yield "FZ302", never
    if any(sets[number]):
        if _is_redundant(number, sets):
            yield "FZ104", "permits only what the other filters permit anyway"
    elif isinstance(one, Protocol):
        yield "FZ303", _why_no_protocol(one, ways)
    elif not is_all:
        families = " or ".join(sorted({f"IPv{version}" for version, _ in ways}))
        yield "FZ103", f"none of its types passes over {families}, the only way there"


def _is_redundant(number: int, sets: Sequence[tuple[PacketSet, ...]]) -> bool:
    mine = sets[number]
    others = [
        theirs
        for m, theirs in enumerate(sets)
        # Of equals the later is redundant.
        if m < number or (m > number and theirs != mine)
    ]
    return not any(
        outside(permitted, (theirs[n] for theirs in others)) for n, permitted in enumerate(mine)
    )


def _why_no_protocol(one: Protocol, ways: tuple[Way, ...]) -> str:
    if all(is_proxy for _, is_proxy in ways):
        return f"protocol {one.number} is never translated: only TCP, UDP and echo are"
    return f"protocol {one.number} is an extension header in IPv6, and never a packet's protocol"


def _never_matching(one: Filter, ways: tuple[Way, ...]) -> tuple[str, bool]:
    """Return which ICMP types of a filter never match, wherever the address, as a message.

    It is empty if all may. Also return whether these are all that the filter names.
    """
    if not isinstance(one, Icmp) or one.types is None or one.types_v6 is None:
        return "", False
    only_echo = all(is_proxy for _, is_proxy in ways)
    texts: list[str] = []
    count = 0
    for protocol, types in ((ICMPV4, one.types), (ICMPV6, one.types_v6)):
        never = [
            kind
            for kind in types
            if ICMP_KINDS[protocol][kind] != ORDINARY
            or (only_echo and not is_echo(protocol, kind))
        ]
        count += len(never)
        if never:
            numbers = ", ".join(map(str, never))
            texts.append(f"{_TYPE_NAMES[protocol]}{'s' if len(never) > 1 else ''} {numbers}")
    what = f"{' and '.join(texts)} never match{'' if count > 1 else 'es'} here" if texts else ""
    return what, count == len(one.types) + len(one.types_v6)
