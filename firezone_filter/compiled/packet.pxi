# What is done to bytes. The plain forms are in `firezone_filter.packet`, with rules and reasons.
# Every length is checked before anything is read.

from struct import error as StructError

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.object cimport Py_TYPE, PyTypeObject
from cpython.ref cimport Py_INCREF
from cpython.tuple cimport PyTuple_SET_ITEM
from libc.string cimport memcpy, memset

# Supplied by packet/headers.py and values/decisions.py.
Headers = read_any_headers = Translate = translate_slots = Reject = reject_slots = None

cdef extern from "Python.h":
    object PyType_GenericAlloc(PyTypeObject *cls, Py_ssize_t items)

cdef enum:
    ICMPV4 = 1
    TCP = 6
    UDP = 17
    ICMPV6 = 58


cdef inline unsigned char *bytes_of(bytes data) noexcept:
    return <unsigned char *> PyBytes_AS_STRING(data)

cdef inline bytes slice_of(const unsigned char *start, Py_ssize_t size):
    return PyBytes_FromStringAndSize(<const char *> start, size)

cdef inline unsigned int get_word(const unsigned char *at) noexcept:
    return at[0] << 8 | at[1]

cdef inline void put_word(unsigned char *at, unsigned int word) noexcept:
    at[0], at[1] = word >> 8, word & 0xFF

cdef inline object instance_of(object cls, Py_ssize_t items):
    if not isinstance(cls, type):
        raise TypeError("no class was supplied")
    return PyType_GenericAlloc(<PyTypeObject *> cls, items)


# Headers and flow keys ----------------------------------------------------------------------

cdef inline int fixed_part(int protocol) noexcept:
    return 20 if protocol == TCP else 8 if protocol in (UDP, ICMPV4, ICMPV6) else 0


cdef int fixed_header(const unsigned char *data, Py_ssize_t size, int *protocol) noexcept:
    """Return the size of the IP header of a well-formed packet of the common form, otherwise 0.

    That is a whole packet without IPv4 options or IPv6 extension headers.
    """
    cdef int header = 0
    if size >= 20 and data[0] == 0x45:
        protocol[0] = data[9]
        if get_word(data + 2) == size and not get_word(data + 6) & 0x3FFF and data[9] != ICMPV6:
            header = 20
    elif size >= 40 and data[0] >> 4 == 6:
        protocol[0] = data[6]
        if get_word(data + 4) + 40 == size and data[6] not in (0, 43, 44, 51, 60, ICMPV4):
            header = 40
    return header if size >= header + fixed_part(protocol[0]) else 0


cdef inline void put_item(object made, Py_ssize_t place, object item) noexcept:
    Py_INCREF(item)
    PyTuple_SET_ITEM(made, place, item)


cpdef object read_headers(object packet):
    cdef int protocol = 0, near = -1, far = -1, icmp_type = -1, header = 0, size
    cdef const unsigned char *data
    if type(packet) is bytes:
        data = bytes_of(packet)
        header = fixed_header(data, PyBytes_GET_SIZE(packet), &protocol)
    if not header:
        return read_any_headers(packet, whole=True)
    if protocol == TCP or protocol == UDP:
        near, far = get_word(data + header), get_word(data + header + 2)
    elif fixed_part(protocol):
        icmp_type = data[header]
    size = 4 if header == 20 else 16
    # A tuple of our class, filled in place: calling the class takes ten times as long.
    headers = instance_of(Headers, 8)
    put_item(headers, 0, slice_of(data + header - 2 * size, size))
    put_item(headers, 1, slice_of(data + header - size, size))
    put_item(headers, 2, protocol)
    put_item(headers, 3, near)
    put_item(headers, 4, far)
    put_item(headers, 5, icmp_type)
    put_item(headers, 6, header)
    put_item(headers, 7, None)
    return headers


cpdef object flow_key(object headers, bytes packet):
    # Whatever matters of the headers stands in the packet, since that is well formed.
    cdef int protocol = 0, header, start, icmp_type
    cdef Py_ssize_t size = len(packet)
    cdef unsigned char *data = bytes_of(packet)
    header = fixed_header(data, size, &protocol)
    if not header or not fixed_part(protocol):
        return None
    start = 12 if header == 20 else 8
    if protocol == TCP or protocol == UDP:
        return slice_of(data + start, header + 4 - start)
    icmp_type = data[header]
    if icmp_type not in (0, 8) if protocol == ICMPV4 else icmp_type not in (128, 129):
        return None
    key = slice_of(data + start, header + 3 - start)
    memcpy(bytes_of(key) + header + 1 - start, data + header + 4, 2)
    return key


# Rewriting ----------------------------------------------------------------------------------

cdef unsigned int sum_words(const unsigned char *data, Py_ssize_t size) noexcept:
    """Return the one's complement sum of words modulo 0xffff; an odd byte is the first of one."""
    cdef unsigned long long total = data[size - 1] << 8 if size & 1 else 0
    cdef Py_ssize_t place
    for place in range(size >> 1):
        total += get_word(data + 2 * place)
    return total % 0xFFFF


cdef inline void adjust_word(unsigned char *at, int change, int least) noexcept:
    cdef int checksum = get_word(at)
    if checksum >= least:
        checksum -= change
        put_word(at, checksum if checksum >= least else checksum + 0xFFFF)


@cython.final
cdef class FlowRewriting:
    # Indexes in the packet, and the least size that it must have.
    cdef int address_at, port_at, checksum_at, least_size
    cdef int size, port, header_change, change, least
    cdef unsigned char address[16]

    def __cinit__(
        self, bytes key not None, int protocol, bytes address not None, int port, bint outbound
    ):
        cdef int size = len(address), header = 20 if size == 4 else 40
        cdef bint is_echo = protocol == (ICMPV4 if size == 4 else ICMPV6)
        if (
            not (is_echo or protocol == TCP or protocol == UDP)
            or not (size == 4 or size == 16)
            or len(key) != 2 * size + (3 if is_echo else 4)
            or not 0 <= port <= 0xFFFF
        ):
            raise KeyError((size, protocol))
        cdef unsigned char *old = bytes_of(key)
        cdef int far_at = size if outbound else 0
        cdef int near_port_at = 0 if outbound else 2
        memcpy(self.address, bytes_of(address), size)
        self.size, self.port, self.least = size, port, protocol == UDP
        self.address_at = header - 2 * size + far_at
        self.port_at = header + (4 if is_echo else near_port_at)
        self.checksum_at = header + (16 if protocol == TCP else 6 if protocol == UDP else 2)
        self.least_size = self.checksum_at + (4 if is_echo else 2)
        self.header_change = (
            sum_words(self.address, size) + 0xFFFF - sum_words(old + far_at, size)
        ) % 0xFFFF
        port += 0xFFFF - get_word(old + 2 * size + (1 if is_echo else near_port_at))
        self.change = (port + (0 if protocol == ICMPV4 else self.header_change)) % 0xFFFF

    cpdef bytes apply(self, bytes packet):
        if len(packet) < self.least_size:
            raise StructError("the packet is too short for its headers")
        changed = slice_of(bytes_of(packet), len(packet))
        cdef unsigned char *data = bytes_of(changed)
        memcpy(data + self.address_at, self.address, self.size)
        put_word(data + self.port_at, self.port)
        if self.size == 4:
            adjust_word(data + 10, self.header_change, 0)
        adjust_word(data + self.checksum_at, self.change, self.least)
        return changed


# Replies and decisions ----------------------------------------------------------------------

def unreachable_reply(
    bytes packet not None, bytes source not None, bytes destination not None, *, bint prohibited
):
    cdef int size = len(source), header = 20 if size == 4 else 40
    cdef Py_ssize_t length = 8 + min(len(packet), (548 if size == 4 else 1232))
    if not (size == 4 or size == 16) or len(destination) != size:
        raise ValueError("addresses have 4 or 16 bytes")
    reply = slice_of(NULL, header + length)
    cdef unsigned char *data = bytes_of(reply)
    cdef unsigned int pseudo = 0
    memset(data, 0, header + 8)
    memcpy(data + header - 2 * size, bytes_of(destination), size)
    memcpy(data + header - size, bytes_of(source), size)
    memcpy(data + header + 8, bytes_of(packet), length - 8)
    if size == 4:
        data[0], data[8], data[9] = 0x45, 64, ICMPV4
        data[20], data[21] = 3, 13 if prohibited else 0
        put_word(data + 2, header + length)
        adjust_word(data + 10, sum_words(data, header), 0)
    else:
        data[0], data[6], data[7] = 0x60, ICMPV6, 64
        data[40], data[41] = 1, 1 if prohibited else 3
        put_word(data + 4, length)
        pseudo = sum_words(data + 8, 32) + length + ICMPV6
    adjust_word(data + header + 2, (pseudo + sum_words(data + header, length)) % 0xFFFF, 0)
    return reply


cdef inline object new_value(object cls, tuple slots, object first, object second, object third):
    """Return an instance of a frozen class with three slots, which has no other initialization."""
    value = instance_of(cls, 0)
    (<PyTypeObject *> Py_TYPE(slots[0])).tp_descr_set(slots[0], value, first)
    (<PyTypeObject *> Py_TYPE(slots[1])).tp_descr_set(slots[1], value, second)
    (<PyTypeObject *> Py_TYPE(slots[2])).tp_descr_set(slots[2], value, third)
    return value


cdef object new_translate(object packet, object client_id, object resource_id):
    return new_value(Translate, translate_slots, packet, client_id, resource_id)


def make_translate(packet, client_id, resource_id):
    return new_translate(packet, client_id, resource_id)


def make_reject(reply, reason, client_id):
    return new_value(Reject, reject_slots, reply, reason, client_id)
