# First packets of flows: twins of gateway/first_packets.py, of `NearAccess`
# (access/authorizations.py) and of what stores flows (gateway/flow_cache.py).

from libc.string cimport memcmp
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE

# Supplied by gateway/first_packets.py and gateway/flow_cache.py.
Authorization = Drop = Forward = NO_RESOURCE = OUTBOUND = REASON_OF = UNREACHABLE = error = None
LOCAL_SERVICE = MAX_FLOWS = NOT_CIDR = DNS = APART = 0


cdef class FlowCount:
    cdef public Py_ssize_t count, limit


cdef class FlowQueue:
    cdef public list tables
    cdef public object keys
    cdef public Py_ssize_t at

    cdef dict shard(self, list shards, bytes key):
        cdef Py_ssize_t size = len(key)
        if not -size <= self.at < 0:
            raise IndexError("index out of range")
        return shards[<unsigned char> PyBytes_AS_STRING(key)[size + self.at]]

    cpdef remove_first(self):
        self.remove(self.keys.popleft())

    cpdef remove(self, bytes key):
        for shards in self.tables:
            flows = self.shard(shards, key)
            if flows.pop(key, None) is not None and not flows:
                flows.clear()


cdef class FlowStore:
    cdef public FlowCount _cache
    cdef public dict _places
    cdef public object _marked
    cdef public Py_ssize_t _room

    cpdef store(self, int table, bytes key, value):
        place = self._places.get(table)
        if place is None:
            if self._marked is not None:
                return
            place = self._place(table)
        cdef FlowQueue queue = <FlowQueue?> (<tuple?> place)[1]
        cdef dict flows = queue.shard((<tuple> place)[0], key)
        if key not in flows:
            if self._cache.count >= self._cache.limit and not self._is_room_made():
                return
            self._cache.count += 1
            queue.keys.append(key)
            if len(queue.keys) > self._room:
                if len(queue.keys) > MAX_FLOWS:
                    queue.remove_first()
                    self._cache.count -= 1
                else:
                    self._rank_higher(queue)
        flows[key] = value


cdef class NearAccess:
    cdef public double first_expiry
    cdef public object internet, networks


cdef class NearEnd:
    cdef public NearAccess access
    cdef public dict drops
    cdef public FlowStore flow_cache
    cdef public object id, nat, reply_tokens
    cdef public bint only_remembers
    cdef public double valid_until


cdef int flags_of(bytes address, list starts, list flags) except -1:
    cdef Py_ssize_t low = 0, high = len(starts), middle, size = PyBytes_GET_SIZE(address)
    while low < high:
        middle = (low + high) >> 1
        start = <bytes?> starts[middle]
        if PyBytes_GET_SIZE(start) != size:
            raise ValueError("addresses of two families")
        if memcmp(PyBytes_AS_STRING(address), PyBytes_AS_STRING(start), size) < 0:
            high = middle
        else:
            low = middle + 1
    if not 0 < low <= len(flags):
        raise IndexError("list index out of range")
    return flags[low - 1]


cdef bint is_permitted(tuple bounds, long number) except -1:
    cdef Py_ssize_t low = 0, high = len(bounds), middle
    while low < high:
        middle = (low + high) >> 1
        if number < <long> bounds[middle]:
            high = middle
        else:
            low = middle + 1
    return low & 1


cdef class FirstPackets:
    cdef dict _by_address
    cdef list _starts4, _flags4, _starts6, _flags6
    cdef public object _refusals
    cdef bint _replies
    cdef int _not_cidr, _local, _dns, _kinds
    cdef public long long _forwarded_inbound, _forwarded_outbound

    def __init__(self, dict clients, ranges, refusals, *, bint replies):
        self._by_address = clients
        (self._starts4, self._flags4), (self._starts6, self._flags6) = ranges.ipv4, ranges.ipv6
        self._refusals, self._replies = refusals, replies
        self._forwarded_outbound = self._forwarded_inbound = 0
        self._not_cidr, self._local, self._dns, self._kinds = NOT_CIDR, LOCAL_SERVICE, DNS, APART

    def _first(self, direction, int protocol, bytes key, bytes packet, client_id, double now):
        return self.first(direction, protocol, key, packet, client_id, now)

    cdef object first(
        self, direction, int protocol, bytes key, bytes packet, client_id, double now
    ):
        cdef Py_ssize_t size = len(key), width = (size - 4) >> 1
        if size != 12 and size != 36:
            raise error("a flow key has 12 or 36 bytes")
        cdef const char *at = PyBytes_AS_STRING(key)
        cdef bint outbound = direction is OUTBOUND
        cdef bytes near = at[:width], far = at[width : 2 * width]
        if not outbound:
            near, far = far, near
        found = self._by_address.get(near)
        if found is None:
            return None
        cdef NearEnd client = found
        cdef int flags
        if width == 4:
            flags = flags_of(far, self._starts4, self._flags4)
        else:
            flags = flags_of(far, self._starts6, self._flags6)
        if (
            (client_id is not None and client_id is not client.id and client_id != client.id)
            or now >= client.valid_until
            or (client.nat is not None and not outbound and far in <set?> client.nat.real)
        ):
            return None
        at += size - 4
        cdef int near_port = (<unsigned char> at[0]) << 8 | <unsigned char> at[1]
        cdef int far_port = (<unsigned char> at[2]) << 8 | <unsigned char> at[3]
        if not outbound:
            near_port, far_port = far_port, near_port
        if flags & self._not_cidr:
            if (
                flags & self._kinds != self._dns
                or not outbound or client.nat is None or not client.only_remembers
            ):
                return None
            ends = (protocol, near_port, far)
            return self._translate(client, ends, far_port, key, packet, now)
        cdef dict data
        cdef NearAccess access = client.access
        answer = None
        if now < access.first_expiry and access.internet is None and not flags & self._local:
            node = access.networks.tree.search_best(None, -1, far)
            if node is None:
                answer = NO_RESOURCE
            else:
                data = node.data
                first = data["answer"]
                if type(first) is Authorization:
                    first = data["answer"] = first.forward
                bounds = (<dict?> data["bounds"]).get(protocol)
                if bounds is not None and type(first) is Forward:
                    if is_permitted(bounds, far_port):
                        answer = first
                    elif node.parent is None:
                        answer = REASON_OF[protocol]
        if answer is None:
            answer = access.permission(far, flags, protocol, far_port, now)
        if type(answer) is Forward:
            if not client.only_remembers:
                return self._judge_flow(client, direction, protocol, key, packet, answer, now)
            if outbound:
                self._forwarded_outbound += 1
            else:
                self._forwarded_inbound += 1
            client.flow_cache.store(protocol + (0 if outbound else 64), key, answer)
            return answer
        if outbound and self._replies and client.reply_tokens.has_token(now):
            client.reply_tokens.take(now)
            reply = unreachable_reply(packet, near, far, prohibited=answer not in UNREACHABLE)
            refused = make_reject(reply, answer, client.id)
        else:
            refused = client.drops.get(answer)
            if refused is None:
                refused = client.drops[answer] = Drop(answer, client.id)
        counts = self._refusals.outbound if outbound else self._refusals.inbound
        (<dict?> counts)[answer] += 1
        if self._refusals.log is not None:
            self._refusals.log.add(direction, packet, refused, now)
        return refused
