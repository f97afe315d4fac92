"""For the tests of those who use the library: strategies, packet builders, asserts.

Only the names in `__all__` are public. It needs Hypothesis, the extra `testing`; the rest of the
library does not.
"""

try:
    import hypothesis as _  # noqa: F401 - asked for here, where the error can say what to do
except ImportError as _error:
    raise ImportError(
        "firezone_filter.testing needs Hypothesis: pip install 'firezone-filter[testing]'",
        name="hypothesis",
    ) from _error

from firezone_filter.packet.numbers import ACK, FIN, RST, SYN
from firezone_filter.testing.asserts import assert_allowed, assert_policy_tests, assert_refused
from firezone_filter.testing.builders import Layout, icmp, icmp_echo, icmp_error, ip, tcp, udp
from firezone_filter.testing.changes import patched, resized
from firezone_filter.testing.checksums import checksums_hold, internet_checksum
from firezone_filter.testing.extensions import (
    Extension,
    authentication,
    destination_options,
    fragment_header,
    hop_by_hop,
    routing,
)
from firezone_filter.testing.fragments import fragment, ip_fragment
from firezone_filter.testing.steps import Step
from firezone_filter.testing.strategies.aimed import packets_of
from firezone_filter.testing.strategies.broken import broken_packets
from firezone_filter.testing.strategies.ends import addresses, flow_between
from firezone_filter.testing.strategies.parts import fragmented_packets, icmp_errors, packets
from firezone_filter.testing.strategies.policies import policies
from firezone_filter.testing.strategies.rules import filters, resources
from firezone_filter.testing.strategies.stories import stories
from firezone_filter.testing.strategies.whole import whole_packets

__all__ = [
    "ACK",
    "FIN",
    "RST",
    "SYN",
    "Extension",
    "Layout",
    "Step",
    "addresses",
    "assert_allowed",
    "assert_policy_tests",
    "assert_refused",
    "authentication",
    "broken_packets",
    "checksums_hold",
    "destination_options",
    "filters",
    "flow_between",
    "fragment",
    "fragment_header",
    "fragmented_packets",
    "hop_by_hop",
    "icmp",
    "icmp_echo",
    "icmp_error",
    "icmp_errors",
    "internet_checksum",
    "ip",
    "ip_fragment",
    "packets",
    "packets_of",
    "patched",
    "policies",
    "resized",
    "resources",
    "routing",
    "stories",
    "tcp",
    "udp",
    "whole_packets",
]
