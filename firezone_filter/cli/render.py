"""The summary for people: a short overview in 80 columns.

This module lays out the lines, and rich only colours them: ids and names come from outside, so
none must be taken for markup or move the cursor.
"""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Final, TextIO, assert_never

from rich.filesize import decimal
from rich.text import Text

from firezone_filter.capture.stream import NS_PER_S
from firezone_filter.cli.terminal import WIDTH, console, printable
from firezone_filter.policy import Policy
from firezone_filter.replay.five_tuple import FiveTuple
from firezone_filter.replay.summary import (
    KINDS,
    MAX_FLOWS,
    ByDirection,
    ClientSummary,
    Refusals,
    Summary,
    Tally,
)
from firezone_filter.values.decisions import Direction
from firezone_filter.values.events import AccessEvent, AccessExhausted, AuthorizationExpired

MAX_FLOWS_SHOWN: Final = 3
MAX_ROWS_SHOWN: Final = 20
"""The most clients, resources of a client, or events. A policy may have thousands of them;
`--json` lists all."""

_LABEL: Final = 34
_STYLES: Final = {"forward": "green", "translate": "green", "reject": "yellow", "drop": "red"}

_Line = tuple[str, str]
"""Text and style."""


def print_summary(stream: TextIO, summary: Summary, policy: Policy, name: str) -> None:
    """Print *summary*, of the replay of the capture *name* under *policy*, to *stream*."""
    screen = console(stream)
    # On a closed pipe rich would end the process by itself, so it writes nothing.
    with screen.capture() as coloured:
        for text, style in _lines(summary, _resource_names(policy), name):
            # Only names make a line too long, and a pipe should get them whole.
            screen.print(Text(text, style), soft_wrap=True)
    stream.write(coloured.get())


def _lines(summary: Summary, names: dict[tuple[str, str], str], name: str) -> Iterator[_Line]:
    yield from _head(summary, name)
    yield from _decisions(summary)
    if summary.refusals:
        yield from _section("Refused", "packets", "bytes")
        for refusal in summary.refused_first():
            yield from _refusal(*refusal)
    if summary.clients:
        yield from _section("By client and resource", "outbound", "bytes", "inbound", "bytes")
        yield from _clients(summary, names)
    if summary.event_count:
        yield from _section("Events")
        shown = summary.events[:MAX_ROWS_SHOWN]
        yield from ((line, "") for event in shown for line in _event(event))
        yield from _more(summary.event_count - len(shown))


def _head(summary: Summary, name: str) -> Iterator[_Line]:
    yield f"{printable(name)}: {_total(summary.frames)}", "bold"
    if summary.first_ns is not None and summary.last_ns is not None:
        seconds = _span((summary.last_ns - summary.first_ns) / NS_PER_S)
        first, last = (_moment(ns / NS_PER_S) for ns in (summary.first_ns, summary.last_ns))
        yield f"{first} to {last} UTC, {seconds}", ""
    for tally, what in (
        (summary.not_ours, "not ours, no client at either end"),
        (summary.not_ip, "not IP"),
    ):
        if tally.packets:
            yield f"{what}: {_total(tally)}", ""
    if summary.cut.packets:
        cut = _total(summary.cut)
        yield f"cut by the snap length, so judged malformed: {cut}", "yellow"


def _decisions(summary: Summary) -> Iterator[_Line]:
    yield from _section("Decisions", "outbound", "bytes", "inbound", "bytes")
    for kind in KINDS:
        tallies = [summary.decisions[direction, kind] for direction in Direction]
        style = _STYLES[kind] if any(tally.packets for tally in tallies) else "dim"
        yield _row(kind, tallies), style
    yield _row("all", [summary.decided(direction) for direction in Direction]), ""


def _refusal(direction: Direction, reason: str, refusals: Refusals) -> Iterator[_Line]:
    yield _row(f"{direction.value}  {reason}", [refusals.tally]), "bold"
    for flow, packets in refusals.busiest(MAX_FLOWS_SHOWN):
        yield from ((line, "") for line in _flow(flow, packets))
    at_least = "at least " if len(refusals.flows) == MAX_FLOWS else ""
    yield from _more(len(refusals.flows) - MAX_FLOWS_SHOWN, at_least)


def _flow(flow: FiveTuple, packets: int) -> Iterator[str]:
    source, destination = flow.ends()
    return _broken(f"    {flow.protocol_name} {source} >", f"{destination}  x {packets:,}")


def _broken(start: str, rest: str) -> Iterator[str]:
    """Yield one line if it fits, otherwise two, the second one indented."""
    if len(f"{start} {rest}") <= WIDTH:
        yield f"{start} {rest}"
    else:
        yield start
        yield f"        {rest}"


def _clients(summary: Summary, names: dict[tuple[str, str], str]) -> Iterator[_Line]:
    clients = sorted(summary.clients.items(), key=lambda item: -item[1].packets)
    for client_id, client in clients[:MAX_ROWS_SHOWN]:
        yield f"  {'no client' if client_id is None else printable(client_id)}", "bold"
        yield from _client(client_id or "", client, names)
    yield from _more(len(clients) - MAX_ROWS_SHOWN)


def _client(
    client_id: str, client: ClientSummary, names: dict[tuple[str, str], str]
) -> Iterator[_Line]:
    resources = sorted(client.allowed.items(), key=lambda item: -_packets(item[1]))
    for resource_id, tallies in resources[:MAX_ROWS_SHOWN]:
        yield _row(f"  {_resource(client_id, resource_id, names)}", tallies.values()), ""
    yield from _more(len(resources) - MAX_ROWS_SHOWN)
    if _packets(client.refused):
        yield _row("  (refused)", client.refused.values()), "yellow"


def _resource(client_id: str, resource_id: str | None, names: dict[tuple[str, str], str]) -> str:
    if resource_id is None:
        return "(the gateway itself)"
    name = names.get((client_id, resource_id))
    return f"{name} ({resource_id})" if name else resource_id


def _resource_names(policy: Policy) -> dict[tuple[str, str], str]:
    return {
        (client.id, authorization.resource.id): authorization.resource.name
        for client in policy.clients
        for authorization in client.authorizations
    }


def _event(event: AccessEvent) -> Iterator[str]:
    match event:
        case AuthorizationExpired():
            what = f"{printable(event.resource_id)} expired at {_moment(event.expired_at)}"
        case AccessExhausted():
            what = "no authorization is left"
        case _:
            assert_never(event)
    return _broken(f"  {printable(event.client_id)}:", what)


def _packets(tallies: ByDirection) -> int:
    return sum(tally.packets for tally in tallies.values())


def _section(title: str, *columns: str) -> Iterator[_Line]:
    yield "", ""
    yield _columns(title, columns).rstrip(), "bold underline"


def _row(label: str, tallies: Iterable[Tally]) -> str:
    cells = (cell for tally in tallies for cell in _cells(tally))
    return _columns(f"  {_fit(printable(label))}", cells)


def _total(tally: Tally) -> str:
    plural = "" if tally.packets == 1 else "s"
    return f"{tally.packets:,} packet{plural}, {decimal(tally.bytes)}"


def _cells(tally: Tally) -> tuple[str, str]:
    return f"{tally.packets:,}", decimal(tally.bytes) if tally.packets else "-"


def _columns(label: str, cells: Iterable[str]) -> str:
    return f"{label:<{_LABEL}}" + "".join(f"{cell:>11}" for cell in cells)


def _fit(label: str) -> str:
    room = _LABEL - len("  ")
    return label if len(label) <= room else f"{label[: room - 3]}..."


def _more(count: int, at_least: str = "") -> Iterator[_Line]:
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
