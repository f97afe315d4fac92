"""The summary for people."""

import io
from collections import defaultdict

import pytest

from firezone_filter.cli.render import MAX_FLOWS_SHOWN, MAX_ROWS_SHOWN, print_summary
from firezone_filter.cli.terminal import WIDTH
from firezone_filter.replay.five_tuple import FiveTuple
from firezone_filter.replay.summary import MAX_FLOWS, Refusals, Summary, Tally
from firezone_filter.values.decisions import Decision, Direction, Drop, Forward, Reason, Reject
from firezone_filter.values.events import AccessExhausted, AuthorizationExpired
from tests.captures import (
    ALLOWED,
    ANSWER,
    REFUSED,
    REFUSED_ANSWER,
    decided,
    ipv6,
    ping,
    policy,
    ports,
    tcp,
)

from .terminal import terminal, written

OUTBOUND, INBOUND = Direction.OUTBOUND, Direction.INBOUND
START_NS = 1_700_000_000_000_000_000
UUID = "57f9ebbb-21d5-4f9f-bf86-b25122fc7a43"

SAMPLE = """\
office.pcap: 6 packets, 260 bytes
2023-11-14 22:13:20 to 2023-11-14 22:13:21 UTC, 1.500 s
not ours, no client at either end: 1 packet, 40 bytes
not IP: 1 packet, 60 bytes (ARP 1)

Decisions                            outbound      bytes    inbound      bytes
  forward                                   1   40 bytes          1   40 bytes
  translate                                 0          -          0          -
  reject                                    1   40 bytes          0          -
  drop                                      0          -          1   40 bytes
  all                                       2   80 bytes          2   80 bytes

Refused                               packets      bytes
  outbound  tcp-port                        1   40 bytes
    tcp 100.64.0.2:40000 > 10.0.0.5:22  x 1
  inbound  tcp-port                         1   40 bytes
    tcp 10.0.0.5:22 > 100.64.0.2:40000  x 1

By client and resource               outbound      bytes    inbound      bytes
  alice
    Database (db)                           1   40 bytes          1   40 bytes
    (refused)                               1   40 bytes          1   40 bytes
"""


def summary(*packets: tuple[Direction, bytes, Decision]) -> Summary:
    counted = Summary()
    for direction, packet, decision in packets:
        counted.add_frame(START_NS, len(packet))
        counted.add(decided(packet, decision, direction))
    return counted


def rendered(counted: Summary, name: str = "office.pcap") -> list[str]:
    stream = io.StringIO()
    print_summary(stream, counted, policy(), name)
    return stream.getvalue().splitlines()


def forwarded(client_id: str, resource_id: str | None) -> tuple[Direction, bytes, Decision]:
    return OUTBOUND, ALLOWED, Forward(client_id, resource_id)


def refused(*packets: bytes) -> Summary:
    return summary(*[(OUTBOUND, packet, Drop(Reason.TCP_PORT, "alice")) for packet in packets])


def test_a_summary_has_all_its_parts() -> None:
    counted = summary(
        (OUTBOUND, ALLOWED, Forward("alice", "db")),
        (INBOUND, ANSWER, Forward("alice", "db")),
        (OUTBOUND, REFUSED, Reject(b"reply", Reason.TCP_PORT, "alice")),
        (INBOUND, REFUSED_ANSWER, Drop(Reason.TCP_PORT, "alice")),
    )
    counted.add_frame(START_NS, 40)
    counted.add_frame(START_NS + 1_500_000_000, 60)
    counted.not_ours.add(40)
    counted.add_not_ip("ARP", 60)
    assert rendered(counted) == SAMPLE.splitlines()


def test_the_summary_of_no_packets_has_neither_times_nor_clients() -> None:
    lines = rendered(Summary())
    assert (lines[:2], len(lines)) == (["office.pcap: 0 packets, 0 bytes", ""], 8)


def test_a_long_duration_is_in_hours() -> None:
    counted = Summary()
    counted.add_frame(START_NS, 40)
    counted.add_frame(START_NS + 3_661_400_000_000, 40)
    assert rendered(counted)[1].endswith(" UTC, 1:01:01")


@pytest.mark.parametrize(
    ("counted", "line"),
    [
        (Summary(cut=Tally(17, 1600)), "cut by the snap length: 17 packets, 1.6 kB"),
        (
            Summary(cut_malformed=Tally(17, 1600)),
            "cut in their headers, so judged malformed: 17 packets, 1.6 kB",
        ),
        (
            Summary(unsupported=defaultdict(Tally, {105: Tally(2, 80)})),
            "link type 105 (IEEE 802.11): 2 packets, 80 bytes",
        ),
    ],
    ids=["cut", "malformed", "link type"],
)
def test_what_cannot_be_read_as_it_is_has_a_line(counted: Summary, line: str) -> None:
    assert rendered(counted)[1] == line


@pytest.mark.parametrize(
    ("kinds", "text"),
    [(3, "k2 3, k1 2, k0 1"), (4, "k3 4, k2 3, k1 2, 1 more kinds")],
)
def test_the_most_frequent_kinds_of_other_frames_are_named(kinds: int, text: str) -> None:
    counted = Summary()
    for kind in range(kinds):
        for _ in range(kind + 1):
            counted.add_not_ip(f"k{kind}", 60)
    assert rendered(counted)[1].endswith(f" ({text})")


# --- Names and terminals -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text"),
    [("a\n\x1b[2J", r"a\n\x1b[2J"), ("[red]a.pcap[/red]", "[red]a.pcap[/red]")],
    ids=["control characters", "markup"],
)
def test_a_name_is_neither_a_command_nor_markup(name: str, text: str) -> None:
    assert rendered(Summary(), name)[0] == f"{text}: 0 packets, 0 bytes"


def test_only_a_terminal_gets_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "\x1b" not in "".join(rendered(refused(REFUSED)))
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "\x1b" in "".join(rendered(refused(REFUSED)))


@pytest.mark.parametrize("variable", ["COLUMNS", "LINES"])
@pytest.mark.parametrize("size", ["0", "²", "9" * 5000, "no"], ids=["0", "²", "huge", "no"])
def test_sizes_in_the_environment_do_not_change_the_summary(
    monkeypatch: pytest.MonkeyPatch, variable: str, size: str
) -> None:
    expected = rendered(refused(REFUSED))
    monkeypatch.setenv(variable, size)
    assert rendered(refused(REFUSED)) == expected


def test_no_line_is_longer_than_80_columns() -> None:
    longest = ":".join(["ffff"] * 8)
    counted = refused(*[ipv6(longest, longest, 6, ports(65535, 65535))] * 2)
    counted.add(decided(ALLOWED, Forward(UUID, UUID * 9)))
    counted.add_events([AuthorizationExpired(UUID, UUID, 1e9), AccessExhausted(UUID)])
    assert max(len(line) for line in rendered(counted)) <= WIDTH


def test_a_long_flow_is_broken_between_its_ends() -> None:
    source, destination = "fd00:2021:1111:ffff:ffff:ffff:ffff:2", "2001:db8::ffff:ffff:ffff:5"
    lines = rendered(refused(ipv6(source, destination, 6, ports(40000, 22))))
    at = lines.index(f"    tcp [{source}]:40000 >")
    assert lines[at + 1] == f"        [{destination}]:22  x 1"


def test_a_refused_ping_is_told_with_its_type() -> None:
    lines = rendered(summary((OUTBOUND, ping(), Drop(Reason.ICMP, "alice"))))
    assert "    icmp type 8 code 0 100.64.0.2 > 10.0.0.5  x 1" in lines


# --- Narrow terminals --------------------------------------------------------------------

NARROW = """\
captures/of/the/office.pcap: 1 packet, 40
    bytes
2023-11-14 22:13:20 to 2023-11-14 22:13:20
    UTC, 0.000 s

Decisions
  forward
    outbound 0 packets, 0 bytes
    inbound 0 packets, 0 bytes
  translate
    outbound 0 packets, 0 bytes
    inbound 0 packets, 0 bytes
  reject
    outbound 0 packets, 0 bytes
    inbound 0 packets, 0 bytes
  drop
    outbound 1 packet, 40 bytes
    inbound 0 packets, 0 bytes
  all
    outbound 1 packet, 40 bytes
    inbound 0 packets, 0 bytes

Refused
  outbound  tcp-port
    1 packet, 40 bytes
    tcp 100.64.0.2:40000 > 10.0.0.5:22  x 1

By client and resource
  alice
    (refused)
      outbound 1 packet, 40 bytes
      inbound 0 packets, 0 bytes
"""


def on_terminal(counted: Summary, columns: int, name: str) -> list[str]:
    with terminal(columns) as (stream, screen):
        print_summary(stream, counted, policy(), name)
        return written(stream, screen)


def test_a_terminal_of_44_columns_has_one_count_a_line() -> None:
    lines = on_terminal(refused(REFUSED), 44, "captures/of/the/office.pcap")
    assert lines == NARROW.splitlines()


@pytest.mark.parametrize("columns", [40, 44, 60, 77, 78, 79, 80, 120])
def test_a_terminal_of_any_width_breaks_lines_between_words_alone(columns: int) -> None:
    counted = refused(REFUSED, ipv6(protocol=6, payload=ports(65535, 65535)))
    counted.add(decided(ALLOWED, Forward("a client with a long name", "a resource " * 9)))
    counted.add_events([AuthorizationExpired("alice", "db of " * 20, 1e9)])
    counted.add_not_ip("EtherType 0x1234", 60)
    lines = on_terminal(counted, columns, "a capture with many words in its name.pcap")
    assert max(map(len, lines)) <= columns
    words = {word for line in lines for word in line.split()}
    assert {"resource", "0x1234", "[2001:db8::5]:65535"} <= words
    assert any("words in" in line or line.endswith("words") for line in lines)


def test_a_word_that_is_longer_than_the_terminal_stays_whole() -> None:
    assert f"{UUID * 2}.pcap:" in on_terminal(Summary(), 44, f"{UUID * 2}.pcap")[0]


# --- Clients and their resources ---------------------------------------------------------


@pytest.mark.parametrize(
    ("resource_id", "label"), [(None, "(the gateway itself)"), ("unnamed", "unnamed")]
)
def test_the_gateway_and_a_resource_without_a_name_have_a_label(
    resource_id: str | None, label: str
) -> None:
    lines = rendered(summary(forwarded("alice", resource_id)))
    assert lines[-1].startswith(f"    {label}  ")
    assert not any("(refused)" in line for line in lines)


def test_packets_without_a_client_have_a_row() -> None:
    lines = rendered(summary((OUTBOUND, ALLOWED, Drop(Reason.MALFORMED, None))))
    assert lines[-2] == "  no client"


def test_the_busiest_client_comes_first() -> None:
    lines = rendered(summary(forwarded("quiet", "db"), *[forwarded("busy", "db")] * 2))
    assert lines.index("  busy") < lines.index("  quiet")


# --- Limits ------------------------------------------------------------------------------


def with_events(count: int) -> Summary:
    counted = Summary()
    counted.add_events([AccessExhausted("alice")] * count)
    return counted


@pytest.mark.parametrize(
    "counted",
    [
        pytest.param(refused(*(tcp(n, 22) for n in range(MAX_FLOWS_SHOWN + 2))), id="flows"),
        pytest.param(
            summary(*(forwarded(f"client {n}", "db") for n in range(MAX_ROWS_SHOWN + 2))),
            id="clients",
        ),
        pytest.param(
            summary(*(forwarded("alice", f"resource {n}") for n in range(MAX_ROWS_SHOWN + 2))),
            id="resources",
        ),
        pytest.param(with_events(MAX_ROWS_SHOWN + 2), id="events"),
    ],
)
def test_rows_beyond_the_limit_are_counted(counted: Summary) -> None:
    assert [line for line in rendered(counted) if " more" in line] == ["    and 2 more"]


def test_flows_that_were_not_told_apart_are_counted_at_least() -> None:
    counted = Summary()
    flows = {FiveTuple(bytes(4), bytes(4), 6, port, 22): 1 for port in range(MAX_FLOWS)}
    counted.refusals[OUTBOUND, Reason.TCP_PORT] = Refusals(Tally(999, 999), flows)
    assert "    and at least 253 more" in rendered(counted)


# --- Events ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (AuthorizationExpired("alice", "db", 1.7e9), "db expired at 2023-11-14 22:13:20"),
        (AuthorizationExpired("alice", "db", 1e300), "db expired at 1e+300"),
        (AuthorizationExpired("alice", "db", -1e300), "db expired at -1e+300"),
        (AccessExhausted("alice"), "no authorization is left"),
    ],
    ids=["date", "after all dates", "before all dates", "no access"],
)
def test_events_are_listed(event: AuthorizationExpired | AccessExhausted, line: str) -> None:
    counted = Summary()
    counted.add_events([event])
    assert rendered(counted)[-2:] == ["Events", f"  alice: {line}"]
