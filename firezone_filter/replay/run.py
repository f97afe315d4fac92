"""`replay`: captures and a policy, and what a program may ask about the two.

Nothing is read before something is asked. Each answer is a pass over the captures, in bounded
memory; replays are deterministic, so that all passes agree.
"""

import os
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from io import BytesIO
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from attrs import evolve

from firezone_filter.capture.captures import open_selected
from firezone_filter.capture.choice import FrameSelection
from firezone_filter.capture.frames import Frames
from firezone_filter.capture.packet_filter import PacketFilter
from firezone_filter.capture.sources import (
    STANDARD_INPUT,
    CaptureSource,
    each_source,
    find_sources,
)
from firezone_filter.policy import Policy
from firezone_filter.replay.arrow import (
    batch_reader,
    data_frame,
    decision_schema,
    flow_schema,
    reader,
)
from firezone_filter.replay.assigned_addresses import assign_addresses
from firezone_filter.replay.engine import in_steps, steps
from firezone_filter.replay.engines import engine_over
from firezone_filter.replay.errors import AlreadyReadError, WorkersError
from firezone_filter.replay.outputs.outputs import Outputs, Target, Targets
from firezone_filter.replay.outputs.tables import Batches, DecisionWriter
from firezone_filter.replay.partitions.spread import HERE, Spread
from firezone_filter.replay.rows import flow_row
from firezone_filter.replay.sinks import FlowSink, Writer
from firezone_filter.replay.summary import Decided, Summary
from firezone_filter.report.data import ReportData
from firezone_filter.values.addresses import Address, to_address
from firezone_filter.values.events import AccessEvent, FlowEvent

if TYPE_CHECKING:
    import pyarrow as pa

T = TypeVar("T")

CaptureSources = CaptureSource | Iterable[CaptureSource]
"""Captures, which are merged by time."""

Clients = Mapping[str, str | Address | Iterable[str | Address]]
"""Addresses of the captures, by the ids of the clients that get them."""

Moment = datetime | int | float
"""A `datetime` with a zone, or seconds of Unix time."""


def replay(  # noqa: PLR0913 - each is independent of the others
    captures: CaptureSources,
    policy: Policy,
    *,
    stateful: bool = False,
    clients: Clients | None = None,
    since: Moment | None = None,
    until: Moment | None = None,
    count: int | None = None,
    filter: str | None = None,  # noqa: A002 - what tcpdump's users call it
    workers: int | None = None,
    scheduler: str | None = None,
) -> "Replay":
    """Return a replay of *captures* through *policy*; nothing is read yet.

    Args:
        captures: files, directories, patterns, or streams of bytes, as `open_captures` takes
            them; one or several. A stream stays the caller's to close, and can be read once.
        policy: the policy, whose options count, but for `flow_records`.
        stateful: turns the policy's option of that name on.
        clients: addresses of the captures for clients of the policy, by their ids; at most one
            of each family for a client.
        since: only frames from this time on.
        until: only frames before this time.
        count: only so many frames, the first ones.
        filter: only frames that match, in tcpdump's language (extra `filter`).
        workers: spreads the clients over so many processes; clusters.md tells how.
        scheduler: spreads them over the workers of the Dask cluster at this address.

    Raises:
        TypeError: An argument has the wrong type.
        ValueError: there is no capture, *count* is negative, or a `datetime` has no zone;
            there are too few or too many *workers*, or a *scheduler* besides.
        MissingExtraError: cypcap is not installed, which filters need.
        UnknownClient: the policy has no client of an id in *clients*.
        InvalidAddress: an address of *clients* is none, or cannot be a client's.
        InvalidPolicy: an address of *clients* is another client's, or the gateway's own.
    """
    if not isinstance(policy, Policy):
        raise TypeError(f"a policy has to be a Policy, as load_policy returns it: {policy!r}")
    inputs = each_source(captures)
    for each in inputs:
        if not isinstance(each, str | os.PathLike) and not hasattr(each, "read"):
            raise TypeError(f"a capture has to be a path or a stream of bytes: {each!r}")
    if stateful:
        policy = evolve(policy, options=evolve(policy.options, stateful=True))
    policy = assign_addresses(policy, _pairs(clients or {}))
    selection = FrameSelection.of(since, until, count, filter)
    if filter is not None:
        PacketFilter(filter)
    if not inputs:
        raise ValueError("there is no capture to replay")
    return Replay(inputs, policy, selection, Spread(workers, scheduler))


class Replay:
    """Captures that are replayed through a policy whenever something is asked; see `replay`.

    Every method but the properties reads the captures once more. While it waits for them, Ctrl-C
    raises `KeyboardInterrupt`. All of them raise:

    - `UnreadableCaptureError` if a capture cannot be opened, or is none;
    - `MissingExtraError` if what opens or unpacks one is not installed;
    - `InvalidFilterError` if libpcap does not take the filter;
    - `AlreadyReadError` if one of the captures is a stream, and has been read before;
    - `FirezoneFilterError` if the policy can begin at no time of a capture;
    - `WorkersError` if there are no workers, or they are lost again and again.

    A capture that is damaged is replayed up to there, and `summary.damage` tells.
    """

    def __init__(
        self,
        captures: Sequence[CaptureSource],
        policy: Policy,
        selection: FrameSelection,
        spread: Spread = HERE,
    ) -> None:
        self._captures = captures
        self._policy = policy
        self._selection = selection
        self._spread = spread
        self._was_read = False
        self._summary: Summary | None = None
        self._events: tuple[AccessEvent, ...] = ()

    @property
    def policy(self) -> Policy:
        """The policy, with the options and addresses that `replay` was given."""
        return self._policy

    @property
    def summary(self) -> Summary:
        """All counts, of the last pass that came to its end; if there was none, of a new one."""
        return self._summary or self._counted([], None)

    @property
    def events(self) -> tuple[AccessEvent, ...]:
        """What happened to authorizations, in its order; of the same pass as `summary`."""
        _ = self.summary
        return self._events

    def packets(self) -> Iterator[Decided]:
        """Yield each decided packet as soon as it has been decided."""
        kept: _Kept[Decided] = _Kept()
        return self._kept(kept, [kept], None)

    def flow_events(self) -> Iterator[FlowEvent]:
        """Yield each event of a flow record; those of flows that are open in the end come last."""
        kept: _Kept[FlowEvent] = _Kept()
        return self._kept(kept, [], kept)

    def decisions(self) -> "pa.RecordBatchReader":
        """Return a reader of the decisions, under the names of `--decisions`.

        It reads the captures as it is read. pandas, Polars and DuckDB take it as it is.

        Raises:
            MissingExtraError: pyarrow is not installed.
        """
        kept: _Kept[pa.RecordBatch] = _Kept()
        writer = DecisionWriter(Batches(decision_schema, kept.add))
        return batch_reader(self._kept(kept, [writer], None), decision_schema)

    def flows(self) -> "pa.RecordBatchReader":
        """Return a reader of the flow events, under the names of `--flows`.

        Each batch has all fields; those that an event does not have are null.

        Raises:
            MissingExtraError: pyarrow is not installed.
        """
        return reader(map(flow_row, self.flow_events()), flow_schema)

    def to_pandas(self) -> Any:  # noqa: ANN401 - pandas is not there for everybody
        """Return the decisions as a `pandas.DataFrame`.

        Numbers that may be missing are of pandas' nullable types, ids and reasons categorical.

        Raises:
            MissingExtraError: pyarrow or pandas is not installed.
        """
        return data_frame(self.decisions())

    def write(
        self,
        *,
        decisions: Target | None = None,
        flows: Target | None = None,
        forwarded: Target | None = None,
        refused: Target | None = None,
        html: Target | None = None,
    ) -> Summary:
        """Write files, all in one pass, and return its counts.

        The endings of their names tell what is written. A file gets its name when it is
        complete; if anything is raised, no file does, and older files stay as they were. To a
        stream goes what has no ending: JSON lines, pcap, for *refused* pcapng, and HTML.

        Args:
            decisions: gets a row for each decided packet; `.jsonl`, `.csv` or `.parquet`.
            flows: gets a row for each flow event; likewise.
            forwarded: gets the packets that pass, as they leave; `.pcap` or `.pcapng`.
            refused: gets the frames with refused packets, and the reasons as comments;
                `.pcapng`.
            html: gets the report, a page that shows it all; `.html`.

        Raises:
            UnknownEndingError: A name ends in something else.
            MissingExtraError: A format needs a package that is not installed.
            OutputClashError: A file would take the place of a capture, or of another one.
            OSError: A file cannot be written.
        """
        targets = Targets(
            decisions=decisions,
            flows=flows,
            forwarded=forwarded,
            refused=refused,
            html=html,
        )
        sources = find_sources(self._captures)
        targets.refuse_clashes(source.path for source in sources if source.is_file)
        with Outputs(targets) as outputs:
            summary = self._counted(outputs.writers, outputs.flows, outputs.report)
            if outputs.page is not None:
                outputs.page.write(summary, self._policy, self._name())
            return summary

    def report(self) -> str:
        """Return the report, a page of HTML that needs nothing else; `write` makes a file of it.

        Raises:
            MissingExtraError: jinja2 or matplotlib is not installed.
        """
        page = BytesIO()
        self.write(html=page)
        return page.getvalue().decode()

    def _kept(
        self, kept: "_Kept[T]", writers: Sequence[Writer], flows: FlowSink | None
    ) -> Iterator[T]:
        for _ in self._pass(writers, flows):
            if kept.values:
                yield from kept.values
                kept.values.clear()

    def _counted(
        self,
        writers: Sequence[Writer],
        flows: FlowSink | None,
        report: ReportData | None = None,
    ) -> Summary:
        for _ in self._pass(writers, flows, report):
            pass
        return cast("Summary", self._summary)

    def _pass(
        self,
        writers: Sequence[Writer],
        flows: FlowSink | None,
        report: ReportData | None = None,
    ) -> Iterator[None]:
        self._begin()
        events: list[AccessEvent] = []
        over_workers = engine_over(
            self._spread,
            self._policy,
            writers,
            flows,
            events.append,
            report,
            again=self._again,
            warn=_warn,
        )
        with open_selected(self._captures, self._selection) as captures, over_workers as engine:
            yield from steps(engine, in_steps(captures.chunks(), engine.step))
        if engine.summary.interrupted:
            raise KeyboardInterrupt
        self._summary, self._events = engine.summary, tuple(events)

    def _name(self) -> str:
        first, more = self._captures[0], len(self._captures) - 1
        name = os.fspath(first) if isinstance(first, str | os.PathLike) else "a stream"
        return name + (f" and {more:,} more" if more else "")

    def _begin(self) -> None:
        streams = self._streams()
        if streams and self._was_read:
            raise AlreadyReadError(
                "a stream can be replayed once; replay a file, or write what is needed in one "
                "pass",
                streams[0],
            )
        self._was_read = True

    def _again(self) -> Iterator[Frames]:
        if self._streams() or STANDARD_INPUT in self._captures:
            raise WorkersError("a worker was lost, and a stream cannot be read again")
        with open_selected(self._captures, self._selection) as captures:
            yield from captures.chunks()

    def _streams(self) -> list[CaptureSource]:
        return [each for each in self._captures if not isinstance(each, str | os.PathLike)]


class _Kept(Generic[T]):
    """Keeps what comes until it is taken."""

    def __init__(self) -> None:
        self.values: list[T] = []
        self.add = self.values.append


def _warn(line: str) -> None:
    warnings.warn(line, RuntimeWarning, stacklevel=2)


def _pairs(clients: Clients) -> Iterator[tuple[str, Address]]:
    for client_id, addresses in clients.items():
        if isinstance(addresses, str | IPv4Address | IPv6Address):
            addresses = (addresses,)  # noqa: PLW2901 - one is as good as several
        for address in addresses:
            yield client_id, to_address(address)
