"""The commands that ask policies, with their arguments, options and exit statuses.

What carries a command out is imported when it is run: all together takes longer than each.
"""

from datetime import UTC, datetime
from typing import Any, Final

import click

from firezone_filter.cli.arguments import FILE, Command, read_by
from firezone_filter.cli.ask.answering import answering, print_json
from firezone_filter.cli.ask.moments import to_moment
from firezone_filter.cli.exit import ExitStatus
from firezone_filter.cli.streams import say

MAX_PORT: Final = 65_535

_POLICY: Final = click.option(
    "--policy",
    required=True,
    metavar="FILE",
    type=FILE,
    help="The policy, a JSON file; - is standard input.",
)
_JSON: Final = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def _to_moment(text: str) -> float:
    return to_moment(text, datetime.now(UTC))


_AT: Final = click.option(
    "--at",
    metavar="TIME",
    callback=read_by(_to_moment),
    help="The moment to ask about: 2026-08-22T12:00:00Z, 1790000000 (Unix seconds), now, "
    "tomorrow, or -1h. Without it nothing has expired.",
)


def _to_bytes(text: str) -> bytes:
    # With or without spaces or colons between the bytes, as programs print them.
    try:
        return bytes.fromhex(text.replace(":", " "))
    except ValueError:
        raise ValueError(f"{text!r} is not hexadecimal") from None


def _codes(_: click.Context, __: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    """Split the values of `--select` and `--ignore` at commas, as ruff does."""
    return tuple(code for value in values for one in value.split(",") if (code := one.strip()))


@click.command("explain", cls=Command, short_help="Tell what happens to a packet, and why.")
@click.argument("target", nargs=-1, metavar="[TARGET]")
@_POLICY
@click.option(
    "--client",
    "clients",
    multiple=True,
    metavar="ID",
    help="The client that sends the packet, or gets it. With --capture: ID=ADDRESS gives client "
    "ID an ADDRESS of the capture; repeat it for more.",
)
@click.option("--inbound", is_flag=True, help="The packet comes to the client, not from it.")
@click.option(
    "--from-port",
    metavar="N",
    type=click.IntRange(0, MAX_PORT),
    help="The client's own TCP or UDP port.",
)
@_AT
@click.option(
    "--packet",
    metavar="HEX",
    callback=read_by(_to_bytes),
    help="The packet, from its IP header on, in the place of a TARGET.",
)
@click.option(
    "--capture",
    metavar="FILE",
    type=FILE,
    help="The capture that has the packet, in the place of a TARGET.",
)
@click.option(
    "--frame",
    metavar="N",
    type=click.IntRange(min=1),
    help="The packet's number in the capture; the first is 1.",
)
@click.option(
    "--stateful",
    is_flag=True,
    help="Let only answers come back to clients, also if the policy's options do not say so.",
)
@_JSON
@answering
def explain_command(**options: Any) -> ExitStatus:  # noqa: ANN401 - fields of a job
    """Tell what a gateway with the policy would do with one packet, and why.

    TARGET says where a packet of --client goes: 'tcp 10.0.0.5:5432', 'udp [2001:db8::1]:53',
    'ping 10.0.0.5', 'icmp/13 10.0.0.5', '47 10.0.0.5', 'tcp git.example.com:443'; with --inbound,
    where it comes from. It is the packet that opens a connection (or, inbound, its answer), from
    the client's own address and some port of the dynamic range.

    With --capture every packet before the frame is decided about first, as
    'firezone-filter replay' does.

    Exit status: 0 if the packet is allowed; 1 if it is refused; 2 if an argument or a file cannot
    be used.
    """
    from firezone_filter.cli.ask.explain_job import ExplainJob

    return ExplainJob(**options).run()


@click.command("reach", cls=Command, short_help="Print what a client may reach.")
@_POLICY
@click.option("--client", "client_id", required=True, metavar="ID", help="The client.")
@_AT
@_JSON
@answering
def reach_command(*, policy: str, client_id: str, at: float | None, as_json: bool) -> ExitStatus:
    """Print everything that a client may reach, each with the resource that permits it.

    Exit status: 0; 2 if an argument or the policy cannot be used.
    """
    from firezone_filter.cli.ask.reach_job import ReachJob

    return ReachJob(policy, client_id, at, as_json).run()


@click.command("who", cls=Command, short_help="Print which clients may reach something.")
@click.argument("target", nargs=-1, required=True, metavar="TARGET")
@_POLICY
@_AT
@_JSON
@answering
def who_command(
    *, target: tuple[str, ...], policy: str, at: float | None, as_json: bool
) -> ExitStatus:
    """Print which clients may reach TARGET, each with the resource that permits it.

    TARGET is written as for 'firezone-filter explain': 'tcp 10.0.0.5:5432'. Without a port, or
    for 'icmp' without a type, whoever may reach any counts.

    Exit status: 0, also if nobody may; 2 if an argument or the policy cannot be used.
    """
    from firezone_filter.cli.ask.reach_job import WhoJob

    return WhoJob(policy, target, at, as_json).run(say)


@click.command("test", cls=Command, short_help="Run the tests of a policy.")
@_POLICY
@click.option(
    "--junit", metavar="FILE", type=FILE, help="Write the results to FILE as JUnit XML, too."
)
@_JSON
@answering
def test_command(*, policy: str, junit: str | None, as_json: bool) -> ExitStatus:
    """Run the tests that the policy carries.

    What fails is printed with a packet that shows it, and why that is decided so. A FILE of - is
    standard output; everything else goes to standard error then.

    Exit status: 0 if all pass; 1 if one fails; 2 if an argument or a file cannot be used, or if
    the policy has no tests: a run that tests nothing should not look like one that passes.
    """
    from firezone_filter.cli.ask.tests_job import RunTestsJob

    return RunTestsJob(policy, junit, as_json).run(say)


@click.command("lint", cls=Command, short_help="Print what may be wrong with policies.")
@click.argument("policies", nargs=-1, metavar="[POLICY]...", type=FILE)
@click.option(
    "--select",
    multiple=True,
    metavar="CODES",
    callback=_codes,
    help="Only findings of these codes, or of codes that begin so. Names do too.",
)
@click.option(
    "--ignore", multiple=True, metavar="CODES", callback=_codes, help="No findings of these codes."
)
@_AT
@_JSON
@answering
def lint_command(
    *,
    policies: tuple[str, ...],
    select: tuple[str, ...],
    ignore: tuple[str, ...],
    at: float | None,
    as_json: bool,
) -> ExitStatus:
    """Print what is likely to be wrong with policies, one line a finding.

    Without POLICY, or if it is -, standard input is read. CODES are separated by commas,
    and the options can be repeated; the page "Lint" of the documentation lists them.

    Exit status: 0 if nothing is found; 1 if anything is; 2 if an argument or a policy cannot be
    used (the other policies are looked at).
    """
    from firezone_filter.cli.ask.lint_job import LintJob

    return LintJob(policies, select, ignore, at, as_json).run(say)


@click.command("diff", cls=Command, short_help="Print what another policy changes.")
@click.argument("old", type=FILE)
@click.argument("new", type=FILE)
@_AT
@_JSON
@answering
def diff_command(*, old: str, new: str, at: float | None, as_json: bool) -> ExitStatus:
    """Print what only policy NEW permits (+), what only OLD permits (-), and other changes (~).

    Either may be -, standard input. Nothing is printed if the policies permit the same: how they
    are written does not count.

    Exit status: 0 if they permit the same; 1 if they differ; 2 if an argument or a policy cannot
    be used.
    """
    from firezone_filter.cli.ask.diff_job import DiffJob

    return DiffJob(old, new, at, as_json).run()


@click.command("schema", cls=Command, short_help="Print the JSON Schema of policy files.")
@answering
def schema_command() -> ExitStatus:
    """Print the JSON Schema of policy files, for editors and other programs that check JSON.

    Exit status: 0.
    """
    from firezone_filter.policy.schema import policy_schema

    print_json(policy_schema())
    return ExitStatus.DONE


COMMANDS: Final[tuple[click.Command, ...]] = (
    explain_command,
    reach_command,
    who_command,
    test_command,
    lint_command,
    diff_command,
    schema_command,
)
