"""The events that a gateway reports: which there are, and which values hosts may rely on."""

from typing import get_args

import pytest

from firezone_filter.values.events import (
    AccessEvent,
    AccessExhausted,
    AuthorizationExpired,
    Event,
    FlowEnd,
    FlowEnded,
    FlowEvent,
    FlowRefused,
    FlowStarted,
)


def test_every_event_is_one_of_access_or_of_flows() -> None:
    access, of_flows = get_args(AccessEvent), get_args(FlowEvent)
    assert access == (AuthorizationExpired, AccessExhausted)
    assert of_flows == (FlowStarted, FlowEnded, FlowRefused)
    assert get_args(Event) == access + of_flows


def test_the_values_of_causes_are_stable() -> None:
    assert [cause.value for cause in FlowEnd] == [
        "fin",
        "rst",
        "idle",
        "restarted",
        "revoked",
        "expired",
        "disconnected",
        "crowded-out",
    ]


def test_a_flow_event_takes_keyword_arguments_only() -> None:
    with pytest.raises(TypeError):
        FlowStarted("alice", "db")  # type: ignore[call-arg]
