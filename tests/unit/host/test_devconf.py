"""Settings of devices: the message that changes them, and what a kernel answers."""

import errno
import struct

import pytest

from firezone_filter.host.devconf import (
    ACCEPT_LOCAL,
    RP_FILTER,
    check_answer,
    devconf,
    set_devconf,
    set_request,
)

# The index that no device has.
NOWHERE = 0x7FFFFFFF


def test_a_request_has_the_settings_inside_three_attributes() -> None:
    assert set_request(5, {RP_FILTER: 2, ACCEPT_LOCAL: 1}) == bytes.fromhex(
        "3c000000 1300 0500 01000000 00000000"  # length, RTM_SETLINK, REQUEST | ACK, number
        "00 00 0000 05000000 00000000 00000000"  # any family, index 5, no flags
        "1c00 1a80"  # IFLA_AF_SPEC
        "1800 0280"  # AF_INET
        "1400 0180"  # IFLA_INET_CONF
        "0800 0800 02000000"  # rp_filter = 2
        "0800 1700 01000000"  # accept_local = 1
    )


@pytest.mark.parametrize(
    ("kind", "code", "said"),
    [(2, -errno.EPERM, "Operation not permitted"), (3, 0, "no answer of the kernel")],
    ids=["refused", "no answer"],
)
def test_an_answer_says_what_is_wrong(kind: int, code: int, said: str) -> None:
    answer = struct.pack("=IHHIIi", 20, kind, 0, 1, 0, code)
    with pytest.raises(OSError, match=said):
        check_answer(answer)


def test_an_answer_says_that_it_was_done() -> None:
    check_answer(struct.pack("=IHHIIi", 20, 2, 0, 1, 0, 0))


def test_a_kernel_answers() -> None:
    # Who may not change it hears that; who may, that there is no such device.
    with pytest.raises(OSError, match=r"No such device|not permitted"):
        set_devconf(NOWHERE, {RP_FILTER: 2})


def test_a_setting_is_read_where_there_is_such_a_device() -> None:
    assert devconf("all", "rp_filter") in {0, 1, 2}
    assert devconf("nowhere", "rp_filter") is None
