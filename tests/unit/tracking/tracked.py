"""Sessions for the tests of tracking, and packets for them."""

from collections.abc import Callable

from firezone_filter.packet.numbers import ACK, FIN, TCP, UDP
from firezone_filter.tracking.lifetimes import Group, TrackedSession
from firezone_filter.tracking.sessions import ClientSessions, SessionPool

NO_LIMIT = 1_000_000

Pool = SessionPool[TrackedSession]
Step = Callable[[TrackedSession, float], bool]


class Sessions(ClientSessions[TrackedSession]):
    """A client's sessions, with all that have ended, and when; `None` if policy did it."""

    def __init__(self, pool: Pool, connected: int = 0) -> None:
        super().__init__(pool, connected)
        self.group = Group()
        self.have_ended: list[tuple[TrackedSession, float | None]] = []

    def ended(self, session: TrackedSession, at: float | None) -> None:
        self.have_ended.append((session, at))

    def proposed(self, protocol: int = UDP, group: Group | None = None) -> TrackedSession:
        return TrackedSession(group or self.group, object(), protocol)


def pool_of(per_client: int = NO_LIMIT, in_all: int = NO_LIMIT) -> Pool:
    return SessionPool(per_client, in_all)


def out(port: int = 443, flags: int = ACK) -> Step:
    return lambda session, now: session.see_outbound(port, flags, now)


def back(port: int = 443, flags: int = ACK) -> Step:
    return lambda session, now: session.see_inbound(port, flags, now)


def begun(
    mine: Sessions, protocol: int = UDP, now: float = 0.0, group: Group | None = None
) -> TrackedSession:
    session = mine.proposed(protocol, group)
    session.see_outbound(443, 0, now)
    mine.add(session)
    return session


def sent(mine: Sessions, session: TrackedSession, now: float, flags: int = 0) -> None:
    session.see_outbound(443, flags, now)
    mine.note(session, outbound=True)


def came(mine: Sessions, session: TrackedSession, now: float, flags: int = 0) -> None:
    session.see_inbound(443, flags, now)
    mine.note(session, outbound=False)


def answered(mine: Sessions, protocol: int = UDP, now: float = 0.0) -> TrackedSession:
    session = begun(mine, protocol, now)
    came(mine, session, now)
    return session


def with_fin(mine: Sessions, now: float = 0.0) -> TrackedSession:
    """Begin a session to which the client has said FIN."""
    session = answered(mine, TCP, now)
    sent(mine, session, now, FIN)
    return session


def closing(mine: Sessions, now: float = 0.0) -> TrackedSession:
    session = with_fin(mine, now)
    came(mine, session, now, FIN)
    return session
