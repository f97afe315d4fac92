"""One run of `firezone-filter replay`, from the names of files to the summary."""

import json
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack

from attrs import evolve, frozen
from rich.console import Console

from firezone_filter.capture.damage import UnreadableCaptureError
from firezone_filter.cli.exit import ExitStatus, UnusableError
from firezone_filter.cli.inputs import display_name, is_pipe, opened_capture, read_policy
from firezone_filter.cli.interruptible import Interrupts
from firezone_filter.cli.outputs import STANDARD, Outputs, refuse_clashes
from firezone_filter.cli.progress import watched
from firezone_filter.cli.remarks import remarks
from firezone_filter.cli.render import print_summary
from firezone_filter.cli.report import report
from firezone_filter.cli.terminal import console
from firezone_filter.policy import Policy
from firezone_filter.replay.assigned_addresses import assign_addresses
from firezone_filter.replay.replay import replay
from firezone_filter.replay.summary import Summary
from firezone_filter.replay.writers import DecisionWriter, FlowWriter, ForwardedWriter, Writer
from firezone_filter.values.addresses import Address
from firezone_filter.values.errors import FirezoneFilterError


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

    clients: Sequence[tuple[str, Address]]
    """Addresses of the capture, with the ids of the clients that get them."""

    stateful: bool
    """Whether only answers come back, whatever the policy's options say."""

    as_json: bool
    """Whether to print the summary as JSON."""

    def run(self, say: Callable[[str], None]) -> ExitStatus:
        """Replay the capture and print the summary; *say* gets warnings, one line at a time.

        No output is opened before the policy and the start of the capture have been read.

        Raises:
            UnusableError: A file cannot be used.
            FirezoneFilterError: The policy can begin at no time of a capture.
            OSError: Writing failed; `BrokenPipeError` if the reader of the output has gone.
        """
        refuse_clashes([self.capture, self.policy], self._outputs())
        policy = self._read_policy()
        summary = self._replay(policy, say)
        self._print(summary, policy)
        for remark in remarks(summary, policy):
            say(f"{display_name(self.capture)}: {remark}")
        if summary.interrupted:
            return ExitStatus.INTERRUPTED
        is_good = summary.damage is None and not summary.is_odd
        return ExitStatus.DONE if is_good else ExitStatus.DAMAGED

    def _read_policy(self) -> Policy:
        policy = read_policy(self.policy)
        if self.stateful:
            policy = evolve(policy, options=evolve(policy.options, stateful=True))
        try:
            return assign_addresses(policy, self.clients)
        except FirezoneFilterError as error:
            raise UnusableError(
                *(f"--client: {line}" for line in str(error).splitlines())
            ) from None

    def _outputs(self) -> list[str]:
        return [name for name in (self.decisions, self.forwarded, self.flows) if name is not None]

    def _replay(self, policy: Policy, say: Callable[[str], None]) -> Summary:
        # In a pipeline, Ctrl-C ends the writer too, which may flush what it has captured.
        interrupts = Interrupts(reads_on=is_pipe(self.capture))
        with ExitStack() as stack:
            try:
                with interrupts.heeded():
                    capture, size = interrupts.wait_for(
                        lambda: stack.enter_context(opened_capture(self.capture))
                    )
            except KeyboardInterrupt:
                return Summary(interrupted=True)
            outputs = stack.enter_context(Outputs(say))
            writers = self._writers(outputs)
            flows = None if self.flows is None else FlowWriter(outputs.text(self.flows))
            watching = stack.enter_context(watched(capture, size, self._bar_console()))
            stack.enter_context(interrupts.heeded())
            try:
                return replay(interrupts.records(watching), policy, writers, flows)
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
