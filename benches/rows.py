"""What is compared: the rows of the table, and what each must reach."""

from typing import Final

from attrs import frozen

from benches.build import Build

Times = dict[tuple[str, str], float]
"""Seconds for one packet or call, by group and side; what was recorded as a ratio is one."""

Targets = tuple[float | None, float | None]
"""Those of the compiled and of the plain build, where the two differ."""


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

    compiled: float | None = None
    """The target of the compiled build: the most that the ratio may be, or the least for speed."""

    plain: float | None = None
    """The target of the plain build."""

    is_speed: bool = False
    """Whether the ratio says how many times as fast, rather than as long."""

    def target(self, build: Build) -> float | None:
        return self.compiled if build is Build.COMPILED else self.plain

    def is_met(self, build: Build, ratio: float) -> bool:
        target = self.target(build)
        return target is None or (ratio >= target if self.is_speed else ratio <= target)

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


def _at_most(most: Targets | float, what: str, group: str, side: str, baseline: str | None) -> Row:
    return Row(what, group, side, baseline, *_pair(most))


def _at_least(least: Targets | float, what: str, group: str, side: str, baseline: str) -> Row:
    return Row(what, group, side, baseline, *_pair(least), is_speed=True)


def _pair(targets: Targets | float) -> Targets:
    return targets if isinstance(targets, tuple) else (targets, targets)


def _times_as_fast(what: str, group: str, side: str, baseline: str) -> Row:
    return Row(what, group, side, baseline, is_speed=True)


def _times_as_long(what: str, group: str, side: str, baseline: str) -> Row:
    return Row(what, group, side, baseline)


TARGETS: Final = (
    _at_most((0.5, 3), "established flow", "established", "alone", "floor"),
    _at_most((0.8, 4), "with `now`", "established", "timed", "floor"),
    _at_most((0.8, 4), "with another `now` for each", "established", "clocked", "floor"),
    _at_most((0.8, 4), "with `now`, `client_id`", "established", "named", "floor"),
    _at_most(
        (0.8, 4), "with `now`, an equal `client_id`", "established", "named equally", "floor"
    ),
    _at_most(
        (0.8, 4), "with another `now` for each, `client_id`", "established", "as a host", "floor"
    ),
    _at_least((6, 2.5), "first packet, one host", "one host", "first packet", "by hand"),
    _at_least((6, 2.5), "one host, with a full memory", "one host", "memory full", "by hand"),
    _at_least((6, 2.5), "first packet, many hosts", "many hosts", "first packet", "by hand"),
    _at_least((6, 2.5), "many hosts, with a full memory", "many hosts", "memory full", "by hand"),
    _at_least((6, 2.5), "client with names", "client with names", "first packet", "by hand"),
    _at_least((6, 2.5), "first packet among networks", "among networks", "gateway", "by hand"),
    _at_most(1.25, "refused port", "refused", "port", "first packet"),
    _at_most(1.25, "refused host", "refused", "no resource", "first packet"),
    _at_most(1.25, "no token left", "refused", "no token", "first packet"),
    _at_most((2, 2.5), "refused, with a reply", "refused", "reply", "first packet"),
    _at_most(1.25, "refused port, names", "refused, client with names", "port", "first packet"),
    _at_most(
        1.25, "refused host, names", "refused, client with names", "no resource", "first packet"
    ),
    _at_most((3, None), "translated TCP", "translated tcp", "gateway", "floor"),
    _at_most((3, None), "translated UDP", "translated udp", "gateway", "floor"),
    _at_most((3, None), "translated ICMP echo", "translated echo", "gateway", "floor"),
    _at_least((None, 5), "translated TCP", "translated tcp", "gateway", "dpkt"),
    _at_least((None, 5), "translated UDP", "translated udp", "gateway", "dpkt"),
    _at_least((None, 5), "translated ICMP echo", "translated echo", "gateway", "dpkt"),
    _at_most(5, "first translated packet", "new session", "translated", "first packet"),
    _at_most(2, "translated, 10,000 sessions in turn", "sessions in turn", "10,000", "100"),
    _at_most(1.25, "networks: established flow", "networks: established flow", "100,000", "10"),
    _at_most(2, "networks: one host", "networks: one host", "100,000", "10"),
    _at_most(2, "networks: many hosts", "networks: many hosts", "100,000", "10"),
    _at_most(2, "networks: `ClientFilterTable.match`", "networks: match", "100,000", "10"),
    _at_most(
        (4, 5),
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
    _at_most((0.25, 2.7), "`handle_packets`, a packet", "batch, flow", "batch", "floor"),
    # (Plain, they are single calls in a loop, with their arguments checked first.)
    _at_most((1, None), "`handle_packets`, by single calls", "batch", "batch", "loop"),
    _at_most((1, None), "`handle_batch`, by single calls", "mixed batch", "batch", "loop"),
    _at_most((2, 2.5), "flow records on", "flow records", "on", "off"),
    _at_most((2, 2.5), "`stateful`", "stateful", "on", "off"),
    _at_most(2.5, "`import firezone_filter`, a process", "import", "firezone_filter", "attrs"),
    _at_most(10, "`Policy.lint`, 1,000 clients with 50 resources, s", "lint", "seconds", None),
    _at_most(5, "worst states: the longest packet, ms", "worst packet", "milliseconds", None),
    _at_most(
        0.5, "worst states: 99.99 % of packets, ms", "worst percentile", "milliseconds", None
    ),
    _at_most(10, "`Policy.diff`, seconds", "diff", "seconds", None),
    _at_least((1, 0.5), "`replay`, summary", "replay", "summary", "tcpdump"),
    _at_least((2, 1), "`replay`, summary", "replay", "summary", "dpkt"),
    _at_least((0.4, 0.2), "`replay`, decisions to Parquet", "replay", "Parquet", "tcpdump"),
    _at_least((0.8, 0.4), "`replay`, decisions to Parquet", "replay", "Parquet", "dpkt"),
    _at_least(
        (0.15, 0.075), "`replay`, decisions as JSON lines", "replay", "JSON lines", "tcpdump"
    ),
    _at_least((0.3, 0.15), "`replay`, decisions as JSON lines", "replay", "JSON lines", "dpkt"),
    _at_most(1.25, "`replay`, memory, 1,000,000 packets", "replay memory", "all", "fewer"),
    _at_least(1.6, "`replay --workers`, 5,000,000 packets", "workers", "2", "1"),
)
"""What each build is to reach: the rows of the design, and others of the same kind."""

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
    _times_as_fast("established flow", "established", "timed", "libpcap"),
    _times_as_fast("first packet, one host", "one host", "first packet", "pytricia"),
    _times_as_fast("first packet, one host", "one host", "first packet", "scapy"),
    _times_as_fast("first packet, one host", "one host", "first packet", "ipaddress"),
    _times_as_fast("first packet, one host", "one host", "first packet", "libpcap"),
    _times_as_fast("first packet, many hosts", "many hosts", "first packet", "pytricia"),
    _times_as_fast("first packet, many hosts", "many hosts", "first packet", "scapy"),
    _times_as_fast("first packet, many hosts", "many hosts", "first packet", "ipaddress"),
    _times_as_fast("first packet, many hosts", "many hosts", "first packet", "libpcap"),
    _times_as_fast("first packet among networks", "among networks", "gateway", "pytricia"),
    _times_as_fast("first packet among networks", "among networks", "gateway", "ipaddress"),
    _times_as_fast("`replay`, summary", "replay", "summary", "tshark"),
    _times_as_fast("`replay`, decisions to Parquet", "replay", "Parquet", "summary"),
    _times_as_fast("`replay`, decisions as JSON lines", "replay", "JSON lines", "summary"),
    _times_as_fast("ICMP echo, not translated", "echo", "gateway", "by hand"),
    _times_as_long("all 257 ports taken", "ports", "no port left", "own port"),
    _times_as_long("`handle_batch`, a packet", "mixed batch, flow", "batch", "floor"),
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
