"""Policies in files, for the commands that ask them."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from firezone_filter.cli.command import run
from firezone_filter.policy import Policy, load_policy
from tests.snippets import ROOT

EXAMPLES = ROOT / "examples" / "policy_tests"
POLICY = EXAMPLES / "policy.json"
PROPOSED = EXAMPLES / "proposed.json"
OFFICE = ROOT / "examples" / "office"

ESCAPE = "\x1b[2J\n"
ESCAPED = "\\x1b[2J\\n"
"""What a terminal obeys, and how it is printed."""


def cidr(resource_id: str, network: str, *filters: Mapping[str, object]) -> dict[str, Any]:
    """Return an authorization of a policy file; without filters every protocol."""
    return {
        "resource": {
            "type": "cidr",
            "id": resource_id,
            "name": "",
            "address": network,
            "filters": list(filters),
        }
    }


def port(number: int, protocol: str = "tcp") -> dict[str, object]:
    return {"protocol": protocol, "port_range_start": number, "port_range_end": number}


def client(
    client_id: str, address: str, *authorizations: Mapping[str, object], **more: object
) -> dict[str, Any]:
    return {"id": client_id, "ipv4": address, "authorizations": list(authorizations), **more}


def document(*clients: Mapping[str, object], **more: object) -> dict[str, Any]:
    return {"gateway": {"ipv4": "100.64.0.1"}, "clients": list(clients), **more}


ALICE = client("alice", "100.64.0.2", cidr("db", "10.0.0.0/24", port(5432)))


def written(folder: Path, policy: Mapping[str, object], name: str = "policy.json") -> str:
    """Write a policy into a folder; return its name."""
    path = folder / name
    path.write_text(json.dumps(policy))
    return str(path)


def loaded(path: Path) -> Policy:
    return load_policy(path.read_text())


def ask(*arguments: object) -> int:
    return run([str(argument) for argument in arguments])
