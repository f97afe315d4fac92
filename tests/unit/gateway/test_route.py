"""How many calls in how many modules the usual packets and hooks make.

Calls are what the time of a first packet goes into, and hand-offs are what a reader has to
follow: a route that has changed fails, and prints itself. The numbers in the names are those
of the plain build, and stand in architecture.md; what the extension module does is no call.
"""

import gc
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import firezone_filter
from firezone_filter import CidrResource, DnsResource, Tcp, Udp
from firezone_filter.compiled.twins import IS_COMPILED
from firezone_filter.testing import patched
from tests.scenes import OUTBOUND, V4, gateway_for_alice
from tests.translations import N4, through

SOURCES = Path(firezone_filter.__file__).parent

Step = tuple[str, str]


def route(call: Callable[[], object]) -> list[Step]:
    """Return the functions of the package that a call enters: module and name, in order."""
    steps: list[Step] = []

    def note(frame: FrameType, event: str, _: object) -> None:  # pragma: no cover - it takes
        # the place of the tracer that measures coverage.
        code = frame.f_code
        path = Path(code.co_filename)
        if event == "call" and path.is_relative_to(SOURCES):
            steps.append((str(path.relative_to(SOURCES)), code.co_qualname))

    before = sys.getprofile()
    gc.disable()  # what it would free may call functions of the package, too
    sys.setprofile(note)
    try:
        call()
    finally:
        sys.setprofile(before)
        gc.enable()
    return steps


def assert_takes(
    steps: list[Step], calls: int, modules: int, *, compiled: tuple[int, int] | None = None
) -> None:
    """Compare a route with its calls and modules; those of a compiled build, where they differ."""
    # `pytest` shows this when the test fails.
    print(*(f"{module} {name}" for module, name in steps), sep="\n")  # noqa: T201
    expected = compiled if IS_COMPILED and compiled is not None else (calls, modules)
    assert (len(steps), len({module for module, _ in steps})) == expected


def test_the_first_packet_of_a_translated_flow_makes_25_calls_in_15_modules() -> None:
    gateway = gateway_for_alice(DnsResource("app", "*.example.com", [Tcp()]))
    gateway.domain_resolved(
        "alice",
        "app",
        "app.example.com",
        proxy_addresses=N4.proxies[:1],
        resolved_addresses=N4.real[:1],
    )
    # Another session, so that what is made once has been made.
    gateway.handle_packet(OUTBOUND, N4.sent("tcp", 1), 1.0, "alice")
    decisions: list[object] = []
    packet = N4.sent("tcp", 2)
    steps = route(lambda: decisions.append(gateway.handle_packet(OUTBOUND, packet, 1.0, "alice")))
    assert decisions == [through(N4.sent("tcp", 2, far=N4.real[0]))]
    assert_takes(steps, 25, 15, compiled=(13, 8))


def test_the_first_packet_to_a_network_makes_4_calls_in_4_modules() -> None:
    gateway = gateway_for_alice(V4.db(Tcp(443)))
    # Another flow, so that what is made once has been made.
    packet = V4.tcp(OUTBOUND)
    other = patched(packet, 20, b"\x30\x39")
    assert gateway.handle_packet(OUTBOUND, other, 1.0, "alice").allowed
    steps = route(lambda: gateway.handle_packet(OUTBOUND, packet, 1.0, "alice"))
    assert_takes(steps, 4, 4, compiled=(0, 0))


def test_an_established_flow_makes_no_call_but_the_one() -> None:
    gateway = gateway_for_alice(V4.db())
    packet = V4.tcp(OUTBOUND)
    gateway.handle_packet(OUTBOUND, packet, 1.0, "alice")
    steps = route(lambda: gateway.handle_packet(OUTBOUND, packet, 1.0, "alice"))
    # The extension module makes none at all.
    alone = [] if IS_COMPILED else [("gateway/lookup.py", "FlowLookup.handle_packet")]
    assert steps == alone


def test_authorizing_a_new_resource_that_expires_makes_48_calls_at_most() -> None:
    gateway = gateway_for_alice(V4.db())
    resource = CidrResource("new", "10.5.0.0/16", [Tcp(443), Udp(53)])
    steps = route(lambda: gateway.authorize("alice", resource, expires_at=5_000.0))
    # (Fewer, if equal filters are in use elsewhere.)
    assert len(steps) <= 48
    assert gateway.authorizations("alice")["new"] == 5_000.0
