"""Keeps out of this machine what it would take in without asking the rules.

Packets to broadcast, multicast and link-local addresses are for the machine itself, whatever the
rules of routing say: sockets that listen everywhere would get them from clients, around the
filter. So they are dropped at the interface, by a few instructions of classic BPF. The library
would refuse them all: a client reaches none of these. Where rules see nothing of what an interface
brings, all of it is dropped there.
"""

import errno
import socket
import struct
from typing import Final

from firezone_filter.host.netlink import (
    CREATE,
    NESTED,
    REPLACE,
    attribute,
    attributes,
    change,
    listed,
)

PRIORITY: Final = 211
"""Of ours among the filters of an interface: its owner may have others."""

# From <linux/filter.h>: where the protocol stands, and where the network header begins.
_PROTOCOL: Final = 0xFFFF_F000
_NETWORK: Final = 0xFFF0_0000
_LOAD_WORD, _LOAD_HALF, _LOAD_BYTE = 0x20, 0x28, 0x30
_EQUAL, _AT_LEAST, _AND, _RETURN = 0x15, 0x35, 0x54, 0x06
_PASS_ON: Final = 0xFFFF_FFFF  # TC_ACT_UNSPEC: others may have their say
_DROP: Final = 2  # TC_ACT_SHOT

# Instruction, how far to jump if it is so and if not, and a number.
_PROGRAM: Final = (
    (_LOAD_WORD, 0, 0, _PROTOCOL),
    (_EQUAL, 0, 3, 0x0800),
    (_LOAD_BYTE, 0, 0, _NETWORK + 16),
    (_AT_LEAST, 7, 0, 224),  # 224.0.0.0 and above, 255.255.255.255 with it
    (_EQUAL, 6, 5, 0),  # 0.0.0.0/8: "this network"
    (_EQUAL, 0, 4, 0x86DD),
    (_LOAD_HALF, 0, 0, _NETWORK + 24),
    (_AT_LEAST, 3, 0, 0xFF00),  # ff00::/8
    (_AND, 0, 0, 0xFFC0),
    (_EQUAL, 1, 0, 0xFE80),  # fe80::/10
    (_RETURN, 0, 0, _PASS_ON),
    (_RETURN, 0, 0, _DROP),
)

_NOTHING: Final = ((_RETURN, 0, 0, _DROP),)

# From <linux/rtnetlink.h> and <linux/pkt_sched.h>.
_NEW_QDISC, _DELETE_QDISC = 36, 37
_NEW_FILTER, _DELETE_FILTER, _GET_FILTER = 44, 45, 46
_ROOT, _CLSACT = 0xFFFF_0000, 0xFFFF_FFF1
_INGRESS, _EGRESS = 0xFFFF_FFF2, 0xFFFF_FFF3
_ALL_PROTOCOLS: Final = 3
_KIND, _OPTIONS = 1, 2
_CLASS, _LENGTH, _INSTRUCTIONS, _FLAGS = 3, 4, 5, 8
# A class says nothing to a filter that decides by itself, and the kernel keeps its number.
_SIGN: Final = PRIORITY << 16
_DIRECT: Final = 1

_TRAFFIC: Final = struct.Struct("=BxxxiIII")
_U32: Final = struct.Struct("=I")
_INSTRUCTION: Final = struct.Struct("=HBBI")


def keep_out(index: int, *, anew: bool = True, note: int | None = None) -> None:
    """Keep such packets out that come by the interface with this index; once is enough.

    Args:
        index: the interface's.
        anew: whether to replace what is there: another version may have laid it.
        note: a small number to keep there, as long as the interface, for `noted`; without one,
            that of before stays.

    Raises:
        OSError: the kernel refuses, or has neither `sch_ingress` nor `cls_bpf`.
    """
    _lay(index, _PROGRAM, REPLACE if anew else CREATE, note)


def shut(index: int) -> None:
    """Keep everything out that comes by an interface, until `keep_out` does it anew.

    Raises:
        OSError: as for `keep_out`.
    """
    _lay(index, _NOTHING, REPLACE, None)


def noted(index: int) -> int | None:
    """Return the number that `keep_out` was given for this interface, if there is any."""
    try:
        filters = listed(_GET_FILTER, _at(index, 0, _INGRESS, 0))
    except OSError:
        return None
    for one in filters:
        options = dict(attributes(one[_TRAFFIC.size :])).get(_OPTIONS, b"")
        (sign,) = _U32.unpack(dict(attributes(options)).get(_CLASS, bytes(4)))
        if sign >> 16 == PRIORITY:
            return int(sign - _SIGN)
    return None


def _lay(
    index: int, program: tuple[tuple[int, int, int, int], ...], flags: int, note: int | None
) -> None:
    if note is None:
        note = noted(index)
    _unless_there(_NEW_QDISC, _qdisc(index), CREATE)
    instructions = b"".join(_INSTRUCTION.pack(*one) for one in program)
    options = (
        attribute(_LENGTH, struct.pack("=H", len(program)))
        + attribute(_INSTRUCTIONS, instructions)
        + (b"" if note is None else attribute(_CLASS, _U32.pack(_SIGN + note)))
        + attribute(_FLAGS, struct.pack("=I", _DIRECT))
    )
    kind = attribute(_KIND, b"bpf\0")
    body = _filter(index) + kind + attribute(_OPTIONS | NESTED, options)
    _unless_there(_NEW_FILTER, body, flags)


def let_in(index: int) -> None:
    """Undo `keep_out`, and leave what others have there.

    Raises:
        OSError: the kernel refuses.
    """
    try:
        change(_DELETE_FILTER, _filter(index) + attribute(_KIND, b"bpf\0"))
    except OSError as error:
        if error.errno not in {errno.ENOENT, errno.EINVAL}:  # nothing of it is there
            raise
        return
    try:
        others = [
            one
            for end in (_INGRESS, _EGRESS)
            for one in listed(_GET_FILTER, _at(index, 0, end, 0))
        ]
    except OSError:
        # Nobody knows whose it is. If it is empty, it does nothing.
        return
    if not others:
        change(_DELETE_QDISC, _qdisc(index))


def _unless_there(kind: int, body: bytes, flags: int) -> None:
    try:
        change(kind, body, flags)
    except OSError as error:
        if error.errno != errno.EEXIST:
            raise


def _qdisc(index: int) -> bytes:
    return _at(index, _ROOT, _CLSACT, 0) + attribute(_KIND, b"clsact\0")


def _filter(index: int) -> bytes:
    return _at(index, 1, _INGRESS, PRIORITY << 16 | socket.htons(_ALL_PROTOCOLS))


def _at(index: int, handle: int, parent: int, info: int) -> bytes:
    return _TRAFFIC.pack(socket.AF_UNSPEC, index, handle, parent, info)
