"""A replay in partitions gives what one process gives, in every field and order."""

import json
import random
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from io import BytesIO
from ipaddress import ip_address, ip_network

import pytest
from attrs import evolve
from hypothesis import example, given
from hypothesis import strategies as st
from pyarrow.parquet import read_table

from firezone_filter import Direction
from firezone_filter.capture.interface import NANOSECONDS, Interface
from firezone_filter.capture.reader import Capture
from firezone_filter.capture.stream import Record
from firezone_filter.cli.report import report
from firezone_filter.policy import Policy, load_policy
from firezone_filter.replay.arrow import decision_schema
from firezone_filter.replay.by_packet import replay_packets
from firezone_filter.replay.columns.engine import ColumnReplay
from firezone_filter.replay.engine import steps
from firezone_filter.replay.engines import engine_for
from firezone_filter.replay.errors import WorkersError
from firezone_filter.replay.outputs.captures import (
    ForwardedPcapngWriter,
    ForwardedWriter,
    RefusedWriter,
)
from firezone_filter.replay.outputs.tables import (
    Csv,
    DecisionWriter,
    FlowWriter,
    JsonLines,
    Parquet,
    Table,
)
from firezone_filter.replay.partitions.part import Part
from firezone_filter.replay.partitions.piece import Answer, End, Order, Piece, Share
from firezone_filter.replay.partitions.team import LostPartitionError, Team
from firezone_filter.replay.rows import DECISION_FIELDS
from firezone_filter.replay.sinks import Writer
from firezone_filter.replay.summary import Decided, Summary
from firezone_filter.report.data import ReportData
from firezone_filter.testing import SYN, tcp
from tests.captures import ALLOWED, ETHERNET, RAW, ethernet, record
from tests.columns import WRITERS
from tests.gathering import gathered
from tests.parted import HereHome, HereTeam, replay_in_parts
from tests.random_captures import CLIENTS, policy_of, records_of
from tests.unit.cli.test_real_captures import CAPTURES, REAL, Real

Result = tuple[Summary, str, list[object]]


class Kept:
    """A writer that keeps packets as they are."""

    def __init__(self) -> None:
        self.packets: list[Decided] = []
        self.add = self.packets.append

    def getvalue(self) -> object:
        return self.packets


def sinks() -> tuple[list[BytesIO | Kept], list[Writer]]:
    """Return streams and something else, and a writer of each kind to each."""
    table, forwarded, as_pcapng, refused = (BytesIO() for _ in range(4))
    kept = Kept()
    writers: list[Writer] = [
        DecisionWriter(JsonLines(table)),
        ForwardedWriter(forwarded),
        ForwardedPcapngWriter(as_pcapng),
        RefusedWriter(refused),
        kept,
    ]
    return [table, forwarded, as_pcapng, refused, kept], writers


def told(summary: Summary, streams: Iterable[BytesIO | Kept]) -> Result:
    return summary, json.dumps(report(summary)), [stream.getvalue() for stream in streams]


def by_one(records: Iterable[Record], policy: Policy) -> Result:
    streams, writers = sinks()
    return told(replay_packets(records, policy, writers), streams)


def by_several(
    records: list[Record], policy: Policy, team: Team, partitions: int, chunk: int
) -> tuple[Result, int]:
    streams, writers = sinks()
    result = replay_in_parts(
        lambda: gathered(records, chunk), policy, team, partitions, writers=writers
    )
    return told(result.summary, streams), result.losses


def counts(
    records: list[Record], policy: Policy, team: Team, partitions: int, chunk: int
) -> Summary:
    return replay_in_parts(lambda: gathered(records, chunk), policy, team, partitions).summary


class Failing:
    """A team whose partitions are lost at moments drawn in advance."""

    def __init__(self, moments: list[int]) -> None:
        self.moments = moments

    def settle(self, _: int, order: Order) -> "FailingHome":
        return FailingHome(order, self.moments.pop() if self.moments else None)

    def close(self) -> None:
        pass  # pragma: no cover - whoever makes a team closes it


class FailingHome:
    """A partition that is lost after some calls, and forgets its answers then."""

    def __init__(self, order: Order, calls: int | None) -> None:
        self.part: Part = Part(order)
        self.answers: list[Answer] = []
        self.calls = calls

    def call(self) -> None:
        if self.calls is not None:
            self.calls -= 1
            if self.calls < 0:
                raise LostPartitionError("as drawn")

    def send(self, piece: Piece) -> None:
        self.call()
        self.answers.append(self.part.take(piece))

    def answer(self) -> Answer:
        self.call()
        return self.answers.pop(0)

    def finish(self, end: End) -> Share:
        self.call()
        assert not self.answers
        return self.part.finish(end)

    def leave(self) -> None:
        pass


@given(
    seed=st.integers(0, 1 << 32),
    count=st.integers(0, 400),
    partitions=st.integers(1, 5),
    chunk=st.integers(1, 100),
)
def test_partitions_together_give_what_one_process_gives(
    seed: int, count: int, partitions: int, chunk: int
) -> None:
    rng = random.Random(seed)
    policy = policy_of(rng)
    records = list(records_of(rng, count))
    one = by_one(records, policy)
    several, losses = by_several(records, policy, HereTeam(), partitions, chunk)
    assert several == one
    assert losses == 0


@given(
    seed=st.integers(0, 1 << 32),
    count=st.integers(0, 400),
    partitions=st.integers(1, 5),
    chunk=st.integers(1, 100),
    moments=st.lists(st.integers(0, 60), max_size=2),
)
def test_counts_alone_are_those_of_one_process(
    seed: int, count: int, partitions: int, chunk: int, moments: list[int]
) -> None:
    rng = random.Random(seed)
    policy = policy_of(rng)
    records = list(records_of(rng, count))
    one = replay_packets(records, policy)
    several = counts(records, policy, Failing(moments), partitions, chunk)
    assert told(several, []) == told(one, [])


@given(
    seed=st.integers(0, 1 << 32),
    chunk=st.integers(1, 100),
    at_once=st.integers(1, 100),
    moments=st.lists(st.integers(0, 20), max_size=1),
)
def test_pieces_of_some_chunks_go_together(
    seed: int, chunk: int, at_once: int, moments: list[int]
) -> None:
    rng = random.Random(seed)
    policy = policy_of(rng)
    records = list(records_of(rng, 300))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("firezone_filter.replay.partitions.reading._FULL", 0)
        patch.setattr("firezone_filter.replay.partitions.reading.FRAMES_AT_ONCE", at_once)
        several, _ = by_several(records, policy, Failing(moments), 3, chunk)
    assert several == by_one(records, policy)


def test_whatever_begins_without_a_time_is_cut_where_it_gets_one() -> None:
    policy = policy_of(random.Random(1))
    odd = [evolve(record(ALLOWED), time_ns=-1)] * 8
    tagged = ethernet(0x0800, ALLOWED, 0x8100, 0x8100)
    records = [*odd, record(ALLOWED), record(tagged, link_type=ETHERNET)]
    one = by_one(records, policy)
    for moments in ([], [0], [1], [2]):
        several, losses = by_several(records, policy, Failing(list(moments)), 2, 20)
        assert several == one
        assert losses == len(moments)
        columns = counts(records, policy, Failing(list(moments)), 2, 20)
        assert told(columns, []) == (*one[:2], [])


@pytest.mark.parametrize("moment", range(21))
def test_a_partition_may_be_lost_at_any_moment(moment: int) -> None:
    rng = random.Random(5)
    policy = policy_of(rng)
    records = list(records_of(rng, 100))
    one = by_one(records, policy)
    assert by_several(records, policy, Failing([moment]), 2, 10)[0] == one
    # And when it is begun anew, at once again.
    assert by_several(records, policy, Failing([0, moment]), 1, 10) == (one, 2)


def test_an_interrupted_replay_decides_what_was_read() -> None:
    policy = policy_of(random.Random(1))
    records = [record(ALLOWED)] * 20

    def interrupted() -> Iterator[Record]:
        yield from records
        raise KeyboardInterrupt

    one = replay_packets(interrupted(), policy)
    several = replay_in_parts(lambda: gathered(interrupted(), 7), policy, HereTeam(), 2).summary
    assert one.interrupted
    assert told(several, []) == told(one, [])


def test_workers_that_do_not_begin_end_the_replay() -> None:
    class Broken(HereTeam):
        def settle(self, number: int, order: Order) -> HereHome:  # noqa: ARG002 - none begins
            raise LostPartitionError("as ever")

    policy = policy_of(random.Random(1))
    with pytest.raises(WorkersError, match="a worker ends as soon as it begins: as ever"):
        counts([record(ALLOWED)] * 9, policy, Broken(), 2, 9)


# A partition knows of its own clients alone.
_OF_ALL = re.compile(r"all clients have \d+")


@example(seed=200, partitions=2, chunk=1, most=2, outputs="none")
@given(
    seed=st.integers(0, 1 << 32),
    partitions=st.integers(1, 5),
    chunk=st.integers(1, 100),
    most=st.sampled_from((2, 256)),
    outputs=st.sampled_from(("none", "rows", "flows")),
)
def test_reports_are_those_of_one_process(
    seed: int,
    partitions: int,
    chunk: int,
    most: int,
    outputs: str,
) -> None:
    rng = random.Random(seed)
    policy = policy_of(rng)
    records = list(records_of(rng, 300))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("firezone_filter.report.data.MAX_EXAMPLES", most)
        one, several = ReportData(), ReportData()
        replay_packets(records, policy, report=one)
        flows = FlowWriter(JsonLines(BytesIO())) if outputs == "flows" else None
        writers = [DecisionWriter(JsonLines(BytesIO()))] if outputs == "rows" else []
        replay_in_parts(
            lambda: gathered(records, chunk),
            policy,
            HereTeam(),
            partitions,
            writers=writers,
            flows=flows,
            report=several,
        )
    for data in (one, several):
        for key, one_of in data.examples.items():
            text = _OF_ALL.sub("all clients have", one_of.text)
            data.examples[key] = evolve(one_of, text=text)
    assert several == one


@given(seed=st.integers(0, 1 << 32), chunk=st.integers(1, 100))
def test_flow_records_are_those_of_one_process(seed: int, chunk: int) -> None:
    rng = random.Random(seed)
    policy = policy_of(rng)
    records = list(records_of(rng, 400))
    stream, several = BytesIO(), BytesIO()
    replay_packets(records, policy, flows=FlowWriter(JsonLines(stream)))
    result = replay_in_parts(
        lambda: gathered(records, chunk),
        policy,
        HereTeam(),
        3,
        flows=FlowWriter(JsonLines(several)),
    )
    one, lines = (each.getvalue().decode().splitlines() for each in (stream, several))
    # Of the same moment, those of different clients may be in any order.
    assert sorted(lines) == sorted(one)
    for client in (None, *CLIENTS):
        name = f'"client_id": {json.dumps(client)}'
        assert [line for line in lines if name in line] == [line for line in one if name in line]
    assert result.losses == 0


def tables(replayed: Callable[[Sequence[Writer]], Summary]) -> list[object]:
    """Return the summary and all tables of a replay."""
    lines, csv, parquet = BytesIO(), BytesIO(), BytesIO()
    made: list[Table] = [
        JsonLines(lines),
        Csv(csv, DECISION_FIELDS),
        Parquet(parquet, decision_schema, compressed=False),
    ]
    summary = replayed([DecisionWriter(table) for table in made])
    for table in made:
        table.finish()
    return [summary, lines.getvalue(), csv.getvalue(), read_table(parquet).to_pylist()]


@given(seed=st.integers(0, 1 << 32), chunk=st.integers(1, 100))
def test_tables_alone_are_those_of_one_process(seed: int, chunk: int) -> None:
    rng = random.Random(seed)
    policy = policy_of(rng)
    records = list(records_of(rng, 300))

    def in_parts(writers: Sequence[Writer]) -> Summary:
        return replay_in_parts(
            lambda: gathered(records, chunk), policy, HereTeam(), 3, writers=writers
        ).summary

    assert tables(in_parts) == tables(lambda writers: replay_packets(records, policy, writers))


ONE = Interface(RAW, options=((2, b"eth0"),))
OTHER = Interface(ETHERNET, 96, NANOSECONDS, ((13, b"\4"),))


@pytest.mark.parametrize(
    "interfaces", [(None,), (ONE,), (ONE, OTHER)], ids=["none", "one", "several"]
)
@given(seed=st.integers(0, 1 << 32), chunk=st.integers(1, 100))
def test_captures_are_those_of_one_process(
    interfaces: tuple[Interface | None, ...], seed: int, chunk: int
) -> None:
    rng = random.Random(seed)
    policy = policy_of(rng)
    records = [evolve(record, interface=rng.choice(interfaces)) for record in records_of(rng, 150)]

    def captures(replay: Callable[[list[Writer]], object]) -> list[bytes]:
        streams = [BytesIO() for _ in WRITERS]
        lines = DecisionWriter(JsonLines(table := BytesIO()))
        kinds = zip(WRITERS, streams, strict=True)
        replay([lines, *(kind(stream) for kind, stream in kinds)])
        return [stream.getvalue() for stream in (table, *streams)]

    def by_columns(writers: list[Writer]) -> None:
        engine = engine_for(policy, writers)
        assert isinstance(engine, ColumnReplay)
        for _ in steps(engine, gathered(records, chunk)):
            pass

    def in_parts(writers: list[Writer]) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.delattr("firezone_filter.replay.partitions.part.PacketPart")
            replay_in_parts(
                lambda: gathered(records, chunk), policy, HereTeam(), 3, writers=writers
            )

    expected = captures(lambda writers: replay_packets(records, policy, writers))
    assert captures(by_columns) == expected
    assert captures(in_parts) == expected


@given(seed=st.integers(0, 1 << 32))
def test_flow_records_and_tables_go_together(seed: int) -> None:
    rng = random.Random(seed)
    policy = policy_of(rng)
    records = list(records_of(rng, 200))
    lines, expected, flows = BytesIO(), BytesIO(), BytesIO()
    replay_packets(records, policy, [DecisionWriter(JsonLines(expected))])
    replay_in_parts(
        lambda: gathered(records, 60),
        policy,
        HereTeam(),
        2,
        writers=[DecisionWriter(JsonLines(lines))],
        flows=FlowWriter(JsonLines(flows)),
    )
    assert lines.getvalue() == expected.getvalue()
    assert flows.getvalue()


@given(seed=st.integers(0, 1 << 32), most=st.integers(1, 6))
def test_what_is_told_apart_up_to_a_limit_is_that_of_one_process(seed: int, most: int) -> None:
    rng = random.Random(seed)
    policy = policy_of(rng)
    records = list(records_of(rng, 300))
    with pytest.MonkeyPatch.context() as patch:
        for name in ("MAX_FLOWS", "MAX_ADDRESSES", "MAX_KINDS", "MAX_EVENTS"):
            patch.setattr(f"firezone_filter.replay.summary.{name}", most)
        patch.setattr("firezone_filter.replay.merging.MAX_FLOWS", most)
        one = by_one(records, policy)
        several, _ = by_several(records, policy, HereTeam(), 4, 30)
        columns = counts(records, policy, HereTeam(), 4, 30)
    assert several == one
    assert told(columns, []) == (*one[:2], [])


@pytest.mark.parametrize("real", REAL, ids=lambda real: real.name)
@pytest.mark.skipif(not CAPTURES.exists(), reason="the shared captures are not here")
def test_real_captures_give_the_same_in_partitions(real: Real) -> None:
    with (CAPTURES / real.name).open("rb") as stream:
        records = list(Capture(stream))
    data = real.policy()
    # Whoever is in the tunnel's range is a client, up to eight, so that there is something to
    # spread.
    tunnel = ip_network(real.tunnel)
    plain = replay_packets(records, load_policy(data | {"clients": []}))
    hosts = [str(ip_address(packed)) for packed, _ in plain.busiest_addresses(1_000)]
    others = [host for host in hosts if ip_address(host) in tunnel and host != real.host]
    clients = [
        data["clients"][0] | {"id": host, f"ipv{tunnel.version}": host}  # type: ignore[index]
        for host in [real.host, *others][:8]
        if ip_address(host) != tunnel[-1]
    ]
    policy = load_policy(data | {"clients": clients})
    one = by_one(records, policy)
    for partitions, chunk in ((1, 1_000), (3, 64)):
        several, _ = by_several(records, policy, HereTeam(), partitions, chunk)
        assert several == one
        columns = counts(records, policy, HereTeam(), partitions, chunk)
        assert told(columns, []) == (*one[:2], [])


def test_limits_of_all_clients_together_are_counted() -> None:
    internet = {"resource": {"type": "internet", "id": "internet"}}
    clients = [
        {"id": f"client {n}", "ipv4": f"100.64.0.{n}", "authorizations": [internet]}
        for n in range(2, 7)
    ]
    options = {"stateful": True, "max_flows": 3}
    policy = load_policy(
        {"gateway": {"ipv4": "100.64.0.1"}, "clients": clients, "options": options}
    )
    flows = [tcp(f"100.64.0.{n}:40000 > 1.1.1.1:443", flags=SYN) for n in range(2, 7)]
    records = [record(packet) for packet in flows]
    result = replay_in_parts(lambda: gathered(records, 1), policy, HereTeam(), 5)
    assert result.summary.decisions[Direction.OUTBOUND, "forward"].packets == 5
    # After the fourth chunk and the fifth.
    assert result.over_limits == 2


@given(
    seed=st.integers(0, 1 << 32),
    chunk=st.integers(3, 60),
    moments=st.lists(st.integers(0, 60), max_size=2),
)
def test_lost_partitions_are_computed_anew_and_counted_once(
    seed: int, chunk: int, moments: list[int]
) -> None:
    rng = random.Random(seed)
    policy = policy_of(rng)
    records = list(records_of(rng, 200))
    one = by_one(records, policy)
    several, losses = by_several(records, policy, Failing(moments), 3, chunk)
    assert several == one
    assert losses <= 2
