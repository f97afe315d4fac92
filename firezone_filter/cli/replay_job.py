"""One run of `firezone-filter replay`, from the names of files to the summary."""

import json
import sys
from collections.abc import Callable
from contextlib import ExitStack

from attrs import frozen
from rich.console import Console

from firezone_filter.capture.errors import UnreadableCaptureError
from firezone_filter.cli.exit import ExitStatus, UnusableError
from firezone_filter.cli.inputs import display_name, opened_capture, read_policy
from firezone_filter.cli.outputs import STANDARD, Outputs, refuse_clashes
from firezone_filter.cli.progress import watched
from firezone_filter.cli.render import print_summary
from firezone_filter.cli.report import report
from firezone_filter.cli.terminal import console
from firezone_filter.policy import Policy
from firezone_filter.replay.replay import replay
from firezone_filter.replay.summary import Summary
from firezone_filter.replay.writers import DecisionWriter, FlowWriter, ForwardedWriter, Writer


@frozen
class ReplayJob:
    """The arguments of `firezone-filter replay`; `-` is standard input or output."""

    capture: str
    """The capture to read."""

    policy: str
    """The policy to replay it through."""

    decisions: str | None
    """The file for the decisions, as JSON lines."""

    forwarded: str | None
    """The file for the packets that pass, a capture."""

    flows: str | None
    """The file for flow records, as JSON lines."""

    as_json: bool
    """Whether to print the summary as JSON."""

    def run(self, say: Callable[[str], None]) -> ExitStatus:
        """Replay the capture and print the summary; *say* gets warnings, one line at a time.

        No output is opened before the policy and the start of the capture have been read.

        Raises:
            UnusableError: A file cannot be used.
            FirezoneFilterError: The policy cannot begin at the time of the capture.
            OSError: Writing failed; `BrokenPipeError` if the reader of the output has gone.
        """
        refuse_clashes([self.capture, self.policy], self._outputs())
        policy = read_policy(self.policy)
        summary = self._replay(policy, say)
        self._print(summary, policy)
        if summary.damage is None:
            return ExitStatus.DONE
        say(f"{display_name(self.capture)}: {summary.damage}; decided up to there")
        return ExitStatus.DAMAGED

    def _outputs(self) -> list[str]:
        return [name for name in (self.decisions, self.forwarded, self.flows) if name is not None]

    def _replay(self, policy: Policy, say: Callable[[str], None]) -> Summary:
        with ExitStack() as stack:
            capture, size = stack.enter_context(opened_capture(self.capture))
            outputs = stack.enter_context(Outputs(say))
            writers = self._writers(outputs)
            flows = None if self.flows is None else FlowWriter(outputs.text(self.flows))
            records = stack.enter_context(watched(capture, size, self._bar_console()))
            try:
                return replay(records, policy, writers, flows)
            except UnreadableCaptureError as error:
                raise UnusableError(f"{display_name(self.capture)}: {error}") from None

    def _writers(self, outputs: Outputs) -> list[Writer]:
        writers: list[Writer] = []
        if self.decisions is not None:
            writers.append(DecisionWriter(outputs.text(self.decisions)))
        if self.forwarded is not None:
            writers.append(ForwardedWriter(outputs.binary(self.forwarded)))
        return writers

    def _bar_console(self) -> Console:
        # A progress bar among the lines of `--decisions -` would garble both.
        garbles = STANDARD in self._outputs() and sys.stdout.isatty()
        return console(sys.stderr, interactive=False if garbles else None)

    def _print(self, summary: Summary, policy: Policy) -> None:
        sys.stdout.flush()
        stream = sys.stderr if STANDARD in self._outputs() else sys.stdout
        if self.as_json:
            stream.write(json.dumps(report(summary), indent=2) + "\n")
        else:
            print_summary(stream, summary, policy, display_name(self.capture))
        stream.flush()
