"""What people read of a test of a policy that fails."""

from collections.abc import Iterator

from firezone_filter.cli.terminal import printable
from firezone_filter.policy.analysis.tests import TestResult


def failure_title(result: TestResult) -> str:
    """Return what fails of a test, in one line."""
    return printable(f"{result.client}: {result.side} {result.part}")


def failure_lines(result: TestResult) -> Iterator[str]:
    """Yield the packet that shows a failing test, why it is decided so, and what else fails."""
    if result.witness is None or result.explanation is None:
        yield "no packet goes there: the name has no proxy address"
    else:
        direction, packet = result.witness
        yield f"for example, {direction.value}: {packet.hex()}"
        yield from map(printable, str(result.explanation).split("\n"))
    if others := result.others:
        listed = ", ".join(f"{side} {part}" for side, part in others)
        yield printable(f"and {len(others):,} more: {listed}")
