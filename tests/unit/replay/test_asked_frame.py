"""Why one frame of a capture is decided as it is."""

from collections.abc import Iterator

import pytest

from firezone_filter.capture.damage import DamagedCaptureError
from firezone_filter.capture.stream import Record
from firezone_filter.policy import Policy, load_policy
from firezone_filter.replay.asked_frame import NoSuchPacketError, explain_frame
from firezone_filter.replay.by_packet import replay_packets
from firezone_filter.replay.clock import WINDOW
from firezone_filter.replay.summary import Decided
from firezone_filter.values.decisions import Decision
from tests.captures import (
    ALLOWED,
    ANSWER,
    ETHERNET,
    FOREIGN,
    POLICY,
    REFUSED,
    START_S,
    WIFI,
    ethernet,
    record,
)

EXPIRY = START_S + 100


def policy(**options: object) -> Policy:
    return load_policy({**POLICY, "options": options})


class Decisions:
    """Keeps what is decided about each frame."""

    def __init__(self) -> None:
        self.by_frame: dict[int, Decision] = {}

    def add(self, decided: Decided) -> None:
        self.by_frame[decided.frame] = decided.decision


@pytest.mark.parametrize(
    "options", [{}, {"stateful": True}, {"reject_burst": 1, "reject_rate": 0}]
)
def test_each_frame_is_explained_as_it_is_decided(options: dict[str, object]) -> None:
    records = [
        record(ANSWER),
        record(ALLOWED, START_S + 1),
        record(ANSWER, START_S + 2),
        *(record(REFUSED, START_S + 3) for _ in range(WINDOW)),
        # Decided at the latest time before: both are odd.
        record(ALLOWED, 0),
        record(ALLOWED, 2**32),
        record(ALLOWED, EXPIRY - 1),
        record(ALLOWED, EXPIRY),
        record(ANSWER, START_S),
    ]
    decisions = Decisions()
    replay_packets(records, policy(**options), [decisions])
    assert len({type(one) for one in decisions.by_frame.values()}) > 1
    for number, decision in decisions.by_frame.items():
        assert explain_frame(records, policy(**options), number).explanation.decision == decision


def test_no_more_is_read_than_the_frame_and_what_tells_when_the_capture_begins() -> None:
    read = []

    def record_of(number: int) -> Record:
        read.append(number)
        return record(ALLOWED, START_S + number)

    explain_frame(map(record_of, range(100)), policy(), 1)
    assert len(read) == WINDOW
    read.clear()
    explain_frame(map(record_of, range(100)), policy(), 50)
    assert len(read) == 50


@pytest.mark.parametrize(
    ("odd", "complaint"),
    [
        (
            record(FOREIGN),
            "frame 2: it belongs to no client of the policy",
        ),
        (
            record(ethernet(0x0806, bytes(28)), link_type=ETHERNET),
            "frame 2: it is no IP packet, but ARP",
        ),
        (record(b"", link_type=WIFI), "frame 2: link type 105 (IEEE 802.11) is not supported"),
    ],
    ids=["foreign", "arp", "wifi"],
)
def test_a_frame_that_is_not_decided_about_is_told(odd: Record, complaint: str) -> None:
    with pytest.raises(NoSuchPacketError) as caught:
        explain_frame([record(ALLOWED), odd], policy(), 2)
    assert str(caught.value) == complaint


@pytest.mark.parametrize(
    ("records", "complaint"),
    [
        ([], "has no frame 3, but 0 frames"),
        ([record(ALLOWED)], "has no frame 3, but 1 frame"),
        ([record(ALLOWED)] * 2, "has no frame 3, but 2 frames"),
    ],
    ids=["none", "one", "two"],
)
def test_a_frame_behind_the_end_is_told(records: list[Record], complaint: str) -> None:
    with pytest.raises(NoSuchPacketError) as caught:
        explain_frame(records, policy(), 3)
    assert str(caught.value) == complaint


def test_no_number_of_a_frame_is_too_great_to_be_asked_for() -> None:
    with pytest.raises(NoSuchPacketError, match=f"has no frame {2**70}, but 1 frame"):
        explain_frame([record(ALLOWED)], policy(), 2**70)


def cut(error: type[BaseException]) -> Iterator[Record]:
    yield record(ALLOWED)
    raise error("cut short")


def test_a_capture_that_is_damaged_before_the_frame_is_told() -> None:
    with pytest.raises(NoSuchPacketError, match="has no frame 2, but 1 frame; cut short"):
        explain_frame(cut(DamagedCaptureError), policy(), 2)


def test_damage_behind_the_frame_does_not_matter() -> None:
    assert explain_frame(cut(DamagedCaptureError), policy(), 1).explanation.decision.allowed


def test_ctrl_c_before_the_frame_ends_it() -> None:
    with pytest.raises(KeyboardInterrupt):
        explain_frame(cut(KeyboardInterrupt), policy(), 2)
