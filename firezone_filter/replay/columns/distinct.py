"""What occurs among many numbers, where first, and how often."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def distinct(values: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.int64], NDArray[np.int64]]:
    """Return the values that occur, ascending, the index of each one's first, and their counts.

    `np.unique` does as much, but first imports all of numpy's masked arrays.
    """
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    is_first = np.ones(len(values), dtype=np.bool_)
    is_first[1:] = ordered[1:] != ordered[:-1]
    starts = np.flatnonzero(is_first)
    return ordered[starts], order[starts], np.diff(starts, append=len(values))
