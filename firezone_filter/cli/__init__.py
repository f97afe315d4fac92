"""The command line, `firezone-filter`: the only room that prints.

It needs click and rich, the extra `cli`; the library does not. So this module imports them
only when `main` is called, and says how to install them if they are missing.
"""

import gc
import os
import sys

__all__ = ["main"]

_EXTRA = frozenset({"click", "rich"})

_BETWEEN_COLLECTIONS = 70_000  # objects


def main() -> None:
    """Run the command line with the arguments of the process.

    Raises:
        SystemExit: Always: with the exit status of `firezone_filter.cli.command.run`, or with
            2 if the extra `cli` is not installed.
    """
    # Nothing is computed here that numpy would have threads for: making them takes longer than
    # the rest of its import.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # What is imported stays: the collector need not look through it again and again.
    gc.disable()
    try:
        from firezone_filter.cli.command import run  # noqa: PLC0415 - needs the extra
    except ModuleNotFoundError as error:
        package = str(error.name).partition(".")[0]
        if package not in _EXTRA:
            raise
        sys.stderr.write(f"firezone-filter: {package} is missing: install firezone-filter[cli]\n")
        raise SystemExit(2) from None
    finally:
        gc.freeze()
        # What commands make has hardly any cycles: to look for them a hundredth as often will do.
        gc.set_threshold(_BETWEEN_COLLECTIONS)
        gc.enable()
    raise SystemExit(run())
