# Whose packets frames have, and their excerpts. The plain forms are in
# `firezone_filter.replay.partitions`: `owners` and `excerpts`.

cdef enum:
    SENT_OF_IPV4 = 40  # a header without options, and one of TCP, the longer one
    SENT_OF_IPV6 = 60
    NOBODYS = -1


cdef struct OwnerSlot:
    uint64_t words[2]
    int64_t number  # one more, so that 0 is a free slot


@cython.final
cdef class _Directory:
    """The owners of addresses of one length."""

    cdef OwnerSlot *slots
    cdef uint64_t mask
    cdef Py_ssize_t length

    def __cinit__(self, list pairs, Py_ssize_t length):
        cdef Py_ssize_t size = 8
        cdef uint64_t words[2]
        cdef OwnerSlot *slot
        while size < 4 * len(pairs):
            size *= 2
        self.slots = <OwnerSlot *> calloc(size, sizeof(OwnerSlot))
        if self.slots == NULL:
            raise MemoryError
        self.mask = size - 1
        self.length = length
        for address, owner in pairs:
            read_address(words, <const uint8_t *> <bytes> address, length)
            slot = self.slot(words)
            memcpy(slot.words, words, sizeof(words))
            slot.number = owner + 1

    def __dealloc__(self):
        free(self.slots)

    cdef inline OwnerSlot *slot(self, const uint64_t *words) noexcept:
        cdef uint64_t place = words[0] * <uint64_t> 0x9E3779B97F4A7C15 + words[1]
        place = (place ^ place >> 29) * <uint64_t> 0xC2B2AE3D27D4EB4F
        place = (place ^ place >> 32) & self.mask
        while self.slots[place].number and (
            self.slots[place].words[0] != words[0] or self.slots[place].words[1] != words[1]
        ):
            place = (place + 1) & self.mask
        return self.slots + place

    cdef inline int64_t owner(self, const uint8_t *address) noexcept:
        cdef uint64_t words[2]
        read_address(words, address, self.length)
        return self.slot(words).number - 1


cdef inline void read_address(uint64_t *words, const uint8_t *address, Py_ssize_t size) noexcept:
    words[0] = words[1] = 0
    if size == 4:
        memcpy(words, address, 4)
    else:
        memcpy(words, address, 16)


@cython.final
cdef class Owners:
    cdef _Directory ipv4, ipv6

    def __cinit__(self, pairs):
        self.ipv4 = _Directory([pair for pair in pairs if len(pair[0]) == 4], 4)
        self.ipv6 = _Directory([pair for pair in pairs if len(pair[0]) == 16], 16)

    def find(self, frames, places, found):
        cdef _Array data = _Array(frames.data, 1, False)
        cdef _Array starts = _Array(frames.starts, sizeof(int64_t), False)
        cdef _Array captured = _Array(frames.captured, sizeof(int64_t), False)
        cdef _Array at = _Array(places, sizeof(int64_t), False)
        cdef _Array owners = _Array(found.owners, sizeof(int64_t), True)
        cdef _Array is_outbound = _Array(found.is_outbound, 1, True)
        cdef _Array needed = _Array(found.needed, sizeof(int64_t), True)
        cdef Py_ssize_t rows = starts.count, row
        cdef int64_t place, before, size, owner, sent
        cdef const uint8_t *packet
        cdef bint is_ipv6
        for one in (captured, at, owners, is_outbound, needed):
            if (<_Array> one).count != rows:
                raise ValueError("there are not so many frames")
        for row in range(rows):
            if row + ROWS_AHEAD < rows:
                place = (<int64_t *> at.view.buf)[row + ROWS_AHEAD]
                if 0 <= place <= data.count - LOOKED_AT:
                    fetch_ahead(<const uint8_t *> data.view.buf + place)
            place = (<int64_t *> at.view.buf)[row]
            size = (<int64_t *> captured.view.buf)[row]
            (<int64_t *> needed.view.buf)[row] = size
            (<int64_t *> owners.view.buf)[row] = NOBODYS
            (<uint8_t *> is_outbound.view.buf)[row] = False
            if place < 0:
                continue
            before = place - (<int64_t *> starts.view.buf)[row]
            size -= before
            if size < 20 or place + size > data.count:
                continue
            packet = <const uint8_t *> data.view.buf + place
            is_ipv6 = packet[0] >> 4 == 6
            if is_ipv6:
                if size < 40:
                    continue
                owner = self.ipv6.owner(packet + 8)
                sent = SENT_OF_IPV6
                if packet[6] != 6 and packet[6] != 17:
                    sent = size
            elif packet[0] >> 4 == 4:
                owner = self.ipv4.owner(packet + 12)
                sent = SENT_OF_IPV4
                if packet[0] != NO_OPTIONS or packet[6] & 0x3F or packet[7] or (
                    packet[9] != 6 and packet[9] != 17
                ):
                    sent = size
            else:
                continue
            if owner >= 0:
                (<uint8_t *> is_outbound.view.buf)[row] = True
            elif is_ipv6:
                owner = self.ipv6.owner(packet + 24)
            else:
                owner = self.ipv4.owner(packet + 16)
            (<int64_t *> owners.view.buf)[row] = owner
            if sent < size:
                (<int64_t *> needed.view.buf)[row] = before + sent


def copy_frames(frames, sizes, room, places):
    cdef _Array data = _Array(frames.data, 1, False)
    cdef _Array starts = _Array(frames.starts, sizeof(int64_t), False)
    cdef _Array wanted = _Array(sizes, sizeof(int64_t), False)
    cdef _Array out = _Array(room, 1, True)
    cdef _Array at = _Array(places, sizeof(int64_t), True)
    cdef Py_ssize_t rows = starts.count, row
    cdef int64_t start, size, end = 0
    if wanted.count != rows or at.count != rows:
        raise ValueError("there are not so many frames")
    for row in range(rows):
        if row + ROWS_AHEAD < rows:
            start = (<int64_t *> starts.view.buf)[row + ROWS_AHEAD]
            if 0 <= start < data.count:
                fetch_ahead(<const uint8_t *> data.view.buf + start)
        start = (<int64_t *> starts.view.buf)[row]
        size = (<int64_t *> wanted.view.buf)[row]
        if start < 0 or size < 0 or start > data.count - size or end > out.count - size:
            raise ValueError("there is no room for the frames, or they are not there")
        (<int64_t *> at.view.buf)[row] = end
        memcpy(<uint8_t *> out.view.buf + end, <const uint8_t *> data.view.buf + start, size)
        end += size
