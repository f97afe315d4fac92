"""Without the extra, importing `firezone_filter.testing` tells how to install it."""

import importlib
import subprocess
import sys

import pytest

import firezone_filter.testing


def test_without_hypothesis_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "hypothesis", None)
    with pytest.raises(ImportError, match=r"pip install 'firezone-filter\[testing\]'"):
        importlib.reload(firezone_filter.testing)


@pytest.mark.parametrize("module", ["firezone_filter", "firezone_filter.policy"])
def test_the_rest_of_the_library_needs_no_hypothesis(module: str) -> None:
    program = f"import sys; sys.modules['hypothesis'] = None; import {module}"
    subprocess.run([sys.executable, "-c", program], check=True)  # noqa: S603 - written right here
