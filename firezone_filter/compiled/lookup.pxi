# The way of a packet whose flow is remembered: twin of gateway/lookup.py.

from libc.string cimport memcmp, memcpy
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.dict cimport PyDict_GetItemWithError
from cpython.float cimport PyFloat_AS_DOUBLE
from cpython.object cimport PyObject

# Supplied by gateway/lookup.py.
INBOUND = Translate = None
check_direction = to_batch = to_bytes = to_list_of_bytes = to_text = None

# The two directions: C globals, since each packet is compared with them.
cdef object _out, _in


cdef extern from "Python.h":
    ctypedef struct PyBytesObject:
        Py_hash_t ob_shash


cdef inline bytes _scratch(bytes key, const unsigned char* ends, Py_ssize_t size):
    """Return a key to look up with, and never to keep: its bytes change with the next packet.

    Making a key for each packet would take a quarter more. Packets of one flow often follow one
    another: then its hash, a fifth of the time, is the one that it has.
    """
    if memcmp(PyBytes_AS_STRING(key), ends, size):
        memcpy(PyBytes_AS_STRING(key), ends, size)
        (<PyBytesObject*> key).ob_shash = -1  # unknown
    return key


cdef inline object _entry(list protocols, int protocol, unsigned char shard, bytes key):
    """Return what is remembered under a flow key, a decision or a handler; None if nothing."""
    # Without entries a protocol has a tuple in the place of its shards.
    shards = protocols[protocol]
    if type(shards) is not list:
        return None
    cdef PyObject* found = PyDict_GetItemWithError((<list> shards)[shard], key)
    return None if found is NULL else <object> found


cdef inline bint _is_outbound(direction) except -1:
    if direction is _out:
        return True
    if direction is not _in:
        check_direction(direction)
    return False


cdef list _to_wholes(packets):
    cdef list wholes
    if type(packets) is list or type(packets) is tuple:
        # A copy, which nobody can change while its packets are decided.
        wholes = list(packets)
        for packet in wholes:
            if type(packet) is not bytes:
                break
        else:
            return wholes
    return to_list_of_bytes(packets)


cdef class FlowLookup(FirstPackets):
    cdef readonly list _outbound, _inbound, _outbound_handlers, _inbound_handlers
    cdef readonly Deadline _expiries
    cdef public double _now, _upkeep_at
    cdef public object _last_now
    cdef public long long _translated_outbound, _translated_inbound
    cdef bytes _ipv4_key, _ipv6_key

    def __cinit__(self, *_, **__):
        # Whoever overrides `__init__` and does not call it has no packet remembered.
        self._outbound = self._inbound = [()] * 256
        self._outbound_handlers = self._inbound_handlers = self._outbound
        self._expiries = Deadline.__new__(Deadline)
        self._upkeep_at = -INFINITY
        # (Not literals, which all of Python would share.)
        self._ipv4_key = bytes(bytearray(12))
        self._ipv6_key = bytes(bytearray(36))

    def __init__(
        self, cache, Deadline expiries not None, dict clients, ranges, refusals, *, bint replies
    ):
        FirstPackets.__init__(self, clients, ranges, refusals, replies=replies)
        global _out, _in
        _out, _in = OUTBOUND, INBOUND
        self._outbound, self._inbound = cache.outbound, cache.inbound
        self._outbound_handlers = cache.outbound_handlers
        self._inbound_handlers = cache.inbound_handlers
        self._expiries = expiries
        self._now, self._last_now, self._upkeep_at = 0.0, None, -INFINITY
        self._translated_outbound = self._translated_inbound = 0

    def handle_packet(self, direction, packet, now=None, client_id=None):
        if type(packet) is not bytes:
            packet = to_bytes(packet)
        cdef bint outbound = _is_outbound(direction)
        if client_id is not None and type(client_id) is not str:
            client_id = to_text("client_id", client_id)
        if now is not None and now is not self._last_now:
            self._let_pass(now)
        return self._decide(outbound, direction, <bytes> packet, client_id)

    def handle_packets(self, direction, packets, now=None, client_id=None):
        cdef bint outbound = _is_outbound(direction)
        if client_id is not None and type(client_id) is not str:
            client_id = to_text("client_id", client_id)
        cdef list wholes = _to_wholes(packets)
        if now is not None and now is not self._last_now:
            self._let_pass(now)
        cdef list decisions = wholes
        cdef Py_ssize_t place
        for place in range(len(wholes)):
            decisions[place] = self._decide(outbound, direction, <bytes> wholes[place], client_id)
        return decisions

    def handle_batch(self, directions, packets, nows, client_ids=None):
        cdef list ways, wholes, times, ids
        ways, wholes, times, ids = self._to_plain_batch(directions, packets, nows, client_ids)
        cdef list decisions = []
        cdef Py_ssize_t place
        for place in range(len(wholes)):
            direction, now = ways[place], times[place]
            if now is not None and now is not self._last_now:
                self._let_pass(now)
            decisions.append(
                self._decide(
                    direction is _out,
                    direction,
                    <bytes> wholes[place],
                    None if ids is None else ids[place],
                )
            )
        return decisions

    cdef tuple _to_plain_batch(self, directions, packets, nows, client_ids):
        """Return lists of what `_decide` takes; `None` for no ids at all."""
        cdef list ways, wholes, times, ids = None
        cdef double latest = self._now, at
        if (
            type(directions) is list and type(packets) is list and type(nows) is list
            and (client_ids is None or type(client_ids) is list)
        ):
            # The usual arguments are checked in one go.
            ways, wholes, times = list(directions), list(packets), list(nows)
            if client_ids is not None:
                ids = list(client_ids)
            if len(ways) == len(wholes) == len(times) and (ids is None or len(ids) == len(ways)):
                for place in range(len(ways)):
                    if type(wholes[place]) is not bytes or not (
                        ways[place] is _out or ways[place] is _in
                    ):
                        break
                    if ids is not None and not (ids[place] is None or type(ids[place]) is str):
                        break
                    if times[place] is not None:
                        if type(times[place]) is not float:
                            break
                        at = PyFloat_AS_DOUBLE(times[place])
                        if not latest <= at < self._expiries.next:
                            break
                        latest = at
                else:
                    return ways, wholes, times, ids
        ways, wholes, times, ids = to_batch(directions, packets, nows, client_ids)
        return ways, wholes, self._to_times(times), ids

    @cython.final
    cdef int _let_pass(self, now) except -1:
        cdef double at
        if type(now) is float:
            at = PyFloat_AS_DOUBLE(now)
            if self._now <= at < self._expiries.next:
                self._now, self._last_now = at, now
                return 0
        self._advance(self._to_now(now))
        return 0

    @cython.final
    cdef object _decide(self, bint outbound, direction, bytes packet, client_id):
        cdef const unsigned char* at = bytes_of(packet)
        cdef const unsigned char* ends
        cdef Py_ssize_t size = PyBytes_GET_SIZE(packet)
        cdef int protocol
        cdef bytes key = None
        if size >= 28 and at[0] == 0x45:
            protocol = at[9]
            if get_word(at + 2) == size and not get_word(at + 6) & 0x3FFF and (
                size >= 40 or protocol != TCP
            ):
                ends = at + 12
                key = _scratch(self._ipv4_key, ends, 12)
        elif size >= 48 and at[0] >> 4 == 6:
            protocol = at[6]
            if get_word(at + 4) + 40 == size and (size >= 60 or protocol != TCP):
                ends = at + 8
                key = _scratch(self._ipv6_key, ends, 36)
        if key is None:
            return self._handle(direction, None, 0, packet, client_id)
        size = PyBytes_GET_SIZE(key)
        found = _entry(
            self._outbound if outbound else self._inbound,
            protocol, ends[size - (3 if outbound else 1)], key,
        )
        if found is not None and (client_id is None or _is_client(client_id, found.client_id)):
            self._count_forwarded(outbound)
            return found
        return self._miss(outbound, direction, protocol, key, ends, packet, client_id)

    @cython.final
    cdef object _miss(
        self, bint outbound, direction, int protocol, bytes scratch, const unsigned char* ends,
        bytes packet, client_id,
    ):
        """Decide about a packet of which no decision is remembered."""
        cdef bint has_ports = protocol == TCP or protocol == UDP
        cdef bytes flow = scratch if has_ports else flow_key(None, packet)
        if flow is not None and self._now < self._upkeep_at:
            handler = _entry(
                self._outbound_handlers if outbound else self._inbound_handlers,
                protocol, bytes_of(flow)[len(flow) - (3 if outbound and has_ports else 1)], flow,
            )
            decision = None if handler is None else self._ask(handler, packet, client_id)
            if decision is not None:
                self._note(decision, outbound)
                return decision
        key = slice_of(ends, PyBytes_GET_SIZE(scratch))
        if not has_ports or self._now >= self._upkeep_at:
            return self._handle(direction, key, protocol, packet, client_id)
        decision = self.first(direction, protocol, key, packet, client_id, self._now)
        if decision is not None:
            return decision
        return self._judge_and_commit(direction, key, protocol, packet, client_id)

    @cython.final
    cdef object _ask(self, handler, bytes packet, client_id):
        if isinstance(handler, Quick):
            if client_id is None or _is_client(client_id, (<Quick> handler).client_id):
                return (<Quick> handler).decide(packet, self._now)
        elif client_id is None or _is_client(client_id, handler.client_id):
            return handler.handle(packet, self._now)
        return None

    @cython.final
    cdef void _count_forwarded(self, bint outbound) noexcept:
        if outbound:
            self._forwarded_outbound += 1
        else:
            self._forwarded_inbound += 1

    @cython.final
    cdef int _note(self, decision, bint outbound) except -1:
        if type(decision) is not Translate:
            self._count_forwarded(outbound)
        elif outbound:
            self._translated_outbound += 1
        else:
            self._translated_inbound += 1
        return 0

    def _count(self, decision, *, bint outbound):
        self._note(decision, outbound)


cdef inline bint _is_client(client_id, known) except -1:
    # Hosts mostly pass the very object that they connected the client with.
    return client_id is known or client_id == known
