"""What the quick way of a flow's packets leaves to the slow one."""

import pytest

from firezone_filter import Forward
from firezone_filter.packet.numbers import ACK, TCP
from firezone_filter.structures.generation import NEVER_OUTDATED
from firezone_filter.tracking.handlers import SteadyFlow
from tests.unit.tracking.tracked import Sessions, pool_of

OWN, OTHER = 443, 80


class Flow(SteadyFlow):
    """A flow whose slow way has no decision."""

    def handle_slowly(self, _packet: bytes, _now: float) -> None:
        return None


@pytest.mark.parametrize("port", [OWN, OTHER])
@pytest.mark.parametrize("state", ["is_steady", "is_half_closed"])
def test_a_packet_to_another_port_makes_it_a_session_of_several(state: str, port: int) -> None:
    sessions = Sessions(pool_of())
    session = sessions.proposed(TCP)
    session.is_open, session.resource_port = True, OWN
    setattr(session, state, True)
    forward = Forward("alice", "db")
    flow = Flow(sessions, session, 20, port, forward, None, NEVER_OUTDATED, True, True)  # noqa: FBT003
    packet = bytes(33) + bytes([ACK])
    assert flow.handle(packet, 1.0) is (forward if port == OWN else None)
