"""`ClientFlows`, and the handlers of flows: what no packet shows from outside."""

import math
import sys
from random import Random

import pytest

from firezone_filter import Forward
from firezone_filter.packet.numbers import ACK, FIN, RST, SYN
from firezone_filter.stateful.flows import NO_PORT, ClientFlows, Flow
from firezone_filter.stateful.handlers import Tracking, track
from firezone_filter.structures.generation import Generation
from firezone_filter.testing import tcp, udp
from firezone_filter.tracking.lifetimes import DATAGRAM, ESTABLISHED, UNANSWERED
from firezone_filter.tracking.sessions import SessionPool
from tests.numbers import TCP, UDP

ENDS = {"db": math.inf, "guest": 5_000.0}
ONE = bytes(12) + bytes([TCP])
OTHER = bytes(12) + bytes([UDP])
TICK = 0.001
PERMITTED = Forward("alice", "db")
TRANSPORT = 20
FLOW = "100.64.0.2:5401 > 10.0.0.5:443"


class Flows(ClientFlows):
    """A client's flows, with those whose handlers have been released."""

    def __init__(self, most: int = 10) -> None:
        self.released: list[Flow] = []
        super().__init__(
            SessionPool(most, most), 0, ENDS.__getitem__, self._note_release, Generation()
        )

    def _note_release(self, flow: Flow, protocol: int) -> None:
        assert protocol == flow.key[-1]
        self.released.append(flow)

    def begun(self, identity: bytes, resource_id: str = "db", now: float = 0.0) -> Flow:
        flow = self.new_flow(identity, resource_id, now)
        assert flow is not None
        self.open(flow, NO_PORT, ACK, now)
        return flow


def test_proposing_a_flow_changes_nothing() -> None:
    flows = Flows()
    flows.new_flow(ONE, "db", 0.0)
    assert flows.find(ONE, 0.0) is None
    assert flows.count == flows.pool.count == 0
    assert flows.pool.upkeep.earliest() is None


@pytest.mark.parametrize("most", [1, 10])
def test_a_flow_takes_the_place_of_one_that_is_gone_and_not_forgotten(most: int) -> None:
    flows = Flows(most)
    before = flows.begun(ONE)
    before.inbound_key = b"key"
    flow = flows.begun(ONE, now=float(UNANSWERED))
    assert flows.find(ONE, UNANSWERED) is flow
    assert flows.released == [before]
    assert flows.count == 1
    assert not before.is_open


@pytest.mark.parametrize("regrouped", [True, False])
def test_a_resource_whose_flows_are_over_or_another_s_has_no_end_to_wait_for(
    regrouped: bool,  # noqa: FBT001 - a parameter
) -> None:
    flows = Flows()
    flow = flows.begun(ONE, "guest")
    if regrouped:
        flows.follow(flow, "guest", FIN, 1.0, outbound=True)
        flows.follow(flow, "db", SYN, 1.0, outbound=True)
    else:
        flows.end(flow, 1.0)
    # It is set anew, and comes.
    flows.note_expiry("guest")
    while flows.pool.forget(ENDS["guest"], 10):
        pass
    assert flows.count == 0
    assert flows.pool.upkeep.earliest() is None


def test_a_scan_keeps_no_memory_once_its_flows_are_over() -> None:
    # With thousands of clients each megabyte counts that one of them has needed once.
    flows = Flows(5_000)
    for number in range(5_000):
        flows.begun(number.to_bytes(12) + bytes([TCP]))
    while flows.pool.forget(UNANSWERED, 100):
        pass
    assert flows.count == 0
    assert sys.getsizeof(flows._by_identity) == sys.getsizeof({})


@pytest.mark.parametrize("shared", [True, False])
def test_a_restarted_flow_ends_with_the_authorization_that_permits_the_restart(
    shared: bool,  # noqa: FBT001 - a parameter
) -> None:
    flows = Flows()
    flow = flows.begun(ONE, "guest")
    if shared:
        flows.begun(OTHER, "guest")
    flows.follow(flow, "db", SYN, 1.0, outbound=True)
    assert flow.group.resource_id == "guest"
    flows.follow(flow, "db", FIN, 1.0, outbound=True)
    flows.follow(flow, "db", SYN | ACK, 1.0, outbound=True)
    assert flow.group.resource_id == "guest"
    flows.follow(flow, "db", SYN, 1.0, outbound=True)
    assert flow.group.resource_id == "db"
    flows.withdraw_resource("guest", 2.0)
    assert flows.find(ONE, 2.0) is flow
    assert flows.find(OTHER, 2.0) is None
    # And back, to a group of which the end is known.
    flows.follow(flow, "guest", FIN, 3.0, outbound=True)
    flows.follow(flow, "guest", SYN, 3.0, outbound=True)
    flows.follow(flow, "guest", ACK, 3.0, outbound=False)
    assert flows.find(ONE, ENDS["guest"] - TICK) is flow
    assert flows.find(ONE, ENDS["guest"]) is None
    assert flows.forget(ENDS["guest"], 10) == (2 if shared else 1)
    assert flows.due() is None


def test_a_flow_that_policy_has_ended_may_wait_while_another_takes_its_place() -> None:
    flows = Flows()
    flows.begun(ONE)
    flows.begun(OTHER)
    flows.withdraw_resource("db", 1.0)
    flow = flows.begun(ONE, now=1.0)
    assert flows.find(ONE, 1.0) is flow
    assert flows.forget(1.0, 10) == 1
    assert flows.count == 1


@pytest.mark.parametrize("outbound", [True, False])
@pytest.mark.parametrize("protocol", [TCP, UDP])
def test_a_handler_prolongs_as_the_table_says_wherever_the_flow_stood(
    protocol: int,
    outbound: bool,  # noqa: FBT001 - a parameter
) -> None:
    flows = Flows()
    identity = bytes(12) + bytes([protocol])
    flow = flows.begun(identity)
    packet = (tcp if protocol == TCP else udp)(FLOW)
    out = track(flows, flow, TRANSPORT, PERMITTED, outbound=True)
    back = track(flows, flow, TRANSPORT, PERMITTED, outbound=False)
    assert back.handle(packet, 1.0) == PERMITTED
    # At the cap nothing that comes in prolongs it, until the client sends again.
    steps = range(1, ESTABLISHED - 1, DATAGRAM - 1)
    for at in steps if protocol == UDP else ():
        assert back.handle(packet, float(at)) == PERMITTED
    last = flow.expires_at - TICK
    assert out.handle(packet, last) == PERMITTED
    if not outbound:
        last += 50.0
        assert back.handle(packet, last) == PERMITTED
    sent = last if outbound else last - 50.0
    over = sent + ESTABLISHED if protocol == TCP else last + DATAGRAM
    assert flow.expires_at == over
    assert flows.find(identity, over - TICK) is flow
    assert out.handle(packet, over) is None
    assert back.handle(packet, over) is None


class Refusing:
    """A handler that has each packet judged anew."""

    client_id = "alice"

    def handle(self, packet: bytes, now: float) -> None:
        """Have a packet judged anew."""


def test_a_packet_that_another_handler_does_not_let_pass_has_no_effect() -> None:
    flows = Flows()
    flow = flows.begun(ONE)
    tracked = track(flows, flow, TRANSPORT, PERMITTED, outbound=True)
    assert Tracking(tracked, Refusing()).handle(tcp(FLOW), 30.0) is None
    assert flow.expires_at == UNANSWERED


@pytest.mark.parametrize("seed", range(12))
def test_the_quick_ways_do_what_the_long_one_does(seed: int) -> None:
    draw = Random(seed)
    quick, long = Flows(), Flows()
    identities = [bytes([number] * 12) + bytes([(TCP, UDP)[number % 2]]) for number in range(4)]
    now = 0.0
    for _ in range(600):
        now += draw.choice((0.0, 0.0, 1.0, 30.0, 50.0))
        # Some clients hardly send: then flows reach the cap.
        identity, outbound = draw.choice(identities), draw.random() < (0.3, 0.01)[seed % 2]
        flags = draw.choices((ACK, SYN, FIN, RST), (200, 2, 4 if outbound else 0, 1))[0]
        packet = tcp(FLOW, flags=flags)
        for flows in (quick, long):
            flow = flows.find(identity, now)
            if flow is None:
                flows.forget(now, 10)
                flows.begun(identity, now=now)
                continue
            handler = track(flows, flow, TRANSPORT, PERMITTED, outbound=outbound)
            if flows is quick:
                assert handler.handle(packet, now) == PERMITTED
            else:
                handler.commit(packet, now)
        assert [end_of(quick, one, now) for one in identities] == [
            end_of(long, one, now) for one in identities
        ]
        gives_way = [flows.yielding().displaced for flows in (quick, long)]
        assert len({flow and flow.key for flow in gives_way}) == 1
    while (due := long.due()) is not None:
        assert quick.due() == due
        assert quick.forget(due, 10) == long.forget(due, 10)
    assert quick.due() is None


def test_of_two_half_closed_flows_the_one_that_the_client_uses_ends_later() -> None:
    flows = Flows()
    for at, number in enumerate((1, 2)):
        flow = flows.begun(bytes([number] * 12) + bytes([TCP]), now=float(at))
        for outbound, flags in ((False, ACK), (True, FIN)):
            flows.follow(flow, "db", flags, float(at), outbound=outbound)
    used = flows.find(bytes([1] * 12) + bytes([TCP]), 1.0)
    assert used is not None
    handler = track(flows, used, TRANSPORT, PERMITTED, outbound=True)
    # (What waits for its answer ends after 60 s, and until then nothing is gone.)
    assert handler.handle(tcp(FLOW), 50.0) == PERMITTED
    assert flows.due() == 1.0 + ESTABLISHED
    assert flows.forget(1.0 + ESTABLISHED, 10) == 1
    assert flows.due() == 50.0 + ESTABLISHED


def test_a_flow_at_the_cap_ends_before_one_that_was_prolonged_earlier() -> None:
    flows = Flows()
    handlers = {}
    for at, number in ((0.0, 1), (100.0, 2)):
        flow = flows.begun(bytes([number] * 12) + bytes([UDP]), now=at)
        handlers[number] = track(flows, flow, TRANSPORT, PERMITTED, outbound=False)
    # The last of the first comes behind the last of the second, and prolongs it to the cap only.
    for at in range(50, ESTABLISHED - 30, 60):
        if at > 100:
            assert handlers[2].handle(udp(FLOW), float(at)) == PERMITTED
        assert handlers[1].handle(udp(FLOW), at + 1.0) == PERMITTED
    assert flows.due() == ESTABLISHED
    # What goes out brings it back to the others, the quick way too.
    out = track(flows, handlers[1].session, TRANSPORT, PERMITTED, outbound=True)
    assert out.handle(udp(FLOW), ESTABLISHED - 1.0) == PERMITTED
    assert handlers[1].session.expires_at == ESTABLISHED - 1.0 + DATAGRAM
    assert flows.due() == handlers[2].session.expires_at < handlers[1].session.expires_at


def end_of(flows: Flows, identity: bytes, now: float) -> float | None:
    flow = flows.find(identity, now)
    return None if flow is None else flow.expires_at
