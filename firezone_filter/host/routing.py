"""Lays the rules and routes that bring packets to the host, and takes them away.

Everything is idempotent. `Routing.hold` comes first: from then on nothing goes around the host,
whether it is there or not. `Routing.attach` leads the packets into its devices. `Routing.mend`
lays again what others have removed of either. Only `release` takes the rules away; the end of the
host does not.
"""

import errno
import os
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from firezone_filter.host.devconf import devconf
from firezone_filter.host.devices import bring_up, give_address, prepare, restore
from firezone_filter.host.kernel_routes import HELD, LED, Held
from firezone_filter.host.kernel_rules import (
    RoutingError,
    change_rule,
    is_local,
    read_rules,
    refuse_others,
    without_effect,
)
from firezone_filter.host.rules import (
    ENTRY,
    FAMILIES,
    INBOUND_DEVICE,
    INBOUND_TABLE,
    LOCAL_TABLE,
    OUTBOUND_DEVICE,
    OUTBOUND_TABLE,
    PROTOCOL,
    Plan,
    Rule,
    is_ours,
)
from firezone_filter.values.addresses import Address

__all__ = ["Make", "Routing", "RoutingError", "release", "versions"]

Make = Callable[[], Any]
"""Makes an `IPRoute`; tests put another one in its place."""

STOPPING: Final = 2.0
"""Seconds that `release` gives a gateway that has been told to end, and is still there."""

_BLACKHOLE: Final = {"type": "blackhole", "priority": HELD}
_TABLES: Final = {OUTBOUND_DEVICE: OUTBOUND_TABLE, INBOUND_DEVICE: INBOUND_TABLE}


def versions() -> tuple[int, ...]:
    """Return the IP versions that this machine has."""
    return (4, 6) if Path("/proc/sys/net/ipv6").exists() else (4,)


class Routing:
    """The rules and routes of one host."""

    def __init__(self, plan: Plan, make: Make = IPRoute) -> None:
        """Remember what is wanted; nothing is done yet."""
        self._plan = plan
        self._make = make
        self.notes: tuple[str, ...] = ()
        """What of others was without effect at the last look, or has been removed, in words."""

    def hold(self) -> None:
        """Lead the packets to the host, or to nowhere while it is not there.

        Raises:
            RoutingError: rules of others come before; nothing has changed. Or the kernel
                refuses: then what is there stays.
        """
        with self._make() as kernel:
            there = read_rules(kernel)
            refuse_others(there)
            self.notes = without_effect(there)
            with _refusals("rules"):
                self._hold(kernel, there, "replace")

    def attach(self, mtu: int) -> None:
        """Lead the packets into the host's devices, which are there.

        Args:
            mtu: the MTU of the interface in which the VPN ends.

        Raises:
            RoutingError: the kernel refuses.
        """
        with self._make() as kernel, _refusals("routes"):
            self._attach(kernel, mtu, "replace")

    def mend(self, mtu: int) -> tuple[str, ...]:
        """Lay again what is there no more; if all is there, nothing is touched.

        Args:
            mtu: as for `attach`.

        Returns:
            What was not there, in words.

        Raises:
            RoutingError: the kernel refuses; or rules of others come before, and ours are there.
        """
        with self._make() as kernel:
            there = read_rules(kernel)
            self.notes = without_effect(there)
            with _refusals("rules"):
                laid = self._hold(kernel, there, "add")
            with _refusals("routes"):
                laid += self._attach(kernel, mtu, "add")
            refuse_others(there)
        return tuple(laid)

    def _hold(self, kernel: Any, there: list[tuple[Rule, int]], how: str) -> list[str]:  # noqa: ANN401
        wanted = list(self._plan.rules(versions()))
        ours = {rule for rule, _ in there if is_ours(rule)}
        # Before any are laid: one of others with the same metric would be taken for ours.
        self.notes += tuple(self._remove_others())
        laid = [
            f"blackhole of table {table}"
            for version in versions()
            for table in _TABLES.values()
            if _route(kernel, how, version, table, _BLACKHOLE)
        ]
        for rule in wanted:
            if rule not in ours:
                change_rule(kernel, "add", rule, PROTOCOL)
                laid.append(f"rule {rule.priority}")
        over = ours - set(wanted)
        for rule, protocol in there:
            if rule in over or is_local(rule):
                change_rule(kernel, "del", rule, protocol)
        # Those that a run before has prepared, and that `release` would know no more.
        for name in _led(over) - set(self._plan.interfaces):
            restore(name)
        return laid

    def _attach(self, kernel: Any, mtu: int, how: str) -> list[str]:  # noqa: ANN401
        laid = list[str]()
        has_ipv6 = 6 in versions()  # noqa: PLR2004
        for name, table in _TABLES.items():
            index = bring_up(kernel, name, mtu, has_ipv6=has_ipv6)
            for version in versions():
                # Where IPv6 is switched off, or the MTU is too small for it, no device can have
                # any; the blackhole stays.
                if version == 6 and devconf(name, "disable_ipv6", 6) != 0:  # noqa: PLR2004
                    continue
                own = self._own(version)
                give_address(kernel, version, index, own)
                lead = {"oif": index, "priority": LED} | ({"prefsrc": str(own)} if own else {})
                if _route(kernel, how, version, table, lead):
                    laid.append(f"route of table {table}")
        for name in self._plan.interfaces:
            prepare(name, anew=how == "replace")
        return laid

    def _remove_others(self) -> Iterator[str]:
        for version in versions():
            for device, table in _TABLES.items():
                if removed := Held(version, table, device, self._own(version)).remove_others():
                    yield (
                        f"routes of others are removed from table {table}, by which packets may "
                        f"have gone around the filter: {removed} of IPv{version}"
                    )

    def _own(self, version: int) -> Address | None:
        return self._plan.own.ipv4 if version == 4 else self._plan.own.ipv6  # noqa: PLR2004


def release(make: Make = IPRoute) -> bool:
    """Remove rules, tables and settings: what comes from the VPN is filtered no more.

    Args:
        make: makes an `IPRoute`.

    Returns:
        Whether there was anything.

    Raises:
        RoutingError: a gateway is at work, or the kernel refuses.
    """
    _refuse_at_work()
    with make() as kernel, _refusals("rules"):
        there = read_rules(kernel)
        ours = [(rule, protocol) for rule, protocol in there if is_ours(rule)]
        # Where others have moved it, it is at another place of theirs, and stays there.
        has_local = {
            rule.family for rule, _ in there if rule.table == LOCAL_TABLE and not is_ours(rule)
        }
        for rule, _ in ours:
            if rule.table == LOCAL_TABLE and rule.family not in has_local:
                local = Rule(rule.family, 0, table=LOCAL_TABLE)
                change_rule(kernel, "add", local, PROTOCOL)
        # That which leads to all others; then the rules of others have their say again, and the
        # table `local`. Of the rest those that lead to a table first, so that nothing is led to
        # where nobody is any more.
        ours.sort(
            key=lambda one: (
                one[0].priority != ENTRY,
                one[0].goto is not None,
                one[0].priority,
            )
        )
        for rule, protocol in ours:
            change_rule(kernel, "del", rule, protocol)
        for version in versions():
            for table in _TABLES.values():
                kernel.flush_routes(family=FAMILIES[version], table=table)
        for name in _led(rule for rule, _ in ours):
            restore(name)
    return bool(ours)


def _refuse_at_work() -> None:
    """Make sure that no gateway runs; one that ends just now is waited for."""
    give_up_at = time.monotonic() + STOPPING
    while any(name == OUTBOUND_DEVICE for _, name in socket.if_nameindex()):
        if time.monotonic() > give_up_at:
            raise RoutingError(
                f"a gateway is at work ({OUTBOUND_DEVICE} is there), and would lay its rules "
                "again: end it first"
            )
        time.sleep(STOPPING / 40)


def _led(rules: Iterable[Rule]) -> set[str]:
    """Return the interfaces that rules lead to the host."""
    return {rule.interface or "" for rule in rules if rule.table == OUTBOUND_TABLE}


def _route(kernel: Any, how: str, version: int, table: int, fields: dict[str, Any]) -> bool:  # noqa: ANN401
    """Lay a route; return whether it was not there, as far as `add` can tell."""
    where = {"family": FAMILIES[version], "dst": "default", "table": table}
    try:
        kernel.route(how, proto=PROTOCOL, **where, **fields)
    except NetlinkError as error:
        if error.code != errno.EEXIST:
            raise
        return False
    return True


class _refusals:  # noqa: N801 - reads as a function, as contextlib's do
    """Turns what the kernel refuses into a `RoutingError`."""

    def __init__(self, what: str) -> None:
        self._what = what

    def __enter__(self) -> None:
        pass

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if isinstance(error, NetlinkError):
            raise RoutingError(f"the kernel refuses {self._what}: {_said(error)}") from error
        if isinstance(error, OSError):
            raise RoutingError(f"{self._what}: {error.strerror}") from error


def _said(error: NetlinkError) -> str:
    if error.code in {errno.EPERM, errno.EACCES}:
        return "it takes root, or CAP_NET_ADMIN"
    return os.strerror(error.code)
