"""Merges the counts of partitions into those of one replay.

What a summary tells apart up to a limit is told apart in the order of the capture: the first
refused flows, say. A partition keeps as many of its own as the whole would, so the first of all
are among them, with all of their packets; `Appearances` says which these are. The order of
clients, of reasons and of flows is that of the capture, too.

What belongs to no client is in the counts of one partition. How the reading ended, what is known
of the clock, and events are in the reader's.
"""

from collections.abc import Iterable, Sequence

from firezone_filter.replay.five_tuple import FiveTuple
from firezone_filter.replay.partitions.piece import Share
from firezone_filter.replay.summary import MAX_FLOWS, ByDirection, Summary, Tally
from firezone_filter.values.decisions import Direction, Reason


def merge(into: Summary, shares: Sequence[Share]) -> None:
    """Add the counts of all partitions to those of the reader, which has counted no frames."""
    for share in shares:
        summary = share.summary
        _add(into.frames, summary.frames)
        _add(into.not_ip, summary.not_ip)
        _add(into.not_ours, summary.not_ours)
        # One partition has all of these.
        into.not_ip_kinds.update(summary.not_ip_kinds)
        into.unsupported.update(summary.unsupported)
        into.addresses.update(summary.addresses)
        for key, tally in summary.decisions.items():
            _add(into.decisions[key], tally)
        _add(into.cut, summary.cut)
        _add(into.cut_malformed, summary.cut_malformed)
    summaries = [share.summary for share in shares]
    into.first_ns = min((s.first_ns for s in summaries if s.first_ns is not None), default=None)
    into.last_ns = max((s.last_ns for s in summaries if s.last_ns is not None), default=None)
    _merge_clients(into, shares)
    _merge_refusals(into, shares)


def _merge_clients(into: Summary, shares: Iterable[Share]) -> None:
    # Of a client, one partition has packets, and the reader. Packets without a client (malformed
    # ones) are in any.
    appeared = sorted(
        (
            (number, index, client_id, share.summary.clients[client_id])
            for index, share in enumerate(shares)
            for client_id, number in share.appearances.clients.items()
        ),
        key=lambda item: item[:2],
    )
    for _, _, client_id, client in appeared:
        _add_directions(into.clients[client_id].refused, client.refused)
    allowed = sorted(
        (
            (number, index, key, share.summary.clients[key[0]].allowed[key[1]])
            for index, share in enumerate(shares)
            for key, number in share.appearances.allowed.items()
        ),
        key=lambda item: item[:2],
    )
    for _, _, (client_id, resource_id), tallies in allowed:
        _add_directions(into.clients[client_id].allowed[resource_id], tallies)


def _merge_refusals(into: Summary, shares: Sequence[Share]) -> None:
    first: dict[tuple[Direction, Reason], int] = {}
    for share in shares:
        for key, number in share.appearances.refusals.items():
            first[key] = min(number, first.get(key, number))
    for key in sorted(first, key=first.__getitem__):
        holders = [share for share in shares if key in share.appearances.refusals]
        flows: list[tuple[int, FiveTuple, int]] = []
        for share in holders:
            refusals = share.summary.refusals[key]
            _add(into.refusals[key].tally, refusals.tally)
            numbers = share.appearances.flows[key]
            flows += ((numbers[flow], flow, count) for flow, count in refusals.flows.items())
        # A flow is in one partition, since it has the client's address. A number may occur only
        # once: each packet has one flow.
        flows.sort(key=lambda item: item[0])
        into.refusals[key].flows.update((flow, count) for _, flow, count in flows[:MAX_FLOWS])


def _add_directions(into: ByDirection, tallies: ByDirection) -> None:
    for direction, tally in tallies.items():
        _add(into[direction], tally)


def _add(into: Tally, tally: Tally) -> None:
    into.packets += tally.packets
    into.bytes += tally.bytes
