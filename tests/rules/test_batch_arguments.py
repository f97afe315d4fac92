"""Section 3: the arguments of `handle_batch` are all checked before the first packet."""

from array import array
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final

import pytest

from firezone_filter import Forward, Gateway, InvalidTime, Reason
from firezone_filter.testing import udp
from tests.observed import assert_unchanged, refused_without_effect
from tests.rules.test_arguments import (
    FIFTY_YEARS,
    FORMS,
    LATER,
    NOT_DIRECTION,
    NOT_NUMBER,
    NOT_PACKET,
    NOT_TEXT,
    NOT_TIME,
    NOW,
    TOO_FAR,
    Alias,
    Values,
    busy,
    without,
)
from tests.scenes import INBOUND, OUTBOUND, V4, gateway_for_alice, rejection

FIRST: Final = udp(V4.flow(OUTBOUND, 53), b"first")
"""It would have an effect: it is counted, and a flow record has its bytes."""

RIGHT: Final[Values] = {
    "directions": [OUTBOUND, OUTBOUND],
    "packets": [FIRST, V4.tcp(OUTBOUND, 445)],
    "nows": [LATER, LATER],
    "client_ids": ["alice", "alice"],
}
"""The arguments of a call in which everything is right."""

NO_SEQUENCE: Final[Values] = {
    "none": None,
    "int": 7,
    "object": object(),
    "iterator": iter([1.0, 2.0]),
    "generator": (one for one in [1.0, 2.0]),
}


def last(name: str, values: Values) -> Values:
    """Let each value be the second of two, of which the first is right."""
    return {f"last {wrong}": [RIGHT[name][0], value] for wrong, value in values.items()}


WRONG: Final[dict[str, Values]] = {
    "directions": NO_SEQUENCE | last("directions", NOT_DIRECTION),
    # Two letters and two bytes are sequences of two.
    "packets": NO_SEQUENCE | {"text": "ab", "bytes": b"E`"} | last("packets", NOT_PACKET),
    "nows": NO_SEQUENCE | {"text": "12"} | last("nows", NOT_NUMBER),
    # An id by itself is no sequence of ids.
    "client_ids": without("none", NO_SEQUENCE)
    | {"text": "al", "bytes": b"al"}
    | last("client_ids", without("none", NOT_TEXT)),
}


def decide(gateway: Gateway, **arguments: object) -> Any:  # noqa: ANN401 - compared as it is
    return gateway.handle_batch(**RIGHT | arguments)


def test_the_arguments_are_right_but_for_the_one_that_a_test_replaces() -> None:
    gateway = busy()
    assert [one.allowed for one in decide(gateway)] == [True, False]
    # Alice's authorization "soon" has ended, since time has passed.
    assert gateway.authorizations("alice").keys() == {"db", "app", "web"}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_type_raises_and_changes_nothing(name: str) -> None:
    gateway = busy()
    for wrong in WRONG[name].values():
        with pytest.raises(TypeError):
            decide(gateway, **{name: wrong})
    assert_unchanged(gateway, busy)


@pytest.mark.parametrize("first", [NOW, None], ids=["moment", "none"])
def test_what_is_no_time_raises_and_changes_nothing(first: float | None) -> None:
    gateway = busy()
    for wrong in (*NOT_TIME.values(), *TOO_FAR.values()):
        with pytest.raises(InvalidTime) as raised:
            decide(gateway, nows=[first, wrong])
        assert raised.value.value is wrong
    assert_unchanged(gateway, busy)


def test_each_time_is_held_against_the_latest_one_before_it() -> None:
    near, far = NOW + 0.6 * FIFTY_YEARS, NOW + 1.2 * FIFTY_YEARS
    gateway = busy()
    with pytest.raises(InvalidTime) as raised:
        decide(gateway, nows=[NOW, far])
    assert raised.value.value == far
    with pytest.raises(InvalidTime) as raised:
        decide(gateway, nows=[near, NOW - 0.6 * FIFTY_YEARS])
    assert raised.value.value == NOW - 0.6 * FIFTY_YEARS
    assert_unchanged(gateway, busy)

    decide(gateway, nows=[near, far])
    assert repr(gateway).endswith(f"now {far}>")


@pytest.mark.parametrize("name", RIGHT)
@pytest.mark.parametrize("length", [0, 1, 3])
def test_sequences_of_different_lengths_raise_with_their_lengths(name: str, length: int) -> None:
    gateway = busy()
    several = (RIGHT[name] * 2)[:length]
    with pytest.raises(ValueError, match=rf"(?s)(2.*\b{length}\b)|(\b{length}\b.*2)"):
        decide(gateway, **{name: several})
    assert_unchanged(gateway, busy)


def test_a_batch_that_raises_does_not_start_the_clock() -> None:
    refused_without_effect(
        lambda: gateway_for_alice(V4.db(), now=None),
        lambda gateway: decide(gateway, packets=[FIRST, "text"]),
        TypeError,
    )


# --- Valid arguments --------------------------------------------------------------------------


@pytest.mark.parametrize("client_ids", [None, []], ids=["none", "empty"])
def test_an_empty_batch_decides_and_changes_nothing(client_ids: Sequence[str] | None) -> None:
    gateway = busy()
    assert gateway.handle_batch([], [], [], client_ids) == []
    assert gateway.handle_batch((), (), (), client_ids=client_ids) == []
    assert_unchanged(gateway, busy)


@pytest.mark.parametrize("kind", [list, tuple, deque])
def test_arguments_are_sequences_of_any_kind(kind: Callable[[Any], Any]) -> None:
    expected = decide(busy())
    assert decide(busy(), **{name: kind(values) for name, values in RIGHT.items()}) == expected
    assert decide(busy(), nows=array("d", RIGHT["nows"])) == expected


@pytest.mark.parametrize("form", FORMS)
def test_packets_are_any_contiguous_bytes_like_objects(form: str) -> None:
    gateway = gateway_for_alice(V4.db())
    several = [FORMS[form](packet) for packet in (V4.tcp(OUTBOUND), V4.tcp(INBOUND))]
    for _ in range(2):
        decisions = gateway.handle_batch([OUTBOUND, INBOUND], several, [None, None])
        assert decisions == [Forward("alice", "db")] * 2


def test_a_packet_is_not_kept_after_the_call() -> None:
    buffer = bytearray(V4.tcp(OUTBOUND))
    (decision,) = gateway_for_alice().handle_batch([OUTBOUND], [buffer], [None])
    buffer.clear()  # which would raise while somebody looks at it
    assert rejection(decision) is Reason.NO_RESOURCE


def test_arguments_stay_as_they_were() -> None:
    given = {name: [*values] for name, values in RIGHT.items()}
    decide(busy(), **given)
    assert given == RIGHT


class Seconds(float):
    """Another class of number, as numpy has it."""

    __slots__ = ()


def test_times_and_ids_may_be_of_another_class() -> None:
    expected = decide(busy())
    assert decide(busy(), nows=[Seconds(LATER), int(LATER)]) == expected
    assert decide(busy(), client_ids=[Alias("alice"), Alias("alice")]) == expected
