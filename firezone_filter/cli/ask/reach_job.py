"""`firezone-filter reach` and `who`: what a client may reach, and who may reach something."""

from collections.abc import Callable, Sequence
from itertools import chain
from typing import cast

from attrs import frozen

from firezone_filter.cli.ask.answering import about, print_json, print_lines
from firezone_filter.cli.ask.answers_json import reach_json
from firezone_filter.cli.ask.questions import read_target
from firezone_filter.cli.ask.words import box_in_words, resource_in_words
from firezone_filter.cli.exit import ExitStatus, UnusableError
from firezone_filter.cli.inputs import read_policy
from firezone_filter.cli.outputs import refuse_clashes
from firezone_filter.cli.terminal import printable
from firezone_filter.packet.icmp import ECHO_REQUEST
from firezone_filter.policy import Policy
from firezone_filter.policy.targets import Target


@frozen
class ReachJob:
    """The arguments of `firezone-filter reach`."""

    policy: str
    """The policy to ask."""

    client_id: str
    """The client to ask about."""

    at: float | None
    """The moment; `None` if nothing has expired."""

    as_json: bool
    """Whether to print JSON."""

    def run(self) -> ExitStatus:
        """Print what the client may reach.

        Raises:
            UnusableError: The policy cannot be used, or does not know the client.
            OSError: Writing failed; `BrokenPipeError` if the reader of the output has gone.
        """
        refuse_clashes([self.policy], [])
        policy = read_policy(self.policy)
        with about(self.policy):
            boxes = policy.reach(self.client_id, self.at)
        if self.as_json:
            print_json([reach_json(box) for box in boxes])
        else:
            print_lines(box_in_words(box, box.resource_id) for box in boxes)
        return ExitStatus.DONE


@frozen
class WhoJob:
    """The arguments of `firezone-filter who`."""

    policy: str
    """The policy to ask."""

    target: tuple[str, ...]
    """The words that say what is reached."""

    at: float | None
    """The moment; `None` if nothing has expired."""

    as_json: bool
    """Whether to print JSON."""

    def run(self, say: Callable[[str], None]) -> ExitStatus:
        """Print who may reach the target; *say* is told if nobody may.

        Raises:
            UnusableError: The policy cannot be used, or the target is none.
            OSError: Writing failed; `BrokenPipeError` if the reader of the output has gone.
        """
        refuse_clashes([self.policy], [])
        policy = read_policy(self.policy)
        target = read_target(self.target)
        with about(self.policy):
            found = self._found(policy, target)
        if self.as_json:
            print_json([{"client_id": one, "resource_id": other} for one, other in found])
            return ExitStatus.DONE
        print_lines(f"{printable(one)} ({resource_in_words(other)})" for one, other in found)
        if not found:
            say(f"nobody may reach {target}")
        return ExitStatus.DONE

    def _found(self, policy: Policy, target: Target) -> Sequence[tuple[str, str | None]]:
        place = target.name or target.address
        ports = target.ports
        if place is None or (ports is not None and ports.first != ports.last):
            raise UnusableError(f"{target}: one address or name, and one port or none, is asked")
        port = None if ports is None else ports.first
        what = "icmp" if target.word == "ping" else target.word
        protocol = cast("int", target.number) if what is None else what
        if target.word != "ping":
            return policy.who(place, protocol, port, target.icmp_type, self.at)
        # A name may have addresses of both families, whose echo requests have types of their own.
        found = (policy.who(place, protocol, None, one, self.at) for one in ECHO_REQUEST.values())
        return tuple(dict.fromkeys(chain.from_iterable(found)))
