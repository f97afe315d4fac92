"""Flow handlers: what decides about the next packets of an established flow.

Theory of operation. A handler is for one flow in one direction, made when its first packet has
been allowed, and stored in the flow cache. It asks for no permission again. That is safe because
the cache is invalidated with every change of the client's permissions, and because the handler
looks at its session's time and end with every packet.

The packets of a session or of a flow of `stateful` are handled in two ways. The quick way
(`SteadyFlow`) is for a steady session, before the moment at which the first of the client's may
be gone (`SessionLanes.next`): it notes the time, as far as that counts, and puts the session at
the end of its lane. It has a twin in C, and the compiled look-up calls that without Python in
between (`Quick`). Everything else takes the slow way (`SessionFlow`), the same `commit` as that
of a first packet.

Two kinds of session are quick without being steady, since a host may have many packets of
either: connections that the client has closed from its side while the far end still sends, and
datagrams that are never answered (syslog).

A flow may need two handlers: it is translated and counted, or tracked and either. `Joined` has
one decide, and the other follow with what that lets pass.
"""

from collections.abc import Callable
from typing import Any, Protocol, cast

from firezone_filter.compiled.twins import compiled
from firezone_filter.packet.headers import Headers
from firezone_filter.packet.numbers import STATE_FLAGS, TCP_FLAGS_AT
from firezone_filter.structures.generation import Generation
from firezone_filter.structures.heaps import NO_PLACE
from firezone_filter.tracking.lifetimes import UNCAPPED, SessionState
from firezone_filter.tracking.sessions import SessionLanes
from firezone_filter.values.decisions import Forward, Translate, make_translate

CountFragment = Callable[[Headers, bytes, float], None]
"""Counts a later fragment for a flow record, given its headers, the packet and the time."""


class FlowHandler(Protocol):
    """Decides about the next packets of an established flow, each of which has an effect.

    That of a translated flow prolongs the session, that of a tracked one (`stateful`) the flow;
    that of a counted one adds to the flow record.
    """

    client_id: str
    """The client at the near end."""

    def handle(self, packet: bytes, now: float) -> Forward | Translate | None:
        """Decide about a packet, and apply its effect; return `None` to have it judged.

        The caller has checked that lengths, options and fragment bits are those of a whole
        packet with this flow key.
        """


class AppliesRewriting(Protocol):
    """Rewrites the packets of one flow."""

    def apply(self, packet: bytes) -> bytes:
        """Return a packet of the flow rewritten."""


@compiled
class Quick:
    """A flow handler with a twin: the compiled look-up calls it in C, any other in Python."""

    __slots__ = ("client_id",)

    client_id: str


@compiled
class SteadyFlow(Quick):
    """The packets of one session in one direction: the quick way."""

    __slots__ = (
        "_born",
        "_generation",
        "flags_at",
        "is_outbound",
        "is_tcp",
        "permitted",
        "port",
        "rewriting",
        "session",
        "sessions",
    )

    def __init__(  # noqa: PLR0913, PLR0917 - the facts about a flow
        self,
        sessions: SessionLanes,
        session: SessionState,
        transport: int,
        port: int,
        permitted: Forward,
        rewriting: AppliesRewriting | None,
        generation: Generation,
        is_tcp: bool,  # noqa: FBT001 - keywords take 50 ns
        is_outbound: bool,  # noqa: FBT001
    ) -> None:
        """Prepare to handle the packets of a flow.

        Args:
            sessions: the client's.
            session: the flow's, which may only be proposed.
            transport: the index of the transport header in its packets.
            port: the resource's port; where there is none, the same number each time.
            permitted: the permission for its packets: the decision, unless they are translated.
            rewriting: translates them; `None` if they go on unchanged.
            generation: the flow is judged anew once this has moved on.
            is_tcp: whether it is one of TCP.
            is_outbound: whether the client sends them.
        """
        self.client_id: str = permitted.client_id
        self.sessions: Any = sessions
        self.session: Any = session
        self.flags_at: int = transport + TCP_FLAGS_AT
        self.port: int = port
        self.permitted: Forward = permitted
        self.rewriting: AppliesRewriting | None = rewriting
        self._generation, self._born = generation, generation.number
        self.is_tcp: bool = is_tcp
        self.is_outbound: bool = is_outbound

    def handle(self, packet: bytes, now: float) -> Forward | Translate | None:
        """Let one of the flow's next packets pass, and apply it to its session.

        Returns:
            The decision; `None` if the session is gone or the flow may belong to another by now:
            then the packet is judged like the first of a flow.
        """
        if self._born != self._generation.number:
            return None
        if (
            now >= self.sessions.next
            or (self.is_tcp and packet[self.flags_at] & STATE_FLAGS)
            or not self._note(now)
        ):
            return self.handle_slowly(packet, now)
        return self.permitted if self.rewriting is None else self.translate(packet)

    def _note(self, now: float) -> bool:  # noqa: C901, PLR0911, PLR0912 - each way to count
        """Note the time of a packet without state flags; return whether there is no more to do."""
        session, sessions = self.session, self.sessions
        if session.is_steady:
            if self.is_outbound:
                # Another port would make it a session of several.
                if self.is_tcp and self.port != session.resource_port:
                    return False
                # Within a burst at one `now` only the first of its packets counts.
                if now == session.last_outbound:
                    return True
                session.last_outbound = now
                lane = sessions.established
                if not self.is_tcp:
                    session.last = now
                    lane = sessions.datagrams
            # What comes in does not prolong TCP.
            elif self.is_tcp or now == session.last:
                return True
            elif now < session.last_outbound + UNCAPPED:
                session.last = now
                lane = sessions.datagrams
            else:
                return False
        elif session.is_half_closed:
            if self.is_outbound and self.port != session.resource_port:
                return False
            sessions.see_half_closed(session, now, outbound=self.is_outbound)
            return True
        # But for TCP, what is not steady was never answered. (Each packet counts, also at one
        # `now`: they are the order in which such sessions give way.)
        elif session.is_open and self.is_outbound and not self.is_tcp:
            session.last = session.last_outbound = now
            lane = sessions.unanswered
        else:
            return False
        if session.after is not lane:
            if session.place == NO_PLACE:
                lane.append(session)
            else:
                sessions.prolong(session, lane)
        return True

    def translate(self, packet: bytes) -> Forward | Translate:
        """Return the decision about a packet of the flow. This has no effect."""
        permitted = self.permitted
        if self.rewriting is None:
            return permitted
        changed = self.rewriting.apply(packet)
        return make_translate(changed, permitted.client_id, cast("str", permitted.resource_id))

    def handle_slowly(self, packet: bytes, now: float) -> Forward | Translate | None:
        """Do as `handle` for a packet that may do more to its session than prolong it."""
        raise NotImplementedError


class SessionFlow(SteadyFlow):
    """The packets of one session in one direction."""

    __slots__ = ()

    def lives(self, now: float) -> bool:
        """Tell whether the session lives."""
        return self.sessions.lives(self.session, now)  # type: ignore[no-any-return]

    def commit(self, packet: bytes, now: float) -> bool:
        """Apply an allowed packet to its session, and begin that if it is new; return whether."""
        flags = packet[self.flags_at] if self.is_tcp else 0
        if self.session.is_open:
            self.follow(flags, now)
            return False
        self.sessions.open(self.session, self.port, flags, now)
        return True

    def follow(self, flags: int, now: float) -> None:
        """Apply a packet with such TCP flags (or 0) to its session, which is open."""
        self.sessions.see(self.session, self.port, flags, now, outbound=self.is_outbound)

    def handle_slowly(self, packet: bytes, now: float) -> Forward | Translate | None:
        """Handle a packet that may do more to its session than prolong it."""
        if not self.lives(now):
            return None
        self.commit(packet, now)
        return self.translate(packet)


@compiled
class Joined(Quick):
    """Two handlers of one flow: one decides, and another follows with what that lets pass."""

    __slots__ = ("decides", "follows", "tracked")

    def __init__(
        self, decides: FlowHandler, follows: FlowHandler, tracked: SessionFlow | None = None
    ) -> None:
        """Join two handlers; neither decides anything once the session of *tracked* is gone."""
        self.client_id: str = decides.client_id
        self.decides: FlowHandler = decides
        self.follows: FlowHandler = follows
        self.tracked: SessionFlow | None = tracked

    def handle(self, packet: bytes, now: float) -> Forward | Translate | None:
        """Decide about a packet, and apply it to both; return `None` to have it judged."""
        # Neither may have an effect before both have let the packet pass.
        if self.tracked is not None and not self.tracked.lives(now):
            return None
        decision = self.decides.handle(packet, now)
        if decision is not None:
            self.follows.handle(packet, now)
        return decision
