"""How many calls in how many modules the usual packets and hooks make.

Calls are what the time of a first packet goes into, and hand-offs are what a reader has to
follow: a route that has become longer fails, and prints itself.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import firezone_filter
from firezone_filter import CidrResource, DnsResource, Tcp, Udp
from tests.builders import patched
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
    sys.setprofile(note)
    try:
        call()
    finally:
        sys.setprofile(before)
    return steps


def assert_no_longer(steps: list[Step], *, calls: int, modules: int) -> None:
    # `pytest` shows this when the test fails.
    print(*(f"{module} {name}" for module, name in steps), sep="\n")  # noqa: T201
    assert len(steps) <= calls
    assert len({module for module, _ in steps}) <= modules


def test_the_first_packet_of_a_translated_flow_makes_48_calls_in_13_modules() -> None:
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
    assert_no_longer(steps, calls=48, modules=13)


def test_the_first_packet_to_a_network_makes_6_calls_in_5_modules() -> None:
    gateway = gateway_for_alice(V4.db(Tcp(443)))
    # Another flow, so that what is made once has been made.
    other = patched(V4.tcp(OUTBOUND), 20, b"\x30\x39")
    assert gateway.handle_packet(OUTBOUND, other, 1.0, "alice").allowed
    steps = route(lambda: gateway.handle_packet(OUTBOUND, V4.tcp(OUTBOUND), 1.0, "alice"))
    assert_no_longer(steps, calls=6, modules=5)


def test_an_established_flow_makes_no_call_but_the_one() -> None:
    gateway = gateway_for_alice(V4.db())
    gateway.handle_packet(OUTBOUND, V4.tcp(OUTBOUND), 1.0, "alice")
    steps = route(lambda: gateway.handle_packet(OUTBOUND, V4.tcp(OUTBOUND), 1.0, "alice"))
    assert steps == [("gateway/gateway.py", "Gateway.handle_packet")]


def test_authorizing_a_new_resource_that_expires_makes_48_calls() -> None:
    gateway = gateway_for_alice(V4.db())
    resource = CidrResource("new", "10.5.0.0/16", [Tcp(443), Udp(53)])
    steps = route(lambda: gateway.authorize("alice", resource, expires_at=5_000.0))
    assert_no_longer(steps, calls=48, modules=19)
    assert gateway.authorizations("alice")["new"] == 5_000.0
