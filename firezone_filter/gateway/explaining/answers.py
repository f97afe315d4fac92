"""Which resource answers for an address, of all that cover it, and what it permits."""

from ipaddress import ip_address
from typing import Final, NamedTuple, final

from firezone_filter.access.candidates import Coverage, covering
from firezone_filter.access.special_ranges import DNS, NOT_INTERNET
from firezone_filter.gateway.explaining.facts import Facts
from firezone_filter.gateway.explaining.wording import permitted_in_words
from firezone_filter.values.explanations import Candidate
from firezone_filter.values.resources import InternetResource


@final
class Answer(NamedTuple):
    """What the resources of a client say of a packet."""

    candidates: tuple[Candidate, ...] = ()
    """Those that cover the address, best first."""

    excluded: tuple[str, ...] = ()
    """Those whose network has the address, but excludes it."""

    words: str = ""
    """Which of them answers, and what it permits."""


NOBODY: Final = Answer()
"""Nobody has been asked."""


def ask(facts: Facts, far: bytes, flags: int, protocol: int, number: int) -> Answer:
    """Ask who covers an address, with such flags in the range map, and who permits a packet."""
    access = facts.client.access
    coverage = covering(access, far, flags, facts.now)
    candidates = _ranked(coverage, protocol, number)
    address = ip_address(far)
    if not candidates:
        words = f"no resource of {facts.client.id} covers {address}"
        if coverage.excluded:
            words += f" (excluded by {', '.join(coverage.excluded)})"
        return Answer((), coverage.excluded, words)
    winner = candidates[0]
    resource = access.authorizations[winner.resource_id].resource
    if not isinstance(resource, InternetResource):
        covers = "a proxy address of" if flags & DNS else f"in {winner.covers} of"
        permitted = permitted_in_words(resource.filters, protocol)
        words = f"{address} is {covers} {resource.id}, which permits {permitted}"
    elif winner.permits:
        words = f"{address} is public, and {resource.id} permits the Internet"
    elif flags & NOT_INTERNET:
        words = f"{address} is not public, and {resource.id} permits the Internet alone"
    else:
        words = f"{resource.id} permits the Internet, but excludes {address}"
    return Answer(candidates, coverage.excluded, words)


def _ranked(coverage: Coverage, protocol: int, number: int) -> tuple[Candidate, ...]:
    """Return the resources that cover an address as candidates for a packet, best first."""
    asked = [(one, one.refusal(protocol, number)) for one in coverage.candidates]
    # (Sorting is stable: those that permit and those that do not keep their order.)
    asked.sort(key=lambda pair: pair[1] is not None)
    return tuple(
        Candidate(
            one.authorization.resource.id,
            one.authorization.resource.name,
            one.covers,
            permits=reason is None,
            reason=reason,
            wins=place == 0,
        )
        for place, (one, reason) in enumerate(asked)
    )


def own_filters(facts: Facts, protocol: int) -> str:
    """Tell what the gateway permits at its own address of a protocol."""
    return f"own_filters permit {permitted_in_words(facts.context.options.own_filters, protocol)}"
