"""The summary for machines: all of it, as plain values that `json` can write."""

from ipaddress import ip_address
from typing import Final, assert_never

from firezone_filter.capture.stream import NS_PER_S
from firezone_filter.logs.timestamps import rfc3339
from firezone_filter.replay.five_tuple import FiveTuple
from firezone_filter.replay.rows import flow_fields
from firezone_filter.replay.summary import (
    KINDS,
    ByDirection,
    ClientSummary,
    Refusals,
    Summary,
    Tally,
)
from firezone_filter.values.decisions import Direction, Reason
from firezone_filter.values.events import AccessEvent, AccessExhausted, AuthorizationExpired

Report = dict[str, object]

MAX_ADDRESSES_LISTED: Final = 20
"""The most addresses of packets that belong to no client."""


def report(summary: Summary) -> Report:
    """Return *summary* as a JSON object; times are RFC 3339 or, in events, Unix seconds."""
    return {
        "complete": summary.is_complete,
        "damage": summary.damage,
        "interrupted": summary.interrupted,
        "first": _time(summary.first_ns),
        "last": _time(summary.last_ns),
        "frames": _tally(summary.frames),
        "not_ip": _tally(summary.not_ip),
        "not_ip_kinds": {kind: _tally(each) for kind, each in summary.not_ip_kinds.items()},
        "unsupported_link_types": {
            str(link_type): _tally(each) for link_type, each in summary.unsupported.items()
        },
        "not_ours": _tally(summary.not_ours),
        "not_ours_addresses": {
            str(ip_address(packed)): count
            for packed, count in summary.busiest_addresses(MAX_ADDRESSES_LISTED)
        },
        "cut_by_snap_length": _tally(summary.cut),
        "cut_in_headers": _tally(summary.cut_malformed),
        "odd_times": summary.odd_times,
        "out_of_order": {
            "packets": summary.out_of_order,
            "seconds": summary.out_of_order_by_ns / NS_PER_S,
        },
        "decisions": {
            direction.value: {kind: _tally(summary.decisions[direction, kind]) for kind in KINDS}
            for direction in Direction
        },
        "refusals": [_refusals(*each) for each in summary.refused_first()],
        "clients": [_client(*each) for each in summary.clients.items()],
        "events": {
            "count": summary.event_count,
            "first": [_event(event) for event in summary.events],
        },
    }


def _time(time_ns: int | None) -> str | None:
    return None if time_ns is None else rfc3339(time_ns)


def _tally(tally: Tally) -> Report:
    return {"packets": tally.packets, "bytes": tally.bytes}


def _by_direction(tallies: ByDirection) -> Report:
    return {direction.value: _tally(tally) for direction, tally in tallies.items()}


def _refusals(direction: Direction, reason: Reason, refusals: Refusals) -> Report:
    return {
        "direction": direction.value,
        "reason": reason.value,
        **_tally(refusals.tally),
        "flows": [_flow(*each) for each in refusals.busiest()],
    }


def _flow(flow: FiveTuple, packets: int) -> Report:
    return {**flow_fields(flow), "packets": packets}


def _client(client_id: str | None, client: ClientSummary) -> Report:
    return {
        "client": client_id,
        "resources": [
            {"resource": resource_id, **_by_direction(tallies)}
            for resource_id, tallies in client.allowed.items()
        ],
        "refused": _by_direction(client.refused),
    }


def _event(event: AccessEvent) -> Report:
    match event:
        case AuthorizationExpired():
            return {
                "event": "authorization-expired",
                "client": event.client_id,
                "resource": event.resource_id,
                "expired_at": event.expired_at,
            }
        case AccessExhausted():
            return {"event": "access-exhausted", "client": event.client_id}
        case _:
            assert_never(event)
