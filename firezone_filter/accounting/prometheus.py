"""Counters in the text format that Prometheus scrapes.

The format (version 0.0.4) is small and fixed, so a host needs no client library: it serves
this text by whatever HTTP server it already has.
"""

from collections.abc import Iterable, Iterator
from typing import Final

from firezone_filter.values.arguments import check_type
from firezone_filter.values.counters import Counters

_PREFIX: Final = "firezone_filter"

_Sample = tuple[str, float]
"""The labels as the format writes them, and the value."""


def prometheus_text(counters: Counters) -> str:
    """Return *counters* as a page for Prometheus to scrape.

    Serve it as `text/plain; version=0.0.4; charset=utf-8`. The counters of flow records are
    there only if flows are recorded.

    Raises:
        TypeError: *counters* is not a `Counters`.
    """
    check_type("counters", counters, Counters)
    return "".join(_lines(counters))


def _lines(counters: Counters) -> Iterator[str]:
    allowed = (
        (f'{{direction="{direction.value}",decision="{decision}"}}', count)
        for (direction, decision), count in counters.allowed.items()
    )
    yield from _family("allowed_packets_total", "counter", "Packets allowed.", allowed)
    refusals = (
        (f'{{direction="{direction.value}",reason="{reason}"}}', count)
        for (direction, reason), count in counters.refusals.items()
    )
    yield from _family("refused_packets_total", "counter", "Packets refused.", refusals)
    yield from _gauge("clients", "Connected clients.", counters.clients)
    yield from _gauge("authorizations", "Authorizations.", counters.authorizations)
    yield from _gauge("cached_flows", "Flows with a remembered decision.", counters.cached_flows)
    yield from _gauge("nat_sessions", "Live sessions of translated flows.", counters.nat_sessions)
    yield from _gauge("flows", "Live flows that clients began.", counters.flows)
    yield from _gauge("fragments", "Remembered first fragments.", counters.fragments)
    steps = [("", counters.clock_steps_back)]
    yield from _family("clock_steps_back_total", "counter", "Calls with an earlier time.", steps)
    yield from _gauge(
        "clock_step_back_seconds_max",
        "Seconds by which a time was earlier at most.",
        counters.clock_step_back_max,
    )
    if counters.recorded_flows is not None:
        yield from _flows(counters, counters.recorded_flows)


def _flows(counters: Counters, recorded: int) -> Iterator[str]:
    packets = _both(counters.tx_packets, counters.rx_packets)
    octets = _both(counters.tx_bytes, counters.rx_bytes)
    lost = [("", counters.flow_events_lost)]
    yield from _gauge("recorded_flows", "Open flow records.", recorded)
    yield from _family("flow_packets_total", "counter", "Packets of recorded flows.", packets)
    yield from _family("flow_payload_bytes_total", "counter", "Payload of recorded flows.", octets)
    yield from _family("flow_events_lost_total", "counter", "Flow events without room.", lost)


def _both(outbound: int | None, inbound: int | None) -> list[_Sample]:
    return [
        ('{direction="outbound"}', outbound or 0),
        ('{direction="inbound"}', inbound or 0),
    ]


def _gauge(name: str, explanation: str, value: float) -> Iterator[str]:
    yield from _family(name, "gauge", explanation, [("", value)])


def _family(name: str, kind: str, explanation: str, samples: Iterable[_Sample]) -> Iterator[str]:
    yield f"# HELP {_PREFIX}_{name} {explanation}\n"
    yield f"# TYPE {_PREFIX}_{name} {kind}\n"
    for labels, value in samples:
        yield f"{_PREFIX}_{name}{labels} {value}\n"
