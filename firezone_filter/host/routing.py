"""Lays the rules and routes that bring packets to the host, and takes them away.

Everything is idempotent. `Routing.hold` comes first: from then on nothing goes around the host,
whether it is there or not. `Routing.attach` leads the packets into its devices. Only `release`
takes the rules away; the end of the host does not.
"""

import errno
import os
import socket
from collections.abc import Callable, Iterable
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any, Final

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from firezone_filter.host.devconf import ACCEPT_LOCAL, RP_FILTER, devconf, set_devconf
from firezone_filter.host.guard import keep_out, let_in
from firezone_filter.host.rules import (
    FAMILIES,
    FIRST,
    INBOUND_DEVICE,
    INBOUND_TABLE,
    LAST,
    LOCAL_TABLE,
    OUTBOUND_DEVICE,
    OUTBOUND_TABLE,
    PROTOCOL,
    Plan,
    Rule,
)
from firezone_filter.values.addresses import Address, to_network

Make = Callable[[], Any]
"""Makes an `IPRoute`; tests put another one in its place."""

_KERNEL: Final = 2  # RTPROT_KERNEL: whose rules those at the start of the machine are
_GOTO: Final = "FR_ACT_GOTO"
_LAST_METRIC: Final = 2**31
_STRICT, _LOOSE = 1, 2  # of rp_filter
_IFF_MULTICAST: Final = 0x1000
_NODAD: Final = 0x02  # IFA_F_NODAD
_NO_ADDRESS: Final = 1  # IN6_ADDR_GEN_MODE_NONE: it gets none that nobody has given it
_DUMMY: Final = IPv4Address("192.0.0.8")  # for hosts that need some address (RFC 7600)
_TABLES: Final = (OUTBOUND_TABLE, INBOUND_TABLE)


class RoutingError(Exception):
    """The kernel's rules are not, or cannot be made, as they have to be."""


def versions() -> tuple[int, ...]:
    """Return the IP versions that this machine has."""
    return (4, 6) if Path("/proc/sys/net/ipv6").exists() else (4,)


class Routing:
    """The rules and routes of one host."""

    def __init__(self, plan: Plan, make: Make = IPRoute) -> None:
        """Remember what is wanted; nothing is done yet."""
        self._plan = plan
        self._make = make

    def hold(self) -> None:
        """Lead the packets to the host, or to nowhere while it is not there.

        Raises:
            RoutingError: rules of others come before; nothing has changed. Or the kernel
                refuses: then what is there stays.
        """
        wanted = list(self._plan.rules(versions()))
        with self._make() as kernel:
            there = _rules(kernel)
            _refuse_others(there)
            ours = {rule for rule, protocol in there if protocol == PROTOCOL}
            with _refusals("rules"):
                for version in versions():
                    for table in _TABLES:
                        _blackhole(kernel, version, table)
                for rule in wanted:
                    if rule not in ours:
                        _change(kernel, "add", rule, PROTOCOL)
                over = ours - set(wanted)
                for rule in over:
                    _change(kernel, "del", rule, PROTOCOL)
                for rule, protocol in there:
                    if protocol != PROTOCOL and rule.priority == 0:
                        _change(kernel, "del", rule, protocol)
                # Those that a run before has prepared, and that `release` would know no more.
                for name in _led(over) - set(self._plan.interfaces):
                    _restore(name)

    def attach(self, mtu: int) -> None:
        """Lead the packets into the host's devices, which are there.

        Args:
            mtu: the MTU of the interface in which the VPN ends.

        Raises:
            RoutingError: the kernel refuses.
        """
        with self._make() as kernel, _refusals("routes"):
            for name, table in (
                (OUTBOUND_DEVICE, OUTBOUND_TABLE),
                (INBOUND_DEVICE, INBOUND_TABLE),
            ):
                index = socket.if_nametoindex(name)
                _bring_up(kernel, index, mtu)
                # Packets come from here whose senders are behind other devices.
                set_devconf(index, {RP_FILTER: _LOOSE, ACCEPT_LOCAL: 1})
                for version in versions():
                    # Where IPv6 is switched off no device can have any; the blackhole stays.
                    if version == 6 and devconf(name, "disable_ipv6", 6):  # noqa: PLR2004
                        continue
                    own = self._own(version)
                    _address(kernel, version, index, own)
                    _lead(kernel, version, table, index, own)
            for name in self._plan.interfaces:
                _prepare(name)

    def _own(self, version: int) -> Address | None:
        return self._plan.own.ipv4 if version == 4 else self._plan.own.ipv6  # noqa: PLR2004


def release(make: Make = IPRoute) -> bool:
    """Remove rules, tables and settings: what comes from the VPN is filtered no more.

    Args:
        make: makes an `IPRoute`.

    Returns:
        Whether there was anything.

    Raises:
        RoutingError: the kernel refuses.
    """
    with make() as kernel, _refusals("rules"):
        there = _rules(kernel)
        ours = [rule for rule, protocol in there if protocol == PROTOCOL]
        zero = {rule.family for rule, _ in there if rule.priority == 0}
        for rule in ours:
            if rule.table == LOCAL_TABLE and rule.family not in zero:
                _change(kernel, "add", Rule(rule.family, 0, table=LOCAL_TABLE), _KERNEL)
        # Those that lead somewhere first, so that nothing is led to where nobody is any more.
        for rule in sorted(ours, key=lambda rule: (rule.goto is not None, rule.priority)):
            _change(kernel, "del", rule, PROTOCOL)
        for version in versions():
            for table in _TABLES:
                kernel.flush_routes(family=FAMILIES[version], table=table)
        for name in _led(ours):
            _restore(name)
    return bool(ours)


def _led(rules: Iterable[Rule]) -> set[str]:
    """Return the interfaces that rules lead to the host."""
    return {rule.interface or "" for rule in rules if rule.table == OUTBOUND_TABLE}


def _rules(kernel: Any) -> list[tuple[Rule, int]]:  # noqa: ANN401 - pyroute2 has no types
    """Return all rules, with whose they are."""
    return [
        (_read_rule(message), message.get_attr("FRA_PROTOCOL") or 0)
        for family in sorted(FAMILIES.values())
        for message in kernel.get_rules(family=family)
        if message["family"] == family
    ]


def _read_rule(message: Any) -> Rule:  # noqa: ANN401 - as above
    to = message.get_attr("FRA_DST")
    return Rule(
        message["family"],
        message.get_attr("FRA_PRIORITY") or 0,
        message.get_attr("FRA_TABLE") or None,
        message.get_attr("FRA_GOTO"),
        message.get_attr("FRA_IIFNAME"),
        to and to_network(f"{to}/{message['dst_len']}"),
    )


def _refuse_others(there: list[tuple[Rule, int]]) -> None:
    for rule, protocol in there:
        is_local = rule == Rule(rule.family, 0, table=LOCAL_TABLE)
        if rule.priority <= LAST and protocol != PROTOCOL and not is_local:
            raise RoutingError(
                f"a rule has priority {rule.priority}: packets would go around the filter, which "
                f"has {FIRST} to {LAST} (ip rule, ip -6 rule)"
            )


def _change(kernel: Any, how: str, rule: Rule, protocol: int) -> None:  # noqa: ANN401
    fields: dict[str, object] = {"family": rule.family, "priority": rule.priority}
    if rule.table is not None:
        fields["table"] = rule.table
    if rule.goto is not None:
        fields |= {"action": _GOTO, "goto": rule.goto}
    if rule.interface is not None:
        fields["iifname"] = rule.interface
    if rule.to is not None:
        fields["dst"] = str(rule.to)
    kernel.rule(how, FRA_PROTOCOL=protocol, **fields)


def _blackhole(kernel: Any, version: int, table: int) -> None:  # noqa: ANN401
    kernel.route(
        "replace",
        family=FAMILIES[version],
        type="blackhole",
        dst="default",
        table=table,
        priority=_LAST_METRIC,
        proto=PROTOCOL,
    )


def _lead(kernel: Any, version: int, table: int, index: int, source: Address | None) -> None:  # noqa: ANN401
    fields = {} if source is None else {"prefsrc": str(source)}
    kernel.route(
        "replace",
        family=FAMILIES[version],
        dst="default",
        oif=index,
        table=table,
        priority=1,
        proto=PROTOCOL,
        **fields,
    )


def _address(kernel: Any, version: int, index: int, own: Address | None) -> None:  # noqa: ANN401
    """Let a device have the gateway's own address, as the VPN's interface may have, too.

    In IPv4 it needs one, whichever: loose `rp_filter` takes nothing from a device without.
    """
    if own is None and version == 4:  # noqa: PLR2004
        own = _DUMMY
    if own is not None:
        prefix = own.max_prefixlen
        # Until the kernel has seen that an IPv6 address is nobody else's, neither routes nor
        # sockets can have it; and nobody else is behind the host's devices.
        flags = {"flags": _NODAD} if version == 6 else {}  # noqa: PLR2004
        kernel.addr("replace", index=index, address=str(own), prefixlen=prefix, **flags)


def _bring_up(kernel: Any, index: int, mtu: int) -> None:  # noqa: ANN401
    # No link-local address and no multicast: it is no link where the kernel should look for
    # routers and neighbours.
    quiet = {"attrs": [("AF_INET6", {"attrs": [("IFLA_INET6_ADDR_GEN_MODE", _NO_ADDRESS)]})]}
    extra = {"IFLA_AF_SPEC": quiet} if 6 in versions() else {}  # noqa: PLR2004
    kernel.link("set", index=index, mtu=mtu, **extra)
    kernel.link("set", index=index, flags=0, change=_IFF_MULTICAST)
    kernel.link("set", index=index, state="up")


def _prepare(name: str) -> None:
    """Let packets come by *name* whose answers leave by another device, as all do now.

    But none that the kernel would take in without asking the rules.
    """
    mine = devconf(name, "rp_filter")
    if mine is None:  # it is not there yet
        return
    index = socket.if_nametoindex(name)
    keep_out(index)
    if max(mine, devconf("all", "rp_filter") or 0) == _STRICT:
        set_devconf(index, {RP_FILTER: _LOOSE})


def _restore(name: str) -> None:
    """Give *name* back what a new interface has."""
    mine, default = devconf(name, "rp_filter"), devconf("default", "rp_filter")
    if mine is None:
        return
    index = socket.if_nametoindex(name)
    let_in(index)
    if mine == _LOOSE and default is not None:
        set_devconf(index, {RP_FILTER: default})


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
