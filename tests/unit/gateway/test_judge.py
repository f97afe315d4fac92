"""The judge reads only: however often it is asked, about whatever, and for whatever moment."""

from collections import Counter, OrderedDict, deque
from collections.abc import Iterator
from inspect import isgetsetdescriptor
from itertools import count
from typing import Any

import pytest

from firezone_filter import Gateway, GatewayOptions, Reason
from firezone_filter.gateway.ruling import Ruling
from tests.unit.gateway.everything import (
    NOT_RECORDED,
    NOW,
    RECORDED,
    Case,
    cases,
    gateway_with_everything,
)

CASES = cases()
MOMENTS = (NOW, NOW + 29.0, NOW + 119.0, NOW + 10_000.0)
"""Later than the gateway's own time: what is over by then counts as gone."""

both_options = pytest.mark.parametrize(
    "options", [NOT_RECORDED, RECORDED], ids=["plain", "recorded"]
)

# Values made when they are first asked for, and the same whenever that is.
MADE_LATE = {"drops", "_forward", "_refusals"}

# Not ours: the bytecode of a function adapts as it runs.
ADAPTS = "_co_code_adaptive"


def judged(gateway: Gateway, case: Case, now: float) -> Ruling:
    return gateway._judge.judge(case.direction, case.packet, now, case.client_id)


def _slots(kind: type) -> list[str]:
    """Return the names of the attributes that a class gives its objects."""
    # (Those of a twin are no slots.)
    fields = (name for name, what in vars(kind).items() if isgetsetdescriptor(what))
    return [*vars(kind).get("__slots__", ()), *fields]


class State:
    """All that can be reached from an object, told such that equal states are equal lists."""

    def __init__(self, root: object) -> None:
        self._seen: dict[int, int] = {}
        self._kept: list[object] = []
        self.told = list(self._tell(root))

    def _tell(self, value: object) -> Iterator[object]:
        if value is None or isinstance(value, bool | int | float | str | bytes | type):
            yield value
            return
        if id(value) in self._seen:
            yield f"seen: {self._seen[id(value)]}"
            return
        self._seen[id(value)] = len(self._seen)
        self._kept.append(value)  # so that no other object gets its id
        yield type(value).__name__
        for part in self._parts(value):
            yield from self._tell(part)
        yield "end"

    @staticmethod
    def _parts(value: Any) -> Iterator[object]:  # noqa: ANN401 - anything at all
        if isinstance(value, dict | OrderedDict | Counter):
            for key, held in value.items():
                yield key
                yield held
        elif isinstance(value, list | tuple | deque):
            yield from value
        elif isinstance(value, set | frozenset):
            yield from sorted(value, key=repr)
        elif isinstance(value, count):
            yield repr(value)
        else:
            kinds = type(value).__mro__
            slots = (name for kind in kinds for name in _slots(kind))
            for name in (*slots, *getattr(value, "__dict__", ())):
                if name not in {*MADE_LATE, ADAPTS, "__weakref__"} and hasattr(value, name):
                    yield name
                    yield getattr(value, name)


@both_options
def test_judging_changes_nothing_that_can_be_reached_from_a_gateway(
    options: GatewayOptions,
) -> None:
    gateway, twin = gateway_with_everything(options), gateway_with_everything(options)
    before = State(gateway).told
    assert before == State(twin).told
    for now in MOMENTS:
        for case in CASES:
            judged(gateway, case, now)
    assert State(gateway).told == before


@both_options
def test_a_gateway_whose_judge_was_asked_decides_as_one_whose_judge_was_not(
    options: GatewayOptions,
) -> None:
    gateway, twin = gateway_with_everything(options), gateway_with_everything(options)
    for now in MOMENTS[::2]:
        for case in CASES:
            judged(gateway, case, now + 77.0)
            decisions = [
                one.handle_packet(case.direction, case.packet, now, case.client_id)
                for one in (gateway, twin)
            ]
            assert decisions[0] == decisions[1]
        assert gateway.counters() == twin.counters()
        assert gateway.poll_timeout() == twin.poll_timeout()
        for one in (gateway, twin):
            one.handle_timeout(now)
        events = [list(iter(one.poll_event, None)) for one in (gateway, twin)]
        assert events[0] == events[1]
    assert State(gateway).told == State(twin).told


@both_options
def test_a_ruling_for_a_later_moment_is_that_of_a_gateway_that_swept_at_it(
    options: GatewayOptions,
) -> None:
    for now in MOMENTS:
        unswept, swept = gateway_with_everything(options), gateway_with_everything(options)
        # Sweeping alone: authorizations expire by time only.
        swept._context.session_pool.forget(now, 1_000)
        swept._context.cleanup.forget(now, 1_000)
        for case in CASES:
            ruling, other = judged(unswept, case, now), judged(swept, case, now)
            assert ruling.decision == other.decision
            assert (ruling.flow is None) == (other.flow is None)
            assert (ruling.followed is None) == (other.followed is None)


def test_the_packets_that_are_asked_about_get_every_kind_of_decision_and_reason() -> None:
    gateway = gateway_with_everything(NOT_RECORDED)
    rulings = [judged(gateway, case, NOW) for case in CASES]
    kinds = Counter(type(ruling.decision).__name__ for ruling in rulings)
    assert set(kinds) == {"Forward", "Translate", "Drop", "Reject"}
    reasons = {getattr(ruling.decision, "reason", None) for ruling in rulings}
    # Without room for another session there is one reason more.
    assert reasons == {None, *Reason} - {
        Reason.NAT_EXHAUSTED,
        Reason.UNSOLICITED,
        Reason.FLOWS_EXHAUSTED,
    }
    assert {
        (ruling.flow is None, ruling.flow is not None and ruling.flow.session.is_open)
        for ruling in rulings
    } == {(True, False), (False, True), (False, False)}
    assert any(ruling.followed is not None for ruling in rulings)
