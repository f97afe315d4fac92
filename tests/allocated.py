"""How much memory the package and its tests have allocated, as `tracemalloc` sees it."""

import gc
import tracemalloc


def allocated() -> int:
    """Return the bytes that are allocated by now.

    What a runner of tests does meanwhile, in a thread of its own, is left out.
    """
    gc.collect()
    ours = [
        tracemalloc.Filter(inclusive=True, filename_pattern=f"*/{folder}/*")
        for folder in ("firezone_filter", "tests")
    ]
    traces = tracemalloc.take_snapshot().filter_traces(ours)
    return sum(one.size for one in traces.statistics("filename"))
