"""What is compared: the rows of the table, and what each must reach."""

from typing import Final

from attrs import frozen

Times = dict[tuple[str, str], float]
"""Seconds for one packet or call, by group and side; what was recorded as a ratio is one."""


@frozen
class Row:
    """One side of some groups beside another side of the same."""

    what: str
    """The row's name."""

    group: str
    """The group's name, without the case: one group for each case."""

    side: str
    """What is measured."""

    baseline: str | None
    """What it is measured by; `None` for what was recorded as a ratio."""

    at_most: float | None = None
    """The target, if it is to take no longer than so many times the baseline."""

    at_least: float | None = None
    """The target, if it is to be so many times as fast as the baseline."""

    is_speed: bool = False
    """Whether the ratio says how many times as fast, rather than as long."""

    @property
    def target(self) -> str:
        if self.at_least is not None:
            return f"at least {self.at_least:g}"
        return "" if self.at_most is None else f"at most {self.at_most:g}"

    def is_met(self, ratio: float) -> bool:
        if self.at_least is not None:
            return ratio >= self.at_least
        return self.at_most is None or ratio <= self.at_most

    def ratios(self, times: Times) -> dict[str, float]:
        """Return the ratio of each case in a run."""
        ratios = {}
        for (group, side), value in times.items():
            name, _, case = group.removeprefix(self.group).partition(": ")
            if side != self.side or name or not group.startswith(self.group):
                continue
            baseline = 1.0 if self.baseline is None else times.get((group, self.baseline))
            if baseline is not None:
                ratios[case] = baseline / value if self.is_speed else value / baseline
        return ratios


def _at_most(target: float, what: str, group: str, side: str, baseline: str | None) -> Row:
    return Row(what, group, side, baseline, at_most=target)


def _at_least(target: float, what: str, group: str, side: str, baseline: str) -> Row:
    return Row(what, group, side, baseline, at_least=target, is_speed=True)


def _times_as_fast(what: str, group: str, side: str, baseline: str) -> Row:
    return Row(what, group, side, baseline, is_speed=True)


def _times_as_long(what: str, group: str, side: str, baseline: str) -> Row:
    return Row(what, group, side, baseline)


TARGETS: Final = (
    _at_most(3, "established flow", "established", "alone", "floor"),
    _at_most(3, "with `now`", "established", "timed", "floor"),
    _at_most(4, "with another `now` for each", "established", "clocked", "floor"),
    _at_most(4, "with `now`, `client_id`", "established", "named", "floor"),
    _at_most(4, "with `now`, an equal `client_id`", "established", "named equally", "floor"),
    _at_most(4, "with another `now` for each, `client_id`", "established", "as a host", "floor"),
    _at_least(2.5, "first packet, one host", "one host", "first packet", "by hand"),
    _at_least(2.5, "one host, with a full memory", "one host", "memory full", "by hand"),
    _at_least(2.5, "first packet, many hosts", "many hosts", "first packet", "by hand"),
    _at_least(2.5, "many hosts, with a full memory", "many hosts", "memory full", "by hand"),
    _at_least(2.5, "client with names", "client with names", "first packet", "by hand"),
    _at_least(2.5, "first packet among networks", "among networks", "gateway", "by hand"),
    _at_most(1.25, "refused port", "refused", "port", "first packet"),
    _at_most(1.25, "refused host", "refused", "no resource", "first packet"),
    _at_most(1.25, "no token left", "refused", "no token", "first packet"),
    _at_most(1.25, "refused port, names", "refused, client with names", "port", "first packet"),
    _at_most(
        1.25, "refused host, names", "refused, client with names", "no resource", "first packet"
    ),
    _at_least(5, "translated TCP", "translated tcp", "gateway", "dpkt"),
    _at_least(5, "translated UDP", "translated udp", "gateway", "dpkt"),
    _at_least(5, "translated ICMP echo", "translated echo", "gateway", "dpkt"),
    _at_most(1.25, "networks: established flow", "networks: established flow", "100,000", "10"),
    _at_most(2, "networks: one host", "networks: one host", "100,000", "10"),
    _at_most(2, "networks: many hosts", "networks: many hosts", "100,000", "10"),
    _at_most(2, "networks: `ClientFilterTable.match`", "networks: match", "100,000", "10"),
    _at_most(
        5,
        "`ClientFilterTable.match` of an `ipaddress` object, by py-radix `search_best(packed=)`",
        "match of an object",
        "table",
        "py-radix",
    ),
    _at_most(2, "refused among resources of one place", "refused among", "10,000", "1"),
    _at_most(2, "resources of one network: `authorize`", "one network: authorize", "10,000", "10"),
    _at_most(2, "resources of one network: `revoke`", "one network: revoke", "10,000", "10"),
    _at_most(1.25, "clients: established flow", "clients: established flow", "10,000", "1"),
    _at_most(2, "clients: first packet", "clients: one host", "10,000", "1"),
    _at_most(2, "resources: `authorize`", "lifecycle: authorize", "10,000", "10"),
    _at_most(2, "resources: `revoke`", "lifecycle: revoke", "10,000", "10"),
    _at_most(2, "clients: `client_connected`", "lifecycle: client_connected", "10,000", "1"),
    _at_most(2, "clients: `authorize`", "clients: authorize", "10,000", "1"),
    _at_most(2, "clients: `revoke`", "clients: revoke", "10,000", "1"),
    _at_most(1, "memory of a client, by 4 KiB", "memory", "client", None),
    _at_most(1.1, "memory during a scan, by its tenth", "memory of a scan", "at its end", None),
    _at_most(1.1, "another's flow during a scan", "scan", "during", "before"),
    _at_most(1.1, "another's flow after a scan", "scan", "after", "before"),
    _at_most(1, "`handle_packets`", "batch", "batch", "loop"),
    _at_most(2.5, "flow records on", "flow records", "on", "off"),
    _at_most(2, "`stateful`", "stateful", "on", "off"),
    _at_most(5, "worst states: the longest packet, ms", "worst packet", "milliseconds", None),
    _at_most(
        0.5, "worst states: 99.99 % of packets, ms", "worst percentile", "milliseconds", None
    ),
)
"""The rows of the design, and what else was asked for."""

OTHERS: Final = (
    _times_as_fast("established flow", "established", "alone", "by hand"),
    _times_as_fast("with `now`", "established", "timed", "by hand"),
    _times_as_fast("with another `now` for each", "established", "clocked", "by hand"),
    _times_as_fast("with `now`, `client_id`", "established", "named", "by hand"),
    _times_as_fast("with `now`, an equal `client_id`", "established", "named equally", "by hand"),
    _times_as_fast(
        "with another `now` for each, `client_id`", "established", "as a host", "by hand"
    ),
    _times_as_fast("established flow", "established", "timed", "pytricia"),
    _times_as_fast("established flow", "established", "timed", "scapy"),
    _times_as_fast("established flow", "established", "timed", "ipaddress"),
    _times_as_fast("first packet, one host", "one host", "first packet", "pytricia"),
    _times_as_fast("first packet, one host", "one host", "first packet", "scapy"),
    _times_as_fast("first packet, one host", "one host", "first packet", "ipaddress"),
    _times_as_fast("first packet, many hosts", "many hosts", "first packet", "pytricia"),
    _times_as_fast("first packet, many hosts", "many hosts", "first packet", "scapy"),
    _times_as_fast("first packet, many hosts", "many hosts", "first packet", "ipaddress"),
    _times_as_fast("first packet among networks", "among networks", "gateway", "pytricia"),
    _times_as_fast("first packet among networks", "among networks", "gateway", "ipaddress"),
    _times_as_fast("ICMP echo, not translated", "echo", "gateway", "by hand"),
    _times_as_long("refused with a reply", "refused", "reply", "first packet"),
    _times_as_long("all 257 ports taken", "new session", "no port left", "own port"),
    _times_as_long("refused among a few of one place", "refused among", "10", "1"),
    _times_as_long("clients: flows of all in turn", "clients: flows of all", "10,000", "1"),
    _times_as_long("each of many: `authorize`", "many: authorize", "2,000", "100"),
    _times_as_long("each of many: expiry", "many: expire", "2,000", "100"),
    _times_as_long("each of many: `update_resource`", "many: update_resource", "2,000", "100"),
    _times_as_long("each of many: retained", "many: retain_authorizations", "2,000", "100"),
    *(
        _times_as_long(f"{name}, {what}", f"{feature}, {what}", "on", "off")
        for feature, name in (("flow records", "flow records on"), ("stateful", "`stateful`"))
        for what in ("in turn", "translated", "refused")
    ),
    _times_as_long("flow records on, first packet", "first packet with flow records", "on", "off"),
    _times_as_long("`stateful`, first packet", "first packet with stateful", "on", "off"),
    Row("worst states: the longest call when idle, ms", "worst upkeep", "milliseconds", None),
    Row("`gc.collect` with 100,000 clients, ms", "collector", "milliseconds", None),
)
"""Worst cases to keep an eye on, and other loops that a user could write."""
