"""`firezone-filter lint`: what is likely to be wrong with policies, in the manner of ruff."""

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence

from attrs import frozen

from firezone_filter.cli.ask.answering import about, print_json
from firezone_filter.cli.ask.colours import Line, print_coloured
from firezone_filter.cli.exit import ExitStatus, UnusableError
from firezone_filter.cli.inputs import display_name, read_policy
from firezone_filter.cli.outputs import STANDARD, refuse_clashes
from firezone_filter.cli.terminal import printable
from firezone_filter.policy.analysis.findings import CODES, Finding

Found = tuple[str, Finding]
"""The name of a policy for people, and a finding of it."""


@frozen
class LintJob:
    """The arguments of `firezone-filter lint`; `-` is standard input."""

    policies: tuple[str, ...]
    """The policies; standard input if there are none."""

    select: tuple[str, ...]
    """The starts of codes, or names, of the findings to print; all if there are none."""

    ignore: tuple[str, ...]
    """Those of the findings not to print."""

    at: float | None
    """The moment; `None` if nothing has expired."""

    as_json: bool
    """Whether to print JSON."""

    def run(self, say: Callable[[str], None]) -> ExitStatus:
        """Print what is found; *say* gets complaints, one line at a time.

        Raises:
            UnusableError: A code is unknown, or standard input is named twice.
            OSError: Writing failed; `BrokenPipeError` if the reader of the output has gone.
        """
        codes = _codes("--select", self.select) if self.select else frozenset(CODES)
        codes -= _codes("--ignore", self.ignore)
        names = self.policies or (STANDARD,)
        if names.count(STANDARD) > 1:
            raise UnusableError("standard input can be read only once")
        refuse_clashes(names, [])
        found: list[Found] = []
        is_usable = True
        for name in names:
            try:
                found += self._find(name, codes)
            except UnusableError as error:
                is_usable = False
                for line in error.lines:
                    say(line)
        self._print(found, is_usable=is_usable)
        if not is_usable:
            return ExitStatus.UNUSABLE
        return ExitStatus.NEGATIVE if found else ExitStatus.DONE

    def _find(self, name: str, codes: frozenset[str]) -> list[Found]:
        policy = read_policy(name)
        shown = display_name(name)
        with about(name):
            return [(shown, one) for one in policy.lint(self.at) if one.code in codes]

    def _print(self, found: Sequence[Found], *, is_usable: bool) -> None:
        if self.as_json:
            print_json([_object(*each) for each in found])
        elif found or is_usable:
            print_coloured(_lines(found), sys.stdout)


def _codes(option: str, chosen: Iterable[str]) -> frozenset[str]:
    """Return the codes that begin as one of *chosen* does, or are called so."""
    codes: set[str] = set()
    for text in chosen:
        meant = {
            one.code for one in CODES.values() if one.code.startswith(text) or one.name == text
        }
        if not meant:
            raise UnusableError(
                f"{option}: {text!r} is no code, no start of one (FZ1), and no name"
            )
        codes |= meant
    return frozenset(codes)


def _lines(found: Sequence[Found]) -> Iterator[Line]:
    for name, finding in found:
        yield printable(f"{name}: {finding}"), ""
    if found:
        yield f"Found {len(found):,} finding{'' if len(found) == 1 else 's'}.", "bold"
    else:
        yield "All checks passed!", "bold green"


def _object(name: str, finding: Finding) -> dict[str, object]:
    return {
        "file": name,
        "code": finding.code,
        "name": finding.name,
        "severity": finding.severity,
        "place": finding.place,
        "message": finding.message,
    }
