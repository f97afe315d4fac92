# The headers of frames in captures. The plain forms are in `firezone_filter.capture.walk`.

from cpython.buffer cimport (
    PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
)

cdef enum:
    LINE = 64  # bytes that come from memory together
    FETCHED_AHEAD = 4096
    MAX_PACKET = 262144
    ENHANCED_PACKET_BLOCK = 6
    MAX_BLOCK = 16777216
    NS_PER_S = 1000000000


cdef inline unsigned long long get_number(const unsigned char *at, bint is_big_endian) noexcept:
    if is_big_endian:
        return <unsigned long long> at[0] << 24 | at[1] << 16 | at[2] << 8 | at[3]
    return <unsigned long long> at[3] << 24 | at[2] << 16 | at[1] << 8 | at[0]


@cython.final
cdef class _Walked:
    """The two buffers of a walk, for as long as it takes."""

    cdef Py_buffer source, target
    cdef bint has_source, has_target
    cdef const unsigned char *data
    cdef long long *rows
    cdef Py_ssize_t most

    def __cinit__(self, data, Py_ssize_t at, Py_ssize_t end, rows, Py_ssize_t filled):
        PyObject_GetBuffer(data, &self.source, PyBUF_SIMPLE)
        self.has_source = True
        # Without strides: whatever is not contiguous is refused.
        PyObject_GetBuffer(rows, &self.target, PyBUF_SIMPLE | PyBUF_WRITABLE)
        self.has_target = True
        self.data = <const unsigned char *> self.source.buf
        self.rows = <long long *> self.target.buf
        self.most = self.target.len // (5 * sizeof(long long))
        if not (0 <= at <= end <= self.source.len and 0 <= filled <= self.most):
            raise ValueError("there are not so many bytes or frames")

    def __dealloc__(self):
        if self.has_source:
            PyBuffer_Release(&self.source)
        if self.has_target:
            PyBuffer_Release(&self.target)


def walk_pcap(
    data,
    Py_ssize_t at,
    Py_ssize_t end,
    rows,
    Py_ssize_t filled,
    Py_ssize_t header,
    bint is_big_endian,
    long long ns_per_tick,
):
    cdef _Walked walked = _Walked(data, at, end, rows, filled)
    cdef Py_ssize_t most = walked.most, start, ahead
    cdef const unsigned char *head
    cdef long long *column
    cdef unsigned long long captured
    if header < 16:
        raise ValueError("a packet header has 16 bytes or more")
    while filled < most and header <= end - at:
        head = walked.data + at
        start = at + header
        captured = get_number(head + 8, is_big_endian)
        if captured > MAX_PACKET or <Py_ssize_t> captured > end - start:
            break
        # Where the next header is, this one says; so all that lies ahead is fetched.
        ahead = at + FETCHED_AHEAD
        while ahead <= start + <Py_ssize_t> captured + FETCHED_AHEAD - LINE and ahead < end:
            fetch_ahead(walked.data + ahead)
            ahead += LINE
        column = walked.rows + filled
        column[0] = start
        column[most] = captured
        column[2 * most] = get_number(head + 12, is_big_endian)
        column[3 * most] = (
            <long long> get_number(head, is_big_endian) * NS_PER_S
            + <long long> get_number(head + 4, is_big_endian) * ns_per_tick
        )
        at = start + captured
        filled += 1
    return filled, at


def walk_pcapng(
    data,
    Py_ssize_t at,
    Py_ssize_t end,
    rows,
    Py_ssize_t filled,
    bint is_big_endian,
    unsigned long long interfaces,
):
    cdef _Walked walked = _Walked(data, at, end, rows, filled)
    cdef Py_ssize_t most = walked.most
    cdef const unsigned char *block
    cdef long long *column
    cdef unsigned long long size, interface, captured
    while filled < most and end - at >= 32:
        block = walked.data + at
        size = get_number(block + 4, is_big_endian)
        interface = get_number(block + 8, is_big_endian)
        captured = get_number(block + 20, is_big_endian)
        if (
            get_number(block, is_big_endian) != ENHANCED_PACKET_BLOCK
            or size % 4
            or captured > MAX_PACKET
            or not 32 + captured <= size <= MAX_BLOCK
            or size > <unsigned long long> (end - at)
            or interface >= interfaces
            or get_number(block + size - 4, is_big_endian) != size
        ):
            break
        column = walked.rows + filled
        column[0] = at + 28
        column[most] = captured
        column[2 * most] = get_number(block + 24, is_big_endian)
        column[3 * most] = <long long> (
            get_number(block + 12, is_big_endian) << 32 | get_number(block + 16, is_big_endian)
        )
        column[4 * most] = interface
        at += size
        filled += 1
    return filled, at
