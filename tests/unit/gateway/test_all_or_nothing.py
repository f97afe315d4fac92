"""A hook into which a lower layer raises leaves no access behind, and can be called again.

Each function of the package that a hook calls fails once, at its beginning, and so does each call
into py-radix. Whatever is permitted then, an authorization that is there permits it.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import pytest

import firezone_filter
from firezone_filter import (
    CidrResource,
    DnsResource,
    Forward,
    Gateway,
    GatewayOptions,
    InternetResource,
    Resource,
    Tcp,
    Translate,
    TunnelAddresses,
    Udp,
)
from firezone_filter.compiled.twins import IS_COMPILED
from firezone_filter.gateway import clients, gateway
from firezone_filter.testing import fragment, tcp, udp
from tests.scenes import INBOUND, OUTBOUND

SOURCES = str(Path(firezone_filter.__file__).parent)

Hook = Callable[[Gateway], object]

NEAR, OTHER = "100.64.0.2", "100.64.0.3"
PROXIES = ["100.96.0.1", "100.96.0.2"]
NOW = 50.0

HOSTS = {
    "net": "10.1.0.5",
    "wide": "10.2.0.5",
    "timed": "10.3.0.5",
    "over": "10.4.0.5",
    "new": "10.5.0.5",
    "local": "169.254.7.7",
    "internet": "9.9.9.9",
    "app": PROXIES[0],
    "shared": PROXIES[1],
}
"""Where each resource is."""


class FailedError(MemoryError):
    """What a lower layer raises."""


def resource(name: str, port: int = 443) -> Resource:
    if name in {"app", "more"}:
        return DnsResource(name, "*.example.com", [Tcp(port)])
    if name == "internet":
        return InternetResource(name, exclude=[] if port == 443 else ["9.9.9.0/24"])
    if name == "wide":
        return CidrResource(name, "10.0.0.0/8", [Udp(53), Tcp(port)])
    network = HOSTS[name].rsplit(".", 1)[0]
    return CidrResource(name, f"{network}.0/24", [Tcp(port), Udp(53)])


def resolve(made: Gateway, resource_id: str = "app", domain: str = "a.example.com") -> None:
    made.domain_resolved(
        "alice",
        resource_id,
        domain,
        proxy_addresses=PROXIES,
        resolved_addresses=["11.0.0.1", "11.0.0.2"],
    )


def sent(near: str, far: str, port: int = 443, near_port: int = 1_024) -> bytes:
    return tcp(f"{near}:{near_port} > {far}:{port}")


def came(far: str, near: str, port: int = 443, near_port: int = 1_024) -> bytes:
    return tcp(f"{far}:{port} > {near}:{near_port}")


PROBES = [
    *((OUTBOUND, sent(near, far)) for far in HOSTS.values() for near in (NEAR, OTHER)),
    *((INBOUND, came(far, NEAR)) for far in (*HOSTS.values(), "11.0.0.1", "11.0.0.2")),
    *((OUTBOUND, sent(NEAR, far, 22)) for far in HOSTS.values()),
    *((OUTBOUND, sent(NEAR, far, 444)) for far in HOSTS.values()),
    *((OUTBOUND, sent(NEAR, far, near_port=2_000)) for far in HOSTS.values()),
    (OUTBOUND, sent("100.64.0.9", HOSTS["net"])),
    (OUTBOUND, udp(f"{NEAR}:1024 > 100.64.0.1:53535")),
    (OUTBOUND, udp(f"{NEAR}:1024 > 100.64.0.77:53535")),
    (OUTBOUND, fragment(udp(f"{NEAR}:1024 > {HOSTS['net']}:53", bytes(64)), 24)),
]
FIRST = fragment(udp(f"{NEAR}:1024 > {HOSTS['net']}:53", bytes(64)), 0, 24)


def make(options: GatewayOptions) -> Gateway:
    """Make a gateway with something of everything, on which one authorization is over."""
    made = Gateway(TunnelAddresses("100.64.0.1"), options=options)
    made.client_connected("alice", TunnelAddresses(NEAR), now=0.0)
    made.client_connected("bob", TunnelAddresses(OTHER), now=0.0)
    for name in ("net", "wide", "local", "internet", "app"):
        made.authorize("alice", resource(name))
    made.authorize("alice", resource("timed"), expires_at=100.0)
    made.authorize("alice", resource("more"), expires_at=200.0)
    made.authorize("alice", resource("over"), expires_at=40.0)
    made.authorize("bob", resource("net"), expires_at=300.0)
    resolve(made)
    made.domain_resolved(
        "alice",
        "more",
        "a.example.com",
        proxy_addresses=PROXIES[1:],
        resolved_addresses=["11.0.0.1", "11.0.0.2"],
    )
    for direction, packet in (*PROBES, (OUTBOUND, FIRST)):
        made.handle_packet(direction, packet, 1.0)
    # It is not taken apart yet.
    with pytest.MonkeyPatch.context() as patch:
        for module in (clients, gateway):
            patch.setattr(module, "STEPS_OF_A_PACKET", 0)
        made.handle_packet(OUTBOUND, b"", NOW)
        for direction, packet in PROBES:
            made.handle_packet(direction, packet)
    return made


def use(made: Gateway) -> list[str]:
    """Use a gateway in every way; return which resources permit what nobody is authorized for."""
    held = {one: made.authorizations(one) for one in made.clients()}
    decisions = [made.handle_packet(*probe) for probe in PROBES]
    permitted = {
        (one.client_id, one.resource_id)
        for one in decisions
        if isinstance(one, Forward | Translate)
    }
    made.poll_timeout()
    fetch(made)
    for direction, packet in PROBES:
        made.handle_packet(direction, packet, NOW + 1.0)
    made.handle_timeout(1_000.0)
    fetch(made)
    made.counters()
    for probe in PROBES:
        made.handle_packet(*probe)
    return [
        f"{client_id}: {resource_id}"
        for client_id, resource_id in permitted
        if resource_id is not None and resource_id not in held.get(client_id, {})
    ]


def fetch(made: Gateway) -> None:
    for _ in range(1_000):
        if made.poll_event() is None:
            return
    pytest.fail("there is no end of events")  # pragma: no cover


MANY = 10_000

LINEAR = {"retain", "end", "authorize-new-that-is-over", "authorize-over"}
"""What these take away stays so, whatever fails afterwards: `retain_authorizations` goes client by
client, and the others end something, or take apart what is over, first."""

NAMES = ("net", "timed", "local", "internet", "app", "more")


def authorizing(name: str) -> Hook:
    return lambda g: g.authorize("alice", resource(name, 444))


def revoking(name: str) -> Hook:
    return lambda g: g.revoke("alice", name)


HOOKS: dict[str, Hook] = {
    "connect": lambda g: g.client_connected("carol", TunnelAddresses("100.64.0.9"), NOW),
    "connect-again": lambda g: g.client_connected("alice", TunnelAddresses(NEAR), NOW),
    "connect-elsewhere": lambda g: g.client_connected("alice", TunnelAddresses("100.64.0.9")),
    "disconnect": lambda g: g.client_disconnected("alice"),
    "authorize-new": lambda g: g.authorize("alice", resource("new")),
    "authorize-new-that-expires": lambda g: g.authorize("alice", resource("new"), expires_at=60.0),
    "authorize-new-that-is-over": lambda g: g.authorize("alice", resource("new"), expires_at=3.0),
    "authorize-over": lambda g: g.authorize("alice", resource("over")),
    **{f"authorize-{name}": authorizing(name) for name in NAMES},
    **{f"revoke-{name}": revoking(name) for name in NAMES},
    "revoke-last": lambda g: g.revoke("bob", "net"),
    "update": lambda g: g.update_resource(resource("net", 444)),
    "update-name": lambda g: g.update_resource(resource("app", 444)),
    "extend": lambda g: g.update_expiry("alice", "timed", 150.0),
    "never-end": lambda g: g.update_expiry("alice", "timed", None),
    "end": lambda g: g.update_expiry("alice", "timed", 10.0),
    "end-name": lambda g: g.update_expiry("alice", "app", 10.0),
    "retain": lambda g: g.retain_authorizations({"alice": ["wide", "app"]}),
    "resolve-again": lambda g: g.domain_resolved(
        "alice",
        "app",
        "a.example.com",
        proxy_addresses=PROXIES,
        resolved_addresses=["11.0.0.3"],
    ),
    "renumber": lambda g: resolve(g, "app", "b.example.com"),
    "withdraw-name": lambda g: g.domain_withdrawn("alice", "a.example.com"),
    "set-addresses": lambda g: g.set_addresses(TunnelAddresses("100.64.0.77")),
}


class Fuse:
    """Notes lower calls, and lets the n-th fail."""

    def __init__(self, number: int, *, of_the_tree: bool = False) -> None:
        self.left = number
        self.of_the_tree = of_the_tree
        self.places: list[str] = []

    def __call__(self, frame: FrameType, event: str, arg: object) -> None:  # pragma: no cover
        code = frame.f_code
        # (Closing a generator resumes it as well, and nobody is there to notice an error.)
        if code.co_name == "<genexpr>":
            return
        if event == "call" and not self.of_the_tree and code.co_filename.startswith(SOURCES):
            place = code.co_qualname
        elif event == "c_call" and type(getattr(arg, "__self__", None)).__name__ == "Radix":
            place = f"Radix.{getattr(arg, '__name__', '')} in {code.co_qualname}"
        else:
            return
        self.places.append(place)
        self.left -= 1
        if self.left < 0:
            raise FailedError(place)


def fail(hook: Hook, made: Gateway, number: int, *, of_the_tree: bool = False) -> list[str]:
    """Call a hook whose lower call of this number fails, if there is one; return its calls."""
    fuse = Fuse(number, of_the_tree=of_the_tree)
    before = sys.getprofile()
    sys.setprofile(fuse)
    try:
        hook(made)
    except FailedError:
        pass
    finally:
        sys.setprofile(before)
    return fuse.places


def first_and_last(places: list[str]) -> set[int]:
    """Return the numbers of the first and the last call of each function that may fail."""
    numbers = {place: number for number, place in reversed([*enumerate(places)])}
    numbers_last = {place: number for number, place in enumerate(places)}
    return {
        number
        for place, number in (*numbers.items(), *numbers_last.items())
        if place not in CANNOT_FAIL | HALF_DONE and not place.startswith("PlacedHeap.")
    }


OPTIONS = {
    "plain": GatewayOptions(),
    "recorded": GatewayOptions(flow_records=True),
    "stateful": GatewayOptions(stateful=True),
    "all": GatewayOptions(stateful=True, flow_records=True),
}

CANNOT_FAIL = {
    "Agenda.__len__",
    "Agenda.first",
    "Agenda.remove",
    "Expiries._entry",
    "Expiries._find_next",
    "InternetAccess.__bool__",
    "FlowQueue.remove_first",
    "_agenda",
    "discard",
}
"""These, and the heaps of `structures`, move and remove what there is: they need no memory."""

HALF_DONE = {
    "ClientRecords._depart",
    "ClientRecords._is_over",
    "FlowLog.is_over",
    "FlowRecord.note_end",
}
"""If one of these fails, it leaves something at which later calls raise: still to be mended."""


def everything(made: Gateway) -> list[object]:
    """Return all that a host can find out."""
    return [
        *(made.authorizations(one) for one in made.clients()),
        made.poll_timeout(),
        *(made.handle_packet(*probe) for probe in PROBES),
        list(iter(made.poll_event, None)),
        made.counters(),
    ]


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize(
    "hook",
    [one for name, one in HOOKS.items() if name not in LINEAR],
    ids=[name for name in HOOKS if name not in LINEAR],
)
def test_a_hook_whose_call_of_the_tree_fails_has_changed_nothing(
    hook: Hook, options: GatewayOptions
) -> None:
    for number, place in enumerate(fail(hook, make(options), MANY, of_the_tree=True)):
        made = make(options)
        assert fail(hook, made, number, of_the_tree=True)[-1] == place
        assert everything(made) == everything(make(options)), place


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("hook", HOOKS.values(), ids=HOOKS)
def test_a_hook_that_fails_leaves_no_access_that_nobody_gave_and_nothing_that_raises(
    hook: Hook, options: GatewayOptions, *, thorough: bool
) -> None:
    numbers = sorted(first_and_last(fail(hook, make(options), MANY)))
    for number in numbers if thorough else numbers[::16]:
        made, again = make(options), make(options)
        place = fail(hook, made, number)[-1]
        assert use(made) == [], f"call {number}, of {place}"
        fail(hook, again, number)
        hook(again)
        assert use(again) == [], f"called again after call {number}, of {place}"


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("hook", ["disconnect", "connect-again", "end"])
def test_what_is_remembered_counts_no_more_even_if_forgetting_it_fails(
    hook: str, options: GatewayOptions
) -> None:
    places = fail(HOOKS[hook], make(options), MANY)
    # (Compiled, this is done in C, where nothing can be made to fail.)
    numbers = [number for number, place in enumerate(places) if place == "FlowQueue.remove"]
    assert bool(numbers) is not IS_COMPILED
    for number in numbers:
        made = make(options)
        fail(HOOKS[hook], made, number)
        if hook != "end":
            made.client_disconnected("alice")
        assert use(made) == []


@pytest.mark.parametrize("flow_records", [False, True], ids=["plain", "recorded"])
def test_a_flow_does_not_live_on_where_its_end_fails(*, flow_records: bool) -> None:
    options = GatewayOptions(stateful=True, flow_records=flow_records)
    made = make(options)
    answer = INBOUND, came(HOSTS["net"], OTHER)
    assert made.handle_packet(*answer, NOW).allowed

    places = fail(HOOKS["revoke-last"], make(options), MANY)
    place = places.index("ClientFlows.withdraw_resource")
    fail(HOOKS["revoke-last"], made, place)

    assert made.authorizations("bob") == {}
    assert not made.handle_packet(*answer).allowed
    assert not made.handle_packet(OUTBOUND, sent(OTHER, HOSTS["net"])).allowed
    # Nor does it come back with the next authorization.
    made.authorize("bob", resource("net"))
    assert not made.handle_packet(*answer).allowed


def test_a_flow_that_is_half_ended_is_ended_by_the_next_call() -> None:
    options, hook = OPTIONS["stateful"], HOOKS["withdraw-name"]
    made, whole = make(options), make(options)
    place = fail(hook, make(options), MANY).index("ClientFlows.ended")
    fail(hook, made, place)
    assert hook(made)
    assert hook(whole)
    assert made.counters() == whole.counters()
    assert use(made) == []
