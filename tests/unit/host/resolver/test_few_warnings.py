"""Warnings that clients can bring about."""

import logging

import pytest

from firezone_filter.host.resolver.few_warnings import BURST, RATE, FewWarnings
from tests.unit.host.resolver.world import Clock


def test_of_too_many_warnings_only_the_number_is_written(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = Clock()
    few = FewWarnings(logging.getLogger("few"), clock)
    for number in range(BURST + 3):
        few.say("Too bad", number=number)
    clock.now += 1.01 / RATE
    few.say("Too bad", number=-1)
    written = [(vars(one)["number"], vars(one)["left_out"]) for one in caplog.records]
    assert written == [*((number, 0) for number in range(BURST)), (-1, 3)]
