"""`firezone-filter gateway`: what its options say to the host, and how it ends."""

import builtins
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from firezone_filter import InvalidPolicy
from firezone_filter.cli.command import run
from firezone_filter.cli.exit import ExitStatus
from firezone_filter.host import daemon, routing
from firezone_filter.host.daemon import Settings
from firezone_filter.host.resolver.lease_file import LeaseFileError
from firezone_filter.host.resolver.options import ResolverOptions
from firezone_filter.host.routing import RoutingError

RUN = ("gateway", "run", "--policy", "policy.json", "--interface", "wg0")


@pytest.fixture(autouse=True)
def log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(daemon, "log_to", lambda _: None)


@pytest.mark.parametrize(
    ("words", "settings"),
    [
        ((), {}),
        (("--interface", "wg1"), {"interfaces": ("wg0", "wg1")}),
        (("--interface", "wg0"), {"interfaces": ("wg0",)}),
        (("--stateful",), {"stateful": True}),
        (("--no-peers",), {"has_peers": False}),
        (("--metrics", "9100"), {"metrics": 9100}),
        (("--no-offload",), {"offload": False}),
        (("--resolver", "refuse"), {"names": ResolverOptions()}),
        (
            ("--resolver=forward", "--names=names.db", "--name-server=10.0.0.53"),
            {
                "names": ResolverOptions(
                    Path("names.db"), "forward", ((ip_address("10.0.0.53"), 53),)
                )
            },
        ),
    ],
    ids=[
        "alone",
        "interfaces",
        "interface twice",
        "stateful",
        "no peers",
        "metrics",
        "no offload",
        "resolver",
        "resolver with all",
    ],
)
def test_the_options_are_the_settings(
    words: tuple[str, ...], settings: Mapping[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Settings] = []
    monkeypatch.setattr(daemon, "run", told.append)
    assert run([*RUN, *words]) == ExitStatus.DONE
    assert told == [Settings(Path("policy.json"), **{"interfaces": ("wg0",), **settings})]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("gateway", "run"), "Missing option"),
        ((*RUN, "--metrics", "0"), "1<=x<=65535"),
        ((*RUN, "--names", "names.db"), "are for --resolver"),
        ((*RUN, "--resolver", "refuse", "--name-server", "dns"), "'dns' is not"),
        (("gateway",), "Missing command"),
    ],
    ids=["nothing", "port", "names", "server", "no command"],
)
def test_wrong_words_are_said(
    words: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(words) == ExitStatus.UNUSABLE
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    "error",
    [
        OSError("busy"),
        InvalidPolicy("faulty", None),
        RoutingError("others"),
        LeaseFileError("names.db: damaged"),
    ],
    ids=["system", "policy", "routing", "names"],
)
def test_what_ends_it_is_logged(
    error: Exception, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_: Settings) -> None:
        raise error

    monkeypatch.setattr(daemon, "run", fail)
    assert run(RUN) == ExitStatus.UNUSABLE
    assert caplog.messages == [f"The gateway ends: {error}"]


@pytest.mark.parametrize(
    ("released", "said", "status"),
    [
        (True, "released: nothing is filtered", ExitStatus.DONE),
        (False, "there is nothing to release", ExitStatus.DONE),
        (RoutingError("no privilege"), "no privilege", ExitStatus.UNUSABLE),
    ],
    ids=["something", "nothing", "refused"],
)
def test_release_says_what_it_has_done(
    released: bool | Exception,  # noqa: FBT001 - the case
    said: str,
    status: ExitStatus,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def release() -> bool:
        if isinstance(released, Exception):
            raise released
        return released

    monkeypatch.setattr(routing, "release", release)
    assert run(["gateway", "release"]) == status
    assert capsys.readouterr().err == f"firezone-filter: {said}\n"


@pytest.mark.parametrize("words", [RUN, ("gateway", "release")], ids=["run", "release"])
@pytest.mark.parametrize(
    ("lacking", "said"),
    [
        ("pyroute2.netlink", "pyroute2 is missing: install firezone-filter[gateway]"),
        ("dns.message", "dnspython is missing: install firezone-filter[gateway]"),
        ("fcntl", "a gateway runs on Linux"),
    ],
    ids=["pyroute2", "dnspython", "Linux"],
)
def test_what_is_lacking_is_said(
    words: tuple[str, ...],
    lacking: str,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    _lack(monkeypatch, lacking)
    assert run(words) == ExitStatus.UNUSABLE
    assert capsys.readouterr().err == f"firezone-filter: {said}\n"


@pytest.mark.parametrize("words", [RUN, ("gateway", "release")], ids=["run", "release"])
def test_a_mistake_of_our_own_is_none_of_that(
    words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    _lack(monkeypatch, "firezone_filter.host.nothing")
    with pytest.raises(ModuleNotFoundError):
        run(words)


def _lack(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Let whoever imports the host be told that a module is missing."""
    imports = builtins.__import__

    def fail(wanted: str, *arguments: Any, **named: Any) -> object:  # noqa: ANN401 - as it is
        if wanted.startswith("firezone_filter.host"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return imports(wanted, *arguments, **named)

    monkeypatch.setattr(builtins, "__import__", fail)
