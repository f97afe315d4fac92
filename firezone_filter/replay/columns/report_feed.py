"""From columns of decisions to the data of a report: what `ReportFeed` does packet by packet."""

from ipaddress import ip_address
from typing import Final, cast

import numpy as np
from numpy.typing import NDArray

from firezone_filter.replay.columns.decisions import Coded, DecisionColumns
from firezone_filter.replay.columns.flow_table import WordTable
from firezone_filter.replay.columns.outcomes import DIRECTIONS, REASONS, Texts
from firezone_filter.replay.summary import KINDS
from firezone_filter.report.data import ReportData
from firezone_filter.report.groups import Group
from firezone_filter.report.largest_flows import Conversation, FlowPackets
from firezone_filter.values.decisions import Direction

MAX_KNOWN: Final = 1 << 18
"""Flows whose names are known at a time; then all are forgotten. The data have bounds of their
own."""

_FEW: Final = 64
_NOT_MET: Final = -1
_INBOUND: Final = DIRECTIONS.index(Direction.INBOUND)

# Where the parts of a key's second word begin. Ports are one more, since there may be none.
_NEAR_PORT: Final = np.uint64(17)
_PROTOCOL: Final = np.uint64(34)
_CLIENT: Final = np.uint64(42)
_HALF: Final = np.uint64(32)


class ReportColumns:
    """Adds the columns of one replay to a report's data, chunk by chunk."""

    def __init__(self, data: ReportData) -> None:
        self._data = data
        # The group of each outcome that has occurred.
        self._groups = np.full(_FEW, _NOT_MET, dtype=np.int64)
        self._table = WordTable(2)
        self._flows: list[Conversation] = []
        self._clients = Texts()
        self._addresses: dict[str, int] = {}
        self._packed: list[bytes] = []

    def add(self, columns: DecisionColumns) -> None:
        """Add the packets of a chunk."""
        chunk, resource = columns.chunk, _coded(columns, "resource")
        places = self._flows_of(columns)
        flows = FlowPackets(self._flows, places, resource.values, resource.codes.astype(np.int64))
        self._data.add_all(
            self._groups_of(columns),
            chunk.latest_ns[chunk.ours],
            columns.numbers("length"),
            flows,
        )

    # --- Groups ----------------------------------------------------------------------------

    def _groups_of(self, columns: DecisionColumns) -> NDArray[np.int64]:
        outcomes = columns.chunk.outcomes[columns.chunk.ours]
        while outcomes.max() >= len(self._groups):
            self._groups = np.concatenate([self._groups, np.full_like(self._groups, _NOT_MET)])
        groups = self._groups[outcomes]
        if (is_new := groups == _NOT_MET).any():
            found, first = np.unique(outcomes[is_new], return_index=True)
            rows = np.flatnonzero(is_new)[first]
            for place in np.argsort(first).tolist():
                group = _group(columns, int(rows[place]))
                self._groups[found[place]] = self._data.number(group)
            groups = self._groups[outcomes]
        return groups

    # --- Flows -----------------------------------------------------------------------------

    def _flows_of(self, columns: DecisionColumns) -> NDArray[np.int64]:
        if max(len(self._flows), len(self._packed)) > MAX_KNOWN:
            self._table.clear()
            self._flows = []
            self._addresses.clear()
            self._packed.clear()
        near, far, near_port, far_port = self._ends(columns)
        client, protocol = self._clients_of(columns), columns.numbers("protocol")
        key = (
            near.astype(np.uint64) << _HALF | far.astype(np.uint64),
            _word(client) << _CLIENT
            | protocol.astype(np.uint64) << _PROTOCOL
            | _word(near_port) << _NEAR_PORT
            | _word(far_port),
        )
        numbers, new = self._table.find(key, len(self._flows))
        for client_number, protocol_number, *ends in zip(
            *(each[new].tolist() for each in (client, protocol, near, near_port, far, far_port)),
            strict=True,
        ):
            self._flows.append(
                Conversation(
                    None if client_number < 0 else self._clients.values[client_number],
                    protocol_number,
                    self._packed[ends[0]],
                    _port(ends[1]),
                    self._packed[ends[2]],
                    _port(ends[3]),
                )
            )
        return numbers

    def _clients_of(self, columns: DecisionColumns) -> NDArray[np.int64]:
        # The codes of a column are those of one chunk.
        client = _coded(columns, "client")
        numbers = [*map(self._clients.number, client.values), -1]
        return np.array(numbers, dtype=np.int64)[client.codes]

    def _ends(self, columns: DecisionColumns) -> list[NDArray[np.int64]]:
        """Return the near and the far address of each packet, and the ports."""
        source, destination = self._end(columns, "source"), self._end(columns, "destination")
        is_inbound = _coded(columns, "direction").codes == _INBOUND
        # What the client gets comes from the proxy address that it has sent to.
        place = _coded(columns, "translated_source").codes
        translated = np.flatnonzero(is_inbound & (place >= 0))
        if translated.size:
            ends = (source, destination)
            for end, name in zip(ends, ("source", "destination"), strict=True):
                new = self._end(columns, f"translated_{name}")
                for mine, its in zip(end, new, strict=True):
                    mine[translated] = its[translated]
        return [
            np.where(is_inbound, outward, inward)
            for outward, inward in (
                (destination[0], source[0]),
                (source[0], destination[0]),
                (destination[1], source[1]),
                (source[1], destination[1]),
            )
        ]

    def _end(
        self, columns: DecisionColumns, name: str
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the numbers of addresses, and the ports; both are copies."""
        addresses = _coded(columns, name)
        numbers = np.array([*map(self._number, addresses.values), -1], dtype=np.int64)
        return numbers[addresses.codes], columns.numbers(f"{name}_port").copy()

    def _number(self, address: str) -> int:
        number = self._addresses.get(address)
        if number is None:
            number = self._addresses[address] = len(self._packed)
            self._packed.append(ip_address(address).packed)
        return number


def _coded(columns: DecisionColumns, name: str) -> Coded:
    return cast("Coded", columns.columns[name])


def _word(numbers: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Return numbers from -1 on as such from 0 on."""
    return (numbers + 1).astype(np.uint64)


def _port(number: int) -> int | None:
    return None if number < 0 else number


def _group(columns: DecisionColumns, row: int) -> Group:
    def code(name: str) -> int:
        return int(_coded(columns, name).codes[row])

    def text(name: str) -> str | None:
        return None if code(name) < 0 else _coded(columns, name).values[code(name)]

    return Group(
        DIRECTIONS[code("direction")],
        text("client"),
        text("resource"),
        KINDS[code("decision")],
        None if code("reason") < 0 else REASONS[code("reason")],
    )
