"""What is odd about a replayed capture, in lines for people."""

from collections.abc import Iterator
from datetime import timedelta
from ipaddress import ip_address
from typing import Final

from firezone_filter.capture.link import SUPPORTED, link_type_name
from firezone_filter.policy import Policy
from firezone_filter.replay.summary import Summary

MAX_SHOWN: Final = 5
"""The most clients or addresses that a line names."""


def remarks(summary: Summary, policy: Policy) -> Iterator[str]:
    """Yield a line for everything of the capture that could not be taken as it is."""
    for link_type, tally in summary.unsupported.items():
        frames = _count(tally.packets, "packet")
        yield f"{frames} of {link_type_name(link_type)}, which is not supported; {SUPPORTED}"
    if summary.odd_times:
        yield (
            f"{_count(summary.odd_times, 'packet')} with a time stamp outside 1970 to 2106, or "
            "more than 50 years from the others or before an expires_at; decided at the latest "
            "time before"
        )
    if summary.out_of_order:
        late = timedelta(microseconds=summary.out_of_order_by_ns / 1000)
        yield (
            f"{_count(summary.out_of_order, 'packet')} earlier than one before, by at most "
            f"{late.total_seconds():,.6f} s; decided at the latest time before"
        )
    if summary.damage is not None:
        yield f"{summary.damage}; decided up to there"
    if lacks_clients(summary):
        yield from _no_client(summary, policy)


def lacks_clients(summary: Summary) -> bool:
    """Return whether there are packets, and none of a client."""
    # A capture without any packet says nothing about its clients.
    return bool(summary.frames.packets and not summary.clients)


def _no_client(summary: Summary, policy: Policy) -> Iterator[str]:
    yield "no client of the policy appears in it"
    clients = [
        f"{client.id} {address}"
        for client in policy.clients
        for address in client.addresses.present()
    ]
    yield f"the policy's clients: {_first(clients) or 'none'}"
    busiest = summary.busiest_addresses(MAX_SHOWN)
    if busiest:
        addresses = [f"{ip_address(packed)} ({count:,})" for packed, count in busiest]
        yield f"its most frequent addresses: {', '.join(addresses)}"


def _first(texts: list[str]) -> str:
    more = len(texts) - MAX_SHOWN
    return ", ".join(texts[:MAX_SHOWN]) + (f" and {more:,} more" if more > 0 else "")


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
