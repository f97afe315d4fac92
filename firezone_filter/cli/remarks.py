"""What is odd about a replayed capture, in lines for standard error."""

from collections.abc import Iterator
from ipaddress import ip_address

from firezone_filter.policy import Policy
from firezone_filter.replay.remarks import lacks_clients, remarks
from firezone_filter.replay.summary import Summary


def remarks_and_help(summary: Summary, policy: Policy) -> Iterator[str]:
    """Yield the remarks about a replay, and what the command has for what went wrong."""
    yield from remarks(summary, policy)
    busiest = summary.busiest_addresses(1)
    if lacks_clients(summary) and busiest and policy.clients:
        example = f"{policy.clients[0].id}={ip_address(busiest[0][0])}"
        yield f"--client {example} makes an address of the capture the client's"
