# The flows of many packets. The plain form is in `firezone_filter.replay.columns.flow_table`.

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcmp, memcpy, memset

cdef extern from *:
    """
    #if defined(__GNUC__)
    #define fetch_ahead(at) __builtin_prefetch(at)
    #else
    #define fetch_ahead(at) ((void) (at))
    #endif
    """
    void fetch_ahead(const void *at) noexcept

cdef enum:
    LOOKED_AT = 44  # bytes of a packet: an IPv6 header and two ports
    FEW_SLOTS = 4096
    NO_OPTIONS = 0x45
    ROWS_AHEAD = 16
    AT_ONCE = 32  # packets whose flows are looked for together


cdef struct FlowSlot:
    uint32_t mark  # some bits of the hash
    uint32_t entry  # one more than the place of the flow, so that 0 is a free slot


cdef struct FlowEntry:
    uint64_t words[5]
    int64_t number


cdef struct Wanted:
    uint64_t words[5]
    uint64_t hash_
    Py_ssize_t row


cdef inline uint64_t slot_hash(const uint64_t *words) noexcept:
    cdef uint64_t mixed = words[0] * <uint64_t> 0x9E3779B97F4A7C15
    cdef int place
    for place in range(1, 5):
        mixed ^= mixed >> 29
        mixed = (mixed + words[place]) * <uint64_t> 0xC2B2AE3D27D4EB4F
    return mixed ^ mixed >> 32


@cython.final
cdef class _Array:
    """The buffer of an array, with items of one size, for as long as it is used."""

    cdef Py_buffer view
    cdef bint is_held
    cdef Py_ssize_t count

    def __cinit__(self, array, Py_ssize_t size, bint is_written):
        # Without strides: whatever is not contiguous is refused.
        PyObject_GetBuffer(array, &self.view, PyBUF_WRITABLE if is_written else PyBUF_SIMPLE)
        self.is_held = True
        self.count = self.view.len // size

    def __dealloc__(self):
        if self.is_held:
            PyBuffer_Release(&self.view)


cdef inline bint is_ip(const uint8_t *ethertype) noexcept:
    return (
        ethertype[0] == 0x08 and ethertype[1] == 0x00
        or ethertype[0] == 0x86 and ethertype[1] == 0xDD
    )


cdef inline bint is_tag(const uint8_t *ethertype) noexcept:
    cdef int kind = ethertype[0] << 8 | ethertype[1]
    return kind == 0x8100 or kind == 0x88A8 or kind == 0x9100 or kind == 0x9200


def place_ethernet(data, starts, captured, places, int64_t otherwise):
    cdef _Array bytes_ = _Array(data, 1, False)
    cdef _Array begins = _Array(starts, sizeof(int64_t), False)
    cdef _Array sizes = _Array(captured, sizeof(int64_t), False)
    cdef _Array found = _Array(places, sizeof(int64_t), True)
    cdef Py_ssize_t row, rows = begins.count
    cdef int64_t start, size, place
    cdef const uint8_t *frame
    if sizes.count != rows or found.count != rows:
        raise ValueError("there are not so many frames")
    for row in range(rows):
        # Headers are far from each other, and waiting for memory is what takes the time.
        if row + ROWS_AHEAD < rows:
            start = (<int64_t *> begins.view.buf)[row + ROWS_AHEAD]
            if 0 <= start < bytes_.count - 64:
                fetch_ahead(<const uint8_t *> bytes_.view.buf + start + 12)
                fetch_ahead(<const uint8_t *> bytes_.view.buf + start + 57)
        start = (<int64_t *> begins.view.buf)[row]
        size = (<int64_t *> sizes.view.buf)[row]
        place = otherwise
        if size >= 14 and 0 <= start <= bytes_.count - size:
            frame = <const uint8_t *> bytes_.view.buf + start
            if is_ip(frame + 12):
                place = start + 14
            elif size >= 18 and is_tag(frame + 12) and is_ip(frame + 16):
                place = start + 18
        (<int64_t *> found.view.buf)[row] = place


@cython.final
cdef class FlowTable:
    # The slots are few bytes, and of the flows only those are looked at that have packets. They are
    # made when the first flow comes, since sanitizers object to how Cython 3.3 calls a `__cinit__`
    # that takes nothing.
    cdef FlowSlot *slots
    cdef FlowEntry *entries
    cdef Py_ssize_t mask, count

    def __dealloc__(self):
        free(self.slots)
        free(self.entries)

    def clear(self):
        self.make(FEW_SLOTS)

    def find(self, frames, places, int64_t first, found):
        cdef _Array data = _Array(frames.data, 1, False)
        cdef _Array starts = _Array(frames.starts, sizeof(int64_t), False)
        cdef _Array captured = _Array(frames.captured, sizeof(int64_t), False)
        cdef _Array wire = _Array(frames.wire, sizeof(int64_t), False)
        cdef _Array at = _Array(places, sizeof(int64_t), False)
        cdef _Array flows = _Array(found.flows, sizeof(int64_t), True)
        cdef _Array lengths = _Array(found.lengths, sizeof(int64_t), True)
        cdef _Array is_cut = _Array(found.is_cut, 1, True)
        cdef _Array new = _Array(found.new, sizeof(int64_t), True)
        cdef Py_ssize_t rows = starts.count, row, added = 0
        cdef int64_t place, before, there, length, least
        cdef const uint8_t *packet
        cdef Wanted wanted[AT_ONCE]
        cdef uint64_t *words
        cdef int version, waiting = 0
        cdef bint has_ipv6 = False, is_shorter
        for one in (captured, wire, at, flows, lengths, is_cut, new):
            if (<_Array> one).count != rows:
                raise ValueError("there are not so many frames")
        for version in (4, 6):
            if version == 6 and not has_ipv6:
                break
            for row in range(rows):
                # Headers are far from each other, and waiting for memory is what takes the time.
                if row + ROWS_AHEAD < rows:
                    place = (<int64_t *> at.view.buf)[row + ROWS_AHEAD]
                    if 0 <= place <= data.count - LOOKED_AT:
                        fetch_ahead(<const uint8_t *> data.view.buf + place)
                place = (<int64_t *> at.view.buf)[row]
                if place < 0 or place > data.count - LOOKED_AT:
                    continue
                packet = <const uint8_t *> data.view.buf + place
                words = wanted[waiting].words
                if packet[0] >> 4 == 6:
                    has_ipv6 = True
                    if version == 4 or (packet[6] != 6 and packet[6] != 17):
                        continue
                    length = 40 + (packet[4] << 8 | packet[5])
                    least = 60 if packet[6] == 6 else 48
                    memcpy(words, packet + 8, 32)
                    words[4] = <uint64_t> 1 << 40 | <uint64_t> packet[6] << 32
                    words[4] |= get_number(packet + 40, False)
                else:
                    if version == 6 or packet[0] != NO_OPTIONS:
                        continue
                    if (packet[9] != 6 and packet[9] != 17) or packet[6] & 0x3F or packet[7]:
                        continue
                    length = packet[2] << 8 | packet[3]
                    least = 40 if packet[9] == 6 else 28
                    memset(words, 0, 5 * sizeof(uint64_t))
                    memcpy(words, packet + 12, 8)
                    words[4] = <uint64_t> packet[9] << 32 | get_number(packet + 20, False)
                before = place - (<int64_t *> starts.view.buf)[row]
                there = (<int64_t *> captured.view.buf)[row] - before
                is_shorter = length > there
                if length < least or there < least:
                    continue
                if is_shorter and length > (<int64_t *> wire.view.buf)[row] - before:
                    continue
                (<int64_t *> lengths.view.buf)[row] = length
                (<uint8_t *> is_cut.view.buf)[row] = is_shorter
                wanted[waiting].row = row
                waiting += 1
                if waiting == AT_ONCE:
                    added = self.number_all(wanted, waiting, first, added, flows, new)
                    waiting = 0
            added = self.number_all(wanted, waiting, first, added, flows, new)
            waiting = 0
        return added

    cdef Py_ssize_t number_all(
        self,
        Wanted *wanted,
        int count,
        int64_t first,
        Py_ssize_t added,
        _Array flows,
        _Array new,
    ) except -1:
        """Find the numbers of some flows, so many *added* before; return how many are by now."""
        cdef FlowSlot *slot
        cdef int64_t number
        cdef int place
        # Slots, too, are far from each other, and so are entries: first all are fetched.
        for place in range(count):
            wanted[place].hash_ = slot_hash(wanted[place].words)
            if self.slots != NULL:
                fetch_ahead(self.slots + (wanted[place].hash_ & <uint64_t> self.mask))
        if self.slots != NULL:
            for place in range(count):
                slot = self.slots + (wanted[place].hash_ & <uint64_t> self.mask)
                if slot.entry:
                    fetch_ahead(self.entries + (slot.entry - 1))
        for place in range(count):
            number = self.number(wanted[place].words, wanted[place].hash_, first + added)
            (<int64_t *> flows.view.buf)[wanted[place].row] = number
            if number == first + added:
                (<int64_t *> new.view.buf)[added] = wanted[place].row
                added += 1
        return added

    cdef int64_t number(self, const uint64_t *words, uint64_t hash_, int64_t new) except -1:
        """Return the number of a flow, which is *new* if it has none."""
        cdef FlowSlot *slot
        cdef FlowEntry *entry
        cdef uint32_t mark = <uint32_t> (hash_ >> 32)
        cdef Py_ssize_t place
        if self.count * 2 >= self.mask:
            self.grow()
        place = <Py_ssize_t> (hash_ & <uint64_t> self.mask)
        while True:
            slot = self.slots + place
            if slot.entry == 0:
                entry = self.entries + self.count
                memcpy(entry.words, words, sizeof(entry.words))
                entry.number = new
                self.count += 1
                slot.mark = mark
                slot.entry = <uint32_t> self.count
                return new
            if slot.mark == mark:
                entry = self.entries + (slot.entry - 1)
                if memcmp(entry.words, words, sizeof(entry.words)) == 0:
                    return entry.number
            place = (place + 1) & self.mask

    cdef int make(self, Py_ssize_t size) except -1:
        """Begin without any flows, with so many slots, and room for half as many flows."""
        cdef FlowSlot *slots = <FlowSlot *> calloc(size, sizeof(FlowSlot))
        cdef FlowEntry *entries = <FlowEntry *> malloc((size // 2 + 1) * sizeof(FlowEntry))
        if slots == NULL or entries == NULL:
            free(slots)
            free(entries)
            raise MemoryError
        free(self.slots)
        free(self.entries)
        self.slots = slots
        self.entries = entries
        self.mask = size - 1
        self.count = 0
        return 0

    cdef int grow(self) except -1:
        cdef FlowSlot *slots = self.slots
        cdef FlowEntry *entries = self.entries
        cdef FlowEntry *entry
        cdef Py_ssize_t place, count = self.count
        self.slots = NULL
        self.entries = NULL
        try:
            self.make(FEW_SLOTS if slots == NULL else (self.mask + 1) * 2)
        except MemoryError:
            self.slots = slots
            self.entries = entries
            raise
        for place in range(count):
            entry = entries + place
            self.number(entry.words, slot_hash(entry.words), entry.number)
        free(slots)
        free(entries)
        return 0
