# Sessions, and what handles the packets of flows (tracking/handlers.py).

from libc.math cimport INFINITY


cdef class Deadline:
    """Twin of `structures.deadline.Deadline`."""

    cdef public double next

    def __init__(self):
        self.next = INFINITY


cdef class Generation:
    """Twin of `structures.generation.Generation`."""

    cdef public long long number


# --- Lanes (structures/lanes.py) -----------------------------------------------------------

# Fields of these classes can be set from Python, so they are checked for `None`.


@cython.nonecheck(True)
@cython.trashcan(True)  # else dropping a long chain could overflow the stack of C
cdef class Link:
    cdef public Link before, after

    cpdef unlink(self):
        if self.after is not None:
            self.before.after, self.after.before = self.after, self.before
            self.before = self.after = None


@cython.nonecheck(True)
cdef class Lane(Link):
    def __init__(self):
        self.before = self.after = self

    @classmethod
    def __class_getitem__(cls, _):
        return cls

    @property
    def first(self):
        return None if self.after is self else self.after

    cpdef append(self, Link link):
        link.unlink()
        self.before.after = link
        link.before, link.after = self.before, self
        self.before = link


# --- Sessions (tracking/lifetimes.py, tracking/sessions.py) --------------------------------

cdef enum:
    NO_PLACE = -1
    NO_RESOURCE_PORT = -1
    STATE_FLAGS = 7
    FIN_OR_RST = 5
    ANSWERED = 1
    IS_TCP = 32
    DATAGRAM = 120
    UNCAPPED = 7200

# What is seen of a session: its kind and lifetime. Supplied by tracking/lifetimes.py.
KINDS = LIFETIMES = ()


@cython.boundscheck(True)
cdef class SessionState(Link):
    cdef public object group, key, outbound_key, inbound_key
    cdef public double last, last_outbound
    cdef public int place, resource_port, seen
    cdef public bint is_open, is_steady, is_half_closed

    def __init__(self, group, key, int protocol):
        self.group, self.key = group, key
        self.place, self.resource_port = NO_PLACE, NO_RESOURCE_PORT
        self.seen = IS_TCP if protocol == TCP else 0

    @property
    def kind(self):
        return KINDS[self.seen]

    @property
    def expires_at(self):
        cdef double at = self.last_outbound + <int> LIFETIMES[self.seen]
        if self.seen & (IS_TCP | ANSWERED) == ANSWERED:
            return min(self.last + DATAGRAM, at)
        return at

    def see_first(self, int resource_port, int flags, double now):
        if flags & FIN_OR_RST:
            return self.see_outbound(resource_port, flags, now)
        self.last = self.last_outbound = now
        self.resource_port = resource_port
        return False


cdef class SessionLanes(Deadline):
    cdef public Lane unanswered, established, datagrams

    def __init__(self):
        self.next = INFINITY
        self.unanswered, self.established, self.datagrams = Lane(), Lane(), Lane()


# --- Handlers (tracking/handlers.py, accounting/flow_counting.py) --------------------------


cdef class Quick:
    cdef public object client_id

    cdef object decide(self, bytes packet, double now):
        """Do what `handle` does, called from C."""
        return self.handle(packet, now)


cdef inline int byte_at(bytes packet, Py_ssize_t at) except -1:
    if packet is None or not 0 <= at < PyBytes_GET_SIZE(packet):
        raise IndexError("index out of range")
    return bytes_of(packet)[at]


cdef inline object handle(object handler, bytes packet, double now):
    if isinstance(handler, Quick):
        return (<Quick> handler).decide(packet, now)
    return handler.handle(packet, now)


@cython.nonecheck(True)
cdef class SteadyFlow(Quick):
    cdef public SessionLanes sessions
    cdef public SessionState session
    cdef public object permitted, rewriting
    cdef public int port, flags_at
    cdef public bint is_tcp, is_outbound
    cdef Generation generation
    cdef long long born

    def __init__(
        self, SessionLanes sessions not None, SessionState session not None, int transport,
        int port, permitted, rewriting, Generation generation not None, bint is_tcp,
        bint is_outbound,
    ):
        self.client_id = permitted.client_id
        self.sessions, self.session = sessions, session
        self.flags_at, self.port = transport + 13, port
        self.permitted, self.rewriting = permitted, rewriting
        self.generation, self.born = generation, generation.number
        self.is_tcp, self.is_outbound = is_tcp, is_outbound

    def handle(self, bytes packet not None, double now):
        return self.decide(packet, now)

    cdef object decide(self, bytes packet, double now):
        if self.born != self.generation.number:
            return None
        if (
            now >= self.sessions.next
            or (self.is_tcp and byte_at(packet, self.flags_at) & STATE_FLAGS)
            or not self.note(now)
        ):
            return self.handle_slowly(packet, now)
        return self.translate(packet)

    cdef bint note(self, double now) except -1:
        cdef SessionState session = self.session
        cdef SessionLanes sessions = self.sessions
        cdef Lane lane = sessions.datagrams
        if session.is_steady:
            if self.is_outbound:
                if self.is_tcp and self.port != session.resource_port:
                    return False
                if now == session.last_outbound:
                    return True
                session.last_outbound = now
                if self.is_tcp:
                    lane = sessions.established
                else:
                    session.last = now
            elif self.is_tcp or now == session.last:
                return True
            elif now < session.last_outbound + UNCAPPED:
                session.last = now
            else:
                return False
        elif session.is_half_closed:
            if self.is_outbound and self.port != session.resource_port:
                return False
            sessions.see_half_closed(session, now, outbound=self.is_outbound)
            return True
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

    cpdef object translate(self, bytes packet):
        if self.rewriting is None:
            return self.permitted
        if type(self.rewriting) is not FlowRewriting:
            changed = self.rewriting.apply(packet)
        else:
            changed = (<FlowRewriting> self.rewriting).apply(packet)
        return new_translate(changed, self.client_id, self.permitted.resource_id)


@cython.nonecheck(True)
cdef class Joined(Quick):
    cdef public object decides, follows, tracked

    def __init__(self, decides, follows, tracked=None):
        self.client_id = decides.client_id
        self.decides, self.follows, self.tracked = decides, follows, tracked

    def handle(self, bytes packet not None, double now):
        return self.decide(packet, now)

    cdef object decide(self, bytes packet, double now):
        cdef SteadyFlow tracked = self.tracked
        if tracked is not None and not (
            tracked.session.is_open if now < tracked.sessions.next else tracked.lives(now)
        ):
            return None
        decision = handle(self.decides, packet, now)
        if decision is not None:
            handle(self.follows, packet, now)
        return decision


cdef class Tally:
    cdef public double open_until, last_packet
    cdef public long long tx_packets, tx_bytes, rx_packets, rx_bytes

    def __init__(self, double now, double open_until):
        self.last_packet, self.open_until = now, open_until


@cython.nonecheck(True)
cdef class CountedFlow(Quick):
    cdef public Tally record
    cdef public object forward
    cdef public bint is_outbound
    cdef int header_end, transport
    cdef bint is_tcp
    cdef Generation generation
    cdef long long born

    def __init__(
        self, forward, Tally record not None, int transport, int header,
        Generation generation not None, bint is_tcp, bint is_outbound,
    ):
        self.client_id = forward.client_id
        self.forward, self.record = forward, record
        self.transport, self.header_end = transport, transport + header
        self.generation, self.born = generation, generation.number
        self.is_tcp, self.is_outbound = is_tcp, is_outbound

    def handle(self, bytes packet not None, double now):
        return self.decide(packet, now)

    cdef object decide(self, bytes packet, double now):
        cdef Tally record = self.record
        cdef long long payload = PyBytes_GET_SIZE(packet) - self.header_end
        cdef int flags = 0
        if self.born != self.generation.number:
            return None
        if self.is_tcp:
            payload -= byte_at(packet, self.transport + 12) >> 2 & 0x3C
            flags = byte_at(packet, self.transport + 13)
        if now > record.open_until or flags & STATE_FLAGS or payload < 0:
            self.count_slowly(flags, payload, now)
        elif self.is_outbound:
            record.tx_packets += 1
            record.tx_bytes += payload
            record.last_packet = now
        else:
            record.rx_packets += 1
            record.rx_bytes += payload
            record.last_packet = now
        return self.forward
