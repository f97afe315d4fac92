import copy
import pickle

import pytest
from attrs import fields
from attrs.exceptions import FrozenInstanceError

from firezone_filter.values.decisions import (
    Decision,
    Direction,
    Drop,
    Forward,
    Reason,
    Reject,
    Translate,
    translation,
)

HANDED_IN = b"as it was handed in"
FORWARD = Forward("alice", "db")
OWN = Forward("alice", None)
TRANSLATE = Translate(b"translated", "alice", "gitlab")
QUICK = translation(b"translated", "alice", "gitlab")
REJECT = Reject(b"unreachable", Reason.TCP_PORT, "alice")
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
    }


def test_a_reason_prints_as_its_value() -> None:
    assert f"{Reason.TCP_PORT}" == "tcp-port"


@pytest.mark.parametrize("decision", ALLOWED)
def test_what_goes_on_is_allowed(decision: Decision) -> None:
    assert decision.allowed is True


@pytest.mark.parametrize("decision", REFUSED)
def test_what_does_not_go_on_is_not_allowed(decision: Decision) -> None:
    assert decision.allowed is False


def test_a_forwarded_packet_goes_on_as_the_same_object() -> None:
    assert FORWARD.to_send(HANDED_IN) is HANDED_IN


def test_a_forwarded_view_goes_on_as_the_same_view() -> None:
    view = memoryview(HANDED_IN)
    assert FORWARD.to_send(view) is view


def test_a_translated_packet_goes_on_instead_of_the_one_handed_in() -> None:
    assert TRANSLATE.to_send(HANDED_IN) == b"translated"


@pytest.mark.parametrize("decision", REFUSED)
def test_of_a_refused_packet_nothing_goes_on(decision: Decision) -> None:
    assert decision.to_send(HANDED_IN) is None


@pytest.mark.parametrize("decision", [*ALLOWED, *REFUSED])
def test_a_decision_is_frozen(decision: Decision) -> None:
    with pytest.raises(FrozenInstanceError):
        decision.client_id = "eve"  # type: ignore[misc]


@pytest.mark.parametrize("decision", [*ALLOWED, *REFUSED])
def test_a_decision_has_slots(decision: Decision) -> None:
    assert not hasattr(decision, "__dict__")


@pytest.mark.parametrize("decision", [*ALLOWED, *REFUSED])
def test_a_decision_equals_its_copy(decision: Decision) -> None:
    assert copy.deepcopy(decision) == decision


@pytest.mark.parametrize("decision", [*ALLOWED, *REFUSED])
def test_a_decision_hashes_as_its_copy(decision: Decision) -> None:
    assert hash(copy.deepcopy(decision)) == hash(decision)


@pytest.mark.parametrize("decision", [*ALLOWED, *REFUSED])
def test_a_decision_survives_pickle(decision: Decision) -> None:
    assert pickle.loads(pickle.dumps(decision)) == decision  # noqa: S301 - our own bytes


def test_decisions_of_different_kinds_differ() -> None:
    assert len({FORWARD, OWN, TRANSLATE, REJECT, DROP, NOBODY}) == 6


def test_a_decision_shows_its_fields() -> None:
    assert repr(FORWARD) == "Forward(client_id='alice', resource_id='db')"


def test_the_quick_way_to_a_translation_makes_the_same_value() -> None:
    assert type(QUICK) is Translate
    assert QUICK == TRANSLATE
    assert hash(QUICK) == hash(TRANSLATE)
    assert repr(QUICK) == repr(TRANSLATE)
    assert (QUICK.packet, QUICK.client_id, QUICK.resource_id) == (
        b"translated",
        "alice",
        "gitlab",
    )
    assert {one.name for one in fields(Translate)} == {"packet", "client_id", "resource_id"}
