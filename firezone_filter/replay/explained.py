"""Examples of refusals for a report: the gateway is asked why, for the first packet of each."""

from typing import Final

from attrs import define, evolve, field

from firezone_filter.gateway.gateway import Gateway
from firezone_filter.packet.headers import read_headers
from firezone_filter.report.data import MAX_TEXT, Example, ReportData
from firezone_filter.report.groups import Group
from firezone_filter.values.decisions import Direction, Drop, Reason, Reject
from firezone_filter.values.explanations import Explanation

MAX_FRAGMENTS_ASKED: Final = 1_000
"""Fragments that are asked about before they are decided. To ask takes ten times as long as to
decide, and most fragments pass."""


@define
class ExplainedRefusals:
    """Adds the examples that a report wants to its data."""

    _gateway: Gateway
    _data: ReportData
    _fragments_asked: int = field(init=False, default=0)
    _before: Explanation | None = field(init=False, default=None)

    def ask(self, direction: Direction, packet: bytes, now: float) -> None:
        """Ask about a packet that is decided next, if its refusal would change the answer.

        A refused fragment takes the verdict about its packet with it.
        """
        self._before = None
        if self._fragments_asked < MAX_FRAGMENTS_ASKED and _is_fragment(packet):
            self._fragments_asked += 1
            self._before = self._gateway.explain(direction, packet, now)

    def add(  # noqa: PLR0913 - what there is to say about a packet
        self,
        group: Group,
        refusal: Reject | Drop,
        packet: bytes,
        *,
        frame: int,
        time_ns: int,
        now: float,
    ) -> None:
        """Explain a packet that was refused just now, if the report wants it.

        Args:
            group: the group of the packet.
            refusal: the decision about it.
            packet: the whole packet, as the gateway was given it.
            frame: the number of its frame.
            time_ns: the time of the replay's clock, in nanoseconds.
            now: the same in seconds, as the gateway has been told.
        """
        if self._data.wants_example(group):
            text = self._explained(group.direction, refusal, packet, now)
            self._data.add_example(group, Example(time_ns, frame, text))

    def _explained(
        self, direction: Direction, refusal: Reject | Drop, packet: bytes, now: float
    ) -> str:
        if self._before is None and refusal.reason is Reason.FRAGMENT:
            text = f"{refusal.reason}: {refusal.reason.description}"
        else:
            # Any other refusal changes nothing that an explanation speaks of, except that it
            # may have taken the client's last reply token.
            found = self._before or self._gateway.explain(direction, packet, now)
            text = str(evolve(found, decision=refusal))
        return text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]}…"


def _is_fragment(packet: bytes) -> bool:
    # The bits of IPv4 tell at once; of IPv6, hardly any packet has more headers than one.
    if packet and packet[0] >> 4 == 4:  # noqa: PLR2004 - IP version
        return bool(int.from_bytes(packet[6:8]) & 0x3FFF)
    headers = read_headers(packet)
    return headers is not None and headers.fragment is not None
