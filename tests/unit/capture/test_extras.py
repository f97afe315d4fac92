"""What is not installed is named with its extra."""

import pickle
import sys
from types import ModuleType

import pytest

from firezone_filter.capture.extras import MissingExtraError, missing, module_of


def test_what_is_missing_is_named_with_its_extra() -> None:
    with pytest.raises(MissingExtraError) as raised:
        module_of("replay", "no_such_package.inside")
    assert str(raised.value) == (
        "no_such_package is missing: pip install 'firezone-filter[replay]'"
    )
    assert raised.value.name == "no_such_package.inside"


def test_of_several_names_the_first_that_is_there_will_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module = ModuleType("backports.there")
    monkeypatch.setitem(sys.modules, "backports.there", module)
    assert module_of("cli", "no_such_package", "backports.there") is module
    monkeypatch.setitem(sys.modules, "backports.there", None)
    with pytest.raises(MissingExtraError, match=r"^backports\.there is missing"):
        module_of("cli", "no_such_package", "backports.there")


def test_what_is_there_and_broken_is_not_called_missing() -> None:
    broken = missing("filter", "cypcap", ImportError("libpcap.so.1: cannot open"))
    assert str(broken) == (
        "cypcap cannot be imported (libpcap.so.1: cannot open): "
        "pip install 'firezone-filter[filter]'"
    )


def test_it_says_what_needs_it_and_can_be_sent() -> None:
    error = missing("replay", "lz4.frame", ModuleNotFoundError("lz4")).of("a.pcap.lz4")
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 - made here
    assert (type(again), str(again), again.name) == (MissingExtraError, str(error), "lz4.frame")
    assert str(error).startswith("a.pcap.lz4: lz4 is missing: ")
