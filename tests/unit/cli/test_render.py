"""The summary for people."""

import io

import pytest

from firezone_filter.cli.render import MAX_FLOWS_SHOWN, MAX_ROWS_SHOWN, print_summary
from firezone_filter.cli.terminal import WIDTH
from firezone_filter.replay.five_tuple import FiveTuple
from firezone_filter.replay.summary import MAX_FLOWS, Decided, Refusals, Summary, Tally
from firezone_filter.values.decisions import Decision, Direction, Drop, Forward, Reason, Reject
from firezone_filter.values.events import AccessExhausted, AuthorizationExpired
from tests.captures import ALLOWED, ANSWER, REFUSED, REFUSED_ANSWER, ipv6, policy, ports, tcp

OUTBOUND, INBOUND = Direction.OUTBOUND, Direction.INBOUND
START_NS = 1_700_000_000_000_000_000
UUID = "57f9ebbb-21d5-4f9f-bf86-b25122fc7a43"

SAMPLE = """\
office.pcap: 6 packets, 260 bytes
2023-11-14 22:13:20 to 2023-11-14 22:13:21 UTC, 1.500 s
not ours, no client at either end: 1 packet, 40 bytes
not IP: 1 packet, 60 bytes

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


def summary(*decided: tuple[Direction, bytes, Decision]) -> Summary:
    counted = Summary()
    for direction, packet, decision in decided:
        counted.add_frame(START_NS, len(packet))
        counted.add(Decided(START_NS, direction, packet, decision))
    return counted


def rendered(counted: Summary, name: str = "office.pcap") -> list[str]:
    stream = io.StringIO()
    print_summary(stream, counted, policy(), name)
    return stream.getvalue().splitlines()


def refused(packet: bytes, times: int = 1) -> Summary:
    return summary(*[(OUTBOUND, packet, Drop(Reason.TCP_PORT, "alice"))] * times)


def test_the_summary_reads_at_a_glance() -> None:
    counted = summary(
        (OUTBOUND, ALLOWED, Forward("alice", "db")),
        (INBOUND, ANSWER, Forward("alice", "db")),
        (OUTBOUND, REFUSED, Reject(b"reply", Reason.TCP_PORT, "alice")),
        (INBOUND, REFUSED_ANSWER, Drop(Reason.TCP_PORT, "alice")),
    )
    counted.add_frame(START_NS, 40)
    counted.add_frame(START_NS + 1_500_000_000, 60)
    counted.not_ours.add(40)
    counted.not_ip.add(60)
    assert rendered(counted) == SAMPLE.splitlines()


def test_a_capture_without_packets_has_no_time_and_no_clients() -> None:
    lines = rendered(Summary())
    assert (lines[:3], len(lines)) == (["office.pcap: 0 packets, 0 bytes", "", lines[2]], 8)


def test_a_long_capture_is_told_in_hours() -> None:
    counted = Summary()
    counted.add_frame(START_NS, 40)
    counted.add_frame(START_NS + 3_661_400_000_000, 40)
    assert rendered(counted)[1].endswith(" UTC, 1:01:01")


def test_cut_packets_are_told() -> None:
    line = "cut by the snap length, so judged malformed: 17 packets, 1.6 kB"
    assert line in rendered(Summary(cut=Tally(17, 1600)))


def test_a_name_cannot_break_the_line_or_write_to_the_terminal() -> None:
    assert rendered(Summary(), "a\n\x1b[2J")[0] == r"a\n\x1b[2J: 0 packets, 0 bytes"


def test_a_name_is_no_markup() -> None:
    assert rendered(Summary(), "[red]a.pcap[/red]")[0].startswith("[red]a.pcap[/red]: ")


def test_nothing_is_coloured_in_a_pipe() -> None:
    assert "\x1b" not in "".join(rendered(refused(REFUSED)))


def test_a_terminal_gets_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "\x1b" in "".join(rendered(refused(REFUSED)))


@pytest.mark.parametrize("variable", ["COLUMNS", "LINES"])
@pytest.mark.parametrize("size", ["0", "²", "9" * 5000, "no"])
def test_the_summary_is_whole_whatever_the_environment_says_of_sizes(
    monkeypatch: pytest.MonkeyPatch, variable: str, size: str
) -> None:
    expected = rendered(refused(REFUSED))
    monkeypatch.setenv(variable, size)
    assert rendered(refused(REFUSED)) == expected


def test_only_the_busiest_flows_are_shown() -> None:
    flows = [
        (OUTBOUND, tcp(port, 22), Drop(Reason.TCP_PORT, "alice"))
        for port in range(MAX_FLOWS_SHOWN + 2)
    ]
    assert "    and 2 more" in rendered(summary(*flows))


def test_flows_that_were_not_counted_are_not_denied() -> None:
    counted = Summary()
    flows = {FiveTuple(bytes(4), bytes(4), 6, port, 22): 1 for port in range(MAX_FLOWS)}
    counted.refusals[OUTBOUND, Reason.TCP_PORT] = Refusals(Tally(999, 999), flows)
    assert "    and at least 253 more" in rendered(counted)


def test_a_flow_that_is_too_long_is_broken_between_its_ends() -> None:
    source, destination = "fd00:2021:1111:ffff:ffff:ffff:ffff:2", "2001:db8::ffff:ffff:ffff:5"
    lines = rendered(refused(ipv6(source, destination, 6, ports(40000, 22))))
    at = lines.index(f"    tcp [{source}]:40000 >")
    assert lines[at + 1] == f"        [{destination}]:22  x 1"


def test_no_line_is_longer_than_80_columns() -> None:
    longest = ":".join(["ffff"] * 8)
    counted = refused(ipv6(longest, longest, 6, ports(65535, 65535)), times=2)
    counted.add(Decided(0, OUTBOUND, ALLOWED, Forward(UUID, UUID * 9)))
    counted.add_events([AuthorizationExpired(UUID, UUID, 1e9), AccessExhausted(UUID)])
    assert max(len(line) for line in rendered(counted)) <= WIDTH


def test_the_gateway_itself_is_no_resource() -> None:
    lines = rendered(summary((OUTBOUND, ALLOWED, Forward("alice", None))))
    assert lines[-1].startswith("    (the gateway itself)  ")


def test_a_resource_without_a_name_is_called_by_its_id() -> None:
    lines = rendered(summary((OUTBOUND, ALLOWED, Forward("alice", "unnamed"))))
    assert lines[-1].startswith("    unnamed  ")


def test_packets_without_a_client_have_a_row() -> None:
    lines = rendered(summary((OUTBOUND, ALLOWED, Drop(Reason.MALFORMED, None))))
    assert lines[-2] == "  no client"


def test_a_client_whose_packets_all_pass_has_no_row_for_refusals() -> None:
    lines = rendered(summary((OUTBOUND, ALLOWED, Forward("alice", "db"))))
    assert not any("(refused)" in line for line in lines)


def test_the_busiest_client_comes_first() -> None:
    quiet = (OUTBOUND, ALLOWED, Forward("quiet", "db"))
    busy = (OUTBOUND, ALLOWED, Forward("busy", "db"))
    lines = rendered(summary(quiet, busy, busy))
    assert lines.index("  busy") < lines.index("  quiet")


def test_only_so_many_clients_are_shown() -> None:
    many = [
        (OUTBOUND, ALLOWED, Forward(f"client {number}", "db"))
        for number in range(MAX_ROWS_SHOWN + 2)
    ]
    assert rendered(summary(*many))[-1] == "    and 2 more"


def test_only_so_many_resources_are_shown() -> None:
    many = [
        (OUTBOUND, ALLOWED, Forward("alice", f"resource {number}"))
        for number in range(MAX_ROWS_SHOWN + 2)
    ]
    assert rendered(summary(*many))[-1] == "    and 2 more"


def test_events_are_listed() -> None:
    counted = Summary()
    counted.add_events([AuthorizationExpired("alice", "db", 1.7e9), AccessExhausted("alice")])
    assert rendered(counted)[-3:] == [
        "Events",
        "  alice: db expired at 2023-11-14 22:13:20",
        "  alice: no authorization is left",
    ]


def test_only_so_many_events_are_listed() -> None:
    counted = Summary()
    counted.add_events([AccessExhausted("alice")] * (MAX_ROWS_SHOWN + 2))
    assert rendered(counted)[-1] == "    and 2 more"


@pytest.mark.parametrize(("expired_at", "text"), [(1e300, "1e+300"), (-1e300, "-1e+300")])
def test_a_time_beyond_all_calendars_is_a_number(expired_at: float, text: str) -> None:
    counted = Summary()
    counted.add_events([AuthorizationExpired("alice", "db", expired_at)])
    assert rendered(counted)[-1] == f"  alice: db expired at {text}"
