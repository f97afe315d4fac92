"""`firezone-filter test`: the tests that a policy carries, in the manner of pytest."""

import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from attrs import frozen

from firezone_filter.cli.ask.answering import about, print_json
from firezone_filter.cli.ask.colours import Line, print_coloured
from firezone_filter.cli.ask.failures import failure_lines, failure_title
from firezone_filter.cli.ask.junit import junit_xml
from firezone_filter.cli.exit import ExitStatus, UnusableError
from firezone_filter.cli.inputs import display_name, read_policy
from firezone_filter.cli.outputs import STANDARD, Outputs, refuse_clashes
from firezone_filter.cli.terminal import printable
from firezone_filter.policy.analysis.tests import TestResult

_DOTS_IN_A_LINE: Final = 64


@frozen
class RunTestsJob:
    """The arguments of `firezone-filter test`; `-` is standard input or output."""

    policy: str
    """The policy whose tests are run."""

    junit: str | None
    """The file for the results, as JUnit XML."""

    as_json: bool
    """Whether to print JSON."""

    def run(self, say: Callable[[str], None]) -> ExitStatus:
        """Run the tests and print the results; *say* gets complaints, one line at a time.

        Raises:
            UnusableError: A file cannot be used, or the policy has no tests.
            OSError: Writing failed; `BrokenPipeError` if the reader of the output has gone.
        """
        refuse_clashes([self.policy], [] if self.junit is None else [self.junit])
        policy = read_policy(self.policy)
        name = display_name(self.policy)
        if not policy.tests:
            raise UnusableError(f"{name}: has no tests")
        with about(self.policy):
            results = policy.run_tests()
        self._print(name, results, say)
        passed = all(result.passed for result in results)
        return ExitStatus.DONE if passed else ExitStatus.NEGATIVE

    def _print(self, name: str, results: Sequence[TestResult], say: Callable[[str], None]) -> None:
        with Outputs(say) as outputs:
            if self.junit is not None:
                outputs.text(self.junit).write(junit_xml(name, results))
        sys.stdout.flush()
        stream = sys.stderr if self.junit == STANDARD else sys.stdout
        if self.as_json:
            print_json([result.to_dict() for result in results], stream)
        else:
            print_coloured(_lines(name, results), stream)


def _lines(name: str, results: Sequence[TestResult]) -> Iterator[Line]:
    marks = "".join("." if result.passed else "F" for result in results)
    failed = [result for result in results if not result.passed]
    style = "red" if failed else "green"
    for start in range(0, len(marks), _DOTS_IN_A_LINE):
        part = marks[start : start + _DOTS_IN_A_LINE]
        yield (f"{printable(name)} {part}" if start == 0 else part), style
    yield "", ""
    for result in failed:
        yield f"FAILED {printable(result.name)} - {failure_title(result)}", "bold red"
        for line in failure_lines(result):
            yield f"    {line}".rstrip(), ""
        yield "", ""
    counts = [f"{len(failed)} failed"] if failed else []
    if passed := len(results) - len(failed):
        counts.append(f"{passed} passed")
    yield ", ".join(counts), f"bold {style}"
