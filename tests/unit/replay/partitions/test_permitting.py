"""What the reader decides itself: the packets of flows that are known to be permitted."""

import json

import pytest
from attrs import evolve

from firezone_filter.capture.stream import NS_PER_S, Record
from firezone_filter.cli.report import report
from firezone_filter.replay.by_packet import replay_packets
from firezone_filter.replay.partitions.reading import PieceMaker
from tests.captures import ALLOWED, START_S, policy, record
from tests.gathering import gathered
from tests.parted import HereTeam, replay_in_parts


def allowed_at(*seconds: int) -> list[Record]:
    return [evolve(record(ALLOWED), time_ns=each * NS_PER_S) for each in seconds]


def test_of_what_is_permitted_the_last_packet_of_a_chunk_is_sent() -> None:
    maker = PieceMaker(policy(), 1, flows=False, whole=False, counts_alone=True)
    # (Of a packet at the very end of the data, columns leave even that to others.)
    records = [record(ALLOWED + bytes(4))] * 60
    pieces = [piece for frames in gathered(records, 20) for (piece,) in maker.add(frames)]
    assert [piece.frames.numbers.tolist() for piece in pieces] == [[20], [40], [60]]
    share = maker.share()
    assert share is not None
    assert share.summary.frames.packets == 57
    assert share.summary.clients["alice"].packets == 57


@pytest.mark.parametrize("begin", [START_S, START_S + 101])
@pytest.mark.parametrize("chunk", [1, 2, 7, 8, 40, 100])
def test_what_ends_in_the_middle_is_refused_from_then_on(chunk: int, begin: int) -> None:
    # The first have no time that can be right, and permission lasts 100 seconds.
    records = [
        *allowed_at(*[-1] * 9),
        *allowed_at(*[begin + second // 3 for second in range(0, 420, 5)]),
    ]
    one = replay_packets(records, policy())
    assert one.events
    several = replay_in_parts(lambda: gathered(records, chunk), policy(), HereTeam(), 2).summary
    assert several == one
    assert json.dumps(report(several)) == json.dumps(report(one))
