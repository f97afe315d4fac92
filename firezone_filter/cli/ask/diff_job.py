"""`firezone-filter diff`: what another policy changes, in the manner of unified diffs."""

import sys
from collections.abc import Iterable, Iterator
from typing import Final

from attrs import fields, frozen

from firezone_filter.cli.ask.answering import about, print_json
from firezone_filter.cli.ask.answers_json import diff_json
from firezone_filter.cli.ask.colours import Line, print_coloured
from firezone_filter.cli.ask.words import addresses_in_words, box_in_words, moment_in_words
from firezone_filter.cli.exit import ExitStatus, UnusableError
from firezone_filter.cli.inputs import display_name, read_policy
from firezone_filter.cli.outputs import STANDARD, refuse_clashes
from firezone_filter.cli.terminal import printable
from firezone_filter.policy.analysis.changes import ClientDiff, PolicyDiff
from firezone_filter.values.options import GatewayOptions

_OLD: Final = "red"
_NEW: Final = "green"
_OTHER: Final = "yellow"
_HUNK: Final = "cyan"


@frozen
class DiffJob:
    """The arguments of `firezone-filter diff`; `-` is standard input."""

    old: str
    """The policy to compare with."""

    new: str
    """The policy that changes it."""

    at: float | None
    """The moment; `None` if nothing has expired."""

    as_json: bool
    """Whether to print JSON."""

    def run(self) -> ExitStatus:
        """Print what is different.

        Raises:
            UnusableError: A policy cannot be used.
            OSError: Writing failed; `BrokenPipeError` if the reader of the output has gone.
        """
        if self.old == self.new == STANDARD:
            raise UnusableError("standard input can be read only once")
        refuse_clashes([self.old, self.new], [])
        old, new = read_policy(self.old), read_policy(self.new)
        with about(self.new):
            found = old.diff(new, self.at)
        if self.as_json:
            print_json(diff_json(found))
        elif found:
            print_coloured(self._lines(found), sys.stdout)
        return ExitStatus.NEGATIVE if found else ExitStatus.DONE

    def _lines(self, found: PolicyDiff) -> Iterator[Line]:
        yield f"--- {printable(display_name(self.old))}", "bold"
        yield f"+++ {printable(display_name(self.new))}", "bold"
        if found.addresses or found.address_plan or found.options:
            yield "@@ the gateway @@", _HUNK
            yield from _gateway(found)
        for client in found.clients:
            yield from _client(client)


def _gateway(found: PolicyDiff) -> Iterator[Line]:
    if found.addresses is not None:
        before, after = map(addresses_in_words, found.addresses)
        yield f"~ its addresses are {after} instead of {before}", _OTHER
    if found.address_plan is not None:
        old, new = found.address_plan
        for name, one, other in (
            ("tunnel", old.tunnel, new.tunnel),
            ("DNS", old.dns_resources, new.dns_resources),
        ):
            if one != other:
                yield f"~ the {name} ranges are {_listed(other)} instead of {_listed(one)}", _OTHER
    if found.options is not None:
        for option in fields(GatewayOptions):
            one, other = (getattr(options, option.name) for options in found.options)
            if one != other:
                yield f"~ {option.name} is {_shown(other)} instead of {_shown(one)}", _OTHER


def _client(client: ClientDiff) -> Iterator[Line]:
    who = printable(client.client_id)
    how = "" if client.change == "changed" else f", {client.change}"
    yield f"@@ {who}{how} @@", _HUNK
    for box in client.lost:
        yield f"- {who} may reach {box_in_words(box, box.before)}", _OLD
    for box in client.gained:
        yield f"+ {who} may reach {box_in_words(box, box.after)}", _NEW
    for move in client.moved:
        yield f"~ {move.address} leads to {move.after} instead of {move.before}", _OTHER
    for expiry in client.expiries:
        before, after = map(moment_in_words, (expiry.before, expiry.after))
        yield f"~ {printable(expiry.resource_id)} ends {after} instead of {before}", _OTHER


def _listed(networks: Iterable[object]) -> str:
    return ", ".join(map(str, networks)) or "none"


def _shown(option: object) -> str:
    if isinstance(option, tuple):
        return f"({_listed(option)})"
    return str(option).lower() if isinstance(option, bool) else str(option)
