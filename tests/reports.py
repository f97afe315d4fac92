"""Data for reports: a night of an incident, and one whose ids try to break out of the page."""

from firezone_filter.report.data import Example, ReportData
from firezone_filter.report.groups import Group
from firezone_filter.report.largest_flows import Conversation
from firezone_filter.report.page import About
from firezone_filter.values.decisions import Direction, Reason

BEGIN_NS = 1_800_000_000 * 10**9
ESCAPING = "</script><img src=x onerror=alert(1)>\"'&amp;"
"""An id that ends a script and an attribute, and runs one of its own."""

ABOUT = About("night.pcap", "policy.json")


def flow(client: str | None = "alice", number: int = 1) -> Conversation:
    return Conversation(client, 6, b"\x64\x40\0\2", number, b"\x0a\0\0\5", 443)


def allowed(client: str = "alice", resource: str | None = "db") -> Group:
    return Group(Direction.OUTBOUND, client, resource, "forward", None)


def refused(
    client: str | None = "alice",
    resource: str | None = None,
    reason: Reason = Reason.NO_RESOURCE,
    direction: Direction = Direction.OUTBOUND,
) -> Group:
    return Group(direction, client, resource, "drop", reason)


def add(  # noqa: PLR0913 - what a test may want to set
    data: ReportData,
    group: Group,
    packets: int = 1,
    *,
    at_s: float = 0.0,
    size: int = 100,
    number: int = 1,
    text: str = "why",
) -> None:
    time_ns = BEGIN_NS + int(at_s * 10**9)
    client = group.client_id if isinstance(group.client_id, str) else None
    data.add(group, flow(client, number), time_ns, packets * size, packets)
    if data.wants_example(group):
        data.add_example(group, Example(time_ns, number, text))


def night() -> ReportData:
    """Two hours of three clients; mallory begins to scan half an hour before the end."""
    data = ReportData()
    for minute in range(120):
        for place, client in enumerate(("alice", "bob", "carol")):
            add(data, allowed(client, "wiki"), 30 - place, at_s=60 * minute, size=900)
            add(data, allowed(client, "db"), 9, at_s=60 * minute + 7, number=2)
        if minute >= 90:
            add(data, refused("mallory"), minute - 80, at_s=60 * minute, number=minute)
        if minute % 20 == 0:
            add(data, refused("alice", "db", Reason.TCP_PORT), 2, at_s=60 * minute, number=22)
            add(
                data,
                refused("bob", None, Reason.UNSOLICITED, Direction.INBOUND),
                at_s=60 * minute,
                number=3,
            )
    return data


def hostile() -> ReportData:
    """Ids and explanations that would run a script if they were not escaped."""
    data = ReportData()
    add(data, allowed(ESCAPING, ESCAPING))
    add(data, refused(ESCAPING, ESCAPING, Reason.TCP_PORT), at_s=1, text=ESCAPING)
    return data
