"""The flows of one client, which packets begin, prolong and end (rules.md, section 7).

A flow lives by its packets, as a session of the NAT does (`tracking`), and besides no longer
than the authorization that permitted its first packet: those of one resource are a group, which
ends at once with the authorization.

Reading and writing are separate. `find` and `new_flow` only read, at the caller's `now`; a flow
that is gone counts as gone there, whether or not it has been forgotten. `open`, `follow` and the
`withdraw*` methods write, and packets get to these only once they have been allowed.
"""

from collections.abc import Callable, Collection
from typing import Final

from firezone_filter.packet.numbers import ACK, SYN
from firezone_filter.stateful.identity import far_end
from firezone_filter.structures.generation import Generation
from firezone_filter.tracking.lifetimes import Group, TrackedSession
from firezone_filter.tracking.sessions import ClientSessions, SessionPool

NO_PORT: Final = 0
"""A flow has one far port, so which one makes no difference to its lifetime."""


class FlowGroup(Group):
    """The flows that one authorization permitted."""

    __slots__ = ("resource_id",)

    held: dict[bytes, "Flow"]

    def __init__(self, resource_id: str, ends_at: float) -> None:
        super().__init__(ends_at)
        self.resource_id: str = resource_id


class Flow(TrackedSession):
    """A flow that the client has begun; its key is its identity."""

    __slots__ = ()

    group: FlowGroup
    key: bytes


class ClientFlows(ClientSessions[Flow]):
    """The flows of one client."""

    __slots__ = ("_by_identity", "_ends_at", "_groups", "_release", "generation")

    def __init__(
        self,
        pool: SessionPool[Flow],
        connected: int,
        ends_at: Callable[[str], float],
        release: Callable[[Flow, int], None],
        generation: Generation,
    ) -> None:
        """Begin without any.

        Args:
            pool: the flows of all clients.
            connected: numbers the clients in the order of their coming.
            ends_at: returns when the authorization for a resource ends; infinity for never.
            release: removes what is stored for a flow that has ended, given its protocol.
            generation: moves on when translated flows may have taken over direct ones.
        """
        super().__init__(pool, connected)
        # Those that are gone included, until they are forgotten.
        self._by_identity: dict[bytes, Flow] = {}
        # Those that policy has not withdrawn. None is without flows.
        self._groups: dict[str, FlowGroup] = {}
        self._ends_at = ends_at
        self._release = release
        self.generation: Generation = generation

    # --- Reading ---------------------------------------------------------------------------

    def find(self, identity: bytes | None, now: float) -> Flow | None:
        """Return the live flow of a packet, or `None`."""
        # (No flow has the identity `None`.)
        flow = self._by_identity.get(identity)  # type: ignore[arg-type]
        return flow if flow is not None and not flow.is_gone(now) else None

    def living(self, now: float) -> list[Flow]:
        """Return the flows that live, in the order in which they began."""
        return [flow for flow in self._by_identity.values() if not flow.is_gone(now)]

    def new_flow(self, identity: bytes, resource_id: str, now: float) -> Flow | None:
        """Return the flow that `open` would begin; `None` if there is no room.

        Args:
            identity: its identity, of which no flow lives.
            resource_id: the resource that permits its first packet.
            now: the time.
        """
        pool = self.pool
        is_crowded = self.count >= pool.per_client or pool.count >= pool.in_all
        if is_crowded and not self.room(now).is_there:
            return None
        return Flow(self._group(resource_id), identity, identity[-1])

    def _group(self, resource_id: str) -> FlowGroup:
        group = self._groups.get(resource_id)
        return group or FlowGroup(resource_id, self._ends_at(resource_id))

    # --- Changing --------------------------------------------------------------------------

    def open(self, flow: Flow, port: int, flags: int, now: float) -> None:
        """Begin a flow that `new_flow` returned, with its first packet, at the same time.

        Arguments as `see`.
        """
        before = self._by_identity.get(flow.key)
        if before is not None:
            # It is gone, or `new_flow` would not have been asked.
            self.take_apart(before, now)
        pool = self.pool
        if self.count >= pool.per_client or pool.count >= pool.in_all:
            self.make_room(now)
        # (Those may have been the last of their group.)
        self._groups[flow.group.resource_id] = flow.group
        self._by_identity[flow.key] = flow
        is_over = flow.see_first(port, flags, now)
        self.add(flow)
        if is_over:
            self.end(flow, now)

    def follow(
        self, flow: Flow, resource_id: str, flags: int, now: float, *, outbound: bool
    ) -> None:
        """Let an allowed packet confirm, prolong, restart or end its flow.

        Args:
            flow: the packet's.
            resource_id: the resource that permits the packet.
            flags: its TCP flags; 0 for other protocols.
            now: the time.
            outbound: whether the client sent it.
        """
        if (
            outbound
            and flags & (SYN | ACK) == SYN
            and flow.group.resource_id != resource_id
            and flow.is_restarted_by(NO_PORT)
        ):
            # Another connection, so it lives by the authorization that permits it.
            before, group = flow.group, self._group(resource_id)
            self._groups[resource_id] = group
            self.regroup(flow, group)
            self._drop_if_empty(before)
        self.see(flow, NO_PORT, flags, now, outbound=outbound)

    def ended(self, session: Flow, at: float | None) -> None:  # noqa: ARG002 - leaves no trace
        """Remove a flow that has left its group."""
        flows = self._by_identity
        del flows[session.key]
        if not flows:
            flows.clear()  # an empty dict keeps its memory
        self._drop_if_empty(session.group)
        if session.outbound_key is not None or session.inbound_key is not None:
            self._release(session, session.key[-1])

    def _drop_if_empty(self, group: FlowGroup) -> None:
        # (Policy has removed it already if it has withdrawn it; there may be another by now.)
        if not group.held and self._groups.get(group.resource_id) is group:
            del self._groups[group.resource_id]

    def note_expiry(self, resource_id: str) -> None:
        """Take note that the expiry of an authorization has been set."""
        group = self._groups.get(resource_id)
        if group is not None:
            self.set_end(group, self._ends_at(resource_id))

    def withdraw_resource(self, resource_id: str, at: float) -> None:
        """End the flows that the authorization for a resource permitted, at *at*."""
        group = self._groups.pop(resource_id, None)
        if group is not None:
            self.withdraw(group, at)

    def withdraw_far(self, far: Collection[bytes], now: float) -> None:
        """End the flows to some far addresses."""
        # It looks at each flow of the client. `read_identity` would make that ten times as long.
        ended = [flow for key, flow in self._by_identity.items() if far_end(key) in far]
        for flow in ended:
            self.take_apart(flow, now)

    def close(self) -> None:
        """Remove everything of this client from what all clients share, flow by flow."""
        for flow in self._by_identity.values():
            self._remove(flow)
        self._by_identity.clear()
        self._groups.clear()
        super().close()

    def shift_clock(self, by: float) -> None:
        """Move every moment by so many seconds: the host's clock has been set, or has begun."""
        for flow in self._by_identity.values():
            flow.shift_clock(by)
        super().shift_clock(by)
