"""Settings of devices: how they are said to the kernel."""

import pytest

from firezone_filter.host import devconf as module
from firezone_filter.host.devconf import ACCEPT_LOCAL, RP_FILTER, devconf, set_devconf


def test_a_request_has_the_settings_inside_three_attributes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said: list[tuple[int, bytes]] = []
    monkeypatch.setattr(module, "change", lambda *what: said.append(what))
    set_devconf(5, {RP_FILTER: 2, ACCEPT_LOCAL: 1})
    body = bytes.fromhex(
        "00 00 0000 05000000 00000000 00000000"  # any family, index 5, no flags
        "1c00 1a80"  # IFLA_AF_SPEC
        "1800 0280"  # AF_INET
        "1400 0180"  # IFLA_INET_CONF
        "0800 0800 02000000"  # rp_filter = 2
        "0800 1700 01000000"  # accept_local = 1
    )
    assert said == [(19, body)]


def test_a_setting_is_read_where_there_is_such_a_device() -> None:
    assert devconf("all", "rp_filter") in {0, 1, 2}
    assert devconf("nowhere", "rp_filter") is None
    assert devconf("all", "disable_ipv6", 6) in {None, 0, 1}
