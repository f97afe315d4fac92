"""The page of a report as an output: counted while packets are decided, written in the end."""

from collections.abc import Iterator
from typing import BinaryIO, Final

from firezone_filter.capture.extras import module_of
from firezone_filter.policy import Policy
from firezone_filter.replay.remarks import remarks
from firezone_filter.replay.summary import Summary
from firezone_filter.report.data import ReportData


class PageWriter:
    """Writes the page of a pass to a stream."""

    def __init__(self, stream: BinaryIO) -> None:
        """Make sure that a page can be drawn, before hours of work.

        Raises:
            MissingExtraError: The extra `report` is not installed.
        """
        for name in ("jinja2", "matplotlib"):
            module_of("report", name)
        self.data: Final = ReportData()
        """What the pass counts."""
        self._stream = stream

    def write(
        self, summary: Summary, policy: Policy, captures: str, policy_name: str | None = None
    ) -> None:
        """Write the page, when the pass is over.

        Args:
            summary: the counts of the pass.
            policy: the policy that decided.
            captures: what the captures are called; folders in it are left out.
            policy_name: likewise the policy, if it has a name.
        """
        from firezone_filter.report.page import About, render  # noqa: PLC0415 - the extra again

        about = About(
            _without_folders(captures),
            None if policy_name is None else _without_folders(policy_name),
            facts=tuple(_facts(summary)),
            remarks=tuple(_remarks(summary, policy)),
            resource_names={
                authorization.resource.id: authorization.resource.name
                for client in policy.clients
                for authorization in client.authorizations
            },
        )
        self._stream.write(render(self.data, about).encode())


def _without_folders(name: str) -> str:
    # Who is given the page needs to know no folders of whoever made it.
    return name.rstrip("/").rpartition("/")[2] or name


def _facts(summary: Summary) -> Iterator[tuple[str, str]]:
    yield "Frames read", f"{summary.frames.packets:,}"
    others = (
        ("Not ours", summary.not_ours.packets),
        ("Not IP", summary.not_ip.packets),
        ("Link type not supported", sum(each.packets for each in summary.unsupported.values())),
        ("Cut by the snap length", summary.cut.packets),
        ("Access expired or exhausted", summary.event_count),
    )
    yield from ((name, f"{count:,}") for name, count in others if count)


def _remarks(summary: Summary, policy: Policy) -> Iterator[str]:
    if summary.interrupted:
        yield "interrupted before the end of the capture"
    yield from remarks(summary, policy)
