"""`firezone-filter diff`."""

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from firezone_filter.cli.ask.diff_job import DiffJob
from firezone_filter.cli.exit import ExitStatus
from tests.unit.cli.terminal import Said, screenful, terminal

from .asking import (
    ALICE,
    ESCAPE,
    ESCAPED,
    POLICY,
    PROPOSED,
    ask,
    cidr,
    client,
    document,
    loaded,
    port,
    written,
)


def dated(expires_at: float | None, *filters: dict[str, object]) -> dict[str, Any]:
    return cidr("db", "10.0.0.0/24", *(filters or [port(5432)])) | {"expires_at": expires_at}


def alice(*authorizations: dict[str, Any], address: str = "100.64.0.2") -> dict[str, Any]:
    return document(client("alice", address, *authorizations))


OLD = alice(dated(1_790_000_000))
V6 = "fd00:2021:1111::/107"
BOB = client("bob", "100.64.0.3", cidr("all", "10.0.0.5/32"))


@pytest.mark.parametrize(
    ("new", "lines"),
    [
        (OLD, None),
        (document(ALICE), ["@@ alice @@", "~ db ends never instead of 2026-09-21T14:13:20Z"]),
        (
            alice(dated(1_790_000_000.5)),
            ["@@ alice @@", "~ db ends 2026-09-21T14:13:20.5Z instead of 2026-09-21T14:13:20Z"],
        ),
        (
            alice(dated(1_790_000_000, port(22), port(53, "udp"))),
            [
                "@@ alice @@",
                "- alice may reach tcp 10.0.0.0/24:5432 (db)",
                "+ alice may reach tcp 10.0.0.0/24:22 (db)",
                "+ alice may reach udp 10.0.0.0/24:53 (db)",
            ],
        ),
        (
            alice(),
            ["@@ alice @@", "- alice may reach tcp 10.0.0.0/24:5432 (db)"],
        ),
        (
            alice(dated(1_790_000_000), address="100.64.0.9"),
            ["@@ alice, readdressed @@"],
        ),
        (
            OLD | {"clients": [*OLD["clients"], BOB]},
            [
                "@@ bob, added @@",
                "+ bob may reach * 10.0.0.5 (all)",
                "+ bob may reach icmp/0,8 100.64.0.1 (the gateway itself)",
                "+ bob may reach tcp 100.64.0.1:53535 (the gateway itself)",
                "+ bob may reach udp 100.64.0.1:53535 (the gateway itself)",
            ],
        ),
        (
            OLD | {"options": {"stateful": True, "max_sessions": 7}},
            [
                "@@ the gateway @@",
                "~ max_sessions is 7 instead of 1048576",
                "~ stateful is true instead of false",
            ],
        ),
        (
            OLD | {"address_plan": {"tunnel": ["100.64.0.0/12"]}},
            [
                "@@ the gateway @@",
                f"~ the tunnel ranges are 100.64.0.0/12, {V6} instead of 100.64.0.0/11, {V6}",
            ],
        ),
    ],
    ids=[
        "nothing", "for ever", "longer", "filters", "revoked", "readdressed", "added", "options",
        "plan",
    ],
)  # fmt: skip
def test_a_difference_reads_like_a_unified_diff(
    said: Callable[[], Said], tmp_path: Path, new: dict[str, Any], lines: list[str] | None
) -> None:
    before, after = written(tmp_path, OLD, "old.json"), written(tmp_path, new, "new.json")
    assert ask("diff", before, after) == (lines is not None)
    head = [f"--- {before}", f"+++ {after}"]
    assert said() == Said([] if lines is None else head + lines, [])


def test_the_gateways_own_addresses_and_filters_are_told(
    said: Callable[[], Said], tmp_path: Path
) -> None:
    gateway = {"ipv4": "100.64.0.1", "ipv6": "fd00:2021:1111::1"}
    new = OLD | {"gateway": gateway, "options": {"own_filters": [port(53)]}}
    ask("diff", written(tmp_path, OLD, "old.json"), written(tmp_path, new, "new.json"))
    lines = said().out
    assert lines[2] == "@@ the gateway @@"
    assert lines[3] == (
        "~ its addresses are 100.64.0.1 and fd00:2021:1111::1 instead of 100.64.0.1"
    )
    assert lines[4].startswith("~ own_filters is (")
    assert "- alice may reach icmp/0,8 100.64.0.1 (the gateway itself)" in lines


def test_a_name_that_moves_is_told(said: Callable[[], Said]) -> None:
    assert ask("diff", POLICY, PROPOSED) == ExitStatus.NEGATIVE
    assert "~ 100.96.0.1 leads to 10.20.0.11 instead of 10.20.0.10" in said().out


def test_what_has_expired_by_then_permits_nothing(
    said: Callable[[], Said], tmp_path: Path
) -> None:
    before = written(tmp_path, OLD, "old.json")
    after = written(tmp_path, alice(dated(None, port(22))), "new.json")
    lost = "- alice may reach tcp 10.0.0.0/24:5432 (db)"
    assert ask("diff", before, after, "--at", "1789999999") == ExitStatus.NEGATIVE
    assert lost in said().out
    assert ask("diff", before, after, "--at", "1790000000") == ExitStatus.NEGATIVE
    assert lost not in said().out


def test_machines_get_all_that_is_known(capsys: pytest.CaptureFixture[str]) -> None:
    assert ask("diff", POLICY, POLICY, "--json") == ExitStatus.DONE
    nothing: dict[str, object] = {
        "addresses": None,
        "address_plan": None,
        "options": None,
        "clients": [],
    }
    assert json.loads(capsys.readouterr().out) == nothing
    assert ask("diff", POLICY, PROPOSED, "--json") == ExitStatus.NEGATIVE
    told = json.loads(capsys.readouterr().out)
    found = loaded(POLICY).diff(loaded(PROPOSED))
    assert [one["client_id"] for one in told["clients"]] == ["alice", "contractor"]
    for one, client_diff in zip(told["clients"], found.clients, strict=True):
        assert one["change"] == client_diff.change
        assert [box["first"] for box in one["gained"]] == [
            str(box.first) for box in client_diff.gained
        ]
        assert [box["witness"] for box in one["gained"]] == [
            {"direction": box.witness[0].value, "packet": box.witness[1].hex()}
            for box in client_diff.gained
        ]
    box = told["clients"][0]["gained"][0]
    del box["witness"]
    assert box == {
        "first": "10.0.0.0", "last": "10.0.0.255", "networks": ["10.0.0.0/24"], "protocol": 6,
        "ports": {"first": 5433, "last": 5433}, "icmp_types": None, "before": "db", "after": "db",
    }  # fmt: skip
    assert told["clients"][0]["moved"] == [
        {"address": "100.96.0.1", "before": "10.20.0.10", "after": "10.20.0.11"}
    ]


def test_machines_get_what_is_different_of_the_gateway(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    new = {
        **OLD,
        "gateway": {"ipv4": "100.64.0.7"},
        "address_plan": {"tunnel": ["100.64.0.0/12"]},
        "options": {"own_filters": [port(53)]},
    }
    ask("diff", written(tmp_path, OLD, "old.json"), written(tmp_path, new, "new.json"), "--json")
    told = json.loads(capsys.readouterr().out)
    assert told["addresses"]["after"] == {"ipv4": "100.64.0.7", "ipv6": None}
    assert told["address_plan"]["after"]["tunnel"] == ["100.64.0.0/12", "fd00:2021:1111::/107"]
    assert told["options"] == {"before": {}, "after": {"own_filters": [port(53)]}}


@pytest.mark.parametrize("no_color", [False, True])
def test_a_terminal_gets_colours_unless_it_is_not_to(
    monkeypatch: pytest.MonkeyPatch, *, no_color: bool
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("COLORTERM", raising=False)
    if no_color:
        monkeypatch.setenv("NO_COLOR", "1")
    else:
        monkeypatch.delenv("NO_COLOR", raising=False)
    with terminal(80) as (stream, screen):
        monkeypatch.setattr(sys, "stdout", stream)
        DiffJob(str(POLICY), str(PROPOSED), None, as_json=False).run()
        raw = screenful(stream, screen)
    plain = "+ alice may reach tcp 10.0.0.0/24:5433 (db)"
    assert (f"\x1b[32m{plain}\x1b[0m" in raw) is not no_color
    assert plain in raw


# --- Trouble -------------------------------------------------------------------------------


def test_either_policy_may_be_standard_input_but_not_both(
    said: Callable[[], Said], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(POLICY.read_bytes())))
    assert ask("diff", "-", PROPOSED) == ExitStatus.NEGATIVE
    assert said().out[0] == "--- standard input"
    assert ask("diff", "-", "-") == ExitStatus.UNUSABLE
    assert said().err == ["firezone-filter: standard input can be read only once"]


def test_the_policy_that_cannot_be_read_is_named(said: Callable[[], Said], tmp_path: Path) -> None:
    nowhere = tmp_path / "nowhere.json"
    for names in ((nowhere, POLICY), (POLICY, nowhere)):
        assert ask("diff", *names) == ExitStatus.UNUSABLE
        assert said() == Said([], [f"firezone-filter: {nowhere}: No such file or directory"])


def test_ids_cannot_move_the_cursor(tmp_path: Path, said: Callable[[], Said]) -> None:
    before = document(client(ESCAPE, "100.64.0.2"))
    after = document(client(ESCAPE, "100.64.0.2", cidr(ESCAPE, "10.0.0.5/32")))
    ask("diff", written(tmp_path, before, "old.json"), written(tmp_path, after, "new.json"))
    assert said().out[2:] == [
        f"@@ {ESCAPED} @@",
        f"+ {ESCAPED} may reach * 10.0.0.5 ({ESCAPED})",
    ]
