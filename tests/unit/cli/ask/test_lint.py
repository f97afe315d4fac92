"""`firezone-filter lint`."""

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from firezone_filter.cli.exit import ExitStatus
from tests.unit.cli.terminal import Said

from .asking import (
    ALICE,
    ESCAPE,
    ESCAPED,
    OFFICE,
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

# The second filter adds nothing, and bob may reach nothing.
LAX = document(
    client("alice", "100.64.0.2", cidr("db", "10.0.0.0/24", {"protocol": "tcp"}, port(5432))),
    client("bob", "100.64.0.3"),
)
REDUNDANT = "clients[0].authorizations[0].resource.filters[1]: FZ104 "
NO_ACCESS = "clients[1]: FZ107 "


@pytest.fixture
def lax(tmp_path: Path) -> str:
    return written(tmp_path, LAX)


def test_what_is_found_is_a_line_with_file_place_and_code(
    said: Callable[[], Said], lax: str
) -> None:
    assert ask("lint", POLICY, lax, PROPOSED) == ExitStatus.NEGATIVE
    lines = said().out
    findings = [
        f"{name}: {one.place}: {one.code} {one.message}"
        for name in (lax, str(PROPOSED))
        for one in loaded(Path(name)).lint()
    ]
    assert lines == [*findings, "Found 3 findings."]
    assert findings[0].startswith(f"{lax}: {REDUNDANT}")


@pytest.mark.parametrize("policy", [POLICY, OFFICE / "policy.json"], ids=["tests", "office"])
def test_the_examples_are_clean(said: Callable[[], Said], policy: Path) -> None:
    assert ask("lint", policy) == ExitStatus.DONE
    assert said() == Said(["All checks passed!"], [])


@pytest.mark.parametrize(
    ("options", "codes"),
    [
        ([], ["FZ104", "FZ107"]),
        (["--select", "FZ107"], ["FZ107"]),
        (["--select", "FZ"], ["FZ104", "FZ107"]),
        (["--select", "redundant-filter"], ["FZ104"]),
        (["--select", "FZ2, redundant-filter", "--select", "FZ107"], ["FZ104", "FZ107"]),
        (["--ignore", "FZ107"], ["FZ104"]),
        (["--select", "FZ1", "--ignore", "redundant-filter,FZ3"], ["FZ107"]),
        (["--ignore", "FZ"], []),
        (["--select", "FZ2"], []),
    ],
)
def test_codes_can_be_chosen(
    capsys: pytest.CaptureFixture[str], lax: str, options: list[str], codes: list[str]
) -> None:
    assert ask("lint", lax, "--json", *options) == bool(codes)
    assert [one["code"] for one in json.loads(capsys.readouterr().out)] == codes


@pytest.mark.parametrize("option", ["--select", "--ignore"])
@pytest.mark.parametrize("code", ["FZ9", "FZ1041", "redundant", "fz104"])
def test_an_unknown_code_is_told(
    said: Callable[[], Said], lax: str, option: str, code: str
) -> None:
    assert ask("lint", lax, option, code) == ExitStatus.UNUSABLE
    complaint = f"{option}: {code!r} is no code, no start of one (FZ1), and no name"
    assert said() == Said([], [f"firezone-filter: {complaint}"])


def test_machines_get_the_fields_of_each_finding(
    capsys: pytest.CaptureFixture[str], lax: str
) -> None:
    ask("lint", lax, "--json")
    assert json.loads(capsys.readouterr().out) == [
        {
            "file": lax,
            "code": one.code,
            "name": one.name,
            "severity": one.severity,
            "place": one.place,
            "message": one.message,
        }
        for one in loaded(Path(lax)).lint()
    ]


def test_the_moment_decides_what_has_expired(said: Callable[[], Said]) -> None:
    assert ask("lint", POLICY, "--at", "2026-12-31T23:59:59Z") == ExitStatus.DONE
    assert ask("lint", POLICY, "--at", "2027-01-01") == ExitStatus.NEGATIVE
    assert "clients[1].authorizations[0].expires_at: FZ106 " in said().out[2]


def test_without_a_policy_standard_input_is_read(
    said: Callable[[], Said], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(json.dumps(LAX).encode())))
    assert ask("lint", "--select", "FZ104") == ExitStatus.NEGATIVE
    printed = said().out
    assert printed[0].startswith(f"standard input: {REDUNDANT}")
    assert printed[1:] == ["Found 1 finding."]


@pytest.mark.parametrize("named", [["-", "-"], ["-", str(POLICY), "-"]])
def test_standard_input_is_read_only_once(said: Callable[[], Said], named: list[str]) -> None:
    assert ask("lint", *named) == ExitStatus.UNUSABLE
    assert said().err == ["firezone-filter: standard input can be read only once"]


def test_what_cannot_be_read_hides_nothing_of_the_others(
    said: Callable[[], Said], tmp_path: Path, lax: str
) -> None:
    broken = written(tmp_path, document(ALICE, optoins={}), "broken.json")
    nowhere = tmp_path / "nowhere.json"
    assert ask("lint", broken, lax, nowhere, "--ignore", "FZ107") == ExitStatus.UNUSABLE
    printed = said()
    assert printed.out[0].startswith(f"{lax}: {REDUNDANT}")
    assert printed.out[1:] == ["Found 1 finding."]
    assert printed.err[0].startswith(f"firezone-filter: {broken}: optoins: ")
    assert printed.err[1:] == [f"firezone-filter: {nowhere}: No such file or directory"]
    assert ask("lint", POLICY, nowhere) == ExitStatus.UNUSABLE
    assert said().out == []


def test_a_moment_that_no_policy_can_have_is_told_by_the_option(said: Callable[[], Said]) -> None:
    assert ask("lint", POLICY, "--at", "9" * 11) == ExitStatus.UNUSABLE
    (line,) = said().err
    assert line.endswith("milliseconds? (see firezone-filter lint --help)")


def test_ids_cannot_move_the_cursor(tmp_path: Path, said: Callable[[], Said]) -> None:
    policy = written(tmp_path, LAX | {"clients": [client(ESCAPE, "100.64.0.3")]}, "x\t.json")
    assert ask("lint", policy) == ExitStatus.NEGATIVE
    lines = said().out
    assert len(lines) == 2
    assert lines[0].startswith(f"{tmp_path}/x\\t.json: clients[0]: FZ107 ")
    assert ESCAPED not in ESCAPE
