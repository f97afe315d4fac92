"""The flow records of a replay."""

import io
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from firezone_filter.accounting import event_queue as events
from firezone_filter.capture.damage import DamagedCaptureError
from firezone_filter.capture.stream import NS_PER_S, Record
from firezone_filter.policy import Policy, load_policy
from firezone_filter.replay.by_packet import replay_packets
from firezone_filter.replay.outputs.tables import FlowWriter, JsonLines
from firezone_filter.testing import ACK, FIN, SYN, icmp_echo, tcp, udp
from tests.captures import CLIENT, POLICY, REFUSED, RESOURCE, policy

START_S = 1_700_000_000
EXPIRY_S = 1_700_000_100
PING = icmp_echo(f"{CLIENT} > {RESOURCE}", payload=b"1234")
PONG = icmp_echo(f"{RESOURCE} > {CLIENT}", payload=b"1234", reply=True)
FOREIGN = udp("10.0.0.9:1 > 10.0.0.8:2")

Line = dict[str, Any]


def at(seconds: float, packet: bytes = PING) -> Record:
    return Record(round(seconds * NS_PER_S), 101, packet, len(packet))


def written(records: Iterable[Record], under: Policy | None = None) -> list[Line]:
    stream = io.BytesIO()
    replay_packets(records, under or policy(), flows=FlowWriter(JsonLines(stream)))
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def request(flags: int) -> bytes:
    return tcp(f"{CLIENT}:40000 > {RESOURCE}:5432", flags=flags)


def answer(flags: int) -> bytes:
    return tcp(f"{RESOURCE}:5432 > {CLIENT}:40000", flags=flags)


def test_a_flow_is_a_start_and_an_end() -> None:
    begun, ended = written([at(START_S), at(START_S + 1, PONG), at(START_S + 2)])
    assert (begun["event"], begun["inner_src_port"]) == ("flow-started", 1)
    assert (ended["event"], ended["cause"]) == ("flow-ended", "disconnected")
    assert ended["flow_end"] == ended["last_packet"] == "2023-11-14T22:13:22.000000000Z"
    counts = [ended[name] for name in ("tx_packets", "tx_bytes", "rx_packets", "rx_bytes")]
    assert counts == [2, 8, 1, 4]


@pytest.mark.parametrize("us", [1, 123_456, 999_999])
def test_a_time_in_microseconds_is_written_as_in_the_capture(us: int) -> None:
    # The lines of --decisions have it too, and may be joined by it.
    time_ns = START_S * NS_PER_S + us * 1_000
    (begun, _) = written([Record(time_ns, 101, PING, len(PING))])
    assert begun["flow_start"] == f"2023-11-14T22:13:20.{us:06}000Z"


def test_an_open_flow_ends_with_the_last_packet_of_the_capture() -> None:
    *_, ended = written([at(START_S), at(START_S + 10, FOREIGN)])
    assert ended["last_packet"] == "2023-11-14T22:13:20.000000000Z"
    assert ended["flow_end"] == "2023-11-14T22:13:30.000000000Z"


def test_a_connection_closed_by_both_ends_ends_by_itself() -> None:
    story = [
        at(START_S, request(SYN)),
        at(START_S + 1, answer(SYN | ACK)),
        at(START_S + 2, request(FIN | ACK)),
        at(START_S + 3, answer(FIN | ACK)),
        at(START_S + 9),
    ]
    ended = [one for one in written(story) if one["event"] == "flow-ended"]
    assert [one["cause"] for one in ended] == ["fin", "disconnected"]
    assert ended[0]["flow_end"] == "2023-11-14T22:13:23.000000000Z"


def test_an_expiry_ends_flows_at_its_own_time() -> None:
    *_, ended = written([at(START_S), at(EXPIRY_S + 7, FOREIGN)])
    assert (ended["cause"], ended["flow_end"]) == ("expired", "2023-11-14T22:15:00.000000000Z")


def test_an_idle_flow_ends_at_its_own_time_and_begins_anew() -> None:
    lasting: Line = json.loads(json.dumps(POLICY))
    lasting["clients"][0]["authorizations"][0]["expires_at"] = None
    story = [at(START_S), at(START_S + 1, PONG), at(START_S + 3_600)]
    lines = written(story, load_policy(lasting))
    assert [one["event"] for one in lines] == ["flow-started", "flow-ended"] * 2
    assert lines[1]["cause"] == "idle"
    assert lines[1]["flow_end"].startswith("2023-11-14T22:15:21.")


def test_refusals_of_the_last_minute_are_written_too() -> None:
    (refused,) = written([at(START_S, REFUSED), at(START_S + 5, REFUSED)])
    assert (refused["event"], refused["packets"]) == ("flow-refused", 2)
    assert refused["last_packet"] == "2023-11-14T22:13:25.000000000Z"


def test_no_event_is_lost_at_the_end_however_many_clients_there_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(events, "MAX_FLOW_EVENTS", 4)
    document: Line = json.loads(json.dumps(POLICY))
    (first,) = document["clients"]
    del first["ipv6"]
    others = [{**first, "id": f"{number}", "ipv4": f"100.64.0.{number}"} for number in range(3, 9)]
    document["clients"] += others
    pings = [
        at(START_S, icmp_echo(f"{client['ipv4']} > {RESOURCE}")) for client in document["clients"]
    ]
    kinds = Counter(one["event"] for one in written(pings, load_policy(document)))
    assert kinds == {"flow-started": 7, "flow-ended": 7}


def test_flows_are_closed_at_the_damage() -> None:
    def damaged() -> Iterator[Record]:
        yield at(START_S)
        raise DamagedCaptureError("it is cut short")

    assert [one["event"] for one in written(damaged())] == ["flow-started", "flow-ended"]


def test_a_capture_without_packets_has_no_flows() -> None:
    assert written([]) == []


def test_flow_records_do_not_change_the_summary() -> None:
    records = [at(START_S), at(START_S + 1, REFUSED), at(EXPIRY_S), at(EXPIRY_S, PONG)]
    with_flows = replay_packets(records, policy(), flows=FlowWriter(JsonLines(io.BytesIO())))
    assert with_flows == replay_packets(records, policy())
    assert with_flows.event_count == 2
