"""Rules and routes are laid, laid again and taken away, in a kernel of which only that is there.

The stories of tests/e2e tell the same with real ones.
"""

import errno
import socket
import time
from collections.abc import Callable, Iterator
from ipaddress import ip_network
from pathlib import Path
from typing import Any, Self

import pytest
from pyroute2.netlink.exceptions import NetlinkError

from firezone_filter import AddressPlan, TunnelAddresses
from firezone_filter.host import devices, routing
from firezone_filter.host.devconf import ACCEPT_LOCAL, RP_FILTER
from firezone_filter.host.kernel_routes import Held
from firezone_filter.host.routing import Routing, RoutingError, release, versions
from firezone_filter.host.rules import ENTRY, FAMILIES, FIRST, LAST, LOCAL_TABLE, PROTOCOL, Plan

PLAN = Plan(("wg0",), TunnelAddresses("100.64.0.1", "fd00:2021:1111::1"), AddressPlan())
KERNEL = 2  # RTPROT_KERNEL
MAIN = 254
INDEXES = {"wg0": 3, "ff-out": 4, "ff-in": 5}

Fields = dict[str, Any]


UP, MULTICAST = 0x1, 0x1000


class Message(dict[str, Any]):
    """A rule or a link, as pyroute2 reads it."""

    def get_attr(self, name: str) -> object:
        return dict(self["attrs"]).get(name)


class Kernel:
    """Keeps rules and routes, and complains of what is there already or not."""

    def __init__(self) -> None:
        self.rules: list[Fields] = []
        self.routes: dict[tuple[int, int, int], Fields] = {}
        self.links: dict[int, Fields] = {}
        self.addresses: list[Fields] = []
        self.orders: list[str] = []
        self.refuses: Callable[[str], int] = lambda _: 0
        for family in FAMILIES.values():
            self.rule("add", family=family, priority=0, table=LOCAL_TABLE, FRA_PROTOCOL=KERNEL)
            self.rule("add", family=family, priority=32766, table=MAIN, FRA_PROTOCOL=KERNEL)
        self.orders.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def get_rules(self, family: int) -> Iterator[Message]:
        # Those of multicast routing come as well, as from a real one.
        yield Message(family=family + 126, dst_len=0, attrs=[])
        for rule in list(self.rules):
            if rule["family"] == family:
                to = ip_network(rule["dst"]) if "dst" in rule else None
                attributes = {
                    "FRA_PRIORITY": rule["priority"] or None,
                    "FRA_TABLE": rule.get("table", 0),
                    "FRA_SUPPRESS_PREFIXLEN": 0xFFFF_FFFF,
                    "FRA_GOTO": rule.get("goto"),
                    "FRA_IIFNAME": rule.get("iifname"),
                    "FRA_DST": str(to.network_address) if to else None,
                    "FRA_PROTOCOL": rule["FRA_PROTOCOL"],
                    "FRA_FWMARK": rule.get("fwmark"),
                }
                yield Message(
                    family=family,
                    dst_len=to.prefixlen if to else 0,
                    action=rule.get("action", 1),
                    flags=rule.get("flags", 0),
                    tos=rule.get("tos", 0),
                    attrs=[(name, value) for name, value in attributes.items() if value],
                )

    def rule(self, how: str, **fields: Any) -> None:  # noqa: ANN401 - whatever pyroute2 takes
        if code := self.refuses("rule"):
            raise NetlinkError(code)
        assert (how == "add") is (fields not in self.rules)
        self.orders.append(f"{how} {fields['priority']}")
        if how == "add":
            self.rules.append(fields)
        else:
            self.rules.remove(fields)

    def route(self, how: str, **fields: Any) -> None:  # noqa: ANN401
        if code := self.refuses("route"):
            raise NetlinkError(code)
        key = fields["family"], fields["table"], fields["priority"]
        if how == "add" and key in self.routes:
            raise NetlinkError(errno.EEXIST)
        self.orders.append("route")
        self.routes[key] = fields

    def flush_routes(self, family: int, table: int) -> None:
        for key in [key for key in self.routes if key[:2] == (family, table)]:
            del self.routes[key]

    def get_links(self, index: int) -> list[Message]:
        link = self.links.setdefault(index, {"mtu": 1500, "flags": MULTICAST})
        return [Message(flags=link["flags"], attrs=[("IFLA_MTU", link["mtu"])])]

    def link(self, how: str, **fields: Any) -> None:  # noqa: ANN401
        assert how == "set"
        self.orders.append("link")
        link = self.links[fields.pop("index")]
        assert "IFLA_AF_SPEC" not in fields or link["mtu"] >= 1280
        match fields.pop("state", None):
            case "up":
                link["flags"] |= UP
            case "down":
                link["flags"] &= ~UP
        link["flags"] &= ~fields.pop("change", 0)
        fields.pop("flags", None)
        link |= fields

    def addr(self, how: str, **fields: Any) -> None:  # noqa: ANN401
        assert how == "add"
        if code := self.refuses("addr"):
            raise NetlinkError(code)
        if fields in self.addresses:
            raise NetlinkError(errno.EEXIST)
        self.orders.append("address")
        self.addresses.append(fields)


def in_order(kernel: Kernel) -> list[Fields]:
    return sorted(kernel.rules, key=lambda rule: (rule["family"], rule["priority"]))


@pytest.fixture
def kernel() -> Kernel:
    return Kernel()


@pytest.fixture
def settings(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, int]]:
    """Return settings of devices, which strict machines have."""
    kept: dict[str, dict[str, int]] = {
        "all": {"rp_filter": 1},
        "default": {"rp_filter": 1},
        "wg0": {"rp_filter": 0},
        "ff-out": {},
        "ff-in": {},
    }
    names = {RP_FILTER: "rp_filter", ACCEPT_LOCAL: "accept_local"}

    def put(index: int, values: dict[int, int]) -> None:
        (device,) = (name for name, number in INDEXES.items() if number == index)
        kept[device] |= {names[number]: value for number, value in values.items()}

    def get(device: str, name: str, version: int = 4) -> int | None:
        if version == 6 and device in INDEXES and name not in kept[device]:
            link = kernel.links.get(INDEXES[device], {"mtu": 0})
            return 0 if 6 in routing.versions() and link["mtu"] >= 1280 else None
        return kept.get(device, {}).get(name)

    def guard(index: int, *, anew: bool, note: int | None) -> None:
        before = kept.get(f"guard {index}", {})
        if anew or not before:
            kept[f"guard {index}"] = {"note": note} if note is not None else before

    for module in (routing, devices):
        monkeypatch.setattr(module, "devconf", get)
    monkeypatch.setattr(devices, "set_devconf", put)
    monkeypatch.setattr(socket, "if_nametoindex", INDEXES.__getitem__)
    monkeypatch.setattr(socket, "if_nameindex", list)
    monkeypatch.setattr(devices, "keep_out", guard)
    monkeypatch.setattr(devices, "noted", lambda index: kept.get(f"guard {index}", {}).get("note"))
    monkeypatch.setattr(devices, "let_in", lambda index: kept.pop(f"guard {index}", None))
    monkeypatch.setattr(routing, "versions", lambda: (4, 6))
    monkeypatch.setattr(Held, "remove_others", lambda _: 0)
    return kept


@pytest.mark.usefixtures("settings")
def test_a_blackhole_is_there_before_anything_is_led_into_it(kernel: Kernel) -> None:
    Routing(PLAN, lambda: kernel).hold()
    assert kernel.orders[:4] == ["route"] * 4
    assert {route["type"] for route in kernel.routes.values()} == {"blackhole"}
    # The table `local` has its new place before it loses the old one.
    assert kernel.orders[4:6] == [f"add {LAST}"] * 2
    # Nothing is led to ours before all of them are there.
    assert kernel.orders[-5:] == [f"add {FIRST}"] * 2 + [f"add {ENTRY}"] + ["del 0"] * 2
    assert {rule["priority"] for rule in kernel.rules} == {ENTRY, *range(FIRST, LAST + 1), 32766}
    # Nobody who tidies up takes the kernel's own.
    assert {one["FRA_PROTOCOL"] for one in kernel.rules} == {PROTOCOL}
    assert {one["proto"] for one in kernel.routes.values()} == {PROTOCOL}


@pytest.mark.usefixtures("settings")
def test_once_more_changes_nothing_and_another_plan_only_what_is_other(kernel: Kernel) -> None:
    Routing(PLAN, lambda: kernel).hold()
    before = list(kernel.rules)
    kernel.orders.clear()
    Routing(PLAN, lambda: kernel).hold()
    assert (kernel.rules, set(kernel.orders)) == (before, {"route"})
    kernel.orders.clear()
    Routing(Plan(("wg1",), PLAN.own, PLAN.ranges), lambda: kernel).hold()
    assert kernel.orders[4:] == [*["add 93", "add 92"] * 2, *["del 93", "del 92"] * 2]


def test_an_interface_that_is_filtered_no_more_is_given_back(
    kernel: Kernel, settings: dict[str, dict[str, int]]
) -> None:
    settings["wg0"]["rp_filter"] = 1
    before = {name: dict(settings[name]) for name in ("wg0", "all")}
    Routing(PLAN, lambda: kernel).hold()
    Routing(PLAN, lambda: kernel).attach(1420)
    Routing(Plan(("wg1",), PLAN.own, PLAN.ranges), lambda: kernel).hold()
    assert {name: settings[name] for name in before} == before
    assert "guard 3" not in settings


@pytest.mark.usefixtures("settings")
def test_mending_lays_what_is_gone_and_touches_nothing_else(kernel: Kernel) -> None:
    own = Routing(PLAN, lambda: kernel)
    own.hold()
    own.attach(1420)
    kernel.orders.clear()
    assert (own.mend(1420), kernel.orders) == ((), [])
    for priority, family in ((92, 2), (LAST, 10), (ENTRY, 10)):
        (gone,) = (
            one for one in kernel.rules if (one["priority"], one["family"]) == (priority, family)
        )
        kernel.rules.remove(gone)
    kernel.rule("add", family=2, priority=0, table=LOCAL_TABLE, FRA_PROTOCOL=KERNEL)
    kernel.flush_routes(2, 20211111)
    kernel.links[5]["flags"] = 0
    kernel.addresses.clear()
    kernel.orders.clear()
    assert own.mend(1420) == (
        "blackhole of table 20211111",
        "rule 96",
        "rule 92",
        "rule 0",
        "route of table 20211111",
    )
    assert kernel.orders.count("address") == 4
    assert sorted(set(kernel.orders)) == [
        "add 0",
        "add 92",
        "add 96",
        "address",
        "del 0",
        "link",
        "route",
    ]
    assert all(link["flags"] == UP for link in kernel.links.values())


@pytest.mark.usefixtures("settings")
def test_mending_lays_what_is_gone_also_behind_rules_of_others(kernel: Kernel) -> None:
    own = Routing(PLAN, lambda: kernel)
    kernel.rule("add", family=2, priority=0, table=MAIN, FRA_PROTOCOL=KERNEL)
    with pytest.raises(RoutingError, match=r"^a rule has priority 0:"):
        own.mend(1420)
    kernel.rule("del", family=2, priority=0, table=MAIN, FRA_PROTOCOL=KERNEL)
    assert own.mend(1420) == ()


@pytest.mark.usefixtures("settings")
def test_rules_without_a_priority_are_passed_over_and_said(kernel: Kernel) -> None:
    own, other = Routing(PLAN, lambda: kernel), FIRST - 1
    said = f"a rule with priority {other} is without effect beside the filter: give it one above"
    kernel.rule("add", family=2, priority=other, table=MAIN, FRA_PROTOCOL=3)
    own.hold()
    assert [note.startswith(said) for note in own.notes] == [True]
    kernel.rule("del", family=2, priority=other, table=MAIN, FRA_PROTOCOL=3)
    own.mend(1420)
    assert own.notes == ()


@pytest.mark.usefixtures("settings")
def test_routes_of_others_are_removed_before_any_are_laid_and_said(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = Routing(PLAN, lambda: kernel)
    asked: list[Held] = []
    others = {(6, 20211112): 2}

    def remove(held: Held) -> int:
        asked.append(held)
        assert kernel.orders == []
        return others.pop((held.version, held.table), 0)

    monkeypatch.setattr(Held, "remove_others", remove)
    own.hold()
    assert {(held.table, held.device) for held in asked} == {
        (20211111, "ff-out"),
        (20211112, "ff-in"),
    }
    assert {held.own for held in asked} == {PLAN.own.ipv4, PLAN.own.ipv6}
    (note,) = own.notes
    assert note.startswith("routes of others are removed from table 20211112")
    assert note.endswith(": 2 of IPv6")
    kernel.orders.clear()
    own.mend(1420)
    assert own.notes == ()


@pytest.mark.parametrize("what", ["route", "addr"])
@pytest.mark.usefixtures("settings")
def test_mending_says_what_the_kernel_refuses(kernel: Kernel, what: str) -> None:
    kernel.refuses = lambda kind: errno.EINVAL if kind == what else 0
    with pytest.raises(RoutingError, match="Invalid argument"):
        Routing(PLAN, lambda: kernel).mend(1420)


@pytest.mark.usefixtures("settings")
def test_nobody_elses_rule_may_come_before(kernel: Kernel) -> None:
    family = FAMILIES[6]
    kernel.rule("add", family=family, priority=LAST, table=MAIN, FRA_PROTOCOL=4)
    before = list(kernel.rules)
    with pytest.raises(RoutingError, match=r"^a rule has priority 96: packets would go around"):
        Routing(PLAN, lambda: kernel).hold()
    assert (kernel.rules, kernel.routes) == (before, {})


def test_packets_are_led_into_the_devices_before_the_blackhole(
    kernel: Kernel, settings: dict[str, dict[str, int]]
) -> None:
    for _ in range(2):
        Routing(PLAN, lambda: kernel).attach(1420)
    led = {(route["oif"], route["table"], route["prefsrc"]) for route in kernel.routes.values()}
    assert led == {
        (index, table, own)
        for index, table in ((4, 20211111), (5, 20211112))
        for own in ("100.64.0.1", "fd00:2021:1111::1")
    }
    assert {route["priority"] for route in kernel.routes.values()} == {1}
    assert [(link["mtu"], link["flags"]) for link in kernel.links.values()] == [(1420, UP)] * 2
    ours = {"rp_filter": 2, "accept_local": 1}
    assert (settings["ff-out"], settings["ff-in"]) == (ours, ours)
    assert settings["wg0"] == {"rp_filter": 2}
    # Routes and sockets can have an IPv6 address at once.
    flags = {one["address"]: one.get("flags", 0) for one in kernel.addresses}
    assert flags == {"100.64.0.1": 0, "fd00:2021:1111::1": 0x02}
    assert [name for name in settings if "guard" in name] == ["guard 3"]


def test_without_ipv6_there_is_none_and_without_an_ipv4_address_there_is_some(
    kernel: Kernel, settings: dict[str, dict[str, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routing, "versions", lambda: (4,))
    settings["all"]["rp_filter"] = 0
    plan = Plan(("wg0", "gone"), TunnelAddresses(ipv6="fd00:2021:1111::1"), AddressPlan())
    Routing(plan, lambda: kernel).attach(1420)
    assert {one["address"] for one in kernel.addresses} == {"192.0.0.8"}
    assert {route["family"] for route in kernel.routes.values()} == {socket.AF_INET}
    assert all("prefsrc" not in route for route in kernel.routes.values())
    assert all("IFLA_AF_SPEC" not in link for link in kernel.links.values())
    # It is not strict, and stays as it is.
    assert settings["wg0"] == {"rp_filter": 0}


def test_where_ipv6_is_switched_off_its_packets_stay_in_the_blackhole(
    kernel: Kernel, settings: dict[str, dict[str, int]]
) -> None:
    settings["ff-out"]["disable_ipv6"] = settings["ff-in"]["disable_ipv6"] = 1
    Routing(PLAN, lambda: kernel).hold()
    Routing(PLAN, lambda: kernel).attach(1420)
    assert {one["address"] for one in kernel.addresses} == {"100.64.0.1"}
    led = {route["family"] for route in kernel.routes.values() if "oif" in route}
    assert led == {socket.AF_INET}
    held = [route for route in kernel.routes.values() if route["family"] == socket.AF_INET6]
    assert [route["type"] for route in held] == ["blackhole"] * 2


@pytest.mark.usefixtures("settings")
def test_below_the_least_mtu_of_ipv6_there_is_none(kernel: Kernel) -> None:
    gateway = Routing(PLAN, lambda: kernel)

    def led() -> list[int]:
        return sorted(one["family"] for one in kernel.routes.values() if "oif" in one)

    gateway.attach(1279)
    assert led() == [socket.AF_INET] * 2
    kernel.orders.clear()
    assert gateway.mend(1280)[-2:] == ("route of table 20211111", "route of table 20211112")
    assert led() == sorted([socket.AF_INET, socket.AF_INET6] * 2)
    links = kernel.links.values()
    assert [(link["mtu"], link["flags"], "IFLA_AF_SPEC" in link) for link in links] == [
        (1280, UP, True)
    ] * 2
    # Down, with that MTU, without link-local addresses, without multicast, and up.
    assert kernel.orders.count("link") == 2 * 5


def test_an_ipv6_address_that_the_gateway_does_not_have_is_none(
    kernel: Kernel, settings: dict[str, dict[str, int]]
) -> None:
    plan = Plan((), TunnelAddresses("100.64.0.1"), AddressPlan())
    Routing(plan, lambda: kernel).attach(1280)
    assert {one["address"] for one in kernel.addresses} == {"100.64.0.1"}
    assert settings["wg0"] == {"rp_filter": 0}


def test_release_leaves_everything_as_it_was(
    kernel: Kernel, settings: dict[str, dict[str, int]]
) -> None:
    settings["wg0"]["rp_filter"] = 1
    before = in_order(kernel), {name: dict(one) for name, one in settings.items()}
    Routing(PLAN, lambda: kernel).hold()
    Routing(PLAN, lambda: kernel).attach(1420)
    settings["ff-out"] = settings["ff-in"] = {}  # they go with the host
    kernel.orders.clear()
    assert release(lambda: kernel)
    assert (in_order(kernel), settings, kernel.routes) == (*before, {})
    # The table `local` is at no moment without a rule that leads there.
    assert kernel.orders[:5] == ["add 0"] * 2 + ["del 0"] * 2 + ["del 92"]
    kernel.orders.clear()
    assert (release(lambda: kernel), kernel.orders) == (False, [])


@pytest.mark.usefixtures("settings")
def test_release_completes_what_was_begun(kernel: Kernel) -> None:
    # Both places of `local` are there, as after a crash in the middle.
    before = list(kernel.rules)
    kernel.rule("add", family=2, priority=LAST, table=LOCAL_TABLE, FRA_PROTOCOL=PROTOCOL)
    assert (release(lambda: kernel), kernel.rules) == (True, before)


@pytest.mark.usefixtures("settings")
def test_release_leaves_the_table_local_where_others_have_moved_it(kernel: Kernel) -> None:
    kernel.rule("add", family=2, priority=100, table=LOCAL_TABLE, FRA_PROTOCOL=4)
    kernel.rule("del", family=2, priority=0, table=LOCAL_TABLE, FRA_PROTOCOL=KERNEL)
    before = in_order(kernel)
    Routing(PLAN, lambda: kernel).hold()
    assert (release(lambda: kernel), in_order(kernel)) == (True, before)


@pytest.mark.usefixtures("settings")
def test_release_waits_for_a_gateway_that_ends_and_for_no_other(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    Routing(PLAN, lambda: kernel).hold()
    before = in_order(kernel)
    monkeypatch.setattr(routing, "STOPPING", 0.001)
    monkeypatch.setattr(socket, "if_nameindex", lambda: [(1, "lo"), (4, "ff-out")])
    with pytest.raises(RoutingError, match=r"^a gateway is at work \(ff-out is there\)"):
        release(lambda: kernel)
    assert in_order(kernel) == before
    monkeypatch.setattr(routing, "STOPPING", 60.0)
    seen = [[(4, "ff-out")], [(4, "ff-out")]]
    monkeypatch.setattr(time, "sleep", lambda _: seen.pop())
    monkeypatch.setattr(socket, "if_nameindex", lambda: seen[-1] if seen else [])
    assert release(lambda: kernel)


def test_release_passes_an_interface_over_that_is_gone(
    kernel: Kernel, settings: dict[str, dict[str, int]]
) -> None:
    Routing(PLAN, lambda: kernel).hold()
    del settings["wg0"]
    assert release(lambda: kernel)


@pytest.mark.parametrize("before", [0, 1, 2])
def test_release_gives_a_setting_back_as_it_was(
    kernel: Kernel, settings: dict[str, dict[str, int]], before: int
) -> None:
    settings["wg0"]["rp_filter"] = before
    for _ in range(2):  # the second one is after a crash
        Routing(PLAN, lambda: kernel).hold()
        Routing(PLAN, lambda: kernel).attach(1420)
        Routing(PLAN, lambda: kernel).mend(1420)
        assert settings["wg0"] == {"rp_filter": 2}
    assert (release(lambda: kernel), settings["wg0"]) == (True, {"rp_filter": before})


def test_release_leaves_a_setting_alone_that_is_not_the_hosts(
    kernel: Kernel, settings: dict[str, dict[str, int]]
) -> None:
    Routing(PLAN, lambda: kernel).hold()
    Routing(PLAN, lambda: kernel).attach(1420)
    settings["wg0"]["rp_filter"] = 0
    assert (release(lambda: kernel), settings["wg0"]) == (True, {"rp_filter": 0})


@pytest.mark.usefixtures("settings")
@pytest.mark.parametrize(
    ("code", "said"),
    [
        (errno.EPERM, "the kernel refuses rules: it takes root, or CAP_NET_ADMIN"),
        (errno.EINVAL, "the kernel refuses rules: Invalid argument"),
    ],
    ids=["privilege", "other"],
)
def test_what_the_kernel_refuses_is_said(kernel: Kernel, code: int, said: str) -> None:
    kernel.refuses = lambda kind: code if kind == "rule" else 0
    with pytest.raises(RoutingError) as error:
        Routing(PLAN, lambda: kernel).hold()
    assert str(error.value) == said


@pytest.mark.usefixtures("settings")
def test_a_device_that_is_gone_is_said(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(_: str) -> int:
        raise OSError(errno.ENODEV, "No such device")

    monkeypatch.setattr(socket, "if_nametoindex", gone)
    with pytest.raises(RoutingError, match=r"^routes: No such device$"):
        Routing(PLAN, lambda: kernel).attach(1420)


def test_other_errors_stay_what_they_are(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: str) -> int:
        raise ValueError("a mistake")

    monkeypatch.setattr(socket, "if_nametoindex", fail)
    with pytest.raises(ValueError, match=r"^a mistake$"):
        Routing(PLAN, lambda: kernel).attach(1420)


def test_what_ip_versions_there_are_is_read_from_the_kernel(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for exists, expected in ((True, (4, 6)), (False, (4,))):
        monkeypatch.setattr(Path, "exists", lambda _, exists=exists: exists)
        assert versions() == expected
