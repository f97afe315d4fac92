"""`examples/office/gateway.log` is what `DecisionLog` writes of the capture beside it."""

import io
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from firezone_filter import DecisionLog, JsonFormatter
from firezone_filter.cli.inputs import opened_capture, read_policy
from firezone_filter.replay.direction import ClientAddresses

OFFICE = Path(__file__).parents[2] / "examples" / "office"


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    """Give what a logger for all severities writes."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter())
    logger = logging.getLogger("office")
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    logger.addHandler(handler)
    yield stream
    logger.removeHandler(handler)


def test_the_log_of_the_office_is_what_a_host_writes(written: io.StringIO) -> None:
    log = DecisionLog(logging.getLogger("office"))
    policy = read_policy(str(OFFICE / "policy.json"))
    clients = ClientAddresses(policy)
    with opened_capture(str(OFFICE / "office.pcap")) as (capture, _):
        # Ethernet without padding or tags.
        records = [(one.seconds, one.frame[14:]) for one in capture]
    start, end = records[0][0], records[-1][0]
    gateway = policy.gateway(start)
    for client in policy.clients:
        log.client_connected(client.id, client.addresses, start)
        for one in client.authorizations:
            log.authorized(client.id, one.resource, start, expires_at=one.expires_at)
    for now, packet in records:
        direction = clients.direction(packet)
        assert direction is not None
        log.decided(direction, packet, gateway.handle_packet(direction, packet, now), now)
        while (event := gateway.poll_event()) is not None:
            log.event(event, now)
    log.flush(end)
    assert written.getvalue() == (OFFICE / "gateway.log").read_text()
