"""What an explanation alone does not tell: that access ends, or has ended by the moment asked."""

from collections.abc import Iterator

from firezone_filter.cli.ask.words import moment_in_words
from firezone_filter.policy import Policy
from firezone_filter.values.explanations import Explanation


def endings(policy: Policy, explanation: Explanation, at: float | None) -> Iterator[str]:
    """Yield a line for each resource whose authorization ends or has ended.

    Args:
        policy: the policy that was asked.
        explanation: what it answers if nothing has expired: its candidates are all resources
            that the policy ever gives the client there.
        at: the moment asked about; `None` if nothing has expired.
    """
    ends = {
        one.resource.id: one.expires_at
        for client in policy.clients
        if client.id == explanation.client_id
        for one in client.authorizations
    }
    for candidate in explanation.candidates:
        end = ends[candidate.resource_id]
        if end is None:
            continue
        if at is None:
            yield f"{candidate.resource_id} ends {moment_in_words(end)}: --at asks about a time"
        elif end <= at:
            where = "" if candidate.covers is None else f" {candidate.covers}"
            yield f"{candidate.resource_id}{where} ended {moment_in_words(end)}"
