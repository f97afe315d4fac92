"""Python's collector of cycles, which has nothing to find in a replay."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def paused_collector() -> Iterator[None]:
    """Let Python look for no cycles in the meantime, if it does.

    Deciding makes none, but so many objects that it would look for them a tenth of the time. To be
    used for a chunk at a time, so that what others make is found in between.
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
