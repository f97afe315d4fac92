"""`firezone-filter reach` and `who`."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from firezone_filter.cli.exit import ExitStatus
from tests.unit.cli.terminal import Said

from .asking import ALICE, ESCAPE, ESCAPED, POLICY, ask, cidr, client, document, loaded, written

TUNNEL_V4 = [
    "icmp/0,8 100.64.0.1 (the gateway itself)",
    "tcp 100.64.0.1:53535 (the gateway itself)",
    "udp 100.64.0.1:53535 (the gateway itself)",
]


# --- reach ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("at", "boxes"),
    [([], ["tcp 10.0.1.7:443 (wiki)"]), (["--at", "2027-01-01"], [])],
    ids=["ever", "expired"],
)
def test_what_a_client_may_reach_is_a_line_each(
    said: Callable[[], Said], at: list[str], boxes: list[str]
) -> None:
    assert ask("reach", "--policy", POLICY, "--client", "contractor", *at) == ExitStatus.DONE
    assert said() == Said([*boxes, *TUNNEL_V4], [])


def test_machines_get_the_fields_of_each_box(capsys: pytest.CaptureFixture[str]) -> None:
    assert ask("reach", "--policy", POLICY, "--client", "alice", "--json") == ExitStatus.DONE
    boxes = json.loads(capsys.readouterr().out)
    assert boxes == [
        {
            "first": str(box.first),
            "last": str(box.last),
            "protocol": box.protocol,
            "ports": box.ports and {"first": box.ports.first, "last": box.ports.last},
            "icmp_types": box.icmp_types and list(box.icmp_types),
            "resource_id": box.resource_id,
            "networks": list(map(str, box.networks)),
        }
        for box in loaded(POLICY).reach("alice")
    ]
    assert boxes[1]["ports"] == {"first": 5432, "last": 5432}


def test_an_unknown_client_is_told(said: Callable[[], Said]) -> None:
    assert ask("reach", "--policy", POLICY, "--client", "bob") == ExitStatus.UNUSABLE
    assert said() == Said([], [f"firezone-filter: {POLICY}: the policy has no client 'bob'"])


# --- who -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "clients"),
    [
        (["tcp", "10.0.1.7:443"], ["contractor (wiki)"]),
        (["tcp 10.0.1.7"], ["contractor (wiki)"]),
        (["--at", "2027-01-01", "tcp", "10.0.1.7:443"], []),
        (["tcp", "10.0.1.7:22"], []),
        (["tcp", "git.example.com:443"], ["alice (git)"]),
        (["ping", "10.0.0.5"], ["alice (db)"]),
        (["icmp/13", "10.0.0.5"], []),
        (["47", "10.0.0.5"], []),
        (
            ["ping", "100.64.0.1"],
            ["alice (the gateway itself)", "contractor (the gateway itself)"],
        ),
        (["ping", "fd00:2021:1111::1"], ["alice (the gateway itself)"]),
    ],
)
def test_who_may_reach_a_target_is_a_line_each(
    said: Callable[[], Said], words: list[str], clients: list[str]
) -> None:
    assert ask("who", "--policy", POLICY, *words) == ExitStatus.DONE
    printed = said()
    assert printed.out == clients
    assert len(printed.err) == (not clients)


def test_that_nobody_may_is_said_beside_an_empty_answer(
    said: Callable[[], Said], capsys: pytest.CaptureFixture[str]
) -> None:
    ask("who", "--policy", POLICY, "tcp", "10.0.0.5:22")
    assert said() == Said([], ["firezone-filter: nobody may reach tcp 10.0.0.5:22"])
    ask("who", "--policy", POLICY, "tcp", "10.0.0.5:22", "--json")
    assert capsys.readouterr() == ("[]\n", "")


def test_machines_get_pairs_of_ids(capsys: pytest.CaptureFixture[str]) -> None:
    ask("who", "--policy", POLICY, "--json", "ping", "100.64.0.1")
    assert json.loads(capsys.readouterr().out) == [
        {"client_id": "alice", "resource_id": None},
        {"client_id": "contractor", "resource_id": None},
    ]


def test_a_name_is_pinged_in_both_families(tmp_path: Path, said: Callable[[], Said]) -> None:
    git = {
        "resource": {"type": "dns", "id": "git", "name": "", "address": "x.y", "filters": []},
        "domains": [
            {
                "name": "x.y",
                "proxy_addresses": ["fd00:2021:1111:8000::1", "100.96.0.1"],
                "resolved_addresses": ["2001:db8::1", "10.0.0.1"],
            }
        ],
    }
    policy = document(client("alice", "100.64.0.2", git, ipv6="fd00:2021:1111::2"))
    assert ask("who", "--policy", written(tmp_path, policy), "ping", "x.y") == ExitStatus.DONE
    assert said() == Said(["alice (git)"], [])


@pytest.mark.parametrize(
    ("target", "complaint"),
    [
        ("tcp", "target 'tcp': a target is a protocol, a space and a place"),
        ("tcp 10.0.0.0/24:1", "tcp 10.0.0.0/24:1: one address or name, and one port or none"),
        ("tcp 10.0.0.5:1-2", "tcp 10.0.0.5:1-2: one address or name, and one port or none"),
    ],
)
def test_what_nobody_can_be_asked_about_is_told(
    said: Callable[[], Said], target: str, complaint: str
) -> None:
    assert ask("who", "--policy", POLICY, target) == ExitStatus.UNUSABLE
    (line,) = said().err
    assert line.startswith(f"firezone-filter: {complaint}")


def test_ids_cannot_move_the_cursor(tmp_path: Path, said: Callable[[], Said]) -> None:
    policy = written(
        tmp_path,
        document(
            client(ESCAPE, "100.64.0.2", cidr(ESCAPE, "10.0.0.5/32")),
            ALICE | {"ipv4": "100.64.0.3"},
        ),
    )
    ask("who", "--policy", policy, "tcp", "10.0.0.5:1")
    ask("reach", "--policy", policy, "--client", ESCAPE)
    printed = said().out
    assert printed[:2] == [f"{ESCAPED} ({ESCAPED})", f"* 10.0.0.5 ({ESCAPED})"]
