"""The console script, as a shell starts it."""

import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from firezone_filter.cli import main

ROOT = Path(__file__).parents[3]
EXTRA = ["click", "rich"]


def shell(script: str) -> subprocess.CompletedProcess[str]:
    """Run *script*; `$python` in it is this Python, with the package on its path."""
    return subprocess.run(  # noqa: S603 - the scripts stand below
        ["/bin/sh", "-c", script],
        env={**os.environ, "python": sys.executable, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_main_ends_with_the_exit_status(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["firezone-filter", "--nonsense"])
    with pytest.raises(SystemExit, match=r"^2$"):
        main()


@pytest.mark.parametrize("module", ["firezone_filter", "firezone_filter.cli"])
def test_the_module_is_the_console_script(monkeypatch: pytest.MonkeyPatch, module: str) -> None:
    monkeypatch.setattr(sys, "argv", ["firezone-filter", "--help"])
    with pytest.raises(SystemExit, match=r"^0$"):
        runpy.run_module(module, run_name="__main__")


def forget(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    """Let this test import the modules of *package* anew."""
    for name in [name for name in sys.modules if name.startswith(f"{package}.")]:
        monkeypatch.delitem(sys.modules, name)


@pytest.mark.parametrize("name", EXTRA)
def test_a_missing_extra_is_reported_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    forget(monkeypatch, "firezone_filter.cli")
    forget(monkeypatch, name)
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(SystemExit, match=r"^2$"):
        main()
    complaint = f"firezone-filter: {name} is missing: install firezone-filter[cli]\n"
    assert capsys.readouterr().err == complaint


def test_a_missing_module_of_our_own_is_not_reported_as_the_extra(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    forget(monkeypatch, "firezone_filter.cli")
    monkeypatch.setitem(sys.modules, "firezone_filter.cli.arguments", None)
    with pytest.raises(ModuleNotFoundError, match=r"firezone_filter\.cli\.arguments"):
        main()


@pytest.mark.parametrize("name", EXTRA)
def test_the_library_does_not_need_the_extra(name: str) -> None:
    block = f"import sys; sys.modules[{name!r}] = None"
    assert (
        shell(f'$python -c "{block}; import firezone_filter, firezone_filter.cli"').returncode == 0
    )


def test_a_closed_pipe_leaves_no_traceback() -> None:
    help_into_a_closed_pipe = "($python -m firezone_filter.cli --help; echo $? >&2) | true"
    assert "Traceback" not in shell(help_into_a_closed_pipe).stderr
