"""One flow event of each kind, for tests of whatever holds or carries events."""

from ipaddress import ip_address

import attrs

from firezone_filter import Direction, FlowEnd, FlowEnded, FlowRefused, FlowStarted, Reason

STARTED = FlowStarted(
    client_id="alice",
    resource_id="db",
    protocol=6,
    inner_src_ip=ip_address("100.64.0.2"),
    inner_src_port=5401,
    inner_dst_ip=ip_address("10.0.0.5"),
    inner_dst_port=443,
    domain=None,
    flow_start=1.0,
)
ENDED = FlowEnded(
    **attrs.asdict(STARTED),
    last_packet=2.0,
    flow_end=3.0,
    tx_packets=4,
    tx_bytes=5,
    rx_packets=6,
    rx_bytes=7,
    cause=FlowEnd.RST,
)
REFUSED = FlowRefused(
    client_id="alice",
    direction=Direction.OUTBOUND,
    reason=Reason.NO_RESOURCE,
    far_ip=ip_address("10.0.0.5"),
    protocol=6,
    far_port=22,
    first_packet=1.0,
    last_packet=2.0,
    packets=3,
    ip_bytes=120,
)
