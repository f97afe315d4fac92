"""The tables of a report, as values that are ready to be shown."""

from collections.abc import Hashable, Iterable, Mapping
from ipaddress import ip_address
from typing import Final, TypeVar

from attrs import define, field, frozen

from firezone_filter.report.data import Example, ExampleKey, ReportData, key_of
from firezone_filter.report.groups import Count, Group, Name
from firezone_filter.report.largest_flows import Conversation, FlowCount
from firezone_filter.report.words import (
    client_name,
    counted,
    number,
    resource_name,
    shortened,
    size,
)
from firezone_filter.values.explanations import protocol_name

LEVELS: Final = 5
"""Shades of the cells of a matrix."""

K = TypeVar("K", bound=Hashable)


@frozen
class Limits:
    """How much of each table is shown, the largest first."""

    groups: int = 2_000
    flows: int = 50
    refusals: int = 100
    clients: int = 40
    resources: int = 24

    def halved(self) -> "Limits":
        """Return limits for a page half as large."""
        return Limits(
            self.groups // 2,
            self.flows // 2,
            self.refusals // 2,
            self.clients // 2,
            self.resources // 2,
        )


@define
class Labels:
    """Clients and resources with their labels, and a number by which a page finds each again.

    Labels are shortened, so two names may have the same one; numbers are never the same.
    """

    _resource_names: Mapping[str, str]
    _clients: dict[Name, int] = field(init=False, factory=dict)
    _resources: dict[tuple[Name, bool], int] = field(init=False, factory=dict)

    def client(self, name: Name) -> "Label":
        """Return the label of a client."""
        place = self._clients.setdefault(name, len(self._clients))
        return Label(place, client_name(name), is_name=isinstance(name, str))

    def resource(self, name: Name, *, passed: bool) -> "Label":
        """Return the label of a resource, or of what passes or is refused without one."""
        key = name, passed and name is None
        place = self._resources.setdefault(key, len(self._resources))
        is_name = isinstance(name, str)
        called = self._resource_names.get(name) if isinstance(name, str) else None
        title = shortened(called) if called is not None and called != name else ""
        return Label(place, resource_name(name, passed=passed), is_name=is_name, title=title)


@frozen
class Label:
    """A client or resource."""

    place: int
    text: str
    is_name: bool
    title: str = ""
    """What a resource is called in the policy, if that is not its id."""


@frozen
class GroupRow:
    """Packets that have all in common but their time and flow."""

    client: Label
    resource: Label
    group: Group
    count: Count

    @property
    def passed(self) -> bool:
        """Whether they passed."""
        return self.group.reason is None


def group_rows(data: ReportData, labels: Labels, limit: int) -> list[GroupRow]:
    """Return the largest groups."""
    ranked = sorted(data.groups.items(), key=_largest_first)[:limit]
    return [
        GroupRow(
            labels.client(group.client_id),
            labels.resource(group.resource_id, passed=group.reason is None),
            group,
            count,
        )
        for group, count in ranked
    ]


def _largest_first(item: tuple[object, Count]) -> tuple[int, int]:
    return -item[1].packets, item[1].first_ns


@frozen
class Refusal:
    """Packets refused in one direction for one reason, of one client, by one resource or none."""

    client: Label
    resource: Label
    key: ExampleKey
    count: Count
    example: Example | None
    """`None` if there were too many."""


def refusals(data: ReportData, labels: Labels, limit: int) -> list[Refusal]:
    """Return the refusals with the most packets; not every one has an example."""
    counts: dict[ExampleKey, Count] = {}
    for group, count in data.groups.items():
        key = key_of(group)
        if key in counts:
            counts[key].add(count)
        elif key is not None:
            counts[key] = count
    ranked = sorted(counts.items(), key=_largest_first)[:limit]
    return [
        Refusal(
            labels.client(key[2]),
            labels.resource(key[3], passed=False),
            key,
            count,
            data.examples.get(key),
        )
        for key, count in ranked
    ]


@frozen
class FlowRow:
    """A flow, and what is known of its size."""

    client: Label
    resource: Label | None
    protocol: str
    near: str
    far: str
    count: FlowCount
    packets: str
    bytes: str


def flow_rows(data: ReportData, labels: Labels, limit: int) -> list[FlowRow]:
    """Return the flows with the most bytes, and those with the most packets."""
    flows = dict(data.flows.by_bytes(limit)) | dict(data.flows.by_packets(limit))
    ranked = sorted(flows.items(), key=lambda item: -item[1].most_bytes)
    return [_flow_row(flow, count, labels) for flow, count in ranked]


def _flow_row(flow: Conversation, count: FlowCount, labels: Labels) -> FlowRow:
    resource = None
    if count.resource_id is not None:
        resource = labels.resource(count.resource_id, passed=True)
    return FlowRow(
        labels.client(flow.client_id),
        resource,
        protocol_name(flow.protocol),
        _end(flow.near, flow.near_port),
        _end(flow.far, flow.far_port),
        count,
        _at_least(number(count.packets), number(count.most_packets)),
        _at_least(size(count.bytes), size(count.most_bytes)),
    )


def _end(address: bytes, port: int | None) -> str:
    ip = ip_address(address)
    if port is None:
        return str(ip)
    return f"{ip}:{port}" if ip.version == 4 else f"[{ip}]:{port}"  # noqa: PLR2004 - IP version


def _at_least(low: str, high: str) -> str:
    return low if low == high else f"{low} to {high}"


@define
class Passage:
    """How many packets passed, and how many did not."""

    passed: int = 0
    refused: int = 0

    @property
    def packets(self) -> int:
        """All of them."""
        return self.passed + self.refused


@frozen
class Cell:
    """What one client and one resource had to do with each other."""

    passage: Passage
    passed_level: int
    """How much passed, from 0 (nothing) to `LEVELS`; each is some ten times the one before."""

    refused_level: int
    """How much was refused, likewise."""


@frozen
class Matrix:
    """Clients by resources."""

    resources: tuple[Label, ...]
    rows: tuple[tuple[Label, tuple[Cell, ...]], ...]
    more: str
    """How many clients and resources are not shown; empty if all are."""


def matrix(data: ReportData, labels: Labels, limits: Limits) -> Matrix:
    """Return the matrix of the clients and resources with the most packets."""
    cells: dict[tuple[Name, tuple[Name, bool]], Passage] = {}
    for group, count in data.groups.items():
        passed = group.reason is None
        column = group.resource_id, passed and group.resource_id is None
        passage = cells.setdefault((group.client_id, column), Passage())
        if passed:
            passage.passed += count.packets
        else:
            passage.refused += count.packets
    clients = _ranked((client, passage) for (client, _), passage in cells.items())
    columns = _ranked((column, passage) for (_, column), passage in cells.items())
    most = max((each.packets for each in cells.values()), default=0)
    shown = columns[: limits.resources]
    return Matrix(
        tuple(labels.resource(name, passed=gateway) for name, gateway in shown),
        tuple(
            (
                labels.client(client),
                tuple(_cell(cells.get((client, column), Passage()), most) for column in shown),
            )
            for client in clients[: limits.clients]
        ),
        " and ".join(
            counted(total - most, noun)
            for noun, total, most in (
                ("client", len(clients), limits.clients),
                ("resource", len(columns), limits.resources),
            )
            if total > most
        ),
    )


def _ranked(passages: Iterable[tuple[K, Passage]]) -> list[K]:
    totals: dict[K, int] = {}
    for key, passage in passages:
        totals[key] = totals.get(key, 0) + passage.packets
    return sorted(totals, key=lambda key: -totals[key])


def _cell(passage: Passage, most: int) -> Cell:
    return Cell(passage, _level(passage.passed, most), _level(passage.refused, most))


def _level(packets: int, most: int) -> int:
    """Return one level less for each digit less."""
    return max(1, LEVELS + len(str(packets)) - len(str(most))) if packets else 0
