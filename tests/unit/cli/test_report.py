"""The summary as JSON."""

import json

from firezone_filter.cli.report import report
from firezone_filter.replay.summary import Summary, Tally
from firezone_filter.values.decisions import Drop, Forward, Reason
from firezone_filter.values.events import AccessExhausted, AuthorizationExpired
from tests.captures import ALLOWED, FOREIGN, REFUSED, decided

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
        counted.add(decided(packet, decision, time_ns=1))
    return counted


def test_an_empty_report_has_every_key() -> None:
    assert report(Summary()) == {
        "complete": True,
        "damage": None,
        "interrupted": False,
        "first": None,
        "last": None,
        "frames": NOTHING,
        "not_ip": NOTHING,
        "not_ip_kinds": {},
        "unsupported_link_types": {},
        "not_ours": NOTHING,
        "not_ours_addresses": {},
        "cut_by_snap_length": NOTHING,
        "cut_in_headers": NOTHING,
        "odd_times": 0,
        "out_of_order": {"packets": 0, "seconds": 0},
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
                        "icmp_type": None,
                        "icmp_code": None,
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


def test_a_report_has_everything_that_was_not_decided() -> None:
    counted = Summary(
        cut=Tally(2, 80),
        cut_malformed=Tally(1, 40),
        odd_times=3,
        out_of_order=4,
        out_of_order_by_ns=1_500_000_000,
    )
    counted.add_not_ip("ARP", 40)
    counted.add_not_ours(FOREIGN, 40)
    counted.unsupported[105].add(40)
    filled = {
        "not_ip": ONE,
        "not_ip_kinds": {"ARP": ONE},
        "unsupported_link_types": {"105": ONE},
        "not_ours": ONE,
        "not_ours_addresses": {"10.0.0.5": 1, "10.0.0.9": 1},
        "cut_by_snap_length": {"packets": 2, "bytes": 80},
        "cut_in_headers": ONE,
        "odd_times": 3,
        "out_of_order": {"packets": 4, "seconds": 1.5},
    }
    assert json.loads(json.dumps(report(counted))) == report(Summary()) | filled


def test_an_interrupted_capture_is_not_complete() -> None:
    interrupted = report(Summary(interrupted=True))
    assert (interrupted["complete"], interrupted["interrupted"]) == (False, True)


def test_a_damaged_capture_is_not_complete() -> None:
    damaged = report(Summary(damage="it is cut short"))
    assert (damaged["complete"], damaged["damage"]) == (False, "it is cut short")
