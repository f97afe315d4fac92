"""Which form of the package is measured: with the extension module, or without."""

import enum
from typing import Final

from firezone_filter import __compiled__


class Build(enum.Enum):
    """A form of the package."""

    COMPILED = "compiled"
    """With the extension module."""

    PLAIN = "plain"
    """Without: it was not built, or is switched off by `FIREZONE_FILTER_PURE=1`."""

    def __str__(self) -> str:
        return self.value


BUILD: Final = Build.COMPILED if __compiled__ else Build.PLAIN
"""The one that this process has imported."""
