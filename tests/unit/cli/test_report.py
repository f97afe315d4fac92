"""The summary as JSON."""

import json

from firezone_filter.cli.report import report
from firezone_filter.replay.summary import Decided, Summary
from firezone_filter.values.decisions import Direction, Drop, Forward, Reason
from firezone_filter.values.events import AccessExhausted, AuthorizationExpired
from tests.captures import ALLOWED, REFUSED

OUTBOUND = Direction.OUTBOUND
NOTHING = {"packets": 0, "bytes": 0}
ONE = {"packets": 1, "bytes": 40}
KINDS = ("forward", "translate", "reject", "drop")


def sample() -> Summary:
    counted = Summary()
    for packet, decision in (
        (ALLOWED, Forward("alice", "db")),
        (REFUSED, Drop(Reason.TCP_PORT, "alice")),
    ):
        counted.add_frame(1, 40)
        counted.add(Decided(1, OUTBOUND, packet, decision))
    return counted


def test_an_empty_report_has_every_key() -> None:
    assert report(Summary()) == {
        "complete": True,
        "damage": None,
        "first": None,
        "last": None,
        "frames": NOTHING,
        "not_ip": NOTHING,
        "not_ours": NOTHING,
        "cut_by_snap_length": NOTHING,
        "decisions": {
            "outbound": dict.fromkeys(KINDS, NOTHING),
            "inbound": dict.fromkeys(KINDS, NOTHING),
        },
        "refusals": [],
        "clients": [],
        "events": {"count": 0, "first": []},
    }


def test_a_report_has_all_counts_and_exact_times() -> None:
    two = {"packets": 2, "bytes": 80}
    filled = {
        "first": "1970-01-01T00:00:00.000000001Z",
        "last": "1970-01-01T00:00:00.000000001Z",
        "frames": two,
        "decisions": {
            "outbound": {"forward": ONE, "translate": NOTHING, "reject": NOTHING, "drop": ONE},
            "inbound": dict.fromkeys(KINDS, NOTHING),
        },
        "refusals": [
            {
                "direction": "outbound",
                "reason": "tcp-port",
                **ONE,
                "flows": [
                    {
                        "source": "100.64.0.2",
                        "destination": "10.0.0.5",
                        "protocol": 6,
                        "source_port": 40000,
                        "destination_port": 22,
                        "packets": 1,
                    }
                ],
            }
        ],
        "clients": [
            {
                "client": "alice",
                "resources": [{"resource": "db", "outbound": ONE, "inbound": NOTHING}],
                "refused": {"outbound": ONE, "inbound": NOTHING},
            }
        ],
    }
    assert json.loads(json.dumps(report(sample()))) == report(Summary()) | filled


def test_events_are_listed() -> None:
    counted = Summary()
    counted.add_events([AuthorizationExpired("alice", "db", 1.5), AccessExhausted("alice")])
    assert report(counted)["events"] == {
        "count": 2,
        "first": [
            {
                "event": "authorization-expired",
                "client": "alice",
                "resource": "db",
                "expired_at": 1.5,
            },
            {"event": "access-exhausted", "client": "alice"},
        ],
    }


def test_a_damaged_capture_is_not_complete() -> None:
    damaged = report(Summary(damage="it is cut short"))
    assert (damaged["complete"], damaged["damage"]) == (False, "it is cut short")
