"""One run of `firezone-filter replay`, from the names of files to the summary."""

import json
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

from attrs import evolve, frozen
from rich.console import Console

from firezone_filter.capture.captures import Captures, open_selected
from firezone_filter.capture.choice import ALL, FrameSelection
from firezone_filter.capture.damage import UnreadableCaptureError
from firezone_filter.capture.extras import MissingExtraError
from firezone_filter.capture.frames import Frames
from firezone_filter.capture.packet_filter import InvalidFilterError
from firezone_filter.cli.exit import ExitStatus, UnusableError
from firezone_filter.cli.inputs import display_name, is_pipe, read_policy
from firezone_filter.cli.interruptible import Interrupts
from firezone_filter.cli.outputs import STANDARD, refuse_clashes
from firezone_filter.cli.progress import Meter, metered
from firezone_filter.cli.remarks import remarks_and_help
from firezone_filter.cli.render import print_summary
from firezone_filter.cli.report import report
from firezone_filter.cli.streams import standard_output
from firezone_filter.cli.terminal import console
from firezone_filter.policy import Policy
from firezone_filter.replay.assigned_addresses import assign_addresses
from firezone_filter.replay.engine import in_steps, steps
from firezone_filter.replay.engines import engine_over
from firezone_filter.replay.errors import UnknownEndingError, WorkersError
from firezone_filter.replay.outputs.outputs import Outputs, Target, Targets
from firezone_filter.replay.partitions.spread import Spread
from firezone_filter.replay.summary import Summary
from firezone_filter.values.addresses import Address
from firezone_filter.values.errors import FirezoneFilterError


@frozen(kw_only=True)
class ReplayJob:
    """The arguments of `firezone-filter replay`; `-` is standard input or output."""

    captures: Sequence[str]
    """The captures to read."""

    policy: str
    """The policy to replay them through."""

    decisions: str | None = None
    """The file for the decisions."""

    flows: str | None = None
    """The file for flow records."""

    forwarded: str | None = None
    """The file for the packets that pass, a capture."""

    refused: str | None = None
    """The file for the frames with refused packets, a capture."""

    html: str | None = None
    """The file for the report, a page."""

    clients: Sequence[tuple[str, Address]] = ()
    """Addresses of the captures, with the ids of the clients that get them."""

    selection: FrameSelection = ALL
    """Which frames are replayed."""

    stateful: bool = False
    """Whether only answers come back, whatever the policy's options say."""

    as_json: bool = False
    """Whether to print the summary as JSON."""

    workers: int | None = None
    """In how many processes to decide."""

    scheduler: str | None = None
    """The address of a Dask scheduler whose workers are to decide, in the place of processes."""

    def run(self, say: Callable[[str], None]) -> ExitStatus:
        """Replay the captures and print the summary; *say* gets warnings, one line at a time.

        No output is opened before the policy and the starts of the captures have been read.

        Raises:
            UnusableError: A file cannot be used.
            FirezoneFilterError: The policy can begin at no time of a capture.
            OSError: Writing failed; `BrokenPipeError` if the reader of the output has gone.
        """
        since, until = self.selection.since_ns, self.selection.until_ns
        if since is not None and until is not None and until <= since:
            raise UnusableError("--until is not after --since")
        refuse_clashes([*self.captures, self.policy], self._names())
        targets = self._targets()
        policy = self._read_policy()
        summary = self._replay(policy, targets, say)
        self._print(summary, policy)
        for remark in remarks_and_help(summary, policy):
            say(f"{self._name()}: {remark}")
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

    def _names(self) -> list[str]:
        names = (self.decisions, self.flows, self.forwarded, self.refused, self.html)
        return [name for name in names if name is not None]

    def _targets(self) -> Targets:
        try:
            return Targets(
                decisions=_target(self.decisions),
                flows=_target(self.flows),
                forwarded=_target(self.forwarded),
                refused=_target(self.refused),
                html=_target(self.html),
            )
        except UnknownEndingError as error:
            raise UnusableError(str(error)) from None

    def _name(self) -> str:
        """Return what the captures are called in the summary and in messages."""
        more = len(self.captures) - 1
        return display_name(self.captures[0]) + (f" and {more:,} more" if more else "")

    def _replay(self, policy: Policy, targets: Targets, say: Callable[[str], None]) -> Summary:
        # In a pipeline, Ctrl-C ends the writer too, which may flush what it has captured.
        interrupts = Interrupts(reads_on=any(map(is_pipe, self.captures)))
        with ExitStack() as stack:
            try:
                with interrupts.heeded():
                    source = interrupts.wait_for(lambda: stack.enter_context(self._opened()))
            except KeyboardInterrupt:
                return Summary(interrupted=True)
            # Now it is known which files a directory or a pattern stands for.
            refuse_clashes(source.names, self._names())
            if remark := _left_out(source.left_out):
                say(f"{self._name()}: {remark}")
            outputs = stack.enter_context(_opened_outputs(targets, say))
            stack.enter_context(_workers_named())
            engine = stack.enter_context(
                engine_over(
                    self._spread(),
                    policy,
                    outputs.writers,
                    outputs.flows,
                    report=outputs.report,
                    again=self._again,
                    warn=say,
                )
            )
            meter = stack.enter_context(metered(source.size, self._bar_console()))
            chunks = metered_chunks(in_steps(source.chunks(), engine.step), source, meter)
            stack.enter_context(interrupts.heeded())
            try:
                for _ in steps(engine, interrupts.records(chunks)):
                    pass
            except UnreadableCaptureError as error:
                raise UnusableError(str(error)) from None
            if outputs.page is not None:
                policy_name = display_name(self.policy)
                outputs.page.write(engine.summary, policy, self._name(), policy_name)
            return engine.summary

    def _opened(self) -> Captures:
        try:
            return open_selected(self.captures, self.selection)
        except (InvalidFilterError, MissingExtraError, UnreadableCaptureError) as error:
            raise UnusableError(str(error)) from None

    def _spread(self) -> Spread:
        # Whether this process can be copied; elsewhere, libraries of the system have threads.
        forks = sys.platform == "linux" and threading.active_count() == 1
        return Spread(self.workers, self.scheduler, forks=forks)

    def _again(self) -> Iterator[Frames]:
        if STANDARD in self.captures:
            raise WorkersError("a worker was lost, and standard input cannot be read again")
        with self._opened() as captures:
            yield from captures.chunks()

    def _bar_console(self) -> Console:
        # A progress bar among the lines of `--decisions -` would garble both.
        garbles = STANDARD in self._names() and sys.stdout.isatty()
        return console(sys.stderr, interactive=False if garbles else None)

    def _print(self, summary: Summary, policy: Policy) -> None:
        sys.stdout.flush()
        stream = sys.stderr if STANDARD in self._names() else sys.stdout
        if self.as_json:
            stream.write(json.dumps(report(summary), indent=2) + "\n")
        else:
            print_summary(stream, summary, policy, self._name())
        stream.flush()


def metered_chunks(
    chunks: Iterable[Frames], source: Captures, meter: Meter | None
) -> Iterator[Frames]:
    """Yield *chunks*, and show before each how much of *source* has been read."""
    packets = 0
    for frames in chunks:
        if meter is not None:
            meter.show(packets, source.position)
        packets += len(frames)
        yield frames


def _left_out(names: Sequence[str]) -> str | None:
    """Return a line about files of directories that are no captures, if there are any."""
    if not names:
        return None
    more = f" and {len(names) - 1:,} more" if len(names) > 1 else ""
    return f"left out, being no capture: {names[0]}{more}"


@contextmanager
def _workers_named() -> Iterator[None]:
    try:
        yield
    except (MissingExtraError, WorkersError) as error:
        raise UnusableError(str(error)) from None


def _target(name: str | None) -> Target | None:
    return standard_output() if name == STANDARD else name


def _opened_outputs(targets: Targets, say: Callable[[str], None]) -> Outputs:
    try:
        return Outputs(targets, say)
    except MissingExtraError as error:
        raise UnusableError(str(error)) from None
    except OSError as error:
        raise UnusableError(f"{error.filename}: {error.strerror}") from None
