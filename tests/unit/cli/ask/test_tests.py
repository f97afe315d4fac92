"""`firezone-filter test`, and what it writes for CI systems."""

import json
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from firezone_filter.cli.exit import ExitStatus
from tests.unit.cli.terminal import Said

from .asking import ALICE, ESCAPE, ESCAPED, POLICY, PROPOSED, ask, document, loaded, written


def test_tests_that_pass_are_a_dot_each(said: Callable[[], Said]) -> None:
    assert ask("test", "--policy", POLICY) == ExitStatus.DONE
    assert said() == Said([f"{POLICY} ....", "", "4 passed"], [])


def test_a_test_that_fails_is_shown_with_a_packet_and_why(said: Callable[[], Said]) -> None:
    assert ask("test", "--policy", PROPOSED) == ExitStatus.NEGATIVE
    lines = said().out
    (failed,) = (result for result in loaded(PROPOSED).run_tests() if not result.passed)
    assert lines[:2] == [f"{PROPOSED} ..F.", ""]
    assert lines[-2:] == ["", "1 failed, 3 passed"]
    assert failed.witness is not None
    assert lines[2:-2] == [
        f"FAILED {failed.name} - contractor: deny tcp 10.0.0.0/24",
        f"    for example, outbound: {failed.witness[1].hex()}",
        *(f"    {line}" for line in str(failed.explanation).split("\n")),
    ]


def test_what_else_fails_is_told_below(tmp_path: Path, said: Callable[[], Said]) -> None:
    targets = {"allow": ["udp 10.0.0.5:53", "ping 10.0.0.5"], "deny": ["tcp 10.0.0.0/24"]}
    test = {"name": "alice works", "client": "alice", **targets}
    policy, junit = written(tmp_path, document(ALICE, tests=[test])), tmp_path / "junit.xml"
    assert ask("test", "--policy", policy, "--junit", junit) == ExitStatus.NEGATIVE
    lines, more = said().out, "and 2 more: allow ping 10.0.0.5, deny tcp 10.0.0.0/24"
    assert lines[2] == "FAILED alice works - alice: allow udp 10.0.0.5:53"
    assert lines[-3:] == [f"    {more}", "", "1 failed"]
    (failure,) = ET.parse(junit).getroot().iter("failure")  # noqa: S314 - ours
    assert failure.text is not None
    assert failure.text.splitlines()[-1] == more


def test_many_tests_take_several_lines(tmp_path: Path, said: Callable[[], Said]) -> None:
    tests = [{"name": "", "client": "alice"}] * 100
    policy = written(tmp_path, document(ALICE, tests=tests))
    assert ask("test", "--policy", policy) == ExitStatus.DONE
    assert said().out == [f"{policy} {'.' * 64}", "." * 36, "", "100 passed"]


def test_a_policy_without_tests_does_not_pass(said: Callable[[], Said], tmp_path: Path) -> None:
    policy, junit = written(tmp_path, document(ALICE)), tmp_path / "junit.xml"
    assert ask("test", "--policy", policy, "--junit", junit) == ExitStatus.UNUSABLE
    assert said() == Said([], [f"firezone-filter: {policy}: has no tests"])
    assert not junit.exists()


def test_a_name_that_leads_nowhere_fails_without_a_packet(
    tmp_path: Path, said: Callable[[], Said]
) -> None:
    git = {
        "resource": {"type": "dns", "id": "git", "name": "", "address": "x.y", "filters": []},
        "domains": [{"name": "x.y", "proxy_addresses": [], "resolved_addresses": []}],
    }
    targets = {"allow": ["tcp x.y:443", "ping x.y"], "deny": ["tcp x.y:443"]}
    test = {"name": "git works", "client": "alice", **targets}
    policy = written(tmp_path, document(ALICE | {"authorizations": [git]}, tests=[test]))
    assert ask("test", "--policy", policy) == ExitStatus.NEGATIVE
    assert said().out == [
        f"{policy} F",
        "",
        "FAILED git works - alice: allow tcp x.y:443",
        "    no packet goes there: the name has no proxy address",
        "    and 1 more: allow ping x.y",
        "",
        "1 failed",
    ]


@pytest.mark.parametrize("junit", [False, True], ids=["alone", "with junit"])
def test_machines_get_the_fields_of_each_result(
    capsys: pytest.CaptureFixture[str], *, junit: bool
) -> None:
    more = ["--junit", "-"] if junit else []
    assert ask("test", "--policy", PROPOSED, "--json", *more) == ExitStatus.NEGATIVE
    printed = capsys.readouterr()
    results = loaded(PROPOSED).run_tests()
    told = json.loads(printed.err if junit else printed.out)
    assert told == json.loads(json.dumps([result.to_dict() for result in results]))
    assert [one["passed"] for one in told] == [True, True, False, True]


# --- JUnit ---------------------------------------------------------------------------------


def test_ci_systems_get_a_case_for_each_test(tmp_path: Path, said: Callable[[], Said]) -> None:
    junit = tmp_path / "junit.xml"
    assert ask("test", "--policy", PROPOSED, "--junit", junit) == ExitStatus.NEGATIVE
    assert said().out[-1] == "1 failed, 3 passed"
    (suite,) = ET.parse(junit).getroot().iter("testsuite")  # noqa: S314 - ours
    assert suite.attrib == {
        "name": str(PROPOSED), "tests": "4", "failures": "1", "errors": "0", "skipped": "0"
    }  # fmt: skip
    cases = suite.findall("testcase")
    assert [case.get("name") for case in cases] == [test.name for test in loaded(PROPOSED).tests]
    assert {case.get("classname") for case in cases} == {str(PROPOSED)}
    failures = [case.findall("failure") for case in cases]
    assert list(map(len, failures)) == [0, 0, 1, 0]
    (failure,) = failures[2]
    assert failure.get("message") == "contractor: deny tcp 10.0.0.0/24"
    assert failure.text is not None
    assert failure.text.splitlines()[-1] == "forward: contractor may reach wiki"


@pytest.mark.parametrize("name", [ESCAPE, "\x0b \ufffe", "<&\">'"])
def test_what_xml_cannot_have_is_escaped(tmp_path: Path, name: str) -> None:
    tests = [{"name": name, "client": "alice", "allow": ["tcp 10.0.0.5:22"]}]
    policy, junit = written(tmp_path, document(ALICE, tests=tests)), tmp_path / "junit.xml"
    assert ask("test", "--policy", policy, "--junit", junit) == ExitStatus.NEGATIVE
    (case,) = ET.parse(junit).getroot().iter("testcase")  # noqa: S314 - ours
    escaped = {ESCAPE: ESCAPED, "\x0b \ufffe": "\\x0b \\ufffe"}
    assert case.get("name") == escaped.get(name, name)


def test_results_may_take_standard_output(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert ask("test", "--policy", POLICY, "--junit", "-") == ExitStatus.DONE
    printed = capsys.readouterr()
    assert ET.fromstring(printed.out.partition("\n")[2]).get("tests") == "4"  # noqa: S314 - ours
    assert printed.err.splitlines()[-1] == "4 passed"


def test_results_never_take_the_place_of_the_policy(
    tmp_path: Path, said: Callable[[], Said]
) -> None:
    policy = written(tmp_path, document(ALICE))
    before = Path(policy).read_bytes()
    assert ask("test", "--policy", policy, "--junit", policy) == ExitStatus.UNUSABLE
    assert Path(policy).read_bytes() == before
    assert said().err == [
        f"firezone-filter: {policy}: cannot be written, it is in use as {policy}"
    ]
