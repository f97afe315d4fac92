"""The summary for people: a short overview, in 80 columns or as many as the terminal has.

`layout` lays out the lines, and rich only colours them: ids and names come from outside, so
none must be taken for markup or move the cursor.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final, TextIO, assert_never

from attrs import frozen
from rich.text import Text

from firezone_filter.capture.link import link_type_name
from firezone_filter.capture.stream import NS_PER_S
from firezone_filter.cli.layout import Layout, Line, total
from firezone_filter.cli.terminal import console, printable, terminal_columns
from firezone_filter.policy import Policy
from firezone_filter.replay.summary import (
    KINDS,
    MAX_FLOWS,
    ByDirection,
    ClientSummary,
    Refusals,
    Summary,
)
from firezone_filter.values.decisions import Direction
from firezone_filter.values.events import AccessEvent, AccessExhausted, AuthorizationExpired

MAX_FLOWS_SHOWN: Final = 3
MAX_ROWS_SHOWN: Final = 20
"""The most clients, resources of a client, or events. A policy may have thousands of them;
`--json` lists all."""

_STYLES: Final = {"forward": "green", "translate": "green", "reject": "yellow", "drop": "red"}

_BOTH_WAYS: Final = ("outbound", "bytes", "inbound", "bytes")


def print_summary(stream: TextIO, summary: Summary, policy: Policy, name: str) -> None:
    """Print *summary*, of the replay of the capture *name* under *policy*, to *stream*."""
    screen = console(stream)
    layout = Layout(screen.width, breaks=terminal_columns(stream) is not None)
    # On a closed pipe rich would end the process by itself, so it writes nothing.
    with screen.capture() as coloured:
        for text, style in _Page(layout, _resource_names(policy)).lines(summary, name):
            # Only names make a line too long, and a pipe should get them whole.
            screen.print(Text(text, style), soft_wrap=True)
    stream.write(coloured.get())


@frozen
class _Page:
    """The lines of a summary."""

    _layout: Layout

    _names: dict[tuple[str, str], str]
    """Names of resources, by the ids of a client and a resource."""

    def lines(self, summary: Summary, name: str) -> Iterator[Line]:
        yield from self._head(summary, name)
        yield from self._decisions(summary)
        if summary.refusals:
            yield from self._layout.section("Refused", "packets", "bytes")
            for refusal in summary.refused_first():
                yield from self._refusal(*refusal)
        if summary.clients:
            yield from self._layout.section("By client and resource", *_BOTH_WAYS)
            yield from self._clients(summary)
        if summary.event_count:
            yield from self._layout.section("Events")
            shown = summary.events[:MAX_ROWS_SHOWN]
            for event in shown:
                yield from self._layout.pair(*_event(event))
            yield from _more(summary.event_count - len(shown))

    def _head(self, summary: Summary, name: str) -> Iterator[Line]:
        broken = self._layout.broken
        yield from broken(f"{printable(name)}: {total(summary.frames)}", "bold")
        if summary.first_ns is not None and summary.last_ns is not None:
            seconds = _span((summary.last_ns - summary.first_ns) / NS_PER_S)
            first, last = (_moment(ns / NS_PER_S) for ns in (summary.first_ns, summary.last_ns))
            yield from broken(f"{first} to {last} UTC, {seconds}")
        if summary.not_ours.packets:
            yield from broken(f"not ours, no client at either end: {total(summary.not_ours)}")
        if summary.not_ip.packets:
            yield from broken(f"not IP: {total(summary.not_ip)} ({_kinds(summary)})")
        for link_type, tally in summary.unsupported.items():
            yield from broken(f"{link_type_name(link_type)}: {total(tally)}", "yellow")
        if summary.cut.packets:
            yield from broken(f"cut by the snap length: {total(summary.cut)}")
        if summary.cut_malformed.packets:
            cut = total(summary.cut_malformed)
            yield from broken(f"cut in their headers, so judged malformed: {cut}", "yellow")

    def _decisions(self, summary: Summary) -> Iterator[Line]:
        yield from self._layout.section("Decisions", *_BOTH_WAYS)
        for kind in KINDS:
            tallies = {way: summary.decisions[way, kind] for way in Direction}
            style = _STYLES[kind] if _packets(tallies) else "dim"
            yield from self._row(kind, tallies, style)
        yield from self._row("all", {way: summary.decided(way) for way in Direction})

    def _row(self, label: str, tallies: ByDirection, style: str = "") -> Iterator[Line]:
        titled = {direction.value: tally for direction, tally in tallies.items()}
        return self._layout.row(label, titled, style)

    def _refusal(self, direction: Direction, reason: str, refusals: Refusals) -> Iterator[Line]:
        label = f"{direction.value}  {reason}"
        yield from self._layout.row(label, {"": refusals.tally}, "bold")
        for flow, packets in refusals.busiest(MAX_FLOWS_SHOWN):
            source, destination = flow.ends()
            start = f"    {flow.protocol_name} {source} >"
            yield from self._layout.pair(start, f"{destination}  x {packets:,}")
        at_least = "at least " if len(refusals.flows) == MAX_FLOWS else ""
        yield from _more(len(refusals.flows) - MAX_FLOWS_SHOWN, at_least)

    def _clients(self, summary: Summary) -> Iterator[Line]:
        clients = sorted(summary.clients.items(), key=lambda item: -item[1].packets)
        for client_id, client in clients[:MAX_ROWS_SHOWN]:
            name = "no client" if client_id is None else printable(client_id)
            yield from self._layout.broken(f"  {name}", "bold")
            yield from self._client(client_id or "", client)
        yield from _more(len(clients) - MAX_ROWS_SHOWN)

    def _client(self, client_id: str, client: ClientSummary) -> Iterator[Line]:
        resources = sorted(client.allowed.items(), key=lambda item: -_packets(item[1]))
        for resource_id, tallies in resources[:MAX_ROWS_SHOWN]:
            yield from self._row(f"  {self._resource(client_id, resource_id)}", tallies)
        yield from _more(len(resources) - MAX_ROWS_SHOWN)
        if _packets(client.refused):
            yield from self._row("  (refused)", client.refused, "yellow")

    def _resource(self, client_id: str, resource_id: str | None) -> str:
        if resource_id is None:
            return "(the gateway itself)"
        name = self._names.get((client_id, resource_id))
        return f"{name} ({resource_id})" if name else resource_id


def _resource_names(policy: Policy) -> dict[tuple[str, str], str]:
    return {
        (client.id, authorization.resource.id): authorization.resource.name
        for client in policy.clients
        for authorization in client.authorizations
    }


def _kinds(summary: Summary) -> str:
    kinds = sorted(summary.not_ip_kinds.items(), key=lambda item: -item[1].packets)
    shown = [f"{kind} {tally.packets:,}" for kind, tally in kinds[:MAX_FLOWS_SHOWN]]
    more = len(kinds) - MAX_FLOWS_SHOWN
    return ", ".join([*shown, *([f"{more:,} more kinds"] if more > 0 else [])])


def _event(event: AccessEvent) -> tuple[str, str]:
    match event:
        case AuthorizationExpired():
            what = f"{printable(event.resource_id)} expired at {_moment(event.expired_at)}"
        case AccessExhausted():
            what = "no authorization is left"
        case _:
            assert_never(event)
    return f"  {printable(event.client_id)}:", what


def _packets(tallies: ByDirection) -> int:
    return sum(tally.packets for tally in tallies.values())


def _more(count: int, at_least: str = "") -> Iterator[Line]:
    if count > 0:
        yield f"    and {at_least}{count:,} more", "dim"


def _span(seconds: float) -> str:
    # From two minutes on, minutes are easier to read than seconds.
    if seconds < 120:  # noqa: PLR2004 - see above
        return f"{seconds:.3f} s"
    return str(timedelta(seconds=round(seconds)))


def _moment(seconds: float) -> str:
    try:
        return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S}"
    except (OverflowError, ValueError):
        # No date: a policy may hold any finite number.
        return f"{seconds:g}"
