"""Decisions: whether each lets a packet pass, what goes on, and why not."""

import pickle

import pytest
from attrs import astuple, fields

from firezone_filter.values.decisions import (
    Decision,
    Direction,
    Drop,
    Forward,
    Reason,
    Reject,
    Translate,
    make_reject,
    make_translate,
)

HANDED_IN = b"as it was handed in"
FORWARD = Forward("alice", "db")
OWN = Forward("alice", None)
TRANSLATE = Translate(b"translated", "alice", "gitlab")
QUICK = make_translate(b"translated", "alice", "gitlab")
REJECT = Reject(b"unreachable", Reason.TCP_PORT, "alice")
QUICK_REJECT = make_reject(b"unreachable", Reason.TCP_PORT, "alice")
DROP = Drop(Reason.FRAGMENT, "alice")
NOBODY = Drop(Reason.MALFORMED, None)

ALLOWED = [
    pytest.param(FORWARD, id="Forward"),
    pytest.param(OWN, id="Forward to the gateway itself"),
    pytest.param(TRANSLATE, id="Translate"),
    pytest.param(QUICK, id="Translate by its quick way"),
]
REFUSED = [
    pytest.param(REJECT, id="Reject"),
    pytest.param(QUICK_REJECT, id="Reject by its quick way"),
    pytest.param(DROP, id="Drop"),
    pytest.param(NOBODY, id="Drop about nobody"),
]


def test_there_are_two_directions() -> None:
    assert [*Direction] == [Direction.OUTBOUND, Direction.INBOUND]


def test_the_values_of_reasons_are_stable() -> None:
    assert {reason.name: reason.value for reason in Reason} == {
        "MALFORMED": "malformed",
        "MULTICAST": "multicast",
        "UNKNOWN_CLIENT": "unknown-client",
        "SOURCE_NOT_ALLOWED": "source-not-allowed",
        "NOT_A_PEER": "not-a-peer",
        "PEER_ADDRESS": "peer-address",
        "FRAGMENT": "fragment",
        "ICMP_ERROR": "icmp-error",
        "NO_RESOURCE": "no-resource",
        "TCP_PORT": "tcp-port",
        "UDP_PORT": "udp-port",
        "ICMP": "icmp",
        "PROTOCOL": "protocol",
        "NOT_INTERNET": "not-internet",
        "NO_TRANSLATION": "no-translation",
        "EXPIRED_NAT_SESSION": "expired-nat-session",
        "NAT_EXHAUSTED": "nat-exhausted",
        "UNSOLICITED": "unsolicited",
        "FLOWS_EXHAUSTED": "flows-exhausted",
    }


def test_a_reason_prints_as_its_value() -> None:
    assert f"{Reason.TCP_PORT}" == "tcp-port"


def test_each_reason_has_a_sentence_of_its_own_for_people() -> None:
    sentences = [reason.description for reason in Reason]
    assert len(set(sentences)) == len(sentences)
    assert all(one[0].isupper() and one.endswith(".") and ". " not in one for one in sentences)


def test_a_reason_is_found_by_its_value_and_survives_a_pickle() -> None:
    assert Reason("icmp") is Reason.ICMP
    assert pickle.loads(pickle.dumps(Reason.ICMP)) is Reason.ICMP  # noqa: S301 - our own


@pytest.mark.parametrize("decision", ALLOWED)
def test_decisions_that_pass_a_packet_on_are_allowed(decision: Decision) -> None:
    assert decision.allowed is True


@pytest.mark.parametrize("decision", REFUSED)
def test_refusals_are_not_allowed(decision: Decision) -> None:
    assert decision.allowed is False


@pytest.mark.parametrize("packet", [HANDED_IN, memoryview(HANDED_IN)], ids=["bytes", "view"])
def test_a_forwarded_packet_is_sent_as_the_same_object(packet: bytes | memoryview) -> None:
    assert FORWARD.to_send(packet) is packet


def test_a_translated_packet_is_sent_in_place_of_the_original() -> None:
    assert TRANSLATE.to_send(HANDED_IN) == b"translated"


@pytest.mark.parametrize("decision", REFUSED)
def test_a_refused_packet_is_not_sent(decision: Decision) -> None:
    assert decision.to_send(HANDED_IN) is None


@pytest.mark.parametrize(("quick", "value"), [(QUICK, TRANSLATE), (QUICK_REJECT, REJECT)])
def test_the_quick_way_makes_the_same_value_as_the_constructor(
    quick: Decision, value: Decision
) -> None:
    assert (type(quick), quick, hash(quick)) == (type(value), value, hash(value))
    assert repr(quick) == repr(value)
    assert astuple(quick) == astuple(value)


def test_the_quick_ways_fill_every_field() -> None:
    assert [one.name for one in fields(Translate)] == ["packet", "client_id", "resource_id"]
    assert [one.name for one in fields(Reject)] == ["reply", "reason", "client_id"]
