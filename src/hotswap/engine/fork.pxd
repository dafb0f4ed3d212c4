from libc.stdint cimport uint32_t, uint64_t
from hotswap.engine.mm cimport Mm

cdef enum:
    COPY_PAGES = 512        # what is copied and written back at a time, 2 MiB: the largest folio
    COLD = 0x80000000       # the shadow of a folio that this mm never had in: of long ago

cdef struct Copies:         # dirty folios of one range in hand: entries locked, write-protected, bytes in the buffer
    uint64_t buffer
    int order
    int count
    uint64_t pages[512]

cpdef int mm_dup(int parent_index, int child_index) noexcept nogil
cpdef int mm_exit(int index) noexcept nogil
cdef int dup_ranges(Mm *parent, Mm *child, Copies *copies) noexcept nogil
cdef int dup_range(Mm *parent, Mm *child, int number, Copies *copies) noexcept nogil
cdef int dup_folio(Mm *parent, Mm *child, uint64_t page, Copies *copies) noexcept nogil
cdef int lock_folio(Mm *parent, Mm *child, uint64_t page, Copies *copies) noexcept nogil
cdef void set_child(Mm *child, uint64_t page, uint64_t state, uint32_t prev, uint32_t next) noexcept nogil
cdef int share_entry(uint64_t entry, int slots) noexcept nogil
cdef bint copy_dirty(Mm *parent, Mm *child, uint64_t page, Copies *copies) noexcept nogil
cdef int write_back(Mm *parent, Mm *child, Copies *copies) noexcept nogil
cdef int write_parts(Mm *parent, Mm *child, Copies *copies, int number) noexcept nogil
cdef int write_some(Mm *parent, Mm *child, Copies *copies, int done) noexcept nogil
