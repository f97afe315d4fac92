"""The library's answers in JSON types, with the names of their fields."""

from firezone_filter.policy.analysis.changes import BoxChange, ClientDiff, PolicyDiff
from firezone_filter.policy.analysis.reach import Reach
from firezone_filter.policy.options_json import write_options
from firezone_filter.values.json_types import to_dict

Object = dict[str, object]


def reach_json(box: Reach | BoxChange) -> Object:
    """Return a box, with its addresses as networks too."""
    ports = box.ports
    return {
        **to_dict(box),
        "ports": None if ports is None else {"first": ports.first, "last": ports.last},
        "networks": list(map(str, box.networks)),
    }


def diff_json(found: PolicyDiff) -> Object:
    """Return what is different; what the two policies have in common is `null`.

    Options are written as in a policy file: those that are not the default.
    """
    addresses, plan, options = found.addresses, found.address_plan, found.options
    return {
        "addresses": None if addresses is None else _pair(*map(to_dict, addresses)),
        "address_plan": None if plan is None else _pair(*map(to_dict, plan)),
        "options": None if options is None else _pair(*map(write_options, options)),
        "clients": [_client(client) for client in found.clients],
    }


def _pair(before: Object, after: Object) -> Object:
    return {"before": before, "after": after}


def _client(client: ClientDiff) -> Object:
    return {
        "client_id": client.client_id,
        "change": client.change,
        "gained": [_change(box) for box in client.gained],
        "lost": [_change(box) for box in client.lost],
        "moved": [to_dict(move) for move in client.moved],
        "expiries": [to_dict(expiry) for expiry in client.expiries],
    }


def _change(box: BoxChange) -> Object:
    direction, packet = box.witness
    return {
        **reach_json(box),
        "witness": {"direction": direction.value, "packet": packet.hex()},
    }
