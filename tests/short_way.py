"""What is remembered of flows, and which packets go the long way."""

import pytest

from firezone_filter import Direction, Gateway
from firezone_filter.gateway.client import Client


def remembered(gateway: Gateway) -> tuple[int, int]:
    """Count what is remembered, outbound and inbound: decisions, and prepared flows."""
    flows = gateway._site.flows
    return (
        sum(map(len, flows.outbound)) + sum(map(len, flows.prepared_outbound)),
        sum(map(len, flows.inbound)) + sum(map(len, flows.prepared_inbound)),
    )


def no_long_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let whatever goes the long way from here on fail."""
    for name in ("judge_outbound", "judge_inbound"):
        monkeypatch.setattr(Client, name, None)


def needs_the_long_way(gateway: Gateway, direction: Direction, one: bytes) -> bool:
    """Tell whether a packet fails where there is no long way."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        no_long_way(monkeypatch)
        try:
            gateway.handle_packet(direction, one)
        except TypeError:
            return True
    return False
