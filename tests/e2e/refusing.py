"""A program on a kernel that refuses some offload, or all of it.

    python -m tests.e2e.refusing WHAT MODULE ARGUMENT …

*WHAT* is `headers` (there are none, as on a kernel that has never heard of them), or a number: the
offload that is granted at most (`TUN_F_…`). What is granted is logged.
"""

import errno
import fcntl
import json
import os
import runpy
import struct
import sys
from typing import Any

SET_INTERFACE, SET_OFFLOAD = 0x400454CA, 0x400454D0
HEADERS = 0x4000

GRANTED = "Offload granted"


def main() -> None:
    """Run the module, between which and the kernel this stands."""
    what, module = sys.argv[1:3]
    sys.argv = sys.argv[2:]
    asked = fcntl.ioctl

    def refuse(fd: int, request: int, argument: Any = 0) -> object:  # noqa: ANN401 - as `fcntl`
        if request == SET_INTERFACE and what == "headers":
            (flags,) = struct.unpack_from("H", argument, 16)
            refused = bool(flags & HEADERS)
        else:
            refused = request == SET_OFFLOAD and bool(argument & ~int(what, 0))
        if refused:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        answer = asked(fd, request, argument)
        if request == SET_OFFLOAD:
            print(json.dumps({"message": GRANTED, "offload": argument}), flush=True)  # noqa: T201
        return answer

    fcntl.ioctl = refuse  # type: ignore[assignment]
    runpy.run_module(module, run_name="__main__")


if __name__ == "__main__":
    main()
