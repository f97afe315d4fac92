"""`firezone-filter explain`: what a gateway would do with one packet, and why."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial

from attrs import evolve, frozen

from firezone_filter.capture.damage import UnreadableCaptureError
from firezone_filter.cli.arguments import to_client
from firezone_filter.cli.ask.answering import about, print_json, print_lines
from firezone_filter.cli.ask.endings import endings
from firezone_filter.cli.ask.questions import ask_about_packet, ask_about_target, read_target
from firezone_filter.cli.exit import ExitStatus, UnusableError
from firezone_filter.cli.inputs import display_name, opened_capture, read_policy
from firezone_filter.cli.outputs import refuse_clashes
from firezone_filter.cli.terminal import printable
from firezone_filter.policy import Policy
from firezone_filter.replay.asked_frame import NoSuchPacketError, explain_frame
from firezone_filter.replay.assigned_addresses import assign_addresses
from firezone_filter.values.decisions import Direction
from firezone_filter.values.explanations import Explanation


@frozen
class ExplainJob:
    """The arguments of `firezone-filter explain`; `-` is standard input."""

    target: tuple[str, ...]
    """The words that say where the packet goes; `()` with `packet` or `capture`."""

    policy: str
    """The policy that decides."""

    clients: Sequence[str]
    """The client's id; with `capture`, ids with an address of the capture each."""

    inbound: bool
    """Whether the packet goes to the client."""

    from_port: int | None
    """The client's own port."""

    at: float | None
    """The moment; `None` if nothing has expired."""

    packet: bytes | None
    """The packet itself, in the place of `target`."""

    capture: str | None
    """The capture that has the packet, in the place of `target`."""

    frame: int | None
    """The packet's number in the capture."""

    stateful: bool
    """Whether only answers come back, whatever the policy's options say."""

    as_json: bool
    """Whether to print JSON."""

    def run(self) -> ExitStatus:
        """Print what is decided about the packet, and why.

        Raises:
            UnusableError: The arguments contradict each other, or a file cannot be used.
            KeyboardInterrupt: Ctrl-C while the capture is read.
            OSError: Writing failed; `BrokenPipeError` if the reader of the output has gone.
        """
        self._check()
        policy = read_policy(self.policy)
        if self.stateful:
            policy = evolve(policy, options=evolve(policy.options, stateful=True))
        explanation, ends = self._answer(policy)
        if self.as_json:
            print_json(explanation.to_dict())
        else:
            print_lines(map(printable, [*str(explanation).split("\n"), *ends]))
        return ExitStatus.DONE if explanation.decision.allowed else ExitStatus.NEGATIVE

    def _check(self) -> None:
        asked = [bool(self.target), self.packet is not None, self.capture is not None]
        if sum(asked) != 1:
            raise UnusableError("one of TARGET, --packet and --capture says what to explain")
        if (self.capture is None) is not (self.frame is None):
            raise UnusableError("--capture and --frame need each other")
        if self.from_port is not None and not self.target:
            raise UnusableError("--from-port needs a TARGET; a packet has its own ports")
        refuse_clashes([self.policy, *([self.capture] if self.capture else [])], [])
        if self.capture is not None:
            if self.inbound or self.at is not None:
                raise UnusableError(
                    "--capture needs neither --inbound nor --at: a capture has addresses and times"
                )
        elif len(self.clients) > 1:
            raise UnusableError("--client can be repeated only with --capture")
        if self.target and not self.clients:
            raise UnusableError("a TARGET needs --client")

    def _answer(self, policy: Policy) -> tuple[Explanation, Iterable[str]]:
        """Return the explanation, and the lines about endings."""
        if self.capture is not None and self.frame is not None:
            return self._explain_frame(policy, self.capture, self.frame)
        ask = partial(self._explain, policy)
        explanation = ask(self.at)
        if self.at is None:
            return explanation, endings(policy, explanation, None)
        return explanation, _ended(policy, ask, self.at)

    def _explain(self, policy: Policy, at: float | None) -> Explanation:
        direction = Direction.INBOUND if self.inbound else Direction.OUTBOUND
        if self.packet is not None:
            client_id = self.clients[0] if self.clients else None
            with about(self.policy):
                return ask_about_packet(policy, direction, self.packet, client_id, at)
        target = read_target(self.target)
        with about(self.policy):
            return ask_about_target(
                policy,
                direction,
                target,
                self.clients[0],
                near_port=self.from_port,
                at=at,
            )

    def _explain_frame(
        self, policy: Policy, capture: str, frame: int
    ) -> tuple[Explanation, Iterable[str]]:
        try:
            assigned = [to_client(text) for text in self.clients]
        except ValueError as error:
            raise UnusableError(f"--client: {error}") from None
        with about("--client"):
            policy = assign_addresses(policy, assigned)
        with opened_capture(capture) as (records, _), about(self.policy):
            try:
                found = explain_frame(records, policy, frame)
            except (NoSuchPacketError, UnreadableCaptureError) as error:
                raise UnusableError(f"{display_name(capture)}: {error}") from None
        explanation = found.explanation
        # A session's packet is judged by its proxy address, and the gateway that is asked about
        # endings has no session: it would judge the real address.
        if any(check.name == "session" for check in explanation.checks):
            return explanation, ()
        ask = partial(ask_about_packet, policy, found.direction, found.packet, None)
        return explanation, _ended(policy, ask, found.now)


def _ended(policy: Policy, ask: Callable[[float | None], Explanation], at: float) -> Iterator[str]:
    # Asked only when somebody reads the lines: it takes a second gateway.
    yield from endings(policy, ask(None), at)
