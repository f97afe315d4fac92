"""Which pictures a report has: for each the counts of its series over time, as plain numbers."""

from collections.abc import Callable, Hashable, Iterable
from typing import Final, TypeVar

import numpy as np
from attrs import frozen

from firezone_filter.report.data import Outcome, ReportData
from firezone_filter.report.groups import Name
from firezone_filter.report.time_series import (
    MAX_BUCKETS,
    PASSED,
    REFUSED,
    WIDTHS_NS,
    Buckets,
    TimeSeries,
)
from firezone_filter.report.words import client_name, resource_name
from firezone_filter.values.decisions import Direction

MAX_SERIES: Final = 8
"""Colours that people tell apart in one picture, the last for all others."""

MAX_COLUMNS: Final = 130
"""Columns of the pictures that stand side by side; more would be thinner than a line."""

K = TypeVar("K", bound=Hashable)


@frozen
class Series:
    """What has one colour in a picture."""

    label: str
    """Its name, as shown."""

    colour: str
    """Names its colour: `passed`, `refused`, or the place in the palette."""

    counts: tuple[int, ...]
    """Packets in each bucket of time."""

    @property
    def total(self) -> int:
        """All its packets."""
        return sum(self.counts)


@frozen
class Picture:
    """Packets over time, in stacked series."""

    name: str
    """Its id in the page."""

    title: str
    """What it shows."""

    edges_ns: tuple[int, ...]
    """Where the buckets begin, and where the last one ends."""

    series: tuple[Series, ...]
    """From the bottom to the top; those without any packet are left out."""

    @property
    def busy_buckets(self) -> list[int]:
        """The buckets in which any series has packets."""
        buckets = range(len(self.edges_ns) - 1)
        return [bucket for bucket in buckets if any(each.counts[bucket] for each in self.series)]


@frozen
class _Axis:
    """The columns of a picture, from the first with packets to the last: some buckets each."""

    first: int
    count: int
    buckets: Buckets
    factor: int
    """Buckets of a column."""

    @property
    def edges_ns(self) -> tuple[int, ...]:
        width_ns = self.factor * self.buckets.width_ns
        return tuple((self.first + each) * width_ns for each in range(self.count + 1))

    def counts(self, series: TimeSeries[K], names: Iterable[K], passage: int) -> tuple[int, ...]:
        """Return the packets of *names* together, those that passed or those that did not."""
        counts = np.zeros(self.count, dtype=np.int64)
        first = self.buckets.first or 0
        for name in names:
            values = series.counts(name, self.buckets)[:, passage]
            columns = np.arange(first, first + len(values)) // self.factor - self.first
            np.add.at(counts, columns, values)
        return tuple(counts.tolist())


def all_packets(data: ReportData) -> Picture:
    """Return what passed and what did not."""
    axis, series = _axis(data, MAX_BUCKETS), data.by_outcome
    return _picture(
        axis,
        "all",
        "Packets decided",
        [
            Series("refused", "refused", axis.counts(series, series.names, REFUSED)),
            Series("passed", "passed", axis.counts(series, series.names, PASSED)),
        ],
    )


def pictures(data: ReportData) -> list[Picture]:
    """Return all other pictures, those of what was refused first."""
    axis = _axis(data, MAX_COLUMNS)
    return [
        _by_reason(data, axis),
        _by_direction(data, axis),
        *_pair(axis, data.by_client, "client", client_label),
        *_pair(axis, data.by_resource, "resource", resource_label),
    ]


def client_label(name: Name, passed: bool) -> str:  # noqa: ARG001, FBT001 - as for resources
    """Return the label of a client."""
    return client_name(name)


def resource_label(name: Name, passed: bool) -> str:  # noqa: FBT001 - one of two pictures
    """Return the label of a resource."""
    return resource_name(name, passed=passed)


def _axis(data: ReportData, most: int) -> _Axis:
    """Return as many columns as fit into *most*."""
    bucket_ns = data.buckets.width_ns
    first, last = data.buckets.first or 0, data.buckets.last or 0
    # (Even 136 years have fewer columns of the widest than any picture.)
    factor = next(
        width_ns // bucket_ns
        for width_ns in WIDTHS_NS[WIDTHS_NS.index(bucket_ns) :]
        if last // (width_ns // bucket_ns) - first // (width_ns // bucket_ns) < most
    )
    begin, end = first // factor, last // factor
    return _Axis(begin, end - begin + 1, data.buckets, factor)


def _by_reason(data: ReportData, axis: _Axis) -> Picture:
    outcomes: dict[str, list[Outcome]] = {}
    for direction, reason in data.by_outcome.names:
        if reason is not None:
            outcomes.setdefault(reason.value, []).append((direction, reason))
    counts = {
        reason: axis.counts(data.by_outcome, names, REFUSED) for reason, names in outcomes.items()
    }
    return _ranked(axis, "reason-refused", "Refused, by reason", counts)


def _by_direction(data: ReportData, axis: _Axis) -> Picture:
    series = data.by_outcome

    def counts(direction: Direction) -> tuple[int, ...]:
        names: list[Outcome] = [(direction, None)] if (direction, None) in series.names else []
        return axis.counts(series, names, PASSED)

    found = [
        Series(direction.value, str(colour), counts(direction))
        for colour, direction in enumerate(Direction)
    ]
    return _picture(axis, "direction-passed", "Passed, by direction", found)


def _pair(
    axis: _Axis, series: TimeSeries[Name], what: str, label: Callable[[Name, bool], str]
) -> list[Picture]:
    """Return two pictures in which a name has the same colour."""
    ranked = sorted(series.names, key=lambda name: (-series.total(name), str(name)))
    own = ranked[: MAX_SERIES - 1] if len(ranked) > MAX_SERIES else ranked
    rest = ranked[len(own) :]

    def picture(verb: str, passage: int) -> Picture:
        parts = [
            Series(
                label(name, passage == PASSED),
                str(colour),
                axis.counts(series, [name], passage),
            )
            for colour, name in enumerate(own)
        ]
        if rest:
            counts = axis.counts(series, rest, passage)
            parts.append(Series(f"({len(rest):,} others)", str(MAX_SERIES - 1), counts))
        return _picture(axis, f"{what}-{verb}", f"{verb.capitalize()}, by {what}", parts)

    return [picture("refused", REFUSED), picture("passed", PASSED)]


def _ranked(axis: _Axis, name: str, title: str, counts: dict[str, tuple[int, ...]]) -> Picture:
    ranked = sorted(counts.items(), key=lambda item: (-sum(item[1]), item[0]))
    own, rest = ranked, []
    if len(ranked) > MAX_SERIES:
        own, rest = ranked[: MAX_SERIES - 1], ranked[MAX_SERIES - 1 :]
    series = [Series(label, str(colour), each) for colour, (label, each) in enumerate(own)]
    if rest:
        joined = tuple(map(sum, zip(*(each for _, each in rest), strict=True)))
        series.append(Series(f"({len(rest):,} others)", str(MAX_SERIES - 1), joined))
    return _picture(axis, name, title, series)


def _picture(axis: _Axis, name: str, title: str, series: Iterable[Series]) -> Picture:
    return Picture(name, title, axis.edges_ns, tuple(each for each in series if each.total))
