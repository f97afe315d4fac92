"""Sessions decide the same whether upkeep has all the time, a little, or none, as a model does.

Stories of packets, withdrawals and time, at tight limits, in which hundreds are over at once.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from hypothesis import given, settings
from hypothesis import strategies as st

from firezone_filter.nat.sessions import Session, SessionTable
from firezone_filter.packet.numbers import ACK, FIN, RST, SYN, TCP, UDP
from firezone_filter.structures.upkeep import Keeper, UpkeepQueue
from firezone_filter.tracking.sessions import SessionPool
from tests.translations import may_match

CLIENTS: Final = 3
PORT: Final = 443
PROXIES: Final = (b"\x64\x60\x00\x01", b"\x64\x60\x00\x02", b"\x64\x60\x00\x03")
# Two names share a host, so that their sessions want the same ports there.
REAL: Final = dict(
    zip(PROXIES, (b"\xc6\x33\x64\x01", b"\xc6\x33\x64\x01", b"\xc6\x33\x64\x02"), strict=True)
)
BUDGETS: Final = (0, 1, 2, 1_000_000)

Key = tuple[int, int, bytes]
Told = Key | str | None


# --- The model: everything that is over goes at once, and every look walks --------------------


@dataclass(eq=False)
class Mapping:
    client: int
    key: Key
    outside: Key
    out: float = 0.0
    last: float = 0.0
    answered: bool = False
    fins: set[str] = field(default_factory=set)
    reset: bool = False

    @property
    def closes(self) -> bool:
        return self.reset or len(self.fins) == 2

    @property
    def end(self) -> float:
        if self.closes:
            return self.out + 240
        if not self.answered:
            return self.out + 60
        if self.key[0] == TCP:
            return self.out + 7_440
        return min(self.last + 120, self.out + 7_440)


class Model:
    def __init__(self, per_client: int, in_all: int) -> None:
        self.limits = per_client, in_all
        self.sessions: list[Mapping] = []  # the longest without a packet first
        self.ends: dict[tuple[int, Key], float] = {}

    def pass_time(self, now: float) -> None:
        for session in [session for session in self.sessions if now >= session.end]:
            self._end(session, session.end)
        self.ends = {key: at for key, at in self.ends.items() if now < at + 240}

    def _end(self, session: Mapping, at: float) -> None:
        self.sessions.remove(session)
        self.ends[session.client, session.outside] = at

    def _see(self, session: Mapping, now: float) -> None:
        session.last = now
        self.sessions.remove(session)
        self.sessions.append(session)

    def sent(self, client: int, key: Key, flags: int, now: float) -> Told:
        found = [s for s in self.sessions if (s.client, s.key) == (client, key)]
        if found:
            session = found[0]
        else:
            opened = self._opened(client, key, now)
            if opened is None:
                return None
            session = opened
        if flags & (SYN | ACK) == SYN and (session.closes or session.fins):
            session.answered, session.fins = False, set()
        session.reset = False
        session.out = now
        self._see(session, now)
        if flags & FIN:
            session.fins.add("out")
        if flags & RST:
            self._end(session, now)
        return session.outside

    def _opened(self, client: int, key: Key, now: float) -> Mapping | None:
        mine = [session for session in self.sessions if session.client == client]
        giving: Mapping | None = None
        per_client, in_all = self.limits
        if len(mine) >= per_client or len(self.sessions) >= in_all:
            if len(mine) < per_client:
                counts = [sum(s.client == one for s in self.sessions) for one in range(CLIENTS)]
                most = counts.index(max(counts))
                mine = [session for session in self.sessions if session.client == most]
            by_kind = (
                [session for session in mine if session.closes],
                [session for session in mine if "out" in session.fins],
                [session for session in mine if not session.answered],
            )
            giving = next((kind[0] for kind in by_kind if kind), None)
            if giving is None:
                return None
        protocol, port, proxy = key
        taken = {session.outside for session in self.sessions if session.client == client}
        while (protocol, port, REAL[proxy]) in taken:
            port += 1
        if giving is not None:
            self._end(giving, now)
        session = Mapping(client, key, (protocol, port, REAL[proxy]))
        self.sessions.append(session)
        self.ends.pop((client, session.outside), None)
        return session

    def came(self, client: int, outside: Key, flags: int, now: float) -> Told:
        found = [s for s in self.sessions if (s.client, s.outside) == (client, outside)]
        if not found:
            return "expired" if (client, outside) in self.ends else None
        session = found[0]
        session.answered = True
        self._see(session, now)
        if flags & FIN:
            session.fins.add("in")
        session.reset |= bool(flags & RST)
        if session.closes and now >= session.end:
            self._end(session, now)
        return session.key

    def withdraw(self, client: int, proxies: list[bytes], at: float) -> None:
        self.pass_time(at)
        self.sessions = [s for s in self.sessions if s.client != client or s.key[2] not in proxies]


# --- The sessions themselves -----------------------------------------------------------------


class Tables:
    """Three clients' tables, which get so many steps of upkeep after each call."""

    def __init__(self, per_client: int, in_all: int, budget: int) -> None:
        self.pool: SessionPool[Session] = SessionPool(per_client, in_all)
        self.cleanup: UpkeepQueue[Keeper] = UpkeepQueue()
        self.tables = [
            SessionTable(self.pool, n, self.cleanup, lambda *_: None) for n in range(CLIENTS)
        ]
        self.budget = budget

    def upkeep(self, now: float) -> None:
        held, ends = self.pool.count, sum(len(table.ends) for table in self.tables)
        steps = self.pool.forget(now, self.budget)
        assert held - self.pool.count <= steps <= self.budget
        ends += held - self.pool.count
        steps = self.cleanup.forget(now, self.budget)
        # (Of those that policy ended, no end is remembered.)
        forgotten = ends - sum(len(table.ends) for table in self.tables)
        assert forgotten <= self.budget + held - self.pool.count
        assert steps <= self.budget
        assert self.pool.count == sum(table.count for table in self.tables) <= self.pool.in_all
        for table in self.tables:
            assert table.count <= self.pool.per_client
            # Whatever is gone has been announced.
            gone = table.first_gone(now)
            assert gone is None or (self.pool.next <= now and table.next <= now)
            if not self.budget:
                everyone = [s for held in table._reverse.values() for s in held.values()]
                assert (gone is not None) == any(s.is_gone(now) for s in everyone)
                assert not any(table.lives(s, now) for s in everyone if s.is_gone(now))

    def sent(self, client: int, key: Key, flags: int, now: float) -> Told:
        table = self.tables[client]
        session = table.find_outbound(key, now)
        if session is None:
            session = table.new_session(key, REAL[key[2]], math.inf, now)
            if session is None:
                return None
            table.open(session, PORT, flags, now)
        else:
            assert table.lives(session, now)
            table.see(session, PORT, flags, now, outbound=True)
        return session.reverse_key

    def came(self, client: int, outside: Key, flags: int, now: float) -> Told:
        table = self.tables[client]
        session = table.find_inbound(outside, now)
        if session is None:
            is_expired = table.expired_recently(outside, now)
            assert may_match(table, outside) or not is_expired
            return "expired" if is_expired else None
        assert may_match(table, outside)
        assert table.lives(session, now)
        table.see(session, PORT, flags, now, outbound=False)
        return session.forward_key

    def withdraw(self, client: int, proxies: list[bytes], at: float) -> None:
        self.tables[client].withdraw_proxies(proxies, at)


# --- Stories ---------------------------------------------------------------------------------

Deed = Callable[[Model | Tables, float, float], list[Told]]
"""Does something at a time, given that of the call before."""

clients = st.integers(0, CLIENTS - 1)
ports = st.sampled_from([5, 6, 7])
flags = st.sampled_from([0, 0, ACK, SYN, FIN, FIN | ACK, RST])


@st.composite
def packets(draw: st.DrawFn) -> Deed:
    client, protocol, port = draw(clients), draw(st.sampled_from([TCP, UDP])), draw(ports)
    flag = draw(flags) if protocol == TCP else 0
    proxy = draw(st.sampled_from(PROXIES))
    if draw(st.booleans()):
        return lambda who, now, _: [who.sent(client, (protocol, port, proxy), flag, now)]
    outside = (protocol, port, REAL[proxy])
    return lambda who, now, _: [who.came(client, outside, flag, now)]


@st.composite
def floods(draw: st.DrawFn) -> Deed:
    """Open many sessions, answer some of them, and confirm some of these."""
    client, protocol = draw(clients), draw(st.sampled_from([TCP, UDP]))
    number, every, proxy = draw(st.integers(50, 150)), draw(st.integers(1, 9)), PROXIES[0]

    def flood(who: Model | Tables, now: float, _: float) -> list[Told]:
        told = []
        for port in range(100, 100 + number):
            told.append(who.sent(client, (protocol, port, proxy), 0, now))
            if port % every == 0:
                told.append(who.came(client, (protocol, port, REAL[proxy]), 0, now))
                if port % 2:
                    told.append(who.sent(client, (protocol, port, proxy), 0, now))
        return told

    return flood


@st.composite
def withdrawals(draw: st.DrawFn) -> Deed:
    client = draw(clients)
    proxies = draw(st.lists(st.sampled_from(PROXIES), unique=True))
    # Policy may be carried out later than the moment at which it ended something.
    late = draw(st.booleans())

    def withdraw(who: Model | Tables, now: float, before: float) -> list[Told]:
        who.withdraw(client, proxies, (before + now) / 2 if late else now)
        return []

    return withdraw


steps = st.sampled_from([0.0, 0.0, 0.0, 0.5, 1.0, 30.0, 59.5, 60.0, 120.0, 239.5, 240.0, 7_320.0])
limits = st.sampled_from([(3, 5), (2, 100), (100, 4), (1, 1), (0, 1), (150, 250), (90, 100)])
stories = st.lists(
    st.tuples(steps, st.one_of(packets(), packets(), packets(), floods(), withdrawals())),
    min_size=10,
    max_size=40,
)


def follow(limits: tuple[int, int], story: list[tuple[float, Deed]]) -> None:
    model = Model(*limits)
    everyone = [Tables(*limits, budget) for budget in BUDGETS]
    now = 0.0
    for step, deed in story:
        before, now = now, now + step
        # (A late withdrawal comes before what has ended since.)
        expected = told_by_model(model, deed, now, before)
        for tables in everyone:
            assert deed(tables, now, before) == expected
            tables.upkeep(now)
    model.pass_time(now)
    for tables in everyone:
        for queue in (tables.pool, tables.cleanup):
            while queue.forget(now, 100) == 100:
                pass
        assert tables.pool.count == len(model.sessions)
        assert sum(len(table.ends) for table in tables.tables) == len(model.ends)


def told_by_model(model: Model, deed: Deed, now: float, before: float) -> list[Told]:
    if "withdraw" not in deed.__qualname__:
        model.pass_time(now)
    told = deed(model, now, before)
    model.pass_time(now)
    return told


@settings(deadline=None)
@given(limits, stories)
def test_decisions_are_the_same_with_any_upkeep(
    limits: tuple[int, int], story: list[tuple[float, Deed]]
) -> None:
    follow(limits, story)


def out(port: int, flags: int = 0, proxy: bytes = PROXIES[0], client: int = 0) -> Deed:
    return lambda who, now, _: [who.sent(client, (TCP, port, proxy), flags, now)]


def back(port: int, flags: int = 0, proxy: bytes = PROXIES[0], client: int = 0) -> Deed:
    return lambda who, now, _: [who.came(client, (TCP, port, REAL[proxy]), flags, now)]


def test_a_story_in_which_sessions_end_in_every_way_is_the_same_with_any_upkeep() -> None:
    closing = [out(5, SYN), back(5), out(5, FIN), back(5, FIN)]
    follow(
        (3, 5),
        [
            *((0.0, deed) for deed in closing),
            (30.0, out(5, SYN)),  # it begins anew
            (0.0, out(5, RST)),
            (0.0, back(5)),
            (0.0, out(6)),
            (0.0, out(6, 0, PROXIES[1])),  # under the next port
            (1.0, out(8)),
            (0.0, out(9)),  # one gives way
            (60.0, back(9)),
            *((0.0, deed) for deed in closing[:3]),
            (240.0, back(5, FIN)),  # too late to close
            (0.0, out(5)),
            (0.0, back(5, RST)),
            (240.0, out(7)),
        ],
    )
